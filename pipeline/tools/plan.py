"""Print trials, hours and memory of every cell, from a few measured steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import optuna
import torch
from torch import Tensor
from torch.nn import functional

from gsa_core import build_model, count_flops, count_parameters
from pipeline.common.units import duration, size
from pipeline.dataset import Dataset, load_dataset
from pipeline.execution.inputs import read_cards
from pipeline.execution.parallel_trials import room_here
from pipeline.search.space import configuration
from pipeline.study.cells import Cell, cells
from pipeline.study.params import load_params
from pipeline.study.schema import Params
from pipeline.sweep import stage as sweep
from pipeline.sweep.early_stopping import SuccessiveHalving
from pipeline.training.devices import use_threads
from pipeline.training.loop import model_arguments, to_pixels

__all__ = ["Forecast", "at_once", "forecast", "main"]

STEPS = 3
# Passes over the test split beside the full turn: upright, quarter turns, mirrors, random angles.
PASSES = 12


@dataclass(frozen=True)
class Forecast:
    """What one cell will take: of time on one slot, of memory in each of its trials."""

    dataset: str
    cell: Cell
    channels: int
    parameters: int
    trials: int
    trial_seconds: float
    runs: int
    run_seconds: float
    memory_bytes: int

    @property
    def seconds(self) -> float:
        """Seconds of one slot for all trials and runs."""
        return self.trials * self.trial_seconds + self.runs * self.run_seconds


def main(given: object = None) -> None:
    """Print what every cell of the study will take."""
    params = load_params()
    read_cards(params.prepare)
    data = {
        name: load_dataset(sweep.PREPARED / name, sweep.SPLITS) for name in params.prepare.datasets
    }
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    device = "cuda" if params.resources.gpus_per_trial and torch.cuda.is_available() else "cpu"
    use_threads(int(params.resources.cpus_per_trial))
    print(f"{STEPS} steps of each cell's first configuration, on {device}", flush=True)
    found = []
    width = max(len(cell.name) for cell in cells(params))
    heads = "trials     a trial  runs       a run     one slot      memory  parameters"
    print(f"  {'cell':{width}}  {heads}")
    for dataset in data.values():
        for cell in cells(params):
            found.append(forecast(params, dataset, cell, device))
            print(_line(found[-1], width), flush=True)
    print(_total(found, at_once(params)))
    for line in _endings(params):
        print(line)


def forecast(
    params: Params, data: Dataset, cell: Cell, device: str = "cpu", work: float = math.inf
) -> Forecast:
    """Measure a few steps of the cell's first configuration and count how many there will be.

    Batches are smaller where the forward pass of one would take more than `work` FLOPs.

    The time is that of a slot of its own: trials that share a machine's memory bandwidth take
    longer. The memory is what a trial adds to a process: weights, gradients, the two moments of
    AdamW, and what the backward pass keeps.
    """
    config = configuration(cell, sweep.proposer(params, cell).propose(0, []), params, data)
    model = build_model(**model_arguments(config, data)).to(device)
    count = min(config["batch_size"], len(data.train))
    if work < math.inf:
        shape = (data.in_channels, data.image_size, data.image_size)
        count = max(1, min(count, int(work / count_flops(model, shape))))
    images = to_pixels(data.train.images[:count], device)
    labels = torch.from_numpy(data.train.labels[:count].copy()).to(device)

    def step() -> None:
        functional.cross_entropy(model(images), labels).backward()

    def look() -> None:
        with torch.no_grad():
            model(images)

    kept = _kept_bytes(step, model.train())
    train_seconds = _seconds(step, device) / count
    model.eval()
    look_seconds = _seconds(look, device) / count
    epoch = len(data.train) * train_seconds + len(data.validation) * look_seconds
    trial = config["epochs"] * epoch
    test = int(data.card["counts"]["test"]["total"]) * look_seconds
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return Forecast(
        dataset=data.name,
        cell=cell,
        channels=config["channels"],
        parameters=count_parameters(model),
        trials=params.sweep.trials_per_cell,
        trial_seconds=trial,
        runs=len(params.confirm.seeds),
        run_seconds=trial + test * (params.confirm.angles + PASSES),
        memory_bytes=4 * weights + kept + images.numel() * images.element_size(),
    )


def at_once(params: Params) -> int:
    """Return how many trials run in parallel on this machine."""
    resources = params.resources
    gpus = 0.0 if resources.gpus_per_trial == "auto" else float(resources.gpus_per_trial)
    gpus = gpus if torch.cuda.is_available() else 0.0
    memory = 1e9 * (resources.gigabytes_per_trial or 0)
    there = room_here(resources.cpus_per_trial, gpus, memory)
    return there if resources.workers == "auto" else min(there, int(resources.workers))


def _kept_bytes(step: Callable[[], None], model: torch.nn.Module) -> int:
    """Count what the forward pass keeps for the backward pass, each storage once."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    sizes: dict[int, int] = {}
    held: list[Any] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
            held.append(storage)  # so that no other storage gets its address meanwhile
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(sizes.values())


def _seconds(step: Callable[[], None], device: str) -> float:
    """Time a step: the fastest of a few; on a CPU by its own clock, so other work counts little."""
    took = []
    clock = time.process_time if device == "cpu" else time.perf_counter
    threads = torch.get_num_threads() if device == "cpu" else 1
    for _ in range(STEPS):
        start = clock()
        step()
        if device != "cpu":
            torch.cuda.synchronize()
        took.append((clock() - start) / threads)
    return min(took)


def _line(one: Forecast, width: int) -> str:
    return (
        f"  {one.cell.name:{width}}  {one.trials:6}  {duration(one.trial_seconds):>10}  "
        f"{one.runs:4}  {duration(one.run_seconds):>10}  {duration(one.seconds):>11}  "
        f"{size(one.memory_bytes):>10}  {one.parameters:10,}"
    )


def _endings(params: Params) -> Iterator[str]:
    """Say what may make the search shorter than that."""
    sweep_section = params.sweep
    budget, stopping = sweep_section.budget, sweep_section.stopping
    if budget.hours is not None:
        yield f"no trial starts after {budget.hours:g} hours (sweep.budget.hours)"
    if budget.gpu_hours is not None:
        yield f"no trial starts after {budget.gpu_hours:g} GPU hours (sweep.budget.gpu_hours)"
    if budget.patience is not None:
        yield f"a cell ends after {budget.patience} trials without an improvement"
    if stopping.reduction is not None:
        rungs = SuccessiveHalving(
            stopping.reduction, stopping.min_epochs, sweep_section.epochs
        ).rungs
        yield f"one in {stopping.reduction} goes on after epochs {', '.join(map(str, rungs))}"


def _total(found: list[Forecast], slots: int) -> str:
    """Sum the times, and divide them by what runs at once."""
    seconds = sum(one.seconds for one in found)
    trials, runs = sum(one.trials for one in found), sum(one.runs for one in found)
    most = max(one.memory_bytes for one in found)
    return (
        f"{trials} trials and {runs} runs: {duration(seconds)} of one slot, about "
        f"{duration(seconds / slots)} with {slots} in parallel; up to {size(most)} in each beside "
        "the data"
    )

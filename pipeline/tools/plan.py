"""Print trials, hours and memory of every cell, from a few measured steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from gsa_core import build_model, count_parameters
from pipeline.common.units import duration, size
from pipeline.confirm.keep import kept
from pipeline.dataset import load_dataset
from pipeline.execution.parallel_trials import parallel_here
from pipeline.execution.stage_inputs import read_cards
from pipeline.search.space import batch_sizes
from pipeline.study.cells import cells
from pipeline.study.params import load_params
from pipeline.study.schema import Params
from pipeline.study.tuning import chosen
from pipeline.sweep import stage as sweep
from pipeline.sweep.early_stopping import SuccessiveHalving
from pipeline.tools.support import gpu_hours
from pipeline.tools.support.forecast import Forecast, forecast
from pipeline.training.cost import STEPS, trial_bytes
from pipeline.training.devices import use_threads
from pipeline.training.loop import model_arguments

__all__ = ["main"]


def main(given: object = None) -> None:
    """Print what every cell of the study will take."""
    params = load_params()
    read_cards(params.prepare)
    data = {
        name: load_dataset(sweep.PREPARED / name, sweep.SPLITS) for name in params.prepare.datasets
    }
    device = "cuda" if params.resources.gpus_per_trial and torch.cuda.is_available() else "cpu"
    use_threads(int(params.resources.cpus_per_trial))
    print(f"{STEPS} steps of each cell's first configuration, on {device}", flush=True)
    width = max(len(cell.name) for cell in cells(params))
    heads = "trials     a trial  runs       a run     one slot      memory  parameters"
    print(f"  {'cell':{width}}  {heads}")
    found: list[Forecast] = []
    most, largest = 0, max(batch_sizes(params))
    for dataset in data.values():
        for cell in cells(params, dataset.name):
            found.append(forecast(params, dataset, cell, device))
            memory = trial_bytes({**found[-1].config, "batch_size": largest}, dataset)
            most = max(most, memory)
            print(_line(found[-1], memory, width), flush=True)
    print(_total(found, most, parallel_here(params)))
    if params.resources.gpus_per_trial:
        print(gpu_hours.sentence(params, data.values()))
    for line in (*chosen(params), *_endings(params)):
        print(line)
    print(what_is_kept(params, {name: one.card for name, one in data.items()}))


def _line(one: Forecast, memory: int, width: int) -> str:
    parameters = count_parameters(build_model(**model_arguments(one.config, one.dataset)))
    return (
        f"  {one.cell.name:{width}}  {one.trials:6}  {duration(one.trial_seconds):>10}  "
        f"{one.runs:4}  {duration(one.run_seconds):>10}  {duration(one.seconds):>11}  "
        f"{size(memory):>10}  {parameters:10,}"
    )


def _total(found: list[Forecast], most: int, slots: int) -> str:
    """Sum the times, and divide them by the trials in parallel."""
    seconds = sum(one.seconds for one in found)
    trials, runs = sum(one.trials for one in found), sum(one.runs for one in found)
    return (
        f"{trials} trials and {runs} runs: {duration(seconds)} of one slot, about "
        f"{duration(seconds / slots)} with {slots} in parallel; up to {size(most)} in each besides "
        "the data"
    )


def what_is_kept(params: Params, cards: Mapping[str, Mapping[str, Any]]) -> str:
    """Say what confirm keeps of every test image, and how large it is before compression."""
    found = kept(params, cards)
    setting = f"confirm.keep: {params.confirm.keep}"
    if found.what == "none":
        return f"no predictions of test images are kept ({setting})"
    what = {"logits": "logits and predictions", "predictions": "predictions"}[found.what]
    return f"{what} of every test image are kept, at most {size(found.size)} ({setting})"


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
            stopping.reduction, stopping.min_epochs, sweep_section.trial_epochs
        ).rungs
        yield f"one in {stopping.reduction} continues after epochs {', '.join(map(str, rungs))}"

"""What a study will take of time, disk and memory: counted trials times a few measured steps."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna

from pipeline.confirm.keep import measured_images
from pipeline.confirm.measures.movements import passes
from pipeline.dataset import Dataset, Split
from pipeline.execution.parallel_trials import parallel_here
from pipeline.search.space import batch_sizes, configuration
from pipeline.study.budgets import epoch_images, validation_passes
from pipeline.study.cells import Cell, cells, seeds_of
from pipeline.study.schema import Params
from pipeline.study.tuning import searched
from pipeline.sweep import stage as sweep
from pipeline.training.cost import image_flops, image_seconds
from pipeline.training.devices import use_threads

__all__ = [
    "Forecast",
    "Sizes",
    "estimate_seconds",
    "first_configuration",
    "forecast",
    "space",
    "stand_in",
]

LONGEST = 0.2  # seconds of a measured batch's forward pass: `use` is to answer within seconds
SECONDS = 20.0  # of measuring; other networks are put in proportion by their FLOPs
# Seconds an image takes in training and in evaluation, by batch size.
Times = dict[int, tuple[float, float]]


@dataclass(frozen=True)
class Forecast:
    """What one cell will take of time on one slot."""

    dataset: Dataset
    cell: Cell
    config: dict[str, Any]
    trials: int
    trial_seconds: float
    runs: int
    run_seconds: float

    @property
    def seconds(self) -> float:
        """Seconds of one slot for all trials and runs."""
        return self.trials * self.trial_seconds + self.runs * self.run_seconds


@dataclass(frozen=True)
class Sizes:
    """What is known of a data set before it is prepared: its images, and how many in a split."""

    in_channels: int
    num_classes: int
    image_size: int
    read_bytes: int  # on the disk before there are splits: the images, and what is unpacked
    train: int = 0
    validation: int = 0
    test: int = 0


def forecast(
    params: Params, data: Dataset, cell: Cell, device: str = "cpu", longest: float = math.inf
) -> Forecast:
    """Measure the cell's first configuration and count how many steps there will be.

    `longest` limits the measured batch, as in `pipeline.training.cost.image_seconds`.
    """
    config = first_configuration(params, data, cell)
    return _counted(params, data, cell, config, _timed(params, config, data, device, longest))


def _timed(
    params: Params, config: dict[str, Any], data: Dataset, device: str, longest: float
) -> Times:
    """Measure a configuration with every batch size that its study has."""
    return {
        n: image_seconds({**config, "batch_size": n}, data, device, longest)
        for n in batch_sizes(params)
    }


def _counted(
    params: Params, data: Dataset, cell: Cell, config: dict[str, Any], times: Times
) -> Forecast:
    """Count the images of a cell's trials and runs."""
    if params.sweep.match is not None and params.sweep.match.of == "seconds":
        config = first_configuration(
            params, data, cell, {n: n * one[0] for n, one in times.items()}
        )
    # Where it is searched, a batch size is as likely as another.
    train_seconds, evaluate_seconds = np.mean(list(times.values()), axis=0).tolist()
    images = epoch_images(config, len(data.train))
    validated = validation_passes(config) * len(data.validation)
    epoch = images * train_seconds + validated * evaluate_seconds
    trial = config["epochs"] * epoch
    # A search may be shorter than the runs.
    run = trial if params.sweep.search_epochs is None else (params.sweep.epochs or 1) * epoch
    is_searched = cell in searched(params, data.name)
    evaluated = passes(
        int(data.card["counts"]["test"]["total"]),
        measured_images(params, data.card),
        params.confirm.angles,
    )
    return Forecast(
        dataset=data,
        cell=cell,
        config=config,
        trials=params.sweep.trials_per_cell if is_searched else 0,
        trial_seconds=trial,
        runs=len(seeds_of(params, data.name, cell)) * params.confirm.splits,
        run_seconds=run + evaluated * evaluate_seconds,
    )


def estimate_seconds(
    params: Params, data: Mapping[str, Sizes], device: str, limit: float | None = None
) -> float:
    """Return how long sweep and confirm will take, from a few steps of every network.

    Parameters
    ----------
    limit
        Seconds of measuring, `SECONDS` unless said.
    """
    use_threads(int(params.resources.cpus_per_trial))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    stand_ins = {name: stand_in(name, sizes) for name, sizes in data.items()}
    planned = [(one, cell) for one in stand_ins.values() for cell in cells(params, one.name)]
    networks = {_network(one, cell): (one, cell) for one, cell in planned}
    times = _measured(params, networks, device, SECONDS if limit is None else limit)
    # Neither a width nor what is searched decides how many images there are: nothing is solved for.
    unmatched = params.sweep.model_copy(update={"match": None})
    alone = params.model_copy(update={"sweep": unmatched})
    total = sum(
        _counted(
            params, one, cell, configuration(cell, {}, alone, one), times[_network(one, cell)]
        ).seconds
        for one, cell in planned
    )
    return total / parallel_here(params)


def _network(data: Dataset, cell: Cell) -> Hashable:
    """Return what the seconds of an image depend on, or nearly so.

    Numbers of classes and, where tokens are few, encodings take little time.
    """
    plain = replace(cell, augment="none", training_images=None)
    if cell.tokens != "pixel":
        plain = replace(plain, positional="")
    return data.in_channels, data.image_size, plain


def _measured(
    params: Params,
    networks: Mapping[Hashable, tuple[Dataset, Cell]],
    device: str,
    limit: float,
) -> dict[Hashable, Times]:
    """Measure networks for some seconds, one at least; the others by the nearest in FLOPs."""
    names, start = list(networks), time.thread_time()
    times: dict[Hashable, Times] = {}
    # In random order: neighbours of a list are alike, and of every size some should be measured.
    for place in np.random.default_rng(0).permutation(len(names)):
        if times and time.thread_time() - start > limit:
            break
        data, cell = networks[names[place]]
        times[names[place]] = _timed(
            params, first_configuration(params, data, cell), data, device, LONGEST
        )
    if len(times) == len(names):
        return times
    flops = {
        key: image_flops(first_configuration(params, data, cell), data)
        for key, (data, cell) in networks.items()
    }
    return {key: times.get(key, _in_proportion(times, flops, key)) for key in names}


def _in_proportion(
    times: Mapping[Hashable, Times], flops: Mapping[Hashable, int], key: Hashable
) -> Times:
    """Return the times of the nearest network in FLOPs, in proportion to these."""
    near = min(times, key=lambda one: abs(math.log(flops[one] / flops[key])))
    ratio = flops[key] / flops[near]
    return {n: (one * ratio, two * ratio) for n, (one, two) in times[near].items()}


def space(sizes: Sizes) -> tuple[float, float]:
    """Return bytes of disk while it is prepared and of memory while it is trained on, of uint8.

    On the disk all images as they were read, the splits and the turned test are kept together.
    """
    image = sizes.in_channels * sizes.image_size**2
    images = sizes.train + sizes.validation + 2 * sizes.test
    return sizes.read_bytes + images * image, (sizes.train + sizes.validation) * image


def first_configuration(
    params: Params,
    data: Dataset,
    cell: Cell,
    step_seconds: dict[int, float] | None = None,
) -> dict[str, Any]:
    """Return the first configuration of a cell's search."""
    point = sweep.proposer(params, cell).propose(0, [])
    return configuration(cell, point, params, data, step_seconds)


def stand_in(name: str, sizes: Sizes) -> Dataset:
    """Return a data set of these sizes whose images are all one value and take no memory."""
    shape = (sizes.in_channels, sizes.image_size, sizes.image_size)

    def split(count: int) -> Split:
        images = np.broadcast_to(np.float32(0.5), (max(1, count), *shape))
        return Split(images, np.zeros(max(1, count), dtype=np.int64))

    card = {
        "image_shape": list(shape),
        "classes": sizes.num_classes,
        "mean": [0.5] * sizes.in_channels,
        "std": [0.3] * sizes.in_channels,
        "counts": {"test": {"total": sizes.test}},
    }
    return Dataset(name, split(sizes.train), split(sizes.validation), card=card)

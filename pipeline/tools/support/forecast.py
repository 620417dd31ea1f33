"""What a study will take of time, disk and memory: counted trials times a few measured steps."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.confirm.keep import measured_images
from pipeline.confirm.measures.movements import passes
from pipeline.dataset import Dataset, Split
from pipeline.execution.parallel_trials import parallel_here
from pipeline.search.space import batch_sizes, configuration
from pipeline.study.budgets import epoch_images
from pipeline.study.cells import Cell, cells, seeds_of
from pipeline.study.schema import Params
from pipeline.study.tuning import searched
from pipeline.sweep import stage as sweep
from pipeline.training.cost import image_flops, image_seconds
from pipeline.training.devices import use_threads

__all__ = ["Forecast", "Sizes", "estimate_seconds", "forecast", "space"]

WORK = 2e9  # FLOPs of a measured batch's forward pass: `use` is to answer within seconds
SECONDS = 20.0  # of measuring; further cells are put in proportion by their FLOPs


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
    params: Params, data: Dataset, cell: Cell, device: str = "cpu", work: float = math.inf
) -> Forecast:
    """Measure the cell's first configuration and count how many steps there will be.

    `work` limits the measured batch, as in `pipeline.training.cost.image_seconds`.
    """
    config = _first(params, data, cell)
    sizes = batch_sizes(params)
    measured = {n: image_seconds({**config, "batch_size": n}, data, device, work) for n in sizes}
    if params.sweep.match is not None and params.sweep.match.of == "seconds":
        config = _first(params, data, cell, {n: n * measured[n][0] for n in sizes})
    # Where it is searched, a batch size is as likely as another.
    train_seconds, evaluate_seconds = np.mean(list(measured.values()), axis=0).tolist()
    images = epoch_images(config, len(data.train))
    epoch = images * train_seconds + len(data.validation) * evaluate_seconds
    trial = config["epochs"] * epoch
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
        runs=len(seeds_of(params, data.name, cell)),
        run_seconds=trial + evaluated * evaluate_seconds,
    )


def estimate_seconds(params: Params, data: Mapping[str, Sizes], device: str) -> float:
    """Return how long sweep and confirm will take, from a few steps of every cell, as in `plan`."""
    use_threads(int(params.resources.cpus_per_trial))
    start, total, measured, flops = time.monotonic(), 0.0, 0.0, 0.0
    pairs = [(name, cell) for name in data for cell in cells(params, name)]
    for name, cell in pairs:
        stand_in = _stand_in(name, data[name])
        cost = image_flops(_first(params, stand_in, cell), stand_in) * len(stand_in.train)
        if measured and time.monotonic() - start > SECONDS:
            total += measured / flops * cost
            continue
        seconds = forecast(params, stand_in, cell, device, WORK).seconds
        total, measured, flops = total + seconds, measured + seconds, flops + cost
    return total / parallel_here(params)


def space(sizes: Sizes) -> tuple[float, float]:
    """Return bytes of disk while it is prepared and of memory while it is trained on, of uint8.

    On the disk all images as they were read, the splits and the turned test are kept together.
    """
    image = sizes.in_channels * sizes.image_size**2
    images = sizes.train + sizes.validation + 2 * sizes.test
    return sizes.read_bytes + images * image, (sizes.train + sizes.validation) * image


def _first(
    params: Params, data: Dataset, cell: Cell, step_seconds: dict[int, float] | None = None
) -> dict[str, Any]:
    """Return the first configuration of a cell's search."""
    point = sweep.proposer(params, cell).propose(0, [])
    return configuration(cell, point, params, data, step_seconds)


def _stand_in(name: str, sizes: Sizes) -> Dataset:
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

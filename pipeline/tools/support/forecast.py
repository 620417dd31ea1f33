"""What a study will take before its data are prepared: time as `plan` measures it, and space."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from gsa_core import build_model, count_flops
from pipeline.dataset import Dataset, Split
from pipeline.search.space import configuration
from pipeline.study.cells import Cell, cells
from pipeline.study.schema import Params
from pipeline.sweep import stage as sweep
from pipeline.tools.plan import at_once, forecast
from pipeline.training.devices import use_threads
from pipeline.training.loop import model_arguments

__all__ = ["Sizes", "estimate_seconds", "space"]

_WORK = 2e9  # FLOPs of a measured batch's forward pass: `use` is to answer within seconds
_SECONDS = 20.0  # of measuring; further cells are put in proportion by their FLOPs


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


def space(sizes: Sizes) -> tuple[float, float]:
    """Return bytes of disk while it is prepared and of memory while it is trained on, of uint8.

    On the disk all images as they were read, the splits and the turned test stand side by side.
    """
    image = sizes.in_channels * sizes.image_size**2
    images = sizes.train + sizes.validation + 2 * sizes.test
    return sizes.read_bytes + images * image, (sizes.train + sizes.validation) * image


def estimate_seconds(params: Params, data: Mapping[str, Sizes], device: str) -> float:
    """Return how long sweep and confirm will take, from a few steps of every cell, as in `plan`."""
    use_threads(int(params.resources.cpus_per_trial))
    begun, total, measured, flops = time.monotonic(), 0.0, 0.0, 0.0
    for sizes, cell in product(data.values(), cells(params)):
        stand_in = _stand_in(sizes)
        cost = _flops(params, stand_in, cell) * len(stand_in.train)
        if measured and time.monotonic() - begun > _SECONDS:
            total += measured / flops * cost
            continue
        seconds = forecast(params, stand_in, cell, device, _WORK).seconds
        total, measured, flops = total + seconds, measured + seconds, flops + cost
    return total / at_once(params)


def _flops(params: Params, data: Dataset, cell: Cell) -> float:
    config = configuration(cell, sweep.proposer(params, cell).propose(0, []), params, data)
    shape = (data.in_channels, data.image_size, data.image_size)
    return float(count_flops(build_model(**model_arguments(config, data)), shape))


def _stand_in(sizes: Sizes) -> Dataset:
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
    return Dataset("stand-in", split(sizes.train), split(sizes.validation), card=card)

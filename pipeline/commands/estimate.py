"""What a study will take on this machine: time from a measured step, memory and disk from sizes."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch.nn import functional

from gsa_core import build_model, count_flops
from pipeline.params import Params
from pipeline.search_space import cells, configuration, shape_of

__all__ = ["Sizes", "estimate_seconds", "gigabytes"]

_WORK = 2e9  # FLOPs of the measured step's forward pass: it has the study's batch size, or less
_STEPS = 3
_MOVED = 12  # passes over the test beside the full turn: upright, quarters, mirrors, layers


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


def gigabytes(sizes: Sizes) -> tuple[float, float]:
    """Return disk while it is prepared and memory while it is trained on, in GB of uint8 images.

    On the disk all images as they were read, the splits and the turned test stand side by side.
    """
    image = sizes.in_channels * sizes.image_size**2
    images = sizes.train + sizes.validation + 2 * sizes.test
    return (
        (sizes.read_bytes + images * image) / 1e9,
        (sizes.train + sizes.validation) * image / 1e9,
    )


def estimate_seconds(params: Params, data: Mapping[str, Sizes], device: str) -> float:
    """Return how long sweep and confirm will take, from the time of a few steps of one cell.

    Other cells are put in proportion by their FLOPs, which is right within a factor of two or so.
    """
    every = [
        (sizes, _built(cell, params, sizes))
        for sizes, cell in product(data.values(), cells(params))
    ]
    costs = [
        count_flops(model, (sizes.in_channels, sizes.image_size, sizes.image_size))
        for sizes, model in every
    ]
    middle = sorted(range(len(every)), key=lambda index: costs[index])[len(every) // 2]
    sizes, model = every[middle]
    batch = int(max(1, min(params.sweep.batch_size, _WORK / costs[middle])))
    rate = 3 * costs[middle] / _seconds_an_image(model, sizes, params, device, batch)
    work = 0.0
    for (sizes, _), flops in zip(every, costs, strict=True):
        epoch = 3 * sizes.train + sizes.validation  # a backward pass costs two forward passes
        trials = params.sweep.trials_per_cell + len(params.confirm.seeds)
        tests = len(params.confirm.seeds) * sizes.test * (params.confirm.angles + _MOVED)
        work += flops * (epoch * params.sweep.epochs * trials + tests)
    return work / rate / _at_once(params, device)


def _at_once(params: Params, device: str) -> int:
    workers, each = params.resources.workers, params.resources.cpus_per_trial
    if device != "cpu":
        return min(workers, torch.cuda.device_count())
    return max(1, min(workers, int((os.cpu_count() or 1) / each)))


def _built(cell: Any, params: Params, sizes: Sizes) -> torch.nn.Module:
    """Build a cell with the middle of everything that is searched."""
    sampled = {}
    for name, domain in params.sweep.search_space.items():
        if name in ("channels", "heads", "feedforward_ratio"):
            choices = getattr(domain, "choices", None)
            value = choices[len(choices) // 2] if choices else (domain.low + domain.high) / 2  # type: ignore[union-attr]
            sampled[name] = value if name == "feedforward_ratio" else int(value)
    config = configuration(cell, sampled, params, sizes)
    width = {} if config["channels"] is None else {"channels": config["channels"]}
    return build_model(**shape_of(config), **width)


def _seconds_an_image(
    model: torch.nn.Module, sizes: Sizes, params: Params, device: str, batch: int
) -> float:
    """Time a training step; a processor by its own clock, so that other work does not count."""
    before, threads = torch.get_num_threads(), max(1, int(params.resources.cpus_per_trial))
    torch.set_num_threads(threads)
    try:
        model = model.to(device).train()
        side = sizes.image_size
        images = torch.rand(batch, sizes.in_channels, side, side, device=device)
        labels = torch.zeros(batch, dtype=torch.int64, device=device)
        took = []
        for _ in range(_STEPS):
            start = time.process_time() if device == "cpu" else time.perf_counter()
            functional.cross_entropy(model(images), labels).backward()
            if device == "cpu":
                took.append((time.process_time() - start) / threads)
            else:
                torch.cuda.synchronize()
                took.append(time.perf_counter() - start)
        return min(took) / batch
    finally:
        torch.set_num_threads(before)

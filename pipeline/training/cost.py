"""What one configuration costs: operations, seconds a step, and bytes of memory in a trial."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import chain, islice
from typing import Any

import torch
from torch import nn

from gsa_core import build_model, count_activations, count_flops
from pipeline.dataset import Dataset
from pipeline.training.epoch import Steps
from pipeline.training.gradients import gradients_of
from pipeline.training.image_feed import fewer_images
from pipeline.training.inference import to_pixels
from pipeline.training.loop import model_arguments
from pipeline.training.penalty import passes
from pipeline.training.precision import whole_float32

STEPS = 3  # measured; the fastest counts
# Of which the median decides the epochs where seconds are matched, after some that are not counted.
MEASURED_STEPS, WARM_UP = 20, 3


def image_flops(config: dict[str, Any], data: Dataset) -> int:
    """Count the FLOPs of the forward pass of one image."""
    return count_flops(_model(config, data), _shape(data))


def trial_bytes(config: dict[str, Any], data: Dataset) -> int:
    """Count weights, gradients, AdamW's moments, a batch, and what its backward pass keeps.

    And the averaged weights, where there are any.
    """
    model = _model(config, data)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    image = count_activations(model, _shape(data)) + 4 * math.prod(_shape(data))
    copies = 5 if config.get("ema") else 4
    images = passes(config) * min(config["batch_size"], len(data.train))
    return copies * weights + int(images * image)


def image_seconds(
    config: dict[str, Any], data: Dataset, device: str = "cpu", longest: float = math.inf
) -> tuple[float, float]:
    """Measure a few steps; return the seconds an image takes in training and in evaluation.

    Of a trial that runs alone: trials that share a machine's memory bandwidth take longer.

    Parameters
    ----------
    config, data
        A configuration of a trial, and its data set.
    device
        Where to measure.
    longest
        Seconds that the forward pass of the measured batch may take; a smaller batch is measured
        where the configuration's would take more.
    """
    model = _model(config, data).to(device)
    count = min(config["batch_size"], len(data.train))
    images = to_pixels(data.train.images[:1], device)

    def evaluate() -> None:
        with torch.no_grad(), whole_float32():
            model(images)

    model.eval()
    if longest < math.inf:
        count = max(1, min(count, int(longest / _seconds(evaluate, device))))
    images = to_pixels(data.train.images[:count], device)
    labels = torch.from_numpy(data.train.labels[:count].copy()).to(device)

    gradients = gradients_of(model, {**config, "penalty": 0.0}, None)

    def train() -> None:
        gradients(images, labels, 1.0)

    model.train()
    training = _seconds(train, device) / count
    model.eval()
    return training * passes(config), _seconds(evaluate, device) / count


def step_seconds(config: dict[str, Any], data: Dataset, device: str = "cpu") -> float:
    """Measure whole training steps, augmentation and optimiser included; return their median.

    On one thread of a CPU, by its own clock, so that other work counts little.
    """
    few = fewer_images(data, config.get("training_images"))
    with torch.random.fork_rng():
        model = build_model(**model_arguments(config, few)).to(device)
        steps = Steps.of(
            model, {**config, "epochs": MEASURED_STEPS + WARM_UP}, few, len(data.train)
        )
        model.train()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            batches = chain.from_iterable(steps.batches() for _ in range(MEASURED_STEPS + WARM_UP))
            seconds = [
                _timed(partial(steps.take, batch), device)
                for batch in islice(batches, MEASURED_STEPS + WARM_UP)
            ]
        finally:
            torch.set_num_threads(threads)
    return statistics.median(seconds[WARM_UP:])


def _timed(step: Callable[[], Any], device: str) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    step()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start


def _seconds(step: Callable[[], None], device: str) -> float:
    """Time a step: the fastest of a few; on a CPU by its own clock, so other work counts little."""
    threads = torch.get_num_threads() if device == "cpu" else 1
    return min(_timed(step, device) for _ in range(STEPS)) / threads


def _model(config: dict[str, Any], data: Dataset) -> nn.Module:
    return build_model(**model_arguments(config, data))


def _shape(data: Dataset) -> tuple[int, ...]:
    return tuple(data.card["image_shape"])

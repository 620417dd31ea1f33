"""One epoch of training: batches in random order, augmented, weighted, one optimiser step each.

And the schedules of the learning rate, by name: what a study chooses in `sweep.schedule`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from pipeline.dataset import Dataset
from pipeline.study.budgets import epoch_images, steps_of_epoch
from pipeline.training.augment import light_augmented, turned_at_random
from pipeline.training.cuda_graph import CapturedGradients
from pipeline.training.gradients import Gradients, gradients_of
from pipeline.training.image_feed import ImageFeed
from pipeline.training.inference import INFERENCE_BATCH, to_pixels
from pipeline.training.penalty import with_turned
from pipeline.training.precision import whole_float32
from pipeline.training.weight_average import WeightAverage

__all__ = ["Steps", "make_schedule", "micro_batches"]

Row = dict[str, Any]
STATISTICS = 2000  # training images on which statistics of averaged weights are measured
# Of all steps: a warm-up of `cosine`, and when `step` lowers the rate, each time to a tenth.
WARM_UP, LOWERED_AT, STEP_FACTOR = 0.05, (0.5, 0.75), 0.1


def micro_batches(config: Row) -> int:
    """Number of micro-batches whose gradients are accumulated for a batch, to save memory."""
    return int(config.get("batch_parts", 1))


@dataclass
class Steps:
    """The optimiser steps of a training: its network, optimiser, images and random order.

    Attributes
    ----------
    feed
        The images that it is trained on.
    images
        How many images an epoch has.
    gradients
        Computes them, and the loss.
    average
        The average of the weights; None where the weights themselves are validated and kept.
    """

    model: nn.Module
    config: Row
    feed: ImageFeed
    images: int
    background: float | str
    gradients: Gradients | CapturedGradients
    order: torch.Generator
    optimizer: Optimizer
    schedule: LRScheduler
    average: WeightAverage | None

    @classmethod
    def of(cls, model: nn.Module, config: Row, data: Dataset, of_all: int) -> Steps:
        """Prepare AdamW under the schedule of a study, of a training split of `of_all` images."""
        total = config["epochs"] * steps_of_epoch(config, of_all)
        rate = config["learning_rate"]
        # Fused: one call for all parameters, which counts where networks are small.
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=rate, weight_decay=config["weight_decay"], fused=True
        )
        schedule = make_schedule(config.get("schedule", "one_cycle"), optimizer, rate, total)
        decay = config.get("ema", 0.0)
        device = next(model.parameters()).device
        return cls(
            model,
            config,
            ImageFeed(data.train, device),
            epoch_images(config, of_all),
            data.background,
            gradients_of(model, config, class_weights(config, data, device)),
            torch.Generator().manual_seed(config["seed"]),
            optimizer,
            schedule,
            WeightAverage(model, decay) if decay else None,
        )

    @property
    def evaluated(self) -> nn.Module:
        """The network that is validated and kept: that of the averaged weights, if there is one."""
        return self.model if self.average is None else self.average.model

    def run_epoch(self) -> Tensor:
        """Train on the images of an epoch; return the mean loss, on the device."""
        self.model.train()
        total = torch.zeros((), device=next(self.model.parameters()).device)
        for images, labels in self.feed.loaded(self.batches()):
            total += self.step(images, labels)  # without waiting for the device
        return total / self.images

    def measure_statistics(self) -> None:
        """Measure the batch-norm statistics of averaged weights on some training images."""
        if self.average is None:
            return
        # In random order: images may be sorted by class, which batches must not be.
        draw = np.random.default_rng(self.config["seed"])
        order = draw.permutation(len(self.feed.split))[:STATISTICS]
        size = max(1, INFERENCE_BATCH // micro_batches(self.config))
        device = next(self.model.parameters()).device
        parts = (order[start : start + size] for start in range(0, len(order), size))
        pixels = (to_pixels(self.feed.load(part)[0], device) for part in parts)
        with whole_float32():
            self.average.measure_statistics(pixels)

    def batches(self) -> Iterator[np.ndarray]:
        """Yield the indices of each batch: all images in random order, and again if need be."""
        drawn, left = [], self.images
        while left > 0:
            drawn.append(torch.randperm(len(self.feed.split), generator=self.order)[:left].numpy())
            left -= len(drawn[-1])
        shuffled, size = np.concatenate(drawn), self.config["batch_size"]
        for start in range(0, len(shuffled), size):
            yield shuffled[start : start + size]

    def take(self, batch: np.ndarray) -> Tensor:
        """Take an optimiser step on the images of these numbers; return the sum of their losses."""
        return self.step(*self.feed.load(batch))

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Take an optimiser step on images as they are stored; return the sum of their losses."""
        total: Any = 0
        self.optimizer.zero_grad(set_to_none=not self.gradients.keeps_gradients)
        parts = min(micro_batches(self.config), len(labels))
        for part, known in zip(
            torch.tensor_split(images, parts), torch.tensor_split(labels, parts), strict=True
        ):
            loss = self.gradients(self._augmented(part), known, len(known) / len(labels))
            total = total + loss * len(known)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update()
        return torch.as_tensor(total)

    def _augmented(self, images: Tensor) -> Tensor:
        images = to_pixels(images, next(self.model.parameters()).device)
        images = light_augmented(images, self.config, self.order, self.background)
        images = turned_at_random(images, self.config["augment"], self.order, self.background)
        if self.config.get("penalty"):
            images = with_turned(images, self.config, self.order, self.background)
        return images


def class_weights(config: Row, data: Dataset, device: torch.device) -> Tensor | None:
    """Weigh classes by one over their number of images; the mean over all images is 1."""
    if config.get("class_weights", "none") == "none":
        return None
    labels = data.train.labels
    counts = np.bincount(labels, minlength=data.num_classes)
    present = np.count_nonzero(counts)
    weights = len(labels) / (present * np.maximum(counts, 1))
    return torch.tensor(weights, dtype=torch.float32, device=device)


def make_schedule(name: str, optimizer: Optimizer, rate: float, total: int) -> LRScheduler:
    """Return a schedule of so many optimiser steps.

    Parameters
    ----------
    name
        ``one_cycle``: a warm-up of a fifth of the steps, then a cosine to nearly 0, with the
        momentum against it; ``cosine``: a linear warm-up of a twentieth, then a cosine to 0;
        ``step``: the rate itself, a tenth of it after half of the steps, a hundredth after three
        quarters.
    optimizer
        Whose learning rate is `rate`.
    rate
        The highest learning rate.
    total
        Optimiser steps of the training.
    """
    if name == "one_cycle":
        # A fifth of five steps is a warm-up of no length, by which torch divides.
        warm_up = 0.4 if total == 5 else 0.2
        return OneCycleLR(optimizer, rate, total_steps=total, pct_start=warm_up)
    if name == "cosine":
        return LambdaLR(optimizer, lambda step: _cosine(step, total))
    if name == "step":
        return LambdaLR(optimizer, lambda step: _stepped(step, total))
    raise ValueError(f"schedule: got {name!r}; accepts one_cycle, cosine, step")


def _cosine(step: int, total: int) -> float:
    """The factor of a step: linear over the warm-up, then half a cosine that ends above 0.

    >>> [round(_cosine(step, 100), 3) for step in (0, 4, 5, 52, 99)]
    [0.2, 1.0, 1.0, 0.508, 0.0]
    """
    warm_up = int(WARM_UP * total)
    if step < warm_up:
        return (step + 1) / warm_up
    return (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up))) / 2


def _stepped(step: int, total: int) -> float:
    """The factor of a step: 1, a tenth, a hundredth.

    >>> [round(_stepped(step, 100), 2) for step in (0, 49, 50, 75)]
    [1.0, 1.0, 0.1, 0.01]
    """
    return STEP_FACTOR ** sum(step >= share * total for share in LOWERED_AT)

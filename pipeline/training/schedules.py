"""Schedules of the learning rate, by name: what a study chooses in `sweep.schedule`."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

__all__ = ["make_schedule"]

# Of all steps: a warm-up of the cosine, and when the steps of `step` come.
WARM_UP, STEPS, STEP_FACTOR = 0.05, (0.5, 0.75), 0.1


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
    return STEP_FACTOR ** sum(step >= share * total for share in STEPS)

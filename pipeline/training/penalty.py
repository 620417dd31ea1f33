"""Equivariance penalty: a network without ties is asked to answer alike to a turned image.

A second term of the loss, as in REMUL (Elhag et al. 2024, https://arxiv.org/abs/2410.17878). It
is called only where a configuration has one, so that a training without it draws nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline.training.augment import turned_at_random

__all__ = ["invariance_penalty", "passes", "with_penalty", "with_turned"]

SMALLEST_SPREAD = 1e-12


def passes(config: Mapping[str, Any]) -> int:
    """How many images go through the network for one image of a batch."""
    return 2 if config.get("penalty") else 1


def with_turned(
    images: Tensor,
    config: Mapping[str, Any],
    generator: torch.Generator,
    outside: float | str = 0,
) -> Tensor:
    """Return images and, below them, each of them turned.

    Each image is turned by its own random element of what ``penalty_turns`` names, and both go
    through the network in one batch: norms see the images and the turned ones.

    Parameters
    ----------
    images
        ``(batch, channels, height, width)``.
    config
        A configuration with ``penalty``, its weight, and ``penalty_turns``.
    generator
        Of the CPU, so that the turns are the same on every device.
    outside
        What enters from outside at any angle.
    """
    return torch.cat(
        [images, turned_at_random(images, config["penalty_turns"], generator, outside)]
    )


def with_penalty(logits: Tensor, config: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Return the logits of the images before `with_turned`, and the weighted penalty."""
    upright, moved = logits.chunk(2)
    return upright, config["penalty"] * invariance_penalty(upright, moved)


def invariance_penalty(logits: Tensor, moved: Tensor) -> Tensor:
    """``mean |z(L_s x) - z(x)|^2 / mean |z(x) - z(x')|^2``, over images and over pairs of them.

    0 is invariant, 1 is as different as another image. The ratio does not change with the scale of
    the logits, so that no network meets it by small ones. A single image has nothing to be compared
    with, and no penalty.

    Examples
    --------
    >>> z = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> invariance_penalty(z, z).item(), invariance_penalty(10 * z, 10 * z.flip(0)).item()
    (0.0, 2.0)
    """
    change = (moved - logits).square().sum(1).mean()
    if len(logits) < 2:
        return 0 * change
    spread = 2 * (logits - logits.mean(0)).square().sum(1).mean()
    return change / spread.clamp_min(SMALLEST_SPREAD)

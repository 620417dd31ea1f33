"""Augmentation: turn a batch of training images at random, differentiably, on its device."""

from __future__ import annotations

import torch
from torch import Tensor

from gsa_core import rotate_image
from pipeline.training.devices import to_device


def turned_at_random(
    images: Tensor, augment: str, generator: torch.Generator, outside: float | str = 0
) -> Tensor:
    """Turn each image of a batch about its centre by its own random angle.

    Parameters
    ----------
    images
        ``(batch, channels, height, width)``, square where quarter turns are asked for.
    augment
        ``none``; ``quarter``: a multiple of 90 degrees, which permutes the pixels; ``turn``: any
        angle, bilinear; ``turn_mirror``: any angle, and mirrored half of the time.
    generator
        Of the CPU, so that the angles are the same on every device.
    outside
        What enters from outside at any angle: a value, or ``edge``, the nearest pixel.

    Returns
    -------
    Tensor
        Same shape.
    """
    if augment == "none":
        return images
    count = len(images)
    if augment == "turn_mirror":
        mirrored = torch.rand(count, generator=generator) < 0.5
        mirrored = to_device(mirrored, images.device)[:, None, None, None]
        images = torch.where(mirrored, images.flip(-1), images)
    if augment in ("turn", "turn_mirror"):
        degrees = 360 * torch.rand(count, generator=generator, dtype=torch.float64)
        return rotate_image(images, to_device(degrees, images.device).to(images.dtype), outside)
    quarters = to_device(torch.randint(4, (count,), generator=generator), images.device)
    four = torch.stack([torch.rot90(images, k, (-2, -1)) for k in range(4)])
    return four[quarters, torch.arange(count, device=images.device)]

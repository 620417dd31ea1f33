"""Light augmentation, the same for every cell: shifts, crops and changes of colour.

It draws nothing for what is off, so that a study without it trains as it did before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.training.devices import to_device

__all__ = ["light_augmented"]


def light_augmented(
    images: Tensor, config: Mapping[str, Any], generator: torch.Generator, outside: float | str = 0
) -> Tensor:
    """Crop, shift and recolour each image of a batch by its own random amounts, in this order.

    Parameters
    ----------
    images
        ``(batch, channels, height, width)``, from 0 to 1.
    config
        A configuration. ``light_crop`` c: a window of 1 - c to 1 of the height and width, uniform
        in its side and place, is resized to the whole image, bilinear. ``light_shift`` s: -s to s
        whole pixels down and to the right. ``light_colour`` c: brightness, contrast about the
        image's mean and, of three channels, saturation, each times 1 - c to 1 + c; the result is
        cut off at 0 and 1. Missing or 0 is off.
    generator
        Of the CPU, so that the amounts are the same on every device.
    outside
        What a shift lets in: a value, or ``edge``, the nearest pixel.

    Returns
    -------
    Tensor
        Same shape.
    """
    if crop := config.get("light_crop", 0):
        images = _cropped(images, crop, generator)
    if shift := config.get("light_shift", 0):
        images = _shifted(images, shift, generator, outside)
    if colour := config.get("light_colour", 0):
        images = _recoloured(images, colour, generator)
    return images


def _cropped(images: Tensor, crop: float, generator: torch.Generator) -> Tensor:
    drawn = torch.rand(3, len(images), generator=generator, dtype=torch.float64)
    side = 1 - crop * drawn[0]
    # In coordinates from -1 to 1 the middle of a window moves within 1 - side of the image's.
    right, down = ((1 - side) * (2 * place - 1) for place in drawn[1:])
    zero = torch.zeros_like(side)
    rows = [torch.stack(row, 1) for row in ((side, zero, right), (zero, side, down))]
    windows = to_device(torch.stack(rows, 1), images.device).to(images.dtype)
    grid = functional.affine_grid(windows, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _shifted(
    images: Tensor, shift: int, generator: torch.Generator, outside: float | str
) -> Tensor:
    count, _, height, width = images.shape
    drawn = torch.randint(-shift, shift + 1, (2, count), generator=generator)
    drawn = to_device(drawn, images.device)
    rows, cols = (
        torch.arange(size, device=images.device) - by[:, None]
        for size, by in ((height, drawn[0]), (width, drawn[1]))
    )
    image = torch.arange(count, device=images.device)[:, None, None]
    near = rows.clamp(0, height - 1)[:, :, None], cols.clamp(0, width - 1)[:, None, :]
    moved = images[image, :, *near].movedim(-1, 1)
    if isinstance(outside, str):
        return moved
    inside = (rows >= 0) & (rows < height), (cols >= 0) & (cols < width)
    both = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return torch.where(both, moved, outside)


def _recoloured(images: Tensor, colour: float, generator: torch.Generator) -> Tensor:
    drawn = torch.rand(3, len(images), generator=generator, dtype=torch.float64)
    factors = to_device(1 + colour * (2 * drawn - 1), images.device)
    factors = factors.to(images.dtype)[..., None, None, None]
    images = images * factors[0]
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + factors[1] * (images - mean)
    if images.shape[1] == 3:
        grey = images.mean(1, keepdim=True)
        images = grey + factors[2] * (images - grey)
    return images.clamp(0, 1)

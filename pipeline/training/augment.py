"""Random changes of images: turns, also of fixed validation images, and a light augmentation.

Turns are an axis of a study and differentiable. The light augmentation (crops, shifts, changes of
colour) is the same for every cell. What is off draws nothing, so that a study without it trains as
it did before. All is computed on the device of the images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gsa_core import rotate_image
from pipeline.training.devices import to_device
from pipeline.training.inference import to_pixels

__all__ = ["TurnedImages", "Turns", "light_augmented", "turned_at_random"]


@dataclass(frozen=True)
class Turns:
    """What is drawn to turn each of a number of images: a mirror, and an angle or quarter turns.

    Drawn on the CPU, so that the turns are the same on every device; None where there are none.
    """

    mirrored: Tensor | None = None
    degrees: Tensor | None = None
    quarters: Tensor | None = None

    @classmethod
    def drawn(cls, count: int, augment: str, generator: torch.Generator) -> Turns:
        """Draw the turns of `count` images; `augment` as of `turned_at_random`."""
        if augment == "none":
            return cls()
        if augment == "quarter":
            return cls(quarters=torch.randint(4, (count,), generator=generator))
        mirrored = None
        if augment == "turn_mirror":
            mirrored = torch.rand(count, generator=generator) < 0.5
        return cls(mirrored, 360 * torch.rand(count, generator=generator, dtype=torch.float64))

    def __getitem__(self, some: slice) -> Turns:
        """Return the turns of some of the images."""
        found = (self.mirrored, self.degrees, self.quarters)
        return Turns(*(None if one is None else one[some] for one in found))

    def of(self, images: Tensor, outside: float | str = 0) -> Tensor:
        """Return the images turned; `outside` as of `turned_at_random`."""
        if self.mirrored is not None:
            mirrored = to_device(self.mirrored, images.device)[:, None, None, None]
            images = torch.where(mirrored, images.flip(-1), images)
        if self.degrees is not None:
            degrees = to_device(self.degrees, images.device).to(images.dtype)
            return rotate_image(images, degrees, outside)
        if self.quarters is None:
            return images
        quarters = to_device(self.quarters, images.device)
        four = torch.stack([torch.rot90(images, k, (-2, -1)) for k in range(4)])
        return four[quarters, torch.arange(len(images), device=images.device)]


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
    return Turns.drawn(len(images), augment, generator).of(images, outside)


class TurnedImages:
    """Images that are turned when they are asked for, each always by the same angle.

    Parameters
    ----------
    images
        ``(count, channels, height, width)``, as they are stored.
    augment, outside
        As of `turned_at_random`.
    device
        Where slices of them are wanted.
    seed
        Of the angles.
    """

    def __init__(
        self,
        images: np.ndarray | Tensor,
        augment: str,
        outside: float | str = 0,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        self.images, self.outside, self.device = images, outside, device
        self.turns = Turns.drawn(len(images), augment, torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, some: slice) -> Tensor:
        """Return some of the turned images as numbers from 0 to 1."""
        return self.turns[some].of(to_pixels(self.images[some], self.device), self.outside)


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

"""Turns of images, each by its own random angle: of training batches, and of fixed validation ones.

Differentiable, on the device of the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gsa_core import rotate_image
from pipeline.training.devices import to_device
from pipeline.training.inference import to_pixels

__all__ = ["TurnedImages", "Turns", "turned_at_random"]


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

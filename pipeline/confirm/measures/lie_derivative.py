"""The local error of a network under infinitesimal turns and shifts: its Lie derivative.

For logits f that should not change, ``L f(x) = d/dt f(g_t x)`` at t = 0, the derivative of f along
the tangent of the image's own movement (Gruver et al. 2023, their local measure). What is reported
is the mean of ``|L f|^2 / classes`` over images, divided by the variance of the logits over images:
scaling the logits changes nothing, and a constant network has no value instead of a perfect one.

A secondary measure: it sees neither quarter turns nor mirrors.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from gsa_core import rotate_image, shift_image

STEP = 1e-3  # radians or pixels; bilinear sampling is linear on either side of 0
BATCH = 8  # the plain attention kernel holds all scores, in float64 and with their derivatives
Movement = Callable[[Tensor, float], Tensor]


def _turn(images: Tensor, radians: float) -> Tensor:
    return rotate_image(images, math.degrees(radians))


def _shift(rows: int, cols: int) -> Movement:
    """Move by a fraction of a pixel, linearly between its neighbours."""

    def moved(images: Tensor, pixels: float) -> Tensor:
        sign = 1 if pixels >= 0 else -1
        whole = shift_image(images, sign * rows, sign * cols)
        return (1 - abs(pixels)) * images + abs(pixels) * whole

    return moved


# One radian, one pixel down, one pixel to the right.
MOVEMENTS: dict[str, tuple[Movement, ...]] = {
    "rotation": (_turn,),
    "translation": (_shift(1, 0), _shift(0, 1)),
}


def lie_errors(model: nn.Module, images: Tensor, background: float = 0) -> dict[str, float]:
    """Return the normalised error of each movement and the floor of the resampler.

    Parameters
    ----------
    model
        A network in evaluation mode; a copy of it works in float64, with the plain attention
        kernel, since fused ones have no forward derivative.
    images
        Images ``(batch, channels, height, width)`` from 0 to 1.
    background
        The value outside of an image, into which its border fades.

    Returns
    -------
    dict
        ``lie_rotation lie_rotation_se lie_rotation_floor`` and the same of ``lie_translation``:
        the error, its standard error over images, and what an identity map would be charged: an
        image moved by a step and back, bilinearly, is not the image; the change a step, squared,
        over the variance of the images.
    """
    double = copy.deepcopy(model).double().eval()
    device = next(double.parameters()).device
    x = images.to(device, torch.float64) - background  # outside is zero
    x = x * disc(*x.shape[-2:]).to(x)
    found: dict[str, float] = {}

    def logits_at(part: Tensor) -> Tensor:
        found: Tensor = double(part + background)
        return found

    with sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        logits = torch.cat([logits_at(part) for part in x.split(BATCH)])
        for name, movements in MOVEMENTS.items():
            changes = [_derivative(logits_at, x, move) for move in movements]
            back = [(move(move(x, STEP), -STEP) - x) / STEP for move in movements]
            key = f"lie_{name}"
            found[key], found[f"{key}_se"] = _normalised(changes, logits)
            found[f"{key}_floor"], _ = _normalised(back, x)
    return found


def tangent(images: Tensor, move: Movement, step: float = STEP) -> Tensor:
    """Derivative of the moved image at 0, by central differences."""
    return (move(images, step) - move(images, -step)) / (2 * step)


def disc(height: int, width: int) -> Tensor:
    """A mask that falls smoothly from 1 to 0 between 0.7 and 1 of the radius that fits.

    What the border would cut off is not there to be cut off.
    """
    rows, cols = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in (height, width))
    radius = (rows[:, None] ** 2 + cols[None, :] ** 2).sqrt() / (min(height, width) / 2)
    fall = ((radius - 0.7) / 0.3).clamp(0, 1)
    return 0.5 + 0.5 * torch.cos(math.pi * fall)


def _derivative(model: Callable[[Tensor], Tensor], x: Tensor, move: Movement) -> Tensor:
    """Derivative of the logits along the movement of the images, a few images at a time."""
    parts = zip(x.split(BATCH), tangent(x, move).split(BATCH), strict=True)
    return torch.cat([torch.func.jvp(model, (part,), (along,))[1] for part, along in parts])


def _normalised(changes: list[Tensor], values: Tensor) -> tuple[float, float]:
    """Mean squared change over the variance over images, with its standard error over images.

    Changes and variance are averaged over components, changes over movements too.
    """
    variance = values.flatten(1).var(0, unbiased=False).mean()
    if not variance > 0:
        return math.nan, math.nan
    squares = torch.stack([change.flatten(1).square().mean(1) for change in changes]).mean(0)
    error = (squares.std() / math.sqrt(len(squares)) / variance).item()
    return (squares.mean() / variance).item(), error

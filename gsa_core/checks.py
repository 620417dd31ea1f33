"""What arguments must be: each check names the argument, what it got and what it accepts."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from torch import Tensor

__all__ = [
    "check_choice",
    "check_number",
    "check_odd",
    "check_shape",
    "check_sides",
    "check_whole",
]


def check_whole(name: str, got: object, least: int = 1) -> None:
    """An integer of at least `least`."""
    if isinstance(got, bool) or not isinstance(got, int):
        raise TypeError(f"{name}: got {got!r}; accepts an integer >= {least}")
    if got < least:
        raise ValueError(f"{name}: got {got}; accepts an integer >= {least}")


def check_odd(name: str, got: object) -> None:
    """An odd number of pixels."""
    if isinstance(got, bool) or not isinstance(got, int):
        raise TypeError(f"{name}: got {got!r}; accepts odd numbers of pixels")
    if got < 1 or got % 2 == 0:
        raise ValueError(f"{name}: got {got}; accepts odd numbers of pixels")


def check_number(name: str, got: float, accepts: str, *, low: float, high: float) -> None:
    """A finite number with ``low <= got <= high``, described by `accepts`."""
    if isinstance(got, bool) or not isinstance(got, int | float):
        raise TypeError(f"{name}: got {got!r}; accepts {accepts}")
    if not (math.isfinite(got) and low <= got <= high):
        raise ValueError(f"{name}: got {got}; accepts {accepts}")


def check_sides(name: str, got: object) -> tuple[int, int]:
    """A side of a square in pixels, or ``(height, width)``; returns both."""
    sides = (got, got) if isinstance(got, int) else got
    if isinstance(sides, Sequence) and len(sides) == 2:
        height, width = sides
        if isinstance(height, int) and isinstance(width, int) and min(height, width) > 0:
            return height, width
    raise ValueError(f"{name}: got {got!r}; accepts a number of pixels, or (height, width)")


def check_choice(name: str, got: object, accepted: Collection[str]) -> None:
    """One of a few words."""
    if got not in accepted:
        raise ValueError(f"{name}: got {got!r}; accepts {', '.join(map(repr, accepted))}")


def check_shape(name: str, got: Tensor, *axes: int | str) -> None:
    """A tensor of these axes: a number is a size, a word stands for any.

    >>> import torch
    >>> check_shape("image", torch.zeros(2, 3, 9, 9), "batch", 1, "height", "width")
    Traceback (most recent call last):
    ValueError: image: got (2, 3, 9, 9); accepts (batch, 1, height, width)
    """
    sizes = got.shape
    if len(sizes) == len(axes) and all(
        isinstance(axis, str) or axis == size for axis, size in zip(axes, sizes, strict=True)
    ):
        return
    raise ValueError(f"{name}: got {tuple(sizes)}; accepts ({', '.join(map(str, axes))})")

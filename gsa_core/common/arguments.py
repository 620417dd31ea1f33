"""What arguments must be: each check names the argument, what it got and what it accepts.

Whole numbers and numbers may be those of numpy; each check returns the value as Python has it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from torch import Tensor

__all__ = [
    "check_choice",
    "check_flag",
    "check_number",
    "check_numbers",
    "check_odd",
    "check_shape",
    "check_sides",
    "check_tensor",
    "check_whole",
    "plain",
]


def check_whole(name: str, got: object, least: int | None = 1) -> int:
    """An integer, of at least `least`."""
    accepts = "an integer" if least is None else f"an integer >= {least}"
    whole = _whole(got)
    if whole is None:
        raise TypeError(f"{name}: got {got!r}; accepts {accepts}")
    if least is not None and whole < least:
        raise ValueError(f"{name}: got {whole}; accepts {accepts}")
    return whole


def check_odd(name: str, got: object) -> int:
    """An odd number of pixels."""
    whole = _whole(got)
    if whole is None:
        raise TypeError(f"{name}: got {got!r}; accepts odd numbers of pixels")
    if whole < 1 or whole % 2 == 0:
        raise ValueError(f"{name}: got {whole}; accepts odd numbers of pixels")
    return whole


def check_number(name: str, got: object, accepts: str, *, low: float, high: float) -> float:
    """A finite number with ``low <= got <= high``, described by `accepts`."""
    got = got.item() if isinstance(got, np.ndarray) and got.ndim == 0 else got
    if isinstance(got, bool) or not isinstance(got, Real):
        raise TypeError(f"{name}: got {got!r}; accepts {accepts}")
    number = int(got) if isinstance(got, Integral) else float(got)
    if not (math.isfinite(number) and low <= number <= high):
        raise ValueError(f"{name}: got {got}; accepts {accepts}")
    return number


def check_numbers(
    name: str, got: object, count: int, accepts: str, *, low: float = -math.inf
) -> list[float]:
    """One number or `count` of them, each finite and at least `low`; returns `count`."""
    values = got
    if isinstance(got, np.ndarray | Tensor):
        values = got.flatten().tolist()
    if not isinstance(values, Sequence) or isinstance(values, str):
        values = [values]
    numbers = [check_number(name, x, accepts, low=low, high=math.inf) for x in values]
    if len(numbers) not in (1, count):
        raise ValueError(f"{name}: got {len(numbers)} values; accepts 1 or in_channels ({count})")
    return numbers * (count // len(numbers))


def check_flag(name: str, got: object) -> bool:
    """True or false."""
    if not isinstance(got, bool | np.bool_):
        raise TypeError(f"{name}: got {got!r}; accepts True or False")
    return bool(got)


def check_sides(name: str, got: object) -> tuple[int, int]:
    """A side of a square in pixels, or ``(height, width)``; returns both."""
    sides = got.tolist() if isinstance(got, np.ndarray) else got
    sides = (sides, sides) if _whole(sides) is not None else sides
    if isinstance(sides, Sequence) and len(sides) == 2:
        height, width = map(_whole, sides)
        if height is not None and width is not None and min(height, width) > 0:
            return height, width
    raise ValueError(f"{name}: got {got!r}; accepts a number of pixels, or (height, width)")


def check_choice(name: str, got: object, accepted: Collection[str]) -> None:
    """One of a few words."""
    if not isinstance(got, str) or got not in accepted:
        raise ValueError(f"{name}: got {got!r}; accepts {', '.join(map(repr, accepted))}")


def check_tensor(name: str, got: object) -> None:
    """A tensor of torch, not an array of numpy."""
    if not isinstance(got, Tensor):
        raise TypeError(
            f"{name}: got a {type(got).__name__}; accepts a torch.Tensor, such as "
            "torch.from_numpy(array)"
        )


def check_shape(name: str, got: Tensor, *axes: int | str) -> None:
    """A tensor of these axes: a number is a size, a word stands for any from 1, ``batch`` from 0.

    >>> import torch
    >>> check_shape("image", torch.zeros(2, 3, 9, 9), "batch", 1, "height", "width")
    Traceback (most recent call last):
    ValueError: image: got (2, 3, 9, 9); accepts (batch, 1, height, width)
    """
    check_tensor(name, got)
    sizes = got.shape
    accepted = f"{name}: got {tuple(sizes)}; accepts ({', '.join(map(str, axes))})"
    if len(sizes) != len(axes):
        raise ValueError(accepted)
    for axis, size in zip(axes, sizes, strict=True):
        if axis != size and not isinstance(axis, str):
            raise ValueError(accepted)
        if size == 0 and axis not in ("batch", 0):
            raise ValueError(f"{accepted} with a {axis} of at least 1")


def plain(value: Any) -> Any:
    """A value as JSON has it: numbers of numpy, tuples and arrays become Python's own.

    >>> plain({"mean": np.array([0.5]), "image_size": (28, np.int64(28))})
    {'mean': [0.5], 'image_size': [28, 28]}
    """
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic | Tensor):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _whole(got: object) -> int | None:
    """A whole number as an int; None for anything else, true and false among it."""
    got = got.item() if isinstance(got, np.ndarray) and got.ndim == 0 else got
    return int(got) if isinstance(got, Integral) and not isinstance(got, bool) else None

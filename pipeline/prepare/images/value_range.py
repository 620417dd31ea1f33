"""From stored values to 0 to 1: which value is white, and what lies behind what is transparent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "Look",
    "Stored",
    "bounds_of",
    "is_ink",
    "look",
    "rounded_outside",
    "to_channels",
    "to_unit",
    "visible",
    "white_of",
]

# Largest values of 8, 10, 12, 14 and 16 bits.
WHITES = (255, 1023, 4095, 16383, 65535)
# How far outside 0 to 1 arithmetic may have taken a float: of float16 a step beyond 1.
_ROUNDING = 1e-5
# Black ink stays below this part of white wherever it can be seen.
_INK = 1 / 8
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601, as Pillow has it


@dataclass(frozen=True)
class Stored:
    """An image as its file has it.

    Attributes
    ----------
    values
        ``(height, width, channels)``, integers of any type or floats.
    alpha
        ``(height, width, 1)``, float32 from 0 to 1, or None.
    premultiplied
        Whether values are multiplied by alpha.
    white_is_zero
        Whether the least value is white.
    """

    values: np.ndarray
    alpha: np.ndarray | None = None
    premultiplied: bool = False
    white_is_zero: bool = False


@dataclass(frozen=True)
class Look:
    """What the choices for a whole data set need to know of one image.

    Attributes
    ----------
    dtype
        Of its values.
    largest
        The largest value of an integer image of more than 8 bits, else 0.
    visible
        Of an image with transparent parts, the largest value that can be seen; else None.
    outside
        How far a rounding error takes floats outside 0 to 1, else 0.
    """

    dtype: np.dtype
    largest: int = 0
    visible: float | None = None
    outside: float = 0


def look(stored: Stored) -> Look:
    """Return what the choices for a whole data set need to know of an image."""
    values = stored.values
    least, most = values.min(), values.max()
    usable = values.dtype.kind in "iu" and 0 <= least < most <= WHITES[-1]
    largest = int(most) if usable and values.dtype != np.uint8 else 0
    clear = stored.alpha is not None and bool(stored.alpha.min() < 1)
    seen = visible(stored) if clear else None
    return Look(values.dtype, largest, seen, rounded_outside(values))


def rounded_outside(values: np.ndarray) -> float:
    """Return how far a rounding error takes floats outside 0 to 1; 0 where they are further off.

    Examples
    --------
    >>> rounded_outside(np.array([0, 1 + 1e-6])) > 0, rounded_outside(np.array([0, 1.01]))
    (True, 0.0)
    """
    if values.dtype.kind != "f":
        return 0.0
    outside = max(float(values.max()) - 1, -float(values.min()))
    most = max(_ROUNDING, float(np.finfo(values.dtype).eps))
    return outside if 0 < outside <= most else 0.0


def visible(stored: Stored) -> float:
    """Return the largest value of what can be seen of an image with transparent parts."""
    assert stored.alpha is not None
    values = stored.values.max() - stored.values if stored.white_is_zero else stored.values
    return float((stored.alpha * values).max())


def is_ink(largest: float, bounds: tuple[float, float]) -> bool:
    """Tell whether the largest value that can be seen is black, or almost."""
    low, high = bounds
    return largest - low < _INK * (high - low)


def white_of(largest: int) -> int:
    """Return the least plausible white that is not below the largest value.

    Examples
    --------
    >>> white_of(16), white_of(300), white_of(4080), white_of(60_000)
    (255, 1023, 4095, 65535)
    """
    return next((white for white in WHITES if largest <= white), WHITES[-1])


def bounds_of(
    dtype: np.dtype, value_range: str | tuple[float, float], white: int = WHITES[-1]
) -> tuple[float, float]:
    """Return which stored values of a type become 0 and 1.

    Parameters
    ----------
    dtype
        Of the values.
    value_range
        Both bounds, where they are declared.
    white
        Of integers of more than 8 bits, where nothing is declared.
    """
    if not isinstance(value_range, str):
        return value_range
    if dtype.kind == "f":
        return 0, 1
    return 0, 255 if dtype == np.uint8 else white


def to_unit(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """Map bounds to 0 and 1, float32.

    Raises
    ------
    ValueError
        For a value outside the bounds.
    """
    low, high = bounds
    least, most = values.min(), values.max()
    if not (least >= low and most <= high):  # not a number fails too
        raise ValueError(
            f"has values from {_plain(least)} to {_plain(most)}, which is not {_plain(low)} to "
            f"{_plain(high)}: declare what is black and what is white by value_range: [low, high]"
        )
    # What 16 bits hold is exact in float32.
    exact = values.dtype.itemsize <= 2 or values.dtype == np.float32
    found: Any = values.astype(np.float32 if exact else np.float64)
    if bounds != (0, 1):
        found -= low
        found /= high - low
    unit: np.ndarray = found.astype(np.float32, copy=False)
    return unit


def to_channels(values: np.ndarray, channels: int) -> np.ndarray:
    """Make grey of red, green and blue, or three channels of grey; channels are last."""
    if values.shape[2] == channels:
        return values
    if channels == 3:
        return np.repeat(values, 3, axis=2)
    grey = (values.astype(np.float32) @ _LUMA)[:, :, None]
    return np.rint(grey).astype(np.uint8) if values.dtype == np.uint8 else grey


def _plain(value: float | np.generic) -> str:
    """The shortest text that stands for a number and for no other of its type."""
    return str(value).removesuffix(".0")

"""Map stored values to 0 to 1, and summarise images for the choice of white and background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# Largest values of 8, 10, 12, 14 and 16 bits.
WHITES = (255, 1023, 4095, 16383, 65535)
# Largest rounding error of floats outside 0 to 1; for float16 a step beyond 1.
_ROUNDING = 1e-5
# Visible values below this fraction of white count as black.
_BLACK = 1 / 8
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601, as Pillow has it


@dataclass(frozen=True)
class StoredImage:
    """The stored values of an image file.

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
class ImageSummary:
    """What `Survey` needs of one image to choose for a whole data set.

    Attributes
    ----------
    dtype
        Of its values.
    largest
        The largest value of an integer image of more than 8 bits, else 0.
    visible
        Of an image with transparent parts, the largest value that can be seen; else None.
    outside
        By how much a rounding error takes floats outside 0 to 1, else 0.
    """

    dtype: np.dtype
    largest: int = 0
    visible: float | None = None
    outside: float = 0


def summarise(stored: StoredImage) -> ImageSummary:
    """Return what `Survey` needs of an image."""
    values = stored.values
    least, most = values.min(), values.max()
    usable = values.dtype.kind in "iu" and 0 <= least < most <= WHITES[-1]
    largest = int(most) if usable and values.dtype != np.uint8 else 0
    clear = stored.alpha is not None and bool(stored.alpha.min() < 1)
    seen = visible(stored) if clear else None
    return ImageSummary(values.dtype, largest, seen, rounded_outside(values))


def rounded_outside(values: np.ndarray) -> float:
    """Return by how much rounding takes floats outside 0 to 1; 0 for larger excesses.

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


def visible(stored: StoredImage) -> float:
    """Return the largest visible value of an image with transparent parts."""
    assert stored.alpha is not None
    values = stored.values.max() - stored.values if stored.white_is_zero else stored.values
    return float((stored.alpha * values).max())


def is_black(largest: float, bounds: tuple[float, float]) -> bool:
    """Whether the largest visible value is black, or almost."""
    low, high = bounds
    return largest - low < _BLACK * (high - low)


def white_level(largest: int) -> int:
    """Return the smallest usual white value that is not below the largest value.

    Examples
    --------
    >>> white_level(16), white_level(300), white_level(4080), white_level(60_000)
    (255, 1023, 4095, 65535)
    """
    return next((white for white in WHITES if largest <= white), WHITES[-1])


def value_bounds(
    dtype: np.dtype, value_range: str | tuple[float, float], white: int = WHITES[-1]
) -> tuple[float, float]:
    """Return the stored values that become 0 and 1.

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
    """Convert RGB to grey, or grey to three channels; channels are last."""
    if values.shape[2] == channels:
        return values
    if channels == 3:
        return np.repeat(values, 3, axis=2)
    grey = (values.astype(np.float32) @ _LUMA)[:, :, None]
    return np.rint(grey).astype(np.uint8) if values.dtype == np.uint8 else grey


def _plain(value: float | np.generic) -> str:
    """The shortest text that identifies a number of its type."""
    return str(value).removesuffix(".0")

"""Resize an image of any proportions to a square, or to a rectangle in the middle of a square."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pipeline.prepare.images.value_range import rounded_outside, to_unit, value_bounds

if TYPE_CHECKING:
    from pipeline.prepare.survey import Survey


@dataclass(frozen=True)
class Target:
    """Size, type and values that every image is converted to.

    Attributes
    ----------
    size
        Height and width in pixels.
    rectangle
        Height and width of the image in the middle of the square, if it does not fill it;
        ``pad_value`` is around it.
    fit
        How other proportions become a square: ``resize`` stretches, ``crop`` fits the short side
        and cuts the middle out, ``pad`` fits the long side and adds ``pad_value`` around.
    channels
        1, grey, 3, red, green and blue, or any number of an array's own.
    dtype
        ``uint8``, or ``float32`` from 0 to 1, which keeps the depth of 16-bit images.
    value_range
        Which stored values become black and white: ``type``, those of the type; two numbers; or
        ``auto``, as the survey found for all images (without one, as ``type``).
    background
        What lies behind transparent parts: ``black``, ``white``, or ``auto``, as the survey found
        (without one, as the image itself has it).
    pad_value
        A number of the target's dtype, or ``edge``, the nearest pixel.
    survey
        Chooses what ``auto`` leaves open.
    """

    size: int
    fit: str
    channels: int
    dtype: str = "uint8"
    value_range: str | tuple[float, float] = "type"
    background: str = "auto"
    pad_value: str | float = 0
    rectangle: tuple[int, int] | None = None
    survey: Survey | None = field(default=None, repr=False, compare=False)

    def bounds(self, dtype: np.dtype) -> tuple[float, float]:
        """Return which stored values of a type become 0 and 1."""
        high_depth = dtype.kind != "f" and dtype != np.uint8
        if high_depth and self.value_range == "auto" and self.survey is not None:
            return 0, self.survey.white_level()
        return value_bounds(dtype, self.value_range)

    def unit(self, values: np.ndarray) -> np.ndarray:
        """Map stored values to 0 to 1, float32; ``auto`` clips rounding errors of floats.

        Raises
        ------
        ValueError
            For a value outside the bounds.
        """
        if self.value_range == "auto" and rounded_outside(values):
            if self.survey is not None:
                self.survey.count_rounded()
            values = values.clip(0, 1)
        return to_unit(values, self.bounds(values.dtype))


def fit_array(values: np.ndarray, target: Target) -> np.ndarray:
    """Return ``(channels, size, size)`` of the target's type.

    Parameters
    ----------
    values
        ``(height, width, channels)``, uint8, or float32 from 0 to 1.
    target
        Size, type and channels of the result.
    """
    planes = values.transpose(2, 0, 1)
    sides = target.rectangle or (target.size, target.size)
    if planes.shape[1:] != sides:
        planes = _fitted(planes, sides, target)
    if sides != (target.size, target.size):
        planes = _framed(planes, (target.size, target.size), target)
    if target.dtype == "float32":
        planes = planes.astype(np.float32) / 255 if planes.dtype == np.uint8 else planes.clip(0, 1)
    elif planes.dtype != np.uint8:
        planes = np.rint(planes.clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(planes)


def refuse_constant(values: np.ndarray, stored: np.ndarray | None = None) -> None:
    """Refuse a blank image, whose pixels all have the same value, or the same colour.

    Parameters
    ----------
    values
        ``(height, width, channels)``.
    stored
        The same image as the user has it, for the message; without channels if it has one.

    Raises
    ------
    ValueError
        Naming the value, or that of each channel.
    """
    first = values[0, 0]
    if (values[::8, ::8] != first).any() or (values != first).any():  # mostly decided by a few
        return
    pixel = np.atleast_1d((values if stored is None else stored)[0, 0])
    colour = [f"{float(value):g}" for value in pixel]
    said = colour[0] if len(set(colour)) == 1 else f"({', '.join(colour)})"
    raise ValueError(f"is constant: every pixel is {said}")


def _fitted(planes: np.ndarray, sides: tuple[int, int], target: Target) -> np.ndarray:
    """Resize an image to both sides, as `Target.fit` says."""
    (rows, columns), (height, width) = sides, planes.shape[1:]
    if target.fit == "crop":
        kept = (
            min(height, round(width * rows / columns)),
            min(width, round(height * columns / rows)),
        )
        top, left = (height - kept[0]) // 2, (width - kept[1]) // 2
        planes = planes[:, top : top + max(kept[0], 1), left : left + max(kept[1], 1)]
    if target.fit in ("crop", "resize"):
        return _resized(planes, rows, columns)
    if height * columns >= width * rows:
        columns = max(1, round(rows * width / height))
    else:
        rows = max(1, round(columns * height / width))
    return _framed(_resized(planes, rows, columns), sides, target)


def _framed(planes: np.ndarray, sides: tuple[int, int], target: Target) -> np.ndarray:
    """Put an image into the middle of a larger one."""
    (height, width), (rows, columns) = sides, planes.shape[1:]
    top, left = (height - rows) // 2, (width - columns) // 2
    if isinstance(target.pad_value, str):
        around = ((0, 0), (top, height - rows - top), (left, width - columns - left))
        return np.pad(planes, around, mode="edge")
    value = target.pad_value / (255 if target.dtype == "uint8" else 1)
    frame = round(255 * value) if planes.dtype == np.uint8 else value
    framed = np.full((len(planes), height, width), frame, dtype=planes.dtype)
    framed[:, top : top + rows, left : left + columns] = planes
    return framed


def _resized(planes: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Bilinear, with antialiasing."""
    if planes.shape[1:] == (rows, columns):
        return planes
    import torch  # twice as fast as Pillow, from which it differs by a grey level at most

    # Torch warns of arrays that may not be written to, as those of mapped files.
    given = torch.from_numpy(planes if planes.flags.writeable else planes.copy())[None]
    found = torch.nn.functional.interpolate(
        given, (rows, columns), mode="bilinear", antialias=True, align_corners=False
    )
    return found[0].numpy()

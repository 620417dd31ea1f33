"""Draw pictures of a data set: samples of each class, upright and turned, and class means."""

from __future__ import annotations

import io
import textwrap
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.common.files import write_bytes
from pipeline.dataset.turning import shrink, turn
from pipeline.study.source import Source

_ROWS = 3  # samples a class
SHOWN = 20  # classes shown at most
_LETTERS = 12  # of a class's name
_GREY = 153
# Lengths in pixels.
_CELL, _IMAGE = 82, 72  # of a class's column, and of the longer side of an image in it
_LARGE_CELL, _LARGE_IMAGE = 176, 160
_NARROWEST = 550
_NAME, _ANGLE, _TITLE, _MARGIN = 12, 10, 17, 8  # heights of letters; space around them


def write_pictures(
    source: Source,
    test: tuple[np.ndarray, np.ndarray, np.ndarray],
    degrees: np.ndarray,
    factor: int,
    means: np.ndarray,
    background: float | str,
    folder: Path,
) -> None:
    """Write two pictures: test images upright and turned, and mean training images.

    Parameters
    ----------
    source
        The data set.
    test
        All images, the indices of the test images among them, and their labels.
    degrees
        By which each test image is turned.
    factor
        By which images are made smaller.
    means
        Of the training images of each class that is shown.
    background
        What enters turned images from outside.
    folder
        Where the pictures are put.
    """
    images, indices, labels = test
    names = list(source.class_names) or [f"class {label}" for label in range(source.classes)]
    samples = _samples(labels, source.classes)
    places = np.concatenate(samples)
    ends = np.cumsum([0, *map(len, samples)])
    upright = images[indices[places]]
    sheet = contact_sheet(
        f"{source.name}: test images upright and, below each, the same turned anticlockwise",
        shrink(upright, factor),
        shrink(turn(upright, degrees[places], background), factor),
        degrees[places],
        [np.arange(start, end) for start, end in pairwise(ends)],
        names,
    )
    write_bytes(folder / "samples.png", sheet)
    title = f"{source.name}: mean training image of each class"
    write_bytes(folder / "class_means.png", class_means_sheet(title, means, names))


def _samples(labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """Return the indices of the first images of each class that is shown."""
    shown = range(min(classes, SHOWN))
    return [np.flatnonzero(labels == label)[:_ROWS] for label in shown]


def contact_sheet(
    title: str,
    upright: np.ndarray,
    turned: np.ndarray,
    degrees: np.ndarray,
    samples: list[np.ndarray],
    names: list[str],
) -> bytes:
    """Return a PNG: a column a class, each sample above its turned version and angle.

    Parameters
    ----------
    title
        What is shown.
    upright, turned
        The test images before and after turning, ``(count, channels, height, width)``.
    degrees
        ``(count,)``.
    samples
        Of each class, which images are shown.
    names
        Of each class.
    """
    row = 2 * _CELL + 2 * _ANGLE
    sheet = _Sheet(title, len(samples) * _CELL, 2 * _NAME + _ROWS * row)
    for column, places in enumerate(samples):
        left = sheet.left + column * _CELL
        sheet.text(left + _CELL // 2, sheet.top, _short(names[column], _LETTERS), _NAME)
        for place, index in enumerate(places.tolist()):
            top = sheet.top + 2 * _NAME + place * row
            sheet.image(left, top, _CELL, _IMAGE, upright[index])
            angle_at = top + _CELL
            sheet.text(left + _CELL // 2, angle_at, f"{degrees[index]:.0f}°", _ANGLE)
            sheet.image(left, angle_at + 2 * _ANGLE - _MARGIN, _CELL, _IMAGE, turned[index])
    return sheet.png()


def class_means_sheet(title: str, means: np.ndarray, names: list[str]) -> bytes:
    """Return a PNG of the mean image of each class.

    Parameters
    ----------
    title
        What is shown.
    means
        ``(classes, channels, height, width)``, on 0 to 1.
    names
        Of each class.
    """
    columns = min(len(means), SHOWN)
    sheet = _Sheet(title, columns * _CELL, 2 * _NAME + _CELL)
    for column, (mean, name) in enumerate(zip(means[:columns], names, strict=False)):
        left = sheet.left + column * _CELL
        sheet.text(left + _CELL // 2, sheet.top, _short(name, _LETTERS), _NAME)
        sheet.image(left, sheet.top + 2 * _NAME, _CELL, _IMAGE, mean)
    return sheet.png()


def class_examples(title: str, images: list[np.ndarray], names: list[str]) -> bytes:
    """Return a PNG with one image of each class, eight in a row.

    Parameters
    ----------
    title
        What is shown.
    images
        Each ``(channels, height, width)``.
    names
        The text above each image; the first line is shortened.
    """
    columns = min(len(images), 8)
    lines = max(name.count("\n") for name in names) + 1
    row = _LARGE_CELL + lines * (_NAME + 4) + _MARGIN
    sheet = _Sheet(title, columns * _LARGE_CELL, -(-len(images) // columns) * row)
    for place, (image, name) in enumerate(zip(images, names, strict=False)):
        left = sheet.left + place % columns * _LARGE_CELL
        top = sheet.top + place // columns * row
        first, *others = name.split("\n")
        for line, text in enumerate([_short(first, 20), *others]):
            sheet.text(left + _LARGE_CELL // 2, top + line * (_NAME + 4), text, _NAME)
        sheet.image(left, top + row - _LARGE_CELL, _LARGE_CELL, _LARGE_IMAGE, image, edge=True)
    return sheet.png()


class _Sheet:
    """White paper with a title, which is wrapped to its width.

    Parameters
    ----------
    title
        Written at the top.
    width, height
        Of what comes below it.
    """

    def __init__(self, title: str, width: int, height: int) -> None:
        full = max(width, _NARROWEST) + 2 * _MARGIN
        lines = _wrapped(title, full - 2 * _MARGIN)
        self.left = (full - width) // 2
        self.top = 2 * _MARGIN + len(lines) * (_TITLE + 4)
        self.paper = Image.new("RGB", (full, self.top + height + _MARGIN), "white")
        self.draw = ImageDraw.Draw(self.paper)
        for number, line in enumerate(lines):
            self.text(full // 2, _MARGIN + number * (_TITLE + 4), line, _TITLE)

    def text(self, middle: int, top: int, text: str, size: int) -> None:
        """Write a line; letters that the font does not have become boxes."""
        self.draw.text((middle, top), text, fill="black", font=_font(size), anchor="ma")

    def image(
        self, left: int, top: int, cell: int, size: int, pixels: np.ndarray, edge: bool = False
    ) -> None:
        """Draw an image in the middle of a square cell, with square pixels.

        Of more than three channels the first three are shown, of two the first. An `edge` shows
        where an image with a white background ends.
        """
        if pixels.dtype != np.uint8:
            shown = np.nan_to_num(pixels, nan=1.0).clip(0, 1)  # the mean of no image is white
            pixels = (255 * shown).round().astype(np.uint8)
        channels = pixels[:1].repeat(3, 0) if len(pixels) < 3 else pixels[:3]
        drawn = Image.fromarray(np.ascontiguousarray(channels.transpose(1, 2, 0)))
        scale = size / max(drawn.size)
        width, height = (max(round(scale * side), 1) for side in drawn.size)
        x, y = left + (cell - width) // 2, top + (cell - height) // 2
        self.paper.paste(drawn.resize((width, height), Image.Resampling.NEAREST), (x, y))
        if edge:
            corners = (x - 1, y - 1, x + width, y + height)
            self.draw.rectangle(corners, outline=(_GREY, _GREY, _GREY))

    def png(self) -> bytes:
        """Return the file; equal pictures are equal files."""
        buffer = io.BytesIO()
        self.paper.save(buffer, format="png")
        return buffer.getvalue()


def _wrapped(title: str, width: int) -> list[str]:
    """Break a title into lines of at most so many pixels."""
    for letters in range(len(title), 1, -1):
        lines = textwrap.wrap(title, letters)
        if all(_font(_TITLE).getlength(line) <= width for line in lines):
            return lines
    return [title]


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Open the font of matplotlib, which has many alphabets, without importing matplotlib."""
    spec = find_spec("matplotlib")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent / "mpl-data/fonts/ttf"
    return ImageFont.truetype(folder / "DejaVuSans.ttf", size)


def _short(name: str, letters: int) -> str:
    return name if len(name) <= letters else name[: letters - 1] + "…"

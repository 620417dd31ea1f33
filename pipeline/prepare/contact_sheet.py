"""Draw pictures of a data set: samples of each class, upright and turned, and class means."""

from __future__ import annotations

import io
import textwrap
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.common.files import write_bytes
from pipeline.dataset.turning import shrink, turn
from pipeline.study.datasets import Source

_ROWS = 3  # samples a class
SHOWN = 20  # classes shown at most
_LETTERS = 12  # of a class's name
_EDGE = "0.6"  # grey
_PER_INCH = 11  # letters of a title


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
    columns = len(samples)
    figure = Figure(
        figsize=(_width(columns), 0.82 * 2 * _ROWS + 0.6), dpi=110, layout="constrained"
    )
    _title(figure, title)
    axes = figure.subplots(2 * _ROWS, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for column, places in enumerate(samples):
        for row, index in enumerate(places.tolist()):
            _draw(axes[2 * row, column], upright[index])
            _draw(axes[2 * row + 1, column], turned[index])
            axes[2 * row + 1, column].set_title(f"{degrees[index]:.0f}°", fontsize=7, pad=2)
        _name(axes[0, column], names[column])
    return _png(figure)


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
    figure = Figure(figsize=(_width(columns), 1.7), dpi=110, layout="constrained")
    _title(figure, title)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis, mean, name in zip(axes, means, names, strict=False):
        axis.set_axis_off()
        _draw(axis, mean)
        _name(axis, name)
    return _png(figure)


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
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(max(1.6 * columns, 4), 2 * rows + 0.5), dpi=110, layout="constrained")
    _title(figure, title)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.set_axis_off()
    for axis, image, name in zip(axes, images, names, strict=False):
        _draw(axis, image)
        axis.set_axis_on()
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_color(_EDGE)  # shows the edge of an image with a white background
        first, *others = name.split("\n")
        short = first if len(first) <= 20 else first[:19] + "…"
        axis.set_title("\n".join([short, *others]), fontsize=8, pad=4, parse_math=False)
    return _png(figure)


def _title(figure: Figure, title: str) -> None:
    """Write a title, wrapped to the width of the figure."""
    letters = int(_PER_INCH * figure.get_figwidth())
    figure.suptitle(textwrap.fill(title, letters), fontsize=11, parse_math=False)


def _width(columns: int) -> float:
    return max(0.75 * columns, 5)


def _name(axis: Axes, name: str) -> None:
    short = name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"
    # A dollar sign in a name does not start a formula.
    axis.set_title(short, fontsize=8, pad=4, parse_math=False)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font does not have are drawn as boxes
        # Without the program's name equal pictures are equal files.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw(axis: Axes, image: np.ndarray) -> None:
    top = 255 if image.dtype == np.uint8 else 1
    # Images of more than three channels are drawn by the first three, those of two by the first.
    pixels = image[0] if len(image) < 3 else image[:3].transpose(1, 2, 0)
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=top, interpolation="nearest")

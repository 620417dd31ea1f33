"""Pictures of a data set: samples of each class, upright and turned, and each class's mean."""

from __future__ import annotations

import io
import textwrap
import warnings

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["SHOWN", "class_means_sheet", "contact_sheet", "one_of_each", "sampled"]

_ROWS = 3  # samples a class
SHOWN = 20  # classes shown at most
_LETTERS = 12  # of a class's name
_EDGE = "0.6"  # grey
_PER_INCH = 11  # letters of a title


def sampled(labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """Return the places of the samples of each class that is shown."""
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


def one_of_each(title: str, images: list[np.ndarray], names: list[str]) -> bytes:
    """Return a PNG of an image of each class, eight in a row, large enough to be recognised.

    Parameters
    ----------
    title
        What is shown.
    images
        Each ``(channels, height, width)``.
    names
        What stands above each image; the first line is shortened.
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
        axis.spines[:].set_color(_EDGE)  # an image on a white ground has an edge too
        first, *others = name.split("\n")
        short = first if len(first) <= 20 else first[:19] + "…"
        axis.set_title("\n".join([short, *others]), fontsize=8, pad=4, parse_math=False)
    return _png(figure)


def _title(figure: Figure, title: str) -> None:
    """Write a title in as many lines as the width of the figure asks for."""
    letters = int(_PER_INCH * figure.get_figwidth())
    figure.suptitle(textwrap.fill(title, letters), fontsize=11, parse_math=False)


def _width(columns: int) -> float:
    return max(0.75 * columns, 5)


def _name(axis: Axes, name: str) -> None:
    short = name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"
    # A name is text: a dollar sign in it starts no formula.
    axis.set_title(short, fontsize=8, pad=4, parse_math=False)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font does not have are drawn as boxes
        # Without the program's name the picture depends on nothing but its content.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw(axis: Axes, image: np.ndarray) -> None:
    top = 255 if image.dtype == np.uint8 else 1
    # Of more channels than a picture has, the first three; of two, the first.
    pixels = image[0] if len(image) < 3 else image[:3].transpose(1, 2, 0)
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=top, interpolation="nearest")

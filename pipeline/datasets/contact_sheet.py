"""A picture of samples: some test images of each class, upright and turned."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["contact_sheet"]

_ROWS = 3  # samples a class
_COLUMNS = 20  # classes shown at most


def contact_sheet(
    title: str,
    upright: np.ndarray,
    turned: np.ndarray,
    labels: np.ndarray,
    degrees: np.ndarray,
    classes: int,
) -> bytes:
    """Return a PNG: a column a class, each sample above its turned version and angle.

    Parameters
    ----------
    title
        What is shown.
    upright, turned
        The test images before and after turning, ``(count, channels, height, width)``.
    labels, degrees
        ``(count,)``.
    classes
        Number of classes.
    """
    columns = min(classes, _COLUMNS)
    width = max(0.75 * columns, 5)
    figure = Figure(figsize=(width, 0.82 * 2 * _ROWS + 0.6), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(2 * _ROWS, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for column in range(columns):
        for row, index in enumerate(np.flatnonzero(labels == column)[:_ROWS]):
            _draw(axes[2 * row, column], upright[index])
            _draw(axes[2 * row + 1, column], turned[index])
            axes[2 * row + 1, column].set_title(f"{degrees[index]:.0f}°", fontsize=7, pad=2)
        axes[0, column].set_title(f"class {column}", fontsize=8, pad=4)
    buffer = io.BytesIO()
    # Without the program's name the picture depends on nothing but its content.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw(axis: Axes, image: np.ndarray) -> None:
    top = 255 if image.dtype == np.uint8 else 1
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=top, interpolation="nearest")

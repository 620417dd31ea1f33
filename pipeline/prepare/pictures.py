"""Draw what a prepared data set holds, beside its files."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from pipeline.common.files import write_bytes
from pipeline.prepare.contact_sheet import class_means_sheet, contact_sheet, sampled
from pipeline.prepare.images.turning import shrink, turn
from pipeline.study.datasets import Source

__all__ = ["write_pictures"]


def write_pictures(
    source: Source,
    test: tuple[np.ndarray, np.ndarray, np.ndarray],
    degrees: np.ndarray,
    factor: int,
    means: np.ndarray,
    ground: float | str,
    folder: Path,
) -> None:
    """Write samples of the test upright and turned, and mean training images.

    Parameters
    ----------
    source
        Of the images.
    test
        All images, the places of the test images among them, and their labels.
    degrees
        By which each test image is turned.
    factor
        By which images are made smaller.
    means
        Of the training images of each class that is shown.
    ground
        What turned images get from outside.
    folder
        Where the pictures are put.
    """
    images, indices, labels = test
    names = list(source.class_names) or [f"class {label}" for label in range(source.classes)]
    samples = sampled(labels, source.classes)
    places = np.concatenate(samples)
    ends = np.cumsum([0, *map(len, samples)])
    upright = images[indices[places]]
    sheet = contact_sheet(
        f"{source.name}: test images upright and, below each, the same turned anticlockwise",
        shrink(upright, factor),
        shrink(turn(upright, degrees[places], ground), factor),
        degrees[places],
        [np.arange(start, end) for start, end in pairwise(ends)],
        names,
    )
    write_bytes(folder / "samples.png", sheet)
    title = f"{source.name}: mean training image of each class"
    write_bytes(folder / "class_means.png", class_means_sheet(title, means, names))

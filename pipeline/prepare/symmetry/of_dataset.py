"""Measure the symmetry of a data set that was just written, without its test images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.dataset.store import group_file, split_files
from pipeline.prepare.symmetry.measure import MOST_IMAGES, measure_symmetry

__all__ = ["symmetry_of"]

_SPLITS = ("train", "validation")  # what is decided by the result must not depend on the test


def symmetry_of(folder: Path, classes: int, generator: np.random.Generator) -> dict[str, Any]:
    """Return the result of `measure_symmetry` for at most `MOST_IMAGES` images.

    Parameters
    ----------
    folder
        With the arrays of the splits.
    classes
        Number of classes.
    generator
        Decides which images, and what `measure_symmetry` draws.
    """
    images = [_opened(folder / split_files(split)[0]) for split in _SPLITS]
    labels = np.concatenate([_opened(folder / split_files(split)[1]) for split in _SPLITS])
    files = [folder / group_file(split) for split in _SPLITS]
    groups = None
    if all(file.exists() for file in files):
        groups = np.concatenate([_opened(file) for file in files])
    chosen = np.sort(generator.permutation(len(labels))[:MOST_IMAGES])
    first = chosen[chosen < len(images[0])]
    second = chosen[len(first) :] - len(images[0])
    pixels = np.concatenate([images[0][first], images[1][second]])
    return measure_symmetry(
        pixels, labels[chosen], None if groups is None else groups[chosen], classes, generator
    )


def _opened(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)

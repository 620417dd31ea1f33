"""Kernels between images and turned or mirrored images, and kernel ridge regression.

The kernel is a mean of Gaussians of the distance between pixels, which stays the same when both
images are turned or mirrored alike. So the kernel of a transformed image with another one is read
from the same table, and nothing is fitted by steps: the result is deterministic and takes seconds.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve

__all__ = ["ELEMENTS", "Element", "fitted", "kernels", "relative", "small_images"]

Element = tuple[int, bool]

# Of D4: quarter turns anticlockwise, after a mirror from left to right or not.
ELEMENTS = tuple((quarter, mirrored) for mirrored in (False, True) for quarter in range(4))

SIDE = 24  # pixels; larger images are averaged to this size
_SHARPNESS = 2.0  # of the widest Gaussian, over the mean squared distance of two images
_RIDGE = 0.02  # of the mean diagonal


def small_images(images: np.ndarray) -> np.ndarray:
    """Average images to a small size, and give each mean 0 and norm 1.

    Parameters
    ----------
    images
        ``(count, channels, height, width)``, height and width equal.

    Returns
    -------
    numpy.ndarray
        ``(count, channels, side, side)`` float32. Turning and mirroring commutes with this.
    """
    weights = _area_weights(images.shape[-1], min(SIDE, images.shape[-1]))
    small = np.empty((*images.shape[:2], len(weights), len(weights)), dtype=np.float32)
    for start in range(0, len(images), 256):
        batch = images[start : start + 256].astype(np.float32)
        small[start : start + 256] = weights @ batch @ weights.T
    small -= small.mean((1, 2, 3), keepdims=True)
    norms = np.sqrt(np.square(small).sum((1, 2, 3), keepdims=True))
    return small / np.maximum(norms, 1e-6)


def _area_weights(side: int, small: int) -> np.ndarray:
    """Return how much of each pixel lies in each larger one, ``(small, side)``, rows sum to 1."""
    edges = np.arange(small + 1) * side / small
    pixels = np.arange(side)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.maximum(covered, 0) * small / side).astype(np.float32)


def kernels(images: np.ndarray) -> dict[Element, np.ndarray]:
    """Return the kernels of all images with all images under each element of D4.

    Parameters
    ----------
    images
        From `small_images`.

    Returns
    -------
    dict
        By element g of `ELEMENTS`, ``k[i, j] = k(x_i, g x_j)``.
    """
    flat = images.reshape(len(images), -1)
    spread = 2 - 2 * float(np.square(flat.mean(0)).sum())  # mean squared distance of two images
    found: dict[Element, np.ndarray] = {}
    for quarter, mirrored in ELEMENTS:
        moved = images[..., ::-1] if mirrored else images
        moved = np.rot90(moved, quarter, (2, 3)).reshape(flat.shape)
        squared = np.maximum(2 - 2 * (flat @ moved.T), 0) / max(spread, 1e-6)
        wide = np.exp(-_SHARPNESS * squared)
        middle = wide**2 * wide**2  # Gaussians of 4 and 16 times the sharpness
        found[quarter, mirrored] = (wide + middle + middle**2 * middle**2) / 3
    return found


def relative(one: Element, other: Element) -> Element:
    """Return the element a^-1 b of D4: ``k(a x, b y) = k(x, a^-1 b y)``.

    Examples
    --------
    >>> relative((1, False), (3, False)), relative((1, True), (0, False))
    ((2, False), (1, True))
    """
    (a, mirrored), (b, other_mirrored) = one, other
    # a^-1 = M R^-a for a = R^a M, and M R^n = R^-n M.
    quarter = a - b if mirrored else b - a
    return quarter % 4, mirrored != other_mirrored


def fitted(
    kernel: np.ndarray, targets: np.ndarray, tables: list[np.ndarray], folds: np.ndarray
) -> list[np.ndarray]:
    """Return cross-fitted predictions of kernel ridge regression.

    Parameters
    ----------
    kernel
        ``(count, count)`` of the images with each other.
    targets
        ``(count, outputs)``.
    tables
        Kernels of what is predicted, row i belongs to image i, with the images, ``(count, count)``.
    folds
        ``(count,)``; what is predicted of a fold is fitted without it.

    Returns
    -------
    list of numpy.ndarray
        ``(count, outputs)`` for each of the tables.
    """
    results = [np.zeros(targets.shape, dtype=np.float32) for _ in tables]
    ridge = _RIDGE * float(np.trace(kernel)) / len(kernel)
    for fold in np.unique(folds):
        held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        matrix = kernel[np.ix_(rest, rest)]
        matrix[np.diag_indices_from(matrix)] += max(ridge, 1e-6)
        weights = solve(matrix, targets[rest].astype(np.float32), assume_a="pos")
        for result, table in zip(results, tables, strict=True):
            result[held] = table[np.ix_(held, rest)] @ weights
    return results

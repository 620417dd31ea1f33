"""Which images are the same, exactly or nearly: a checksum and a coarse print of each."""

from __future__ import annotations

import hashlib

import numpy as np

from pipeline.datasets.mapped import release

__all__ = ["NEAR", "count_near", "image_hashes", "image_prints"]

_ROWS, _COLUMNS = 8, 9  # of the coarse image: 8 comparisons in each of 8 rows
_LOOKED_AT = 4  # images with one print that a candidate is compared with
_MOST = 20_000  # candidates compared: bounds the time
_RELEASE = 500  # candidates after which the pages they touched are given back

# Mean difference of two images, as a fraction of the range of values, that counts as near.
NEAR = 0.01


def image_hashes(images: np.ndarray) -> np.ndarray:
    """Return 16 bytes ``(count,)`` an image, equal where all pixels are equal."""
    found = [hashlib.sha256(np.ascontiguousarray(image).data).digest()[:16] for image in images]
    return np.array(found, dtype="S16")


def image_prints(images: np.ndarray) -> np.ndarray:
    """Return 64 bits ``(count,)`` an image, which survive noise, compression and brightness.

    A bit tells whether the mean grey of a patch is above that of its left neighbour.

    Parameters
    ----------
    images
        ``(count, channels, height, width)``, uint8 or float32.
    """
    grey = images.mean(axis=1, dtype=np.float32)
    coarse = _coarse(_coarse(grey, 1, _ROWS), 2, _COLUMNS)
    bits = coarse[:, :, 1:] > coarse[:, :, :-1] + 1e-6 * (1 if images.dtype == np.float32 else 255)
    return np.packbits(bits.reshape(len(images), 64), axis=1).view(np.uint64)[:, 0]


def _coarse(images: np.ndarray, axis: int, count: int) -> np.ndarray:
    """Mean over `count` bands of an axis; of a short axis, the nearest lines."""
    length = images.shape[axis]
    if length < count:
        return images.take((np.arange(count) * 2 + 1) * length // (2 * count), axis)
    edges = np.arange(count) * length // count
    widths = np.diff([*edges, length]).astype(np.float32)
    sums = np.add.reduceat(images, edges, axis)
    return sums / (widths[None, :, None] if axis == 1 else widths[None, None, :])


def count_near(
    one: tuple[np.ndarray, np.ndarray, np.ndarray],
    other: tuple[np.ndarray, np.ndarray, np.ndarray],
    images: tuple[np.ndarray, np.ndarray],
) -> int:
    """Count the images of one split that are nearly, but not exactly, in the other.

    Candidates have the same print; they count when they differ by less than `NEAR` on average.

    Parameters
    ----------
    one, other
        Prints, hashes and positions ``(count,)`` of each split's images.
    images
        The arrays of all images that the positions of `one` and of `other` count in.
    """
    prints, hashes, places = one
    order = np.argsort(other[0], kind="stable")
    first = np.searchsorted(other[0][order], prints, "left")
    last = np.searchsorted(other[0][order], prints, "right")
    candidates = np.flatnonzero((last > first) & ~np.isin(hashes, other[1]))[:_MOST]
    top = 255.0 if images[0].dtype == np.uint8 else 1.0
    near = 0
    for number, index in enumerate(candidates):
        if number % _RELEASE == 0:
            release(images[0])
            release(images[1])
        image = np.asarray(images[0][places[index]], dtype=np.float32)
        rivals = order[first[index] : min(last[index], first[index] + _LOOKED_AT)]
        differences = (np.abs(image - images[1][place]).mean() / top for place in other[2][rivals])
        near += any(difference < NEAR for difference in differences)
    return near

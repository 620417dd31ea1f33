"""Which images are the same, exactly or nearly: a checksum and a coarse print of each."""

from __future__ import annotations

import hashlib

import numpy as np

from pipeline.dataset.memory import release

__all__ = ["NEAR", "count_near", "image_hashes", "image_prints"]

_ROWS, _COLUMNS = 8, 9  # bands of the coarse image: 8 comparisons in each of 8 rows
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
    exact = images.dtype == np.uint8
    narrow, wide = (np.uint32, np.int64) if exact else (np.float64, np.float64)
    rows = np.stack([images[:, :, band].sum((1, 2), dtype=narrow) for band in _bands(images, 2)], 1)
    bands = _bands(images, 3)
    coarse = np.stack([rows[:, :, band].sum(2, dtype=wide) for band in bands], 2)
    # Means of neighbours are compared by their sums, each times the width of the other.
    widths = np.array([band.stop - band.start for band in bands])
    right, left = coarse[:, :, 1:] * widths[:-1], coarse[:, :, :-1] * widths[1:]
    margin = 0 if exact else 1e-6 * images.shape[1] * images.shape[2]
    bits = (right > left + margin).reshape(len(images), 64)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def _bands(images: np.ndarray, axis: int) -> list[slice]:
    """Bands of rows (axis 2) or columns (axis 3); of a short axis, the nearest lines."""
    length, count = images.shape[axis], {2: _ROWS, 3: _COLUMNS}[axis]
    starts = np.arange(count) * length // count
    return [
        slice(int(start), max(int(stop), int(start) + 1))
        for start, stop in zip(starts, [*starts[1:], length], strict=True)
    ]


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

"""Find equal and nearly equal images, by a checksum and a perceptual hash of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.dataset.store import release_pages

_ROWS, _COLUMNS = 8, 9  # bands of the coarse image: 8 comparisons in each of 8 rows
_COMPARED = 4  # images with the same perceptual hash that a candidate is compared with
_MOST = 20_000  # candidates compared: bounds the time
_RELEASE = 500  # candidates after which the memory of their pages is released

# Mean difference of two images, as a fraction of the range of values, that counts as near.
NEAR = 0.01


def perceptual_hashes(images: np.ndarray) -> np.ndarray:
    """Return 64 bits ``(count,)`` an image, which noise, compression and brightness hardly change.

    The difference hash: a bit says whether a patch is brighter than its left neighbour, on average.

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


@dataclass(frozen=True)
class Candidates:
    """The images of one split, to compare with those of another.

    Attributes
    ----------
    perceptual_hashes, hashes, indices
        ``(count,)`` of the split's images; the indices count in `images`.
    images
        ``(all images, channels, height, width)``.
    """

    perceptual_hashes: np.ndarray
    hashes: np.ndarray
    indices: np.ndarray
    images: np.ndarray


def count_near(one: Candidates, other: Candidates) -> int:
    """Count the images of `one` that are nearly, but not exactly, in `other`.

    Images with the same perceptual hash count when they differ by less than `NEAR` on average.
    """
    order = np.argsort(other.perceptual_hashes, kind="stable")
    known = other.perceptual_hashes[order]
    first = np.searchsorted(known, one.perceptual_hashes, "left")
    last = np.searchsorted(known, one.perceptual_hashes, "right")
    candidates = np.flatnonzero((last > first) & ~np.isin(one.hashes, other.hashes))[:_MOST]
    top = 255.0 if one.images.dtype == np.uint8 else 1.0
    near = 0
    for number, index in enumerate(candidates):
        if number % _RELEASE == 0:
            release_pages(one.images)
            release_pages(other.images)
        image = np.asarray(one.images[one.indices[index]], dtype=np.float32)
        similar = other.indices[order[first[index] : min(last[index], first[index] + _COMPARED)]]
        differences = (np.abs(image - other.images[place]).mean() / top for place in similar)
        near += any(difference < NEAR for difference in differences)
    return near

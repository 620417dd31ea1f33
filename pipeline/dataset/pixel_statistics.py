"""Mean, standard deviation and range of the pixels of a split, computed in one pass."""

from __future__ import annotations

import numpy as np

MOST_BYTES = 1 << 26  # of the sums of an image of each shown class


class PixelStatistics:
    """Running sums of pixels, which give mean, standard deviation, range and mean images.

    Parameters
    ----------
    classes
        Number of classes.
    shape
        Of an image, ``(channels, height, width)``.
    dtype
        uint8, whose sums are exact, or float32.
    shown
        Classes of which a mean image is wanted, the first ones; the others share one sum.
    """

    def __init__(
        self, classes: int, shape: tuple[int, ...], dtype: np.dtype, shown: int = 0
    ) -> None:
        self.shape, self.exact = shape, np.dtype(dtype) == np.uint8
        kind = np.uint64 if self.exact else np.float64
        self.counts = np.zeros(classes, dtype=np.int64)
        self.shown = min(classes, shown, max(1, MOST_BYTES // (8 * int(np.prod(shape)))))
        rows = self.shown + (classes > self.shown)
        self.sums = np.zeros((rows, *shape), dtype=kind)
        self.squares = np.zeros(shape[0], dtype=kind)
        self.low, self.high = np.inf, -np.inf

    def add(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Add a batch of images."""
        # Narrow types are several times faster: a batch of bytes sums to less than 2^32.
        narrow, square = (np.uint32, np.uint16) if self.exact else (np.float64, np.float64)
        kind = self.sums.dtype
        rows = np.minimum(labels, self.shown)
        for row in np.unique(rows):
            self.sums[row] += images[rows == row].sum(0, dtype=narrow).astype(kind)
        self.counts += np.bincount(labels, minlength=len(self.counts))
        squares = np.square(images, dtype=square).sum((0, 2), dtype=kind)
        self.squares += squares.sum(1)
        self.low = min(self.low, float(images.min()))
        self.high = max(self.high, float(images.max()))

    def moments(self) -> tuple[list[float], list[float]]:
        """Return mean and standard deviation by channel, on 0 to 1."""
        scale = 255.0 if self.exact else 1.0
        pixels = int(self.counts.sum()) * int(np.prod(self.shape[1:]))
        sums = self.sums.sum((0, 2, 3))
        means, deviations = [], []
        for total, squares in zip(sums.tolist(), self.squares.tolist(), strict=True):
            # Whole numbers of any length: the difference of two large sums stays exact.
            variance = (squares * pixels - total * total) / pixels**2
            means.append(total / pixels / scale)
            deviations.append(max(variance, 0.0) ** 0.5 / scale)
        return means, deviations

    def class_means(self) -> np.ndarray:
        """Return the mean images on 0 to 1, ``(shown classes, channels, height, width)``."""
        counts = np.maximum(self.counts[: self.shown], 1)[:, None, None, None]
        sums = self.sums[: self.shown]
        return (sums / counts / (255.0 if self.exact else 1.0)).astype(np.float32)

"""Write the images of a split in batches, and compute their statistics for the card in one pass."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline.common.files import replacing
from pipeline.dataset.store import release_pages
from pipeline.prepare.reading import chunk_length

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


def write_images(
    path: Path,
    images: np.ndarray,
    labels: np.ndarray,
    indices: np.ndarray,
    transform: Callable[[np.ndarray, slice], np.ndarray] | None,
    statistics: PixelStatistics,
    on_batch: Callable[[int], None],
) -> dict[str, Any]:
    """Write some images to one file, whole or not at all; return its size and checksum.

    Parameters
    ----------
    path
        The file.
    images
        ``(count, channels, height, width)``, where they are taken from.
    labels, indices
        ``(chosen,)``, of the images to write, in their order.
    transform
        Applied to each batch, which is the given slice of the chosen ones.
    statistics
        Receives what is written, and has the shape of an image after `transform`.
    on_batch
        Called with the number of images of each batch that was written.
    """
    shape = (len(indices), *statistics.shape)
    step = chunk_length(images.shape, images.dtype.itemsize)
    size = int(np.prod(shape, dtype=np.int64)) * images.dtype.itemsize
    with replacing(path, size) as file:
        hashed = _Hashed(file)
        header = {"descr": np.lib.format.dtype_to_descr(images.dtype), "shape": shape}
        np.lib.format.write_array_header_1_0(hashed, {**header, "fortran_order": False})
        slices = [slice(start, start + step) for start in range(0, len(indices), step)]
        for some, batch in _prefetched(
            slices, lambda some: _take(images, indices, some, transform)
        ):
            hashed.write(batch.data.cast("B"))
            statistics.add(batch, labels[some])
            on_batch(len(batch))
    return {"bytes": hashed.bytes, "sha256": hashed.digest.hexdigest()}


def _take(
    images: np.ndarray,
    indices: np.ndarray,
    some: slice,
    transform: Callable[[np.ndarray, slice], np.ndarray] | None,
) -> np.ndarray:
    batch = images[indices[some]]
    release_pages(images)
    return np.ascontiguousarray(batch if transform is None else transform(batch, some))


def _prefetched(
    slices: list[slice], take: Callable[[slice], np.ndarray]
) -> Iterator[tuple[slice, np.ndarray]]:
    """Prepare the next batch in a second thread while the one before is written."""
    with ThreadPoolExecutor(1, thread_name_prefix="prepare") as worker:
        waiting = deque(worker.submit(take, some) for some in slices[:1])
        for place, some in enumerate(slices):
            batch = waiting.popleft().result()
            waiting.extend(worker.submit(take, later) for later in slices[place + 1 : place + 2])
            yield some, batch


class _Hashed:
    """A file that hashes what is written to it, so that it is not read again."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest, self.bytes = file, hashlib.sha256(), 0

    def write(self, data: bytes | memoryview) -> int:
        self.file.write(data)
        self.digest.update(data)
        self.bytes += len(data)
        return len(data)

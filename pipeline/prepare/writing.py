"""Write the images of a split in batches, and compute their statistics in the same pass."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline.common.files import replacing
from pipeline.dataset.pixel_statistics import PixelStatistics
from pipeline.dataset.store import release_pages
from pipeline.prepare.reading import chunk_length


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

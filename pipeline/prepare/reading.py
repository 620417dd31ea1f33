"""Read all images of a source once, in parallel chunks, into arrays on disk; resumable.

Each finished chunk leaves a record of hashes and problems, written after its pixels have reached
the disk, so that an interrupted preparation continues with the missing chunks.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.common.files import explaining, json_text, replacing
from pipeline.common.progress import StepProgress
from pipeline.dataset.stratified import ImageKeys, image_hashes
from pipeline.prepare.labelled_images import ImageChunk, ImageReader, LabelledImages, check_values
from pipeline.prepare.splits.near_duplicates import perceptual_hashes
from pipeline.study.source import Source

_CHUNK_BYTES = 8 << 20
CHUNK_IMAGES = 1024
_FORMAT = 4  # raise it when the content of a record or of the array changes


@dataclass(frozen=True)
class StoredSplit:
    """A given split whose images are on disk.

    Attributes
    ----------
    images
        Memory-mapped ``(count, channels, height, width)``.
    keys
        Labels, hashes and groups of the images.
    perceptual_hashes
        ``(count,)``, see `pipeline.prepare.splits.near_duplicates`.
    problems
        What is wrong with the bad images, by index.
    sizes
        Least and greatest height and width before fitting, or None.
    """

    images: np.ndarray
    keys: ImageKeys
    perceptual_hashes: np.ndarray
    problems: dict[int, str]
    sizes: list[int] | None


def chunk_length(shape: tuple[int, ...], itemsize: int) -> int:
    """Return how many images make a chunk: fewer if they are large, which bounds the memory."""
    image = int(np.prod(shape[1:])) * itemsize
    return max(1, min(CHUNK_IMAGES, _CHUNK_BYTES // image))


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_chunk(images: np.ndarray | ImageReader, start: int, stop: int) -> ImageChunk:
    """Read some images, from memory or with their reader."""
    if isinstance(images, np.ndarray):
        return ImageChunk(images[start:stop])
    return images.read(start, stop)


def store_split(given: LabelledImages, name: str, source: Source, folder: Path) -> StoredSplit:
    """Read all images of a given split, except those that an interrupted preparation has read.

    Parameters
    ----------
    given
        The images and labels.
    name
        Of the given split.
    source
        The data set.
    folder
        Where the array and the records are kept.

    Raises
    ------
    UserError
        For a bad image that is not to be skipped, and when the disk refuses.
    """
    array = _ArrayFile(given, folder, name)
    bounds = [
        (start, min(start + array.step, len(given))) for start in range(0, len(given), array.step)
    ]
    todo = [bound for bound in bounds if not array.record(bound[0]).exists()]
    done = len(given) - sum(stop - start for start, stop in todo)
    progress = StepProgress(source.name, "reading", len(given), done)

    def read(start: int, stop: int) -> int:
        chunk = read_chunk(given.images, start, stop)
        check_values(chunk.images, source, name)
        array.write(start, chunk.images)
        reasons = list(chunk.problems.items())
        with replacing(array.record(start)) as file:
            np.savez(
                file,
                hashes=image_hashes(chunk.images),
                perceptual_hashes=perceptual_hashes(chunk.images),
                bad=np.array([index for index, _ in reasons], dtype=np.int64),
                reasons=np.array([reason for _, reason in reasons], dtype=np.str_),
                sizes=np.empty((0, 2)) if chunk.sizes is None else chunk.sizes,
            )
        return stop - start

    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(cores(), thread_name_prefix="prepare") as workers,
    ):
        warnings.filterwarnings(
            "ignore", module="PIL"
        )  # of damaged tags of images that can be read
        futures = [workers.submit(read, *bound) for bound in todo]
        try:
            for future in as_completed(futures):
                progress.add(future.result())
        except BaseException:
            workers.shutdown(cancel_futures=True)
            raise
    return array.result([start for start, _ in bounds])


class _ArrayFile:
    """The array of a given split on disk and the records of its chunks."""

    def __init__(self, given: LabelledImages, folder: Path, name: str) -> None:
        self.given, images = given, given.images
        self.folder, self.path = folder / name, folder / name / "images.npy"
        self.step = chunk_length(images.shape, images.dtype.itemsize)
        identity = [_FORMAT, self.step, list(images.shape), str(images.dtype)]
        # Images in memory have no identity and are always read again, which takes no time.
        known = getattr(images, "identity", None)
        definition = hashlib.sha256(json_text([*identity, known]).encode()).hexdigest()
        stamp = self.folder / "definition.txt"
        if known is None or not stamp.exists() or stamp.read_text(encoding="utf-8") != definition:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._make(images.shape, images.dtype)
            with replacing(stamp) as file:
                file.write(definition.encode())
        self.offset = self.path.stat().st_size - self._bytes(images.shape, images.dtype)
        self.image_bytes = self._bytes((1, *images.shape[1:]), images.dtype)

    @staticmethod
    def _bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
        return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize

    def _make(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        size = self._bytes(shape, dtype)
        with explaining(self.path, size):
            self.folder.mkdir(parents=True)
            with open(self.path, "wb") as file:
                header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "shape": shape}
                np.lib.format.write_array_header_2_0(file, {**header, "fortran_order": False})
                file.flush()
                # Reserve all bytes now: a full disk is reported before an hour of reading.
                reserve = getattr(os, "posix_fallocate", None)
                if reserve and size:
                    reserve(file.fileno(), file.tell(), size)
                else:
                    file.truncate(file.tell() + size)

    def record(self, start: int) -> Path:
        return self.folder / f"{start:09}.npz"

    def write(self, start: int, images: np.ndarray) -> None:
        """Write pixels and wait until they are on the disk."""
        data = np.ascontiguousarray(images).data.cast("B")
        place = self.offset + start * self.image_bytes
        with explaining(self.path, len(data)):
            file = os.open(self.path, os.O_WRONLY)
            try:
                while data:
                    written = os.pwrite(file, data, place)
                    data, place = data[written:], place + written
                os.fsync(file)
            finally:
                os.close(file)

    def result(self, starts: list[int]) -> StoredSplit:
        """Join the records of all chunks."""
        records = [np.load(self.record(start), allow_pickle=False) for start in starts]
        sizes = np.concatenate([record["sizes"] for record in records])
        limits = [*sizes.min(0), *sizes.max(0)] if len(sizes) else None
        return StoredSplit(
            images=np.load(self.path, mmap_mode="r", allow_pickle=False),
            keys=ImageKeys(
                self.given.labels,
                np.concatenate([record["hashes"] for record in records]),
                self.given.groups,
            ),
            perceptual_hashes=np.concatenate([record["perceptual_hashes"] for record in records]),
            problems={
                int(index): str(reason)
                for record in records
                for index, reason in zip(record["bad"], record["reasons"], strict=True)
            },
            sizes=limits and [int(limit) for limit in limits],
        )

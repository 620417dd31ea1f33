"""Read a part once, in shards on all cores, into one array on disk; what is read stays read.

Each finished shard leaves a note with what was seen in it, written after its pixels have reached
the disk, so that an attempt killed at any moment is taken up where it was.
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
from pipeline.prepare.parts import Images, check_values, read_shard
from pipeline.prepare.splits.near_duplicates import image_hashes, image_prints
from pipeline.study.datasets import Source

__all__ = ["Pooled", "pool_part", "shard_length"]

_SHARD_BYTES = 8 << 20
_SHARD_IMAGES = 1024
_FORMAT = 3  # raise it when what a note or the array holds changes


@dataclass(frozen=True)
class Pooled:
    """A part that is on disk.

    Attributes
    ----------
    images
        Memory-mapped ``(count, channels, height, width)``.
    hashes, prints
        ``(count,)``, see `pipeline.prepare.splits.near_duplicates`.
    problems
        What is wrong with the images that are not to be used, by index.
    sizes
        Least and greatest height and width before fitting, or None.
    """

    images: np.ndarray
    hashes: np.ndarray
    prints: np.ndarray
    problems: dict[int, str]
    sizes: list[int] | None


def shard_length(shape: tuple[int, ...], itemsize: int) -> int:
    """Return how many images are read at once, so that memory does not depend on their size."""
    image = int(np.prod(shape[1:])) * itemsize
    return max(1, min(_SHARD_IMAGES, _SHARD_BYTES // image))


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pool_part(part: Images, name: str, source: Source, folder: Path) -> Pooled:
    """Read every image of a part, going on where an earlier attempt for the same images stopped.

    Parameters
    ----------
    part
        What to read.
    name
        Of the part.
    source
        What is known of it.
    folder
        Where the array and the notes are kept.

    Raises
    ------
    UserError
        For an image that cannot be used, and when the disk refuses.
    """
    array = _Array(part, folder, name)
    bounds = [
        (start, min(start + array.step, len(part))) for start in range(0, len(part), array.step)
    ]
    todo = [bound for bound in bounds if not array.note(bound[0]).exists()]
    done = len(part) - sum(stop - start for start, stop in todo)
    progress = StepProgress(source.name, "reading", len(part), done)

    def read(start: int, stop: int) -> int:
        shard = read_shard(part.images, start, stop)
        check_values(shard.images, source, name)
        array.write(start, shard.images)
        reasons = list(shard.problems.items())
        with replacing(array.note(start)) as file:
            np.savez(
                file,
                hashes=image_hashes(shard.images),
                prints=image_prints(shard.images),
                bad=np.array([index for index, _ in reasons], dtype=np.int64),
                reasons=np.array([reason for _, reason in reasons], dtype=np.str_),
                sizes=np.empty((0, 2)) if shard.sizes is None else shard.sizes,
            )
        return stop - start

    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(cores(), thread_name_prefix="prepare") as workers,
    ):
        warnings.filterwarnings("ignore", module="PIL")  # of damaged tags beside sound pixels
        futures = [workers.submit(read, *bound) for bound in todo]
        try:
            for future in as_completed(futures):
                progress.add(future.result())
        except BaseException:
            workers.shutdown(cancel_futures=True)
            raise
    return array.pooled([start for start, _ in bounds])


class _Array:
    """The array of a part on disk and the notes of its shards."""

    def __init__(self, part: Images, folder: Path, name: str) -> None:
        images = part.images
        self.folder, self.path = folder / name, folder / name / "images.npy"
        self.step = shard_length(images.shape, images.dtype.itemsize)
        identity = [_FORMAT, self.step, list(images.shape), str(images.dtype)]
        # Images in memory are read again: that takes no time, and they have no identity.
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
                # All room now: a disk that is too small is said before an hour of reading.
                reserve = getattr(os, "posix_fallocate", None)
                if reserve and size:
                    reserve(file.fileno(), file.tell(), size)
                else:
                    file.truncate(file.tell() + size)

    def note(self, start: int) -> Path:
        return self.folder / f"{start:09}.npz"

    def write(self, start: int, images: np.ndarray) -> None:
        """Put pixels in their place and wait until they are on the disk."""
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

    def pooled(self, starts: list[int]) -> Pooled:
        """Gather what the notes say."""
        notes = [np.load(self.note(start), allow_pickle=False) for start in starts]
        sizes = np.concatenate([note["sizes"] for note in notes])
        limits = [*sizes.min(0), *sizes.max(0)] if len(sizes) else None
        return Pooled(
            images=np.load(self.path, mmap_mode="r", allow_pickle=False),
            hashes=np.concatenate([note["hashes"] for note in notes]),
            prints=np.concatenate([note["prints"] for note in notes]),
            problems={
                int(index): str(reason)
                for note in notes
                for index, reason in zip(note["bad"], note["reasons"], strict=True)
            },
            sizes=limits and [int(limit) for limit in limits],
        )

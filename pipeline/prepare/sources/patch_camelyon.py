"""PatchCamelyon: 327,680 patches of histology, 96x96, in gzipped HDF5 files."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from pipeline.common.errors import UserError
from pipeline.common.files import replacing
from pipeline.common.progress import StepProgress
from pipeline.prepare.fetch.archives import open_gzip
from pipeline.prepare.fetch.raw_files import RawFile, find_files
from pipeline.prepare.labelled_images import GivenSplits, ImageChunk, LabelledImages

SIZES = {"train": 262_144, "validation": 32_768, "test": 32_768}
SIDE, CHANNELS = 96, 3

_MIRROR = "https://zenodo.org/records/2546921/files/"
# The first list of MD5 sums had those of valid and test swapped; this is the later one.
_MD5 = {
    "train_x": "1571f514728f59376b705fc836ff4b63",
    "train_y": "35c2d7259d906cfc8143347bb8e05be7",
    "valid_x": "d5b63470df7cfa627aeec8b9dc0c066e",
    "valid_y": "2b85f58b927af9964a4c15b8f7e8f179",
    "test_x": "d8c2d60d490dbd479f8199bdfa0cf6ec",
    "test_y": "60a7035772fbdb7f34eb86d4420cf66a",
}

FILES = tuple(
    RawFile(
        f"camelyonpatch_level_2_split_{name}.h5.gz",
        None,
        checksum,
        (f"{_MIRROR}camelyonpatch_level_2_split_{name}.h5.gz",),
    )
    for name, checksum in _MD5.items()
)

_OVERHEAD = 64 << 20  # bytes of HDF5's own, in addition to the arrays
_PORTION = 1 << 22
_NAME = "patch-camelyon"


def read(scratch: Path) -> GivenSplits:
    """Unpack the files into a folder and return the published splits, read in chunks."""
    found = find_files(_NAME, FILES)
    paths = list(found.values())
    by_split: GivenSplits = {}
    for (split, count), images, labels in zip(SIZES.items(), paths[::2], paths[1::2], strict=True):
        pixels = _unpacked(images, scratch, count * SIDE * SIDE * CHANNELS)
        numbers = _unpacked(labels, scratch, count * 8)
        values = np.asarray(_dataset(numbers, "y", (count, 1, 1, 1))[:]).reshape(count)
        by_split[split] = LabelledImages(_Patches(pixels, count), values.astype(np.int64))
    return by_split


def _unpacked(path: Path, scratch: Path, size: int) -> Path:
    """Unpack a file unless that is done; HDF5 needs random access."""
    target = scratch / path.name.removesuffix(".gz")
    if target.exists():
        return target
    progress = StepProgress(_NAME, f"unpacking {path.name}", size >> 20, unit="MiB")
    with open_gzip(path, size + _OVERHEAD) as stream, replacing(target, size) as file:
        while portion := stream.read(_PORTION):
            file.write(portion)
            progress.add(len(portion) >> 20)
    return target


def _dataset(path: Path, name: str, shape: tuple[int, ...]) -> h5py.Dataset:
    """Open an array of the file itself; links to other files are refused."""
    try:
        file = h5py.File(path, "r")
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise UserError(f"{path}: has no array {name!r} of its own: fetch it again")
        found = file[name]
    except (OSError, KeyError, RuntimeError) as error:
        raise UserError(f"{path}: is no HDF5 file ({error}): fetch it again") from error
    sound = isinstance(found, h5py.Dataset) and not (found.external or found.is_virtual)
    if not sound or found.shape != shape or found.dtype != np.uint8:
        what = f"{found.dtype} {found.shape}" if isinstance(found, h5py.Dataset) else "no array"
        raise UserError(f"{path}: {name!r} is {what}, expected uint8 {shape}: fetch it again")
    return found


class _Patches:
    """The images of one file."""

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self.data = _dataset(path, "x", (count, SIDE, SIDE, CHANNELS))
        self.shape: tuple[int, ...] = (count, CHANNELS, SIDE, SIDE)
        self.dtype: np.dtype = np.dtype(np.uint8)
        self.identity = f"{path.name} {path.stat().st_size}"

    def read(self, start: int, stop: int) -> ImageChunk:
        """Read some patches, channels first."""
        try:
            return ImageChunk(np.ascontiguousarray(self.data[start:stop].transpose(0, 3, 1, 2)))
        except OSError as error:
            raise UserError(f"{self.path}: is damaged ({error}): fetch it again") from error

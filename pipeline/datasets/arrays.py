"""Arrays of your own images: one npz file, or a folder of npy files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.datasets.archives import check_directory
from pipeline.datasets.decode import Target, fit_array
from pipeline.datasets.files_of_images import plain_name
from pipeline.datasets.labels import Labelled, label_parts
from pipeline.datasets.parts import Shard
from pipeline.errors import UserError

__all__ = ["ArrayImages", "read"]

_MOST_BYTES = 4 << 30  # of an array inside an npz file, which is read into memory
_PREFIXES = {
    "all": ("",),
    "train": ("train_",),
    "validation": ("validation_", "val_", "valid_"),
    "test": ("test_",),
}
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601, as Pillow has it
_CHANNELS = (1, 3)


def read(path: Path, target: Target, *, given_splits: bool, min_count: int, skip: bool) -> Labelled:
    """Open ``images`` and ``labels``, perhaps ``groups``; of given splits, ``train_images``...

    Images are ``(count, height, width)`` with channels last, second or none: uint8, uint16, bool,
    or floats from 0 to 1. Labels are whole numbers or words, groups too. npy files are read piece
    by piece, what is inside an npz file at once.

    Raises
    ------
    UserError
        Naming the array and what is wrong with it.
    """
    names, load = _opened(path)
    found = {
        part: prefix
        for part, prefixes in _PREFIXES.items()
        for prefix in prefixes
        if f"{prefix}images" in names
    }
    wanted = set(found) - {"all"} if given_splits else {"all"}
    if not wanted <= set(found) or (given_splits and not {"train", "test"} <= wanted):
        need = "train_images, train_labels, test_images, test_labels" if given_splits else ""
        raise UserError(
            f"{plain_name(path)}: needs {need or 'images and labels'}, but holds "
            f"{', '.join(sorted(names)) or 'nothing'}: name the arrays so, or change splits"
        )
    images: dict[str, ArrayImages] = {}
    labels: dict[str, list[str]] = {}
    groups: dict[str, list[str]] = {}
    for part in sorted(wanted):
        prefix = found[part]
        array = load(f"{prefix}images")
        images[part] = ArrayImages(f"{plain_name(path)}: {prefix}images", array, target, skip)
        labels[part] = _words(path, f"{prefix}labels", names, load, len(array))
        if f"{prefix}groups" in names:
            groups[part] = _words(path, f"{prefix}groups", names, load, len(array))
    if groups and len(groups) < len(wanted):
        raise UserError(f"{plain_name(path)}: has groups for some splits only: add the others")
    return label_parts(path.name, images, labels, groups or None, min_count=min_count)


def _opened(path: Path) -> tuple[set[str], Callable[[str], np.ndarray]]:
    """Names of the arrays at a path, and what opens one."""
    shown = plain_name(path)
    if path.is_dir():
        return {file.stem for file in path.glob("*.npy")}, lambda name: _array(path / f"{name}.npy")
    if not path.is_file():
        raise UserError(f"{shown}: there is no such file or folder: mend the path in its source")
    try:
        with open(path, "rb") as file:
            check_directory(file)
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(f"{shown}: is no npz file ({error}): save it again") from error
    for name, size in sizes.items():
        if size > _MOST_BYTES:
            raise UserError(
                f"{shown}: {plain_name(name)} would take {size:,} bytes of memory: save it as an "
                "npy file in a folder and name the folder; that is read piece by piece"
            )
    names = {name.removesuffix(".npy") for name in sizes if name.endswith(".npy")}
    return names, lambda name: _inside(path, name)


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header may fail in any way
        raise UserError(
            f"{plain_name(path)}: is not a plain array file ({_first_line(error)}): save it again "
            "with numpy"
        ) from error


def _inside(path: Path, name: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = archive[name]
    except Exception as error:  # a damaged header may fail in any way
        raise UserError(
            f"{plain_name(path)}: {name} is not a plain array ({_first_line(error)}): "
            "save it again with numpy"
        ) from error
    if not isinstance(found, np.ndarray):  # what does not start as an array comes as bytes
        raise UserError(f"{plain_name(path)}: {name} is not an array: save it again with numpy")
    return found


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _words(
    path: Path, name: str, names: set[str], load: Callable[[str], np.ndarray], count: int
) -> list[str]:
    """Labels or groups as names; numbers get leading zeros, so that they sort as numbers."""
    if name not in names:
        raise UserError(f"{plain_name(path)}: has no {name}: add it beside its images")
    values = load(name)
    if values.shape not in ((count,), (count, 1)):
        raise UserError(
            f"{plain_name(path)}: {name} has the shape {values.shape} for {count:,} images: "
            "give one for each image, in the same order"
        )
    if values.dtype.kind not in "iuUb":
        raise UserError(
            f"{plain_name(path)}: {name} holds {values.dtype}: give whole numbers or words"
        )
    values = values.reshape(-1)
    if values.dtype.kind == "U":
        return [plain_name(value) for value in values]
    if len(values) and values.min() < 0:
        raise UserError(
            f"{plain_name(path)}: {name} holds {values.min()}: number from 0, and leave out "
            "images without a label"
        )
    width = len(str(int(values.max()))) if len(values) else 1
    return [f"{int(value):0{width}}" for value in values]


class ArrayImages:
    """Images of one array, fitted when they are asked for.

    Parameters
    ----------
    name
        Of the array, for messages.
    array
        ``(count, height, width)``, ``(count, height, width, channels)`` or
        ``(count, channels, height, width)``.
    target
        What every image becomes.
    skip
        Whether bad images are left out and listed.
    """

    def __init__(self, name: str, array: np.ndarray, target: Target, skip: bool) -> None:
        self.name, self.array, self.target, self.skip = name, array, target, skip
        self.last = array.ndim == 3 or (array.ndim == 4 and array.shape[3] in _CHANNELS)
        second = array.ndim == 4 and array.shape[1] in _CHANNELS
        if not (self.last or second) or 0 in array.shape:
            raise UserError(
                f"{name} has the shape {array.shape}: give (count, height, width) with 1 or 3 "
                "channels last, second or none"
            )
        if array.dtype not in (np.uint8, np.uint16, np.bool_) and array.dtype.kind != "f":
            raise UserError(
                f"{name} holds {array.dtype}: give uint8, uint16, bool, or floats from 0 to 1"
            )
        self.shape: tuple[int, ...] = (len(array), target.channels, target.size, target.size)
        self.dtype: np.dtype = np.dtype(target.dtype)
        path = getattr(array, "filename", None)
        state = Path(path).stat() if path else None
        self.identity = f"{target} {skip} {state and (state.st_size, state.st_mtime_ns)}"
        if state is None:
            # What was unpacked into memory has no date: its content stands for it.
            self.identity += f" {zlib.crc32(np.ascontiguousarray(array).data)}"

    def read(self, start: int, stop: int) -> Shard:
        """Fit some images."""
        images = np.zeros((stop - start, *self.shape[1:]), dtype=self.dtype)
        sizes = np.empty((stop - start, 2), dtype=np.int64)
        problems: dict[int, str] = {}
        for place, given in enumerate(np.asarray(self.array[start:stop])):
            try:
                values = self._values(given)
                sizes[place] = values.shape[:2]
                images[place] = fit_array(values, self.target)
            except ValueError as error:
                problems[start + place] = f"{self.name}[{start + place}] {error}"
        if problems and not self.skip:
            raise UserError(
                f"{next(iter(problems.values()))}: mend it, or set on_bad_image: skip"
                + (f" ({len(problems)} such images among these)" if len(problems) > 1 else "")
            )
        good = [index - start for index in range(start, stop) if index not in problems]
        return Shard(images, problems, sizes[good])

    def _values(self, image: np.ndarray) -> np.ndarray:
        """Channels last, on 0 to 255 or 0 to 1, as many channels as the target has."""
        values = image[:, :, None] if image.ndim == 2 else image
        values = values if self.last else values.transpose(1, 2, 0)
        low, high = values.min(), values.max()
        if values.dtype.kind == "f" and not (low >= 0 and high <= 1):
            raise ValueError(f"has values from {low:g} to {high:g}, which is not 0 to 1")
        if low == high:
            raise ValueError(f"is constant: every pixel is {float(low):g}")
        if values.dtype != np.uint8:
            top = {"u": 65535, "b": 1, "f": 1}[values.dtype.kind]
            values = values.astype(np.float32) / top
        wanted = self.target.channels
        if values.shape[2] == wanted:
            return values
        if wanted == 3:
            return np.repeat(values, 3, axis=2)
        grey = (values.astype(np.float32) @ _LUMA)[:, :, None]
        return np.rint(grey).astype(np.uint8) if values.dtype == np.uint8 else grey

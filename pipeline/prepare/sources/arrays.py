"""Read a user's arrays of images: one npz file, or a folder of npy files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pipeline.common.errors import UserError, first_line
from pipeline.prepare.fetch.archives import check_directory
from pipeline.prepare.images.fit_to_square import Target, fit_array, refuse_constant
from pipeline.prepare.images.value_range import ImageSummary, StoredImage, summarise, to_channels
from pipeline.prepare.labelled_images import ImageChunk
from pipeline.prepare.labels.classes import LabelledSource, number_classes
from pipeline.prepare.labels.columns import Column, as_names, read_array
from pipeline.prepare.sources.image_files import plain_name
from pipeline.prepare.splits.names import is_enough, split_of, words_of

_MOST_BYTES = 4 << 30  # of an array inside an npz file, which is read into memory
# The word of an array's name that says what it holds; the other words name its split.
_ROLES = {
    **dict.fromkeys(("images", "image", "imgs", "x"), "images"),
    **dict.fromkeys(("labels", "label", "targets", "target", "y"), "labels"),
    **dict.fromkeys(("groups", "group"), "groups"),
}
_HIDDEN = (
    "save images and labels of the others alone (images[labels >= 0], labels[labels >= 0]), and "
    "leave out a split of which none is left"
)
_CHANNELS = (1, 3)


def read(
    path: Path, target: Target, *, splits: str | None, min_count: int, skip: bool
) -> LabelledSource:
    """Open ``images`` and ``labels``, perhaps ``groups``; of given splits, ``train_images``...

    Other usual names are known as well: ``x_train`` and ``y_train``, ``val_images``.

    Images are ``(count, height, width)`` with channels last, second or none: integers, bool, or
    floats from 0 to 1. Labels are whole numbers or words, groups too. npy files are read in
    chunks, arrays in an npz file at once.

    Raises
    ------
    UserError
        Naming the array and what is wrong with it.
    """
    names, load = _list_arrays(path)
    found = _by_split(path, names)
    notes: list[str] = []
    with_images = {split for split in found if "images" in found[split]}
    chosen = _chosen_splits(path, with_images, names, splits, notes)
    images: dict[str, ArrayImages] = {}
    columns: dict[str, list[Column]] = {"labels": [], "groups": []}
    for split in chosen:
        name = found[split]["images"]
        images[split] = ArrayImages(f"{plain_name(path)}: {name}", load(name), target, skip)
        for role, read_so_far in columns.items():
            other = found[split].get(role)
            if other is not None:
                where, count = f"{plain_name(path)}: {other}", len(images[split].array)
                read_so_far.append(read_array(where, load(other), count))
            elif role == "labels":
                wanted = name.replace("images", "labels") if "images" in name else "labels"
                raise UserError(
                    f"{plain_name(path)}: has no {wanted}: add it next to {plain_name(name)}"
                )
    if 0 < len(columns["groups"]) < len(chosen):
        raise UserError(f"{plain_name(path)}: has groups for some splits only: add the others")
    labels = dict(zip(chosen, as_names(columns["labels"], hidden=_HIDDEN), strict=True))
    groups = dict(zip(chosen, as_names(columns["groups"]), strict=bool(columns["groups"])))
    return number_classes(
        path.name, images, labels, groups or None, min_count=min_count, notes=notes
    )


def _by_split(path: Path, names: set[str]) -> dict[str, dict[str, str]]:
    """Names of arrays by split and content; ``all`` where a name has no split."""
    found: dict[str, dict[str, str]] = {}
    for name in sorted(names):
        words = words_of(name)
        roles = [word for word in words if word in _ROLES]
        rest = "_".join(word for word in words if word not in _ROLES)
        split = split_of(rest) if rest else "all"
        if len(roles) != 1 or split is None:
            continue
        held = found.setdefault(split, {})
        other = held.setdefault(_ROLES[roles[0]], name)
        if other != name:
            raise UserError(
                f"{plain_name(path)}: {plain_name(other)} and {plain_name(name)} would both be "
                f"the {_ROLES[roles[0]]} of one split: keep one of them"
            )
    return found


def _chosen_splits(
    path: Path, found: set[str], names: set[str], splits: str | None, notes: list[str]
) -> list[str]:
    """The splits to read: the given ones, or ``all``."""
    shown = plain_name(path)
    held = plain_name(", ".join(sorted(names))) or "nothing"
    given = found - {"all"}
    if splits == "given":
        if not is_enough(given):
            raise UserError(
                f"{shown}: splits: given needs train_images, train_labels, test_images, "
                f"test_labels, but holds {held}: name the arrays so, or save images and labels and "
                "remove splits"
            )
        if "all" in found:
            notes.append("images that are in no split are left out")
        return sorted(given)
    if "all" not in found:
        how = "set splits: given" if is_enough(given) else "name the arrays so"
        raise UserError(f"{shown}: needs images and labels, but holds {held}: {how}")
    if given and splits is None:
        raise UserError(
            f"{shown}: holds {held}: set splits: made to use images alone, or name them "
            "train_images and set splits: given"
        )
    notes += [f"the {split} images are left out (splits: made)" for split in sorted(given)]
    return ["all"]


def _list_arrays(path: Path) -> tuple[set[str], Callable[[str], np.ndarray]]:
    """Return the names of the arrays at a path, and a function that opens one."""
    shown = plain_name(path)
    if path.is_dir():
        return {file.stem for file in path.glob("*.npy")}, lambda name: _array(path / f"{name}.npy")
    if not path.is_file():
        raise UserError(f"{shown}: is neither a file nor a folder")
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
                "npy file in a folder and name the folder; that is read in chunks"
            )
    names = {name.removesuffix(".npy") for name in sizes if name.endswith(".npy")}
    return names, lambda name: _inside(path, name)


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header may fail in any way
        raise UserError(
            f"{plain_name(path)}: is not a plain array file ({first_line(error)}): save it again "
            "with numpy"
        ) from error


def _inside(path: Path, name: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = archive[name]
    except Exception as error:  # a damaged header may fail in any way
        raise UserError(
            f"{plain_name(path)}: {name} is not a plain array ({first_line(error)}): "
            "save it again with numpy"
        ) from error
    if not isinstance(found, np.ndarray):  # what does not start as an array comes as bytes
        raise UserError(f"{plain_name(path)}: {name} is not an array: save it again with numpy")
    return found


class ArrayImages:
    """A reader of the images of one array, resized when they are asked for.

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
        known = {*_CHANNELS, target.channels}
        self.last = array.ndim == 3 or (array.ndim == 4 and array.shape[3] in known)
        second = array.ndim == 4 and array.shape[1] in known
        if not (self.last or second) or 0 in array.shape:
            raise UserError(
                f"{name} has the shape {array.shape}: give (count, height, width) with 1 or 3 "
                "channels last, second or none; of more, set channels to their number"
            )
        held = 1 if array.ndim == 3 else array.shape[3 if self.last else 1]
        if held != target.channels and not {held, target.channels} <= {1, 3}:
            raise UserError(
                f"{name} has {held} channels (shape {array.shape}), but channels says "
                f"{target.channels}: set channels: {held}, or save those that are wanted"
            )
        if array.dtype.kind not in "iufb":
            raise UserError(
                f"{name} holds {array.dtype}: give integers, bool, or floats from 0 to 1"
            )
        self.shape: tuple[int, ...] = (len(array), target.channels, target.size, target.size)
        self.dtype: np.dtype = np.dtype(target.dtype)
        path = getattr(array, "filename", None)
        state = Path(path).stat() if path else None
        self.identity = f"{target} {skip} {state and (state.st_size, state.st_mtime_ns)}"
        if state is None:
            # An array in memory has no date: its content identifies it.
            self.identity += f" {zlib.crc32(np.ascontiguousarray(array).data)}"

    def read(self, start: int, stop: int) -> ImageChunk:
        """Resize some images."""
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
                f"{next(iter(problems.values()))}: fix it, or set on_bad_image: skip"
                + (f" ({len(problems)} such images among these)" if len(problems) > 1 else "")
            )
        good = [index - start for index in range(start, stop) if index not in problems]
        return ImageChunk(images, problems, sizes[good])

    def inspect(self, start: int, stop: int) -> Iterator[ImageSummary]:
        """Summarise some images."""
        return (summarise(StoredImage(image)) for image in np.asarray(self.array[start:stop]))

    def _values(self, image: np.ndarray) -> np.ndarray:
        """Channels last, on 0 to 255 or 0 to 1, as many channels as the target has."""
        values = image[:, :, None] if image.ndim == 2 else image
        values = values if self.last else values.transpose(1, 2, 0)
        declared = not isinstance(self.target.value_range, str)
        if values.dtype == np.bool_:  # black and white, whatever is declared
            values = values.astype(np.float32)
        elif values.dtype != np.uint8 or declared:
            values = self.target.unit(values)
        refuse_constant(values, image if self.last else image.transpose(1, 2, 0))
        return to_channels(values, self.target.channels)

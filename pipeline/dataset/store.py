"""Load prepared data sets: memory-mapped arrays, checked against their card."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.common.documents import read_json
from pipeline.common.errors import UserError
from pipeline.common.files import file_sha256

# Raise it whenever the layout of a prepared folder or the meaning of its card changes.
CARD_FORMAT = 2

SPLITS = ("train", "validation", "test", "test_turned")

_FIX = "run `dvc repro --force prepare` to prepare it again"


@dataclass(frozen=True)
class Split:
    """Images ``(count, channels, height, width)`` and labels ``(count,)`` int64.

    Images are float32 from 0 to 1, or uint8 from 0 to 255, which stands for value / 255.
    """

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None  # names ``(count,)``, of fonts or patients; None without any

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A prepared data set; splits that were not asked for are None and were not opened."""

    name: str
    train: Split
    validation: Split
    test: Split | None = None
    test_turned: Split | None = None
    card: dict[str, Any] = field(default_factory=dict, repr=False)
    folder: Path | None = None  # of its files

    @property
    def in_channels(self) -> int:
        """Channels of an image."""
        return int(self.card["image_shape"][0])

    @property
    def image_size(self) -> int:
        """Height, which is the width, in pixels."""
        return int(self.card["image_shape"][1])

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.card["classes"])

    @property
    def background(self) -> float | str:
        """What lies outside of an image, from 0 to 1, or ``edge``: the nearest pixel."""
        background: float | str = self.card.get("ground", 0)
        return background

    @property
    def mean(self) -> np.ndarray:
        """Mean of the training images by channel, ``(channels, 1, 1)`` float32, on 0 to 1."""
        return np.array(self.card["mean"], dtype=np.float32)[:, None, None]

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of the training images by channel, as `mean`."""
        return np.array(self.card["std"], dtype=np.float32)[:, None, None]


def split_files(split: str) -> tuple[str, str]:
    """Return the names of a split's image and label files.

    Examples
    --------
    >>> split_files("test_turned")
    ('test_turned_images.npy', 'test_labels.npy')
    """
    return f"{split}_images.npy", f"{split.removesuffix('_turned')}_labels.npy"


GROUP_NAMES = "group_names.json"


def group_file(split: str) -> str:
    """Return the name of the file with the number of each image's group.

    Examples
    --------
    >>> group_file("test_turned")
    'test_groups.npy'
    """
    return f"{split.removesuffix('_turned')}_groups.npy"


def load_dataset(
    folder: Path | str,
    splits: Sequence[str] = ("train", "validation"),
    *,
    verify: bool = False,
) -> Dataset:
    """Open some splits of a prepared data set, memory-mapped.

    Parameters
    ----------
    folder
        ``data/prepare/<dataset>``.
    splits
        Of `SPLITS`; no file of another split is opened.
    verify
        Whether to read the files through and compare their checksums. Their sizes, types, shapes
        and labels are compared always.

    Raises
    ------
    UserError
        Naming the file, what the card says and what was found.
    """
    folder = Path(folder)
    card = _read_card(folder)
    try:
        loaded = {split: _load_split(folder, split, card, verify) for split in splits}
        return Dataset(name=card["name"], card=card, folder=folder, **loaded)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{folder / 'card.json'}: is incomplete ({error}): {_FIX}") from error


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / "card.json"
    if not path.exists():
        raise UserError(f"{path}: there is no such file: run `dvc repro prepare`")
    card = read_json(path, _FIX)
    if not isinstance(card, dict) or card.get("format") != CARD_FORMAT:
        found = card.get("format") if isinstance(card, dict) else None
        raise UserError(f"{path}: has format {found}, but this code reads {CARD_FORMAT}: {_FIX}")
    return card


def _load_split(folder: Path, split: str, card: dict[str, Any], verify: bool) -> Split:
    names = split_files(split)
    for name in names:
        _check_file(folder / name, card["files"][name], verify)
    images, labels = (_open_array(folder / name) for name in names)
    count = card["counts"][split.removesuffix("_turned")]["total"]
    _check_array(folder / names[0], images, card["dtype"], (count, *card["image_shape"]))
    _check_array(folder / names[1], labels, "int64", (count,))
    outside = labels[(labels < 0) | (labels >= card["classes"])]
    if len(outside):
        raise UserError(
            f"{folder / names[1]}: holds the label {outside[0]}, "
            f"but classes go from 0 to {card['classes'] - 1}: {_FIX}"
        )
    return Split(images, labels, _load_groups(folder, split, card, count, verify))


def _load_groups(
    folder: Path, split: str, card: dict[str, Any], count: int, verify: bool
) -> np.ndarray | None:
    """Return the name of each image's group; None for a data set without groups."""
    name = group_file(split)
    if name not in card["files"]:
        return None
    for file in (name, GROUP_NAMES):
        _check_file(folder / file, card["files"][file], verify)
    numbers = _open_array(folder / name)
    _check_array(folder / name, numbers, "int64", (count,))
    names = read_json(folder / GROUP_NAMES, _FIX)
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise UserError(f"{folder / GROUP_NAMES}: is no list of names: {_FIX}")
    if count and not 0 <= numbers.min() <= numbers.max() < len(names):
        raise UserError(
            f"{folder / name}: holds a number that {GROUP_NAMES} has no name for, of "
            f"{len(names):,}: {_FIX}"
        )
    return np.array(names, dtype=object)[numbers]  # one text for all images of a group


def _check_file(path: Path, expected: dict[str, Any], verify: bool) -> None:
    try:
        size = path.stat().st_size
        actual = file_sha256(path) if verify else expected["sha256"]
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file, but card.json lists it: {_FIX}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if size != expected["bytes"]:
        raise UserError(
            f"{path}: has {size:,} bytes, but card.json says {expected['bytes']:,}: {_FIX}"
        )
    if actual != expected["sha256"]:
        raise UserError(
            f"{path}: its SHA-256 is {actual}, but card.json says {expected['sha256']}: {_FIX}"
        )


def _open_array(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: is not a plain array file ({error}): {_FIX}") from error


def _check_array(path: Path, array: np.ndarray, dtype: str, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise UserError(
            f"{path}: holds {array.dtype} of the shape {array.shape}, "
            f"but card.json says {dtype} of the shape {shape}: {_FIX}"
        )


def release_pages(images: np.ndarray) -> None:
    """Release the memory of a mapped array; its pages are read again when they are needed."""
    mapped = getattr(images, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)

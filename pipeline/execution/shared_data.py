"""How prepared data reach workers: mapped where the files are, Ray's one copy a node elsewhere.

A process that maps a file holds no copy of it: all workers of a node, and the operating system's
own cache, share the same pages, which are given up when memory is short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.common.errors import UserError
from pipeline.common.files import json_text
from pipeline.dataset import Dataset, Split, load_dataset
from pipeline.dataset.store import SPLITS

__all__ = ["Shared", "open_shared", "share"]


@dataclass(frozen=True)
class Shared:
    """A prepared data set on its way to a worker.

    Attributes
    ----------
    folder
        Where its files are, on the driver's machine and perhaps on the worker's.
    splits
        Which splits to open.
    card
        Its card as JSON: a folder with another one holds other data.
    copy
        Ray's references to the same arrays, for a machine without the files; none where all
        workers are on the driver's.
    """

    folder: Path
    splits: tuple[str, ...]
    card: str
    copy: tuple[Any, ...] = ()


def share(
    data: Mapping[str, Any], put: Callable[[Dataset], tuple[Any, ...]] | None = None
) -> dict[str, Any]:
    """Replace prepared data sets by what a worker opens them with; anything else stays as it is.

    Parameters
    ----------
    data
        What the work function will be given.
    put
        Gives a data set to Ray's object store and returns the references; None where every
        worker can read the driver's files.
    """
    return {name: _shared(value, put) for name, value in data.items()}


def _shared(value: Any, put: Callable[[Dataset], tuple[Any, ...]] | None) -> Any:
    if not isinstance(value, Dataset) or value.folder is None:
        return value
    splits = tuple(name for name in SPLITS if getattr(value, name) is not None)
    copy = put(_plain(value)) if put else ()
    return Shared(value.folder.resolve(), splits, json_text(value.card), copy)


def _plain(dataset: Dataset) -> Dataset:
    """The same arrays as views that serialise without a copy, which mapped ones do not."""
    splits: dict[str, Any] = {
        name: Split(np.asarray(split.images), np.asarray(split.labels), split.groups)
        for name in SPLITS
        if (split := getattr(dataset, name)) is not None
    }
    return replace(dataset, folder=None, **splits)


def open_shared(data: Mapping[str, Any], get: Callable[[Any], Dataset]) -> dict[str, Any]:
    """Open, in a worker, what `share` has made.

    Parameters
    ----------
    data
        Of `share`.
    get
        Fetches what a reference of Ray stands for; at most once a node does it travel.

    Raises
    ------
    UserError
        For files that are gone where there is no copy.
    """
    return {name: _opened(value, get) for name, value in data.items()}


def _opened(value: Any, get: Callable[[Any], Dataset]) -> Any:
    if not isinstance(value, Shared):
        return value
    try:
        return _mapped(value.folder, value.splits, value.card)
    except UserError:
        if not value.copy:
            raise
        return get(value.copy[0])


@cache
def _mapped(folder: Path, splits: tuple[str, ...], card: str) -> Dataset:
    """Map the files once a process; they were verified before the stage began."""
    dataset = load_dataset(folder, splits)
    if json_text(dataset.card) != card:
        raise UserError(f"{folder / 'card.json'}: is not of the data that this study is run on")
    return dataset

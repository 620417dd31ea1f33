"""The test images of a data set in the order of their predictions, for `images.parquet`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.confirm.later_splits import draw_splits, with_split
from pipeline.confirm.measures.predictions import image_order
from pipeline.confirm.result_store import RunStore
from pipeline.dataset import Dataset, Split

__all__ = ["list_images"]


def list_images(
    store: RunStore, name: str, card: bytes, load: Callable[[], Dataset], splits: int = 1
) -> list[dict[str, Any]]:
    """Return number, label and group of the test images of every split, in order.

    The number is that in the test split; of a later split, among the images of train, validation
    and test together. They are stored with the runs, so that a stage with nothing to do does not
    open the test split again: `load` is called only where they are missing.
    """
    digest = hashlib.sha256(card).hexdigest()[:12]
    keys = [f"{name}-images{f'-split{n}' if n else ''}-{digest}" for n in range(splits)]
    known = [store.get(key) for key in keys]
    if None in known:
        data = load()
        drawn = draw_splits(data, splits).values()
        numbers = [None, *(one.indices["test"] for one in drawn)]
        parts = [data, *(with_split(data, one) for one in drawn)]
        known = [
            store.put(key, _listed(part.test, number))
            for key, part, number in zip(keys, parts, numbers, strict=True)
        ]
    return [one for one in known if one is not None]


def _listed(test: Split | None, numbers: np.ndarray | None) -> dict[str, Any]:
    if test is None:
        raise ValueError("the test split is not loaded")
    order = image_order(len(test))
    groups = None if test.groups is None else [str(name) for name in test.groups[order]]
    return {
        "test_images": (order if numbers is None else numbers[order]).tolist(),
        "labels": np.array(test.labels)[order].tolist(),
        "groups": groups,
    }

"""The test images of a data set in the order of their predictions, for `images.parquet`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.confirm.measures.predictions import image_order
from pipeline.confirm.result_store import RunStore
from pipeline.dataset import Dataset, Split

__all__ = ["list_images"]


def list_images(
    store: RunStore, name: str, card: bytes, load: Callable[[], Dataset]
) -> dict[str, Any]:
    """Return number in the split, label and group of the test images, in order.

    They are stored beside the runs, so that a stage with nothing to do does not open the test
    split again: `load` is called only where they are missing.
    """
    key = f"{name}-images-{hashlib.sha256(card).hexdigest()[:12]}"
    known = store.get(key)
    if known is not None:
        return known
    test = load().test
    if test is None:
        raise ValueError("the test split is not loaded")
    return store.put(key, _listed(test))


def _listed(test: Split) -> dict[str, Any]:
    order = image_order(len(test))
    groups = None if test.groups is None else [str(name) for name in test.groups[order]]
    return {
        "test_images": order.tolist(),
        "labels": np.array(test.labels)[order].tolist(),
        "groups": groups,
    }

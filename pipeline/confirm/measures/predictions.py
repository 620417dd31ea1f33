"""The predictions of a run under every condition: as bytes, and as rows of their table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save
from torch import Tensor

__all__ = [
    "CONDITIONS",
    "bytes_of_logits",
    "bytes_of_predictions",
    "image_order",
    "pack",
    "rows",
    "upright_predictions",
]

# Conditions by the images that they are measured on, and whether they have logits.
ALL_IMAGES = ("upright", "quarter_90", "quarter_180", "quarter_270", "turned")
ALL_AVERAGED = ("tta_c4",)
SOME_AVERAGED = ("tta_d4", "turned_tta_c4", "turned_tta_d4")
CONDITIONS = (*ALL_IMAGES, *ALL_AVERAGED, *SOME_AVERAGED)
PROBABILITY = "upright.probability"  # of the prediction, in no table
ORDER_SEED = 0
LARGEST_HALF = float(np.finfo(np.float16).max)


def image_order(count: int) -> np.ndarray:
    """Return the order in which test images are numbered: random, and the same for every run.

    Test splits may be sorted by class, or their first half be easier, as that of MNIST; the first n
    images in this order are a sample of the split, and contain those of every smaller n.
    """
    return np.random.default_rng(ORDER_SEED).permutation(count)


def pack(logits: Mapping[str, Tensor], averages: Mapping[str, Tensor], labels: Tensor,
         keep_logits: bool) -> bytes:  # fmt: skip
    """Write what is kept of a run, in the order of the images; the same values, the same bytes.

    Parameters
    ----------
    logits
        ``(images, classes)`` of each condition that is no average.
    averages
        Probabilities ``(images, classes)`` of each that is.
    labels
        ``(images,)``; a condition that was measured on fewer images has the first of them.
    keep_logits
        Whether to keep the logits, too, in half precision.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, values in (*logits.items(), *averages.items()):
        shares = values.double().softmax(1) if name in logits else values
        chosen = shares.gather(1, labels[: len(values), None])[:, 0]
        arrays[f"{name}.prediction"] = values.argmax(1).numpy().astype(np.uint16)
        arrays[f"{name}.label_probability"] = chosen.numpy().astype(np.float16)
        if name == "upright":
            arrays[PROBABILITY] = shares.amax(1).numpy().astype(np.float16)
        if keep_logits and name in logits:
            bounded = torch.clamp(values, -LARGEST_HALF, LARGEST_HALF)
            arrays[f"{name}.logits"] = bounded.numpy().astype(np.float16).reshape(-1)
    return save(arrays)


def rows(path: Path, keep_logits: bool) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run from the bytes that `pack` wrote."""
    arrays = load_file(path)
    for name in CONDITIONS:
        if f"{name}.prediction" in arrays:
            yield {
                "condition": name,
                "first_image": 0,
                "prediction": arrays[f"{name}.prediction"],
                "label_probability": arrays[f"{name}.label_probability"],
                "logits": arrays.get(f"{name}.logits") if keep_logits else None,
            }


def upright_predictions(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the predictions of the upright images, and their probabilities."""
    with safe_open(path, framework="numpy") as file:
        return file.get_tensor("upright.prediction"), file.get_tensor(PROBABILITY)


def bytes_of_predictions(images: int, measured: int) -> int:
    """Return the size of a run's predictions and probabilities, without compression."""
    lists = (len(ALL_IMAGES) + len(ALL_AVERAGED)) * images + len(SOME_AVERAGED) * measured
    return 4 * lists


def bytes_of_logits(images: int, classes: int) -> int:
    """Return the size of a run's logits, without compression."""
    return 2 * len(ALL_IMAGES) * images * classes

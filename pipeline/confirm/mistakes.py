"""The most confidently wrong test images, with their pixels, for `mistakes.parquet`."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.confirm.measures.predictions import upright_predictions
from pipeline.confirm.result_store import RunStore, fingerprint
from pipeline.dataset import Dataset

__all__ = ["find_mistakes"]

# The table is drawn, so it holds few images, whatever the size of the test split.
MOST = 24


def find_mistakes(
    store: RunStore,
    name: str,
    card: bytes,
    kept: Mapping[str, Path],
    images: Mapping[str, Any],
    load: Callable[[], Dataset],
) -> list[dict[str, Any]]:
    """Return the rows of the most confidently wrong upright test images.

    Parameters
    ----------
    kept
        The predictions of every completed run, by the key of its task.
    images
        The test images in the order of the predictions (`list_images`).
    load
        Opens the data set; called only where the store does not have the rows of these runs.

    Notes
    -----
    Images are ordered by the probability of their wrong predictions, averaged over all runs (0
    where a run is right). `predicted` is the wrong class with the most probability over all runs,
    `probability` its mean over the runs that predict it.
    """
    digest = fingerprint([sorted(kept), hashlib.sha256(card).hexdigest()])
    key = f"{name}-mistakes-{digest}"
    known = store.get(key)
    if known is None:
        known = store.put(key, {"rows": _described(kept, images, json.loads(card), load)})
    return [{**row, "pixels": base64.b64decode(row["pixels"])} for row in known["rows"]]


def _described(
    kept: Mapping[str, Path],
    images: Mapping[str, Any],
    card: Mapping[str, Any],
    load: Callable[[], Dataset],
) -> list[dict[str, Any]]:
    labels = np.array(images["labels"])
    chosen = _most_wrong(kept, labels)
    if not len(chosen):
        return []
    test = load().test
    if test is None:
        raise ValueError("the test split is not loaded")
    names = card.get("class_names") or [str(label) for label in range(card["classes"])]
    found = []
    for row in _errors(kept, labels, chosen):
        image = row["image"]
        number = images["test_images"][image]
        pixels = _as_bytes(np.asarray(test.images[number]))
        channels, height, width = pixels.shape
        found.append({
            **row,
            "test_image": number,
            "label": int(labels[image]),
            "label_name": names[labels[image]],
            "predicted_name": names[row["predicted"]],
            "group": images["groups"][image] if images["groups"] else None,
            "runs": len(kept),
            "channels": channels, "height": height, "width": width,
            "pixels": base64.b64encode(pixels.tobytes()).decode(),
        })  # fmt: skip
    return found


def _most_wrong(kept: Mapping[str, Path], labels: np.ndarray) -> np.ndarray:
    """Return the images with the largest probability of wrong predictions, that first."""
    total = np.zeros(len(labels))
    for path in kept.values():
        predicted, probability = upright_predictions(path)
        total += np.where(predicted != labels, probability, 0)
    order = np.argsort(-total, kind="stable")[:MOST]
    return order[total[order] > 0]


def _errors(
    kept: Mapping[str, Path], labels: np.ndarray, chosen: np.ndarray
) -> list[dict[str, Any]]:
    """Return what the runs predict for some images, wrongly."""
    pairs = [upright_predictions(path) for path in kept.values()]
    predicted = np.stack([classes[chosen] for classes, _ in pairs])
    probability = np.stack([shares[chosen] for _, shares in pairs]).astype(np.float64)
    found = []
    for place, image in enumerate(chosen):
        wrong = predicted[:, place] != labels[image]
        classes, run = np.unique(predicted[wrong, place], return_inverse=True)
        shares = np.bincount(run, probability[wrong, place])
        first = int(shares.argmax())
        found.append({
            "image": int(image), "place": place, "predicted": int(classes[first]),
            "probability": float(shares[first] / (run == first).sum()),
            "wrong_runs": int(wrong.sum()),
        })  # fmt: skip
    return found


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    """Return an image ``(channels, height, width)`` in 8 bits; float images are from 0 to 1."""
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)

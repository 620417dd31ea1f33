"""The card of a prepared data set: where it is from, what it holds, how it was made."""

from __future__ import annotations

import platform
from collections import Counter
from importlib import metadata
from typing import Any

import numpy as np

from pipeline.dataset.pixel_statistics import PixelStatistics
from pipeline.dataset.store import CARD_FORMAT
from pipeline.prepare.reading import StoredSplit
from pipeline.prepare.sources.open_source import OpenedSource
from pipeline.prepare.splits.near_duplicates import NEAR, Candidates, count_near
from pipeline.prepare.splits.splitting import Selection
from pipeline.prepare.usable_images import describe_skipped
from pipeline.study.source import Source

_PACKAGES = ("numpy", "torch", "scikit-learn", "matplotlib", "pillow")
_MOST_PAIRS = 20  # of classes that share images
_PAIRS = (("train", "validation"), ("train", "test"), ("validation", "test"))


def describe(
    opened: OpenedSource,
    splits: dict[str, Selection],
    stored: dict[str, StoredSplit],
    statistics: dict[str, PixelStatistics],
) -> dict[str, Any]:
    """Return the card's entries about the source and the images, split by split."""
    return {
        **_describe_splits(opened.source, statistics),
        "dtype": str(stored[splits["test"].given].images.dtype),
        **opened.facts,
        **describe_reading(opened, stored),
        **_describe_duplicates(opened.source, splits, stored),
        "given_parts": {name: len(images) for name, images in opened.given.items()},
        "groups": any(split.keys.groups is not None for split in stored.values()),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _PACKAGES},
        },
    }


def _describe_splits(source: Source, statistics: dict[str, PixelStatistics]) -> dict[str, Any]:
    train = statistics["train"]
    mean, std = train.moments()
    return {
        "format": CARD_FORMAT,
        "name": source.name,
        "title": source.title,
        "source": source.address,
        "licence": source.licence,
        "citation": source.citation,
        "remarks": source.remarks,
        "classes": source.classes,
        "class_names": list(source.class_names),
        "image_shape": list(train.shape),
        "counts": {
            name: {"total": int(split.counts.sum()), "classes": split.counts.tolist()}
            for name, split in statistics.items()
        },
        "value_range": {name: [split.low, split.high] for name, split in statistics.items()},
        "mean": mean,
        "std": std,
    }


def describe_reading(opened: OpenedSource, stored: dict[str, StoredSplit]) -> dict[str, Any]:
    """Return the original sizes, the automatic choices for values, and the skipped images."""
    found: dict[str, Any] = {"skipped": describe_skipped(opened.source, opened.given, stored)}
    sizes = [split.sizes for split in stored.values() if split.sizes]
    if sizes:
        limits = np.array(sizes)
        found["sizes_before"] = {
            "height": [int(limits[:, 0].min()), int(limits[:, 2].max())],
            "width": [int(limits[:, 1].min()), int(limits[:, 3].max())],
        }
    if opened.survey is not None:
        found["ground"] = opened.background
        chosen = opened.survey.facts()
        found["stored_values"] = {**opened.facts["stored_values"], "auto": chosen}
    return found


def _describe_duplicates(
    source: Source, splits: dict[str, Selection], stored: dict[str, StoredSplit]
) -> dict[str, Any]:
    """Return how many images are duplicates, and near duplicates between splits."""
    keys = {name: stored[split.given].keys.take(split.indices) for name, split in splits.items()}
    hashes = np.concatenate([of_split.hashes for of_split in keys.values()])
    labels = np.concatenate([of_split.labels for of_split in keys.values()])
    equal, near = {}, {}
    for one, other in _PAIRS:
        name = f"{other}_in_{one}"
        equal[name] = int(np.isin(keys[other].hashes, keys[one].hashes).sum())
        near[name] = count_near(
            *(
                Candidates(
                    stored[splits[split].given].perceptual_hashes[splits[split].indices],
                    keys[split].hashes,
                    splits[split].indices,
                    stored[splits[split].given].images,
                )
                for split in (other, one)
            )
        )
    return {
        "duplicates": {"images": len(hashes) - len(np.unique(hashes)), **equal},
        "equal_with_other_labels": _conflicts(source, hashes, labels),
        "near_duplicates": {
            **near,
            "meaning": f"same 64-bit print, mean difference below {NEAR:g} of the range, not equal",
        },
    }


def _conflicts(source: Source, hashes: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Count equal images with different labels, by these labels."""
    _, image, copies = np.unique(hashes, return_inverse=True, return_counts=True)
    once = np.unique(np.stack([image, labels]), axis=1)
    several = np.bincount(once[0]) > 1
    classes: Counter[str] = Counter()
    for number in np.flatnonzero(several):
        names = [
            source.class_names[label] if source.class_names else str(label)
            for label in once[1, once[0] == number]
        ]
        classes[", ".join(names)] += int(copies[number])
    return {"images": int(copies[several].sum()), "classes": dict(classes.most_common(_MOST_PAIRS))}

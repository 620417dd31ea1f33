"""The card of a prepared data set: where it is from, what it holds, how it was made."""

from __future__ import annotations

import platform
from collections import Counter
from importlib import metadata
from typing import Any

import numpy as np

from pipeline.dataset.store import CARD_FORMAT
from pipeline.prepare.reading import Pooled
from pipeline.prepare.sources.open_source import Opened
from pipeline.prepare.splits.near_duplicates import NEAR, count_near
from pipeline.prepare.splits.splitting import Listed, Selection
from pipeline.prepare.usable_images import describe_skipped
from pipeline.prepare.writing import Tally
from pipeline.study.datasets import Source

__all__ = ["describe_likeness", "describe_reading", "describe_splits", "describe_versions"]

_PACKAGES = ("numpy", "torch", "scikit-learn", "matplotlib", "pillow")
_MOST_PAIRS = 20  # of classes that share images
_PAIRS = (("train", "validation"), ("train", "test"), ("validation", "test"))


def describe_splits(source: Source, tallies: dict[str, Tally], dtype: str) -> dict[str, Any]:
    """Return what the card says of the source and of what is in each split."""
    train = tallies["train"]
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
        "dtype": dtype,
        "counts": {
            name: {"total": int(tally.counts.sum()), "classes": tally.counts.tolist()}
            for name, tally in tallies.items()
        },
        "value_range": {name: [tally.low, tally.high] for name, tally in tallies.items()},
        "mean": mean,
        "std": std,
    }


def describe_reading(opened: Opened, pooled: dict[str, Pooled]) -> dict[str, Any]:
    """Return the sizes images had, what was chosen for their values, and which are not used."""
    found: dict[str, Any] = {"skipped": describe_skipped(opened.source, opened.parts, pooled)}
    sizes = [part.sizes for part in pooled.values() if part.sizes]
    if sizes:
        limits = np.array(sizes)
        found["sizes_before"] = {
            "height": [int(limits[:, 0].min()), int(limits[:, 2].max())],
            "width": [int(limits[:, 1].min()), int(limits[:, 3].max())],
        }
    if opened.survey is not None:
        found["ground"] = opened.ground
        chosen = opened.survey.facts()
        found["stored_values"] = {**opened.facts["stored_values"], "auto": chosen}
    return found


def describe_likeness(
    source: Source,
    splits: dict[str, Selection],
    listed: dict[str, Listed],
    pooled: dict[str, Pooled],
) -> dict[str, Any]:
    """Return how many images stand twice, and how many of one split are, or nearly, in another."""
    hashes = {name: listed[split.part].hashes[split.indices] for name, split in splits.items()}
    everything = np.concatenate(list(hashes.values()))
    near = {}
    for one, other in _PAIRS:
        (first, first_images), (second, second_images) = (
            _prints(splits[name], listed, pooled) for name in (other, one)
        )
        near[f"{other}_in_{one}"] = count_near(first, second, (first_images, second_images))
    return {
        "duplicates": {
            "images": len(everything) - len(np.unique(everything)),
            **{
                f"{other}_in_{one}": int(np.isin(hashes[other], hashes[one]).sum())
                for one, other in _PAIRS
            },
        },
        "equal_with_other_labels": _conflicts(
            source,
            everything,
            np.concatenate([listed[part.part].labels[part.indices] for part in splits.values()]),
        ),
        "near_duplicates": {
            **near,
            "meaning": f"same 64-bit print, mean difference below {NEAR:g} of the range, not equal",
        },
    }


def _conflicts(source: Source, hashes: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Count the images that stand under several labels, and say under which."""
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


def _prints(
    split: Selection, listed: dict[str, Listed], pooled: dict[str, Pooled]
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    part = pooled[split.part]
    return (
        (part.prints[split.indices], listed[split.part].hashes[split.indices], split.indices),
        part.images,
    )


def describe_versions() -> dict[str, str]:
    """Return the versions that draws, turns and pictures depend on."""
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
    }

"""Further splits of a prepared data set (`confirm.splits`): all its images, divided otherwise.

Split 0 is the prepared one. The others are drawn as `prepare` draws it, from the same images:
stratified by class, with equal images and groups in one split, of about the same sizes. Only the
numbers of their images are kept; the images stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.common.errors import UserError
from pipeline.dataset import Dataset, Split
from pipeline.dataset.pixel_statistics import PixelStatistics
from pipeline.dataset.stratified import ImageKeys, draw_fractions, image_hashes
from pipeline.dataset.views import Gathered, Turned

__all__ = ["DrawnSplit", "draw_splits", "drawn_name", "with_split"]

PARTS = ("train", "validation", "test")
# Independent random streams of the seed of `prepare`, which has those before 6.
_SPLITS, _ANGLES = 6, 7
# With few groups a class may be missing from a part; another split is drawn then.
_ATTEMPTS = 50
_BATCH = 1024  # images looked at together


@dataclass(frozen=True)
class DrawnSplit:
    """Numbers of the images of each part, among those of train, validation and test together.

    ``degrees`` are those of the turned test images, ``card`` what the card says of this split.
    """

    indices: Mapping[str, np.ndarray]
    degrees: np.ndarray
    card: Mapping[str, Any]


def drawn_name(dataset: str, split: int) -> str:
    """Return the name under which workers find a later split."""
    return f"{dataset} split {split}"


def draw_splits(data: Dataset, splits: int) -> dict[str, DrawnSplit]:
    """Draw splits 1 to `splits` - 1 of a data set, by `drawn_name`; the same every time.

    Raises
    ------
    UserError
        No split that has every class in every part was found.
    """
    if splits == 1:
        return {}
    pool = _pool(data)
    hashes = np.concatenate([image_hashes(_part(data, name).images) for name in PARTS])
    keys = ImageKeys(pool.labels, hashes, pool.groups)
    shares = {name: len(_part(data, name)) / len(pool) for name in ("test", "validation")}
    found = {}
    for split in range(1, splits):
        generator = _generator(data, _SPLITS, split)
        indices = _drawn(data.name, keys, shares, generator)
        degrees = _generator(data, _ANGLES, split).uniform(0, 360, len(indices["test"]))
        card = _described(data.num_classes, pool, indices)
        found[drawn_name(data.name, split)] = DrawnSplit(indices, degrees, card)
    return found


def with_split(data: Dataset, drawn: DrawnSplit) -> Dataset:
    """Return a prepared data set with its images divided as a later split has them."""
    pool = _pool(data)
    train, validation, test = (_taken(pool, drawn.indices[name]) for name in PARTS)
    turned: Any = Turned(test.images, drawn.degrees, data.background)
    return replace(
        data, train=train, validation=validation, test=test,
        test_turned=replace(test, images=turned), card={**data.card, **drawn.card},
    )  # fmt: skip


def _part(data: Dataset, name: str) -> Split:
    part: Split | None = getattr(data, name)
    if part is None:
        raise ValueError(f"the {name} split is not loaded")
    return part


def _pool(data: Dataset) -> Split:
    """Return all prepared images together."""
    parts = [_part(data, name) for name in PARTS]
    labels = np.concatenate([part.labels for part in parts])
    images: Any = Gathered([part.images for part in parts], np.arange(len(labels)))
    names = [part.groups for part in parts if part.groups is not None]
    return Split(images, labels, np.concatenate(names) if names else None)


def _taken(pool: Split, chosen: np.ndarray) -> Split:
    pooled: Any = pool.images
    images: Any = replace(pooled, indices=chosen)
    return Split(images, pool.labels[chosen], None if pool.groups is None else pool.groups[chosen])


def _drawn(
    name: str, keys: ImageKeys, shares: dict[str, float], generator: np.random.Generator
) -> dict[str, np.ndarray]:
    for _ in range(_ATTEMPTS):
        try:
            return draw_fractions(keys, shares, generator)
        except UserError as error:
            reason = error
    raise UserError(
        f"confirm.splits: {name}: no other split was found in {_ATTEMPTS} draws; of the last, "
        f"{reason}, or set confirm.splits: 1"
    )


def _described(classes: int, pool: Split, indices: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the entries of a card that depend on the split."""
    statistics = PixelStatistics(classes, pool.images.shape[1:], pool.images.dtype)
    for start in range(0, len(indices["train"]), _BATCH):
        batch = indices["train"][start : start + _BATCH]
        statistics.add(pool.images[batch], pool.labels[batch])
    mean, std = statistics.moments()
    counts = {name: np.bincount(pool.labels[one], minlength=classes).tolist()
              for name, one in indices.items()}  # fmt: skip
    return {
        "mean": mean, "std": std,
        "counts": {name: {"total": sum(one), "classes": one} for name, one in counts.items()},
    }  # fmt: skip


def _generator(data: Dataset, stream: int, split: int) -> np.random.Generator:
    seed = int(data.card["seed"])
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, split)))

"""Fixed, stratified, disjoint splits: the same image never stands in two of them."""

from __future__ import annotations

import hashlib

import numpy as np

from pipeline.datasets.parts import Images, Parts
from pipeline.errors import UserError

__all__ = ["count_shared", "image_hashes", "make_splits", "stratified"]


def make_splits(
    parts: Parts,
    generator: np.random.Generator,
    *,
    validation_fraction: float,
    test_fraction: float,
) -> dict[str, Images]:
    """Return ``train``, ``validation`` and ``test``.

    What the source has fixed is kept; the rest is drawn, class by class.

    Parameters
    ----------
    parts
        What the source hands over.
    generator
        Where the draw comes from.
    validation_fraction, test_fraction
        Of the images that the split is drawn from: all of them where the source fixes no split,
        its training part where it fixes only the test (``test_fraction`` is then without effect).

    Raises
    ------
    UserError
        For a class too small to be in every split, and for a test image that is in another split.
    """
    if "all" in parts:
        wanted = {"test": test_fraction, "validation": validation_fraction}
        splits = _draw(parts["all"], wanted, generator)
    elif "validation" in parts:
        splits = dict(parts)
    else:
        drawn = _draw(parts["train"], {"validation": validation_fraction}, generator)
        splits = {**drawn, "test": parts["test"]}
    splits = {name: splits[name] for name in ("train", "validation", "test")}
    for name in ("train", "validation"):
        shared = count_shared(splits[name], splits["test"])
        if shared:
            raise UserError(
                f"the test split holds {shared:,} images that are also in {name}: "
                "the source's own splits leak, so no test on them can be trusted"
            )
    return splits


def _draw(
    images: Images, fractions: dict[str, float], generator: np.random.Generator
) -> dict[str, Images]:
    indices = stratified(images.labels, image_hashes(images.images), fractions, generator)
    return {name: images.take(chosen) for name, chosen in indices.items()}


def stratified(
    labels: np.ndarray,
    hashes: np.ndarray,
    fractions: dict[str, float],
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Return sorted indices of each named fraction of every class, and of ``train``, the rest.

    Images with one hash go together, with the class of the first of them.

    Parameters
    ----------
    labels
        ``(count,)``.
    hashes
        ``(count,)``, equal where images are equal.
    fractions
        The share of each split but ``train``.
    generator
        Where the draw comes from.
    """
    names = [*fractions, "train"]
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    sizes = np.bincount(group)
    split_of_group = np.empty(len(first), dtype=np.int64)
    for label in np.unique(labels[first]):
        groups = generator.permutation(np.flatnonzero(labels[first] == label))
        ends = np.cumsum(sizes[groups])
        bounds = np.cumsum([max(1, round(share * ends[-1])) for share in fractions.values()])
        split_of_group[groups] = np.searchsorted(bounds, ends)
        empty = sorted(set(range(len(names))) - set(split_of_group[groups].tolist()))
        if empty:
            raise UserError(
                f"class {label} has {ends[-1]} images, too few for {', '.join(names)}: "
                f"none is left for {names[empty[0]]}"
            )
    split = split_of_group[group]
    return {name: np.flatnonzero(split == index) for index, name in enumerate(names)}


def image_hashes(images: np.ndarray) -> np.ndarray:
    """Return one text ``(count,)`` an image, equal where all pixels are equal."""
    return np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images])


def count_shared(one: Images, other: Images) -> int:
    """Count the images of one split that are, pixel by pixel, also in the other."""
    return int(np.isin(image_hashes(one.images), image_hashes(other.images)).sum())

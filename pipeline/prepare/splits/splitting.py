"""Fixed, stratified splits that share neither an image nor a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.common.errors import UserError


@dataclass(frozen=True)
class ImageKeys:
    """What a split is drawn by, each ``(count,)``; equal hashes are equal images."""

    labels: np.ndarray
    hashes: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> ImageKeys:
        """Return the keys of some of the images."""
        groups = None if self.groups is None else self.groups[indices]
        return ImageKeys(self.labels[indices], self.hashes[indices], groups)


@dataclass(frozen=True)
class Selection:
    """The images of a split: the given split that holds them and their sorted indices there."""

    given: str
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)


def make_splits(
    given: dict[str, ImageKeys],
    generator: np.random.Generator,
    *,
    validation_fraction: float,
    test_fraction: float,
    allow_leaks: bool = False,
    classes: Sequence[tuple[str, int]] = (),
) -> dict[str, Selection]:
    """Return ``train``, ``validation`` and ``test``.

    Given splits are kept; the others are drawn, stratified by class.

    Parameters
    ----------
    given
        Keys of the images of each given split.
    generator
        The source of randomness.
    validation_fraction, test_fraction
        Of the images that the split is drawn from: all of them where the source fixes no split,
        its training split where it fixes only the test (``test_fraction`` is then without effect).
    allow_leaks
        Whether given splits may share images or groups.
    classes
        The name of each class and how many images it has, all given splits together, for messages.

    Raises
    ------
    UserError
        For a class too small to be in every split, and for a test image or group in another split.
    """
    if "all" in given:
        wanted = {"test": test_fraction, "validation": validation_fraction}
        splits = _draw(given, "all", wanted, generator, classes)
    elif "validation" in given:
        splits = {name: _whole(given, name) for name in given}
    else:
        wanted = {"validation": validation_fraction}
        drawn = _draw(given, "train", wanted, generator, classes)
        splits = {**drawn, "test": _whole(given, "test")}
    splits = {name: splits[name] for name in ("train", "validation", "test")}
    if not allow_leaks:
        _refuse_leaks(given, splits)
    return splits


def _whole(given: dict[str, ImageKeys], name: str) -> Selection:
    return Selection(name, np.arange(len(given[name])))


def _refuse_leaks(given: dict[str, ImageKeys], splits: dict[str, Selection]) -> None:
    test = splits["test"]
    for name in ("train", "validation"):
        split = splits[name]
        for word, keys in (("images", "hashes"), ("groups", "groups")):
            held, tested = (getattr(given[one.given], keys) for one in (split, test))
            if held is None or tested is None:
                continue
            shared = np.isin(tested[test.indices], held[split.indices])
            if shared.any():
                count = len(np.unique(tested[test.indices][shared])) if word == "groups" else None
                raise UserError(
                    f"the test split holds {count or int(shared.sum()):,} {word} that are also in "
                    f"{name}: the source's own splits leak, so no test on them can be trusted; "
                    "fix them, or set prepare.allow_leaks: true to have them counted in the card"
                )


def _draw(
    given: dict[str, ImageKeys],
    name: str,
    fractions: dict[str, float],
    generator: np.random.Generator,
    classes: Sequence[tuple[str, int]],
) -> dict[str, Selection]:
    keys = given[name]
    indices = stratified(keys.labels, _linked(keys), fractions, generator, classes)
    return {split: Selection(name, chosen) for split, chosen in indices.items()}


def _linked(keys: ImageKeys) -> np.ndarray:
    """Keys ``(count,)``, equal for images that are linked by equal pixels or a common group."""
    if keys.groups is None:
        return keys.hashes
    count = len(keys)
    images = np.unique(keys.hashes, return_inverse=True)[1]
    groups = np.unique(keys.groups, return_inverse=True)[1] + images.max() + 1
    edges = coo_array((np.ones(count), (images, groups)), shape=(groups.max() + 1,) * 2)
    return connected_components(edges, directed=False)[1][images]


def stratified(
    labels: np.ndarray,
    linked: np.ndarray,
    fractions: dict[str, float],
    generator: np.random.Generator,
    classes: Sequence[tuple[str, int]] = (),
) -> dict[str, np.ndarray]:
    """Return sorted indices of each named fraction of every class, and of ``train``, the rest.

    LabelledLinked images go into one split, stratified by the class of the first of them.

    Parameters
    ----------
    labels
        ``(count,)``.
    linked
        ``(count,)``, equal for images that must stay in one split.
    fractions
        The share of each split but ``train``.
    generator
        The source of randomness.
    classes
        The name of each class and how many images it has, all given splits together, for messages.

    Raises
    ------
    UserError
        For a class too small to be in every split.
    """
    names = [*fractions, "train"]
    _, first, group = np.unique(linked, return_index=True, return_inverse=True)
    sizes = np.bincount(group)
    split_of_group = np.empty(len(first), dtype=np.int64)
    for label in np.unique(labels[first]):
        groups = generator.permutation(np.flatnonzero(labels[first] == label))
        ends = np.cumsum(sizes[groups])
        bounds = np.cumsum([max(1, round(share * ends[-1])) for share in fractions.values()])
        split_of_group[groups] = np.searchsorted(bounds, ends)
    split = split_of_group[group]
    for label in np.unique(labels):
        here = split[labels == label]
        empty = sorted(set(range(len(names))) - set(here.tolist()))
        if empty:
            groups_left = len(np.unique(group[labels == label]))
            raise UserError(
                f"class {_class_name(label, classes)} has {_counted(len(here), 'image')}"
                + (f" in {_counted(groups_left, 'group')}" if groups_left < len(here) else "")
                + f", too few for {', '.join(names)}: none is left for {names[empty[0]]}: "
                + _larger(label, groups_left < len(here), classes)
            )
    return {name: np.flatnonzero(split == index) for index, name in enumerate(names)}


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _class_name(label: int, classes: Sequence[tuple[str, int]]) -> str:
    return repr(classes[label][0]) if classes else str(label)


def _larger(label: int, grouped: bool, classes: Sequence[tuple[str, int]]) -> str:
    """How to enlarge a class that is too small; classes with names are of a user's data."""
    more = "add images of other groups, or that are not equal" if grouped else "add images"
    if not classes:
        return more
    return f"{more}, or set min_count: {classes[label][1] + 1} to leave such classes out"


def subsample(
    split: Selection,
    labels: np.ndarray,
    seed: int,
    *,
    fraction: float,
    per_class: int | None = None,
    stream: int = 2,
    classes: Sequence[tuple[str, int]] = (),
) -> Selection:
    """Return a subset of a split, stratified by class; smaller subsets lie within larger ones.

    Parameters
    ----------
    split
        The whole split.
    labels
        ``(count,)`` of its images.
    seed
        Decides the order in which images of a class are taken.
    fraction
        Of each class, at least one image.
    per_class
        LabelledImages of each class instead, or None.
    stream
        Which of the seed's independent streams decides.
    classes
        The name of each class and how many images it has, all given splits together, for messages.

    Raises
    ------
    UserError
        When a class has fewer images than asked for.
    """
    if fraction >= 1 and per_class is None:
        return split
    chosen = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        wanted = per_class or max(1, round(fraction * len(places)))
        if wanted > len(places):
            raise UserError(
                f"prepare.images_per_class: class {_class_name(label, classes)} has "
                f"{_counted(len(places), 'training image')}, "
                f"fewer than {wanted}: ask for at most {len(places)}"
            )
        # The order of a class depends on the seed and the class alone.
        generator = np.random.default_rng(
            np.random.SeedSequence(seed, spawn_key=(stream, int(label)))
        )
        chosen.append(generator.permutation(places)[:wanted])
    return replace(split, indices=split.indices[np.sort(np.concatenate(chosen))])

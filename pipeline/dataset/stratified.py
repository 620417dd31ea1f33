"""Random splits that are stratified by class, and separate neither equal images nor groups."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.common.errors import UserError
from pipeline.common.units import counted

# Random orders of groups that are tried, fewer if this many groups have to be placed.
_ORDERS, _STEPS = 10, 20_000


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


def image_hashes(images: np.ndarray) -> np.ndarray:
    """Return 16 bytes ``(count,)`` an image, equal where all pixels are equal."""
    found = [hashlib.sha256(np.ascontiguousarray(image).data).digest()[:16] for image in images]
    return np.array(found, dtype="S16")


def linked(keys: ImageKeys) -> np.ndarray:
    """Return keys ``(count,)``, equal for images linked by equal pixels or a common group.

    With groups, they are numbers in the order of the groups, whatever the pixels are.
    """
    if keys.groups is None:
        return keys.hashes
    from scipy.sparse import coo_array  # slow to import, of every process
    from scipy.sparse.csgraph import connected_components

    count = len(keys)
    images = np.unique(keys.hashes, return_inverse=True)[1]
    groups = np.unique(keys.groups, return_inverse=True)[1]
    edges = coo_array((np.ones(count), (groups, images + groups.max() + 1)), shape=(2 * count,) * 2)
    return connected_components(edges, directed=False)[1][groups]


def draw_fractions(
    keys: ImageKeys,
    fractions: dict[str, float],
    generator: np.random.Generator,
    classes: Sequence[tuple[str, int]] = (),
) -> dict[str, np.ndarray]:
    """Return sorted indices of each named fraction, and of ``train``, the rest.

    Each split has about its share of every class. Equal images, and those of one group, stay in
    one split; then the shares are as good as whole groups allow.

    Raises
    ------
    UserError
        For a class too small to be in every split.
    """
    together = linked(keys)
    if keys.groups is None:
        return stratified(keys.labels, together, fractions, generator, classes)
    names = [*fractions, "train"]
    split_of_group, group = _whole_groups(keys.labels, together, fractions, generator)
    return _checked(split_of_group[group], keys.labels, group, names, classes)


def _whole_groups(
    labels: np.ndarray,
    together: np.ndarray,
    fractions: dict[str, float],
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the split of each group, and the number of the group of each image.

    One group after another, in random order, goes where the share of each class in each split comes
    closest to the wanted one (least squares, as in a chi-squared statistic); of several orders,
    the one with the fewest classes missing from a split, then the closest, is taken.
    """
    group = np.unique(together, return_inverse=True)[1]
    kinds = np.unique(labels, return_inverse=True)[1]
    part = np.zeros((group.max() + 1, kinds.max() + 1))
    np.add.at(part, (group, kinds), 1)
    part /= part.sum(0)  # the share of each class that each group holds
    wanted = np.array([*fractions.values(), 1 - sum(fractions.values())])[:, None]
    found: list[tuple[int, float, int, np.ndarray]] = []
    for _ in range(min(_ORDERS, 1 + _STEPS // len(part))):
        held, placed = np.zeros((len(wanted), part.shape[1])), np.empty(len(part), dtype=np.int64)
        for one in generator.permutation(len(part)):
            growth = (part[one] * (2 * (held - wanted) + part[one]) / wanted).sum(1)
            placed[one] = growth.argmin()
            held[placed[one]] += part[one]
        missing, error = int((held == 0).sum()), float(((held - wanted) ** 2 / wanted).sum())
        found.append((missing, error, len(found), placed))
    return min(found)[3], group


def stratified(
    labels: np.ndarray,
    linked: np.ndarray,
    fractions: dict[str, float],
    generator: np.random.Generator,
    classes: Sequence[tuple[str, int]] = (),
) -> dict[str, np.ndarray]:
    """Return sorted indices of each named fraction of every class, and of ``train``, the rest.

    Linked images go into one split, stratified by the class of the first of them.

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
    return _checked(split_of_group[group], labels, group, names, classes)


def _checked(
    split: np.ndarray,
    labels: np.ndarray,
    group: np.ndarray,
    names: Sequence[str],
    classes: Sequence[tuple[str, int]],
) -> dict[str, np.ndarray]:
    """Return the indices of each split, and refuse a class that is not in all of them."""
    for label in np.unique(labels):
        here = split[labels == label]
        empty = sorted(set(range(len(names))) - set(here.tolist()))
        if empty:
            groups_left = len(np.unique(group[labels == label]))
            raise UserError(
                f"class {class_name(label, classes)} has {counted(len(here), 'image')}"
                + (f" in {counted(groups_left, 'group')}" if groups_left < len(here) else "")
                + f", too few for {', '.join(names)}: none is left for {names[empty[0]]}: "
                + _larger(label, groups_left < len(here), classes)
            )
    return {name: np.flatnonzero(split == index) for index, name in enumerate(names)}


def class_name(label: int, classes: Sequence[tuple[str, int]]) -> str:
    """Return the name of a class in quotes, or its number where classes have no names."""
    return repr(classes[label][0]) if classes else str(label)


def _larger(label: int, grouped: bool, classes: Sequence[tuple[str, int]]) -> str:
    """How to enlarge a class that is too small; classes with names are of a user's data."""
    more = "add images of other groups, or that are not equal" if grouped else "add images"
    if not classes:
        return more
    return f"{more}, or set min_count: {classes[label][1] + 1} to leave such classes out"

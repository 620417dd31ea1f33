"""Turn names of classes and groups into numbers, and leave out classes that are too small."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from pipeline.common.errors import UserError
from pipeline.prepare.images.value_range import Look
from pipeline.prepare.parts import Images, Looked, Parts, Shard
from pipeline.prepare.splits.names import split_of

__all__ = ["Labelled", "Subset", "in_numbers", "label_parts"]


@dataclass(frozen=True)
class Labelled:
    """Images of a user's own.

    Attributes
    ----------
    parts
        The images, labels and groups.
    class_names
        Of each label.
    left_out
        Number of images of each class that is too small, or has none that is read.
    ignored
        Number of files of each kind that are no images, or lie outside the classes.
    notes
        What was decided without being asked, each a sentence.
    """

    parts: Parts
    class_names: tuple[str, ...]
    left_out: dict[str, int]
    ignored: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Subset:
    """Some of the images of a part."""

    def __init__(self, images: Looked, indices: np.ndarray) -> None:
        self.images, self.indices = images, indices
        self.shape, self.dtype = (len(indices), *images.shape[1:]), images.dtype
        self.identity = f"{images.identity} {len(indices)} {zlib.crc32(indices.tobytes())}"

    def _runs(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return where each run of neighbours begins and ends."""
        wanted = self.indices[start:stop]
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) != 1) + 1)
        return [(int(run[0]), int(run[-1]) + 1) for run in runs]

    def look(self, start: int, stop: int) -> Iterator[Look]:
        """Look at each run of neighbours for the choices of a whole data set."""
        return chain.from_iterable(self.images.look(*run) for run in self._runs(start, stop))

    def read(self, start: int, stop: int) -> Shard:
        """Read each run of neighbours at once."""
        wanted = self.indices[start:stop]
        shards = [self.images.read(*run) for run in self._runs(start, stop)]
        place = dict(zip(wanted.tolist(), range(start, stop), strict=True))
        sizes = [shard.sizes for shard in shards if shard.sizes is not None]
        return Shard(
            np.concatenate([shard.images for shard in shards]),
            {place[index]: text for shard in shards for index, text in shard.problems.items()},
            np.concatenate(sizes) if sizes else None,
        )


def label_parts(
    name: str,
    images: Mapping[str, Looked],
    labels: Mapping[str, Sequence[str]],
    groups: Mapping[str, Sequence[str | None]] | None,
    *,
    min_count: int,
    empty: Mapping[str, Mapping[str, str]] = {},
    notes: Sequence[str] = (),
) -> Labelled:
    """Number the classes in the order of their names, over all parts.

    Where a validation part is given but no test, it is the test.

    Parameters
    ----------
    name
        Of the data set, for messages.
    images, labels, groups
        Of each part, by part.
    min_count
        Classes with fewer images, all parts together, are left out.
    empty
        By part, what is known of classes that have no image there.
    notes
        What the caller has to say.

    Raises
    ------
    UserError
        When fewer than two classes are left, all of them are called like splits, or a part lacks
        one.
    """
    counts = Counter(label for part in labels.values() for label in part)
    for label in {label for part in empty.values() for label in part}:
        counts[label] += 0
    ordered = sorted(counts, key=in_numbers)
    kept = tuple(label for label in ordered if counts[label] >= max(min_count, 1))
    left_out = {label: counts[label] for label in ordered if label not in kept}
    if len(kept) < 2:
        found = ", ".join(
            f"{label} ({count})"
            for label, count in [(label, counts[label]) for label in ordered][:5]
        )
        raise UserError(
            f"{name}: a classification needs two classes or more, but found {found or 'none'}"
            + (f", of which those below min_count {min_count} are left out" if left_out else "")
        )
    splits = {split_of(label) for label in kept}
    if None not in splits and len(splits) > 1:
        raise UserError(
            f"{name}: the labels are {', '.join(kept[:5])}, like splits, not classes: name the "
            "column or array that holds the classes"
        )
    number = {label: index for index, label in enumerate(kept)}
    names = sorted({str(group) for part in (groups or {}).values() for group in part})
    group_number = {group: index for index, group in enumerate(names)}
    parts: Parts = {}
    for part, given in labels.items():
        chosen = np.array([i for i, label in enumerate(given) if label in number], dtype=np.int64)
        numbers = np.array([number[given[i]] for i in chosen], dtype=np.int64)
        absent = sorted(set(range(len(kept))) - set(numbers.tolist()))
        if absent:
            label = kept[absent[0]]
            there = f" ({empty[part][label]})" if label in empty.get(part, {}) else ""
            raise UserError(
                f"{name}, {part}: has no image of the class {label!r}{there}, which other splits "
                "have: add some, or remove the class"
            )
        own = None
        if groups is not None:
            own = np.array([group_number[str(groups[part][i])] for i in chosen], dtype=np.int64)
        whole = images[part]
        lazy = whole if len(chosen) == len(given) else Subset(whole, chosen)
        parts[part] = Images(lazy, numbers, groups=own)
    said = [*notes, *_unread(left_out, counts, empty), *_alike(kept)]
    if "validation" in parts and "test" not in parts:
        parts["test"] = parts.pop("validation")
        said.append(
            "no test is given: the given validation images are the test, and validation images "
            "are drawn from train"
        )
    return Labelled(parts, kept, left_out, notes=tuple(said))


def in_numbers(name: str) -> tuple[list[str], str]:
    """Return a key that sorts names as people do: 2 before 10.

    Examples
    --------
    >>> sorted(["grade 10", "grade 2", "10", "2"], key=in_numbers)
    ['2', '10', 'grade 2', 'grade 10']
    """
    pieces = re.split(r"(\d+)", name)
    pieces[1::2] = [f"{len(number.lstrip('0')):09}{number.lstrip('0')}" for number in pieces[1::2]]
    return pieces, name


def _unread(
    left_out: Mapping[str, int], counts: Mapping[str, int], empty: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Say of which classes there are folders, but no image."""
    told = {label: text for part in empty.values() for label, text in part.items()}
    return [
        f"the class {label} has no image that can be read ({told[label]})"
        for label in left_out
        if not counts[label]
    ]


def _alike(names: Sequence[str]) -> list[str]:
    """Say which names may be one class, or none."""
    seen: dict[str, str] = {}
    said = []
    for name in names:
        short = "".join(name.split()).casefold()
        if short in seen:
            said.append(f"the classes {seen[short]!r} and {name!r} differ in case or spaces alone")
        if short in ("nan", "none", "null", "n/a", "<na>", ""):
            said.append(f"a class is called {name!r}, as missing labels often are")
        seen.setdefault(short, name)
    return said

"""Number classes and groups by their names, and leave out classes that are too small."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from pipeline.common.errors import UserError
from pipeline.prepare.images.value_range import ImageSummary
from pipeline.prepare.labelled_images import (
    GivenSplits,
    ImageChunk,
    InspectableReader,
    LabelledImages,
)
from pipeline.prepare.splits.names import split_of


@dataclass(frozen=True)
class LabelledSource:
    """A user's data set: images with numbered classes.

    Attributes
    ----------
    given
        The images, labels and groups, by given split.
    class_names
        Of each label.
    left_out
        Number of images of each class that is left out, being too small or empty.
    ignored
        Number of files of each kind that are not images, or lie outside the classes.
    notes
        Decisions that the user should know, each a sentence.
    """

    given: GivenSplits
    class_names: tuple[str, ...]
    left_out: dict[str, int]
    ignored: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Subset:
    """Some of the images of a reader, by their indices."""

    def __init__(self, images: InspectableReader, indices: np.ndarray) -> None:
        self.images, self.indices = images, indices
        self.shape, self.dtype = (len(indices), *images.shape[1:]), images.dtype
        self.identity = f"{images.identity} {len(indices)} {zlib.crc32(indices.tobytes())}"

    def _runs(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return start and stop of each run of consecutive indices."""
        wanted = self.indices[start:stop]
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) != 1) + 1)
        return [(int(run[0]), int(run[-1]) + 1) for run in runs]

    def inspect(self, start: int, stop: int) -> Iterator[ImageSummary]:
        """Summarise each run of consecutive images."""
        return chain.from_iterable(self.images.inspect(*run) for run in self._runs(start, stop))

    def read(self, start: int, stop: int) -> ImageChunk:
        """Read each run of consecutive images at once."""
        wanted = self.indices[start:stop]
        chunks = [self.images.read(*run) for run in self._runs(start, stop)]
        place = dict(zip(wanted.tolist(), range(start, stop), strict=True))
        sizes = [chunk.sizes for chunk in chunks if chunk.sizes is not None]
        return ImageChunk(
            np.concatenate([chunk.images for chunk in chunks]),
            {place[index]: text for chunk in chunks for index, text in chunk.problems.items()},
            np.concatenate(sizes) if sizes else None,
        )


def number_classes(
    name: str,
    images: Mapping[str, InspectableReader],
    labels: Mapping[str, Sequence[str]],
    groups: Mapping[str, Sequence[str | None]] | None,
    *,
    min_count: int,
    empty: Mapping[str, Mapping[str, str]] = {},
    notes: Sequence[str] = (),
) -> LabelledSource:
    """Number the classes in the order of their names, over all given splits.

    A given validation split without a given test is used as the test.

    Parameters
    ----------
    name
        Of the data set, for messages.
    images, labels, groups
        By given split.
    min_count
        Classes with fewer images, all given splits together, are left out.
    empty
        By given split and class, what the folders of classes without an image hold.
    notes
        Notes of the caller.

    Raises
    ------
    UserError
        When fewer than two classes are left, all have the names of splits, or a given split lacks
        a class.
    """
    counts = Counter(label for split in labels.values() for label in split)
    for label in {label for split in empty.values() for label in split}:
        counts[label] += 0
    ordered = sorted(counts, key=natural_order)
    kept = tuple(label for label in ordered if counts[label] >= max(min_count, 1))
    left_out = {label: counts[label] for label in ordered if label not in kept}
    if len(kept) < 2:
        found = ", ".join(f"{label} ({counts[label]})" for label in ordered[:5]) or "none"
        raise UserError(
            f"{name}: a classification needs two classes or more, but found {found}"
            + (f", of which those below min_count {min_count} are left out" if left_out else "")
        )
    splits = {split_of(label) for label in kept}
    if None not in splits and len(splits) > 1:
        raise UserError(
            f"{name}: the labels are {', '.join(kept[:5])}, like splits, not classes: name the "
            "column or array that holds the classes"
        )
    number = {label: index for index, label in enumerate(kept)}
    names = sorted({str(group) for split in (groups or {}).values() for group in split})
    group_number = {group: index for index, group in enumerate(names)}
    by_split: GivenSplits = {}
    for split, given in labels.items():
        chosen = np.array([i for i, label in enumerate(given) if label in number], dtype=np.int64)
        numbers = np.array([number[given[i]] for i in chosen], dtype=np.int64)
        absent = sorted(set(range(len(kept))) - set(numbers.tolist()))
        if absent:
            label = kept[absent[0]]
            there = f" ({empty[split][label]})" if label in empty.get(split, {}) else ""
            raise UserError(
                f"{name}, {split}: has no image of the class {label!r}{there}, which other splits "
                "have: add some, or remove the class"
            )
        numbered = None
        if groups is not None:
            numbered = np.array(
                [group_number[str(groups[split][i])] for i in chosen], dtype=np.int64
            )
        whole = images[split]
        lazy = whole if len(chosen) == len(given) else Subset(whole, chosen)
        by_split[split] = LabelledImages(lazy, numbers, groups=numbered, group_names=names)
    notes = [*notes, *_empty_classes(left_out, counts, empty), *_suspicious_names(kept)]
    if "validation" in by_split and "test" not in by_split:
        by_split["test"] = by_split.pop("validation")
        notes.append(
            "no test is given: the given validation images are the test, and validation images "
            "are drawn from train"
        )
    return LabelledSource(by_split, kept, left_out, notes=tuple(notes))


def natural_order(name: str) -> tuple[list[str], str]:
    """Return a sort key that puts 2 before 10.

    Examples
    --------
    >>> sorted(["grade 10", "grade 2", "10", "2"], key=natural_order)
    ['2', '10', 'grade 2', 'grade 10']
    """
    pieces = re.split(r"(\d+)", name)
    pieces[1::2] = [f"{len(number.lstrip('0')):09}{number.lstrip('0')}" for number in pieces[1::2]]
    return pieces, name


def _empty_classes(
    left_out: Mapping[str, int], counts: Mapping[str, int], empty: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Name the classes that have folders but no image."""
    content = {label: text for split in empty.values() for label, text in split.items()}
    return [
        f"the class {label} has no image that can be read ({content[label]})"
        for label in left_out
        if not counts[label]
    ]


def _suspicious_names(names: Sequence[str]) -> list[str]:
    """Name classes that may be the same, or a missing label."""
    seen: dict[str, str] = {}
    found = []
    for name in names:
        short = "".join(name.split()).casefold()
        if short in seen:
            found.append(f"the classes {seen[short]!r} and {name!r} differ in case or spaces alone")
        if short in ("nan", "none", "null", "n/a", "<na>", ""):
            found.append(f"a class is called {name!r}, as missing labels often are")
        seen.setdefault(short, name)
    return found

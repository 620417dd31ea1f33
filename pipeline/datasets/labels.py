"""Turn names of classes and groups into numbers, and leave out classes that are too small."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.datasets.parts import Images, Lazy, Parts, Shard
from pipeline.errors import UserError

__all__ = ["Labelled", "Subset", "label_parts"]


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
        Number of images of each class that is too small.
    ignored
        Number of files of each kind that are no images, or lie outside the classes.
    """

    parts: Parts
    class_names: tuple[str, ...]
    left_out: dict[str, int]
    ignored: dict[str, int] = field(default_factory=dict)


class Subset:
    """Some of the images of a part."""

    def __init__(self, images: Lazy, indices: np.ndarray) -> None:
        self.images, self.indices = images, indices
        self.shape, self.dtype = (len(indices), *images.shape[1:]), images.dtype
        self.identity = f"{images.identity} {len(indices)} {zlib.crc32(indices.tobytes())}"

    def read(self, start: int, stop: int) -> Shard:
        """Read each run of neighbours at once."""
        wanted = self.indices[start:stop]
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) != 1) + 1)
        shards = [self.images.read(int(run[0]), int(run[-1]) + 1) for run in runs]
        place = dict(zip(wanted.tolist(), range(start, stop), strict=True))
        sizes = [shard.sizes for shard in shards if shard.sizes is not None]
        return Shard(
            np.concatenate([shard.images for shard in shards]),
            {place[index]: text for shard in shards for index, text in shard.problems.items()},
            np.concatenate(sizes) if sizes else None,
        )


def label_parts(
    name: str,
    images: Mapping[str, Lazy],
    labels: Mapping[str, Sequence[str]],
    groups: Mapping[str, Sequence[str | None]] | None,
    *,
    min_count: int,
) -> Labelled:
    """Number the classes in the order of their names, over all parts.

    Parameters
    ----------
    name
        Of the data set, for messages.
    images, labels, groups
        Of each part, by part.
    min_count
        Classes with fewer images, all parts together, are left out.

    Raises
    ------
    UserError
        When fewer than two classes are left, or a part lacks one.
    """
    counts = Counter(label for part in labels.values() for label in part)
    kept = tuple(label for label in sorted(counts) if counts[label] >= min_count)
    left_out = {label: counts[label] for label in sorted(counts) if counts[label] < min_count}
    if len(kept) < 2:
        found = ", ".join(f"{label} ({count})" for label, count in sorted(counts.items())[:5])
        raise UserError(
            f"{name}: a classification needs two classes or more, but found {found or 'none'}"
            + (f", of which those below min_count {min_count} are left out" if left_out else "")
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
            raise UserError(
                f"{name}, {part}: has no image of the class {kept[absent[0]]!r}, which other "
                "splits have: add some, or remove the class"
            )
        own = None
        if groups is not None:
            own = np.array([group_number[str(groups[part][i])] for i in chosen], dtype=np.int64)
        whole = images[part]
        lazy = whole if len(chosen) == len(given) else Subset(whole, chosen)
        parts[part] = Images(lazy, numbers, groups=own)
    return Labelled(parts, kept, left_out)

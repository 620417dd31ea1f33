"""Find groups in the names of images: beginnings that repeat, as those of a patient or a slide."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

__all__ = ["Beginnings", "repeated_beginnings"]

SEPARATORS, MOST_FIELDS = ("/", "_", "-"), 3
LEAST_GROUPS = 10  # fewer can hardly be drawn into three splits
LEAST_SHARE = 0.5  # of the images share their beginning with another image of their class


@dataclass(frozen=True)
class Beginnings:
    """Beginnings of names that repeat.

    Attributes
    ----------
    pattern
        The regular expression that finds them, as ``group_pattern`` takes it.
    count, example
        How many there are, and the first of them.
    numbered
        There are many, and nearly all have a digit: numbers of patients or slides, not words.
    """

    pattern: str
    count: int
    example: str
    numbered: bool


def repeated_beginnings(names: Sequence[str], labels: Sequence[int]) -> Beginnings | None:
    """Return the shortest beginning that several images of a class share; None without one.

    A beginning that names no more than the class, as in ``cat/cat_001.png``, or that all images
    have, as in ``IMG_0001.png``, is none.

    Parameters
    ----------
    names
        The path of each image below the folder of its class.
    labels
        The class of each image.
    """
    for separator, fields in product(SEPARATORS, range(1, MOST_FIELDS + 1)):
        pattern = f"^({separator.join(['.+?'] * fields)}){separator}"
        matches = [re.search(pattern, name) for name in names]
        found = [match[1] for match in matches if match]
        if len(found) < len(names) or not _are_groups(found, labels):
            continue
        groups = sorted(set(found))
        digits = sum(any(letter.isdigit() for letter in group) for group in groups)
        numbered = len(groups) >= LEAST_GROUPS and digits >= 0.9 * len(groups)
        return Beginnings(pattern, len(groups), groups[0], numbered)
    return None


def _are_groups(found: Sequence[str], labels: Sequence[int]) -> bool:
    pairs = Counter(zip(labels, found, strict=True))
    shared = sum(count for count in pairs.values() if count > 1)
    several = len(pairs) >= 2 * len(set(labels))
    largest = max(Counter(found).values(), default=0)
    return several and shared >= LEAST_SHARE * len(found) and 2 * largest <= len(found)

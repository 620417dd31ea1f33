"""The cases of a product of options that `make test` runs; `--full` runs all of them."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Hashable
from typing import Any

import pytest

FULL = "--full" in sys.argv


def examples(some: int, full: int) -> int:
    """How many examples Hypothesis draws: some, or with `--full` so many."""
    return full if FULL else some


def sample(items: list[pytest.Function], count: int) -> list[pytest.Function]:
    """
    Choose cases of one test, the same ones every time.

    Each next one is the case that brings the most values that no other has yet, and then the most
    pairs of values.
    """
    left = random.Random(0).sample(items, len(items))
    traits = {item: (_values(item), _pairs(item)) for item in left}
    seen: set[Hashable] = set()
    chosen = []
    while left and len(chosen) < count:
        best = max(left, key=lambda item: [len(some - seen) for some in traits[item]])
        left.remove(best)
        chosen.append(best)
        seen.update(*traits[best])
    return chosen


def _values(item: pytest.Function) -> set[Hashable]:
    return {(name, _key(value)) for name, value in item.callspec.params.items()}


def _pairs(item: pytest.Function) -> set[Hashable]:
    return set(itertools.combinations(sorted(_values(item), key=lambda one: one[0]), 2))


def _key(value: Any) -> Hashable:
    return value if isinstance(value, Hashable) else id(value)

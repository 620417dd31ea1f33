"""The cells of a study: the combinations of its axes, each network once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from pipeline.study.models import AXES, MODEL_KINDS
from pipeline.study.schema import Params

__all__ = ["Cell", "cells", "combinations"]


@dataclass(frozen=True)
class Cell:
    """One combination of the study's axes; every cell gets the same budget."""

    model: str
    group: str
    positional: str
    depth: int
    tokens: str
    augment: str = "none"
    training_images: int | None = None  # all

    @property
    def name(self) -> str:
        """Name of the cell in tables and files.

        >>> Cell("gsa", "C4", "relative", 2, "stem").name
        'gsa-C4-relative-d2-stem'
        >>> Cell("gsa", "C1", "none", 1, "stem", "turn", 300).name
        'gsa-C1-none-d1-stem-turn-n300'
        """
        network = f"{self.model}-{self.group}-{self.positional}-d{self.depth}-{self.tokens}"
        augment = "" if self.augment == "none" else f"-{self.augment}"
        images = "" if self.training_images is None else f"-n{self.training_images}"
        return f"{network}{augment}{images}"

    def columns(self) -> dict[str, Any]:
        """Return the key columns of the cell's rows."""
        return {"cell": self.name, **asdict(self)}

    def matches(self, named: Mapping[str, Any]) -> bool:
        """Whether the cell has these values of its axes."""
        return all(getattr(self, axis) == value for axis, value in named.items())


def combinations(params: Params) -> list[Cell]:
    """Every combination of the axes of a study, the last varying fastest."""
    return [Cell(*values) for values in product(*(getattr(params.sweep, axis) for axis in AXES))]


def cells(params: Params) -> list[Cell]:
    """The cells of a study: its combinations, those that are the same network once.

    A plain transformer has no group, a convolutional network no encoding, a transformer averaged
    over the trivial group is a plain one, and group attention on a trunk is the hybrid.
    """
    return list(dict.fromkeys(map(_canonical, combinations(params))))


def _canonical(cell: Cell) -> Cell:
    if cell.model == "gsa" and cell.tokens == "trunk":
        cell = replace(cell, model="hybrid")
    if cell.model == "symmetrized" and cell.group == "C1":
        cell = replace(cell, model="vit")
    return replace(cell, **MODEL_KINDS[cell.model].fixed)

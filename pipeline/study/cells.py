"""The cells of a study: the combinations of its axes, each network once."""

from __future__ import annotations

from itertools import product

from pipeline.study.models import AXES, MODEL_KINDS
from pipeline.study.schema import Params

__all__ = ["combinations", "distinct_cells"]

Cell = tuple[str, str, str, int, str]


def combinations(params: Params) -> list[Cell]:
    """Every combination of the axes of a study, the last varying fastest."""
    return list(product(*(getattr(params.sweep, axis) for axis in AXES)))


def distinct_cells(params: Params) -> list[Cell]:
    """The cells of a study: its combinations, those that are the same network once.

    A plain transformer has no group, a convolutional network no encoding, a transformer averaged
    over the trivial group is a plain one, and group attention on a trunk is the hybrid.
    """
    return list(dict.fromkeys(_canonical(cell) for cell in combinations(params)))


def _canonical(cell: Cell) -> Cell:
    axes = dict(zip(AXES, cell, strict=True))
    if axes["model"] == "gsa" and axes["tokens"] == "trunk":
        axes["model"] = "hybrid"
    if axes["model"] == "symmetrized" and axes["group"] == "C1":
        axes["model"] = "vit"
    axes |= MODEL_KINDS[str(axes["model"])].fixed
    return tuple(axes.values())  # type: ignore[return-value]

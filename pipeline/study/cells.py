"""The cells of a study: the combinations of its axes, each network once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from pipeline.study.models import AXES, DATASET, MODEL_KINDS
from pipeline.study.schema import Params
from pipeline.study.suggestions import written

__all__ = [
    "Block",
    "Cell",
    "block_text",
    "cells",
    "combinations",
    "left_out",
    "networks",
    "pairs",
    "runs_of",
    "same_but",
    "seed_of_split",
    "seeds_of",
]

Block = Mapping[str, Sequence[Any]]


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

    def within(self, block: Block, dataset: str | None = None) -> bool:
        """Whether the cell has one of the values of each axis that a block names.

        Parameters
        ----------
        block
            Values by axis; the data set counts as an axis, too.
        dataset
            The data set of the cell; None is any of them.
        """
        return all(
            dataset is None or dataset in values
            if axis == DATASET
            else getattr(self, axis) in values
            for axis, values in block.items()
        )


def combinations(params: Params) -> list[Cell]:
    """Every combination of the axes of a study, the last varying fastest."""
    return [Cell(*values) for values in product(*(getattr(params.sweep, axis) for axis in AXES))]


def cells(params: Params, dataset: str | None = None) -> list[Cell]:
    """The cells of a study on one data set, or on any: its networks that no rule leaves out.

    Those that are the same network are one cell: a plain transformer has no group, a convolutional
    network no encoding, a transformer averaged over the trivial group is a plain one, and group
    attention on a trunk is the hybrid.
    """
    names = params.prepare.datasets if dataset is None else (dataset,)
    return [
        cell
        for cell in networks(params)
        if any(_rule(params, cell, name) is None for name in names)
    ]


def networks(params: Params) -> list[Cell]:
    """Every network of the axes once, before `sweep.include` and `sweep.skip`."""
    return list(dict.fromkeys(map(_canonical, combinations(params))))


def pairs(params: Params) -> list[tuple[str, Cell]]:
    """Every data set with each of its cells."""
    return [(name, cell) for name in params.prepare.datasets for cell in cells(params, name)]


def seeds_of(params: Params, dataset: str, cell: Cell) -> tuple[int, ...]:
    """The seeds with which a cell of a data set is confirmed on the prepared split."""
    confirm = params.confirm
    more = confirm.more_seeds
    if more is None or not any(cell.within(block, dataset) for block in more.include):
        return confirm.seeds
    return (*confirm.seeds, *more.seeds)


def seed_of_split(seed: int, split: int) -> int:
    """Return the seed of a run on a later split; split 0 is the prepared one.

    >>> seed_of_split(101, 0), seed_of_split(101, 2)
    (101, 2101)
    """
    return seed + 1000 * split


def runs_of(params: Params, dataset: str) -> int:
    """Count the confirming runs of a data set."""
    seeds = sum(len(seeds_of(params, dataset, cell)) for cell in cells(params, dataset))
    return seeds * params.confirm.splits


def same_but(cell: Cell, values: Mapping[str, Any]) -> Cell:
    """The network that is like a cell but for the values of some axes.

    >>> same_but(Cell("staged", "C8", "relative", 2, "trunk"), {"group": "C4"}).name
    'staged-C4-relative-d2-trunk'
    """
    return _canonical(replace(cell, **values))


def left_out(params: Params) -> dict[str, list[tuple[str, Cell]]]:
    """Data sets and cells that a rule leaves out of the study, by the rule.

    A cell that several rules leave out counts for the first of them.
    """
    found: dict[str, list[tuple[str, Cell]]] = {}
    for name in params.prepare.datasets:
        for cell in networks(params):
            if (rule := _rule(params, cell, name)) is not None:
                found.setdefault(rule, []).append((name, cell))
    return found


def _rule(params: Params, cell: Cell, dataset: str) -> str | None:
    """The rule that leaves a cell of a data set out, or None."""
    sweep = params.sweep
    if sweep.include and not any(cell.within(block, dataset) for block in sweep.include):
        return "in no block of sweep.include"
    for index, block in enumerate(sweep.skip):
        if cell.within(block, dataset):
            return f"sweep.skip[{index}]: {block_text(block)}"
    return None


def block_text(block: Block) -> str:
    """A block as a study has it.

    >>> block_text({"group": ("D4",), "training_images": (None, 300)})
    '{group: [D4], training_images: [null, 300]}'
    """
    return written({axis: list(values) for axis, values in block.items()})


def _canonical(cell: Cell) -> Cell:
    if cell.model in ("soft", "canonical") and cell.group == "C1":  # nothing to loosen, or to turn
        cell = replace(cell, model="gsa")
    if cell.model == "gsa" and cell.tokens == "trunk":
        cell = replace(cell, model="hybrid")
    if cell.model == "symmetrized" and cell.group == "C1":
        cell = replace(cell, model="vit")
    return replace(cell, **MODEL_KINDS[cell.model].fixed)

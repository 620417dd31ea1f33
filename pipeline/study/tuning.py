"""Where the configuration of a cell comes from: its own search, or that of another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pipeline.study.cells import Cell, cells, combinations, left_out, networks, pairs, same_but
from pipeline.study.schema import Params

__all__ = ["chosen", "searched", "searches"]


def searches(params: Params, dataset: str) -> dict[Cell, tuple[str, Cell] | None]:
    """Return, by cell of a data set, the data set and cell whose search it is configured by.

    `sweep.tuned_on` names another data set, `sweep.tuned_as` other values of axes; with
    ``tune_images: largest`` it is the same cell with the most training images. None where the
    study has no such cell.
    """
    source = params.sweep.tuned_on.get(dataset, dataset)
    known = cells(params, source)
    each = params.sweep.tune_images == "each"
    chosen = {}
    for cell in sorted(known, key=lambda one: one.training_images or float("inf")):
        chosen[cell if each else replace(cell, training_images=None)] = cell  # the last has most
    found = {}
    for cell in cells(params, dataset):
        asked = same_but(cell, params.sweep.tuned_as)
        best = chosen.get(asked if each else replace(asked, training_images=None))
        found[cell] = None if best is None else (source, best)
    return found


def searched(params: Params, dataset: str) -> list[Cell]:
    """List the cells of a data set that are searched on it."""
    return [cell for cell, found in searches(params, dataset).items() if found == (dataset, cell)]


def choosing(params: Params) -> str:
    """Name the objective by which the best trial of a cell is chosen; the rows are of it."""
    return params.sweep.objectives[0]


def chosen(params: Params) -> Iterator[str]:
    """Say which combinations are no cell of the study, and which cells are not searched."""
    datasets = params.prepare.datasets
    combined = len(combinations(params)) * len(datasets)
    every = len(networks(params)) * len(datasets)
    if combined > every:
        yield f"{combined} combinations of the axes are {every} networks, each a cell once"
    for rule, found in left_out(params).items():
        yield f"{len(found)} cell{'' if len(found) == 1 else 's'} left out: {rule}"
    for name in datasets:
        others = len([one for one, _ in pairs(params) if one == name]) - len(searched(params, name))
        if others:
            source = params.sweep.tuned_on.get(name, "other cells")
            yield f"{others} cells of {name} are not searched; tuned on {source}"

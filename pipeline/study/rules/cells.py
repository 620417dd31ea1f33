"""Rules of which cells a study has and where each is searched: blocks of cells, `tuned_on`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pipeline.common.spelling import nearest
from pipeline.study.cells import Block, block_text, cells, networks, same_but
from pipeline.study.hyperparameters import HYPERPARAMETERS
from pipeline.study.messages import KeyPath, Problem
from pipeline.study.models import DATASET, MODEL_KINDS
from pipeline.study.schema import Params
from pipeline.study.suggestions import written
from pipeline.study.tuning import searches

__all__ = ["CELL_RULES"]


def _unknown_values(params: Params, path: KeyPath, block: Block) -> Iterator[Problem]:
    """Values that no network of the study has."""
    for axis, values in block.items():
        if axis == DATASET:
            known: list[Any] = list(params.prepare.datasets)
        else:
            listed = getattr(params.sweep, axis)
            known = list(dict.fromkeys([*listed, *(getattr(c, axis) for c in networks(params))]))
        for index, value in enumerate(values):
            if value not in known:
                fault = f"got {written(value)!r}, which no cell of the study has"
                place = "prepare.datasets" if axis == DATASET else f"sweep.{axis}"
                accepts = f"what {place} lists: {', '.join(map(written, known))}"
                meant = nearest(value, [str(one) for one in known])
                yield Problem((*path, axis, index), fault, accepts, meant)


def _when(params: Params) -> Iterator[Problem]:
    """Conditions name what the study has, and leave no cell without a value that it needs."""
    for name, domain in params.sweep.search_space.items():
        path: KeyPath = ("sweep", "search_space", name, "when")
        if HYPERPARAMETERS[name].default is None and domain.when:
            yield Problem(path, "some cells would have none", f"no condition on {name}")
        yield from _unknown_values(params, path, domain.when)


def _blocks(params: Params) -> Iterator[Problem]:
    """Every block has a cell, and so has every data set."""
    more = params.confirm.more_seeds
    rules: dict[KeyPath, Sequence[Block]] = {
        ("sweep", "include"): params.sweep.include,
        ("sweep", "skip"): params.sweep.skip,
        ("confirm", "more_seeds", "include"): () if more is None else more.include,
    }
    problems = [
        problem
        for path, blocks in rules.items()
        for index, block in enumerate(blocks)
        for problem in _unknown_values(params, (*path, index), block)
    ]
    yield from problems
    if problems:
        return
    every = [(name, cell) for name in params.prepare.datasets for cell in networks(params)]
    included = [
        (name, cell)
        for name, cell in every
        if not params.sweep.include
        or any(cell.within(block, name) for block in params.sweep.include)
    ]
    for (path, blocks), among in zip(rules.items(), (every, included, included), strict=True):
        for index, block in enumerate(blocks):
            if not any(cell.within(block, name) for name, cell in among):
                fault = f"got {block_text(block)}, in which no cell is"
                accepts = "values that some cell has together; a model may fix some of them"
                yield Problem((*path, index), fault, accepts)
    for index, name in enumerate(params.prepare.datasets):
        if not cells(params, name):
            fault = f"got {name!r}, of which sweep.include and sweep.skip leave no cell"
            yield Problem(("prepare", "datasets", index), fault, "data sets with a cell")


def _tuned_on(params: Params) -> Iterator[Problem]:
    """A search that is used elsewhere is one of the study, and has the cell that uses it."""
    sweep, known = params.sweep, params.prepare.datasets
    searched = [name for name in known if name not in sweep.tuned_on]
    problems = []
    for name, source in sweep.tuned_on.items():
        path = ("sweep", "tuned_on", name)
        if name not in known:
            accepts = f"data sets of prepare.datasets: {', '.join(known)}"
            problems.append(
                Problem(path, "no data set of the study", accepts, nearest(name, known))
            )
        elif source not in searched:
            fault = f"got {source!r}, which is not searched"
            accepts = f"a data set that is: {', '.join(searched) or 'none is'}"
            problems.append(Problem(path, fault, accepts, nearest(source, searched)))
    for key, nothing in (("tuned_on", "no data set"), ("tuned_as", "no axis")):
        timed = sweep.match is not None and sweep.match.of == "seconds"
        if getattr(sweep, key) and timed:
            fault = "set with match: {of: seconds}, whose epochs are measured where it is searched"
            problems.append(Problem(("sweep", key), fault, f"{nothing} with matched seconds"))
    yield from problems
    if problems:
        return
    for name, source in sweep.tuned_on.items():
        for cell, found in searches(params, name).items():
            if found is None:
                fault = f"got {source!r}, which has no cell {cell.name}"
                accepts = "a data set with the cells that use its search"
                yield Problem(("sweep", "tuned_on", name), fault, accepts)
                break


def _tuned_as(params: Params) -> Iterator[Problem]:
    """The cells that are searched are cells of the study, and have what others need."""
    sweep, path = params.sweep, ("sweep", "tuned_as")
    block = {axis: (value,) for axis, value in sweep.tuned_as.items()}
    problems = list(_unknown_values(params, path, block))
    yield from (replace(one, path=one.path[:-1]) for one in problems)  # no list, no index
    if not block or problems or sweep.tuned_on:
        return
    for name in params.prepare.datasets:
        for cell, found in searches(params, name).items():
            asked = same_but(cell, sweep.tuned_as)
            if found is None:
                fault = f"got {block_text(block)}, but {name} has no cell {asked.name}"
                yield Problem(path, fault, f"values that give a cell for {cell.name}")
                return
            lacks = MODEL_KINDS[asked.model].lacks - MODEL_KINDS[cell.model].lacks
            if missing := sorted(lacks & set(sweep.search_space)):
                fault = f"got {block_text(block)}, but {asked.model} has no {missing[0]}"
                yield Problem(path, fault, f"a model that has what {cell.name} needs")
                return


CELL_RULES = (_when, _blocks, _tuned_on, _tuned_as)

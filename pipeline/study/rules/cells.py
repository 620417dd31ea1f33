"""Rules of which cells a study has and where each is searched: blocks of cells, `tuned_on`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.common.spelling import nearest
from pipeline.study.cells import Block, block_text, cells, networks
from pipeline.study.hyperparameters import HYPERPARAMETERS
from pipeline.study.messages import Problem
from pipeline.study.models import DATASET
from pipeline.study.schema import Params
from pipeline.study.suggestions import written
from pipeline.study.tuning import searches
from pipeline.study.yaml_reader import KeyPath

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
    rules = {"include": params.sweep.include, "skip": params.sweep.skip}
    problems = [
        problem
        for key, blocks in rules.items()
        for index, block in enumerate(blocks)
        for problem in _unknown_values(params, ("sweep", key, index), block)
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
    for key, among in (("include", every), ("skip", included)):
        for index, block in enumerate(rules[key]):
            if not any(cell.within(block, name) for name, cell in among):
                fault = f"got {block_text(block)}, in which no cell is"
                accepts = "values that some cell has together; a model may fix some of them"
                yield Problem(("sweep", key, index), fault, accepts)
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
    if sweep.tuned_on and sweep.match is not None and sweep.match.of == "seconds":
        fault = "set with match: {of: seconds}, whose epochs are measured where a cell is searched"
        problems.append(Problem(("sweep", "tuned_on"), fault, "no data set with matched seconds"))
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


CELL_RULES = (_when, _blocks, _tuned_on)

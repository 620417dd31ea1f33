"""Rules of the study as a whole: seeds, the baseline, how many trials and runs there are."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.common.spelling import nearest
from pipeline.study.cells import cells, pairs
from pipeline.study.messages import Problem
from pipeline.study.schema import Params

__all__ = ["STUDY_RULES"]

MAX_TRIALS = 1_000_000


def _seeds(params: Params) -> Iterator[Problem]:
    for index, seed in enumerate(params.confirm.seeds):
        if seed == params.sweep.seed:
            yield Problem(
                ("confirm", "seeds", index),
                f"got {seed}, the seed the sweep tuned with",
                "seeds other than sweep.seed",
            )


def _baseline(params: Params) -> Iterator[Problem]:
    for axis in ("group", "positional"):
        got, known = getattr(params.report.baseline, axis), getattr(params.sweep, axis)
        if got not in known:
            yield Problem(
                ("report", "baseline", axis),
                f"got {got!r}, which no cell of the study has",
                f"what sweep.{axis} lists: {', '.join(known)}",
                nearest(got, known),
            )
    named = params.report.baseline.model_dump(exclude_none=True)
    if named.keys() <= {"group", "positional"}:
        return
    wanted = {axis: None if value == "all" else value for axis, value in named.items()}
    if not any(cell.matches(wanted) for cell in cells(params)):
        yield Problem(
            ("report", "baseline"),
            f"got {', '.join(f'{axis} {value}' for axis, value in named.items())}, "
            "which together no cell of the study has",
            "the values of one cell; a model may fix some (`gcnn`: positional none, tokens trunk)",
        )


def _size(params: Params) -> Iterator[Problem]:
    number = len(pairs(params))
    sweep, seeds = params.sweep, len(params.confirm.seeds)
    sizes = {
        ("sweep", "trials_per_cell"): (sweep.trials_per_cell, "trials"),
        ("confirm", "seeds"): (seeds, "runs"),
    }
    for path, (each, word) in sizes.items():
        if number * each > MAX_TRIALS:
            yield Problem(
                path,
                f"got {each} for each of {number} cells, which is {number * each:,} {word}",
                f"{MAX_TRIALS:,} {word} in all",
            )


STUDY_RULES = (_seeds, _baseline, _size)

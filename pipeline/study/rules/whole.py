"""Rules of the study as a whole: seeds, the baseline, how many trials and runs there are."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.common.spelling import nearest
from pipeline.study.cells import cells, pairs, seed_of_split
from pipeline.study.messages import KeyPath, Problem
from pipeline.study.schema import Params

__all__ = ["STUDY_RULES"]

MAX_TRIALS = 1_000_000
MAX_SEED = 2**32 - 1


def _seeds(params: Params) -> Iterator[Problem]:
    confirm = params.confirm
    lists: dict[KeyPath, tuple[int, ...]] = {("confirm", "seeds"): confirm.seeds}
    if confirm.more_seeds is not None:
        lists["confirm", "more_seeds", "seeds"] = confirm.more_seeds.seeds
    for path, seeds in lists.items():
        for index, seed in enumerate(seeds):
            if seed == params.sweep.seed:
                fault = f"got {seed}, the seed the sweep tuned with"
                yield Problem((*path, index), fault, "seeds other than sweep.seed")
            elif path[1] == "more_seeds" and seed in confirm.seeds:
                fault = f"got {seed}, which confirm.seeds has for every cell"
                yield Problem((*path, index), fault, "seeds other than those")


def _seeds_of_splits(params: Params) -> Iterator[Problem]:
    """Every run of a cell has a seed of its own, whatever its split, and none that of the sweep."""
    confirm, used = params.confirm, {params.sweep.seed}
    more = confirm.more_seeds.seeds if confirm.more_seeds is not None else ()
    seeds = (*confirm.seeds, *more)
    for split in range(1, confirm.splits):
        used |= {seed_of_split(seed, split - 1) for seed in seeds}
        for seed in seeds:
            if (run := seed_of_split(seed, split)) in used or run > MAX_SEED:
                taken = "is taken" if run in used else f"is above {MAX_SEED}"
                yield Problem(
                    ("confirm", "seeds"),
                    f"got {seed}, whose runs on split {split} have the seed {run}, which {taken}",
                    f"seeds that still differ with up to {1000 * (confirm.splits - 1):,} added",
                )
                return


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
    more = params.confirm.more_seeds
    seeds = len(params.confirm.seeds) + (len(more.seeds) if more is not None else 0)
    seeds *= params.confirm.splits
    sizes: dict[KeyPath, tuple[int, str]] = {
        ("sweep", "trials_per_cell"): (params.sweep.trials_per_cell, "trials"),
        ("confirm", "seeds"): (seeds, "runs"),
    }
    for path, (each, word) in sizes.items():
        if number * each > MAX_TRIALS:
            yield Problem(
                path,
                f"got {each} for each of {number} cells, which is {number * each:,} {word}",
                f"{MAX_TRIALS:,} {word} in all",
            )


STUDY_RULES = (_seeds, _seeds_of_splits, _baseline, _size)

"""Plan the runs of confirm: the best configuration of each cell on validation, with each seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from pipeline.common.documents import configuration
from pipeline.search.space import transferred
from pipeline.study.cells import Cell, seed_of_split, seeds_of
from pipeline.study.objectives import OBJECTIVES
from pipeline.study.schema import Params
from pipeline.study.tuning import searches


@dataclass(frozen=True)
class Run:
    """One configuration and one seed; without a configuration, the reason why there is none.

    Split 0 is the prepared one; `seed` is that of the run, on later splits a higher one.
    """

    dataset: str
    cell: Cell
    seed: int
    trial: int | None = None
    tuned_validation_accuracy: float | None = None
    configuration: dict[str, Any] | None = None
    reason: str | None = None
    tuned_on: str | None = None
    tuned_cell: str | None = None
    split: int = 0

    @property
    def name(self) -> str:
        """Name of the run within its data set, and of its weights."""
        return f"{self.cell.name}-seed{self.seed}"

    def keys(self, study: str) -> dict[str, Any]:
        """Return the key columns of the run's rows."""
        cell = self.cell.columns()
        return {"study": study, "dataset": self.dataset, **cell, "seed": self.seed}


def plan_runs(
    dataset: str, params: Params, trials: Mapping[str, pd.DataFrame], card: Mapping[str, Any]
) -> list[Run]:
    """List the runs of one data set: all cells with the first seed, then those with the next.

    Those of later splits follow, with the configurations of the search on the prepared split.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    params : Params
        The study.
    trials : mapping
        The `trials.parquet` of every data set that is searched.
    card : mapping
        The card of the data set.
    """
    chosen = [
        _chosen(dataset, cell, source, params, trials, card)
        for cell, source in searches(params, dataset).items()
        if source is not None
    ]
    return [
        _seeded(run, seed_of_split(seed, split), split)
        for split in range(params.confirm.splits)
        for seed in _all_seeds(params)
        for run in chosen
        if seed in seeds_of(params, dataset, run.cell)
    ]


def _seeded(run: Run, seed: int, split: int) -> Run:
    config = run.configuration and {**run.configuration, "seed": seed}
    return replace(run, seed=seed, split=split, configuration=config)


def _all_seeds(params: Params) -> tuple[int, ...]:
    more = params.confirm.more_seeds
    return (*params.confirm.seeds, *(more.seeds if more is not None else ()))


def _chosen(
    dataset: str,
    cell: Cell,
    source: tuple[str, Cell],
    params: Params,
    trials: Mapping[str, pd.DataFrame],
    card: Mapping[str, Any],
) -> Run:
    """Choose the configuration of a cell: the best of its search."""
    searched, tuned = source
    run = Run(dataset, cell, 0, tuned_on=searched, tuned_cell=tuned.name)
    best = best_trial(trials[searched], tuned.name, params.sweep.objectives[0])
    if best is None:
        return replace(run, reason=missing_reason(trials[searched], tuned.name))
    config = configuration(best["configuration"])
    config.pop("stop_below", None)  # runs are never stopped early
    if params.sweep.search_epochs is not None:
        config["epochs"] = params.sweep.epochs
    run = replace(
        run,
        trial=int(best["trial"]),
        tuned_validation_accuracy=float(best["validation_accuracy"]),
    )
    try:
        if source != (dataset, cell):
            config = transferred(config, cell, params, card)
    except ValueError as error:
        return replace(run, reason=f"the configuration of {tuned.name} on {searched}: {error}")
    return replace(run, configuration=config)


def best_trial(
    trials: pd.DataFrame, cell: str, objective: str = "accuracy"
) -> dict[str, Any] | None:
    """Choose a cell's best completed trial, by validation alone.

    That with the best objective on the cell's Pareto front, which no trial that breaks a
    constraint is on; of equals the lower validation loss, then the lower number.
    """
    mine = trials[(trials["cell"] == cell) & trials["pareto"]]
    column, more_is_better = OBJECTIVES[objective]
    # The loss may be the objective.
    order = {column: not more_is_better, "validation_loss": True, "trial": True}
    ranked = mine.sort_values(list(order), ascending=list(order.values()), na_position="last")
    return None if ranked.empty else {str(key): value for key, value in ranked.iloc[0].items()}


def missing_reason(trials: pd.DataFrame, cell: str) -> str:
    """Return why a cell has no configuration to confirm."""
    mine = trials[trials["cell"] == cell].sort_values("trial")
    if mine.empty:
        return "no trial of this cell was run"
    completed = mine[mine["status"] == "completed"]
    if not completed.empty:
        return f"each of the {len(completed)} completed trials breaks one of sweep.constraints"
    first = mine.iloc[0]
    reason = first["reason"] if isinstance(first["reason"], str) else first["status"]
    return f"none of the {len(mine)} trials of this cell completed; the first: {reason}"

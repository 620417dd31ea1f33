"""Plan the runs of confirm: the best configuration of each cell on validation, with each seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.common.documents import configuration
from pipeline.study.cells import Cell


@dataclass(frozen=True)
class Run:
    """One configuration and one seed; without a configuration, the reason why there is none."""

    dataset: str
    cell: Cell
    seed: int
    trial: int | None = None
    tuned_validation_accuracy: float | None = None
    configuration: dict[str, Any] | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        """Name of the run within its data set, and of its weights."""
        return f"{self.cell.name}-seed{self.seed}"

    def keys(self, study: str) -> dict[str, Any]:
        """Return the key columns of the run's rows."""
        cell = self.cell.columns()
        return {"study": study, "dataset": self.dataset, **cell, "seed": self.seed}


def plan_runs(
    dataset: str, cells: Sequence[Cell], seeds: Sequence[int], trials: pd.DataFrame
) -> list[Run]:
    """List the runs of one data set: all cells with the first seed, then with the next.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    cells, seeds : sequence
        Of the study.
    trials : pandas.DataFrame
        The data set's `trials.parquet`.
    """
    chosen = {cell: best_trial(trials, cell.name) for cell in cells}
    runs = []
    for seed in seeds:
        for cell, best in chosen.items():
            if best is None:
                runs.append(Run(dataset, cell, seed, reason=missing_reason(trials, cell.name)))
                continue
            config = {**configuration(best["configuration"]), "seed": seed}
            config.pop("stop_below", None)  # runs are never stopped early
            tuned = float(best["validation_accuracy"])
            runs.append(Run(dataset, cell, seed, int(best["trial"]), tuned, config))
    return runs


def best_trial(trials: pd.DataFrame, cell: str) -> dict[str, Any] | None:
    """Choose a cell's best completed trial, by validation alone.

    The highest validation accuracy on the cell's Pareto front, which no trial that breaks a
    constraint is on; of equals the lower validation loss, then the lower number.
    """
    mine = trials[(trials["cell"] == cell) & trials["pareto"]]
    order = ["validation_accuracy", "validation_loss", "trial"]
    ranked = mine.sort_values(order, ascending=[False, True, True], na_position="last")
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

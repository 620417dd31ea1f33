"""What a mark in a figure stands for, in one line: the text of its tooltip."""

from __future__ import annotations

import pandas as pd

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.text.formatting import counted, percent, percent_interval, plain, small
from pipeline.report.text.summary import interval_of


class Explainer:
    """Explains a cell, or a single run of it, from the exact row it was drawn from."""

    def __init__(self, analysis: Analysis) -> None:
        self._cells = {int(row["id"]): _cell(row, analysis) for _, row in analysis.cells.iterrows()}
        self._runs = analysis.runs.set_index("run")  # of thousands, only those drawn are asked for

    def __call__(self, cell: int, run: int | None) -> str:
        """Return the line for a cell, or for one of its runs."""
        return self._cells.get(cell, "") if run is None else _run(self._runs.loc[run])


def _cell(row: pd.Series, analysis: Analysis) -> str:
    name = f"{plain(row['cell'])} on {plain(row['dataset'], 30)}"
    if not row["runs_finished"]:
        return f"{name}: no finished run"
    return (
        f"{name}: upright {percent_interval(interval_of(row, measures.UPRIGHT.column))}, "
        f"quarter-turned {percent_interval(interval_of(row, measures.QUARTER.column))}, "
        f"invariance error {small(row[measures.ERROR.column])}, "
        f"{counted(int(row['runs_finished']), 'seed')}"
    )


def _run(row: pd.Series) -> str:
    return (
        f"{plain(row['cell'])} on {plain(row['dataset'], 30)}, seed {row['seed']}: upright "
        f"{percent(_number(row, measures.UPRIGHT), 2)}, quarter-turned "
        f"{percent(_number(row, measures.QUARTER), 2)}, any angle "
        f"{percent(_number(row, measures.ANY_ANGLE), 2)}, invariance error "
        f"{small(_number(row, measures.ERROR))}"
    )


def _number(row: pd.Series, measure: measures.Measure) -> float:
    value = row[measure.column]
    return float("nan") if pd.isna(value) else float(value)

"""What the page's script knows: every cell's axes and the exact rows behind the figures' marks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.text.formatting import plain
from pipeline.report.text.names import AXES

_RUN = re.compile(r'data-run="(\d+)"')


def page_data(analysis: Analysis, documents: Iterable[str]) -> dict[str, Any]:
    """Return plain values for JSON; of the runs only those that a figure shows.

    `axes` has one entry a cell: the place of its value among those of each axis, so that names
    reach the script as text alone.
    """
    cells = analysis.cells
    codes = {axis: pd.factorize(cells[axis])[0].tolist() for axis in AXES}
    shown = sorted({int(run) for text in documents for run in _RUN.findall(text)})
    runs = analysis.runs.set_index("run", drop=False).loc[shown]
    names = [
        f"{dataset}/{cell}-seed{seed}"
        for dataset, cell, seed in zip(runs["dataset"], runs["cell"], runs["seed"], strict=True)
    ]
    runs = runs.drop(columns=["run", "id", "label"])
    runs.insert(0, "row", names)
    return {
        "axes": [{axis: codes[axis][place] for axis in AXES} for place in range(len(cells))],
        "cells": {"columns": list(cells.columns), "rows": _rows(cells)},
        "runs": {
            "columns": list(runs.columns),
            "rows": dict(zip(map(str, shown), _rows(runs), strict=True)),
        },
    }


def _rows(frame: pd.DataFrame) -> list[list[Any]]:
    return [[_value(value) for value in row] for row in frame.itertuples(index=False, name=None)]


def _value(value: Any) -> Any:
    """Return a number to its last digit, text as one line, None for an unknown value."""
    if isinstance(value, str):
        return plain(value, 2000)
    if pd.isna(value) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.item() if hasattr(value, "item") else value

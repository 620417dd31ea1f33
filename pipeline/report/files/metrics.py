"""`metrics.json`: the one-line summary and numbers by cell, for `dvc metrics diff`."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.checks import FAILS, HOLDS
from pipeline.report.analysis.effects import shown
from pipeline.report.text import provenance, summary
from pipeline.report.text.formatting import plain
from pipeline.report.text.names import AXES

REPORTED = {
    "accuracy_upright": measures.UPRIGHT.column,
    "accuracy_quarter_turned": measures.QUARTER.column,
    "accuracy_any_angle": measures.ANY_ANGLE.column,
    "invariance_error": measures.ERROR.column,
    "consistency": measures.CONSISTENCY.column,
}


def metrics(analysis: Analysis) -> dict[str, Any]:
    """Return the nested metrics; axes with a single value are left out of the nesting."""
    cells = analysis.cells
    tree: dict[str, Any] = {
        "summary": summary.sentence(analysis),
        "study": {
            "cells": len(cells),
            "cells_without_a_finished_run": int((cells["runs_finished"] == 0).sum()),
            "runs": int(cells["runs"].sum()),
            "runs_finished": int(cells["runs_finished"].sum()),
            "trials": int(cells["trials"].sum()),
            "trials_finished": int(cells["trials_finished"].sum()),
            "expectations_met": sum(check.outcome == HOLDS for check in analysis.checks),
            "expectations_not_met": sum(check.outcome == FAILS for check in analysis.checks),
        },
        "verdicts": _verdicts(analysis),
        "cells": {},
        "cost": {},
    }
    if ended := provenance.endings(analysis):
        tree["study"]["search_ended"] = ended
    axes = [axis for axis in AXES if cells[axis].nunique() > 1 or axis in ("group", "positional")]
    for _, cell in analysis.drawn.iterrows():
        path = [_name(axis, cell[axis]) for axis in axes]
        _put(tree["cells"], path, {key: _number(cell[col]) for key, col in REPORTED.items()})
        _put(tree["cells"], path, {"runs": int(cell["runs_finished"])})
        cost = {m.column: _number(cell[m.column], 4) for m in (measures.PARAMS, measures.FLOPS)}
        _put(tree["cost"], path, cost | {"seconds": _number(cell[measures.SECONDS.column], 3)})
    return tree


def as_json(analysis: Analysis) -> str:
    """Return the metrics as text, the same for the same rows."""
    return json.dumps(metrics(analysis), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _verdicts(analysis: Analysis) -> dict[str, Any]:
    """Count the words of the comparisons, and give differences and words of averaged effects."""
    compared = analysis.comparisons[analysis.comparisons["measure"].isin(list(measures.SHORT))]
    counts = compared["word"].value_counts()
    tree: dict[str, Any] = {"cells": {str(word): int(n) for word, n in sorted(counts.items())}}
    for name, table in (("effects", analysis.effects), ("rivals", analysis.rivals)):
        for _, row in shown(table).iterrows():
            if row["measure"] in measures.SHORT:
                contrast = f"{plain(row['level'], 20)} for {plain(row['reference'], 40)}"
                found = {"difference": _number(row["difference"], 4), "verdict": row["word"]}
                _put(tree, [name, contrast, measures.SHORT[row["measure"]]], found)
    return tree


def _name(axis: str, value: object) -> str:
    if axis == "training_images":
        return f"{plain(value)} training images"
    return f"depth {value}" if axis == "depth" else plain(value)


def _put(tree: dict[str, Any], path: list[str], values: dict[str, Any]) -> None:
    for name in path:
        tree = tree.setdefault(name, {})
    tree.update(values)


def _number(value: Any, digits: int = 6) -> float | int | None:
    """Round to significant digits, so that the last bit of a mean is no difference."""
    if pd.isna(value) or not math.isfinite(value):
        return None
    rounded = float(f"{float(value):.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) > 1 else rounded

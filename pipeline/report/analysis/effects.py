"""What changing one axis of the study does, averaged over everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from pipeline.report.analysis.comparisons import MEASURED
from pipeline.report.analysis.statistics import mean_interval
from pipeline.report.load import Settings
from pipeline.report.text.names import AXES, augment_order, encoding_order, group_order

COLUMNS = ["axis", "level", "reference", "measure", "contexts", "pairs", "difference", "low",
           "high"]  # fmt: skip


def axis_effects(runs: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return the effect of every level of some axes against a reference level.

    Cells that differ in that axis alone are matched; their differences are averaged over the
    matched cells for each seed, and the interval is over seeds: the seed is the unit, because
    cells of one seed share their data order and their luck.
    """
    rows = []
    for axis in ("group", "positional", "depth", "augment"):
        levels = sorted(runs[axis].dropna().unique(), key=_order(axis))
        if len(levels) < 2:
            continue
        wanted = settings.baseline.get(axis)
        reference = wanted if wanted in levels else levels[0]
        for level in levels:
            if level != reference:
                rows += [_effect(runs, axis, level, reference, m.column, settings.confidence)
                         for m in MEASURED]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def _effect(
    runs: pd.DataFrame, axis: str, level: object, reference: object, column: str, confidence: float
) -> dict:
    others = [name for name in AXES if name != axis]
    values = runs.set_index([*others, "seed"])[[axis, column]]
    here = values[values[axis] == level][column]
    there = values[values[axis] == reference][column]
    differences = (here - there).dropna()
    per_seed = differences.groupby(level="seed").mean() if len(differences) else differences
    interval = mean_interval(per_seed, confidence, bounds=(-1.0, 1.0))
    contexts = len(differences.groupby(level=others)) if len(differences) else 0
    return {
        "axis": axis, "level": str(level), "reference": str(reference), "measure": column,
        "contexts": contexts, "pairs": interval.n, "difference": interval.centre,
        "low": interval.low, "high": interval.high,
    }  # fmt: skip


def _order(axis: str) -> Callable[[Any], Any]:
    keys: dict[str, Callable[[Any], Any]] = {
        "group": group_order, "positional": encoding_order, "augment": augment_order,
    }  # fmt: skip
    return keys.get(axis, np.int64)

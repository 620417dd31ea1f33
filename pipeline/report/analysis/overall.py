"""Cells over all data sets of a study: interquartile means and probabilities of improvement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from pipeline.report.analysis.cells import LABELLED, label
from pipeline.report.analysis.comparisons import MEASURED
from pipeline.report.analysis.measures import Measure
from pipeline.report.analysis.statistics import (
    Interval,
    bootstrap_interval,
    interquartile_mean,
    probability_of_improvement,
)
from pipeline.report.load import Settings
from pipeline.report.text.names import augment_order, encoding_order, group_order, images_order

# A cell whatever the data set.
CONFIGURATION = [
    "model", "tokens", "depth", "group", "positional", "augment", "training_images",
]  # fmt: skip
COLUMNS = ["label", *CONFIGURATION, "measure", "datasets", "n", "centre", "low", "high"]


def interquartile_means(
    runs: pd.DataFrame, settings: Settings, generator: np.random.Generator
) -> pd.DataFrame:
    """Return the interquartile mean over seeds and data sets of every cell that has them all.

    One row a cell and measure, with a bootstrap interval stratified by data set; nothing for a
    study of one data set, whose means say the same.
    """
    names = set(runs["dataset"])
    rows = []
    for cell, part in _configurations(runs) if len(names) > 1 else ():
        if set(part["dataset"]) != names:
            continue
        for measure in MEASURED:
            strata = [_values(rows, measure) for _, rows in part.groupby("dataset")]
            found = bootstrap_interval(strata, interquartile_mean, generator, settings.confidence)
            rows.append(_row(cell, measure, len(names), found))
    return pd.DataFrame(rows, columns=COLUMNS)


def improvements(
    runs: pd.DataFrame, settings: Settings, generator: np.random.Generator
) -> pd.DataFrame:
    """Return the chance that a run of a cell beats one of its baseline, over all data sets.

    One row a cell and measure; the baseline agrees on the `settings.matched` axes.
    """
    rows = []
    parts = list(_configurations(runs))
    baselines = {
        _setting(cell, settings): part for cell, part in parts if _is_baseline(cell, settings)
    }
    for cell, part in parts:
        baseline = baselines.get(_setting(cell, settings))
        if baseline is None or _is_baseline(cell, settings):
            continue
        shared = sorted(set(part["dataset"]) & set(baseline["dataset"]))
        for measure in MEASURED if shared else ():
            strata = [
                (_values(part[part["dataset"] == name], measure),
                 _values(baseline[baseline["dataset"] == name], measure))
                for name in shared
            ]  # fmt: skip
            found = probability_of_improvement(strata, generator, settings.confidence)
            rows.append(_row(cell, measure, len(shared), found))
    return pd.DataFrame(rows, columns=COLUMNS)


def _configurations(runs: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Finished runs by configuration, in the order of the report's cells, each with a label."""
    varying = [axis for axis in CONFIGURATION if runs[axis].nunique() > 1 or axis == "group"]
    parts = [(dict(zip(CONFIGURATION, key, strict=True)), part)
             for key, part in runs.groupby(CONFIGURATION, sort=False)]  # fmt: skip
    for cell, part in sorted(parts, key=lambda item: _order(item[0])):
        shown = [a for a in LABELLED[:-1] if a in varying or a == "positional"]
        yield {"label": label(cell, shown), **cell}, part


def _order(cell: dict[str, Any]) -> tuple:
    ends = (
        group_order(cell["group"]), encoding_order(cell["positional"]),
        augment_order(cell["augment"]), images_order(cell["training_images"]),
    )  # fmt: skip
    return (cell["model"], cell["tokens"], int(cell["depth"]), *ends)


def _setting(cell: dict[str, Any], settings: Settings) -> tuple:
    return tuple(cell[axis] for axis in settings.matched)


def _is_baseline(cell: dict[str, Any], settings: Settings) -> bool:
    return all(str(cell[axis]) == str(value) for axis, value in settings.baseline.items())


def _values(rows: pd.DataFrame, measure: Measure) -> np.ndarray:
    return rows[measure.column].to_numpy(dtype=np.float64, na_value=np.nan)


def _row(cell: dict[str, Any], measure: Measure, datasets: int, found: Interval) -> dict[str, Any]:
    return {
        **cell, "measure": measure.column, "datasets": datasets, "n": found.n,
        "centre": found.centre, "low": found.low, "high": found.high,
    }  # fmt: skip

"""Cells over all data sets of a study: interquartile means."""

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

    One row per cell and measure, with a bootstrap interval stratified by data set; nothing for a
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


def _values(rows: pd.DataFrame, measure: Measure) -> np.ndarray:
    """Values of the runs of a data set; their means over seeds where there are several splits."""
    values = rows[measure.column]
    if "split" in rows and rows["split"].nunique() > 1:
        values = values.astype(np.float64).groupby(rows["split"]).mean()
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _row(cell: dict[str, Any], measure: Measure, datasets: int, found: Interval) -> dict[str, Any]:
    return {
        **cell, "measure": measure.column, "datasets": datasets, "n": found.n,
        "centre": found.centre, "low": found.low, "high": found.high,
    }  # fmt: skip

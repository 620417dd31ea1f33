"""Vectorised intervals of all groups of a table, and evenly spaced samples of its rows."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from pipeline.report.analysis.statistics import t_half_width


def mean_intervals(
    frame: pd.DataFrame,
    by: list[str],
    column: str,
    confidence: float,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> pd.DataFrame:
    """Return `statistics.mean_interval` of every group, in the order the groups first appear.

    Columns: those of `by`, then `column` (the centre), `low`, `high` and `n`.
    """
    values = frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
    usable = frame[by].assign(**{column: np.where(np.isfinite(values), values, np.nan)})
    groups = usable.groupby(by, sort=False, dropna=False)[column]
    found = groups.agg(["mean", "std", "count"]).reset_index()
    n = found["count"].to_numpy()
    half = t_half_width(found["std"], np.where(n > 1, n, np.nan), confidence)
    return found[by].assign(**{
        column: found["mean"], "low": np.maximum(bounds[0], found["mean"] - half),
        "high": np.minimum(bounds[1], found["mean"] + half), "n": n,
    })  # fmt: skip


def evenly(frame: pd.DataFrame, by: str, most: int) -> pd.DataFrame:
    """Return at most `most` rows of every group, spread evenly over its rows, ends included."""
    place, size = frame.groupby(by).cumcount(), frame.groupby(by)[by].transform("size")
    if not len(frame) or size.max() <= most:
        return frame
    # Row k of n is kept where the rounded-down grid of `most` points steps on to a new value.
    step = place * (most - 1) // (size - 1).clip(lower=1)
    before = (place - 1) * (most - 1) // (size - 1).clip(lower=1)
    return frame[(place == 0) | (size <= most) | (step > before)]

"""Paired differences to the baseline on the same seeds, each with a verdict."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from pipeline.report.analysis import measures
from pipeline.report.analysis.measures import Measure
from pipeline.report.analysis.statistics import (
    Interval,
    holm,
    mean_interval,
    minimum_pairs,
    sign_flip_p,
)
from pipeline.report.load import Settings
from pipeline.report.text.formatting import (
    PLUS_MINUS,
    counted,
    listed,
    p_value,
    plain,
    signed_points,
)
from pipeline.report.text.names import axis_name

MEASURED = (measures.UPRIGHT, measures.QUARTER, measures.ANY_ANGLE)
COLUMNS = [
    "id", "label", "baseline_id", "baseline_label", "measure", "pairs", "difference",
    "low", "high", "p", "p_holm", "comparisons", "distinguishable", "verdict",
]  # fmt: skip


def against_baseline(
    runs: pd.DataFrame, cells: pd.DataFrame, settings: Settings, generator: np.random.Generator
) -> pd.DataFrame:
    """Compare every cell with the baseline of its data set and `settings.matched` axes.

    Returns one row a cell and measure. p-values are corrected by Holm's method over all cells
    compared on one measure.
    """
    rows = []
    for measure in MEASURED:
        rows += _one_measure(measure, runs, cells, settings, generator)
    return pd.DataFrame(rows, columns=COLUMNS)


def _one_measure(
    measure: Measure,
    runs: pd.DataFrame,
    cells: pd.DataFrame,
    settings: Settings,
    generator: np.random.Generator,
) -> list[dict]:
    alpha = 1 - settings.confidence
    rows = []
    for _, cell in cells[~cells["baseline"]].iterrows():
        baseline = baseline_of(cell, cells, settings)
        if baseline is None:
            continue
        differences = paired(runs, int(cell["id"]), int(baseline["id"]), measure.column)
        interval = mean_interval(differences, settings.confidence, bounds=(-1.0, 1.0))
        rows.append({
            "id": cell["id"], "label": cell["label"], "baseline_id": baseline["id"],
            "baseline_label": baseline["label"], "measure": measure.column,
            "pairs": interval.n, "difference": interval.centre, "low": interval.low,
            "high": interval.high, "p": sign_flip_p(differences, generator),
        })  # fmt: skip
    adjusted = holm([row["p"] for row in rows])
    comparisons = int(np.isfinite(adjusted).sum())
    for row, p_holm in zip(rows, adjusted, strict=True):
        interval = Interval(row["difference"], row["low"], row["high"], row["pairs"], "Student t")
        row["p_holm"], row["comparisons"] = p_holm, comparisons
        row["distinguishable"] = bool(p_holm < alpha)
        row["verdict"] = verdict(interval, p_holm, alpha, comparisons)
    return rows


def baseline_of(cell: pd.Series, cells: pd.DataFrame, settings: Settings) -> pd.Series | None:
    """Return the baseline that a cell is compared with, if the cells have it."""
    matches = cells["baseline"]
    for axis in ("dataset", *settings.matched):
        matches = matches & (cells[axis] == cell[axis])
    found = cells[matches]
    return None if found.empty else found.iloc[0]


def baseline_name(settings: Settings) -> str:
    """Name the baseline as labels do: ``C1 absolute``."""
    return " ".join(plain(axis_name(axis, value), 20) for axis, value in settings.baseline.items())


def baseline_matched(settings: Settings) -> str:
    """Name what a cell and its baseline have in common."""
    names = {"augment": "augmentation", "training_images": "number of training images"}
    return listed(["data set", *(names.get(axis, axis) for axis in settings.matched)])


def no_comparison(settings: Settings) -> str:
    """Say that no cell can be compared."""
    return (
        f"No comparison: no cell shares {baseline_matched(settings)} with the baseline "
        f"{baseline_name(settings)}."
    )


def paired(runs: pd.DataFrame, first: int, second: int, column: str) -> np.ndarray:
    """Return `first - second` on every seed both cells finished, in the order of the seeds."""
    a = runs[runs["id"] == first].set_index("seed")[column]
    b = runs[runs["id"] == second].set_index("seed")[column]
    return (a - b).sort_index().dropna().to_numpy(dtype=np.float64)


def verdict(interval: Interval, p_holm: float, alpha: float, comparisons: int) -> str:
    """Return the result of a paired comparison as text and, if inconclusive, the seeds needed."""
    if interval.n == 0:
        return "not compared: no finished seed in common with the baseline"
    effect = signed_points(interval.centre)
    if interval.n == 1:
        return f"{effect} points with one seed: no test is possible"
    effect = f"{effect} {PLUS_MINUS} {100 * interval.half_width:.1f} points"
    seeds = counted(interval.n, "seed")
    needed, corrected = minimum_pairs(alpha), minimum_pairs(alpha, max(comparisons, 1))
    if interval.n < needed:
        also = f", {corrected} after correction" if corrected > needed else ""
        return f"{effect}, not distinguishable with {seeds}: at least {needed} needed{also}"
    if math.isfinite(p_holm) and p_holm < alpha:
        word = "better" if interval.centre > 0 else "worse"
        size = signed_points(abs(interval.centre)).lstrip("+")
        spread = f"{PLUS_MINUS} {100 * interval.half_width:.1f}"
        return f"{word} by {size} {spread} points, {seeds} (p = {p_value(p_holm)} after Holm)"
    if interval.n < corrected:
        return (
            f"{effect}, not distinguishable with {seeds}: "
            f"at least {corrected} needed for {comparisons} comparisons"
        )
    return f"{effect}, no difference shown with {seeds} (p = {p_value(p_holm)} after Holm)"

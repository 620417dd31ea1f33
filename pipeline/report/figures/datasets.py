"""Cells over all data sets: interquartile means with stratified bootstrap intervals."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.comparisons import MEASURED
from pipeline.report.plotting import forest, style
from pipeline.report.plotting.axes import percent_axis
from pipeline.report.plotting.forest import TITLES
from pipeline.report.text.formatting import listed, percent, plain

PART, ORDER = "details", 30
TITLE = "Interquartile means over data sets"
ALT = (
    "One row per cell: the interquartile mean of its test accuracy over the seeds of all data "
    "sets, with a bootstrap interval, for upright, quarter-turned and freely turned images."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "the study has one data set"


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the interquartile means; there are none in a study of one data set."""
    return analysis.overall[analysis.overall["centre"].notna()]


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel per measure."""
    figure, axes = forest.by_configuration(rows, analysis)
    for axis in axes:
        axis.locator_params(axis="x", nbins=4)
        percent_axis(axis.xaxis)
    level = f"{100 * analysis.settings.confidence:g} %"
    style.note(figure, [
        "Mean of the middle half of all runs of a cell, data sets together.",
        f"Bars: {level} percentile intervals, seeds resampled inside each data set; with few seeds "
        "they are too narrow. Cells that did not finish on every data set are left out.",
    ])  # fmt: skip
    return figure


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    names = [plain(name, 20) for name in analysis.drawn["dataset"].unique()]
    sentences = [f"Interquartile means over {listed(names, 6)}."]
    for measure, title in zip(MEASURED, TITLES, strict=True):
        here = rows[rows["measure"] == measure.column]
        if here.empty:
            continue
        best = here.loc[here["centre"].idxmax()]
        sentences.append(
            f"{title.capitalize()}: highest {plain(best['label'], 44)}, {percent(best['centre'])} "
            f"[{100 * best['low']:.1f}, {100 * best['high']:.1f}]."
        )
    return " ".join(sentences)

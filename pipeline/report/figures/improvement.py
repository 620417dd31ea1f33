"""The probability that a run of a cell is more accurate than one of its baseline."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.comparisons import MEASURED
from pipeline.report.plotting import forest, panels, style
from pipeline.report.plotting.axes import percent_axis
from pipeline.report.plotting.forest import TITLES
from pipeline.report.text.formatting import counted, listed, percent, plain

ORDER = 40
TITLE = "Probability of improvement on the baseline"
ALT = (
    "One row a cell: the probability that one of its runs beats a run of the baseline, with a "
    "bootstrap interval, for upright, quarter-turned and freely turned test images."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "no cell but the baseline finished"


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the probabilities that are known."""
    return analysis.improvements[analysis.improvements["centre"].notna()]


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel a measure."""
    figure, axes = forest.by_configuration(rows, analysis)
    for axis in axes:
        axis.axvline(0.5, color=style.MUTED, linewidth=0.8)
        axis.set_xlim(-0.06, 1.06)
        axis.set_xticks([0, 0.5, 1])
        percent_axis(axis.xaxis)
    style.note(figure, _notes(rows, analysis))
    return figure


def _notes(rows: pd.DataFrame, analysis: Analysis) -> list[str]:
    datasets, least = int(rows["datasets"].max()), int(rows["n"].min())
    over = f", mean over {datasets} data sets" if datasets > 1 else ""
    notes = [f"Share of all pairs of a run of the cell and one of the baseline that the cell wins; "
             f"ties count half{over}."]  # fmt: skip
    if np.isfinite(rows["low"]).any():
        notes.append(f"Bars: {100 * analysis.settings.confidence:g} % percentile intervals, runs "
                     "resampled inside each data set.")  # fmt: skip
    if (rows["low"] == rows["high"]).any():
        notes.append(f"A mark at 0 or 100 % without a bar: all runs agree, and {least} a cell "
                     "resampled can only agree again; it is no proof.")  # fmt: skip
    if rows["low"].isna().all():
        notes.append("One run a cell: every mark is one comparison; no test is possible.")
    return notes + panels.failure_notes(analysis.cells)


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    sentences = []
    for measure, title in zip(MEASURED, TITLES, strict=True):
        here = rows[rows["measure"] == measure.column]
        if here.empty:
            continue
        best, worst = here.loc[here["centre"].idxmax()], here.loc[here["centre"].idxmin()]
        always = here[here["centre"] == 1]["label"].map(lambda name: plain(name, 30)).tolist()
        ends = [f"{percent(row['centre'], 0)} ({plain(row['label'], 30)})" for row in (worst, best)]
        won = f"; every run beats every run of the baseline for {listed(always)}" if always else ""
        sentences.append(f"{title.capitalize()}: from {ends[0]} to {ends[1]}{won}.")
    runs = int(rows["n"].min())
    return " ".join([*sentences, f"50 % is no difference; {counted(runs, 'run')} a cell or more."])

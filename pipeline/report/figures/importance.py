"""The share of the variance of scores within a cell that each hyperparameter explains."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.plotting import forest, style
from pipeline.report.plotting.axes import percent_axis
from pipeline.report.text.formatting import counted, listed, percent, plain, said_of_panels

PART, ORDER = "training", 30
TITLE = "Hyperparameter importance"
ALT = (
    "One row per hyperparameter: its share of the variance of validation accuracy within a cell, "
    "as a random forest on the trials predicts it, with the range over resampled trials."
)
SOURCES = ("sweep/*/trials.parquet",)
ABSENT = "fewer than 20 completed trials, or fewer than two hyperparameters searched"
WEAK = 0.25  # below this the forest foresees too little for its shares to mean much


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the shares, data set by data set."""
    return analysis.importances


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel per data set."""
    datasets = list(rows["dataset"].drop_duplicates())
    names = list(rows.groupby("hyperparameter")["share"].mean().sort_values(ascending=False).index)
    figure, axes = forest.sheet([name.replace("_", " ") for name in names], len(datasets))
    for axis, dataset in zip(axes, datasets, strict=True):
        here = rows[rows["dataset"] == dataset]
        weak = bool(here["predicted"].iloc[0] < WEAK)
        for _, row in here.iterrows():
            y = names.index(row["hyperparameter"])
            axis.barh(y, row["share"], height=0.55, color=style.GRID if weak else style.MUTED,
                      zorder=1)  # fmt: skip
            forest.interval(axis, y, row, ("share", "low", "high"), color=style.INK, marker="o",
                            markerfacecolor=style.PAPER if weak else style.INK)  # fmt: skip
        axis.set_xlim(0, 1.02)
        percent_axis(axis.xaxis)
        axis.set_xlabel("Share of the variance")
        title = f"{plain(dataset, 30)}: " if len(datasets) > 1 else ""
        style.panel_title(axis, f"{title}variance explained", len(datasets), lines=4)
        explained = percent(max(here["predicted"].iloc[0], 0.0), 0)
        axis.set_title(f"{axis.get_title(loc='left')} {explained}")
    trials = int(rows["trials"].min())
    style.note(figure, [
        f"Functional analysis of variance over {counted(trials, 'trial')}"
        + (" (sampled)" if rows["sampled"].any() else "")
        + ", scores relative to the mean of their cell. Bars: range over resampled trials. "
        "Variance explained: on trials the forest was not fitted to; below "
        f"{percent(WEAK, 0)} drawn hollow, because the shares are then mostly noise.",
    ])  # fmt: skip
    return figure


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    sentences, weak = [], []
    for dataset, here in rows.groupby("dataset", sort=False):
        predicted = float(here["predicted"].iloc[0])
        explained = percent(max(predicted, 0.0), 0)
        if predicted < WEAK:
            weak.append(f"{plain(dataset, 20)} ({explained})")
            continue
        ranked = here.sort_values("share", ascending=False)
        shares = [
            f"{row['hyperparameter'].replace('_', ' ')} {percent(row['share'], 0)} "
            f"({100 * row['low']:.0f} to {100 * row['high']:.0f})"
            for _, row in ranked.iterrows()
        ]
        together = percent(max(1 - float(here["share"].sum()), 0.0), 0)
        sentences.append(
            f"{plain(dataset, 20)}: {listed(shares, 8)}; {together} are interactions. "
            f"The forest explains {explained} of the variance within cells."
        )
    if weak:
        sentences.append(
            "The forest explains too little of the variance within cells to rank "
            f"hyperparameters: {listed(weak, 8)}."
        )
    return said_of_panels(sentences)

"""Accuracy against parameters, FLOPs and training seconds."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.statistics import pareto_front
from pipeline.report.plotting import panels, style
from pipeline.report.plotting.axes import amount_axis, fit_percent
from pipeline.report.text.formatting import amount, listed, percent, plain
from pipeline.report.text.names import SETTING

PART, ORDER = "results", 50
TITLE = "Accuracy against cost"
ALT = (
    "Scatter plots of test accuracy, upright above and quarter-turned below, against parameters, "
    "floating-point operations an image and training seconds, on log axes; one mark a cell."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "no run finished"
ACCURACIES = (measures.UPRIGHT.column, measures.QUARTER.column)
SHOWN = (
    (measures.PARAMS.column, "Parameters"),
    (measures.FLOPS.column, "FLOPs an image"),
    (measures.SECONDS.column, "Training seconds a run (median)"),
)


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the finished cells and where each is on a Pareto front, as `accuracy/cost` names."""
    cells = analysis.drawn[analysis.drawn[ACCURACIES[0]].notna()]
    fronts = pd.Series("", index=cells.index)
    for _, part in cells.groupby(SETTING, sort=False):
        for accuracy, (cost, _) in itertools.product(ACCURACIES, SHOWN):
            prices = part[cost].where(part[cost] > 0)
            on = part.index[pareto_front(part[accuracy], prices)]
            fronts[on] = (fronts[on] + f" {accuracy}/{cost}").str.strip()
    return cells.assign(pareto=fronts)


def draw(cells: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel a currency and kind of test images."""
    parts = panels.settings(cells)
    figure, axes = panels.grid(len(parts) * len(ACCURACIES), len(SHOWN), 1.95, sharey="row")
    for row, ((title, part), accuracy) in zip(
        axes, itertools.product(parts, ACCURACIES), strict=True
    ):
        for axis, (column, name) in zip(row, SHOWN, strict=True):
            _panel(axis, part[part[column] > 0], column, accuracy, analysis.palette)
            if row is axes[-1]:
                axis.set_xlabel(name)
        low = part[accuracy + "_low"].fillna(part[accuracy]).min()
        fit_percent(row[0], low, part[accuracy + "_high"].fillna(part[accuracy]).max())
        row[0].set_ylabel(f"Accuracy, {measures.SHORT[accuracy]}")
        style.name_row(row[0], title)
    style.legend(figure, *analysis.palette.sections())
    devices = sorted({plain(name, 24) for name in analysis.runs["device"].dropna()})
    style.note(
        figure,
        [*panels.seed_notes(analysis.cells, analysis.settings.confidence),
         "Ringed and joined: Pareto front. Seconds depend on the machine "
         f"({', '.join(devices) or 'device unknown'}) and its load."],
    )  # fmt: skip
    return figure


def _panel(
    axes: Axes, cells: pd.DataFrame, column: str, accuracy: str, palette: style.Palette
) -> None:
    if cells.empty:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center",
                  color=style.MUTED)  # fmt: skip
        return
    front = cells[cells["pareto"].str.split().map(lambda names: f"{accuracy}/{column}" in names)]
    front = front.sort_values(column)
    axes.plot(front[column], front[accuracy], color=style.MUTED, linewidth=0.8, zorder=1.5)
    for _, cell in cells.iterrows():
        x, y, colour = cell[column], cell[accuracy], palette.colours[cell["group"]]
        artists = []
        if np.isfinite(cell[accuracy + "_low"]):
            ends = [cell[accuracy + "_low"], cell[accuracy + "_high"]]
            artists += axes.plot([x, x], ends, color=colour, linewidth=0.8, alpha=0.7)
        if cell["id"] in set(front["id"]):
            artists += axes.plot(x, y, "o", markersize=9.5, markerfacecolor="none",
                                 markeredgecolor=style.MUTED, markeredgewidth=0.9)  # fmt: skip
        artists += axes.plot(x, y, marker=palette.markers[cell["positional"]], color=colour,
                             markersize=5, markeredgecolor=style.INK,
                             markeredgewidth=0.5)  # fmt: skip
        for artist in artists:
            style.tag(artist, cell["id"])
    amount_axis(axes, cells[column].to_numpy(dtype=np.float64))


def caption(cells: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    sentences = []
    for column, name in SHOWN:
        known = cells[cells[column] > 0]
        if known.empty:
            continue
        low, high = known.loc[known[column].idxmin()], known.loc[known[column].idxmax()]
        sentences.append(
            f"{name}: {amount(low[column])} ({plain(low['label'], 30)}) to {amount(high[column])} "
            f"({plain(high['label'], 30)}), a factor of {high[column] / low[column]:.2g}."
        )
    for accuracy in ACCURACIES:
        chosen = f"{accuracy}/{measures.FLOPS.column}"
        front = cells[cells["pareto"].str.split().map(lambda names, chosen=chosen: chosen in names)]
        names = [f"{plain(row['label'], 30)} ({percent(row[accuracy])})"
                 for _, row in front.sort_values(measures.FLOPS.column).iterrows()]  # fmt: skip
        if names:
            sentences.append(
                f"On the front of FLOPs and accuracy, {measures.SHORT[accuracy]}: "
                f"{listed(names, 6)}."
            )
    return " ".join(sentences)

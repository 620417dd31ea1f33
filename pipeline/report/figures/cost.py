"""What a cell costs: accuracy against parameters, FLOPs and seconds."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report import measures
from pipeline.report.analysis import Analysis
from pipeline.report.figures import panels, style
from pipeline.report.figures.axes import amount_axis, fit_percent
from pipeline.report.words import amount, plain

NAME = "cost"
TITLE = "Cost"
ALT = (
    "Scatter plots of upright test accuracy against parameters, floating-point operations an "
    "image and training seconds, all on log axes; one mark a cell."
)
Y = measures.UPRIGHT.column
SHOWN = (
    (measures.PARAMS.column, "Parameters"),
    (measures.FLOPS.column, "FLOPs an image"),
    (measures.SECONDS.column, "Training seconds a run (median)"),
)


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the finished cells."""
    return analysis.drawn[analysis.drawn[Y].notna()]


def draw(cells: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel a currency."""
    parts = panels.settings(cells)
    figure, axes = panels.grid(len(parts), len(SHOWN), 2.4, sharey="row")
    for row, (title, part) in zip(axes, parts, strict=True):
        for axis, (column, name) in zip(row, SHOWN, strict=True):
            _panel(axis, part[part[column] > 0], column, analysis.look)
            axis.set_xlabel(name)
        low = part[Y + "_low"].fillna(part[Y]).min()
        fit_percent(row[0], low, part[Y + "_high"].fillna(part[Y]).max())
        row[0].set_ylabel("Test accuracy, upright")
        style.name_row(row[0], title)
    style.legend(
        figure,
        ("Group", analysis.look.group_handles()),
        ("Encoding", analysis.look.encoding_handles()),
    )
    devices = sorted({plain(name, 24) for name in analysis.runs["device"].dropna()})
    style.note(
        figure,
        [*panels.seed_notes(analysis.cells, analysis.settings.confidence),
         f"Seconds depend on the machine ({', '.join(devices) or 'device unknown'}) and on what "
         "else it was doing."],
    )  # fmt: skip
    return figure


def _panel(axes: Axes, cells: pd.DataFrame, column: str, look: style.Look) -> None:
    if cells.empty:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center",
                  color=style.MUTED)  # fmt: skip
        return
    for _, cell in cells.iterrows():
        x, colour = cell[column], look.colours[cell["group"]]
        if np.isfinite(cell[Y + "_low"]):
            (bar,) = axes.plot([x, x], [cell[Y + "_low"], cell[Y + "_high"]], color=colour,
                               linewidth=0.8)  # fmt: skip
            style.tag(bar, cell["id"])
        (mark,) = axes.plot(x, cell[Y], marker=look.markers[cell["positional"]], color=colour,
                            markeredgecolor=style.INK, markeredgewidth=0.5)  # fmt: skip
        style.tag(mark, cell["id"])
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
    return " ".join(sentences)

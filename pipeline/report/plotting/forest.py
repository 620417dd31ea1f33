"""Rows with intervals: the shared drawing of every figure that lists cells downwards."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.comparisons import MEASURED
from pipeline.report.analysis.measures import SHORT
from pipeline.report.analysis.overall import CONFIGURATION
from pipeline.report.plotting import panels, style
from pipeline.report.text.formatting import plain

ROW_HEIGHT, TWO_LINES = 0.17, 0.25  # inches: of a row, and where names on a phone take two lines
LONGEST = 44  # letters of a name
MOST_ROWS = 60  # of a figure; all are in its CSV
MANY_ROWS = 30  # from here on the axis is above the rows, too
TITLES = tuple(SHORT[measure.column] for measure in MEASURED)


def sheet(labels: list[str], columns: int) -> tuple[Figure, list[Axes]]:
    """Make one row of panels tall enough for all labels, first label on top."""
    names = [_lines(plain(label, LONGEST)) for label in labels]
    height = TWO_LINES if any("\n" in name for name in names) else ROW_HEIGHT
    figure, axes = panels.grid(1, columns, 0.75 + height * len(labels), sharey=True)
    first = axes[0][0]
    first.set_ylim(len(labels) - 0.4, -0.6)
    first.set_yticks(range(len(labels)), names)
    for axis in axes[0]:
        if len(labels) > MANY_ROWS:
            axis.tick_params(axis="x", top=True, labeltop=True)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", visible=False)
        for y in range(1, len(labels), 2):
            axis.axhspan(y - 0.5, y + 0.5, color=style.ZONE, linewidth=0, zorder=0)
    return figure, axes[0]


def _lines(name: str) -> str:
    """Break a name on a phone, where it would be as wide as its panel."""
    return "\n".join(textwrap.wrap(name, 26, max_lines=2)) if style.is_narrow() else name


def foremost(rows: pd.DataFrame, size: pd.Series) -> pd.DataFrame:
    """Return the rows of largest `size`, as many as a figure shows, in the order they had."""
    if len(rows) <= MOST_ROWS:
        return rows
    return rows[size.rank(method="first", ascending=False) <= MOST_ROWS]


def left_out(shown: int, whole: int, which: str) -> list[str]:
    """Say which cells a figure shows, where these are not all."""
    if shown == whole:
        return []
    return [f"Drawn: the {shown} of {whole} cells {which}; all are in the CSV."]


def interval(
    axes: Axes, y: float, row: pd.Series, columns: tuple[str, str, str], **options: Any
) -> None:
    """Draw a mark with its interval; `columns` name centre, low and high.

    It belongs to the cell `id` of its row, or to all those in `cells`.
    """
    centre, low, high = (row[column] for column in columns)
    cell = row.get("id")
    colour = options.pop("color", style.INK)
    artists = []
    if np.isfinite(low) and np.isfinite(high):
        artists += axes.plot([low, high], [y, y], color=colour, linewidth=1.1, zorder=2)
    options = {"marker": "o", "markersize": 5, "markerfacecolor": colour, **options}
    artists += axes.plot(centre, y, linestyle="", markeredgecolor=style.INK, markeredgewidth=0.6,
                         zorder=3, **options)  # fmt: skip
    for artist in artists:
        if cell is not None:
            style.tag(artist, int(cell))
        else:
            style.tag_mean(artist, row.get("cells", ""))


def by_configuration(rows: pd.DataFrame, analysis: Analysis) -> tuple[Figure, list[Axes]]:
    """Draw `centre`, `low` and `high`: one panel a measure, one row a cell over all data sets."""
    labels = list(rows["label"].drop_duplicates())
    figure, axes = sheet(labels, len(MEASURED))
    for axis, measure, title in zip(axes, MEASURED, TITLES, strict=True):
        for _, row in rows[rows["measure"] == measure.column].iterrows():
            of = {name: row[name] for name in CONFIGURATION}
            row["cells"] = style.cells_where(analysis.cells, of)
            interval(
                axis, labels.index(row["label"]), row, ("centre", "low", "high"),
                color=analysis.palette.colours[row["group"]],
                marker=analysis.palette.markers[row["positional"]],
            )  # fmt: skip
        style.panel_title(axis, title, len(MEASURED))
    style.legend(figure, *analysis.palette.sections())
    return figure, axes

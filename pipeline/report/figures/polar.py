"""Accuracy by angle as a polar plot: an invariant network gives a circle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.figures import turn
from pipeline.report.plotting import panels, style
from pipeline.report.text.formatting import percent, plain
from pipeline.report.text.names import encoding_order

ORDER = 80
TITLE = "Accuracy by angle, polar"
ALT = (
    "Polar plots, one a positional encoding: the angle is that of the test image, the radius the "
    "accuracy, one closed line a group. An invariant model draws a circle."
)
SOURCES = ("confirm/*/angles.parquet",)
ABSENT = "no run finished"


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the same rows as the figure along a full turn."""
    return turn.table(analysis)


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one circle an encoding."""
    parts = panels.settings(rows)
    encodings = sorted(rows["positional"].unique(), key=encoding_order)
    columns = min(len(encodings), 4)
    per_part = -(-len(encodings) // columns)
    figure, axes = panels.grid(
        len(parts) * per_part, columns, 6.0 / max(columns, 3), subplot_kw={"projection": "polar"}
    )
    for row in axes:
        for axis in row:
            axis.set_visible(False)
    for index, (title, part) in enumerate(parts):
        for place, encoding in enumerate(encodings):
            row, column = divmod(place, columns)
            axis = axes[index * per_part + row][column]
            axis.set_visible(True)
            _circle(axis, part[part["positional"] == encoding], analysis.palette)
            name = f"{plain(encoding, 16)}, {title}" if title else plain(encoding, 16)
            style.panel_title(axis, name, columns)
    style.legend(figure, *analysis.palette.sections(lines=True))
    style.note(figure, [
        "Means over depths and seeds. Radius: accuracy, 0 at the centre.",
        "Dots: exact quarter turns.",
        *panels.failure_notes(analysis.cells),
    ])  # fmt: skip
    return figure


def _circle(axis: Any, rows: pd.DataFrame, palette: style.Palette) -> None:
    axis.set_theta_zero_location("N")
    axis.set_ylim(0, 1)
    axis.yaxis.set_major_locator(FixedLocator([0.5, 1.0]))
    axis.yaxis.set_major_formatter(NullFormatter())
    for radius in (0.5, 1.0):  # between the lobes, away from the centre
        axis.text(np.radians(135), radius, f"{100 * radius:.0f} %", ha="right", va="top",
                  fontsize=6, color=style.MUTED)  # fmt: skip
    axis.xaxis.set_major_locator(FixedLocator(np.radians([0, 90, 180, 270]).tolist()))
    axis.tick_params(axis="x", pad=-1)
    axis.spines["polar"].set_visible(False)
    for group, line in rows.groupby("group", sort=False):
        angle, value, _, _ = turn.closed(line, "accuracy")
        colour = palette.colours[group]
        artists = axis.plot(np.radians(angle), value, color=colour, linewidth=1.2,
                            linestyle=palette.dashes[group])  # fmt: skip
        exact = line[line["exact"]]
        artists += axis.plot(np.radians(exact["angle_degrees"]), exact["accuracy"], "o",
                             color=colour, markersize=3, markeredgecolor=style.INK,
                             markeredgewidth=0.4)  # fmt: skip
        for artist in artists:
            style.tag_mean(artist, line["cells"].iloc[0])


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    spread = rows.groupby("group", sort=False)["accuracy"].agg(["min", "max"])
    parts = [
        f"{plain(group, 16)} between {percent(row['min'])} and {percent(row['max'])}"
        for group, row in spread.iterrows()
    ]
    return (
        f"Accuracy over all angles and encodings: {'; '.join(parts)}. An invariant network gives a "
        "circle."
    )

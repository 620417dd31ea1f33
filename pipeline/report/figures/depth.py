"""Accuracy against depth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.plotting import panels, style
from pipeline.report.plotting.axes import fit_percent
from pipeline.report.text.formatting import plain, signed_points
from pipeline.report.text.names import SETTING

ORDER = 170
TITLE = "Accuracy by depth"
ALT = (
    "Accuracy against the number of blocks, a panel a test, one line a group and encoding with "
    "intervals."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "the study has one depth, or no finished run"
MAX_LINES = 9  # in one panel; beyond that every encoding gets a separate row
SHOWN = tuple(measures.SHORT.items())


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the finished cells, or nothing when the study has one depth."""
    cells = analysis.drawn
    return cells if cells["depth"].nunique() > 1 else cells.iloc[:0]


def draw(cells: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw the three accuracies against depth."""
    lines = cells.groupby([*SETTING, "group", "positional"]).ngroups / len(panels.settings(cells))
    crowded = lines > MAX_LINES
    parts = panels.split(cells, [*SETTING, "positional"] if crowded else SETTING)
    figure, axes = panels.grid(len(parts), len(SHOWN), 1.9 if crowded else 2.5)
    depths = sorted(cells["depth"].unique())
    step = float(np.min(np.diff(depths)))
    for row, (title, part) in zip(axes, parts, strict=True):
        lines = list(part.groupby(["group", "positional"], sort=False))
        # Dodge: lines of equal depth stand side by side instead of hiding one another.
        shifts = np.linspace(-0.22, 0.22, len(lines)) * step if len(lines) > 1 else [0.0]
        for axis, (column, name) in zip(row, SHOWN, strict=True):
            for shift, ((group, encoding), line) in zip(shifts, lines, strict=True):
                _line(axis, line, column, shift, analysis.palette.colours[group],
                      analysis.palette.markers[encoding])  # fmt: skip
            axis.set_xticks(depths)
            axis.set_xlim(depths[0] - 0.45 * step, depths[-1] + 0.45 * step)
            axis.set_xlabel("Depth (blocks)")
            low, high = part[column + "_low"].fillna(part[column]), part[column + "_high"]
            fit_percent(axis, low.min(), high.fillna(part[column]).max())
            if row is axes[0]:
                style.panel_title(axis, name, len(SHOWN))
        row[0].set_ylabel("Test accuracy")
        style.name_row(row[0], title)
    style.legend(figure, *analysis.palette.sections())
    style.note(figure, panels.seed_notes(analysis.cells, analysis.settings.confidence))
    return figure


def _line(
    axes: Axes, line: pd.DataFrame, column: str, shift: float, colour: str, marker: str
) -> None:
    line = line.sort_values("depth")
    axes.plot(line["depth"] + shift, line[column], color=colour, linewidth=0.7, alpha=0.7)
    for _, cell in line.iterrows():
        x = cell["depth"] + shift
        (bar,) = axes.plot([x, x], [cell[column + "_low"], cell[column + "_high"]], color=colour,
                           linewidth=0.9)  # fmt: skip
        (mark,) = axes.plot(x, cell[column], marker=marker, color=colour, markersize=5,
                            markeredgecolor=style.INK, markeredgewidth=0.5)  # fmt: skip
        style.tag(bar, cell["id"])
        style.tag(mark, cell["id"])


def caption(cells: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    effects = analysis.effects
    rows = effects[(effects["axis"] == "depth") & effects["difference"].notna()]
    names = dict(SHOWN)
    parts = [
        f"{signed_points(row['difference'])} points {names[row['measure']]} from depth "
        f"{plain(row['reference'])} to {plain(row['level'])}"
        for _, row in rows.iterrows()
    ]
    if not parts:
        return "No cell finished on the same seed at two depths: nothing is compared."
    return (
        f"Averaged over matched cells: {'; '.join(parts)}. The effect of depth with its interval "
        "is in the figure of effects."
    )

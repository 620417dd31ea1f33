"""Group x encoding: accuracy upright, quarter-turned and at any angle."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.figures import panels, style
from pipeline.report.text.formatting import PLUS_MINUS, percent, plain
from pipeline.report.text.names import SETTING, encoding_order, group_order

NAME = "heatmap"
TITLE = "Accuracy by group and encoding"
ALT = (
    "Heat maps with groups as rows and positional encodings as columns; the number in each cell "
    "is the mean test accuracy in per cent, darker is more accurate."
)
SHOWN = tuple(measures.SHORT.items())


def table(analysis: Analysis) -> pd.DataFrame:
    """Return every cell, also those without a number, which are drawn as gaps beside others."""
    known = analysis.drawn[[column for column, _ in SHOWN]].notna().any(axis=None)
    return analysis.cells if known else analysis.cells.iloc[:0]


def draw(cells: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one row of three maps for every depth and setting."""
    parts = panels.split(cells, [*SETTING, "depth"])
    groups = sorted(cells["group"].unique(), key=group_order)
    encodings = sorted(cells["positional"].unique(), key=encoding_order)
    figure, axes = panels.grid(len(parts), len(SHOWN), 0.5 + 0.36 * len(groups))
    for row, (title, part) in zip(axes, parts, strict=True):
        for axis, (column, name) in zip(row, SHOWN, strict=True):
            _map(axis, part, column, groups, encodings)
            if row is axes[0]:
                style.panel_title(axis, name, len(SHOWN))
        style.name_row(row[0], title)
        for axis in row[1:]:
            axis.set_yticklabels([])
    notes = panels.seed_notes(analysis.cells, analysis.settings.confidence)
    notes = [*notes, "Colour: 0 (light) to 100 % (dark)."]
    style.note(figure, [line.replace("Bars:", f"{PLUS_MINUS}: half") for line in notes])
    return figure


def colour_map() -> Colormap:
    """Light to dark in one hue: readable in grey and for the colour-blind."""
    return sns.color_palette("crest", as_cmap=True)


def _map(
    axes: Axes, cells: pd.DataFrame, column: str, groups: list[str], encodings: list[str]
) -> None:
    frame(axes, groups, encodings)
    colours = colour_map()
    for _, cell in cells.iterrows():
        x, y = encodings.index(cell["positional"]), groups.index(cell["group"])
        value = cell[column]
        if not np.isfinite(value):
            gap(axes, x, y, "no run", int(cell["id"]))
            continue
        colour = colours(float(np.clip(value, 0, 1)))
        box = axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor=style.PAPER))
        style.tag(box, cell["id"])
        half = (cell[column + "_high"] - cell[column + "_low"]) / 2
        text = f"{100 * value:.1f}"
        if np.isfinite(half):
            text += f"\n{PLUS_MINUS}{100 * half:.1f}"
        label = axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", linespacing=1.1,
                          fontsize=6.5, color=style.ink_on(colour))  # fmt: skip
        style.tag(label, cell["id"])


def frame(axes: Axes, rows: list[str], columns: list[str]) -> None:
    """Prepare empty axes with one unit square for every row and column name."""
    axes.grid(False)
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
    axes.set_xticks(np.arange(len(columns)) + 0.5, [plain(name, 13) for name in columns])
    axes.set_yticks(np.arange(len(rows)) + 0.5, [plain(name, 11) for name in rows])
    axes.tick_params(length=0)
    if len(columns) > 4 or any(len(name) > 9 for name in columns):
        axes.tick_params(axis="x", labelrotation=30)
    for spine in axes.spines.values():
        spine.set_visible(False)
    background = Rectangle((0, 0), len(columns), len(rows), facecolor=style.ZONE, zorder=0)
    axes.add_patch(background)


def gap(axes: Axes, x: int, y: int, text: str, cell: int) -> None:
    """Mark a square that has no value, with the reason."""
    label = axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=6,
                      color=style.MUTED, style="italic")  # fmt: skip
    style.tag(label, cell)


def caption(cells: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    sentences = []
    for column, name in SHOWN:
        known = cells[cells[column].notna()]
        if known.empty:
            continue
        low, high = known.loc[known[column].idxmin()], known.loc[known[column].idxmax()]
        sentences.append(
            f"{name.capitalize()}: from {percent(low[column])} ({plain(low['label'], 30)}) to "
            f"{percent(high[column])} ({plain(high['label'], 30)})."
        )
    sentences.append(
        "Means over seeds in per cent. Turning by any angle resamples the image, so the third "
        "map also measures interpolation; quarter turns move pixels without touching them."
    )
    return " ".join(sentences)

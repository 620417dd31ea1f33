"""Group x encoding: accuracy upright, quarter-turned and at any angle."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.plotting import maps, panels, style
from pipeline.report.text.formatting import PLUS_MINUS, percent, plain
from pipeline.report.text.names import SETTING, encoding_order, group_order

PART, ORDER = "details", 10
TITLE = "Accuracy by group and encoding"
ALT = (
    "Heat maps with groups as rows and positional encodings as columns; the number in each cell "
    "is the mean test accuracy in per cent, darker is more accurate."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "no group was studied with several encodings, or no run finished"
SHOWN = tuple(measures.SHORT.items())
MANY_PARTS = 4  # from more on each is drawn flat
PANEL = [*SETTING, "training_images", "augment", "depth"]


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the cells of settings with several encodings, gaps for those without a number."""
    cells = analysis.cells
    several = cells.groupby(PANEL, dropna=False)["positional"].transform("nunique") > 1
    known = analysis.drawn[[column for column, _ in SHOWN]].notna().any(axis=None)
    return cells[several] if known else cells.iloc[:0]


def draw(cells: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one row of three maps for every depth and setting."""
    parts = panels.split(cells, PANEL)
    groups = sorted(cells["group"].unique(), key=group_order)
    encodings = sorted(cells["positional"].unique(), key=encoding_order)
    flat = len(parts) > MANY_PARTS and len(encodings) <= 3
    height = 0.5 + (0.2 if flat else 0.36) * len(groups)
    figure, axes = panels.grid(len(parts), len(SHOWN), height)
    for row, (title, part) in zip(axes, parts, strict=True):
        for axis, (column, name) in zip(row, SHOWN, strict=True):
            _map(axis, part, column, groups, encodings, flat)
            if row is axes[0] or style.is_narrow():
                style.panel_title(axis, name, len(SHOWN))
        style.name_row(row[0], title)
        for axis in [] if style.is_narrow() else row[1:]:
            axis.set_yticklabels([])
    notes = panels.seed_notes(analysis.cells, analysis.settings.confidence)
    notes = [*notes, "Colour: 0 (light) to 100 % (dark)."]
    style.note(figure, [line.replace("Bars:", f"{PLUS_MINUS}: half") for line in notes])
    return figure


def _map(
    axes: Axes, cells: pd.DataFrame, column: str, groups: list[str], encodings: list[str],
    flat: bool,
) -> None:  # fmt: skip
    """Draw a map; its numbers take two lines each, and one where they are `flat`."""
    maps.frame(axes, groups, encodings)
    for _, cell in cells.iterrows():
        x, y = encodings.index(cell["positional"]), groups.index(cell["group"])
        value = cell[column]
        if not np.isfinite(value):
            maps.gap(axes, x, y, "no run", int(cell["id"]))
            continue
        half = (cell[column + "_high"] - cell[column + "_low"]) / 2
        text = f"{100 * value:.1f}"
        if np.isfinite(half):
            text += (" " if flat else "\n") + f"{PLUS_MINUS}{100 * half:.1f}"
        for artist in maps.square(axes, x, y, value, text, linespacing=1.1, fontsize=6.5):
            style.tag(artist, cell["id"])


def caption(cells: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    sentences = []
    for column, name in SHOWN:
        known = cells[cells[column].notna()]
        if known.empty:
            continue
        low, high = known.loc[known[column].idxmin()], known.loc[known[column].idxmax()]
        sentences.append(
            f"{name.capitalize()}: from {percent(low[column])} ({plain(low['label'], 44)}) to "
            f"{percent(high[column])} ({plain(high['label'], 44)})."
        )
    sentences.append(
        "Means over seeds in per cent. Turning by any angle resamples the image, so the third "
        "map also measures interpolation; quarter turns move pixels without touching them."
    )
    return " ".join(sentences)

"""The mark of a cell with its intervals: the shared drawing of every figure of cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pipeline.report.plotting import style


def mark(
    axes: Axes, cell: pd.Series, place: tuple[float, float], palette: style.Palette, *,
    x: tuple[float, float] | None = None, y: tuple[float, float] | None = None,
    ring: bool = False, size: float = 5.5,
) -> None:  # fmt: skip
    """Draw a cell at a place, with the ends of its intervals; `ring` marks a Pareto front."""
    colour = palette.colours[cell["group"]]
    artists: list[Any] = []
    for across, along in ((x, (place[1],) * 2), ((place[0],) * 2, y)):
        if across is not None and along is not None and np.isfinite([across, along]).all():
            artists += axes.plot(across, along, color=colour, linewidth=0.9, zorder=2.5)
    if ring:
        artists += axes.plot(*place, "o", markersize=size + 5, markerfacecolor="none", zorder=2.8,
                             markeredgecolor=style.MUTED, markeredgewidth=0.9)  # fmt: skip
    artists += axes.plot(*place, linestyle="", zorder=3, **palette.mark(cell, size))
    for artist in artists:
        style.tag(artist, cell["id"])


def ends(cell: pd.Series, column: str) -> tuple[float, float]:
    """Return the interval of a measure of a cell."""
    return cell[f"{column}_low"], cell[f"{column}_high"]


def extent(cells: pd.DataFrame, columns: list[str]) -> tuple[float, float]:
    """Return the least and the largest of several measures of cells, intervals included."""
    known = [cells[column] for column in columns]
    known += [cells[f"{column}_{end}"] for column in columns for end in ("low", "high")]
    values = pd.concat(known).to_numpy(dtype=np.float64)
    return float(np.nanmin(values)), float(np.nanmax(values))

"""The mark of a cell with its intervals: the shared drawing of every figure of cells."""

from __future__ import annotations

from collections.abc import Sequence
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


NAME_SIZE, LINE, LETTER = 5.5, 7.0, 3.1  # points: of a name, from line to line, and of a letter
MOST_LINES = 40  # that a name is moved away from its mark


def name(axes: Axes, points: Sequence[tuple[float, float, str, str, int]]) -> None:
    """Write names next to marks, inside the panel and none over another.

    Below marks of the upper half and above those of the lower one, left of what is near the right
    edge. The panel must have its place in the figure.

    Parameters
    ----------
    points
        Of each mark x, y, its name, its colour and its cell.
    """
    scale = 72 / axes.figure.dpi
    edge, middle = axes.bbox.x1 * scale, (axes.bbox.y0 + axes.bbox.y1) / 2 * scale
    placed: list[tuple[float, float, float]] = []
    for x, y, text, colour, cell in sorted(points, key=lambda point: -point[1]):
        left, mark = axes.transData.transform((x, y)) * scale
        width = LETTER * len(text)
        begin = left + 4 if left + 4 + width < edge else left - 4 - width
        step = -LINE if mark > middle else LINE
        near = [other for start, other, extent in placed
                  if begin < start + extent and start < begin + width]  # fmt: skip
        free = (mark + line * step for line in range(1, MOST_LINES))
        at = next((y for y in free if all(abs(y - other) >= LINE for other in near)), mark + step)
        placed.append((begin, at, width))
        named = axes.annotate(text, (x, y), xytext=(begin - left, at - mark), color=colour,
                              textcoords="offset points", fontsize=NAME_SIZE, zorder=3)  # fmt: skip
        named.set_in_layout(False)
        style.tag(named, cell)


RIVALS = "Named marks are other ways to symmetry than exact ties or turned training images."


def name_models(axes: Axes, cells: pd.DataFrame, x: str, y: str, palette: style.Palette) -> None:
    """Write the models of cells next to their marks, which lie at the columns `x` and `y`."""
    name(axes, [
        (float(cell[x]), float(cell[y]), str(cell["model"]), palette.colours[cell["group"]],
         int(cell["id"]))
        for _, cell in cells.iterrows()
    ])  # fmt: skip


def ends(cell: pd.Series, column: str) -> tuple[float, float]:
    """Return the interval of a measure of a cell."""
    return cell[f"{column}_low"], cell[f"{column}_high"]


def extent(cells: pd.DataFrame, columns: list[str]) -> tuple[float, float]:
    """Return the least and the largest of several measures of cells, intervals included."""
    known = [cells[column] for column in columns]
    known += [cells[f"{column}_{end}"] for column in columns for end in ("low", "high")]
    values = pd.concat(known).to_numpy(dtype=np.float64)
    return float(np.nanmin(values)), float(np.nanmax(values))

"""The mark of a cell with its intervals: the shared drawing of every figure of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pipeline.report.plotting import style
from pipeline.report.plotting.palette import Palette
from pipeline.report.text import names


def mark(
    axes: Axes, cell: pd.Series, place: tuple[float, float], palette: Palette, *,
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


NAME_SIZE, LINE, LETTER = 5.5, 7.0, 3.2  # points: of a name, from line to line, and of a letter
GAP, RADIUS = 5.0, 3.5  # points: from a mark to its name, and of a mark
MOST_LINES = 40  # that a name is moved away from its mark
CROSSED, COVERED = 2, 1000  # lines that it is moved rather than lie over a line, and over a mark
STEP = 2.0  # points: from each to the next point of a line that a name is kept away from
Box = tuple[float, float, float, float]  # left, bottom, right, top


def name(
    axes: Axes, points: Sequence[tuple[float, float, str, str, int]],
    others: Sequence[tuple[float, float]] = (),
) -> None:  # fmt: skip
    """Write names next to marks, inside the panel, over no mark and none over another.

    A name is next to its mark, or as few lines above or below as are free, and rather not over the
    lines of the panel. The panel must have its place in the figure.

    Parameters
    ----------
    points
        Of each mark x, y, its name, its colour and its cell.
    others
        Of each mark without a name x and y.
    """
    scale = 72 / axes.figure.dpi
    panel = (axes.bbox.x0 * scale, axes.bbox.y0 * scale, axes.bbox.x1 * scale, axes.bbox.y1 * scale)
    places = [axes.transData.transform(point[:2]) * scale for point in (*points, *others)]
    taken = [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in places]
    lines = np.concatenate([np.zeros((0, 2)), *(_along(line, scale) for line in axes.lines)])
    order = sorted(zip(places, points, strict=False), key=lambda pair: -pair[0][1])
    for (x, y), (at_x, at_y, text, colour, cell) in order:
        spots = _spots(x, y, LETTER * len(text), panel)
        costs = [
            abs((spot[1] + spot[3]) / 2 - y) / LINE
            + CROSSED * ((lines > spot[:2]) & (lines < spot[2:])).all(axis=1).any()
            + COVERED * sum(_overlap(spot, other) for other in taken)
            for spot in spots
        ]
        spot = spots[int(np.argmin(costs))]
        taken.append(spot)
        offset = spot[0] - x, (spot[1] + spot[3]) / 2 - y
        named = axes.annotate(text, (at_x, at_y), xytext=offset, textcoords="offset points",
                              va="center", color=colour, fontsize=NAME_SIZE, zorder=3)  # fmt: skip
        named.set_in_layout(False)
        style.tag(named, cell)


def _along(line: Line2D, scale: float) -> np.ndarray:
    """Return points along a line, or those of its markers alone, in points."""
    ends = line.get_transform().transform(np.asarray(line.get_xydata(), dtype=float)) * scale
    ends = ends[np.isfinite(ends).all(axis=1)]
    if len(ends) < 2 or line.get_linestyle() == "None":
        return ends
    length = np.concatenate([[0], np.hypot(*np.diff(ends, axis=0).T).cumsum()])
    places = np.arange(0, length[-1] + STEP, STEP)
    return np.stack([np.interp(places, length, axis) for axis in ends.T], axis=1)


def _spots(x: float, y: float, width: float, panel: Box) -> list[Box]:
    """Return where in the panel a name may be, the nearest places first; right before left."""
    spots = [
        (left, y + (line - 1) * LINE / 2, left + width, y + (line + 1) * LINE / 2)
        for line in sorted(range(-MOST_LINES, MOST_LINES + 1), key=abs)
        for left in (x + GAP, x - GAP - width)
    ]
    inside = [spot for spot in spots if panel[0] <= spot[0] and spot[2] <= panel[2]
              and panel[1] <= spot[1] and spot[3] <= panel[3]]  # fmt: skip
    return inside or spots


def _overlap(one: Box, two: Box) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


RIVALS = "Named marks are other ways to symmetry than exact ties or turned training images."


def name_models(axes: Axes, cells: pd.DataFrame, x: str, y: str, palette: Palette) -> None:
    """Write the models of rivals next to their marks; marks lie at the columns `x` and `y`."""
    rivals = cells["model"].isin(names.RIVALS)
    name(axes, [
        (float(cell[x]), float(cell[y]), str(cell["model"]), palette.colours[cell["group"]],
         int(cell["id"]))
        for _, cell in cells[rivals].iterrows()
    ], list(zip(cells.loc[~rivals, x], cells.loc[~rivals, y], strict=True)))  # fmt: skip


def ends(cell: pd.Series, column: str) -> tuple[float, float]:
    """Return the interval of a measure of a cell."""
    return cell[f"{column}_low"], cell[f"{column}_high"]


def extent(cells: pd.DataFrame, columns: list[str]) -> tuple[float, float]:
    """Return the least and the largest of several measures of cells, intervals included."""
    known = [cells[column] for column in columns]
    known += [cells[f"{column}_{end}"] for column in columns for end in ("low", "high")]
    values = pd.concat(known).to_numpy(dtype=np.float64)
    return float(np.nanmin(values)), float(np.nanmax(values))

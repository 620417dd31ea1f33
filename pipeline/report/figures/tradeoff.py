"""Accuracy on quarter-turned images against the measured invariance error: the headline figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.statistics import pareto_front
from pipeline.report.analysis.vectorised import evenly
from pipeline.report.plotting import panels, style
from pipeline.report.plotting.axes import ErrorScale, fit_percent
from pipeline.report.text.formatting import counted, listed, percent, plain, small
from pipeline.report.text.names import ROUNDING, SETTING

ORDER = 10
TITLE = "Accuracy against measured invariance"
ALT = (
    "Scatter plot. Each mark is a cell; to the left its logits change less under quarter turns, "
    "upwards it classifies quarter-turned test images better."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "no run finished"
Y, X = measures.QUARTER.column, measures.ERROR.column
COLUMNS = 3
MAX_RUNS = 20  # a cell; the mark and its interval hold all of them


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the finished cells with their place on the Pareto front of their panel."""
    cells = analysis.drawn[analysis.drawn[Y].notna() & analysis.drawn[X].notna()].copy()
    cells["pareto"] = False
    for _, part in cells.groupby([*SETTING, "depth"], sort=False):
        cells.loc[part.index, "pareto"] = pareto_front(part[Y], part[X], floor=ROUNDING)
    return cells


def draw(cells: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one column a depth: all cells above and, where they crowd, the best ones below."""
    parts = panels.split(cells, [*SETTING, "depth"])
    zoom = zoom_threshold(cells[Y].to_numpy())
    bands = [(0.0, False)] + ([(zoom, True)] if zoom is not None else [])
    columns = min(COLUMNS, len(parts))
    blocks = -(-len(parts) // columns)
    figure, axes = panels.grid(blocks * len(bands), columns, 2.35)
    single = analysis.runs[analysis.runs["id"].isin(cells["id"])]
    runs = evenly(single, "id", MAX_RUNS)
    for index, (title, part) in enumerate(parts):
        block, column = divmod(index, columns)
        for row, (above, is_zoom) in enumerate(bands):
            here = axes[block * len(bands) + row][column]
            shown = part[part[Y] >= above]
            everything = cells[cells[Y] >= above]
            scale = ErrorScale(_errors(everything, runs), whole=not is_zoom)
            _panel(here, shown, runs, analysis.palette, scale)
            fit_percent(here, *_extent(everything, runs))
            if not is_zoom:
                here.text(scale.start * 1.15, 0.02, "float32 rounding", fontsize=6,
                          color=style.MUTED, transform=here.get_xaxis_transform())  # fmt: skip
            names = [title, "zoom"] if is_zoom else [title]
            style.panel_title(here, ": ".join(filter(None, names)), columns)
    for spare in range(len(parts), blocks * columns):
        for row in range(len(bands)):
            axes[(spare // columns) * len(bands) + row][spare % columns].set_visible(False)
    panels.label_outer(axes, "Invariance error", "Accuracy, quarter-turned")
    style.legend(figure, *analysis.palette.sections())
    notes = panels.seed_notes(analysis.cells, analysis.settings.confidence)
    if cells["runs_finished"].max() > 1:
        some = f", {MAX_RUNS} a cell evenly chosen" if len(runs) < len(single) else ""
        notes.append(f"Small dots: single runs{some}.")
    style.note(figure, [*notes, NOTE])
    return figure


NOTE = (
    "Ringed and joined: Pareto front (errors within the shaded zone of float32 rounding count as "
    "equal)."
)


def zoom_threshold(accuracy: np.ndarray) -> float | None:
    """Return where the crowd of accurate cells begins, or None when nothing is crowded.

    The crowd is what lies above the widest gap, if that gap is much wider than the crowd.
    """
    ordered = np.sort(accuracy)
    if ordered.size < 3:
        return None
    gaps = np.diff(ordered)
    widest = int(np.argmax(gaps))
    crowd = ordered[widest + 1 :]
    if crowd.size < 2 or gaps[widest] < 3 * max(np.ptp(crowd), 0.01):
        return None
    return float(ordered[widest] + 0.6 * gaps[widest])


def _errors(cells: pd.DataFrame, runs: pd.DataFrame) -> np.ndarray:
    """Every error that is drawn: of single runs and at the ends of intervals."""
    single = runs.loc[runs["id"].isin(cells["id"]), X].to_numpy(dtype=np.float64)
    return np.concatenate([single, cells[X + "_low"], cells[X + "_high"]])


def _extent(cells: pd.DataFrame, runs: pd.DataFrame) -> tuple[float, float]:
    single = runs.loc[runs["id"].isin(cells["id"]), Y]
    lowest = min(cells[Y + "_low"].fillna(cells[Y]).min(), single.min())
    return float(lowest), float(max(cells[Y + "_high"].fillna(cells[Y]).max(), single.max()))


def _panel(
    axes: Axes, cells: pd.DataFrame, runs: pd.DataFrame, palette: style.Palette, scale: ErrorScale
) -> None:
    scale.apply(axes, "x")
    front = cells[cells["pareto"]].sort_values(X)
    axes.plot(scale.place(front[X]), front[Y], color=style.MUTED, linewidth=0.8, zorder=1.5)
    for _, cell in cells.iterrows():
        colour = palette.colours[cell["group"]]
        for _, run in runs[runs["id"] == cell["id"]].iterrows():
            (dot,) = axes.plot(scale.place(run[X]), run[Y], ".", color=colour, markersize=4,
                               alpha=0.45, markeredgewidth=0, zorder=2)  # fmt: skip
            style.tag(dot, cell["id"], run["run"])
        _mark(axes, cell, colour, palette.markers[cell["positional"]], scale)


def _mark(axes: Axes, cell: pd.Series, colour: str, marker: str, scale: ErrorScale) -> None:
    x, y = float(scale.place(cell[X])), cell[Y]
    for ends in (
        (scale.place([cell[X + "_low"], cell[X + "_high"]]), [y, y]),
        ([x, x], [cell[Y + "_low"], cell[Y + "_high"]]),
    ):
        if np.isfinite(ends[0]).all() and np.isfinite(ends[1]).all():
            (bar,) = axes.plot(*ends, color=colour, linewidth=0.9, zorder=2.5)
            style.tag(bar, cell["id"])
    if cell["pareto"]:
        (ring,) = axes.plot(x, y, "o", markersize=11, markerfacecolor="none", zorder=2.8,
                            markeredgecolor=style.MUTED, markeredgewidth=0.9)  # fmt: skip
        style.tag(ring, cell["id"])
    (mark,) = axes.plot(x, y, marker=marker, markersize=6, markerfacecolor=colour,
                        markeredgecolor=style.INK, markeredgewidth=0.6, zorder=3)  # fmt: skip
    style.tag(mark, cell["id"])


def caption(cells: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    front = [
        f"{plain(row['label'], 30)} ({percent(row[Y])}, error {small(row[X])})"
        for _, row in cells[cells["pareto"]].iterrows()
    ]
    exact, others = cells[cells["exact"]], cells[~cells["exact"]]
    sentences = []
    for part, kind in ((exact, "invariant by construction"), (others, "not invariant")):
        if len(part):
            sentences.append(
                f"{counted(len(part), 'cell')} {kind}: {percent(part[Y].min())} to "
                f"{percent(part[Y].max())} on quarter-turned test images, errors of "
                f"{small(part[X].min())} to {small(part[X].max())}."
            )
    sentences.append(f"On the Pareto front: {listed(front, 6)}.")
    sentences.append(
        "The error is the mean change of the logits under the three quarter turns over the mean "
        "distance of the logits of two different images: 0 is invariant, 1 is as different as "
        "another image. Errors are geometric means over seeds, accuracies means."
    )
    return " ".join(sentences)

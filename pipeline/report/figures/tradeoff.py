"""Accuracy on quarter-turned images against the measured invariance error."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.label_symmetry import turns_keep_labels
from pipeline.report.analysis.statistics import pareto_front
from pipeline.report.analysis.vectorised import evenly
from pipeline.report.plotting import marks, panels, style
from pipeline.report.plotting.axes import ErrorScale, fit_percent
from pipeline.report.plotting.palette import Palette
from pipeline.report.text.formatting import counted, percent, plain, small
from pipeline.report.text.names import ROUNDING
from pipeline.study.models import reference_of

PART, ORDER = "results", 20
TITLE = "Accuracy against measured invariance"
ALT = (
    "Scatter plot. Each mark is a cell; to the left its logits change less under quarter turns, "
    "upwards it classifies quarter-turned test images better."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "no run finished"
Y, X = measures.QUARTER.column, measures.ERROR.column
AVERAGED = measures.QUARTER_TTA_C4.column
AVERAGED_AT = 1e-7  # averages over the group are invariant to rounding
PANEL = ["dataset", "reference", "tokens"]  # rivals are drawn with their reference
MAX_RUNS = 20  # a cell; the mark and its interval hold all of them


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the finished cells with their place on the Pareto front of their panel."""
    cells = analysis.whole
    cells = cells[cells[Y].notna() & cells[X].notna()]
    kept = {name: turns_keep_labels(analysis.study, name) for name in cells["dataset"].unique()}
    cells = cells[cells["dataset"].map(kept).astype(bool)].assign(pareto=False)
    cells["reference"] = cells["model"].map(reference_of)
    for _, part in cells.groupby(PANEL, sort=False):
        cells.loc[part.index, "pareto"] = pareto_front(part[Y], part[X], floor=ROUNDING)
    return cells


def draw(cells: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel per data set: cells, single runs, and averages over turns."""
    figure, axes, parts = panels.tiled(panels.split(cells, PANEL), 2.6)
    single = analysis.runs[analysis.runs["id"].isin(cells["id"])]
    runs = evenly(single, "id", MAX_RUNS)
    errors = pd.concat([single[X].astype(float), cells[f"{X}_low"], cells[f"{X}_high"]])
    scale = ErrorScale([*errors, AVERAGED_AT])
    for axis, part in parts:
        _panel(axis, part, runs, analysis.palette, scale)
    panels.label_outer(axes, "Invariance error", "Accuracy, quarter-turned")
    averaged = Line2D([], [], marker="*", linestyle="", color=style.MUTED, markersize=8,
                      label="of 4 turns")  # fmt: skip
    extra = [("Averaged at test", [averaged])] if _averaged(cells).any() else []
    style.legend(figure, *analysis.palette.sections(), *extra)
    notes = panels.seed_notes(analysis.cells, analysis.settings.confidence)
    if cells["runs_finished"].max() > 1:
        some = f", {MAX_RUNS} a cell evenly chosen" if len(runs) < len(single) else ""
        notes.append(f"Small dots: single runs{some}.")
    rivals = cells["model"] != cells["reference"]
    if rivals.any():
        notes.append(marks.RIVALS)
    style.note(figure, [*notes, NOTE])
    if rivals.any():
        figure.draw_without_rendering()  # panels have their places
        for axis, part in parts:
            placed = part.assign(place=scale.place(part[X]))
            marks.name_models(axis, placed, "place", Y, analysis.palette)
    return figure


NOTE = (
    "Ringed and joined: Pareto front (errors within the shaded zone of float32 rounding count as "
    "equal). A star is the same network averaged over four turns of each test image, at four times "
    "the FLOPs: invariant by construction."
)


def _averaged(cells: pd.DataFrame) -> pd.Series:
    """Cells that averaging over turns could change."""
    return cells[AVERAGED].notna() & (cells[X] > ROUNDING)


def _panel(
    axes: Axes, cells: pd.DataFrame, runs: pd.DataFrame, palette: Palette, scale: ErrorScale
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
        x, *low_high = (float(scale.place(cell[f"{X}{end}"])) for end in ("", "_low", "_high"))
        known = np.isfinite(cell[f"{X}_low"])
        marks.mark(axes, cell, (x, cell[Y]), palette, y=marks.ends(cell, Y), ring=cell["pareto"],
                   x=(low_high[0], low_high[1]) if known else None)  # fmt: skip
    for _, cell in cells[_averaged(cells)].iterrows():
        colour = palette.colours[cell["group"]]
        drawn = axes.plot([cell[X], AVERAGED_AT], [cell[Y], cell[AVERAGED]], color=colour,
                          linewidth=0.5, linestyle=(0, (1, 2)), zorder=1.6)  # fmt: skip
        drawn += axes.plot(AVERAGED_AT, cell[AVERAGED], "*", color=colour, markersize=8, zorder=2.9,
                           markeredgecolor=style.INK, markeredgewidth=0.5)  # fmt: skip
        for artist in drawn:
            said = f"{plain(cell['label'], 40)} averaged over 4 turns: {percent(cell[AVERAGED])}"
            style.tag_mean(artist, str(cell["id"]), said)
    low, high = marks.extent(cells, [Y])
    single = runs.loc[runs["id"].isin(cells["id"]), Y].astype(float)
    averages = cells.loc[_averaged(cells), AVERAGED]
    lowest = np.nanmin([low, single.min(), averages.min() if len(averages) else low])
    fit_percent(axes, float(lowest), float(np.nanmax([high, single.max()])))
    axes.text(scale.start * 1.3, 0.02, "float32 rounding", fontsize=6, color=style.MUTED,
              transform=axes.get_xaxis_transform())  # fmt: skip


def caption(cells: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is found, with numbers, and then how to read it."""
    exact, others = cells[cells["exact"]], cells[~cells["exact"]]
    sentences = []
    for part, kind in ((exact, "invariant by construction"), (others, "not invariant")):
        if len(part):
            sentences.append(
                f"{counted(len(part), 'cell')} {kind}: {percent(part[Y].min())} to "
                f"{percent(part[Y].max())} of quarter-turned test images right, errors of "
                f"{small(part[X].min())} to {small(part[X].max())}."
            )
    averaged = cells[_averaged(cells)]
    if len(averaged):
        best = averaged.loc[averaged[AVERAGED].idxmax()]
        sentences.append(
            f"Averaging over four turns at test time brings {plain(best['label'], 44)} from "
            f"{percent(best[Y])} to {percent(best[AVERAGED])}, the most of all."
        )
    sentences.append(
        "The error is the mean change of the logits under the three quarter turns over the mean "
        "distance of the logits of two different images: 0 is invariant, 1 is as different as "
        "another image. Errors are geometric means over seeds, accuracies means."
    )
    return " ".join(sentences)

"""The winner's curse: the best score of the search against the scores of the confirmed runs."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.plotting import forest, panels, style
from pipeline.report.plotting.axes import percent_axis
from pipeline.report.text.formatting import counted, plain, signed_points

PART, ORDER = "training", 40
TITLE = "The winner's curse"
ALT = (
    "One row per searched cell: the validation accuracy of the trial that won the search, the mean "
    "validation accuracy of the confirmed runs with its interval, and their mean test accuracy."
)
SOURCES = ("confirm/*/runs.parquet", "sweep/*/trials.parquet")
ABSENT = "no cell that was searched has a finished run"
TUNED, VALIDATION, TEST = (
    measures.TUNED.column, measures.VALIDATION.column, measures.UPRIGHT.column,
)  # fmt: skip


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the finished cells that were searched themselves.

    The winning score of a cell that took its configuration from another search is of other images
    or another network.
    """
    cells = analysis.drawn
    searched = cells["trials_finished"] > 0
    return cells[searched & cells[TUNED].notna() & cells[VALIDATION].notna()]


def draw(cells: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw a row per cell."""
    whole = len(cells)
    cells = forest.foremost(cells, (cells[VALIDATION] - cells[TUNED]).abs())
    figure, (axis,) = forest.sheet(cells["label"].tolist(), 1)
    for y, (_, cell) in enumerate(cells.iterrows()):
        colour = analysis.palette.colours[cell["group"]]
        marker = analysis.palette.markers[cell["positional"]]
        columns = (VALIDATION, VALIDATION + "_low", VALIDATION + "_high")
        forest.interval(axis, y, cell, columns, color=colour, marker=marker)
        (won,) = axis.plot(cell[TUNED], y, "|", color=style.INK, markersize=9, markeredgewidth=1.4)
        (test,) = axis.plot(cell[TEST], y, "x", color=style.INK, markersize=4.5, zorder=3.5)
        for artist in (won, test):
            style.tag(artist, cell["id"])
    percent_axis(axis.xaxis)
    axis.set_xlabel("Accuracy on upright images")
    marks = [
        _handle("|", "winning trial", 9),
        _handle("o", "seeds, validation", 5),
        _handle("x", "seeds, test", 4.5),
    ]
    style.legend(figure, ("Score", marks), *analysis.palette.sections(fills=False))
    style.note(figure, [
        *forest.left_out(len(cells), whole, "whose score changes most"),
        *panels.seed_notes(analysis.cells, analysis.settings.confidence),
    ])  # fmt: skip
    return figure


def _handle(marker: str, label: str, size: float) -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, color=style.INK, markersize=size,
                  label=label, markeredgewidth=1.2 if marker == "|" else 0.8)  # fmt: skip


def caption(cells: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    confirmed = cells[VALIDATION] - cells[TUNED]
    test = cells[TEST] - cells[TUNED]
    lower = int((confirmed < 0).sum())
    return (
        "The best score of a search is biased upwards. Trained again with other seeds, "
        f"{lower} of {counted(len(cells), 'searched cell')} score lower on the same validation "
        f"images; the mean change is {signed_points(float(confirmed.mean()))} points (lowest: "
        f"{plain(cells.loc[confirmed.idxmin(), 'label'], 44)}, "
        f"{signed_points(float(confirmed.min()))}). From the winning score to the test images it "
        f"is {signed_points(float(test.mean()))} points."
    )

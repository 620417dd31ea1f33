"""Published accuracies and those of this study, each with its protocol."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.plotting import panels, style
from pipeline.report.plotting.axes import percent_axis
from pipeline.report.plotting.palette import Palette
from pipeline.report.text import published
from pipeline.report.text.formatting import percent, percent_interval, plain
from pipeline.report.text.summary import interval_of

PART, ORDER = "details", 60
TITLE = "Comparison with published accuracies"
ALT = (
    "One row per published or measured accuracy, sorted; marks of this study have intervals, every "
    "row its protocol."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "no published number of these data sets is known"
MAX_CELLS = 8  # of a data set: the cells that validated best
COLUMNS = ["dataset", "label", "id", "group", "positional", "accuracy", "low", "high", "protocol",
           "on_test"]  # fmt: skip


def table(analysis: Analysis) -> pd.DataFrame:
    """Return published and measured accuracies of the data sets that both have, best first."""
    known = published.table()
    rows = []
    for dataset, cells in analysis.drawn.groupby("dataset", sort=False):
        if dataset not in published.LITERATURE:
            continue
        name, measure = published.LITERATURE[str(dataset)]
        rows += [
            _published(str(dataset), row) for _, row in known[known["data"] == name].iterrows()
        ]
        best = cells.sort_values(measures.VALIDATION.column, ascending=False).head(MAX_CELLS)
        rows += [_measured(cell, measure) for _, cell in best.iterrows()]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.sort_values(["dataset", "accuracy"], ascending=[True, False], kind="stable")


def _published(dataset: str, row: pd.Series) -> dict:
    label = " ".join(filter(None, [row["model"], row["group"]]))
    return {
        "dataset": dataset, "label": label, "id": np.nan, "group": row["group"],
        "positional": "", "accuracy": row["accuracy"] / 100, "low": np.nan, "high": np.nan,
        "protocol": row["protocol"], "on_test": "best epoch on test" in row["protocol"],
    }  # fmt: skip


def _measured(cell: pd.Series, measure: measures.Measure) -> dict:
    interval = interval_of(cell, measure.column)
    return {
        "dataset": cell["dataset"], "label": cell["label"], "id": cell["id"],
        "group": cell["group"], "positional": cell["positional"], "accuracy": interval.centre,
        "low": interval.low, "high": interval.high, "on_test": False,
        "protocol": f"this study; {interval.n} seeds; test read once a run",
    }  # fmt: skip


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel per data set, one row per number."""
    parts = panels.split(rows, ["dataset"])
    most = max(len(part) for _, part in parts)
    figure, axes = panels.grid(len(parts), 1, 0.7 + 0.17 * most)
    for (axis,), (title, part) in zip(axes, parts, strict=True):
        _panel(axis, part, analysis.palette)
        style.panel_title(axis, title or plain(part["dataset"].iloc[0]), 1)
    style.note(figure, [
        *panels.failure_notes(analysis.cells),
        "Filled: this study, with intervals over seeds. Hollow: published; crossed out where the "
        "best epoch was chosen on the test images. Protocols differ: no two numbers may be "
        "compared without them.",
    ])  # fmt: skip
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, palette: Palette) -> None:
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [plain(label, 40) for label in rows["label"]])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    for y, (_, row) in enumerate(rows.iterrows()):
        measured = pd.notna(row["id"])
        colour = palette.colours.get(row["group"], style.MUTED) if measured else style.PAPER
        marker = palette.markers.get(row["positional"], "o") if measured else "o"
        (mark,) = axes.plot(row["accuracy"], y, marker=marker, color=colour, zorder=3,
                            markeredgecolor=style.INK, markeredgewidth=0.7)  # fmt: skip
        if measured:
            (bar,) = axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=1.1)
            style.tag(mark, int(row["id"]))
            style.tag(bar, int(row["id"]))
        if row["on_test"]:
            axes.plot(row["accuracy"], y, "x", color=style.INK, markersize=7, zorder=4)
        protocol = textwrap.shorten(row["protocol"], 58, placeholder=" …")
        axes.text(1.01, y, protocol, fontsize=6, va="center",
                  color=style.INK if measured else style.MUTED,
                  transform=axes.get_yaxis_transform())  # fmt: skip
    percent_axis(axes.xaxis)
    axes.set_xlabel("Test accuracy")


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    sentences = []
    for dataset, part in rows.groupby("dataset", sort=False):
        measured, others = part[part["id"].notna()], part[part["id"].isna()]
        best = analysis.cells.loc[analysis.cells["id"] == measured.iloc[0]["id"]].iloc[0]
        column = published.LITERATURE[str(dataset)][1].column
        on_test = int(others["on_test"].sum())
        sentences.append(
            f"{plain(dataset, 20)}: {len(others)} published numbers from "
            f"{percent(others['accuracy'].min())} to {percent(others['accuracy'].max())}, "
            f"{on_test} of them the best epoch on the test images; the most accurate cell here, "
            f"{plain(best['label'], 44)}, reaches {percent_interval(interval_of(best, column))}."
        )
    return " ".join(sentences)

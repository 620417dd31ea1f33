"""For whom: accuracy by class, by group of images and by orientation, the worst first."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipeline.report.analysis import label_symmetry
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.class_names import class_name
from pipeline.report.analysis.comparisons import baseline_name
from pipeline.report.analysis.measures import SHORT
from pipeline.report.plotting import forest, panels, style
from pipeline.report.plotting.axes import percent_axis
from pipeline.report.text.formatting import percent, plain, said_of_panels, signed_points
from pipeline.report.text.names import chance

PART, ORDER = "details", 42
TITLE = "For whom: classes, groups and orientations"
ALT = (
    "One row per subgroup of the test images, with its share: accuracy with an interval of the "
    "best cell and of the baseline, the worst subgroup of the best cell first."
)
SOURCES = ("confirm/*/runs.parquet",)  # and the predictions of these runs
ABSENT = "no predictions of test images were kept"
MOST_ROWS, MOST_PANELS = 12, 12  # drawn; all are in the CSV
PANEL = ["dataset", "by", "measure"]


def table(analysis: Analysis) -> pd.DataFrame:
    """Return all subgroups of all cells, where the labels keep their meaning under turns."""
    rows = analysis.subgroups
    return rows[label_symmetry.meaningful(analysis.study, rows)] if len(rows) else rows


def shown(rows: pd.DataFrame, analysis: Analysis) -> list[tuple[str, pd.DataFrame]]:
    """Return title and rows of each panel: its best cell, and that cell's baseline."""
    found = []
    for (dataset, by, measure), part in rows.groupby(PANEL, sort=False):
        column = part.groupby("id")["accuracy"].mean()
        best = part[part["id"] == column.idxmax()].sort_values(["accuracy", "subgroup"])
        names = best["subgroup"].head(MOST_ROWS).tolist()
        baseline = best["baseline_id"].iloc[0]
        drawn = part[part["id"].isin([best["id"].iloc[0], baseline])]
        drawn = drawn[drawn["subgroup"].isin(names)]
        drawn = drawn.assign(place=drawn["subgroup"].map(names.index), cut=len(best) - len(names))
        title = f"by {by}" + ("" if by == "orientation" else f", {SHORT[measure]}")
        if rows["dataset"].nunique() > 1:
            title = f"{plain(dataset, 18)} {title}"
        found.append((title, drawn.merge(analysis.cells[["id", "group", "positional"]], on="id")))
    return found[:MOST_PANELS]


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel per data set, kind of subgroup and kind of test images."""
    parts = shown(rows, analysis)
    most = max(part["place"].max() + 1 for _, part in parts)
    figure, axes, drawn = panels.tiled(parts, 0.7 + forest.ROW_HEIGHT * most, columns=2)
    for axis, part in drawn:
        _panel(axis, part, analysis)
    panels.label_outer(axes, "Accuracy", "")
    marks = [
        Line2D([], [], linestyle="", marker="o", markeredgecolor=style.INK, markeredgewidth=0.6,
               markerfacecolor=fill, label=label)
        for fill, label in ((style.MUTED, "best cell"), (style.PAPER, "its baseline"))
    ]  # fmt: skip
    style.legend(figure, ("Cell", marks), *analysis.palette.sections(fills=False))
    level = f"{100 * analysis.settings.confidence:g} %"
    style.note(figure, [
        f"Of each panel the cell with the highest mean over its subgroups, and its baseline "
        f"({baseline_name(analysis.settings)}); all cells and subgroups are in the CSV. In "
        f"brackets: test images, and their share. At most {MOST_ROWS} rows, the worst first.",
        f"Bars: {level} intervals over {chance(analysis.cells)}.",
    ])  # fmt: skip
    return figure


def _panel(axes: Axes, part: pd.DataFrame, analysis: Analysis) -> None:
    named = part.drop_duplicates("place").sort_values("place")
    axes.set_ylim(len(named) - 0.4, -0.6)
    axes.set_yticks(
        named["place"], [_name(row, analysis) for _, row in named.iterrows()], fontsize=6
    )
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    for _, row in part.iterrows():
        colour = analysis.palette.colours[row["group"]]
        is_best = pd.notna(row["baseline_id"]) or part["id"].nunique() == 1
        forest.interval(
            axes, row["place"] + (0.0 if is_best else 0.28), row,
            ("accuracy", "accuracy_low", "accuracy_high"), color=colour,
            marker=analysis.palette.markers[row["positional"]], markersize=4,
            markerfacecolor=colour if is_best else style.PAPER,
        )  # fmt: skip
    ends = part[["accuracy", "accuracy_low", "accuracy_high"]].astype(float)
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    margin = 0.07 * max(high - low, 0.01)
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    percent_axis(axes.xaxis)


def _name(row: pd.Series, analysis: Analysis) -> str:
    name = plain(row["subgroup"], 16)
    if row["by"] == "class":
        called = class_name(analysis.study, str(row["dataset"]), row["subgroup"])
        name = f"class {name}" if called == row["subgroup"] else plain(called, 22)
    return f"{name} ({row['images']:,.0f}, {percent(row['share'], 0)})"


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Name the worst subgroup of each panel, with the verdict against the baseline."""
    sentences = []
    for title, part in shown(rows, analysis):
        best = part[(part["place"] == 0) & part["baseline_id"].notna()]
        if best.empty:
            best = part[part["place"] == 0]
        row = best.iloc[0]
        text = (
            f"{title[:1].upper()}{title[1:]}: worst {_name(row, analysis)}, "
            f"{percent(row['accuracy'])} with {plain(row['label'], 44)}"
        )
        if isinstance(row["verdict"], str):
            points = signed_points(row["difference"])
            text += f", against the baseline {row['word']} ({points} points)"
        sentences.append(text + ".")
    return said_of_panels(sentences)

"""Every cell against the baseline on the same seeds, in percentage points."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.comparisons import MEASURED, baseline_matched, baseline_name, paired
from pipeline.report.plotting import forest, panels, style
from pipeline.report.plotting.axes import points_axis
from pipeline.report.plotting.forest import TITLES
from pipeline.report.text.formatting import plain
from pipeline.report.text.names import KEYS

ORDER = 30
TITLE = "Paired differences to the baseline"
ALT = (
    "One row a cell: its accuracy minus that of the baseline on the same seeds, with an interval "
    "and the single seeds, for upright, quarter-turned and freely turned test images."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "no cell shares a finished seed with its baseline"
MAX_SEEDS = 20  # dots a cell; the interval uses all of them


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the comparisons that have at least one pair."""
    compared = analysis.comparisons[analysis.comparisons["pairs"] > 0]
    return compared.merge(analysis.cells[["id", *KEYS[1:]]], on="id", how="left")


def draw(compared: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel a measure."""
    cells = compared.drop_duplicates("id").sort_values("id")
    places = {cell: y for y, cell in enumerate(cells["id"])}
    figure, axes = forest.sheet(cells["label"].tolist(), len(MEASURED))
    for axis, measure, title in zip(axes, MEASURED, TITLES, strict=True):
        points_axis(axis)
        for _, row in compared[compared["measure"] == measure.column].iterrows():
            y, colour = places[row["id"]], analysis.palette.colours[row["group"]]
            dots = paired(analysis.runs, row["id"], row["baseline_id"], measure.column)[:MAX_SEEDS]
            (seeds,) = axis.plot(dots, [y + 0.28] * len(dots), ".", color=colour, markersize=3.5,
                                 alpha=0.6, markeredgewidth=0)  # fmt: skip
            style.tag(seeds, row["id"])
            fill = colour if row["distinguishable"] else style.PAPER
            forest.interval(axis, y, row, ("difference", "low", "high"), color=colour,
                            marker=analysis.palette.markers[row["positional"]],
                            markerfacecolor=fill)  # fmt: skip
        style.panel_title(axis, title, len(MEASURED))
    marks = [_handle(style.INK, "yes"), _handle(style.PAPER, "no")]
    style.legend(figure, *analysis.palette.sections(), ("Distinguishable", marks))
    style.note(figure, _notes(compared, analysis))
    return figure


def _handle(fill: str, label: str) -> Line2D:
    return Line2D([], [], linestyle="", marker="o", markerfacecolor=fill, label=label,
                  markeredgecolor=style.INK, markeredgewidth=0.6)  # fmt: skip


def _notes(compared: pd.DataFrame, analysis: Analysis) -> list[str]:
    name, matched = baseline_name(analysis.settings), baseline_matched(analysis.settings)
    level = f"{100 * analysis.settings.confidence:g} %"
    some = f", the first {MAX_SEEDS}" if compared["pairs"].max() > MAX_SEEDS else ""
    notes = [f"Baseline: {name} of the same {matched}. Small dots: single seeds{some}."]
    if compared["pairs"].max() > 1:
        notes.append(f"Bars: {level} Student t intervals of the mean paired difference, "
                     "not corrected.")  # fmt: skip
    else:
        notes.append("One seed: no interval and no test.")
    notes += panels.failure_notes(analysis.cells)
    notes.append(
        "Filled: distinguishable from the baseline by the exact sign-flip test, corrected by Holm."
    )
    return notes


def caption(compared: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers: a verdict a measure for the largest difference."""
    sentences = []
    for measure, title in zip(MEASURED, TITLES, strict=True):
        rows = compared[(compared["measure"] == measure.column) & compared["difference"].notna()]
        if rows.empty:
            continue
        differ = int(rows["distinguishable"].sum())
        largest = rows.loc[rows["difference"].abs().idxmax()]
        sentences.append(
            f"{title.capitalize()}: {differ} of {len(rows)} cells are distinguishable from the "
            f"baseline; largest difference {plain(largest['label'], 30)}: {largest['verdict']}."
        )
    return " ".join(sentences)

"""Every cell against its baseline, in percentage points."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.report.analysis import label_symmetry
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.cells import finished
from pipeline.report.analysis.comparisons import MEASURED, baseline_matched, baseline_name
from pipeline.report.analysis.verdicts import BETTER, SAME, WORSE
from pipeline.report.plotting import forest, panels, style
from pipeline.report.plotting.axes import points_axis
from pipeline.report.plotting.forest import TITLES
from pipeline.report.text.formatting import plain
from pipeline.report.text.names import KEYS, chance

PART, ORDER = "details", 20
TITLE = "Differences to the baseline"
ALT = (
    "One row per cell: its accuracy minus that of the baseline, with an interval and the single "
    "seeds, for upright, quarter-turned and freely turned test images."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "no cell with a finished run has a baseline with one"
DIFFERENT = (*BETTER, *WORSE)
MAX_SEEDS = 20  # dots a cell; the interval uses all of them


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the comparisons of finished cells."""
    compared = analysis.comparisons[analysis.comparisons["difference"].notna()]
    compared = compared[compared["measure"].isin([measure.column for measure in MEASURED])]
    compared = compared.merge(analysis.cells[["id", *KEYS[2:]]], on="id", how="left")
    return compared[label_symmetry.meaningful(analysis.study, compared)]


def draw(compared: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel per measure."""
    cells = compared.drop_duplicates("id").sort_values("id")
    whole = len(cells)
    largest = compared["difference"].abs().groupby(compared["id"]).max()
    cells = forest.foremost(cells, cells["id"].map(largest))
    compared = compared[compared["id"].isin(cells["id"])]
    places = {cell: y for y, cell in enumerate(cells["id"])}
    figure, axes = forest.sheet(cells["label"].tolist(), len(MEASURED))
    for axis, measure, title in zip(axes, MEASURED, TITLES, strict=True):
        points_axis(axis)
        for _, row in compared[compared["measure"] == measure.column].iterrows():
            y, colour = places[row["id"]], analysis.palette.colours[row["group"]]
            dots = _seeds(analysis, row, measure.column)
            (seeds,) = axis.plot(dots, [y + 0.28] * len(dots), ".", color=colour, markersize=3.5,
                                 alpha=0.6, markeredgewidth=0)  # fmt: skip
            style.tag(seeds, row["id"])
            fill = (
                colour
                if row["word"] in DIFFERENT
                else style.ZONE
                if row["word"] == SAME
                else style.PAPER
            )
            forest.interval(axis, y, row, ("difference", "low", "high"), color=colour,
                            marker=analysis.palette.markers[row["positional"]],
                            markerfacecolor=fill)  # fmt: skip
        style.panel_title(axis, title, len(MEASURED))
    marks = [_handle(style.INK, "better or worse"), _handle(style.ZONE, "the same"),
             _handle(style.PAPER, "undecided")]  # fmt: skip
    style.legend(figure, *analysis.palette.sections(fills=False), ("Verdict", marks))
    style.note(figure, [
        *forest.left_out(len(cells), whole, "that differ most from their baseline"),
        *_notes(compared, analysis),
    ])  # fmt: skip
    return figure


def _handle(fill: str, label: str) -> Line2D:
    return Line2D([], [], linestyle="", marker="o", markerfacecolor=fill, label=label,
                  markeredgecolor=style.INK, markeredgewidth=0.6)  # fmt: skip


def _notes(compared: pd.DataFrame, analysis: Analysis) -> list[str]:
    name, matched = baseline_name(analysis.settings), baseline_matched(analysis.settings)
    level = f"{100 * analysis.settings.confidence:g} %"
    some = f", the first {MAX_SEEDS}" if compared["seeds"].max() > MAX_SEEDS else ""
    notes = [f"Baseline: {name} of the same {matched}. Small dots: single seeds less the mean of "
             f"the baseline{some}.",
             f"Bars: {level} intervals over {chance(analysis.cells)}, not adjusted for the number "
             "of comparisons; verdicts are."]  # fmt: skip
    if compared["basis"].str.contains("trained networks").any():
        notes.append("One seed a cell: bars and verdicts are of these trained networks alone.")
    return notes + panels.failure_notes(analysis.cells)


def _seeds(analysis: Analysis, row: pd.Series, column: str) -> list[float]:
    """Single seeds of a cell less the mean of its baseline."""
    runs = finished(analysis.runs)
    mine = runs.loc[runs["id"] == row["id"], column].dropna()
    baseline = runs.loc[runs["id"] == row["baseline_id"], column].mean()
    return [float(value) for value in (mine - baseline)[:MAX_SEEDS]]


def caption(compared: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers: a verdict a measure for the largest difference."""
    sentences = []
    for measure, title in zip(MEASURED, TITLES, strict=True):
        rows = compared[(compared["measure"] == measure.column) & compared["difference"].notna()]
        if rows.empty:
            continue
        differ = int(rows["word"].isin(DIFFERENT).sum())
        largest = rows.loc[rows["difference"].abs().idxmax()]
        sentences.append(
            f"{title.capitalize()}: {differ} of {len(rows)} cells are better or worse than the "
            f"baseline; largest difference {plain(largest['label'], 44)}: {largest['verdict']}."
        )
    return " ".join(sentences)

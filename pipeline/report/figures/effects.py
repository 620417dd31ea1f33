"""The effect of each axis of the study, averaged over the others."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from pipeline.report.analysis import label_symmetry
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.comparisons import MEASURED
from pipeline.report.analysis.effects import EVERY
from pipeline.report.plotting import forest, panels, style
from pipeline.report.plotting.axes import points_axis
from pipeline.report.plotting.forest import TITLES
from pipeline.report.text.formatting import PLUS_MINUS, listed, plain, signed_points
from pipeline.report.text.names import AUGMENT_NAMES, chance
from pipeline.report.text.verdict import word

PART, ORDER = "results", 30
TITLE = "Effect of each axis of the study"
ALT = (
    "One row per level of an axis: the change of accuracy against a reference level, averaged "
    "over all other choices, with its interval."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "no two finished cells differ in one choice alone"
# What stands before a level, where the level does not say it.
AXIS_NAMES = {"group": "", "positional": "encoding ", "depth": "depth ", "augment": "+ "}


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the effects on every data set, of tests whose turns keep its labels."""
    effects = analysis.effects
    effects = effects[effects["measure"].isin([measure.column for measure in MEASURED])]
    effects = effects[(effects["dataset"] != EVERY) & effects["difference"].notna()]
    return effects[label_symmetry.meaningful(analysis.study, effects)]


def draw(effects: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel per measure, one row per level."""
    levels = zip(effects["axis"], effects["level"], strict=True)
    cells = [style.cells_where(analysis.cells, {axis: level}) for axis, level in levels]
    effects = effects.assign(label=_labels(effects), cells=cells)
    labels = list(effects["label"].drop_duplicates())
    figure, axes = forest.sheet(labels, len(MEASURED))
    for axis, measure, title in zip(axes, MEASURED, TITLES, strict=True):
        points_axis(axis)
        for _, row in effects[effects["measure"] == measure.column].iterrows():
            colour = analysis.palette.colours.get(row["level"], style.INK)
            forest.interval(axis, labels.index(row["label"]), row, ("difference", "low", "high"),
                            color=colour, marker="o")  # fmt: skip
        style.panel_title(axis, title, len(MEASURED))
    level = f"{100 * analysis.settings.confidence:g} %"
    style.note(figure, [
        "D4 for C1: D4 in place of C1. Matched cells differ in this choice alone; their "
        "differences are averaged.",
        f"Bars: {level} intervals over {chance(analysis.cells)}, not adjusted for the number of "
        "effects.",
        *panels.failure_notes(analysis.cells),
    ])  # fmt: skip
    return figure


def _labels(effects: pd.DataFrame) -> list[str]:
    several = effects["dataset"].nunique() > 1
    return [_label(row, several) for _, row in effects.iterrows()]


def _label(row: pd.Series, several: bool) -> str:
    said = {"none": "none"} if row["axis"] != "augment" else AUGMENT_NAMES | {"none": "none"}
    names = [plain(said.get(row[key], row[key]), 14) for key in ("level", "reference")]
    change = f"{AXIS_NAMES[row['axis']]}{names[0]} for {names[1]}"
    return f"{plain(row['dataset'], 14)}: {change}" if several else change


def caption(effects: pd.DataFrame, analysis: Analysis) -> str:
    """Say which effects are the largest."""
    sentences, margin = [], analysis.settings.margin
    several = effects["dataset"].nunique() > 1
    for measure, title in zip(MEASURED, TITLES, strict=True):
        rows = effects[effects["measure"] == measure.column]
        rows = rows.iloc[rows["difference"].abs().argsort(kind="stable")[::-1]]
        parts = [
            f"{_label(r, several)} "
            f"{signed_points(r['difference'])}"
            f" {PLUS_MINUS} {50 * (r['high'] - r['low']):.1f} ({word(r['word'], margin)})"
            for _, r in rows.iterrows()
        ]
        if parts:
            sentences.append(f"Largest effects, {title}, in points: {listed(parts, 3)}.")
    return " ".join(sentences)

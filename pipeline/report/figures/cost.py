"""Accuracy against the cost of training: FLOPs, seconds and, unless matched, parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis import label_symmetry, measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.statistics import pareto_front
from pipeline.report.plotting import marks, panels, style
from pipeline.report.plotting.axes import amount_axis, fit_percent
from pipeline.report.plotting.palette import Palette
from pipeline.report.text.formatting import percent, plain, said_of_panels
from pipeline.report.text.names import SETTING
from pipeline.study.models import reference_of

PART, ORDER = "results", 50
TITLE = "Accuracy against cost"
ALT = (
    "Scatter plots of test accuracy against floating-point operations and seconds of training, on "
    "log axes; one mark per cell."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "no run finished"
NAMES = {
    measures.TRAINING_FLOPS.column: "FLOPs of training",
    measures.TRAINING_SECONDS.column: "Training seconds",
    measures.PARAMS.column: "Parameters",
}
PANEL = ["dataset", "reference", "tokens"]  # rivals are drawn with their reference
MATCHED = 1.15  # parameters within such a factor differ by what a whole width leaves over


def table(analysis: Analysis) -> pd.DataFrame:
    """Return a row per cell, test and cost, with whether it is on the Pareto front of the three."""
    cells = analysis.drawn[analysis.drawn[measures.UPRIGHT.column].notna()]
    rows = []
    cells = cells.assign(reference=cells["model"].map(reference_of))
    for _, part in cells.groupby(PANEL, sort=False):
        for test in _tests(analysis, part["dataset"].iloc[0]):
            for cost in _costs(cells):
                here = part[part[cost] > 0]
                front = pareto_front(here[test], here[cost])
                rows.append(here.assign(
                    test=test, cost=cost, accuracy=here[test], price=here[cost], pareto=front,
                    low=here[f"{test}_low"], high=here[f"{test}_high"],
                ))  # fmt: skip
    columns = ["id", "label", *SETTING, "reference", "group", "positional", "augment",
               "training_images", "test", "cost", "price", "accuracy", "low", "high",
               "pareto"]  # fmt: skip
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame()


def _tests(analysis: Analysis, dataset: object) -> list[str]:
    """Upright images and, where the label symmetry is not known by construction, turned ones."""
    known = label_symmetry.of(analysis.study, str(dataset))
    return [measures.UPRIGHT.column] + ([measures.QUARTER.column] if known is None else [])


def _costs(cells: pd.DataFrame) -> list[str]:
    """Costs that differ: a front over matched parameters would rank the rounding of widths."""
    parameters = cells[measures.PARAMS.column]
    matched = parameters.max() <= MATCHED * parameters.min()
    return [name for name in NAMES if name != measures.PARAMS.column or not matched]


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw a row of panels a data set and test, a column per cost."""
    costs = list(rows["cost"].drop_duplicates())
    parts = panels.split(rows, [*PANEL, "test"])
    figure, axes = panels.grid(len(parts), len(costs), 1.95, sharey="row")
    for line, (title, part) in zip(axes, parts, strict=True):
        for axis, cost in zip(line, costs, strict=True):
            _panel(axis, part[part["cost"] == cost], analysis.palette)
            if line is axes[-1] or style.is_narrow():
                axis.set_xlabel(NAMES[cost])
        fit_percent(line[0], float(part["low"].fillna(part["accuracy"]).min()),
                    float(part["high"].fillna(part["accuracy"]).max()))  # fmt: skip
        line[0].set_ylabel("Accuracy")
        style.name_row(line[0], title)
    style.legend(figure, *analysis.palette.sections())
    rivals = rows[rows["model"] != rows["reference"]]
    devices = sorted({plain(name, 24) for name in analysis.runs["device"].dropna()})
    style.note(figure, [
        *panels.seed_notes(analysis.cells, analysis.settings.confidence),
        "Ringed and joined: Pareto front. FLOPs of a run: three times those of a forward pass of "
        "all its training images and epochs. Seconds are medians and depend on the machine "
        f"({', '.join(devices) or 'device unknown'}) and its load.",
        *([marks.RIVALS] if len(rivals) else []),
    ])  # fmt: skip
    if len(rivals):
        figure.draw_without_rendering()  # panels have their places
        for line, (_, part) in zip(axes, parts, strict=True):
            for axis, cost in zip(line, costs, strict=True):
                here = part[part["cost"] == cost]
                marks.name_models(axis, here, "price", "accuracy", analysis.palette)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, palette: Palette) -> None:
    if rows.empty:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center",
                  color=style.MUTED)  # fmt: skip
        return
    front = rows[rows["pareto"]].sort_values("price")
    axes.plot(front["price"], front["accuracy"], color=style.MUTED, linewidth=0.8, zorder=1.5)
    for _, row in rows.iterrows():
        marks.mark(axes, row, (row["price"], row["accuracy"]), palette, size=5, ring=row["pareto"],
                   y=(row["low"], row["high"]))  # fmt: skip
    amount_axis(axes, rows["price"].to_numpy(dtype=np.float64))


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what the most accurate cell costs compared with the cheapest of its Pareto front."""
    first = str(rows["cost"].iloc[0])
    sentences = []
    for title, part in panels.split(rows[rows["cost"] == first], [*PANEL, "test"]):
        front = part[part["pareto"]].sort_values("price")
        if front.empty:
            continue
        cheap, best = front.iloc[0], front.iloc[-1]
        text = f"{title + ': ' if title else ''}{_named(best)} {percent(best['accuracy'])}"
        if len(front) > 1:
            text += (f", {best['price'] / cheap['price']:.3g} times the {NAMES[first]} of "
                     f"{_named(cheap)} ({percent(cheap['accuracy'])})")  # fmt: skip
        sentences.append(f"{text}.")
    return "The most accurate cells, and what they cost. " + said_of_panels(sentences)


def _named(row: pd.Series) -> str:
    """The label without the data set, which the panel names."""
    return plain(str(row["label"]).removesuffix(f" {row['dataset']}"), 40)

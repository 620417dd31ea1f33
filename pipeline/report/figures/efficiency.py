"""Accuracy against the number of training images.

Data sets whose names differ in a number at the end (`mnist-20`, `mnist-200`, `mnist`) are one data
set in several sizes, as the cells of a data set with other `training_images` are.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis import label_symmetry, measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.cells import finished
from pipeline.report.analysis.choices import family
from pipeline.report.plotting import marks, panels, style
from pipeline.report.plotting.axes import amount_axis, fit_percent
from pipeline.report.text.formatting import amount, counted, percent, plain, signed_points
from pipeline.report.text.names import condition

PART, ORDER = "details", 25
TITLE = "Accuracy against training images"
ALT = (
    "Accuracy against the number of training images on a log axis, one panel per data set and "
    "test, one line per group, encoding and augmentation, with intervals."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "no data set is there in two sizes (`sweep.training_images: [100, null]` is)"
LINE = ["family", "model", "tokens", "depth", "group", "positional", "augment"]


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the finished cells that are there with two numbers of training images or more."""
    cells = analysis.drawn
    runs = finished(analysis.runs)
    sizes = runs.dropna(subset=["train_images"]).groupby("id")["train_images"].first()
    cells = cells[cells["id"].isin(sizes.index)]
    cells = cells.assign(
        train_images=cells["id"].map(sizes).astype(int), family=cells["dataset"].map(family)
    )
    several = cells.groupby(LINE)["train_images"].transform("nunique") > 1
    return cells[several].sort_values([*LINE, "train_images"], kind="stable")


def chosen(cells: pd.DataFrame) -> str:
    """Return the data set with the most sizes."""
    return str(cells.groupby("family", sort=False)["train_images"].nunique().idxmax())


def draw(cells: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel per data set and test whose turns keep the labels."""
    parts = [
        (": ".join(filter(None, [title, name])), (part, column))
        for title, part in panels.split(cells, ["family", "model", "tokens", "depth"])
        for column, name in measures.SHORT.items()
        if column == measures.UPRIGHT.column
        or label_symmetry.turns_keep_labels(analysis.study, part["dataset"].iloc[0])
    ]  # fmt: skip
    figure, axes, tiles = panels.tiled(parts, 2.1)
    for axis, (part, column) in tiles:
        curve(axis, part, column, analysis)
    panels.label_outer(axes, "Training images", "Test accuracy")
    style.legend(figure, *analysis.palette.sections(lines=True))
    style.note(figure, panels.seed_notes(analysis.cells, analysis.settings.confidence))
    return figure


def curve(axes: Axes, cells: pd.DataFrame, column: str, analysis: Analysis) -> None:
    """Draw accuracy against training images, a line per group, encoding and augmentation."""
    for _, line in cells.groupby(LINE, sort=False):
        look = analysis.palette.line(line.iloc[0])
        (drawn,) = axes.plot(line["train_images"], line[column], linewidth=1, **look)
        style.tag_mean(drawn, " ".join(map(str, line["id"])), _said(line, column))
        for _, cell in line.iterrows():
            marks.mark(axes, cell, (cell["train_images"], cell[column]), analysis.palette, size=4.5,
                       y=marks.ends(cell, column))  # fmt: skip
        _law(axes, line, column, analysis)
    amount_axis(axes, cells["train_images"].to_numpy(dtype=np.float64))
    fit_percent(axes, *marks.extent(cells, [column]))
    axes.set_xlabel("Training images")


def _law(axes: Axes, line: pd.DataFrame, column: str, analysis: Analysis) -> None:
    """Draw the fitted power law of the error, where one was fitted."""
    laws, first = analysis.size_curves, line.iloc[0]
    mine = (laws["measure"] == column) & (laws["dataset"] == first["dataset"])
    for name in LINE[1:]:
        mine &= laws[name].astype(str) == str(first[name])
    for _, law in laws[mine].iterrows():
        ends = np.geomspace(line["train_images"].min(), line["train_images"].max(), 30)
        axes.plot(ends, 1 - law["factor"] * ends ** -law["exponent"], linewidth=0.6, alpha=0.7,
                  color=analysis.palette.colours[first["group"]])  # fmt: skip


def _said(line: pd.DataFrame, column: str) -> str:
    first = line.iloc[0]
    points = [f"{percent(y)} with {x:,}" for x, y in zip(
        line["train_images"], line[column], strict=True)]  # fmt: skip
    return f"{condition(first['group'], first['augment'])}: {', '.join(points)}"


def caption(cells: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is found, with numbers: what more images bring to each condition."""
    column = measures.UPRIGHT.column
    sentences = []
    for name, part in cells.groupby("family", sort=False):
        low, high = part["train_images"].min(), part["train_images"].max()
        named = part.assign(name=[condition(g, a) for g, a in zip(
            part["group"], part["augment"], strict=True)])  # fmt: skip
        means = named.groupby(["name", "train_images"], sort=False)[column].mean()
        gains = [
            f"{plain(one, 44)} {percent(means[one, low])} to {percent(means[one, high])} "
            f"({signed_points(means[one, high] - means[one, low])})"
            for one in named["name"].unique()
            if (one, low) in means and (one, high) in means
        ]
        sentences.append(
            f"{plain(name, 20)}, upright, from {amount(low)} to {amount(high)} training images "
            f"({counted(part['train_images'].nunique(), 'size')}): {'; '.join(gains)}."
        )
    return " ".join(sentences)

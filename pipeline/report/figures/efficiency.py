"""Data efficiency: accuracy against the number of training images.

Data sets whose names differ in a number at the end (`mnist-20`, `mnist-200`, `mnist`) are one data
set in several sizes.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.cells import finished
from pipeline.report.plotting import panels, style
from pipeline.report.plotting.axes import amount_axis, fit_percent
from pipeline.report.text.formatting import amount, counted, percent, plain, signed_points
from pipeline.report.text.names import encoding_order

PART, ORDER = "details", 20
TITLE = "Data efficiency"
ALT = (
    "Accuracy against the number of training images on a log axis, one column a test, one line a "
    "group and encoding with intervals."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "no data set has two numbers of training images (`training_images: [300, null]`)"
SHOWN = tuple(measures.SHORT.items())
LINE = ["family", "model", "tokens", "depth", "group", "positional", "augment"]
_SIZE = re.compile(r"(.+?)[-_]\d+")


def family(dataset: str) -> str:
    """Return the name without the number at its end.

    >>> family("mnist-20"), family("mnist"), family("cifar10")
    ('mnist', 'mnist', 'cifar10')
    """
    match = _SIZE.fullmatch(dataset)
    return match[1] if match else dataset


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the finished cells of every data set that is there in two sizes or more."""
    cells = analysis.drawn
    runs = finished(analysis.runs)
    sizes = runs.dropna(subset=["train_images"]).groupby("id")["train_images"].first()
    cells = cells[cells["id"].isin(sizes.index)]
    cells = cells.assign(
        train_images=cells["id"].map(sizes).astype(int), family=cells["dataset"].map(family)
    )
    several = cells.groupby("family")["train_images"].transform("nunique") > 1
    return cells[several].sort_values([*LINE, "train_images"], kind="stable")


def draw(cells: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one row an encoding (and setting), one column a test."""
    axes_that_split = ["family", "model", "tokens", "depth", "augment", "positional"]
    cells = cells.assign(order=cells["positional"].map(lambda n: encoding_order(n)[0]))
    cells = cells.sort_values([*axes_that_split[:-1], "order"], kind="stable")
    parts = panels.split(cells, axes_that_split)
    figure, axes = panels.grid(len(parts), len(SHOWN), 1.9)
    for row, (title, part) in zip(axes, parts, strict=True):
        for axis, (column, name) in zip(row, SHOWN, strict=True):
            for group, line in part.groupby("group", sort=False):
                _line(axis, line.sort_values("train_images"), column, str(group), analysis.palette)
            amount_axis(axis, cells["train_images"].to_numpy(dtype=np.float64))
            low, high = (part[column + end].fillna(part[column]) for end in ("_low", "_high"))
            fit_percent(axis, float(low.min()), float(high.max()))
            if row is axes[0]:
                style.panel_title(axis, name, len(SHOWN))
        row[0].set_ylabel("Test accuracy")
        style.name_row(row[0], title)
    for axis in axes[-1]:
        axis.set_xlabel("Training images")
    style.legend(figure, *analysis.palette.sections(lines=True))
    style.note(figure, panels.seed_notes(analysis.cells, analysis.settings.confidence))
    return figure


def _line(axes: Axes, line: pd.DataFrame, column: str, group: str, palette: style.Palette) -> None:
    axes.plot(line["train_images"], line[column], color=palette.colours[group], linewidth=1,
              linestyle=palette.dashes[group])  # fmt: skip
    for _, cell in line.iterrows():
        x, ends = cell["train_images"], [cell[column + "_low"], cell[column + "_high"]]
        (bar,) = axes.plot([x, x], ends, color=palette.colours[group], linewidth=0.9)
        (mark,) = axes.plot(x, cell[column], marker=palette.markers[cell["positional"]],
                            markersize=4.5, color=palette.colours[group],
                            markeredgecolor=style.INK, markeredgewidth=0.5)  # fmt: skip
        style.tag(bar, cell["id"])
        style.tag(mark, cell["id"])


def caption(cells: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers: what more images bring to each group."""
    column = measures.UPRIGHT.column
    sentences = []
    for name, part in cells.groupby("family", sort=False):
        low, high = part["train_images"].min(), part["train_images"].max()
        means = part.groupby(["group", "train_images"], sort=False)[column].mean()
        gains = [
            f"{plain(group, 12)} {percent(means[group, low])} to {percent(means[group, high])} "
            f"({signed_points(means[group, high] - means[group, low])})"
            for group in part["group"].unique()
            if (group, low) in means and (group, high) in means
        ]
        sentences.append(
            f"{plain(name, 20)}, upright, from {amount(low)} to {amount(high)} training images "
            f"({counted(part['train_images'].nunique(), 'size')}): {'; '.join(gains)}."
        )
    return " ".join(sentences)

"""Splitting a table into panels, and the notes below a figure about its seeds."""

from __future__ import annotations

from typing import Any, TypeVar

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis import measures
from pipeline.report.plotting import style
from pipeline.report.text.formatting import counted, listed, plain
from pipeline.study.models import reference_of

Part = TypeVar("Part")
MOST_COLUMNS = 3


def settings(table: pd.DataFrame, *more: str) -> list[tuple[str, pd.DataFrame]]:
    """Split by data set, model, tokens and `more`: a title naming those that vary, and the rows.

    Rivals of a model are in its panel.
    """
    known = table.assign(reference=table["model"].map(reference_of))
    return split(known, ["dataset", "reference", "tokens", *more])


def split(table: pd.DataFrame, columns: list[str]) -> list[tuple[str, pd.DataFrame]]:
    """Split by some columns, in the order of the table, titled by those that vary."""
    varying = [column for column in columns if table[column].nunique() > 1]
    parts = []
    for values, part in table.groupby(columns, sort=False, dropna=False):
        named = dict(zip(columns, values, strict=True))
        title = ", ".join(_value(column, named[column]) for column in varying)
        parts.append((title, part))
    return parts


def _value(column: str, value: object) -> str:
    if column == "depth":
        return f"depth {value}"
    if column == "test":
        return measures.SHORT[str(value)]
    if column == "training_images":
        return f"{plain(value, 24)} training images"
    if column == "augment" and value == "none":
        return "no augmentation"
    name = {"tokens": " tokens", "augment": " augmentation"}.get(column, "")
    return f"{plain(value, 24)}{name}"


def grid(
    rows: int, columns: int, height: float, *, stack: bool = True, sharex: bool = False,
    sharey: bool | str = False, widths: tuple[float, ...] | None = None,
    heights: tuple[float, ...] | None = None,
) -> tuple[Figure, list[list[Axes]]]:  # fmt: skip
    """Make a figure of the report's width with `rows` x `columns` panels; `height` is one row's.

    `widths` are those of the columns, and `heights` those of the rows, relative to each other.

    On a phone the panels stand below each other, with their own tick labels; without `stack` the
    figure keeps its width, and the page scrolls it. Returns the figure and its axes as a list of
    lists, the same in both.
    """
    if not style.is_narrow() or not stack:
        figure = Figure(figsize=(style.WIDTH, height * rows + 0.45))
        axes = figure.subplots(
            rows, columns, squeeze=False, sharex=sharex, sharey=sharey,  # type: ignore[arg-type]
            width_ratios=widths, height_ratios=heights,
        )  # fmt: skip
        return figure, [list(row) for row in axes]
    figure = Figure(figsize=(style.NARROW_WIDTH, height * rows * columns + 0.45))
    column = figure.subplots(rows * columns, 1, squeeze=False)[:, 0]
    stacked = [list(column[row * columns : (row + 1) * columns]) for row in range(rows)]
    for row in stacked:
        for axis in row:
            if sharex and axis is not column[0]:
                axis.sharex(column[0])
            first = row[0] if sharey == "row" else column[0]
            if sharey and axis is not first:
                axis.sharey(first)
    return figure, stacked


def tiled(
    parts: list[tuple[str, Part]], height: float, *, columns: int | None = None, **options: Any
) -> tuple[Figure, list[list[Axes]], list[tuple[Axes, Part]]]:
    """Make a titled panel a part, in so many columns or up to three; in one on a phone.

    Returns the figure, its axes, and of each part its axes and rows.
    """
    if columns is None:
        columns = -(-len(parts) // -(-len(parts) // MOST_COLUMNS))  # in rows of equal lengths
    columns = 1 if style.is_narrow() else min(columns, len(parts))
    figure, axes = grid(-(-len(parts) // columns), columns, height, **options)
    flat = [axis for row in axes for axis in row]
    for axis in flat[len(parts) :]:
        axis.set_visible(False)
    for axis, (title, _) in zip(flat, parts, strict=False):
        style.panel_title(axis, title, columns)
    return figure, axes, list(zip(flat, (part for _, part in parts), strict=False))


def label_outer(axes: list[list[Axes]], x: str, y: str) -> None:
    """Name the axes once a row, and below the last panel of a column, with its numbers."""
    for row in axes:
        row[0].set_ylabel(y)
    for column in zip(*axes, strict=True):
        shown = [axis for axis in column if axis.get_visible()]
        shown[-1].set_xlabel(x)
        shown[-1].tick_params(labelbottom=True)


def seed_notes(cells: pd.DataFrame, confidence: float) -> list[str]:
    """Say what the bars are, and which cells have one seed, failed runs or none at all."""
    counts = cells["runs_finished"]
    drawn = counts[counts > 0]
    if drawn.empty:
        return ["No run finished."]
    spread = f"{drawn.min()}" if drawn.nunique() == 1 else f"{drawn.min()} to {drawn.max()}"
    notes = []
    if "splits" in cells:
        splits = counted(int(cells["splits"].max()), "split")
        notes.append(f"Bars: {100 * confidence:g} % intervals over {splits}.")
    elif drawn.max() > 1:
        notes.append(
            f"Bars: {100 * confidence:g} % intervals, of accuracies over {spread} seeds and the "
            "test images, of other measures over seeds."
        )
    single = cells[counts == 1]["label"].map(lambda name: plain(name, 30)).tolist()
    if single and len(single) == len(drawn):
        notes.append("One seed a cell: no interval and no test are possible.")
    elif single:
        notes.append(f"One seed, no interval: {listed(single)}.")
    return notes + failure_notes(cells)


def failure_notes(cells: pd.DataFrame) -> list[str]:
    """Say which cells are missing from a figure, and how many runs from its means."""
    counts, notes = cells["runs_finished"], []
    partial = cells[(counts > 0) & (counts < cells["runs"])]
    if len(partial):
        lost = int((partial["runs"] - partial["runs_finished"]).sum())
        notes.append(f"{counted(lost, 'failed run')} left out of the means.")
    empty = cells[counts == 0]["label"].map(lambda name: plain(name, 30)).tolist()
    if empty:
        notes.append(f"No finished run, not drawn: {listed(empty)}.")
    return notes

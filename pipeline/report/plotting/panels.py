"""Splitting a table into panels, and the notes below a figure about its seeds."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.plotting.style import WIDTH, panel_title
from pipeline.report.text.formatting import counted, listed, plain
from pipeline.report.text.names import SETTING, encoding_order, group_order


def settings(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Split by the axes of a setting: a title naming those that vary, and the rows."""
    return split(table, SETTING)


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
    if column == "training_images":
        return f"{plain(value, 24)} training images"
    name = {"tokens": " tokens", "augment": " augmentation"}.get(column, "")
    return f"{plain(value, 24)}{name}"


def grid(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, list]:
    """Make a figure of the report's width with `rows` x `columns` panels; `height` is one row's.

    Returns the figure and its axes as a list of lists.
    """
    figure = Figure(figsize=(WIDTH, height * rows + 0.45))
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, [list(row) for row in axes]


def crossed(
    table: pd.DataFrame,
) -> tuple[Figure, list[list[Axes]], list[tuple[Axes, str, pd.DataFrame]]]:
    """Make a grid of panels, groups down and encodings across, titled.

    Returns the figure, its axes, and of each panel its axes, group and rows, which may be none.
    """
    parts = settings(table)
    groups = sorted(table["group"].unique(), key=group_order)
    encodings = sorted(table["positional"].unique(), key=encoding_order)
    figure, axes = grid(len(parts) * len(groups), len(encodings), 1.3, sharex=True, sharey=True)
    found = []
    for index, (title, part) in enumerate(parts):
        for row, group in enumerate(groups):
            for column, encoding in enumerate(encodings):
                axis = axes[index * len(groups) + row][column]
                name = f"{plain(group, 12)}, {plain(encoding, 14)}"
                panel_title(axis, f"{name}, {title}" if title else name, len(encodings))
                mine = (part["group"] == group) & (part["positional"] == encoding)
                found.append((axis, group, part[mine]))
    return figure, axes, found


def label_outer(axes: list[list[Axes]], x: str, y: str) -> None:
    """Name the axes once a column and once a row."""
    for row in axes:
        row[0].set_ylabel(y)
    for column in axes[-1]:
        column.set_xlabel(x)


def seed_notes(cells: pd.DataFrame, confidence: float) -> list[str]:
    """Say what the bars are, and which cells have one seed, failed runs or none at all."""
    counts = cells["runs_finished"]
    drawn = counts[counts > 0]
    if drawn.empty:
        return ["No run finished."]
    spread = f"{drawn.min()}" if drawn.nunique() == 1 else f"{drawn.min()} to {drawn.max()}"
    notes = []
    if drawn.max() > 1:
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

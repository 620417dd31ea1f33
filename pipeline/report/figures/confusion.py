"""Confusion matrices, on upright and on turned images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.class_names import class_name, class_names
from pipeline.report.plotting import maps, panels, style
from pipeline.report.text.formatting import listed, percent, plain, said_of_panels

PART, ORDER = "details", 40
TITLE = "Confusion matrices"
ALT = (
    "Confusion matrices of the group with symmetry and of the baseline, upright and turned: rows "
    "are true classes, columns predictions, the number is the share of the row in per cent."
)
SOURCES = ("confirm/*/confusion.parquet",)
ABSENT = "no predictions were counted, or there are too many classes"
IMAGES = ("upright", "turned")
MAX_CLASSES = 16  # more make no legible matrix
LONGEST, ACROSS = 14, 45  # letters of a class, and of all next to each other
KEYS = ["dataset", "group", "images"]
MOST_PARTS = 6  # pairs of matrices; of more, two of each data set are drawn
FEW = (
    "Of each data set the group of the baseline and, of the others, that of highest accuracy on "
    "upright images; all are in the CSV."
)


def table(analysis: Analysis) -> pd.DataFrame:
    """Return counts by data set, group, images, label and prediction, over cells and seeds."""
    rows = analysis.study.confusion
    if rows.empty:
        return pd.DataFrame()
    counts = rows.groupby([*KEYS, "label", "predicted"], as_index=False)["count"].sum()
    total = counts.groupby([*KEYS, "label"])["count"].transform("sum")
    counts["share"] = counts["count"] / total
    few = counts.groupby("dataset")["label"].transform("nunique") <= MAX_CLASSES
    return counts[few]


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one row per data set and group, upright left, turned right."""
    shown = _few(rows, str(analysis.settings.baseline.get("group", "C1")))
    parts = panels.split(shown, ["dataset", "group"])
    figure, axes = panels.grid(len(parts), len(IMAGES), 3.0 if len(parts) <= 2 else 2.4)
    for line, (title, part) in zip(axes, parts, strict=True):
        of = {axis: part[axis].iloc[0] for axis in ("dataset", "group")}
        cells = style.cells_where(analysis.cells, of)
        names = class_names(analysis.study, str(of["dataset"]))
        for axis, images in zip(line, IMAGES, strict=True):
            _matrix(axis, part[part["images"] == images], cells, names)
            style.panel_title(axis, ": ".join(filter(None, [title, images])), len(IMAGES))
    panels.label_outer(axes, "Predicted class", "True class")
    style.note(figure, [
        *([FEW] if len(shown) < len(rows) else []),
        *panels.failure_notes(analysis.cells),
        "All cells and seeds of a group together. Turned: every image by a random angle, "
        "resampled. Numbers: per cent of the true class, from 1 on; accuracy by class is the "
        "diagonal.",
    ])  # fmt: skip
    return figure


def _few(rows: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Leave of many groups the baseline's and the most accurate other one of each data set."""
    pairs = rows[["dataset", "group"]].drop_duplicates()
    if len(pairs) <= MOST_PARTS:
        return rows
    upright = rows[rows["images"] == "upright"]
    right = upright["count"].where(upright["label"] == upright["predicted"], 0)
    keys = [upright["dataset"], upright["group"]]
    accuracy = right.groupby(keys).sum() / upright["count"].groupby(keys).sum()
    others = accuracy[accuracy.index.get_level_values("group") != baseline]
    best = others.groupby(level="dataset").idxmax()
    kept = {*best, *((name, baseline) for name in pairs["dataset"])}
    return rows[[pair in kept for pair in zip(rows["dataset"], rows["group"], strict=True)]]


def _matrix(axes: Axes, rows: pd.DataFrame, cells: str, names: dict[int, str]) -> None:
    classes = sorted({*rows["label"], *rows["predicted"]})
    axes.grid(False)
    axes.set_xlim(0, max(len(classes), 1))
    axes.set_ylim(max(len(classes), 1), 0)
    said = [plain(names.get(label, label), LONGEST) for label in classes]
    axes.set_xticks(np.arange(len(classes)) + 0.5, said)
    axes.set_yticks(np.arange(len(classes)) + 0.5, said)
    axes.tick_params(length=0)
    if len(classes) * max(map(len, said), default=0) > ACROSS:
        axes.set_xticks(np.arange(len(classes)) + 0.5, said, rotation=40, ha="right",
                        rotation_mode="anchor")  # fmt: skip
    place = {name: i for i, name in enumerate(classes)}
    for _, row in rows.iterrows():
        if row["share"] < 0.005:
            continue
        x, y = place[row["predicted"]], place[row["label"]]
        percentage = f"{100 * row['share']:.0f}"
        for artist in maps.square(axes, x, y, row["share"], percentage, fontsize=5.5):
            style.tag_mean(artist, cells)


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    rows = _few(rows, str(analysis.settings.baseline.get("group", "C1")))
    sentences = [_hardest(rows, analysis)]
    turned = rows[(rows["images"] == "turned") & (rows["label"] != rows["predicted"])]
    for (dataset, group), part in turned.groupby(["dataset", "group"], sort=False):
        worst = part.nlargest(3, "share")
        pairs = [
            f"{class_name(analysis.study, str(dataset), row['label'])} as "
            f"{class_name(analysis.study, str(dataset), row['predicted'])} "
            f"({percent(row['share'], 0)})"
            for _, row in worst.iterrows()
        ]
        sentences.append(f"{plain(dataset, 20)}, {plain(group, 12)}, turned: {listed(pairs)}.")
    return said_of_panels(sentences, 9)


def _hardest(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Name the class of lowest accuracy of each group, upright."""
    upright = rows[rows["images"] == "upright"]
    # A class that is never right has no row on the diagonal.
    right = upright["share"].where(upright["label"] == upright["predicted"], 0.0)
    by_class = right.groupby([upright["dataset"], upright["group"], upright["label"]], sort=False)
    accuracy = by_class.max()
    parts = []
    for (dataset, group), mine in accuracy.groupby(level=[0, 1], sort=False):
        label = class_name(analysis.study, str(dataset), mine.idxmin()[2])
        parts.append(
            f"{label} with {plain(group, 12)} on {plain(dataset, 20)} ({percent(mine.min(), 0)})"
        )
    return (
        "The class of lowest accuracy, upright, over all cells and seeds of a group: "
        f"{listed(parts, 9)}."
    )

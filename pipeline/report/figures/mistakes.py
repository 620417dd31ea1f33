"""Error review: the test images that the confirmed runs classify wrongly with most confidence."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.plotting import panels, style
from pipeline.report.text.formatting import percent, plain

PART, ORDER = "details", 45
TITLE = "The most confidently wrong images"
ALT = (
    "Test images in rows by data set, each with its label, the wrong prediction with its "
    "probability, and how many of all runs are wrong."
)
SOURCES = ("confirm/*/mistakes.parquet",)
ABSENT = "no run is wrong on an upright image, or `confirm.keep` is `none`"
COLUMNS, MOST_ROWS, MOST_DATASETS = 8, 2, 6  # of images; all that are stored are in the CSV


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the stored images without their pixels, the most confidently wrong first."""
    rows = analysis.study.mistakes
    return rows.drop(columns="pixels").sort_values(["dataset", "place"], ignore_index=True)


def image(row: pd.Series) -> np.ndarray:
    """Return pixels ``(height, width)``, or ``(height, width, 3)`` of three channels or more."""
    shape = tuple(int(row[name]) for name in ("channels", "height", "width"))
    pixels = np.frombuffer(row["pixels"], dtype=np.uint8).reshape(shape)
    return pixels[0] if len(pixels) < 3 else pixels[:3].transpose(1, 2, 0)


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw the first images of every data set."""
    shown = [
        (str(dataset), part.sort_values("place").head(COLUMNS * MOST_ROWS))
        for dataset, part in analysis.study.mistakes.groupby("dataset")
    ][:MOST_DATASETS]  # fmt: skip
    lines = [
        (dataset, part.iloc[start : start + COLUMNS])
        for dataset, part in shown
        for start in range(0, len(part), COLUMNS)
    ]
    figure, axes = panels.grid(len(lines), COLUMNS, 1.25, stack=False)
    for i, (line, (dataset, part)) in enumerate(zip(axes, lines, strict=True)):
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
            axis.grid(False)
        for axis, (_, row) in zip(line, part.iterrows(), strict=False):
            _draw(axis, row)
        if len(shown) > 1 and (not i or lines[i - 1][0] != dataset):
            line[0].set_ylabel(plain(dataset, 14), fontsize=6.5)
    style.note(figure, [
        "Above an image: its label, and what most of the wrong probability is for. Below: the mean "
        "probability of that prediction in the runs that make it, the number of runs that are "
        "wrong, and the group of the image where it has one. Ordered by the probability of wrong "
        "predictions, averaged over all runs of all cells.",
    ])  # fmt: skip
    return figure


def _draw(axes: Axes, row: pd.Series) -> None:
    axes.imshow(image(row), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    names = [plain(row[name], 12) for name in ("label_name", "predicted_name")]
    between = " as " if sum(map(len, names)) < 9 else "\nas "  # names longer than the image is wide
    axes.set_title(between.join(names), fontsize=6.5)
    said = f"{percent(row['probability'], 0)}, {row['wrong_runs']}/{row['runs']}"
    group = "" if pd.isna(row["group"]) else f"\n{plain(row['group'], 16)}"
    axes.set_xlabel(said + group, fontsize=5.5, labelpad=2)


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Name the first image of every data set."""
    parts = []
    for dataset, part in rows.groupby("dataset"):
        first = part.iloc[0]
        group = "" if pd.isna(first["group"]) else f", of {plain(first['group'], 24)}"
        parts.append(
            f"{plain(dataset, 20)}: {plain(first['label_name'], 20)} taken for "
            f"{plain(first['predicted_name'], 20)} with {percent(first['probability'], 0)} "
            f"(test image {first['test_image']}{group}; {first['wrong_runs']} of {first['runs']} "
            "runs wrong)"
        )
    return (
        f"Most confidently wrong: {'; '.join(parts)}. An image on which most runs agree against "
        "its label may be labelled wrongly, or be ambiguous."
    )

"""Reliability diagrams: accuracy against confidence, on upright and turned images."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.plotting import panels, style
from pipeline.report.plotting.axes import percent_axis
from pipeline.report.plotting.palette import Palette
from pipeline.report.text.formatting import listed, percent, plain, signed_points
from pipeline.report.text.names import LINE, SETTING, group_order, of_line

PART, ORDER = "details", 50
TITLE = "Calibration"
ALT = (
    "Reliability diagrams, upright and turned images apart: accuracy against confidence, one line "
    "a group. On the diagonal the two are equal."
)
SOURCES = ("confirm/*/calibration.parquet",)
ABSENT = "no confidences were counted"
IMAGES = ("upright", "turned")
KEYS = [*SETTING, "images", "group", "augment"]
MIN_SHARE = 0.01  # of the images of a line: a smaller bin is a handful of images, and is not drawn

# Dots of three sizes by share of the images: from, to, points.
SIZES = ((MIN_SHARE, 0.05, 2.2), (0.05, 0.2, 3.5), (0.2, 1.01, 5.5))


def table(analysis: Analysis) -> pd.DataFrame:
    """Return confidence and accuracy of every bin, over depths and seeds, weighted by images."""
    whole = analysis.whole
    rows = analysis.study.calibration.merge(whole[["dataset", "cell", "id"]])
    if rows.empty:
        return pd.DataFrame()
    weighted = rows[[*KEYS, "bin", "count"]].assign(
        confidence=rows["confidence"] * rows["count"], accuracy=rows["accuracy"] * rows["count"]
    )
    sums = weighted.groupby([*KEYS, "bin"], as_index=False)[["count", "confidence", "accuracy"]]
    result = sums.sum()
    for name in ("confidence", "accuracy"):
        result[name] /= result["count"]
    result["share"] = result["count"] / result.groupby(KEYS)["count"].transform("sum")
    names = rows.groupby(KEYS)["id"].agg(lambda ids: " ".join(map(str, sorted(set(ids)))))
    result = result.merge(names.rename("cells").reset_index(), on=KEYS)
    result["place"] = result["group"].map(group_order)
    by = [*KEYS[:-2], "place", "augment", "bin"]
    return result.sort_values(by, kind="stable").drop(columns="place")


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw a panel per data set and kind of test images."""
    parts = [
        (": ".join(filter(None, [title, images])), part[part["images"] == images])
        for title, part in panels.settings(rows) for images in IMAGES
    ]  # fmt: skip
    figure, axes, tiles = panels.tiled(
        parts, 2.0 if len(parts) == 2 or style.is_narrow() else 1.75,
        columns=4,
    )  # fmt: skip
    for axis, part in tiles:
        _lines(axis, part, analysis.palette)
    panels.label_outer(axes, "Confidence", "Accuracy")
    style.legend(figure, *analysis.palette.sections(lines=True), *analysis.palette.rivals())
    style.note(figure, [
        *panels.failure_notes(analysis.cells),
        "15 bins of equal width, all encodings, depths and seeds together; dots are larger from 5 "
        f"and from 20 % of the images on, bins below {percent(MIN_SHARE, 0)} are not drawn. "
        "Below the diagonal: overconfident. Turned: every image by a random angle, resampled.",
    ])  # fmt: skip
    return figure


def _lines(axes: Axes, rows: pd.DataFrame, palette: Palette) -> None:
    axes.set_xlim(0, 1.03)
    axes.set_ylim(0, 1.03)
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([0, 0.5, 1])
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.set_box_aspect(1)
    axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=0.7, linestyle=(0, (2, 2)), zorder=1)
    for _, line in rows[rows["share"] >= MIN_SHARE].groupby(LINE, sort=False):
        look = palette.line(line.iloc[0])
        artists = axes.plot(line["confidence"], line["accuracy"], linewidth=1.1, **look)
        for least, most, size in SIZES:
            seen = line[(line["share"] >= least) & (line["share"] < most)]
            artists += axes.plot(seen["confidence"], seen["accuracy"], zorder=3,
                                 **palette.dots(line.iloc[0], size))  # fmt: skip
        for artist in artists:
            style.tag_mean(artist, line["cells"].iloc[0], _says(line))


def _says(line: pd.DataFrame) -> str:
    weights = line["count"] / line["count"].sum()
    confidence, accuracy = (float((line[name] * weights).sum()) for name in (
        "confidence", "accuracy"))  # fmt: skip
    return (
        f"{of_line(line)}, {line['images'].iloc[0]}: mean confidence "
        f"{percent(confidence)}, accuracy {percent(accuracy)}"
    )


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers: the calibration errors of the runs, by group."""
    cells = analysis.drawn
    parts = []
    for group in cells["group"].drop_duplicates():
        mine = cells[cells["group"] == group]
        upright, turned = (
            float(mine[measure.column].mean())
            for measure in (measures.CALIBRATION, measures.CALIBRATION_TURNED)
        )
        parts.append(f"{plain(group, 12)} {percent(upright)} upright and {percent(turned)} turned")
    over = _overconfident(rows)
    return (
        f"Mean calibration error (distance of confidence and accuracy, weighted by images): "
        f"{listed(parts, 9)}. On turned images confidence exceeds accuracy by "
        f"{signed_points(over).lstrip('+')} points on average."
    )


def _overconfident(rows: pd.DataFrame) -> float:
    turned = rows[rows["images"] == "turned"]
    excess = (turned["confidence"] - turned["accuracy"]) * turned["count"]
    return float(excess.sum() / turned["count"].sum()) if len(turned) else float("nan")

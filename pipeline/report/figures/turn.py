"""Accuracy along a full turn, by group and augmentation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis import label_symmetry
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.vectorised import mean_intervals
from pipeline.report.plotting import panels, style
from pipeline.report.plotting.axes import percent_axis
from pipeline.report.plotting.palette import Palette
from pipeline.report.text.formatting import counted, listed, percent, said_of_panels
from pipeline.report.text.names import LINE, SETTING, augment_order, group_order, of_line

PART, ORDER = "results", 60
TITLE = "Accuracy by angle"
ALT = (
    "Line plots of test accuracy over the angle of the test image, one panel per data set, one "
    "line per group and augmentation."
)
SOURCES = ("confirm/*/angles.parquet",)
ABSENT = "no run finished"
KEYS = [*SETTING, "group", "augment"]


def table(analysis: Analysis) -> pd.DataFrame:
    """Return mean and interval over seeds at every angle; other axes are averaged in a seed."""
    angles = analysis.angles[analysis.angles["id"].isin(analysis.whole["id"])]
    if angles.empty:
        return pd.DataFrame()
    keys = [*KEYS, "angle_degrees"]
    names = angles.groupby(KEYS, sort=False)["id"].agg(_listed)
    parts = angles.groupby(keys, sort=False)
    result = parts.agg(exact=("exact", "all"), images=("images", "min")).reset_index()
    result = result.merge(names.rename("cells").reset_index(), on=KEYS)
    seeds = angles.groupby([*keys, "seed"], sort=False)[["accuracy", "consistency"]].mean()
    seeds = seeds.reset_index()
    level = analysis.settings.confidence
    found = mean_intervals(seeds, keys, "accuracy", level, (0.0, 1.0)).rename(
        columns={"low": "accuracy_low", "high": "accuracy_high", "n": "seeds"}
    )
    result = result.merge(found, on=keys)
    result = result.merge(seeds.groupby(keys)["consistency"].mean().reset_index(), on=keys)
    order = [(*group_order(g), *augment_order(a)) for g, a in zip(
        result["group"], result["augment"], strict=True)]  # fmt: skip
    result["place"] = pd.Series(order, index=result.index).rank(method="dense")
    result = result.sort_values([*SETTING, "place", "angle_degrees"], kind="stable")
    return result.drop(columns="place")


def _listed(cells: pd.Series) -> str:
    return " ".join(str(cell) for cell in sorted(cells.unique()))


def draw(turn: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel per data set."""
    figure, axes, parts = panels.tiled(panels.settings(turn), 1.9, sharex=True, sharey=True)
    for axis, part in parts:
        axis.set_xlim(0, 360)
        axis.set_xticks(range(0, 361, 90))
        axis.set_ylim(-0.02, 1.03)
        percent_axis(axis.yaxis)
        for _, line in part.groupby(LINE, sort=False):
            _line(axis, line, analysis.palette)
    panels.label_outer(axes, "Turned by (degrees)", "Accuracy")
    style.legend(figure, *analysis.palette.sections(lines=True), *analysis.palette.rivals())
    style.note(figure, _notes(turn, analysis))
    return figure


def _line(axes: Axes, line: pd.DataFrame, palette: Palette) -> None:
    angle, value, low, high = closed(line)
    look = palette.line(line.iloc[0])
    artists: list = axes.plot(angle, value, linewidth=1.3, **look)
    if np.isfinite(low).any():
        artists.append(axes.fill_between(angle, low, high, color=look["color"], alpha=0.15,
                                         linewidth=0))  # fmt: skip
    exact = line[line["exact"]]
    artists += axes.plot(exact["angle_degrees"], exact["accuracy"], clip_on=False,
                         **palette.dots(line.iloc[0], 3.5))  # fmt: skip
    for artist in artists:
        style.tag_mean(artist, line["cells"].iloc[0], f"{of_line(line)}: {_by_angle(line)}")


def _by_angle(line: pd.DataFrame) -> str:
    """Accuracy at each quarter turn, never their mean alone, and at the worst angle between."""
    exact, between = line[line["exact"]].sort_values("angle_degrees"), line[~line["exact"]]
    turns = [f"{percent(v)} at {a:g}°" for v, a in zip(
        exact["accuracy"], exact["angle_degrees"], strict=True)]  # fmt: skip
    text = listed(turns, 8)
    if len(between):
        worst = between.loc[between["accuracy"].idxmin()]
        text += f"; between, at worst {percent(worst['accuracy'])} at {worst['angle_degrees']:g}°"
    return text


def closed(line: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """Return angle, accuracy, low and high with the start repeated at 360 degrees."""
    line = line.sort_values("angle_degrees")
    columns = ["angle_degrees", "accuracy", "accuracy_low", "accuracy_high"]
    arrays = [line[column].to_numpy(dtype=np.float64) for column in columns]
    return (
        np.append(arrays[0], arrays[0][0] + 360),
        *(np.append(values, values[0]) for values in arrays[1:]),
    )


def _notes(turn: pd.DataFrame, analysis: Analysis) -> list[str]:
    most = int(turn["seeds"].max())
    level = f"{100 * analysis.settings.confidence:g} %"
    return [
        *panels.failure_notes(analysis.cells),
        "Means over seeds, and over encodings and depths where there are several.",
        f"Bands: {level} Student t intervals over {counted(most, 'seed')}." if most > 1
        else "One seed: no bands.",
        _images(turn),
        "Dots: quarter turns, which move pixels exactly; between them the image is resampled, so "
        "the dips also measure interpolation, most on small images.",
    ]  # fmt: skip


def _images(turn: pd.DataFrame) -> str:
    """Say on how many test images the points rest."""
    known = turn[turn["images"].notna()]
    if known.empty:
        return "How many test images each point rests on was not recorded."
    kinds = [(name, known[known["exact"] == exact]["images"]) for name, exact in (
        ("quarter turns", True), ("the angles between", False))]  # fmt: skip
    parts = [f"{name} on {_range(images)}" for name, images in kinds if len(images)]
    return f"Test images: {listed(parts)}."


def _range(images: pd.Series) -> str:
    low, high = int(images.min()), int(images.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def caption(turn: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is found, with numbers, and then how to read it."""
    sentences = []
    for title, part in panels.settings(turn):
        if not label_symmetry.turns_keep_labels(analysis.study, part["dataset"].iloc[0]):
            sentences.append(f"{title + ': ' if title else ''}a turn changes labels; right is the "
                             "label before it.")  # fmt: skip
            continue
        lines = [line for _, line in part.groupby(LINE, sort=False)]
        worst = [float(line["accuracy"].min()) for line in lines]
        best, least = lines[int(np.argmax(worst))], lines[int(np.argmin(worst))]
        text = f"{title + ': ' if title else ''}{_at_worst(best)} at its worst angle"
        if len(lines) > 1:
            text += f", {_at_worst(least)}"
        sentences.append(f"{text}.")
    return "The highest accuracy at the worst angle, and the lowest. " + said_of_panels(sentences)


def _at_worst(line: pd.DataFrame) -> str:
    row = line.loc[line["accuracy"].idxmin()]
    return f"{of_line(line)} {percent(row['accuracy'])} ({row['angle_degrees']:g}°)"

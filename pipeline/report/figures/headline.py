"""The headline: accuracy by the symmetry of the labels and of the network, and what it saves."""

from __future__ import annotations

import textwrap
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.label_symmetry import LabelSymmetry
from pipeline.report.analysis.overview import main_test
from pipeline.report.figures import efficiency
from pipeline.report.plotting import marks, panels, style
from pipeline.report.plotting.axes import amount_axis, fit_percent
from pipeline.report.text import summary
from pipeline.report.text.formatting import percent, plain
from pipeline.report.text.names import condition_order

PART, ORDER = "results", 10
TITLE = "Symmetry built in, learned and averaged"
ALT = (
    "Left: one row for each data set or test, one column for each condition; dots: test accuracies "
    "with intervals, bars: ceilings. Right: accuracy against training images, or against cost."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "no run finished"
ACROSS = 70  # letters of a column's name, side by side, from end to end of the map
ROOMY = 12  # columns, up to which a number has room right of its dot
STRIP = 0.8  # of a row is for 0 to 100 %


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the overview: a row per data set, test and condition."""
    return analysis.overview


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw the map left, and the curve of sizes or cost right."""
    strips = _strips(rows)
    height = max(2.4, 0.35 + 0.52 * len(strips))
    figure, ((left, right),) = panels.grid(1, 2, height, widths=(1.9, 1))
    _map(left, rows, strips, analysis)
    sizes = efficiency.table(analysis)
    named: list[tuple[float, float, str, str, int]] = []
    if len(sizes):
        dataset = efficiency.chosen(sizes)
        efficiency.curve(
            right, sizes[sizes["family"] == dataset], measures.UPRIGHT.column, analysis
        )
        right.set_title(f"Fewer images, {plain(dataset, 16)}")
        _gaps(right, summary.gaps(analysis, dataset), analysis)
    else:
        named = _cost(right, rows[_strip_of(rows) == _main(rows)], analysis)
    style.note(figure, [
        *panels.seed_notes(analysis.cells, analysis.settings.confidence),
        "Left: each strip runs from 0 to 100 %; filled: the best of its row. "
        "Each condition is represented by its cell of best validation accuracy.",
        *([CEILING] if (rows["ceiling"] < 1).any() else []),
        *([AVERAGED] if rows["averaged"].any() else []),
        *([TAUGHT] if _taught_other_labels(rows).any() else []),
    ])  # fmt: skip
    if named:
        figure.draw_without_rendering()  # panels have their places
        marks.name(right, named)
    return figure


def _gaps(axes: Axes, gaps: list[tuple[str, str]], analysis: Analysis) -> None:
    """Write the gaps in images below the curves, which are moved up to make room."""
    if gaps:
        low, high = axes.get_ylim()
        axes.set_ylim(low - (0.05 + 0.1 * len(gaps)) * (high - low), high)
    for place, (group, text) in enumerate(gaps):
        axes.text(0.98, 0.015 + 0.085 * place, text, fontsize=5.8, ha="right", va="bottom",
                  color=analysis.palette.colours[group], transform=axes.transAxes)  # fmt: skip


CEILING = (
    "Bar: the highest accuracy that a group beyond the symmetry of the labels can reach, 1 over "
    "the classes in an orbit."
)
AVERAGED = "Averaged: over four turns of each test image, at four times the FLOPs."


TAUGHT = (
    "If training images are turned or mirrored beyond the symmetry of the labels, their labels "
    "carry no information. Even so, a network can exceed chance: its answers depend on the "
    "orientation, and the kept epoch is the best one on upright validation images."
)
# What augmentation does to an image, as a group of the tests of `LabelSymmetry`.
ORBITS = {"quarter": "C4", "turn": "C4", "turn_mirror": "D4"}


def _taught_other_labels(rows: pd.DataFrame) -> pd.Series:
    """Whether a condition is above chance though augmentation has made its labels meaningless."""
    found = [
        bool(row["symmetry"]) and row["augment"] in ORBITS
        and not (labels := LabelSymmetry(row["symmetry"])).contains(ORBITS[row["augment"]])
        and row["accuracy"] > labels.ceiling(ORBITS[row["augment"]]) + summary.AT_THE_CEILING
        for _, row in rows.iterrows()
    ]  # fmt: skip
    return pd.Series(found, index=rows.index, dtype=bool)


def _strip_of(rows: pd.DataFrame) -> pd.Series:
    return rows["dataset"] + "\0" + rows["test"]


def _strips(rows: pd.DataFrame) -> dict[str, str]:
    """The strips with their names: data set, and the symmetry of its labels or its test."""
    names = {}
    several = rows["dataset"].nunique() > 1
    for strip, part in rows.groupby(_strip_of(rows), sort=False):
        first = part.iloc[0]
        below = f"labels: {first['symmetry']}" if first["symmetry"] else (
            measures.SHORT[first["test"]])  # fmt: skip
        known = several or first["symmetry"]
        title = "\n".join(textwrap.wrap(plain(first["dataset"], 32), 16))
        names[str(strip)] = f"{title}\n{below}" if known else below
    return names


def _main(rows: pd.DataFrame) -> str:
    return str(_strip_of(main_test(rows)).iloc[0])


def _map(axes: Axes, rows: pd.DataFrame, strips: dict[str, str], analysis: Analysis) -> None:
    keys = ["model", "group", "augment", "averaged"]
    columns = rows.drop_duplicates("condition").set_index("condition")[keys]
    names = sorted(columns.index, key=lambda name: condition_order(*columns.loc[name]))
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(strips) - 0.5, -0.5)
    wrapped = [_wrapped(name) for name in names]
    axes.set_xticks(range(len(names)), wrapped, fontsize=6)
    if style.is_narrow() or _touch(wrapped):
        axes.set_xticks(range(len(names)), [plain(name, 40) for name in names], rotation=45,
                        ha="right", rotation_mode="anchor")  # fmt: skip
        axes.tick_params(axis="x", labelsize=6)
    axes.set_yticks(range(len(strips)), list(strips.values()), fontsize=6.5)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for y in range(len(strips)):
        axes.axhspan(y - STRIP / 2, y + STRIP / 2, color=style.ZONE, linewidth=0, zorder=0)
        axes.axhline(y, color=style.PAPER, linewidth=0.8, zorder=0.5)
    for (_, row), strip in zip(rows.iterrows(), _strip_of(rows), strict=True):
        place = names.index(row["condition"]), list(strips).index(strip)
        _dot(axes, *place, row, analysis, len(names) > (ROOMY // 2 if style.is_narrow() else ROOMY))
    axes.set_title("Test accuracy, in per cent, by condition")


def _wrapped(name: str) -> str:
    """Break a name of a column: `C1`, `quarter`, `turns`."""
    lines = plain(name, 40).replace(", averaged", " averaged").replace("+ ", "")
    return "\n".join(lines.split(" "))


def _touch(wrapped: list[str]) -> bool:
    """Whether names of columns, in lines, would touch those of the next column."""
    widths = [max(map(len, name.split("\n"))) for name in wrapped]
    room = ACROSS / len(wrapped)
    return any((one + two) / 2 > room for one, two in pairwise(widths))


def _dot(axes: Axes, x: int, strip: int, row: pd.Series, analysis: Analysis, tight: bool) -> None:
    """Draw a condition; the number is right of its dot, or over or below it where it is `tight`."""

    def place(value: float) -> float:
        return strip + STRIP / 2 - STRIP * value

    colour, y = analysis.palette.colours[row["group"]], place(row["accuracy"])
    artists: list[Any] = []
    if row["ceiling"] < 1:
        bar = [place(row["ceiling"])] * 2
        artists += axes.plot([x - 0.33, x + 0.33], bar, color=style.MUTED, linewidth=2.2, zorder=1,
                             alpha=0.55, solid_capstyle="butt")  # fmt: skip
    if np.isfinite(row["low"]):
        ends = [place(row["low"]), place(row["high"])]
        artists += axes.plot([x, x], ends, color=colour, linewidth=1, zorder=2)
    look: dict[str, Any] = {"markersize": 4.5, "markeredgewidth": 1, "marker": "o"}
    if row["averaged"]:
        look |= {"marker": "*", "markersize": 7.5}
    face = colour if row["best"] else style.PAPER
    artists += axes.plot(x, y, linestyle="", color=colour, markerfacecolor=face, zorder=3,
                         **look)  # fmt: skip
    # Above a bar, and above the dot where the strip ends below it.
    barred = row["ceiling"] < 1 and abs(row["accuracy"] - row["ceiling"]) < 0.08
    above = row["accuracy"] < 0.25 or barred
    where: dict[str, Any] = {"x": x + 0.13, "y": y - 0.04 * above, "fontsize": 6, "ha": "left",
                             "va": "bottom" if above else "center"}  # fmt: skip
    if tight:
        over = row["accuracy"] < 0.6
        where = {"x": x, "y": y - 0.09 if over else y + 0.09, "fontsize": 4.8, "ha": "center",
                 "va": "bottom" if over else "top"}  # fmt: skip
    weight = "bold" if row["best"] else "normal"
    artists.append(axes.text(s=f"{100 * row['accuracy']:.1f}", fontweight=weight, **where))
    said = f"{row['condition']} on {plain(row['dataset'], 30)}: {summary.with_interval(row)}"
    for artist in artists:
        style.tag_mean(artist, str(int(row["id"])), said)


def _cost(
    axes: Axes, rows: pd.DataFrame, analysis: Analysis
) -> list[tuple[float, float, str, str, int]]:
    """Draw accuracy against the FLOPs of training, and return the marks with their names.

    An average is not drawn: it costs its passes at test time.
    """
    flops = measures.TRAINING_FLOPS.column
    rows = rows[~rows["averaged"]].merge(analysis.cells[["id", flops, "positional"]], on="id")
    known = rows[rows[flops] > 0]
    for _, row in known.iterrows():
        colour = analysis.palette.colours[row["group"]]
        artists: list[Any] = []
        if np.isfinite(row["low"]):
            artists += axes.plot([row[flops]] * 2, [row["low"], row["high"]], color=colour)
        artists += axes.plot(row[flops], row["accuracy"], "o", color=colour, markersize=4.5,
                             markerfacecolor=colour if row["best"] else style.PAPER)  # fmt: skip
        for artist in artists:
            style.tag(artist, row["id"])
    if known.empty:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center",
                  color=style.MUTED)  # fmt: skip
    else:
        amount_axis(axes, known[flops].to_numpy(dtype=np.float64))
        ends = known[["low", "high", "accuracy"]].to_numpy(dtype=np.float64)
        fit_percent(axes, float(np.nanmin(ends)), float(np.nanmax(ends)))
    axes.set_xlabel("FLOPs of training")
    name = measures.SHORT[rows["test"].iloc[0]] if len(rows) else ""
    axes.set_title(f"Accuracy, {name}")
    return [
        (row[flops], row["accuracy"], plain(row["condition"], 40),
         analysis.palette.colours[row["group"]], int(row["id"]))
        for _, row in known.iterrows()
    ]  # fmt: skip


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is found, with numbers, and then how to read it."""
    found = summary.finding(analysis)
    lines = []
    for _, part in rows.groupby(_strip_of(rows), sort=False):
        best = part.loc[part["accuracy"].idxmax()]
        test = measures.SHORT[best["test"]]
        lines.append(f"{plain(best['dataset'], 30)}, {test}: best {plain(best['condition'], 30)}, "
                     f"{percent(best['accuracy'])}")  # fmt: skip
    return f"{found}. {'; '.join(lines)}."

"""The hierarchy of encodings: under which transformations untrained networks are invariant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.plotting import maps, panels, style
from pipeline.report.text.formatting import counted, listed, plain, small
from pipeline.report.text.names import (
    DOUBLE_MOVED,
    DOUBLE_ROUNDING,
    TRANSFORMATIONS,
    encoding_order,
    group_order,
)

PART, ORDER = "exact", 30
TITLE = "Symmetries of untrained networks by group and encoding"
ALT = (
    "Heat maps, one a group: encodings as rows, transformations as columns. The number is the "
    "measured error of random-weight networks; a frame marks what theory calls symmetric."
)
SOURCES = ("confirm/hierarchy.parquet",)
ABSENT = "the hierarchy was not measured"
NAMES = {"quarter_turn": "quarter turn", "turn_45": "45° turn"}


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the largest and smallest error over random networks of every entry."""
    rows = analysis.hierarchy
    rows = rows[np.isfinite(rows["error"].to_numpy(dtype=np.float64, na_value=np.nan))]
    if rows.empty:
        return pd.DataFrame()
    keys = ["tokens", "group", "positional", "transformation", "expected_symmetric"]
    result = rows.groupby(keys, sort=False)["error"].agg(
        largest="max", smallest="min", networks="size"
    )
    result = result.reset_index()
    symmetric = result["expected_symmetric"].astype(bool)
    kept, moved = result["largest"] <= DOUBLE_ROUNDING, result["smallest"] > DOUBLE_MOVED
    agrees = np.where(symmetric, kept, moved)
    return result.assign(expected_symmetric=symmetric, agrees=agrees)


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one map per group."""
    ordered = rows.sort_values("group", key=lambda names: names.map(group_order), kind="stable")
    parts = [
        (title or plain(part["group"].iloc[0]), part)
        for title, part in panels.split(ordered, ["tokens", "group"])
    ]
    encodings = sorted(rows["positional"].unique(), key=encoding_order)
    moves = [t for t in TRANSFORMATIONS if t in set(rows["transformation"])]
    moves += sorted(set(rows["transformation"]) - set(moves))
    figure, _, tiles = panels.tiled(parts, 0.85 + 0.3 * len(encodings), sharey=True)
    for axis, part in tiles:
        maps.frame(axis, encodings, [NAMES.get(move, move) for move in moves])
        axis.tick_params(axis="x", labelrotation=40)
        for label in axis.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")
        for _, row in part.iterrows():
            of = {axis: row[axis] for axis in ("group", "positional")}
            place = moves.index(row["transformation"]), encodings.index(row["positional"])
            for artist in _square(axis, row, *place):
                style.tag_mean(artist, style.cells_where(analysis.cells, of))
    style.note(figure, [
        "Number: invariance error of the logits, the worst of the random networks: the largest "
        "where theory says symmetric (framed), the smallest elsewhere.",
        f"Dark: rounding, float64 (at most {small(DOUBLE_ROUNDING)}). Bold with !: measurement and "
        "theory disagree. A 45° turn also measures interpolation. Nothing is trained here.",
    ])  # fmt: skip
    return figure


def _square(axes: Axes, row: pd.Series, x: int, y: int) -> list[Any]:
    shown = row["largest"] if row["expected_symmetric"] else row["smallest"]
    # Dark means symmetric: from 1e-9 (dark) to 1 (light), the same scale in every study.
    text = _short(shown) + ("" if row["agrees"] else " !")
    weight = "normal" if row["agrees"] else "bold"
    colour = maps.error_colour(shown, 1e-9)
    drawn = maps.square(axes, x, y, colour, text, "crest_r", fontsize=6, fontweight=weight)
    if row["expected_symmetric"]:
        ink = drawn[-1].get_color()
        frame = Rectangle((x + 0.07, y + 0.09), 0.86, 0.82, facecolor="none", edgecolor=ink,
                          linewidth=0.9)  # fmt: skip
        drawn.append(axes.add_patch(frame))
    return drawn


def _short(value: float) -> str:
    """Rounding has no second digit worth printing."""
    if value == 0 or value >= 0.1:
        return small(value)
    return f"{value:.0e}".replace("e-0", "e-")


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    symmetric, others = rows[rows["expected_symmetric"]], rows[~rows["expected_symmetric"]]
    sentences = [
        "A check of the architecture, before any training: networks with random weights must have "
        "the symmetry of their group and encoding, and no other.",
        f"{counted(len(rows), 'entry').replace('entrys', 'entries')}.",
    ]
    if len(symmetric):
        sentences.append(
            f"The {len(symmetric)} that theory calls symmetric measure at most "
            f"{small(symmetric['largest'].max())}"
            + (f", the {len(others)} others at least {small(others['smallest'].min())}."
               if len(others) else ".")
        )  # fmt: skip
    wrong = [
        f"{plain(r['group'], 12)} {plain(r['positional'], 12)} under "
        f"{NAMES.get(r['transformation'], plain(r['transformation'], 16))}"
        for _, r in rows[~rows["agrees"]].iterrows()
    ]
    sentences.append(
        f"Measurement and theory disagree for {listed(wrong)}."
        if wrong
        else "Measurement and theory agree everywhere."
    )
    return " ".join(sentences)

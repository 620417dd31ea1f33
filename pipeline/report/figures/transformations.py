"""Every element of D4 and some shifts, the same for all cells: how far each moves the logits."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.cells import label
from pipeline.report.plotting import maps, panels, style
from pipeline.report.text.formatting import percent, plain, small
from pipeline.report.text.names import (
    ROUNDING,
    augment_order,
    encoding_order,
    group_order,
    model_order,
)

PART, ORDER = "exact", 20
TITLE = "Invariance error under D4 and shifts"
ALT = (
    "Heat map: one row per group and encoding, one column per transformation of the test images. "
    "The number is the invariance error of the logits of trained networks; dark is invariant."
)
SOURCES = ("confirm/*/moves.parquet",)
ABSENT = "it was not measured"
PANEL, LABEL = ["dataset", "tokens"], ["group", "positional", "augment", "model"]
KEYS = [*PANEL, *LABEL, "kind", "transformation"]
ROW_HEIGHT, MANY_ROWS = 0.17, 12  # inches; from so many rows on columns are named above, too
# Rotations, then mirrors, as `PointGroup.element_name` calls them.
ELEMENTS = ("r90", "r180", "r270", "m", "r90m", "r180m", "r270m")


def table(analysis: Analysis) -> pd.DataFrame:
    """Return geometric mean error, largest error and mean consistency over depths and seeds."""
    rows = analysis.study.moves.merge(analysis.whole[["dataset", "cell", "id"]])
    if rows.empty:
        return pd.DataFrame()
    rows = rows[rows["invariance_error"].notna()]
    result = rows.groupby(KEYS, sort=False).agg(
        error=("invariance_error", _geometric_mean), largest=("invariance_error", "max"),
        consistency=("consistency", "mean"), accuracy=("accuracy", "mean"),
        measurements=("seed", "size"), cells=("id", _listed),
    ).reset_index()  # fmt: skip
    return result.iloc[sorted(range(len(result)), key=lambda i: _order(result.iloc[i]))]


def _listed(ids: pd.Series) -> str:
    return " ".join(str(number) for number in sorted(set(ids)))


def _geometric_mean(errors: pd.Series) -> float:
    values = errors.to_numpy(dtype=np.float64)
    return 0.0 if (values <= 0).any() else float(np.exp(np.log(values).mean()))


def _order(row: pd.Series) -> tuple:
    known = row["transformation"] in ELEMENTS
    place = ELEMENTS.index(row["transformation"]) if known else len(ELEMENTS)
    setting = tuple(row[axis] for axis in PANEL)
    own = model_order(row["model"]), group_order(row["group"]), encoding_order(row["positional"])
    return setting, *own, augment_order(row["augment"]), row["kind"], place


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one map per setting."""
    varying = [axis for axis in LABEL if rows[axis].nunique() > 1] or LABEL[:1]
    rows = rows.assign(name=[label(row, varying) for _, row in rows.iterrows()])
    moves = rows.drop_duplicates(["kind", "transformation"])
    columns = list(zip(moves["kind"], moves["transformation"], strict=True))
    parts = panels.split(rows, PANEL)
    heights = tuple(part["name"].nunique() for _, part in parts)
    height = 0.65 + ROW_HEIGHT * sum(heights) / len(heights)
    figure, axes = panels.grid(len(parts), 1, height, stack=False, heights=heights)
    for (axis,), (title, part) in zip(axes, parts, strict=True):
        names = list(part["name"].drop_duplicates())
        maps.frame(axis, names, [_called(kind, move) for kind, move in columns], 32)
        axis.tick_params(axis="x", labelrotation=0, labelsize=6.5,
                         labeltop=len(names) > MANY_ROWS)  # fmt: skip
        for _, row in part.iterrows():
            x, y = columns.index((row["kind"], row["transformation"])), names.index(row["name"])
            colour = maps.error_colour(row["error"], 1e-7)
            shown = small(row["error"])
            for artist in maps.square(axis, x, y, colour, shown, "crest_r", fontsize=5.8):
                says = f"{row['name']} under {row['transformation']}: error {shown}"
                style.tag_mean(artist, row["cells"], says)
        shifts = [kind for kind, _ in columns].count("shift")
        axis.axvline(len(columns) - shifts, color=style.PAPER, linewidth=3)
        style.panel_title(axis, title, 1)
    style.note(figure, [
        *panels.failure_notes(analysis.cells),
        "Number: invariance error of the logits, geometric mean over depths and seeds; dark: "
        f"float32 rounding (at most {small(ROUNDING)}). Left: rotations, then mirrors (m: columns "
        "reversed, then turned). Right: shifts by pixels down and to the right, zeros moving in. "
        "Every network is tried with the same transformations of the same images.",
    ])  # fmt: skip
    return figure


def _called(kind: str, move: str) -> str:
    if kind != "shift":
        return plain(move, 8)
    rows, cols = (int(part) for part in move.split())
    arrow = {(1, 0): "↓", (-1, 0): "↑", (0, 1): "→", (0, -1): "←"}
    return f"{arrow[int(np.sign(rows)), int(np.sign(cols))]} {max(abs(rows), abs(cols))}"


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    sentences = []
    elements, shifts = rows[rows["kind"] == "element"], rows[rows["kind"] == "shift"]
    for group, mine in elements.groupby("group", sort=False):
        still = mine.groupby("transformation", sort=False)["largest"].max() <= ROUNDING
        sentences.append(
            f"{plain(group, 12)}: {int(still.sum())} of {len(still)} elements leave the logits "
            f"unchanged, and the prediction for {percent(mine['consistency'].min())} or more."
        )
    if len(shifts):
        least = shifts.loc[shifts["error"].idxmin()]
        sentences.append(
            f"No shift is exact on a bounded image: the least error is {small(least['error'])} "
            f"({plain(least['group'], 12)} {plain(least['positional'], 12)})."
        )
    return " ".join(sentences)

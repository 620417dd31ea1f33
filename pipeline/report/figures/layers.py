"""The equivariance error of every layer of the trained networks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.plotting import marks, panels, style
from pipeline.report.plotting.axes import ErrorScale
from pipeline.report.text.formatting import plain, small
from pipeline.report.text.names import RIVALS, ROUNDING, SETTING

PART, ORDER = "exact", 10
TITLE = "Equivariance error by layer"
ALT = (
    "Relative equivariance error on a log axis for every layer from input to output, one "
    "panel per data set, one line per cell."
)
SOURCES = ("confirm/*/layers.parquet",)
ABSENT = "no run finished"
KEYS = ["id", "label", *SETTING, "depth", "group", "positional", "augment"]
MAX_NAMES = 9  # on one axis


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the largest error over elements and seeds of every layer, and its element."""
    rows = analysis.layers
    rows = rows[np.isfinite(rows["error"].to_numpy(dtype=np.float64, na_value=np.nan))]
    if rows.empty:
        return pd.DataFrame()
    parts = rows.groupby([*KEYS, "layer_index", "layer"], sort=False)
    result = parts["error"].agg(error="max", smallest="min", measurements="size")
    worst = rows.loc[parts["error"].idxmax(), "element"].to_numpy()
    result = result.assign(element=worst).reset_index()
    return result.sort_values(["id", "layer_index"], kind="stable")


def draw(layers: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel per data set."""
    parts = panels.settings(layers)
    figure, axes, tiles = panels.tiled(parts, 2.5, sharey=True)
    scale = ErrorScale(layers["error"])
    palette = analysis.palette
    for axis, part in tiles:
        scale.apply(axis, "y")
        order = layer_order(part)
        for cell, line in part.groupby("id", sort=False):
            places = [order.index(name) for name in line["layer"]]
            look = palette.mark(line.iloc[0], size=4)
            (drawn,) = axis.plot(places, scale.place(line["error"]), linewidth=0.9, **look)
            style.tag(drawn, cell)
        _name_layers(axis, order)
    for row in axes:
        row[0].set_ylabel("Relative equivariance error")
    style.legend(figure, *palette.sections())
    rivals = layers["model"].isin(RIVALS)
    style.note(figure, [
        *panels.failure_notes(analysis.cells),
        "Every layer alone, fed the upright features; largest error over the elements of the "
        "cell's group and over seeds. C1 is measured under quarter turns of space. Shaded: "
        "float32 rounding.",
        *([marks.RIVALS] if rivals.any() else []),
    ])  # fmt: skip
    if rivals.any():
        figure.draw_without_rendering()  # panels have their places
        for axis, part in tiles:
            marks.name_models(axis, _ends(part, scale), "place", "end", palette)
    return figure


def _ends(layers: pd.DataFrame, scale: ErrorScale) -> pd.DataFrame:
    """Return the last point of each line, as it is drawn."""
    last, order = layers.groupby("id", sort=False).tail(1), layer_order(layers)
    return last.assign(place=last["layer"].map(order.index), end=scale.place(last["error"]))


def layer_order(layers: pd.DataFrame) -> list[str]:
    """Return the names of all layers of a panel from the input on.

    Networks of one panel may lack a layer (no position to add), so places go by name.
    """
    last = layers.groupby("layer")["layer_index"].max()
    return sorted(last.index, key=lambda name: (last[name], name))


def _name_layers(axis: Axes, order: list[str]) -> None:
    step = -(-len(order) // MAX_NAMES)
    names = [plain(name, 14) for name in order[::step]]
    axis.set_xticks(range(0, len(order), step), names, rotation=40, ha="right",
                    rotation_mode="anchor")  # fmt: skip


def caption(layers: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    sentences = []
    for group, rows in layers.groupby("group", sort=False):
        worst = rows.loc[rows["error"].idxmax()]
        where = (
            f"{plain(worst['layer'], 30)} of {plain(worst['label'], 44)} under "
            f"{plain(worst['element'], 12)}"
        )
        state = "all at rounding" if worst["error"] <= ROUNDING else "not equivariant"
        sentences.append(f"{plain(group, 12)}: {state}, at most {small(worst['error'])} ({where}).")
    return " ".join(sentences)

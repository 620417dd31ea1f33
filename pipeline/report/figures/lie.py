"""The Lie derivatives of every cell, each with the floor of its resampler."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.cells import finished
from pipeline.report.plotting import forest, panels, style
from pipeline.report.plotting.axes import ErrorScale
from pipeline.report.text.formatting import listed, percent, plain, small

ORDER = 160
TITLE = "Lie derivatives under rotation and translation"
ALT = (
    "One row a cell: the normalised Lie derivative of its logits under rotation and under "
    "translation, on a log axis, with its interval and the floor of the resampler."
)
SOURCES = ("confirm/*/runs.parquet",)
ABSENT = "it was not measured"
SHOWN = ((measures.LIE_ROTATION.column, "rotation"), (measures.LIE_TRANSLATION.column, "shift"))


def table(analysis: Analysis) -> pd.DataFrame:
    """Return the cells whose errors were measured, with floors and errors over images."""
    cells = analysis.drawn[analysis.drawn[SHOWN[0][0]].notna()]
    runs = finished(analysis.runs)
    extra = [f"{column}_{end}" for column, _ in SHOWN for end in ("floor", "se")]
    means = runs.groupby("id")[extra].mean()
    return cells.merge(means, left_on="id", right_index=True, how="left")


def draw(cells: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel a movement."""
    figure, axes = forest.sheet(cells["label"].tolist(), len(SHOWN))
    for axis, (column, title) in zip(axes, SHOWN, strict=True):
        ends = cells[[column, f"{column}_low", f"{column}_high", f"{column}_floor"]].to_numpy()
        scale = ErrorScale(ends.astype(float).ravel(), whole=False)
        scale.apply(axis, "x", shade=False)
        for y, (_, cell) in enumerate(cells.iterrows()):
            names = (column, f"{column}_low", f"{column}_high")
            places = {name: float(scale.place(cell[name])) for name in names}
            forest.interval(axis, y, pd.Series({"id": cell["id"], **places}), names,
                            color=analysis.palette.colours[cell["group"]],
                            marker=analysis.palette.markers[cell["positional"]])  # fmt: skip
            (floor,) = axis.plot(scale.place(cell[f"{column}_floor"]), y, "|", color=style.INK,
                                 markersize=8, markeredgewidth=1.2, zorder=2.5)  # fmt: skip
            style.tag(floor, cell["id"])
        axis.set_xlabel("Squared change over variance")
        style.panel_title(axis, title, len(SHOWN))
    floor = Line2D([], [], linestyle="", marker="|", color=style.INK, markersize=8, label="floor")
    style.legend(figure, *analysis.palette.sections(), ("Resampler", [floor]))
    notes = panels.seed_notes(analysis.cells, analysis.settings.confidence)
    style.note(figure, [
        *[line.replace("intervals", "intervals of the logarithm") for line in notes],
        "Mean squared change of the logits per radian or pixel over their variance over images; "
        "floor: what an identity map is charged for bilinear resampling there and back. "
        "A secondary measure, not for ranking: it covers neither quarter turns nor mirrors.",
    ])  # fmt: skip
    return figure


def caption(cells: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    sentences = []
    for column, title in SHOWN:
        known = cells[cells[column].notna()]
        low, high = known.loc[known[column].idxmin()], known.loc[known[column].idxmax()]
        floor = known[f"{column}_floor"].median()
        below = known[known[column] < known[f"{column}_floor"]]["label"].map(plain).tolist()
        which = listed(below) if len(below) < len(known) else "all"
        over_images = percent(_over_images(known, column), 0)
        sentences.append(
            f"{title.capitalize()}: {small(low[column])} ({plain(low['label'], 30)}) to "
            f"{small(high[column])} ({plain(high['label'], 30)}), floor {small(floor)}"
            + (f", below it: {which}" if below else "")
            + f"; over images each has a standard error of about {over_images}."
        )
    return " ".join(sentences)


def _over_images(cells: pd.DataFrame, column: str) -> float:
    """Median standard error over images, as a share of the error."""
    return float(np.nanmedian(cells[f"{column}_se"] / cells[column]))

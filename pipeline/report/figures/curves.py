"""Learning curves of the confirmed runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.vectorised import mean_intervals
from pipeline.report.plotting import panels, style
from pipeline.report.plotting.axes import fit_percent, whole_axis
from pipeline.report.plotting.palette import Palette
from pipeline.report.text.formatting import counted, listed, percent, plain
from pipeline.report.text.names import SETTING

PART, ORDER = "training", 10
TITLE = "Learning curves"
ALT = (
    "Validation accuracy against epoch, one panel per data set, one line per cell with a band over "
    "seeds."
)
SOURCES = ("confirm/*/epochs.parquet",)
ABSENT = "no run finished"
MOST_NAMES = 5  # of cells, in the caption
KEYS = ["id", "label", *SETTING, "training_images", "group", "augment"]


def table(analysis: Analysis) -> pd.DataFrame:
    """Return mean and interval over seeds of the validation accuracy at every epoch."""
    curves = analysis.curves
    curves = curves[(curves["stage"] == "confirm") & np.isfinite(_number(curves))]
    if curves.empty:
        return pd.DataFrame()
    found = mean_intervals(
        curves, ["id", "epoch"], "validation_accuracy", analysis.settings.confidence, (0.0, 1.0)
    )
    rows = analysis.cells[KEYS].merge(found.rename(columns={"n": "seeds"}), on="id")
    columns = [*KEYS, "epoch", "validation_accuracy", "low", "high", "seeds"]
    return rows[columns].sort_values(["id", "epoch"], kind="stable")


def _number(curves: pd.DataFrame) -> np.ndarray:
    return curves["validation_accuracy"].to_numpy(dtype=np.float64, na_value=np.nan)


def draw(curves: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel per data set and number of training images."""
    parts = panels.settings(curves, "training_images")
    figure, axes, tiles = panels.tiled(parts, 1.9, sharex=True, sharey=True)
    for axis, part in tiles:
        _panel(axis, part, analysis.palette)
    low, high = curves["low"].fillna(curves["validation_accuracy"]), curves["high"]
    fit_percent(axes[0][0], float(low.min()), float(high.fillna(1.0).max()))
    whole_axis(axes[0][0].xaxis)
    panels.label_outer(axes, "Epoch", "Validation accuracy")
    style.legend(figure, *analysis.palette.sections(lines=True), *analysis.palette.rivals())
    style.note(figure, _notes(curves, analysis))
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, palette: Palette) -> None:
    for cell, line in rows.groupby("id", sort=False):
        look = palette.rival_line(line.iloc[0])
        (drawn,) = axes.plot(line["epoch"], line["validation_accuracy"], linewidth=1.2, **look)
        style.tag(drawn, cell)
        if len(line) == 1 and "marker" not in look:  # a line of one point is invisible
            drawn.set_marker(".")
        if np.isfinite(line["low"]).any():
            band = axes.fill_between(line["epoch"], line["low"], line["high"], linewidth=0,
                                     color=look["color"], alpha=0.12)  # fmt: skip
            style.tag(band, cell)


def _notes(curves: pd.DataFrame, analysis: Analysis) -> list[str]:
    notes = panels.seed_notes(analysis.cells, analysis.settings.confidence)
    return [line.replace("Bars:", "Bands:") for line in notes]


def caption(curves: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    last = curves.groupby("id").tail(1)
    sentences = [
        f"After {counted(curves['epoch'].nunique(), 'epoch')} the means lie between "
        f"{percent(last['validation_accuracy'].min())} "
        f"({plain(last.loc[last['validation_accuracy'].idxmin(), 'label'], 44)}) and "
        f"{percent(last['validation_accuracy'].max())} "
        f"({plain(last.loc[last['validation_accuracy'].idxmax(), 'label'], 44)})."
    ]
    climbing = [plain(label, 30) for label in _still_climbing(curves)]
    if climbing:
        sentences.append(
            f"Still rising by more than a point over the last quarter of training: {len(climbing)} "
            f"of {curves['id'].nunique()} cells"
            + (f" ({listed(climbing)})" if len(climbing) <= MOST_NAMES else "")
            + "; their differences may be differences in speed."
        )
    return " ".join(sentences)


def _still_climbing(curves: pd.DataFrame) -> list[str]:
    names = []
    for _, line in curves.groupby("id", sort=False):
        values = line["validation_accuracy"].to_numpy()
        quarter = len(values) // 4
        if quarter and values[-1] - values[-1 - quarter] > 0.01:
            names.append(line["label"].iloc[0])
    return names

"""The share of the loss that is due to asymmetry, over training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.vectorised import mean_intervals
from pipeline.report.plotting import panels, style
from pipeline.report.plotting.axes import percent_axis, whole_axis
from pipeline.report.text.formatting import listed, percent, plain
from pipeline.report.text.names import SETTING

PART, ORDER = "training", 15
TITLE = "Share of the loss due to asymmetry"
ALT = (
    "Share of the loss due to asymmetry against epoch, one panel per data set, one line per cell: "
    "0 where the network treats an image and its turns alike."
)
SOURCES = ("confirm/*/epochs.parquet",)
ABSENT = "it was not measured over training"
COLUMN = "asymmetry_share"


def table(analysis: Analysis) -> pd.DataFrame:
    """Return mean and interval over seeds of the share at every epoch that measured it."""
    curves = analysis.curves
    known = np.isfinite(curves[COLUMN].to_numpy(dtype=np.float64, na_value=np.nan))
    curves = curves[(curves["stage"] == "confirm") & known]
    curves = curves[curves["id"].isin(analysis.whole["id"])]
    if curves.empty:
        return pd.DataFrame()
    found = mean_intervals(curves, ["id", "epoch"], COLUMN, analysis.settings.confidence)
    keys = ["id", "label", *SETTING, "group", "augment"]
    return analysis.cells[keys].merge(found.rename(columns={"n": "seeds"}), on="id")


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel per data set."""
    figure, axes, tiles = panels.tiled(panels.settings(rows), 1.9, sharex=True, sharey=True)
    for axis, part in tiles:
        for cell, line in part.groupby("id", sort=False):
            look = analysis.palette.rival_line(line.iloc[0])
            (drawn,) = axis.plot(line["epoch"], line[COLUMN], linewidth=1.2, **look)
            style.tag(drawn, int(cell))
    percent_axis(axes[0][0].yaxis)
    whole_axis(axes[0][0].xaxis)
    panels.label_outer(axes, "Epoch", "Share of the loss")
    style.legend(figure, *analysis.palette.sections(lines=True), *analysis.palette.rivals())
    style.note(figure, [
        *panels.failure_notes(analysis.cells),
        "Loss of the predictions less that of their mean over four turns of the image, over the "
        "former; on validation images. Means over seeds.",
    ])  # fmt: skip
    return figure


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is found, with numbers: the first and last share of each cell."""
    ends = rows.groupby("id", sort=False)[COLUMN].agg(["first", "last"])
    label = rows.drop_duplicates("id").set_index("id")["label"]
    moved = ends.iloc[(ends["last"] - ends["first"]).abs().argsort(kind="stable")[::-1]]
    parts = [
        f"{plain(label[cell], 44)} from {percent(first, 0)} to {percent(last, 0)}"
        for cell, first, last in moved.itertuples(name=None)
    ]
    return f"From the first to the last epoch that measured it: {listed(parts, 3)}."

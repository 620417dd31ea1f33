"""Best validation accuracy so far against the number of the trial."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.vectorised import evenly
from pipeline.report.plotting import panels, style
from pipeline.report.plotting.axes import fit_percent, whole_axis
from pipeline.report.text.formatting import counted, percent, plain, signed_points
from pipeline.report.text.names import SETTING

PART, ORDER = "training", 20
TITLE = "Best score by number of trials"
ALT = (
    "Step lines of the best validation accuracy so far against the number of the trial, one panel "
    "per data set, one line per cell; dots are single trials."
)
SOURCES = ("sweep/*/trials.parquet",)
ABSENT = "no cell has two completed trials"


MAX_TRIALS = 60  # dots a cell


def table(analysis: Analysis) -> pd.DataFrame:
    """Return every completed trial with the best score of its cell up to it."""
    trials = analysis.trials
    scores = trials["validation_accuracy"].to_numpy(dtype=np.float64, na_value=np.nan)
    trials = trials[(trials["status"] == "completed") & np.isfinite(scores)]
    trials = trials[trials["feasible"].ne(False)]
    if trials.empty or trials.groupby("id").size().max() < 2:
        return pd.DataFrame()
    columns = ["id", "label", *SETTING, "training_images", "group", "augment", "trial",
               "validation_accuracy"]  # fmt: skip
    trials = trials[columns].sort_values(["id", "trial"], kind="stable")
    return trials.assign(best=trials.groupby("id")["validation_accuracy"].cummax())


def draw(trials: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw one panel per data set and number of training images."""
    parts = panels.settings(trials, "training_images")
    figure, axes, tiles = panels.tiled(parts, 1.9, sharex=True, sharey=True)
    for axis, part in tiles:
        for cell, line in part.groupby("id", sort=False):
            _steps(axis, cell, line, analysis.palette.rival_line(line.iloc[0]))
    fit_percent(axes[0][0], trials["validation_accuracy"].min(), trials["best"].max())
    whole_axis(axes[0][0].xaxis)
    axes[0][0].set_xlim(0.6, trials["trial"].max() + 1.4)
    panels.label_outer(axes, "Trial", "Validation accuracy")
    style.legend(figure, *analysis.palette.sections(lines=True), *analysis.palette.rivals())
    most = trials.groupby("id").size().max()
    some = [f"Dots: {MAX_TRIALS} trials a cell, evenly chosen; the lines use all of them."]
    style.note(figure, [
        *panels.failure_notes(analysis.cells),
        "As observed, one search per cell: no band, because the trials of an adaptive search are "
        "not independent draws.", *(some if most > MAX_TRIALS else []),
    ])  # fmt: skip
    return figure


def _steps(axes: Axes, cell: int, line: pd.DataFrame, look: dict[str, Any]) -> None:
    some = evenly(line, "id", MAX_TRIALS)
    (dots,) = axes.plot(some["trial"] + 1, some["validation_accuracy"], "o", color=look["color"],
                        markersize=2.5, alpha=0.6, markeredgewidth=0)  # fmt: skip
    steps = line[~line["best"].duplicated() | ~line["best"].duplicated(keep="last")]
    (best,) = axes.plot(steps["trial"] + 1, steps["best"], drawstyle="steps-post",
                        linewidth=1.2, **look)  # fmt: skip
    style.tag(dots, cell)
    style.tag(best, cell)


def caption(trials: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    first, last = trials.groupby("id")["best"].first(), trials.groupby("id")["best"].last()
    gain = last - first
    budget = trials.groupby("id").size()
    spread = f"{budget.min()}" if budget.nunique() == 1 else f"{budget.min()} to {budget.max()}"
    label = trials.set_index("id")["label"].groupby("id").first()
    return (
        f"{counted(len(trials), 'completed trial')} of {counted(len(last), 'cell')}, {spread} a "
        f"cell. From the first trial to the best the score rises by "
        f"{signed_points(float(gain.mean()))} points on average, most for "
        f"{plain(label[gain.idxmax()], 44)} ({signed_points(float(gain.max()))}); best score "
        f"{percent(float(last.max()))} ({plain(label[last.idxmax()], 44)})."
    )

"""Training time and outcomes of the trials and runs of every cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pipeline.common.units import duration
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.plotting import forest, style
from pipeline.report.plotting.axes import whole_axis
from pipeline.report.text.formatting import listed, percent, plain

PART, ORDER = "training", 50
TITLE = "Training time and failures"
ALT = (
    "One row per cell: training time of its search and of its confirming runs, and how many trials "
    "and runs completed, failed, diverged or ran out of time."
)
SOURCES = ("confirm/*/runs.parquet", "sweep/*/trials.parquet")
ABSENT = "there is no trial and no run"
STAGES = (("search", "trials"), ("confirm", "runs"))
FAILED = ("failed", "diverged", "timeout")
ENDED = ("completed", "stopped", *FAILED)
UNITS = ((7200.0, 3600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))


def table(analysis: Analysis) -> pd.DataFrame:
    """Return seconds by stage and counts by status of every cell, failures included."""
    result = analysis.cells[["id", "label", "group", "positional"]].set_index("id")
    for stage, name in STAGES:
        rows: pd.DataFrame = getattr(analysis, name)
        result[f"{stage}_seconds"] = rows.groupby("id")["seconds"].sum()
        for status in ENDED:
            result[f"{stage}_{status}"] = rows[rows["status"] == status].groupby("id").size()
    return result.fillna(0).reset_index()


def draw(rows: pd.DataFrame, analysis: Analysis) -> Figure:
    """Draw time left, counts right."""
    whole = len(rows)
    rows = forest.foremost(rows, _importance(rows))
    figure, (time, count) = forest.sheet(rows["label"].tolist(), 2)
    most = float((rows["search_seconds"] + rows["confirm_seconds"]).max())
    size, unit = next((size, unit) for least, size, unit in UNITS if most >= least)
    colours = {"search": style.MUTED, "confirm": style.INK}
    _stack(time, rows, [(rows[f"{stage}_seconds"] / size, {"color": colours[stage]})
                        for stage, _ in STAGES])  # fmt: skip
    time.set_xlabel(f"Training {unit}")
    failed = [rows[[f"{stage}_{status}" for stage, _ in STAGES]].sum(axis=1) for status in FAILED]
    hatches = dict(zip(FAILED, ("xxxx", "////", "...."), strict=True))
    done = [(rows[f"{stage}_completed"], {"color": colours[stage]}) for stage, _ in STAGES]
    bad = [
        (counts, {"facecolor": style.PAPER, "edgecolor": style.INK, "hatch": hatches[status]})
        for status, counts in zip(FAILED, failed, strict=True)
    ]
    stopped = rows["search_stopped"] + rows["confirm_stopped"]
    early: dict[str, Any] = {"facecolor": style.GRID, "edgecolor": style.INK}
    _stack(count, rows, [*done, (stopped, early), *bad])
    count.set_xlabel("Trials and runs")
    whole_axis(count.xaxis)
    handles = [Patch(color=colours[stage], label=f"{stage} ({name})") for stage, name in STAGES]
    kinds = [
        Patch(facecolor=style.PAPER, edgecolor=style.INK, hatch=hatches[status], label=status)
        for status, counts in zip(FAILED, failed, strict=True) if counts.any()
    ]  # fmt: skip
    if stopped.any():
        handles.append(Patch(**early, label="stopped early"))
    sections = [("Stage", handles), ("Not completed", kinds)]
    style.legend(figure, *[(title, entries) for title, entries in sections if entries])
    style.note(figure, [
        *forest.left_out(len(rows), whole, "that failed most often or trained longest"),
        "Sums over all trials and runs of a cell, those that failed included; seconds depend on "
        "the machine and its load. Preparation, measurements and report are not counted.",
    ])  # fmt: skip
    return figure


def _importance(rows: pd.DataFrame) -> pd.Series:
    """Order cells by failures, then by time."""
    failures = rows[[f"{stage}_{status}" for stage, _ in STAGES for status in FAILED]].sum(axis=1)
    seconds = rows["search_seconds"] + rows["confirm_seconds"]
    return failures + seconds.rank(pct=True) / 2


def _stack(axes: Axes, rows: pd.DataFrame, layers: Sequence[tuple[pd.Series, dict]]) -> None:
    """Lay bars of every cell one after another."""
    start = np.zeros(len(rows))
    for values, options in layers:
        for y, (cell, value) in enumerate(zip(rows["id"], values, strict=True)):
            if value > 0:
                (bar,) = axes.barh(y, value, left=start[y], height=0.62, linewidth=0.5, zorder=2,
                                   **options)  # fmt: skip
                style.tag(bar, cell)
        start += values.to_numpy(dtype=np.float64)
    axes.set_xlim(0, max(float(start.max()) * 1.04, 1e-9))


def caption(rows: pd.DataFrame, analysis: Analysis) -> str:
    """Say what is seen, with numbers."""
    seconds = {stage: float(rows[f"{stage}_seconds"].sum()) for stage, _ in STAGES}
    total = max(sum(seconds.values()), 1e-300)
    whole = rows["search_seconds"] + rows["confirm_seconds"]
    slowest = rows.loc[whole.idxmax()]
    counts = {
        status: int(sum(rows[f"{stage}_{status}"].sum() for stage, _ in STAGES))
        for status in FAILED
    }
    every = int(sum(rows[f"{s}_{k}"].sum() for s, _ in STAGES for k in ENDED))
    failed = [f"{number} {status}" for status, number in counts.items() if number]
    return (
        f"{duration(total)} of training, {percent(seconds['search'] / total, 0)} of it for the "
        f"search; the slowest cell is {plain(slowest['label'], 44)} "
        f"({percent(float(whole.max()) / total, 0)}). "
        + (f"{listed(failed)} of {every} trials and runs." if failed
           else f"All {every} trials and runs completed.")
    )  # fmt: skip

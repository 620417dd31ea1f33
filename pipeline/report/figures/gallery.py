"""All figures of the report, in the order of the page."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import pandas as pd
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.figures import (
    calibration,
    confusion,
    cost,
    curves,
    datasets,
    depth,
    differences,
    effects,
    efficiency,
    effort,
    encodings,
    features,
    heatmap,
    hierarchy,
    importance,
    improvement,
    layers,
    lie,
    moves,
    polar,
    search,
    style,
    tradeoff,
    turn,
    winner,
)
from pipeline.report.figures import (
    published_comparison as beside,
)

# Each module has NAME, TITLE, ALT, table(analysis), draw(table, analysis), caption(...).
MODULES: tuple[ModuleType, ...] = (
    tradeoff, heatmap, differences, improvement, datasets, effects, turn, polar, moves, confusion,
    calibration, features, encodings, hierarchy, layers, lie, depth, efficiency, cost, effort,
    curves, search, importance, winner, beside,
)  # fmt: skip

WHY_NOT = {
    "beside": "no published number of these data sets is known",
    "calibration": "no confidences were counted",
    "confusion": "no predictions were counted, or there are too many classes",
    "features": "no C4 run kept its feature maps",
    "datasets": "the study has one data set",
    "depth": "the study has one depth, or no finished run",
    "differences": "no cell shares a finished seed with its baseline",
    "efficiency": "no data set is there in two sizes (`datasets: [digits-20, digits]` is)",
    "effort": "nothing was tried",
    "encodings": "no group with several frames has a learned map of positions",
    "effects": "no two finished cells differ in one choice alone",
    "importance": "fewer than 20 completed trials, or fewer than two hyperparameters searched",
    "improvement": "no cell but the baseline finished",
    "lie": "it was not measured",
    "moves": "it was not measured",
    "hierarchy": "the hierarchy was not measured",
    "search": "no cell has two completed trials",
}


@dataclass(frozen=True)
class Drawn:
    """A figure, or the reason why there is none, with caption and the rows it was drawn from."""

    name: str
    title: str
    alt: str
    caption: str
    table: pd.DataFrame
    figure: Figure | None
    reason: str = ""


def draw(module: ModuleType, analysis: Analysis) -> Drawn:
    """Draw one figure, if it has rows."""
    table = module.table(analysis)
    if table.empty:
        reason = WHY_NOT.get(module.NAME, "no run finished")
        return Drawn(module.NAME, module.TITLE, module.ALT, "", table, None, reason)
    figure = module.draw(table, analysis)
    style.title(figure, module.TITLE)
    caption = module.caption(table, analysis)
    return Drawn(module.NAME, module.TITLE, module.ALT, caption, table, figure)

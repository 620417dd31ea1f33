"""All figures of the report, in the order of the page."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import pandas as pd
from matplotlib.figure import Figure

from pipeline.report.analysis import Analysis
from pipeline.report.figures import (
    confusion,
    cost,
    curves,
    depth,
    differences,
    effects,
    features,
    heatmap,
    hierarchy,
    layers,
    polar,
    search,
    style,
    tradeoff,
    turn,
    winner,
)

# Each module has NAME, TITLE, ALT, table(analysis), draw(table, analysis), caption(...).
MODULES: tuple[ModuleType, ...] = (
    tradeoff, heatmap, differences, effects, turn, polar, confusion, features, hierarchy, layers,
    depth, cost, curves, search, winner,
)  # fmt: skip

WHY_NOT = {
    "confusion": "no predictions were counted, or there are too many classes",
    "features": "no C4 run kept its feature maps",
    "depth": "the study has one depth, or no finished run",
    "differences": "no cell shares a finished seed with its baseline",
    "effects": "no two finished cells differ in one choice alone",
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

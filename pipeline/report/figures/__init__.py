"""The figures of the report: one file each, found by its presence.

A figure `NAME` is the module `NAME.py` of this package, which follows `FigureModule`. Its rows
are written as `tables/NAME.csv`, the figure as `figures/NAME.svg` and `figures/NAME.png`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:  # names of figures are listed by commands that draw nothing
    import pandas as pd
    from matplotlib.figure import Figure

    from pipeline.report.analysis.analysis import Analysis


class FigureModule(Protocol):
    """What the module of a figure holds.

    Attributes
    ----------
    PART
        The part of the page, one of `PARTS`.
    ORDER
        Figures of a part stand by rising order.
    TITLE
        Heading.
    ALT
        Description for those who cannot see the figure.
    SOURCES
        The Parquet files of its rows, as patterns below `data/`.
    ABSENT
        Why there is no figure when its table is empty.
    """

    PART: str
    ORDER: int
    TITLE: str
    ALT: str
    SOURCES: tuple[str, ...]
    ABSENT: str

    def table(self, analysis: Analysis, /) -> pd.DataFrame:
        """Return the rows of the figure; without rows it is not drawn."""

    def draw(self, rows: pd.DataFrame, analysis: Analysis, /) -> Figure:
        """Draw the rows."""

    def caption(self, rows: pd.DataFrame, analysis: Analysis, /) -> str:
        """Say what is found, with numbers, and then how to read it."""


# The parts of the page with their headings: the first is open, the others are folded.
PARTS = {
    "results": "Results",
    "exact": "Is it exact?",
    "training": "How was it trained?",
    "details": "Details",
}


def names() -> list[str]:
    """Return the names of all figures; nothing is imported."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> FigureModule:
    """Return the module of a figure."""
    return cast(FigureModule, importlib.import_module(f"{__name__}.{name}"))


def in_order() -> list[str]:
    """Return the names of all figures in the order of the page."""
    places = {part: place for place, part in enumerate(PARTS)}
    return sorted(names(), key=lambda name: (places[load(name).PART], load(name).ORDER, name))

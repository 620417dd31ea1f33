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
    ORDER
        Figures stand on the page by rising order.
    TITLE
        Heading.
    ALT
        Description for those who cannot see the figure.
    SOURCES
        The Parquet files of its rows, as patterns below `data/`.
    ABSENT
        Why there is no figure when its table is empty.
    """

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
        """Say what is seen, with numbers."""


def names() -> list[str]:
    """Return the names of all figures; nothing is imported."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> FigureModule:
    """Return the module of a figure."""
    return cast(FigureModule, importlib.import_module(f"{__name__}.{name}"))


def in_order() -> list[str]:
    """Return the names of all figures in the order of the page."""
    return sorted(names(), key=lambda name: (load(name).ORDER, name))

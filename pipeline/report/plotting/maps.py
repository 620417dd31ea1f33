"""Maps of unit squares: named rows and columns, and a number on the colour of each square."""

from __future__ import annotations

from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from pipeline.report.plotting import style
from pipeline.report.text.formatting import plain


def square(
    axes: Axes, x: int, y: int, value: float, text: str, palette: str = "crest", **font: Any
) -> list[Any]:
    """Draw a square with a number; return the square and the text.

    `crest` is light at 0 and dark at 1, `crest_r` the reverse; one hue, so that they are readable
    in grey and for the colour-blind.
    """
    colour = sns.color_palette(palette, as_cmap=True)(float(np.clip(value, 0, 1)))
    box = Rectangle((x, y), 1, 1, facecolor=colour, edgecolor=style.PAPER)
    return [
        axes.add_patch(box),
        axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", color=style.ink_on(colour),
                  **font),
    ]  # fmt: skip


def error_colour(error: float, rounding: float) -> float:
    """Return where an error lies in `crest_r`, on a log scale from `rounding` (dark) to 1."""
    decades = -np.log10(rounding)
    place = np.clip((np.log10(max(error, rounding / 1000)) + decades) / decades, 0, 1)
    return float(0.1 + 0.9 * place)


def frame(axes: Axes, rows: list[str], columns: list[str], longest: int | None = None) -> None:
    """Prepare empty axes with one unit square for every row and column name.

    Names of rows have at most `longest` letters; few on a phone, unless it is given.
    """
    axes.grid(False)
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
    axes.set_xticks(np.arange(len(columns)) + 0.5, [plain(name, 13) for name in columns])
    longest = longest or (16 if style.is_narrow() else 26)
    axes.set_yticks(np.arange(len(rows)) + 0.5, [plain(name, longest) for name in rows])
    axes.tick_params(length=0)
    if len(columns) > 4 or any(len(name) > 9 for name in columns):
        axes.tick_params(axis="x", labelrotation=30)
    for spine in axes.spines.values():
        spine.set_visible(False)
    background = Rectangle((0, 0), len(columns), len(rows), facecolor=style.ZONE, zorder=0)
    axes.add_patch(background)


def gap(axes: Axes, x: int, y: int, text: str, cell: int) -> None:
    """Mark a square that has no value, with the reason."""
    label = axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=6,
                      color=style.MUTED, style="italic")  # fmt: skip
    style.tag(label, cell)

"""The style of every figure: sizes, inks, legends, notes and titles."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import matplotlib
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.report.text.formatting import plain

WIDTH, NARROW_WIDTH = 7.2, 3.6  # inches: a double column, a phone
INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d8dee4", "#ffffff"
ZONE = "#eef1f4"  # background of a marked region
# Inside coloured cells the ink must not change with the theme of the page.
CELL_DARK, CELL_LIGHT = "#101010", "#fdfdfd"

COLUMNS_ABOVE = 4  # of a legend above the panels

STYLE = {
    "font.family": "DejaVu Sans", "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "legend.fontsize": 7.5,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 5,
    "text.color": INK, "axes.labelcolor": INK, "axes.titlecolor": INK,
    "axes.edgecolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "axes.linewidth": 0.7, "xtick.major.width": 0.7, "ytick.major.width": 0.7,
    "xtick.minor.width": 0.5, "ytick.minor.width": 0.5, "xtick.major.size": 3,
    "ytick.major.size": 3, "xtick.minor.size": 1.5, "ytick.minor.size": 1.5,
    "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.5, "axes.axisbelow": True,
    "lines.linewidth": 1.4, "lines.markersize": 5.5, "patch.linewidth": 0.6,
    "figure.facecolor": PAPER, "axes.facecolor": "none", "legend.frameon": False,
    "figure.constrained_layout.use": True, "svg.fonttype": "none", "svg.hashsalt": "report",
    # The PNG has more dots than the layout was made for: hinted letters would be wider there.
    "text.hinting": "no_hinting",
    # Names come from users: a dollar sign in one is a dollar sign, not mathematics.
    "text.parse_math": False, "text.usetex": False, "axes.unicode_minus": True,
}  # fmt: skip


_narrow: ContextVar[bool] = ContextVar("narrow", default=False)


@contextmanager
def report_style(narrow: bool = False) -> Iterator[None]:
    """Draw with this project's style and nothing of the user's matplotlib settings.

    `narrow` is for a phone: panels below each other, the legend above them.
    """
    token = _narrow.set(narrow)
    try:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(cast(Any, STYLE))
            yield
    finally:
        _narrow.reset(token)


def is_narrow() -> bool:
    """Return whether figures are now drawn for a phone."""
    return _narrow.get()


def tag(artist: Artist, cell: int, run: int | None = None) -> None:
    """Name an artist after its cell (and run), so that the page can filter and explain it."""
    artist.set_gid(f"cell-{cell}" if run is None else f"cell-{cell}-run-{run}")


def tag_mean(artist: Artist, cells: str, says: str = "") -> None:
    """Name an artist after the cells it stands for, ids with spaces between; none leave it.

    `says` is the text of its tooltip: which numbers it shows.
    """
    if cells:
        artist.set_gid(f"cells-{cells.replace(' ', '-')} {plain(says, 300)}".rstrip())


def cells_where(cells: pd.DataFrame, axes: Mapping[str, Any]) -> str:
    """Return the ids of the cells with these values, for `tag_mean`."""
    for axis, value in axes.items():
        cells = cells[cells[axis].astype(str) == str(value)]
    return " ".join(str(int(number)) for number in cells["id"])


def ink_on(colour: Any) -> str:
    """Return the ink that is legible on a fill colour (relative luminance, WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return CELL_DARK if luminance > 0.18 else CELL_LIGHT


def legend(figure: Figure, *sections: tuple[str, Sequence[Artist]]) -> None:
    """Put titled legend sections in one column to the right of the panels, or above them."""
    if is_narrow():
        _legend_above(figure, sections)
        return
    handles: list[Artist] = []
    headings = []
    for title, entries in sections:
        if handles:
            handles.append(Line2D([], [], linestyle="", label=" "))
        headings.append(len(handles))
        handles += [Line2D([], [], linestyle="", label=title), *entries]
    # A study of two cells makes a flat figure: the legend still needs its height.
    figure.set_figheight(max(figure.get_figheight(), 0.35 + 0.172 * len(handles)))
    drawn = figure.legend(handles=handles, loc="outside right upper", handletextpad=0.5,
                          borderaxespad=0.2, labelspacing=0.4)  # fmt: skip
    for index in headings:
        drawn.get_texts()[index].set_fontweight("bold")


def _legend_above(figure: Figure, sections: Sequence[tuple[str, Sequence[Artist]]]) -> None:
    """Lay the entries out in rows, each section from its title on: legends fill columns."""
    rows: list[list[Artist]] = []
    for title, entries in sections:
        cells: list[Artist] = [_text_only(title), *entries]
        while cells:
            row = cells[:COLUMNS_ABOVE]
            rows.append(row + [_text_only(" ")] * (COLUMNS_ABOVE - len(row)))
            cells = [_text_only(" "), *cells[COLUMNS_ABOVE:]] if cells[COLUMNS_ABOVE:] else []
    figure.set_figheight(figure.get_figheight() + 0.17 * len(rows) + 0.1)
    drawn = figure.legend(handles=[row[column] for column in range(COLUMNS_ABOVE) for row in rows],
                          loc="outside upper left", ncols=COLUMNS_ABOVE, columnspacing=0.6,
                          handletextpad=0.3, borderaxespad=0.1, labelspacing=0.3,
                          handlelength=1.6, fontsize=7)  # fmt: skip
    titles = {title for title, _ in sections}
    for text in drawn.get_texts():
        if text.get_text() in titles:
            text.set_fontweight("bold")


def _text_only(label: str) -> Line2D:
    return Line2D([], [], linestyle="", label=label)


def note(figure: Figure, sentences: list[str]) -> None:
    """Write what a reader must know to read the figure rightly below it, small."""
    if not sentences:
        return
    lines = textwrap.wrap("  ".join(sentences), int(figure.get_figwidth() * 19.5))
    figure.set_figheight(figure.get_figheight() + 0.11 * max(0, len(lines) - 2))
    figure.supxlabel("\n".join(lines), x=0.005, ha="left", fontsize=6.5, color=MUTED)


def title(figure: Figure, text: str) -> None:
    """Say above the panels what the figure shows: alone, in a paper, it has no heading.

    The page has one, and its style sheet hides this.
    """
    figure.set_figheight(figure.get_figheight() + 0.25)
    above = figure.suptitle(text, x=0.005, ha="left", fontsize=9.5, fontweight="bold", color=INK)
    above.set_gid("figure-title")


def panel_title(axes: Axes, text: str, columns: int, lines: int = 2) -> None:
    """Title one of several panels in a row, in so many lines where the name is too long for one."""
    # The legend and the labels of ticks take their part.
    width = 45 if is_narrow() else {1: 78, 2: 30, 3: 26}.get(columns, 64 // columns)
    wrapped = textwrap.wrap(plain(text, lines * width), width, break_on_hyphens=False)
    axes.set_title("\n".join(wrapped[:lines]))


def name_row(first: Axes, title: str) -> None:
    """Name a row of panels at its left end, above what the axis says."""
    if title:
        wrapped = "\n".join(textwrap.wrap(plain(title, 60), 24))
        first.set_ylabel("\n".join(filter(None, [wrapped, first.get_ylabel()])))

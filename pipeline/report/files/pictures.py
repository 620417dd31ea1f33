"""Figures as files: each drawn, laid out once and written as SVG, PNG and CSV, on every core."""

from __future__ import annotations

import io
import itertools
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from pipeline.report import figures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.files import tables
from pipeline.report.page import svg
from pipeline.report.page.tooltips import Explainer
from pipeline.report.plotting import style

PNG_DOTS_PER_INCH = 200
MAX_PROCESSES = 4


@dataclass(frozen=True)
class Picture:
    """A figure as the files it becomes, or the reason why there is none."""

    name: str
    title: str
    alt: str
    caption: str
    code: str  # the file that draws it
    sources: tuple[str, ...]  # the Parquet files of its rows, as patterns
    part: str = "results"
    number: int = 0  # Figure 1, Figure 2..., of those that are drawn
    reason: str = ""
    document: str = ""  # SVG
    narrow: str = ""  # SVG for a phone, where it differs
    pixels: bytes = b""  # PNG
    numbers: str = ""  # CSV


def make_pictures(analysis: Analysis) -> list[Picture]:
    """Draw all figures in the order of the page."""
    names = figures.in_order()
    processes = min(_cores(), MAX_PROCESSES)
    if processes == 1:
        _start(analysis)
        return _numbered([_make(name) for name in names])
    # A forked process has the tables and libraries already; nothing is sent but finished files.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, context, _start, (analysis,)) as pool:
        return _numbered(list(pool.map(_make, names)))


def _numbered(pictures: list[Picture]) -> list[Picture]:
    number = itertools.count(1)
    return [replace(one, number=next(number)) if one.document else one for one in pictures]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_here: dict[str, tuple[Analysis, Explainer]] = {}  # of this process


def _start(analysis: Analysis) -> None:
    _here["study"] = analysis, Explainer(analysis)


def _make(name: str) -> Picture:
    return draw_picture(name, *_here["study"])


def draw_picture(name: str, analysis: Analysis, explain: Explainer) -> Picture:
    """Draw one figure, with nothing of a user's matplotlib settings."""
    module = figures.load(name)
    code = f"{figures.__name__.replace('.', '/')}/{name}.py"
    rows = module.table(analysis)
    about = name, module.TITLE, module.ALT
    if rows.empty:
        return Picture(*about, "", code, module.SOURCES, module.PART, reason=module.ABSENT)
    with style.report_style():
        figure = module.draw(rows, analysis)
        style.title(figure, module.TITLE)
        document = svg.clean(_vector(figure), name, explain)
        pixels = _pixels(figure)
    return Picture(
        *about, module.caption(rows, analysis), code, module.SOURCES, module.PART,
        document=document, narrow=_narrow(name, rows, analysis, explain), pixels=pixels,
        numbers=tables.as_csv(rows),
    )  # fmt: skip


def _narrow(name: str, rows: pd.DataFrame, analysis: Analysis, explain: Explainer) -> str:
    """Return the figure for a phone; a figure that keeps its width has none."""
    with style.report_style(narrow=True):
        figure = figures.load(name).draw(rows, analysis)
        if figure.get_figwidth() >= style.WIDTH:
            return ""
        return svg.clean(_vector(figure), f"{name}-narrow", explain)


def _vector(figure: Figure) -> str:
    # Laid out once, then frozen, and each format drawn once: `savefig` would do both twice.
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")
    # No dates and no program names: the same rows give the same bytes.
    vector = io.StringIO()
    FigureCanvasSVG(figure).print_svg(vector, metadata={"Date": None, "Creator": None})
    return vector.getvalue()


def _pixels(figure: Figure) -> bytes:
    """Return the PNG of a figure that is laid out."""
    pixels = io.BytesIO()
    figure.set_dpi(PNG_DOTS_PER_INCH)
    FigureCanvasAgg(figure).print_png(pixels, metadata={"Software": None})
    return pixels.getvalue()

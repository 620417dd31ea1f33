"""Figures as files: each drawn, laid out once and written as SVG, PNG and CSV, on every core."""

from __future__ import annotations

import io
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

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
    reason: str = ""
    document: str = ""  # SVG
    pixels: bytes = b""  # PNG
    numbers: str = ""  # CSV


def make_pictures(analysis: Analysis) -> list[Picture]:
    """Draw all figures in the order of the page."""
    names = figures.in_order()
    processes = min(_cores(), MAX_PROCESSES)
    if processes == 1:
        _start(analysis)
        return [_make(name) for name in names]
    # A forked process has the tables and libraries already; nothing is sent but finished files.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, context, _start, (analysis,)) as pool:
        return list(pool.map(_make, names))


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
    if rows.empty:
        return Picture(name, module.TITLE, module.ALT, "", code, module.SOURCES, module.ABSENT)
    with style.report_style():
        figure = module.draw(rows, analysis)
        style.title(figure, module.TITLE)
        document, pixels = _files(figure)
    return Picture(
        name, module.TITLE, module.ALT, module.caption(rows, analysis), code, module.SOURCES,
        document=svg.clean(document, name, explain), pixels=pixels, numbers=tables.as_csv(rows),
    )  # fmt: skip


def _files(figure: Figure) -> tuple[str, bytes]:
    # Laid out once, then frozen, and each format drawn once: `savefig` would do both twice.
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")
    vector, pixels = io.StringIO(), io.BytesIO()
    # No dates and no program names: the same rows give the same bytes.
    FigureCanvasSVG(figure).print_svg(vector, metadata={"Date": None, "Creator": None})
    figure.set_dpi(PNG_DOTS_PER_INCH)
    FigureCanvasAgg(figure).print_png(pixels, metadata={"Software": None})
    return vector.getvalue(), pixels.getvalue()

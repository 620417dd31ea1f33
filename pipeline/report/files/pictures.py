"""Figures as files: each drawn, laid out once and written as SVG, PNG and CSV, on every core."""

from __future__ import annotations

import io
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from types import ModuleType

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.figures import gallery, style
from pipeline.report.files import tables
from pipeline.report.page import svg
from pipeline.report.page.tooltips import Explainer

__all__ = ["Picture", "make_pictures"]

PNG_DOTS_PER_INCH = 200
MOST_PROCESSES = 4


@dataclass(frozen=True)
class Picture:
    """A figure as the files it becomes, or the reason why there is none."""

    name: str
    title: str
    alt: str
    caption: str
    code: str  # the file that draws it
    reason: str = ""
    document: str = ""  # SVG
    pixels: bytes = b""  # PNG
    numbers: str = ""  # CSV


def make_pictures(analysis: Analysis) -> list[Picture]:
    """Draw all figures in the order of the gallery."""
    processes = min(_cores(), MOST_PROCESSES)
    if processes == 1:
        _start(analysis)
        return [_make(place) for place in range(len(gallery.MODULES))]
    # A forked process has the tables and libraries already; nothing is sent but finished files.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, context, _start, (analysis,)) as pool:
        return list(pool.map(_make, range(len(gallery.MODULES))))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_here: dict[str, tuple[Analysis, Explainer]] = {}  # of this process


def _start(analysis: Analysis) -> None:
    _here["study"] = analysis, Explainer(analysis)


def _make(place: int) -> Picture:
    analysis, explain = _here["study"]
    return make_picture(gallery.MODULES[place], analysis, explain)


def make_picture(module: ModuleType, analysis: Analysis, explain: Explainer) -> Picture:
    """Draw one figure, with nothing of a user's own matplotlib settings."""
    with style.report_style():
        drawn = gallery.draw(module, analysis)
        code = module.__name__.replace(".", "/") + ".py"
        words = drawn.name, drawn.title, drawn.alt, drawn.caption, code, drawn.reason
        if drawn.figure is None:
            return Picture(*words)
        document, pixels = _files(drawn.figure)
    numbers = tables.as_csv(drawn.table)
    return Picture(*words, svg.clean(document, drawn.name, explain), pixels, numbers)


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

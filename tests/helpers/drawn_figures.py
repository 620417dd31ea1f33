"""Figures of the report as they are drawn, and the texts of one that overlap."""

import itertools
from types import ModuleType

from matplotlib.figure import Figure

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.plotting import style


def drawn(module: ModuleType, analysis: Analysis, narrow: bool = False) -> Figure:
    with style.report_style(narrow):
        figure = module.draw(module.table(analysis), analysis)
        figure.draw_without_rendering()
    return figure


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Return the pairs of titles, axis labels, tick labels and legend texts that overlap."""
    texts = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        if not axes.get_visible():
            continue
        texts += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [
                tick.label1 for tick in axis.get_major_ticks()
                if tick.label1.get_visible() and low <= tick.get_loc() <= high
            ]  # fmt: skip
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts
             if t.get_text().strip() and t.get_visible() and not t.get_rotation()]  # fmt: skip
    return [
        (a, b)
        for (a, first), (b, second) in itertools.combinations(boxes, 2)
        if first.shrunk(0.98, 0.8).overlaps(second.shrunk(0.98, 0.8))
    ]

"""The page's sections of tables and text: an id, a heading and escaped HTML each."""

from __future__ import annotations

import pandas as pd

from pipeline.report.analysis import comparisons, measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.checks import FAILS, HOLDS, NO_DATA, UNTOLD
from pipeline.report.files import tables
from pipeline.report.page import html
from pipeline.report.text import method, published
from pipeline.report.text import provenance as origin
from pipeline.report.text.formatting import counted

__all__ = ["after", "before"]

Section = tuple[str, str, str]
OUTCOMES = {HOLDS: "holds", FAILS: "fails", UNTOLD: "unsure", NO_DATA: "none"}


def before(analysis: Analysis) -> list[Section]:
    """Return what stands above the figures."""
    return [
        ("checks", "Does it hold?", _checks(analysis)),
        ("table", "Results", _results(analysis)),
        ("failures", "Failures", _failures(analysis)),
    ]


def after(analysis: Analysis) -> list[Section]:
    """Return what stands below the figures."""
    return [
        ("verdicts", "Verdicts", _verdicts(analysis)),
        ("published", "Published numbers",
         html.table(published.table(), published.CAPTION, long=True)),
        ("method", "How to read this", method.as_html(analysis)),
        ("provenance", "Provenance", _provenance(analysis)),
    ]  # fmt: skip


def _checks(analysis: Analysis) -> str:
    caption = "What theory promises, what was measured, and whether it holds."
    frame = tables.checks(analysis)
    return html.table(frame, caption, classes=OUTCOMES, kind="sortable stacked")


def _results(analysis: Analysis) -> str:
    if analysis.drawn.empty:
        return '<p class="nothing">No run finished.</p>'
    cells = analysis.cells
    by = {
        "upright": cells[measures.UPRIGHT.column],
        "quarter-turned": cells[measures.QUARTER.column],
        "any angle": cells[measures.ANY_ANGLE.column],
        "invariance error": cells[measures.ERROR.column],
        "mirror error": cells[measures.ERROR_MIRROR.column],
        "parameters": cells[measures.PARAMS.column],
        "FLOPs": cells[measures.FLOPS.column],
        "seconds": cells[measures.SECONDS.column],
    }
    caption = (
        "Every cell: mean test accuracy over seeds with its "
        f"{100 * analysis.settings.confidence:g} % interval; errors are geometric means, seconds "
        "medians."
    )
    return html.table(tables.results(analysis), caption, sort_by=by)


def _failures(analysis: Analysis) -> str:
    frame = tables.failures(analysis)
    if frame.empty:
        trials, runs = (int(analysis.cells[name].sum()) for name in ("trials", "runs"))
        return f"<p>None: {_all(trials, 'trial')} and {_all(runs, 'run')} completed.</p>"
    caption = "What did not complete, counted by cell, stage and reason; none of it is in a mean."
    return html.table(frame, caption, long=True)


def _all(number: int, noun: str) -> str:
    return f"all {counted(number, noun)}" if number > 1 else counted(number, noun)


def _verdicts(analysis: Analysis) -> str:
    rows = analysis.comparisons
    if rows.empty:
        baseline = comparisons.baseline_name(analysis.settings)
        alike = comparisons.baseline_alike(analysis.settings)
        return (
            f'<p class="nothing">No comparison: no cell shares {alike} with the '
            f"baseline {html.text(baseline)}.</p>"
        )
    frame = pd.DataFrame({
        "id": rows["id"], "cell": rows["label"], "test images": rows["measure"].map(measures.SHORT),
        "against": rows["baseline_label"], "verdict": rows["verdict"],
    })  # fmt: skip
    caption = (
        "Every cell against its baseline on the same seeds: mean paired difference with half of "
        "its interval, exact sign-flip test, corrected by Holm's method within each kind of images."
    )
    return html.table(frame, caption)


def _provenance(analysis: Analysis) -> str:
    caption = "Written by the earlier stages into the Parquet files this page was made from."
    return html.table(origin.table(analysis), caption, long=True)

"""The results as a booktabs table: rows are cells, bold only where the verdict allows it."""

from __future__ import annotations

import math

import pandas as pd

from pipeline.report import measures
from pipeline.report.analysis import Analysis
from pipeline.report.summary import interval_of
from pipeline.report.words import plain, small

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "–": "--",
}  # fmt: skip
COLUMNS = (measures.UPRIGHT, measures.QUARTER, measures.ANY_ANGLE)


def escape(text: object) -> str:
    """Return text that TeX prints as it stands; what TeX may not know becomes a question mark."""
    line = "".join(_SPECIAL.get(character, character) for character in plain(text))
    return line.encode("ascii", "replace").decode()


def results(analysis: Analysis) -> str:
    """Return the table of cells with mean and half interval in per cent."""
    percent = f"{100 * analysis.settings.confidence:g}"
    lines = [
        r"% Needs \usepackage{booktabs}.",
        r"\begin{tabular}{lrrrrr}",
        r"\toprule",
        r"Cell & Seeds & Upright & Quarter-turned & Any angle & Invariance error \\",
        r"\midrule",
    ]
    lines += [_row(cell, analysis) for _, cell in analysis.cells.iterrows()]
    lines += [
        r"\bottomrule",
        r"\end{tabular}",
        f"% Test accuracy in per cent: mean with half of the {percent} % Student t interval over "
        "seeds.",
        "% Bold: better than the baseline by the exact paired test after Holm.",
    ]
    return "\n".join(lines) + "\n"


def _row(cell: pd.Series, analysis: Analysis) -> str:
    entries = [escape(cell["label"]), str(int(cell["runs_finished"]))]
    for measure in COLUMNS:
        interval = interval_of(cell, measure.column)
        if not math.isfinite(interval.centre):
            entries.append("--")
            continue
        text = f"{100 * interval.centre:.1f}"
        if math.isfinite(interval.half_width):
            text += rf" $\pm$ {100 * interval.half_width:.1f}"
        entries.append(rf"\textbf{{{text}}}" if _better(cell, measure, analysis) else text)
    return " & ".join([*entries, escape(small(cell[measures.ERROR.column]))]) + r" \\"


def _better(cell: pd.Series, measure: measures.Measure, analysis: Analysis) -> bool:
    rows = analysis.comparisons
    mine = rows[(rows["id"] == cell["id"]) & (rows["measure"] == measure.column)]
    return bool((mine["distinguishable"] & (mine["difference"] > 0)).any())

"""The table of cells for LaTeX (booktabs): a row per cell, bold where a verdict says better."""

from __future__ import annotations

import math

import pandas as pd

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.cells import short_labels
from pipeline.report.analysis.verdicts import BETTER
from pipeline.report.files.tables import RESULTS
from pipeline.report.text import summary
from pipeline.report.text.formatting import amount, counted, plain, small
from pipeline.report.text.summary import interval_of

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "–": "--",
    '"': "''", "[": "{[}", "]": "{]}",
}  # fmt: skip


def escape(text: object) -> str:
    """Return text that TeX prints as it stands; what TeX may not know becomes a question mark."""
    line = "".join(_SPECIAL.get(character, character) for character in plain(text))
    return line.encode("ascii", "replace").decode()


def results(analysis: Analysis) -> str:
    """Return the page's table of cells: data sets below each other, the same rows and columns."""
    cells = analysis.cells
    # The name of a row is that of the cell without the data set, which is above its rows.
    cells = cells.assign(name=short_labels(cells.assign(dataset="")))
    heads = " & ".join(escape(name.capitalize()) for name in RESULTS)
    seeds = sorted(set(analysis.drawn["runs_finished"].astype(int)))
    last = counted(seeds[-1], "seed") if seeds else "no seed"
    lines = [
        f"% {_comment(summary.sentence(analysis))}",
        r"% Needs \usepackage{booktabs}.",
        rf"\begin{{tabular}}{{l{'r' * len(RESULTS)}}}",
        r"\toprule",
        rf"Model & {heads} \\",
        *(line for name, rows in cells.groupby("dataset", sort=False)
          for line in _data_set(name, rows, analysis)),
        r"\bottomrule",
        r"\end{tabular}",
        "% Test accuracy in per cent: mean with its "
        f"{100 * analysis.settings.confidence:g} % interval over test images and "
        f"{f'{seeds[0]} to {last}' if len(seeds) > 1 else last}.",
        "% Error: invariance error under quarter turns, geometric mean. Seconds: median.",
        "% Bold: better or clearly better than the baseline, p-values by Holm's method.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    """Return one line of ASCII: a comment ends where the line does."""
    return plain(text, 2000).encode("ascii", "replace").decode()


def _data_set(name: object, cells: pd.DataFrame, analysis: Analysis) -> list[str]:
    """Return the rows of a data set, below its name."""
    title = rf"\multicolumn{{{len(RESULTS) + 1}}}{{l}}{{{escape(name)}}} \\"
    return [r"\midrule", title, *(_row(cell, analysis) for _, cell in cells.iterrows())]


def _row(cell: pd.Series, analysis: Analysis) -> str:
    # In braces: a name that begins with a star would belong to the end of the line above.
    entries = [_entry(cell, measure, analysis) for measure in RESULTS.values()]
    return " & ".join([f"{{{escape(cell['name'])}}}", *entries]) + r" \\"


def _entry(cell: pd.Series, measure: measures.Measure, analysis: Analysis) -> str:
    if measure.kind != "fraction":
        return escape((small if measure.kind == "error" else amount)(cell[measure.column]))
    interval = interval_of(cell, measure.column)
    if not math.isfinite(interval.centre):
        return "--"
    text = f"{100 * interval.centre:.1f}"
    if _better(cell, measure, analysis):
        text = rf"\textbf{{{text}}}"
    if not math.isfinite(interval.low):
        return text
    return rf"{text} {{\scriptsize [{100 * interval.low:.1f}, {100 * interval.high:.1f}]}}"


def _better(cell: pd.Series, measure: measures.Measure, analysis: Analysis) -> bool:
    rows = analysis.comparisons
    mine = rows[(rows["id"] == cell["id"]) & (rows["measure"] == measure.column)]
    return bool((mine["word"].isin(BETTER)).any())

"""The results as a booktabs table: a row a model, columns by data set, bold where a verdict is."""

from __future__ import annotations

import math

import pandas as pd

from pipeline.report.analysis import measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.cells import short_labels
from pipeline.report.analysis.verdicts import BETTER
from pipeline.report.text.formatting import counted, plain, small
from pipeline.report.text.summary import interval_of

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "–": "--",
    '"': "''", "[": "{[}", "]": "{]}",
}  # fmt: skip
COLUMNS = (
    (measures.UPRIGHT, "Upright"),
    (measures.QUARTER, "Quarter-turned"),
    (measures.ANY_ANGLE, "Any angle"),
)


def escape(text: object) -> str:
    """Return text that TeX prints as it stands; what TeX may not know becomes a question mark."""
    line = "".join(_SPECIAL.get(character, character) for character in plain(text))
    return line.encode("ascii", "replace").decode()


def results(analysis: Analysis) -> str:
    """Return mean and interval in per cent of every cell on every data set."""
    cells = analysis.cells
    # The name of a row is that of the cell without the data set, which is in the heads of columns.
    cells = cells.assign(name=short_labels(cells.assign(dataset="")))
    datasets = list(cells["dataset"].drop_duplicates())
    width = len(COLUMNS) + 1
    spans = [
        rf"\cmidrule(lr){{{2 + width * i}-{1 + width * (i + 1)}}}" for i in range(len(datasets))
    ]
    names = " & ".join(rf"\multicolumn{{{width}}}{{c}}{{{escape(name)}}}" for name in datasets)
    heads = " & ".join([*(head for _, head in COLUMNS), "Error"] * len(datasets))
    seeds = sorted(set(analysis.drawn["runs_finished"].astype(int)))
    last = counted(seeds[-1], "seed") if seeds else "no seed"
    lines = [
        r"% Needs \usepackage{booktabs}.",
        rf"\begin{{tabular}}{{l{'r' * width * len(datasets)}}}",
        r"\toprule",
        rf" & {names} \\",
        " ".join(spans),
        rf"Model & {heads} \\",
        r"\midrule",
        *(_row(name, rows, datasets, analysis) for name, rows in cells.groupby("name", sort=False)),
        r"\bottomrule",
        r"\end{tabular}",
        "% Test accuracy in per cent: mean with its "
        f"{100 * analysis.settings.confidence:g} % interval over test images and "
        f"{f'{seeds[0]} to {last}' if len(seeds) > 1 else last}.",
        "% Error: invariance error under quarter turns, geometric mean.",
        "% Bold: better or clearly better than the baseline, p-values by Holm's method.",
    ]
    return "\n".join(lines) + "\n"


def _row(name: object, cells: pd.DataFrame, datasets: list[str], analysis: Analysis) -> str:
    # In braces: a name that begins with a star would belong to the end of the line above.
    entries = [f"{{{escape(name)}}}"]
    for dataset in datasets:
        here = cells[cells["dataset"] == dataset]
        if here.empty:
            entries += ["--"] * (len(COLUMNS) + 1)
            continue
        cell = here.iloc[0]
        entries += [_entry(cell, measure, analysis) for measure, _ in COLUMNS]
        entries.append(escape(small(cell[measures.ERROR.column])))
    return " & ".join(entries) + r" \\"


def _entry(cell: pd.Series, measure: measures.Measure, analysis: Analysis) -> str:
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

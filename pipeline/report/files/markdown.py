"""`report.md`: the report for a repository, with the same words and the PNG figures."""

from __future__ import annotations

import html
import re

import pandas as pd

from pipeline.report.analysis import comparisons, measures
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.files import tables
from pipeline.report.files.pictures import Picture
from pipeline.report.text import method, published, summary
from pipeline.report.text import provenance as origin
from pipeline.report.text.formatting import plain

# Characters with a meaning in Markdown; a name made of them must stay a name.
_MARKUP = re.compile(r"([\\`*_{}\[\]()#!|~$])")
_WORD_UNDERSCORE = re.compile(r"(?<=\w)\\_(?=\w)")


def escape(value: object, limit: int = 2000) -> str:
    """Return text that Markdown, and the HTML inside Markdown, prints as it stands."""
    text = html.escape(plain(value, limit), quote=False)
    text = _WORD_UNDERSCORE.sub("_", _MARKUP.sub(r"\\\1", text))
    # A bare address would become a link.
    return text.replace("://", ":&#8203;//")


def report(analysis: Analysis, pictures: list[Picture]) -> str:
    """Return the whole document."""
    parts = [f"# {escape(analysis.settings.study)}: what exact symmetry buys",
             escape(summary.sentence(analysis))]  # fmt: skip
    warned = origin.warnings(analysis)
    if warned:
        parts.append("\n".join(f"> **Mind:** {escape(line)}" for line in warned))
    parts.append(f"Commit {escape(origin.commit(analysis))}.")
    parts += ["## Does it hold?", table(tables.checks(analysis)), "## Results"]
    parts.append(table(tables.results(analysis).drop(columns="id")))
    for item in pictures:
        parts.append(f"## {escape(item.title)}")
        if not item.document:
            parts.append(f"No figure: {escape(item.reason)}.")
        else:
            parts.append(f"![{escape(item.alt)}](figures/{item.name}.png)")
            parts.append(escape(item.caption))
    parts += ["## Verdicts", _verdicts(analysis), "## Failures", _failures(analysis)]
    parts += ["## Published numbers", escape(published.CAPTION), table(published.table())]
    parts.append("## How to read this")
    parts += [f"**{escape(name)}.** {escape(words)}" for name, words in method.entries(analysis)]
    parts += ["## Provenance", table(origin.table(analysis))]
    return "\n\n".join(parts) + "\n"


def table(frame: pd.DataFrame) -> str:
    """Return a pipe table."""
    head = "| " + " | ".join(escape(column) for column in frame.columns) + " |"
    rule = "|" + " --- |" * len(frame.columns)
    rows = [
        "| " + " | ".join(escape(value, 300) for value in row) + " |"
        for row in frame.itertuples(index=False)
    ]
    return "\n".join([head, rule, *rows])


def _verdicts(analysis: Analysis) -> str:
    rows = analysis.comparisons
    if rows.empty:
        alike = comparisons.baseline_alike(analysis.settings)
        return f"No comparison: no cell shares {alike} with the baseline."
    columns = {"label": "cell", "measure": "test images", "baseline_label": "against",
               "verdict": "verdict"}  # fmt: skip
    named = rows.assign(measure=rows["measure"].map(measures.SHORT))
    return table(named[list(columns)].rename(columns=columns))


def _failures(analysis: Analysis) -> str:
    frame = tables.failures(analysis)
    return "None." if frame.empty else table(frame.drop(columns="id"))

"""`report.md`: the report for a repository, with the same text as the page, and the PNG figures."""

from __future__ import annotations

import html
import re

import pandas as pd

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.comparisons import no_comparison
from pipeline.report.files import tables
from pipeline.report.files.pictures import Picture
from pipeline.report.text import method, provenance, published, summary
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
    verdicts, failures = tables.comparisons(analysis), tables.failures(analysis)
    parts = [
        f"# {escape(analysis.settings.study)}: accuracy and cost of exact symmetry",
        escape(summary.sentence(analysis)),
        "\n".join(f"> **Warning:** {escape(line)}" for line in provenance.warnings(analysis)),
        f"Commit {escape(provenance.commit(analysis))}.",
        "## Checks against theory", table(tables.checks(analysis)),
        "## Results", table(tables.results(analysis)),
        *(_figure(picture) for picture in pictures),
        "## Comparisons with the baseline",
        escape(no_comparison(analysis.settings)) if verdicts.empty else table(verdicts),
        "## Failures",
        escape(summary.no_failure(analysis)) if failures.empty else table(failures),
        "## Published numbers", escape(published.CAPTION), table(published.table()),
        "## Methods",
        *(f"**{escape(name)}.** {escape(text)}" for name, text in method.entries(analysis)),
        "## Provenance", table(provenance.table(analysis)),
    ]  # fmt: skip
    return "\n\n".join(filter(None, parts)) + "\n"


def _figure(picture: Picture) -> str:
    heading = f"## {escape(picture.title)}\n\n"
    if not picture.document:
        return f"{heading}No figure: {escape(picture.reason)}."
    image = f"![{escape(picture.alt)}](figures/{picture.name}.png)"
    return f"{heading}{image}\n\n{escape(picture.caption)}"


def table(frame: pd.DataFrame) -> str:
    """Return a pipe table; the column `id` is not shown."""
    frame = frame.drop(columns="id", errors="ignore")
    head = "| " + " | ".join(escape(column) for column in frame.columns) + " |"
    rule = "|" + " --- |" * len(frame.columns)
    rows = [
        "| " + " | ".join(escape(value, 300) for value in row) + " |"
        for row in frame.itertuples(index=False)
    ]
    return "\n".join([head, rule, *rows])

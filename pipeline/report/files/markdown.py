"""`report.md`: the report for a repository, with the same text as the page, and the PNG figures."""

from __future__ import annotations

import html
import re

import pandas as pd

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.comparisons import no_comparison
from pipeline.report.figures import PARTS
from pipeline.report.files import tables
from pipeline.report.files.pictures import Picture
from pipeline.report.text import advice, choices, few_groups, method, provenance, published, summary
from pipeline.report.text.formatting import entry, plain

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
    """Return the whole document, in the order of the page."""
    texts = {
        "results": _results(analysis, pictures),
        "exact": [*_exact(analysis), *_figures("exact", pictures)],
        "training": [*_training(analysis), *_figures("training", pictures)],
        "details": [*_details(analysis, pictures), *_figures("details", pictures)],
    }
    parts = [
        f"# {escape(analysis.settings.study)}: what exact symmetry brings, and what it costs",
        escape(summary.sentence(analysis)),
        escape(advice.which_network(analysis)),
        *map(escape, few_groups.limits(analysis)),
        "\n".join(f"> **Warning:** {escape(line)}" for line in provenance.warnings(analysis)),
        "\n".join(
            f"- **{escape(number.value)}**: {escape(number.label)}"
            for number in summary.key_numbers(analysis)
        ),
        f"Commit {escape(provenance.commit(analysis))}.",
        *(text for part, title in PARTS.items() for text in (f"## {title}", *texts[part])),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _choices(analysis: Analysis) -> list[str]:
    if analysis.choices.empty:
        return []
    rows = table(choices.table(analysis))
    return [f"### {choices.TITLE}", rows, escape(choices.caption(analysis))]


def _results(analysis: Analysis, pictures: list[Picture]) -> list[str]:
    first, *others = _figures("results", pictures) or [""]
    data = tables.data_sets(analysis)
    found = [] if data.empty else ["### Do the labels have the symmetry?", table(data)]
    return [
        first,
        *_choices(analysis),
        *found,
        *others,
        "### All cells",
        table(tables.results(analysis)),
    ]


def _exact(analysis: Analysis) -> list[str]:
    errors = tables.errors(analysis)
    found = [] if errors.empty else ["### Errors of every cell", table(errors)]
    return ["### Checks against theory", table(tables.checks(analysis)), *found]


def _training(analysis: Analysis) -> list[str]:
    failures = tables.failures(analysis)
    return [
        "### What was run", f"{escape(summary.extent(analysis))}.",
        *(f"{escape(line)}." for line in analysis.settings.chosen), "### Failures",
        escape(summary.no_failure(analysis)) if failures.empty else table(failures),
    ]  # fmt: skip


def _details(analysis: Analysis, pictures: list[Picture]) -> list[str]:
    verdicts, known = tables.comparisons(analysis), tables.published_numbers(analysis)
    absent = [f"- {escape(one.title)}: {escape(one.reason)}." for one in pictures if one.reason]
    more = [
        text
        for title, _, frame, caption in tables.more(analysis)
        for text in (f"### {title}", escape(caption), "" if frame.empty else table(frame))
    ]
    return [
        *more, "### Comparisons with the baseline",
        escape(no_comparison(analysis.settings)) if verdicts.empty else table(verdicts),
        *(["### Published numbers", escape(published.CAPTION), table(known)] if len(known) else []),
        "### Methods",
        *(f"**{escape(name)}.** {escape(text)}" for name, text in method.entries(analysis)),
        "### Provenance", table(provenance.table(analysis)),
        *(["### Not drawn", "\n".join(absent)] if absent else []),
    ]  # fmt: skip


def _figures(part: str, pictures: list[Picture]) -> list[str]:
    """Return the drawn figures of a part of the page."""
    return [
        f"### Figure {one.number}. {escape(one.title)}\n\n"
        f"![{escape(one.alt)}](figures/{one.name}.png)\n\n{escape(one.caption)}"
        for one in pictures if one.part == part and one.document
    ]  # fmt: skip


def table(frame: pd.DataFrame) -> str:
    """Return a pipe table; the column `id` is not shown."""
    frame = frame.drop(columns="id", errors="ignore")
    head = "| " + " | ".join(escape(column) for column in frame.columns) + " |"
    rule = "|" + " --- |" * len(frame.columns)
    rows = [
        "| " + " | ".join(escape(entry(value), 300) for value in row) + " |"
        for row in frame.itertuples(index=False)
    ]
    return "\n".join([head, rule, *rows])

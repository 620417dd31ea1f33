"""`index.html`: one file that opens offline, with everything escaped and nothing fetched."""

from __future__ import annotations

from importlib import resources

import pandas as pd

from pipeline.report import html, measures, method, origin, published, summary, svg, tables
from pipeline.report.analysis import Analysis
from pipeline.report.checks import FAILS, HOLDS, NO_DATA, UNTOLD
from pipeline.report.figures import style
from pipeline.report.names import AXES
from pipeline.report.pictures import Picture
from pipeline.report.words import plain

# Inks and dark colours of the figures, lightened for a dark page.
DARK = {
    style.INK: "#e6edf3", style.MUTED: "#9aa5b1", style.GRID: "#303842", style.PAPER: "#0f1318",
    style.ZONE: "#1c232b", "#3d3d3d": "#c3cad2", "#0072b2": "#4ea8e0", "#882255": "#d9729f",
    "#7b5ea7": "#a98bd4",
}  # fmt: skip
OUTCOMES = {HOLDS: "holds", FAILS: "fails", UNTOLD: "unsure", NO_DATA: "none"}
FILTER_NAMES = {"positional": "encoding"}


def page(analysis: Analysis, pictures: list[Picture]) -> str:
    """Return the whole page."""
    sheet = _asset("page.css") + _dark_rules()
    script = _asset("page.js")
    policy = (
        f"default-src 'none'; style-src {html.source_hash(sheet)}; "
        f"script-src {html.source_hash(script)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    name = html.text(analysis.settings.study)
    body = "\n".join([
        _head(analysis), _checks(analysis), _contents(pictures), _filters(analysis),
        _results(analysis), _failures(analysis), _figures(pictures), _verdicts(analysis),
        _published(), method.as_html(analysis), _provenance(analysis),
    ])  # fmt: skip
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{name}: report</title>
<link rel="icon" href="data:,">
<style>{sheet}</style>
</head>
<body>
<a class="skip" href="#results">Skip to the results</a>
{body}
<script type="application/json" id="cells">{html.data_block(_cell_axes(analysis))}</script>
<script>{script}</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    return resources.files("pipeline.report").joinpath(name).read_text(encoding="utf-8")


def _dark_rules() -> str:
    rules = "".join(
        f'  .drawing [{key}="{light}"] {{ {key}: {dark}; }}\n'
        for light, dark in DARK.items()
        for key in ("fill", "stroke")
    )
    return f"@media screen and (prefers-color-scheme: dark) {{\n{rules}}}\n"


def _head(analysis: Analysis) -> str:
    numbers = "".join(
        f"<div><dt>{html.text(number.label)}</dt><dd>{html.text(number.value)}</dd></div>"
        for number in summary.key_numbers(analysis)
    )
    warned = "".join(f"<li>{html.text(line)}</li>" for line in origin.warnings(analysis))
    warning = f'<section class="warnings"><strong>Mind</strong><ul>{warned}</ul></section>'
    return f"""<header>
<h1>{html.text(analysis.settings.study)}: what exact symmetry buys</h1>
<p class="lead">{html.text(summary.sentence(analysis))}</p>
<p class="small">Commit {html.text(origin.commit(analysis))} · beside this page: <a
 href="report.md">report.md</a>, <a href="metrics.json">metrics.json</a>, <a
 href="tables/cells.csv">tables/</a>, <a href="tables/results.tex">results.tex</a></p>
{warning if warned else ""}
<dl class="numbers">{numbers}</dl>
</header>
<main id="results">"""


def _checks(analysis: Analysis) -> str:
    frame = pd.DataFrame(
        [(c.expected, c.found, c.outcome) for c in analysis.checks],
        columns=["expected", "found", "outcome"],
    )
    caption = "What theory promises, what was measured, and whether it holds."
    return "<h2>Does it hold?</h2>" + html.table(frame, caption, classes=OUTCOMES)


def _contents(pictures: list[Picture]) -> str:
    items = "".join(
        f'<li><a href="#{item.name}">{html.text(item.title)}</a></li>'
        for item in pictures
        if item.document
    )
    if not items:
        return ""
    return f'<nav aria-label="Figures"><h2>Figures</h2><ul>{items}</ul></nav>'


def _filters(analysis: Analysis) -> str:
    """Checkboxes for every axis that varies; values are numbers, names are text only."""
    fields = []
    for axis in AXES:
        values = list(analysis.cells[axis].drop_duplicates())
        if len(values) < 2:
            continue
        boxes = "".join(
            f'<label><input type="checkbox" name="{axis}" value="{index}" checked> '
            f"{html.text(value, 30)}</label>"
            for index, value in enumerate(values)
        )
        name = FILTER_NAMES.get(axis, axis)
        fields.append(f"<fieldset><legend>{name}</legend>{boxes}</fieldset>")
    if not fields or analysis.drawn.empty:
        return ""
    return (
        '<details class="filters" hidden><summary>Filter figures and tables'
        f'<output aria-live="polite"></output></summary>{"".join(fields)}'
        '<p class="small">Figures that average over cells stay whole.</p></details>'
    )


def _cell_axes(analysis: Analysis) -> list[dict[str, int]]:
    codes = {axis: pd.factorize(analysis.cells[axis])[0] for axis in AXES}
    return [{axis: int(codes[axis][row]) for axis in AXES} for row in range(len(analysis.cells))]


def _results(analysis: Analysis) -> str:
    if analysis.drawn.empty:
        return '<h2 id="table">Results</h2><p class="nothing">No run finished.</p>'
    frame = tables.results(analysis)
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
    percent = f"{100 * analysis.settings.confidence:g} %"
    caption = (
        f"Every cell: mean test accuracy over seeds with its {percent} interval; errors are "
        "geometric means, seconds medians."
    )
    return '<h2 id="table">Results</h2>' + html.table(frame, caption, sort_by=by)


def _figures(pictures: list[Picture]) -> str:
    shown = "".join(_figure(item) for item in pictures if item.document)
    missing = "".join(
        f"<li>{html.text(item.title)}: {html.text(item.reason)}.</li>"
        for item in pictures
        if not item.document
    )
    return shown + (f"<h2>Not drawn</h2><ul>{missing}</ul>" if missing else "")


def _figure(item: Picture) -> str:
    heading = f'<h2 id="{item.name}">{html.text(item.title)}</h2>'
    links = " · ".join(
        f'<a href="{path}">{word}</a>'
        for word, path in (
            ("SVG", f"figures/{item.name}.svg"),
            ("PNG", f"figures/{item.name}.png"),
            ("data (CSV)", f"tables/{item.name}.csv"),
        )
    )
    return (
        f'{heading}<figure><div class="drawing" tabindex="0" role="region" '
        f'aria-label="{html.text(item.title)}">{svg.inline(item.document, item.alt)}</div>'
        f"<figcaption><p>{html.text(item.caption)}</p>"
        f'<p class="small">{links} · drawn by <code>pipeline/report/figures/{item.name}.py</code>'
        "</p></figcaption></figure>"
    )


def _verdicts(analysis: Analysis) -> str:
    rows = analysis.comparisons
    heading = "<h2>Verdicts</h2>"
    if rows.empty:
        baseline = " ".join(plain(value, 20) for value in analysis.settings.baseline.values())
        return (
            f'{heading}<p class="nothing">No comparison: no cell shares data set, depth and '
            f"tokens with the baseline {html.text(baseline)}.</p>"
        )
    frame = pd.DataFrame({
        "id": rows["id"], "cell": rows["label"], "test images": rows["measure"].map(measures.SHORT),
        "against": rows["baseline_label"], "verdict": rows["verdict"],
    })  # fmt: skip
    caption = (
        "Every cell against its baseline on the same seeds: mean paired difference with half of "
        "its interval, exact sign-flip test, corrected by Holm's method within each kind of images."
    )
    return heading + html.table(frame, caption)


def _failures(analysis: Analysis) -> str:
    frame = tables.failures(analysis)
    heading = '<h2 id="failures">Failures</h2>'
    if frame.empty:
        done = int(analysis.cells["trials"].sum()), int(analysis.cells["runs"].sum())
        return f"{heading}<p>None: all {done[0]} trials and {done[1]} runs completed.</p>"
    caption = "What did not complete, counted by cell, stage and reason; none of it is in a mean."
    return heading + html.table(frame, caption, long=True)


def _published() -> str:
    table = html.table(published.table(), published.CAPTION, long=True)
    return f'<h2 id="published">Published numbers</h2>{table}'


def _provenance(analysis: Analysis) -> str:
    caption = "Written by the earlier stages into the Parquet files this page was made from."
    table = html.table(origin.table(analysis), caption, long=True)
    return f'<h2 id="provenance">Provenance</h2>{table}</main>'

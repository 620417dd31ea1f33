"""`index.html`: one file that opens offline, with everything escaped and nothing fetched."""

from __future__ import annotations

from fnmatch import fnmatch
from importlib import resources
from urllib.parse import quote

from pipeline.report.analysis.analysis import Analysis
from pipeline.report.files.pictures import Picture
from pipeline.report.page import html, sections, svg
from pipeline.report.page.exact_rows import page_data
from pipeline.report.plotting import style
from pipeline.report.text import provenance as origin
from pipeline.report.text import summary
from pipeline.report.text.names import AXES

# Inks and dark colours of the figures, lightened for a dark page.
DARK = {
    style.INK: "#e6edf3", style.MUTED: "#9aa5b1", style.GRID: "#303842", style.PAPER: "#0f1318",
    style.ZONE: "#1c232b", "#3d3d3d": "#c3cad2", "#0072b2": "#4ea8e0", "#882255": "#d9729f",
    "#7b5ea7": "#a98bd4",
}  # fmt: skip
FILTER_NAMES = {"positional": "encoding", "dataset": "data set"}


def page(analysis: Analysis, pictures: list[Picture]) -> str:
    """Return the whole page."""
    sheet = _asset("page.css") + _dark_rules()
    script = _asset("page.js")
    policy = (
        f"default-src 'none'; style-src {html.source_hash(sheet)}; "
        f"script-src {html.source_hash(script)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    data = page_data(analysis, (picture.document for picture in pictures))
    parts = [*sections.before(analysis), ("figures", "Figures", _figures(analysis, pictures)),
             *sections.after(analysis)]  # fmt: skip
    body = "\n".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>\n{content}</section>'
        for name, title, content in parts
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{html.text(analysis.settings.study)}: report</title>
<link rel="icon" href="data:,">
<style>{sheet}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the results</a>
{_head(analysis)}
{_contents(parts, pictures)}
<main id="content" tabindex="-1">
{_filters(analysis)}
{body}
</main>
{_CARD}
<footer class="small">Drawn from Parquet rows by <code>python -m pipeline.report</code>. Links to
rows and code work where this page lies in its project.</footer>
<script type="application/json" id="study">{html.data_block(data)}</script>
<script>{script}</script>
</body>
</html>
"""


_CARD = """<aside id="row" aria-label="The exact row behind a mark" tabindex="-1" hidden>
<button type="button" class="close" aria-label="Close">×</button>
<p aria-live="polite"></p>
<div class="runs"></div>
<dl tabindex="0" aria-label="Columns of the row"></dl>
<p class="small"><code></code></p>
</aside>"""


def _asset(name: str) -> str:
    return resources.files("pipeline.report.page").joinpath(name).read_text(encoding="utf-8")


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
    warning = f'<div class="warnings" role="note"><strong>Mind</strong><ul>{warned}</ul></div>'
    return f"""<header>
<h1>{html.text(analysis.settings.study)}: what exact symmetry buys</h1>
<p class="lead">{html.text(summary.sentence(analysis))}</p>
<p class="small">Commit {html.text(origin.commit(analysis))} · beside this page: <a
 href="report.md">report.md</a>, <a href="metrics.json">metrics.json</a>, <a
 href="tables/cells.csv">cells.csv</a>, <a href="tables/results.tex">results.tex</a></p>
{warning if warned else ""}
<dl class="numbers">{numbers}</dl>
</header>"""


def _contents(parts: list[tuple[str, str, str]], pictures: list[Picture]) -> str:
    drawn = "".join(
        f'<li><a href="#{item.name}">{html.text(item.title)}</a></li>'
        for item in pictures
        if item.document
    )
    inner = {"figures": f"<ul>{drawn}</ul>" if drawn else ""}
    items = "".join(
        f'<li{" class=many" if inner.get(name) else ""}><a href="#{name}">{title}</a>'
        f"{inner.get(name, '')}</li>"
        for name, title, _ in parts
    )
    return f'<nav aria-label="Contents"><ul>{items}</ul></nav>'


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
        '<output aria-live="polite"></output></summary>'
        f'{"".join(fields)}<p class="small">What averages over cells goes when the last of them '
        'does; captions and intervals stay those of the whole study. <button type="button">Show '
        "all</button></p></details>"
    )


def _figures(analysis: Analysis, pictures: list[Picture]) -> str:
    shown = "".join(_figure(item, analysis) for item in pictures if item.document)
    missing = "".join(
        f"<li>{html.text(item.title)}: {html.text(item.reason)}.</li>"
        for item in pictures
        if not item.document
    )
    hint = (
        '<p class="small hint">Point at a mark, or focus a figure and press the arrow keys, for '
        "the exact row behind it; a click keeps it, Enter goes to it, Escape comes back.</p>"
    )
    return (hint if shown else "") + shown + (
        f'<h3 id="not-drawn">Not drawn</h3><ul>{missing}</ul>' if missing else ""
    )  # fmt: skip


def _figure(item: Picture, analysis: Analysis) -> str:
    rows = [
        (path, f"../data/{quote(path)}")
        for path in sorted({source.path for source in analysis.study.sources})
        if any(fnmatch(path, pattern) for pattern in item.sources)
    ]
    files = [
        ("SVG", f"figures/{item.name}.svg"), ("PNG", f"figures/{item.name}.png"),
        ("numbers (CSV)", f"tables/{item.name}.csv"), *rows, (item.code, f"../{item.code}"),
    ]  # fmt: skip
    links = " · ".join(f'<a href="{path}">{html.text(word)}</a>' for word, path in files)
    return (
        f'<article aria-labelledby="{item.name}"><h3 id="{item.name}">{html.text(item.title)}</h3>'
        f'<figure><div class="drawing" tabindex="0" role="group" data-figure="{item.name}" '
        f'aria-label="{html.text(item.title)}">{svg.inline(item.document, item.alt)}</div>'
        f"<figcaption><p>{html.text(item.caption)}</p>"
        f'<p class="small">{links}</p></figcaption></figure></article>\n'
    )

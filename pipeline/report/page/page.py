"""`index.html`: one file that opens offline, with everything escaped and nothing fetched."""

from __future__ import annotations

from fnmatch import fnmatch
from importlib import resources
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from pipeline.report.analysis import comparisons
from pipeline.report.analysis.analysis import Analysis
from pipeline.report.analysis.checks import FAILS, HOLDS, INCONCLUSIVE, NO_DATA
from pipeline.report.figures import PARTS
from pipeline.report.files import tables
from pipeline.report.files.pictures import Picture
from pipeline.report.page import svg
from pipeline.report.page.page_data import page_data
from pipeline.report.page.templates import render
from pipeline.report.plotting import style
from pipeline.report.text import advice, choices, few_groups, method, provenance, published, summary
from pipeline.report.text.names import AUGMENT_NAMES, AXES, chance

# Inks and dark colours of the figures, lightened for a dark page.
DARK = {
    style.INK: "#e6edf3", style.MUTED: "#9aa5b1", style.GRID: "#303842", style.PAPER: "#0f1318",
    style.ZONE: "#1c232b", "#3d3d3d": "#c3cad2", "#0072b2": "#4ea8e0", "#882255": "#d9729f",
    "#7b5ea7": "#a98bd4",
}  # fmt: skip
DARK_PAGE = {
    "paper": "#0f1318", "ink": "#e6edf3", "muted": "#9aa5b1", "line": "#303842", "zone": "#191f26",
    "accent": "#6cb6ff", "good": "#6fd08c", "bad": "#ff8f87", "unsure": "#e3b341",
    "bad-zone": "#33191a",
}  # fmt: skip
FILTER_TITLES = {
    "positional": "encoding", "dataset": "data set", "augment": "trained on",
    "training_images": "training images",
}  # fmt: skip
OUTCOMES = {HOLDS: "holds", FAILS: "fails", INCONCLUSIVE: "unsure", NO_DATA: "none"}


def page(analysis: Analysis, pictures: list[Picture]) -> str:
    """Return the whole page."""
    shown = _tables(analysis)
    documents = (text for one in pictures for text in (one.document, one.narrow))
    return render(
        "page.html.jinja",
        sheet=Markup(_asset("page.css").replace("/* dark */", _dark_rules())),
        script=Markup(_asset("page.js")),
        data=page_data(analysis, documents),
        study=analysis.settings.study,
        summary=summary.sentence(analysis),
        which_network=advice.which_network(analysis),
        limits=few_groups.limits(analysis),
        key_numbers=summary.key_numbers(analysis),
        commit=provenance.commit(analysis),
        warnings=provenance.warnings(analysis),
        filters=[] if analysis.drawn.empty else _filters(analysis),
        parts=PARTS,
        contents=_contents(shown),
        drawn=[picture for picture in pictures if picture.document],
        not_drawn=[picture for picture in pictures if not picture.document],
        inline_svg=_inline,
        links=lambda picture: _links(picture, analysis),
        **shown,
    )


def _inline(picture: Picture) -> Markup:
    """Return the drawing, and the one for a phone after it."""
    wide = svg.inline(picture.document, picture.alt)
    narrow = svg.inline(picture.narrow, picture.alt, "narrow") if picture.narrow else ""
    return Markup(wide + narrow)


def _tables(analysis: Analysis) -> dict[str, Any]:
    level = f"{100 * analysis.settings.confidence:g} %"
    return {
        "choices": choices.table(analysis),
        "choices_title": choices.TITLE,
        "choices_caption": "" if analysis.choices.empty else choices.caption(analysis),
        "checks": tables.checks(analysis),
        "outcomes": OUTCOMES,
        "drawn_cells": len(analysis.drawn),
        "data_sets": tables.data_sets(analysis),
        "results": tables.results(analysis),
        "results_caption": f"Every cell: mean test accuracy in per cent with its {level} interval "
        f"over {chance(analysis.cells)}{few_groups.units(analysis)}; errors are "
        "geometric means, seconds medians.",
        "results_order": {
            name: analysis.cells[measure.column] for name, measure in tables.RESULTS.items()
        },
        "errors": tables.errors(analysis),
        "errors_caption": "Geometric means over seeds; the Lie derivative is a secondary measure, "
        "not for ranking, and is to be compared with its floor, that of an identity map.",
        "more_tables": tables.more(analysis),
        "extent": summary.extent(analysis),
        "chosen": analysis.settings.chosen,
        "failures": tables.failures(analysis),
        "no_failure": summary.no_failure(analysis),
        "comparisons": tables.comparisons(analysis),
        "no_comparison": comparisons.no_comparison(analysis.settings),
        "published": tables.published_numbers(analysis),
        "published_caption": published.CAPTION,
        "method": method.entries(analysis),
        "provenance": provenance.table(analysis),
    }


def _contents(shown: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return the tables of each part for the list of contents: id and title."""
    data = [] if shown["data_sets"].empty else [("data", "Do the labels have the symmetry?")]
    choice = [] if shown["choices"].empty else [("choose", choices.TITLE)]
    known = [] if shown["published"].empty else [("published", "Published numbers")]
    errors = [] if shown["errors"].empty else [("errors", "Errors of every cell")]
    return {
        "results": [*choice, *data, ("table", "All cells")],
        "exact": [("checks", "Checks against theory"), *errors],
        "training": [("extent", "What was run"), ("failures", "Failures")],
        "details": [
            *((name, title) for title, name, _, _ in shown["more_tables"]),
            ("comparisons", "Comparisons"), *known,
            ("method", "Methods"), ("provenance", "Provenance"),
        ],
    }  # fmt: skip


def _asset(name: str) -> str:
    return resources.files("pipeline.report.page").joinpath(name).read_text(encoding="utf-8")


def _dark_rules() -> str:
    """Return the rules of the dark theme: of the system unless chosen, or chosen."""
    page = "".join(f" --{name}: {value};" for name, value in DARK_PAGE.items())
    rules = [
        f'.drawing [{key}="{light}"] {{ {key}: {dark}; }}'
        for light, dark in DARK.items()
        for key in ("fill", "stroke")
    ]
    return "\n".join(
        f"{media} {{\n{where} {{ color-scheme: dark;{page} }}\n"
        + "\n".join(f"{where} {rule}" for rule in rules) + "\n}"
        for media, where in (
            ("@media screen and (prefers-color-scheme: dark)", ':root:not([data-theme="light"])'),
            ("@media screen", ':root[data-theme="dark"]'),
        )
    )  # fmt: skip


def _filters(analysis: Analysis) -> list[tuple[str, str, list[Any]]]:
    """Return every axis that varies with its title and values."""
    values = {axis: list(analysis.cells[axis].drop_duplicates()) for axis in AXES}
    return [
        (axis, FILTER_TITLES.get(axis, axis), [_called(axis, value) for value in found])
        for axis, found in values.items()
        if len(found) > 1
    ]


def _called(axis: str, value: Any) -> Any:
    """Return what the legends of figures call a value of an axis."""
    return AUGMENT_NAMES.get(value, value) if axis == "augment" else value


def _links(picture: Picture, analysis: Analysis) -> list[tuple[str, str]]:
    """Return text and address of a figure's files, the files of its rows, and its code."""
    name = picture.name
    paths = sorted({source.path for source in analysis.study.sources})
    rows = [path for path in paths if any(fnmatch(path, source) for source in picture.sources)]
    return [
        ("SVG", f"figures/{name}.svg"), ("PNG", f"figures/{name}.png"),
        ("numbers (CSV)", f"tables/{name}.csv"),
        *((path, f"../data/{quote(path)}") for path in rows), (picture.code, f"../{picture.code}"),
    ]  # fmt: skip

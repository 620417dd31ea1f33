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
from pipeline.report.files import tables
from pipeline.report.files.pictures import Picture
from pipeline.report.page import svg
from pipeline.report.page.page_data import page_data
from pipeline.report.page.templates import render
from pipeline.report.plotting import style
from pipeline.report.text import method, provenance, published, summary
from pipeline.report.text.names import AXES

# Inks and dark colours of the figures, lightened for a dark page.
DARK = {
    style.INK: "#e6edf3", style.MUTED: "#9aa5b1", style.GRID: "#303842", style.PAPER: "#0f1318",
    style.ZONE: "#1c232b", "#3d3d3d": "#c3cad2", "#0072b2": "#4ea8e0", "#882255": "#d9729f",
    "#7b5ea7": "#a98bd4",
}  # fmt: skip
FILTER_TITLES = {
    "positional": "encoding",
    "dataset": "data set",
    "augment": "augmentation",
    "training_images": "training images",
}
OUTCOMES = {HOLDS: "holds", FAILS: "fails", INCONCLUSIVE: "unsure", NO_DATA: "none"}


def page(analysis: Analysis, pictures: list[Picture]) -> str:
    """Return the whole page."""
    return render(
        "page.html.jinja",
        sheet=Markup(_asset("page.css") + _dark_rules()),
        script=Markup(_asset("page.js")),
        data=page_data(analysis, (picture.document for picture in pictures)),
        study=analysis.settings.study,
        summary=summary.sentence(analysis),
        key_numbers=summary.key_numbers(analysis),
        commit=provenance.commit(analysis),
        warnings=provenance.warnings(analysis),
        filters=[] if analysis.drawn.empty else _filters(analysis),
        drawn=[picture for picture in pictures if picture.document],
        not_drawn=[picture for picture in pictures if not picture.document],
        inline_svg=lambda picture: Markup(svg.inline(picture.document, picture.alt)),
        links=lambda picture: _links(picture, analysis),
        **_tables(analysis),
    )


def _tables(analysis: Analysis) -> dict[str, Any]:
    level = f"{100 * analysis.settings.confidence:g} %"
    return {
        "checks": tables.checks(analysis),
        "outcomes": OUTCOMES,
        "drawn_cells": len(analysis.drawn),
        "results": tables.results(analysis),
        "results_caption": f"Every cell: mean test accuracy with its {level} interval over "
        "seeds and test images; errors are geometric means, seconds medians.",
        "results_order": {
            name: analysis.cells[measure.column] for name, measure in tables.RESULTS.items()
        },
        "failures": tables.failures(analysis),
        "no_failure": summary.no_failure(analysis),
        "comparisons": tables.comparisons(analysis),
        "no_comparison": comparisons.no_comparison(analysis.settings),
        "published": published.table(),
        "published_caption": published.CAPTION,
        "method": method.entries(analysis),
        "provenance": provenance.table(analysis),
    }


def _asset(name: str) -> str:
    return resources.files("pipeline.report.page").joinpath(name).read_text(encoding="utf-8")


def _dark_rules() -> str:
    rules = "".join(
        f'  .drawing [{key}="{light}"] {{ {key}: {dark}; }}\n'
        for light, dark in DARK.items()
        for key in ("fill", "stroke")
    )
    return f"@media screen and (prefers-color-scheme: dark) {{\n{rules}}}\n"


def _filters(analysis: Analysis) -> list[tuple[str, str, list[Any]]]:
    """Return every axis that varies with its title and values."""
    values = {axis: list(analysis.cells[axis].drop_duplicates()) for axis in AXES}
    return [
        (axis, FILTER_TITLES.get(axis, axis), found)
        for axis, found in values.items()
        if len(found) > 1
    ]


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

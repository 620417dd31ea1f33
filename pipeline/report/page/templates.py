"""The templates of the page: every value is escaped, text of one line, and defined."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from pipeline.report.text.formatting import entry, plain

LONGEST = 4000  # characters of one value


def render(name: str, **values: Any) -> Markup:
    """Return a template of this folder with its values filled in."""
    return Markup(ENVIRONMENT.get_template(name).render(values))


def table(
    frame: pd.DataFrame,
    caption: str,
    *,
    sort_by: Mapping[str, pd.Series] | None = None,
    classes: Mapping[str, str] | None = None,
    kind: str = "sortable",
) -> Markup:
    """Return a sortable table; a column `id` becomes the row's cell and is not shown.

    Parameters
    ----------
    frame
        Columns of text or numbers, shown as they are.
    caption
        What the table holds.
    sort_by
        For a column of formatted text the numbers by which it sorts.
    classes
        For a value of a column the class of its element.
    kind
        The classes of the table: `long` keeps line breaks, for tracebacks, and `stacked` puts the
        entries of a row below each other on a phone.
    """
    keys = sort_by or {}
    columns = [
        {
            "name": name, "values": [entry(value) for value in frame[name]],
            "style": "number" if name in keys or _is_numeric(frame[name]) else None,
            "sort_keys": [_sort_key(key) for key in keys[name]] if name in keys
            else [None] * len(frame),
        }
        for name in frame.columns if name != "id"
    ]  # fmt: skip
    cells = list(frame["id"]) if "id" in frame else [None] * len(frame)
    return render("table.html.jinja", caption=caption, kind=kind, columns=columns, cells=cells,
                  classes=classes or {})  # fmt: skip


def _is_numeric(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column.dtype))


def _sort_key(value: float) -> str:
    return "" if pd.isna(value) else f"{float(value):.10g}"


def lines(value: object) -> Markup:
    """Return text of several lines (a traceback), escaped."""
    text = str(value)[:LONGEST]
    return escape("\n".join(plain(line, 400) for line in text.split("\n")))


def _one_line(value: object) -> object:
    """Return what is printed for a value: one line, with a number next to its per cent sign."""
    if hasattr(value, "__html__"):
        return value
    return plain(value, LONGEST).replace(" %", "\N{NO-BREAK SPACE}%")


def _sha256(content: str) -> Markup:
    """Return the hash by which a content security policy allows an inline style or script."""
    digest = hashlib.sha256(content.encode()).digest()
    return Markup(f"'sha256-{base64.b64encode(digest).decode()}'")


ENVIRONMENT = Environment(
    loader=PackageLoader("pipeline.report.page", "."),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_one_line,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
ENVIRONMENT.filters |= {"lines": lines, "short": plain, "sha256": _sha256}
ENVIRONMENT.globals["table"] = table
ENVIRONMENT.policies["json.dumps_kwargs"] = {"allow_nan": False}

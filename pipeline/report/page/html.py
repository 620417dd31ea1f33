"""Escaped HTML: every piece of text that reaches the page goes through here."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from typing import Any

import pandas as pd

from pipeline.report.text.formatting import plain

WIDE = 24  # characters


def text(value: object, limit: int = 4000) -> str:
    """Return text that is text in HTML, in an attribute too."""
    # A number and its per cent sign stay on one line.
    return html.escape(plain(value, limit).replace(" %", "\N{NO-BREAK SPACE}%"), quote=True)


def lines(value: object, limit: int = 4000) -> str:
    """Return text of several lines (a traceback) that is text in HTML."""
    return html.escape("\n".join(plain(line, 400) for line in str(value)[:limit].split("\n")))


def data_block(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    encoded = json.dumps(value, ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        encoded = encoded.replace(character, f"\\u{ord(character):04x}")
    return encoded


def source_hash(content: str) -> str:
    """Return the hash by which a content security policy allows an inline style or script."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def table(
    frame: pd.DataFrame,
    caption: str,
    *,
    sort_by: dict[str, pd.Series] | None = None,
    long: bool = False,
    classes: dict[str, str] | None = None,
    kind: str = "sortable",
) -> str:
    """Return a sortable table; a column `id` becomes the row's cell and is not shown.

    Parameters
    ----------
    frame
        Columns of text or numbers, shown as they are.
    caption
        What the table holds.
    sort_by
        For a column of formatted text the numbers by which it sorts.
    long
        Keep line breaks, for tables with tracebacks.
    classes
        For a value of a column the class of its element.
    kind
        The classes of the table; `stacked` puts a row's entries below each other on a phone.
    """
    shown = [column for column in frame.columns if column != "id"]
    numbers = set(sort_by or {}) | {
        column for column in shown if pd.api.types.is_numeric_dtype(frame[column].dtype)
    }
    head = "".join(
        f'<th scope="col"{" class=number" if column in numbers else ""}>{text(column)}</th>'
        for column in shown
    )
    rows = []
    for position, (_, row) in enumerate(frame.iterrows()):
        mark = f' data-cell="{int(row["id"])}"' if "id" in frame.columns else ""
        entries = "".join(
            _entry(row[column], column in numbers, (sort_by or {}).get(column), position, classes)
            for column in shown
        )
        rows.append(f"<tr{mark}>{entries}</tr>")
    kind += " long" if long else ""
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{text(caption)}">'
        f'<table class="{kind}"><caption>{text(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _entry(
    value: object,
    is_number: bool,
    keys: pd.Series | None,
    position: int,
    classes: dict[str, str] | None,
) -> str:
    # What is long has room of its own: on a narrow page the table is scrolled, not its words cut.
    wide = ' class="wide"' if len(str(value)) > WIDE else ""
    attributes = ' class="number"' if is_number else wide
    if classes and value in classes:
        attributes = f' class="{classes[value]}"'
    if keys is not None:
        key = keys.iloc[position]
        attributes += f' data-sort="{"" if pd.isna(key) else f"{float(key):.10g}"}"'
    return f"<td{attributes}>{lines(value)}</td>"

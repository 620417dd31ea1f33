"""Adapt matplotlib's SVG to a page: no style attributes, ids by figure, cells as data, tooltips."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from xml.etree.ElementTree import Element

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"
ElementTree.register_namespace("", SVG[1:-1])
ElementTree.register_namespace("xlink", XLINK[1:-1])

_TAGGED = re.compile(r"cell-(\d+)(?:-run-(\d+))?")
_AVERAGED = re.compile(r"cells-(\d+(?:-\d+)*)(?: (.*))?")
# Verdana is as wide as DejaVu Sans, letter by letter, and more readers have it.
FAMILY = "'DejaVu Sans', Verdana, sans-serif"
_LONG_NUMBER = re.compile(r"-?\d+\.\d{4,}(?:e-?\d+)?")
_LOCAL_URL = re.compile(r"url\(#([^)]+)\)")


def clean(source: str, name: str, explain: Callable[[int, int | None], str]) -> str:
    """Return an SVG document without style attributes, sheets, comments and dates.

    A content security policy that forbids inline styles leaves it as it is; ids begin with the
    figure's `name`, so that several figures share a page; what was tagged with a cell carries
    `data-cell` (and `data-run`) and a title from `explain(cell, run)`; a mean over several cells
    carries `data-cells`.
    """
    root = ElementTree.fromstring(source)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{SVG}metadata", f"{SVG}style"):
                parent.remove(child)
    # What the removed style sheet said, inherited by everything below.
    root.set("stroke-linejoin", "round")
    root.set("stroke-linecap", "butt")
    root.set("font-family", FAMILY)
    for element in root.iter():
        _style_to_attributes(element)
        _prefix_ids(element, name)
        _tagged(element, explain)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{SVG}defs" and not len(child):
                parent.remove(child)
    for shape in root.iterfind(f".//{SVG}defs/{SVG}path"):
        # Every use of a marker sets a stroke; this one would override the theme of the page.
        shape.attrib.pop("stroke", None)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _style_to_attributes(element: Element) -> None:
    style = element.attrib.pop("style", "")
    for part in style.split(";"):
        key, value = (text.strip() for text in part.partition(":")[::2])
        if key and key != "font-family":  # one for all text, at the root
            element.set(key, value)
    for key in ("d", "points", "transform", "x", "y", "width", "height"):
        if key in element.attrib:
            element.set(key, _LONG_NUMBER.sub(_shorter, element.get(key, "")))


def _shorter(match: re.Match[str]) -> str:
    return f"{float(match[0]):.6g}"


def _prefix_ids(element: Element, name: str) -> None:
    for key, value in list(element.attrib.items()):
        if key == "id" and not (_TAGGED.fullmatch(value) or _AVERAGED.fullmatch(value)):
            element.set(key, f"{name}-{value}")
        elif key in ("href", f"{XLINK}href") and value.startswith("#"):
            element.set(key, f"#{name}-{value[1:]}")
        elif "url(#" in value:
            element.set(key, _LOCAL_URL.sub(rf"url(#{name}-\1)", value))


def _tagged(element: Element, explain: Callable[[int, int | None], str]) -> None:
    averaged = _AVERAGED.fullmatch(element.get("id", ""))
    if averaged:
        del element.attrib["id"]
        element.set("data-cells", averaged[1].replace("-", " "))
        _title(element, averaged[2] or "")
    match = _TAGGED.fullmatch(element.get("id", ""))
    if not match:
        return
    del element.attrib["id"]
    cell, run = int(match[1]), match[2]
    element.set("data-cell", str(cell))
    if run is not None:
        element.set("data-run", run)
    _title(element, explain(cell, None if run is None else int(run)))


def _title(element: Element, text: str) -> None:
    if text:
        title = Element(f"{SVG}title")
        title.text = text
        element.insert(0, title)


def inline(document: str, label: str, kind: str = "") -> str:
    """Return the `svg` element alone, sized by its container, named for screen readers."""
    root = ElementTree.fromstring(document)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    if kind:
        root.set("class", kind)
    root.set("role", "img")
    root.set("aria-label", label)
    text = ElementTree.tostring(root, encoding="unicode")
    return text.replace("<svg:", "<").replace("</svg:", "</")

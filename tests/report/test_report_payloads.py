"""Names and tracebacks are payloads: they stay text in HTML, JSON, CSV, LaTeX and Markdown."""

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from payloads import PAYLOADS

from pipeline.report.files import latex, markdown, tables
from pipeline.report.page import templates


class Collector(HTMLParser):
    """Collects elements and attributes as a browser would see them."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def test_there_are_a_hundred() -> None:
    assert len(set(PAYLOADS)) >= 100


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_is_text_everywhere(payload: str) -> None:
    frame = pd.DataFrame({"name": [payload], payload: [1]})
    table = templates.table(frame, payload)
    assert {tag for tag, _ in Collector(table).elements} == {
        "div", "table", "caption", "thead", "tr", "th", "tbody", "td"
    }  # fmt: skip
    data = templates.ENVIRONMENT.from_string("{{ x|tojson }}").render(x={"x": payload})
    assert "<" not in data and json.loads(data) == {"x": payload}
    inside = templates.ENVIRONMENT.from_string('<p title="{{ x }}">{{ x }}</p>').render(x=payload)
    assert [tag for tag, attributes in Collector(inside).elements if set(attributes) == {"title"}]
    assert len(Collector(inside).elements) == 1
    header, row = csv.reader(io.StringIO(tables.as_csv(frame)))
    for value in (header[1], row[0]):
        assert value.lstrip(" ")[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
    tex = latex.escape(payload).replace("\\textbackslash{}", "")
    assert "\\input" not in tex
    assert "\\write" not in tex
    assert "$" not in tex.replace("\\$", "")
    rows = markdown.table(frame).split("\n")
    assert len(rows) == 3
    assert not [tag for tag, _ in Collector("\n".join(rows)).elements]
    assert "](" not in "\n".join(rows)


def test_every_payload_reaches_the_page_as_text(hostile: Path) -> None:
    page = (hostile / "reports" / "index.html").read_text()
    for payload in PAYLOADS:
        assert templates.lines(payload.split("\n")[0]) in page, payload


def test_a_hostile_study_makes_a_tame_page(hostile: Path) -> None:
    elements = Collector((hostile / "reports" / "index.html").read_text()).elements
    assert [attrs.get("type") for tag, attrs in elements if tag == "script"] == [
        "application/json", None
    ]  # fmt: skip
    allowed = {"svg", "g", "path", "use", "defs", "title", "clippath", "rect", "image"}
    assert not [tag for tag, _ in elements if tag in ("img", "iframe", "object", "embed")]
    assert allowed & {tag for tag, _ in elements}
    for _, attributes in elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert not (attributes.get("href") or "").lower().startswith("javascript")


def test_a_hostile_study_makes_tame_files(hostile: Path) -> None:
    for path in (hostile / "reports" / "tables").glob("*.csv"):
        for row in csv.reader(path.open(newline="")):
            for value in row:
                try:
                    float(value)
                except ValueError:
                    assert not value.startswith(("=", "+", "-", "@")), (path.name, value)
    text = (hostile / "reports" / "report.md").read_text()
    assert not [tag for tag, _ in Collector(text).elements]
    for path in (hostile / "reports" / "figures").glob("*.svg"):
        names = {tag for tag, _ in Collector(path.read_text()).elements}
        assert "script" not in names

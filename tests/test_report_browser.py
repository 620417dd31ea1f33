"""The page in a real browser: no console message, no request, no script but its own."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from synthetic import Shape, write_study

from pipeline.report.build import build
from pipeline.report.html import source_hash
from pipeline.report.load import Settings

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")

# Clicks a filter and a column's head, then writes what the page shows into its title.
DRIVER = """
const shown = (selector) => Array.from(document.querySelectorAll(selector))
  .filter((element) => !element.closest(".off")).length;
const before = [shown("figure [data-cell]"), shown("tr[data-cell]")];
document.querySelector(".filters input[name=group]").click();
const after = [shown("figure [data-cell]"), shown("tr[data-cell]")];
const table = document.querySelector("#table + .scroll table");
const head = Array.from(table.tHead.rows[0].cells).findIndex((h) => h.textContent === "upright");
const values = () => Array.from(table.tBodies[0].rows).map((r) => r.cells[head].dataset.sort);
table.tHead.rows[0].cells[head].querySelector("button").click();
const rising = values();
table.tHead.rows[0].cells[head].querySelector("button").click();
document.title = JSON.stringify({ before, after, rising, falling: values(),
  status: document.querySelector(".filters output").textContent,
  sort: table.tHead.rows[0].cells[head].getAttribute("aria-sort"),
  titles: document.querySelectorAll("figure [data-run] > title").length });
"""


def visit(page: Path, scratch: Path) -> tuple[str, str, str]:
    """Open a page; return its elements after scripts ran, the browser's log and its net log."""
    net = scratch / "net.json"
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-extensions", f"--user-data-dir={scratch / 'profile'}", f"--log-net-log={net}",
        "--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr, net.read_text() if net.exists() else ""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with a hostile data set, reason and encoding, and one cell without a run."""
    root = tmp_path_factory.mktemp("browser")
    shape = Shape(
        datasets=("<img src=http://example.org/x onerror=\"document.title='pwned'\">",),
        groups=("C1", "C4"),
        encodings=("absolute", "</script><script>document.title='pwned'</script>"),
        depths=(1,),
        epochs=2,
        failing=("gsa-C1-absolute-d1-stem",),
        reason="<svg onload=\"document.title='pwned'\">",
    )
    build(Settings("digits"), write_study(root, shape), root / "reports")
    return root / "reports"


def test_a_hostile_page_is_silent(reports: Path, tmp_path: Path) -> None:
    elements, log, net = visit(reports / "index.html", tmp_path)
    assert "<title>digits: report</title>" in elements
    assert "pwned'</title>" not in elements
    assert elements.count("<button") > 10  # the page's own script ran under its policy
    assert "CONSOLE" not in log
    assert "example.org" not in re.sub(r"file://\S+", "", net)


def test_a_script_of_another_would_be_noticed(reports: Path, tmp_path: Path) -> None:
    page = (reports / "index.html").read_text()
    copy = tmp_path / "foreign.html"
    copy.write_text(page.replace("</body>", "<script>document.title='pwned'</script></body>"))
    elements, log, _ = visit(copy, tmp_path)
    assert "<title>digits: report</title>" in elements
    assert "CONSOLE" in log


def test_filters_and_sorting_work(reports: Path, tmp_path: Path) -> None:
    page = (reports / "index.html").read_text()
    # The policy allows one more script: the test's own.
    page = page.replace("script-src ", f"script-src {source_hash(DRIVER)} ", 1)
    page = page.replace("</body>", f"<script>{DRIVER}</script></body>")
    copy = tmp_path / "driven.html"
    copy.write_text(page)
    elements, log, _ = visit(copy, tmp_path)
    assert "CONSOLE" not in log
    found = re.search(r"<title>(\{.*?\})</title>", elements)
    assert found, elements[:500]
    seen = json.loads(found[1].replace("&amp;", "&"))
    assert seen["status"] == "2 of 4 cells shown"
    assert seen["before"][0] > seen["after"][0] > 0
    assert seen["before"][1] > seen["after"][1] > 0
    numbers = [float(value) for value in seen["rising"] if value]
    assert numbers == sorted(numbers)
    assert seen["rising"][-1] == seen["falling"][-1] == ""  # a cell without a run stays last
    assert seen["sort"] == "descending"
    assert seen["titles"] >= 9

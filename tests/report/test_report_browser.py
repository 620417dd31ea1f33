"""The page in a real browser: silent, filtered, sorted, pointed at, by keyboard, in both themes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

CELLS = 8


@pytest.fixture
def browser(chromium: Browser, hostile: Path) -> Browser:
    """The page, just opened on a desktop."""
    chromium.said.clear()
    chromium.asked.clear()
    chromium.open(hostile / "reports" / "index.html")
    return chromium


def shown(browser: Browser, selector: str) -> int:
    return browser.value(f"document.querySelectorAll('{selector}').length")


def point(browser: Browser, selector: str) -> tuple[float, float]:
    """Bring an element into view and return its centre."""
    x, y = browser.value(f"""(() => {{
      const element = document.querySelector('{selector}');
      element.scrollIntoView({{ block: "center" }});
      const box = element.getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2];
    }})()""")
    return x, y


def test_a_hostile_page_is_silent(browser: Browser) -> None:
    page = browser.value("location.href")
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
    assert browser.value("document.title") == "digits: report"
    assert shown(browser, "th button") > 10, "the page's own script ran under its policy"
    assert browser.said == []
    assert browser.dialogs == []
    assert [address for address in browser.asked if not address.startswith("data:")] == [page]


def test_a_script_of_another_would_be_noticed(
    browser: Browser, hostile: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "foreign.html"
    foreign = "<img src=http://127.0.0.1:9/x><script>document.title='pwned'</script></body>"
    copy.write_text((hostile / "reports" / "index.html").read_text().replace("</body>", foreign))
    browser.open(copy)
    assert browser.value("document.title") == "digits: report"
    assert any("Content Security Policy" in line for line in browser.said)
    assert len(browser.said) == 2, "the script and the picture"


def test_filters_act_on_figures_and_tables(browser: Browser) -> None:
    marks, rows = "figure [data-cell]:not(.off)", "tr[data-cell]:not(.off)"
    means = "[data-figure=turn] [data-cells]:not(.off)"
    before = [shown(browser, selector) for selector in (marks, rows, means)]
    state = "document.querySelector('.filters output').textContent"
    assert browser.value(state) == f"{CELLS} of {CELLS} cells shown"
    browser.value("document.querySelector('.filters').open = true")
    browser.mouse("press", *point(browser, ".filters input[name=depth]"))
    assert browser.value(state) == f"{CELLS // 2} of {CELLS} cells shown"
    half = [shown(browser, selector) for selector in (marks, rows, means)]
    assert 0 < half[0] < before[0] and 0 < half[1] < before[1]
    assert half[2] == before[2], "a mean over depths stays while one of them does"
    browser.mouse("press", *point(browser, ".filters input[name=group]"))
    assert 0 < shown(browser, means) < before[2]
    browser.mouse("press", *point(browser, ".filters button"))
    assert [shown(browser, selector) for selector in (marks, rows, means)] == before


def test_tables_sort_by_number_and_say_so(browser: Browser) -> None:
    head = "Array.from(document.querySelectorAll('#table ~ .scroll th'))"
    column = browser.value(f"{head}.findIndex((th) => th.textContent === 'upright')")
    values = (
        "Array.from(document.querySelectorAll('#table ~ .scroll tbody tr'), "
        f"(row) => row.cells[{column}].dataset.sort)"
    )
    button = f"#table ~ .scroll th:nth-child({column + 1}) button"
    browser.mouse("press", *point(browser, button))
    rising = browser.value(values)
    browser.mouse("press", *point(browser, button))
    falling = browser.value(values)
    numbers = [float(value) for value in rising if value]
    assert numbers == sorted(numbers) and len(numbers) == CELLS - 1
    assert rising[-1] == falling[-1] == "", "a cell without a run stays last"
    assert [float(value) for value in falling if value] == numbers[::-1]
    assert browser.value(f"{head}[{column}].getAttribute('aria-sort')") == "descending"


def test_a_mark_shows_the_exact_row_behind_it(browser: Browser, hostile: Path) -> None:
    seed = "[data-figure=tradeoff] [data-run]"
    # Single runs lie below the mark of their cell: move that away to point at one.
    browser.value("document.querySelectorAll('[data-figure=tradeoff] [data-cell]:not([data-run])')"
                  ".forEach((mark) => mark.classList.add('off'))")  # fmt: skip
    browser.mouse("move", *point(browser, seed))
    said = browser.value("document.querySelector('#row dl').innerText").split("\n")
    row = dict(zip(said[::2], said[1::2], strict=True))
    (path,) = (hostile / "data" / "confirm").glob("*/runs.parquet")
    runs = pd.read_parquet(path)
    same = runs[(runs["cell"] == row["cell"]) & (runs["seed"] == int(row["seed"]))].iloc[0]
    for column in ("test_accuracy", "invariance_error", "learning_rate", "seconds"):
        assert float(row[column]) == same[column], column
    assert row["configuration"] == same["configuration"]
    browser.mouse("move", 5, 5)
    assert browser.value("document.getElementById('row').hidden")


def test_the_keyboard_reaches_everything(browser: Browser) -> None:
    browser.key("Tab")
    assert browser.value("document.activeElement.className") == "skip"
    browser.key("Enter")
    assert browser.value("document.activeElement.id") == "content"
    browser.value("document.querySelector('[data-figure=cost]').focus()")
    words = "document.querySelector('#row p').textContent"
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        browser.key(key)
        seen.append(browser.value(words))
    assert seen[0] == seen[2] != seen[1]
    browser.key("Enter")
    assert browser.value("document.activeElement.id") == "row"
    browser.key("Tab")
    browser.key("Tab")
    assert browser.value("document.activeElement.closest('.runs') !== null")
    browser.key("Enter")
    assert browser.value("document.querySelector('#row code').textContent").endswith("-seed101")
    browser.key("Escape")
    assert browser.value("document.activeElement.dataset.figure") == "cost"


@pytest.mark.sampled(3)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 820, 390])
def test_nothing_is_cut_off_and_everything_legible(
    browser: Browser, hostile: Path, width: int, scheme: str
) -> None:
    browser.open(hostile / "reports" / "index.html", width, 900, scheme)
    assert browser.value("document.documentElement.scrollWidth - innerWidth") <= 0
    assert browser.value(FAINT) == []


# Text whose contrast with what is behind it is below 4.5 (WCAG 2, level AA).
FAINT = """(() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[0-9.]+/g).map(Number).map((value) => value / 255)
      .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    while (element && getComputedStyle(element).backgroundColor === "rgba(0, 0, 0, 0)")
      element = element.parentElement;
    return element ? getComputedStyle(element).backgroundColor : "rgb(255, 255, 255)";
  };
  const texts = document.querySelectorAll("h1,h2,h3,p,a,td,th,dt,dd,li,caption,code,legend,label");
  return Array.from(texts).filter((element) => {
    if (!element.checkVisibility()) return false;
    const [a, b] = [getComputedStyle(element).color, behind(element)].map(light);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
  }).map((element) => element.outerHTML.slice(0, 80));
})()"""

STRUCTURE = """(() => {
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const ids = all("[id]").map((element) => element.id);
  const levels = all("h1,h2,h3,h4").map((heading) => Number(heading.tagName[1]));
  return {
    language: document.documentElement.lang,
    landmarks: ["header", "nav", "main", "footer"].map((name) => all("body > " + name).length),
    twice: ids.filter((id, place) => ids.indexOf(id) !== place),
    first: levels.filter((level) => level === 1).length,
    jumps: levels.filter((level, place) => place && level > levels[place - 1] + 1).length,
    pictures: all("svg").filter((svg) => !svg.getAttribute("aria-label")).length,
    headings: all("table").filter((table) => !table.caption || !table.tHead).length,
    lost: all("a[href^='#']").filter((a) => !document.getElementById(a.hash.slice(1))).length,
    labelled: all("[aria-labelledby]").filter(
      (one) => !document.getElementById(one.getAttribute("aria-labelledby"))).length,
  };
})()"""


def test_a_screen_reader_finds_its_way(browser: Browser) -> None:
    assert browser.value(STRUCTURE) == {
        "language": "en", "landmarks": [1, 1, 1, 1], "twice": [], "first": 1, "jumps": 0,
        "pictures": 0, "headings": 0, "lost": 0, "labelled": 0,
    }  # fmt: skip
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "link", "checkbox", "img")
    nameless = [
        node for node in nodes
        if not node.get("ignored") and node["role"]["value"] in roles
        and not node.get("name", {}).get("value")
    ]  # fmt: skip
    assert nameless == []


def test_it_prints_without_what_paper_cannot_do(browser: Browser) -> None:
    browser.scheme("dark")
    assert browser.printed().startswith(b"%PDF")
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        for selector in ("nav", ".filters", "#row", ".hint"):
            display = f"getComputedStyle(document.querySelector('{selector}')).display"
            assert browser.value(display) == "none", selector
        # A dark theme does not reach the paper.
        assert browser.value("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert browser.value(FAINT) == []
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")

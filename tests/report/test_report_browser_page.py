"""What the page does in a real browser: parts, themes, address, card, and the width of a phone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from sampling import examples

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

# Every drawing with a mark: choose its first mark and return the words of the card.
CARDS = """(() => {
  for (const part of document.querySelectorAll("details.part")) part.open = true;
  const found = {};
  for (const drawing of document.querySelectorAll(".drawing")) {
    if (drawing.tabIndex < 0) continue;
    drawing.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    const card = document.getElementById("row");
    found[drawing.dataset.figure] = card.hidden ? "" : card.innerText;
    document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
  }
  return found;
})()"""


@pytest.fixture
def browser(chromium: Browser, hostile: Path) -> Browser:
    """The page, just opened on a wide desktop."""
    chromium.open(hostile / "reports" / "index.html", 1440)
    return chromium


@pytest.mark.parametrize("width", [1440, 820, 390])
def test_a_heading_that_the_contents_link_to_is_in_sight(
    browser: Browser, hostile: Path, width: int
) -> None:
    browser.open(hostile / "reports" / "index.html", width)
    browser.value("document.querySelector('.filters').open = true")
    for aim in ("tradeoff", "calibration", "provenance"):
        browser.value(f"location.hash = '#{aim}'")
        browser.value("new Promise((done) => setTimeout(done, 50))")
        seen = browser.value(f"""(() => {{
          const heading = document.getElementById("{aim}");
          const {{ left, top, width, height }} = heading.getBoundingClientRect();
          const at = document.elementFromPoint(left + Math.min(20, width / 2), top + height / 2);
          return heading.contains(at) || at === heading;
        }})()""")
        assert seen, f"#{aim} at {width} px"


@pytest.mark.parametrize("width", [1440, 820, 390])
def test_captions_of_tables_are_as_wide_as_their_box(
    browser: Browser, hostile: Path, width: int
) -> None:
    browser.open(hostile / "reports" / "index.html", width)
    wide = browser.value("""(() => {
      for (const part of document.querySelectorAll("details")) part.open = true;
      return Array.from(document.querySelectorAll(".scroll")).filter((box) =>
        box.querySelector("caption").getBoundingClientRect().width > box.clientWidth + 1
      ).map((box) => box.querySelector("caption").textContent.slice(0, 60));
    })()""")
    assert wide == []


def test_the_contents_end_above_the_footer(browser: Browser) -> None:
    browser.value("scrollTo(0, document.documentElement.scrollHeight)")
    end, footer = browser.value("""[
      document.querySelector(".side").getBoundingClientRect().bottom,
      document.querySelector("footer").getBoundingClientRect().top,
    ]""")
    assert end <= footer


def test_buttons_of_the_card_can_be_pressed(browser: Browser) -> None:
    browser.value("""document.querySelector('[data-figure=tradeoff]').dispatchEvent(
      new KeyboardEvent("keydown", { key: "ArrowRight" }))""")
    heights = browser.value(
        "Array.from(document.querySelectorAll('#row button'), (b) => b.offsetHeight)"
    )
    assert len(heights) > 1 and min(heights) >= 24


def test_every_figure_that_takes_focus_has_marks_with_numbers(browser: Browser) -> None:
    cards = browser.value(CARDS)
    assert len(cards) > examples(10, 12)
    # Those that scroll on a phone take focus, and need no mark.
    without = {name for name, text in cards.items() if not any(c.isdigit() for c in text)}
    assert without <= {"features", "encodings", "mistakes"}


def test_cost_is_in_sight_in_the_table_of_cells(browser: Browser) -> None:
    table = "document.querySelector('#table ~ .scroll')"
    heads = browser.value(f"Array.from({table}.querySelectorAll('th'), (th) => th.textContent)")
    assert heads[2:5] == ["parameters", "training FLOPs", "seconds"]
    assert browser.value(f"{table}.clientWidth") <= 1120
    assert browser.value(
        f"{table}.querySelectorAll('th')[4].getBoundingClientRect().right"
        f" <= {table}.getBoundingClientRect().right"
    )


def test_on_a_phone_every_figure_fits_or_scrolls(browser: Browser, hostile: Path) -> None:
    browser.open(hostile / "reports" / "index.html", 390)
    cut = browser.value("""(() => {
      for (const part of document.querySelectorAll("details.part")) part.open = true;
      return Array.from(document.querySelectorAll(".drawing:not(.wide)")).filter((drawing) => {
        const shown = Array.from(drawing.querySelectorAll("svg")).filter((s) => s.clientWidth);
        return shown.length !== 1 || !shown[0].classList.contains("narrow")
          || shown[0].getBoundingClientRect().right > innerWidth;
      }).map((drawing) => drawing.dataset.figure);
    })()""")
    assert cut == []
    assert browser.value("document.querySelectorAll('.drawing:not(.wide)').length") > 8


def test_the_address_keeps_what_is_filtered_and_chosen(browser: Browser, hostile: Path) -> None:
    browser.value("""(() => {
      const box = document.querySelector(".filters input[name=depth]");
      box.checked = false;
      box.dispatchEvent(new Event("change", { bubbles: true }));
      document.querySelector("[data-figure=tradeoff]").dispatchEvent(
        new KeyboardEvent("keydown", { key: "ArrowRight" }));
    })()""")
    address = browser.value("location.search")
    assert "without-depth=0" in address and "cells=" in address
    lit = "document.querySelectorAll('.drawing.chosen').length"
    assert browser.value(lit) > 5, "a chosen cell is lit in all figures"
    assert browser.value("document.querySelectorAll('tr.same').length") >= 1
    said = browser.value(
        "getComputedStyle(document.querySelector('figcaption'), '::before').content"
    )
    assert "whole study" in said
    browser.call("Page.navigate", url=(hostile / "reports/index.html").as_uri() + address)
    while browser.value("location.search + document.readyState") != address + "complete":
        pass
    assert not browser.value("document.querySelector('.filters input[name=depth]').checked")
    assert browser.value(lit) > 5


@pytest.mark.parametrize(("theme", "scheme"), [("dark", "light"), ("light", "dark")])
def test_a_chosen_theme_wins_over_the_system(
    browser: Browser, hostile: Path, theme: str, scheme: str
) -> None:
    browser.open(hostile / "reports" / "index.html", 1440, 900, scheme)
    browser.value(f"document.querySelector('.theme [value={theme}]').click()")
    paper = browser.value("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(15, 19, 24)" if theme == "dark" else "rgb(255, 255, 255)")
    browser.value("document.querySelector('.theme [value=auto]').click()")
    assert browser.value("getComputedStyle(document.body).backgroundColor") != paper


def test_text_of_figures_is_found(browser: Browser) -> None:
    assert browser.value("document.querySelectorAll('.drawing svg text').length") > 100
    assert browser.value("window.find('float32 rounding')")


LIT = """[document.querySelectorAll(".drawing.chosen").length,
  document.querySelectorAll("tr.same").length, new URLSearchParams(location.search).get("cells")]"""
CHOOSE = """document.querySelector("[data-figure=tradeoff]").dispatchEvent(
  new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }))"""
# Of the axis depth, the value of the chosen cell or the other one.
TICK = """((own) => {
  const cell = Number(new URLSearchParams(location.search).get("cells").split(" ")[0]);
  const boxes = Array.from(document.querySelectorAll("input[name=depth]"));
  boxes.find((box) => (Number(box.value) === study.axes[cell].depth) === own).click();
})"""


def before(browser: Browser, selector: str, which: str = "::before") -> str:
    """Return what the style sheet writes into an element."""
    return browser.value(
        f"getComputedStyle(document.querySelector('{selector}'), '{which}').content"
    )


def test_a_chosen_cell_stays_lit_under_a_filter_that_leaves_it(browser: Browser) -> None:
    browser.value(CHOOSE)
    lit = browser.value(LIT)
    assert lit[0] > 12 and lit[1] > 1 and lit[2] is not None
    browser.value(f"{TICK}(false)")
    assert browser.value(LIT) == lit
    browser.value("document.title = 'left'")
    browser.call("Page.reload")
    while browser.value("document.title + document.readyState") != "digits: reportcomplete":
        time.sleep(0.02)
    assert browser.value(LIT) == lit, "filter and cell are in the address"
    assert browser.value("document.body.classList.contains('filtered')")
    browser.value(f"{TICK}(true)")
    assert browser.value(LIT) == [0, 0, None], "it is hidden, so nothing is chosen"


def test_what_does_not_follow_the_filter_says_so(browser: Browser) -> None:
    places = [("figcaption", "::before"), ("#table ~ .scroll caption", "::before"),
              ("header", "::after")]  # fmt: skip
    assert [before(browser, *place) for place in places] == ["none"] * 3
    browser.value("document.querySelector('input[name=depth]').click()")
    assert all("those of the whole study" in before(browser, *place) for place in places)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("axis", ["depth", "group"])
def test_a_filter_that_leaves_nothing_says_so(browser: Browser, axis: str) -> None:
    browser.value(f"document.querySelectorAll('input[name={axis}]').forEach((box) => box.click())")
    assert "no cell is left" in browser.value("document.querySelector('.filters output').innerText")
    assert "no cell is left" in before(browser, "figcaption")
    assert browser.value("document.querySelectorAll('tr[data-cell]:not(.off)').length") == 0
    browser.value("document.querySelector('.filters button').click()")
    assert before(browser, "figcaption") == "none"

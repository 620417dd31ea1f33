"""What figures say: numbers in words, what is exact, and the axes of panels."""

import pandas as pd
import pytest

from pipeline.report.plotting import panels
from pipeline.report.text import formatting, names


@pytest.mark.parametrize(
    ("group", "positional", "tokens", "quarter", "mirror"),
    [
        ("C4", "relative", "stem", True, False), ("D4", "relative", "stem", True, True),
        ("C8", "absolute", "stem", True, False), ("D2", "absolute", "stem", False, False),
        ("C1", "none", "stem", False, False), ("C1", "none", "pixel", True, True),
        ("E4", "relative", "stem", False, False), ("C6", "relative", "stem", False, False),
    ],
)  # fmt: skip
def test_what_is_exact_by_construction(
    group: str, positional: str, tokens: str, quarter: bool, mirror: bool
) -> None:
    assert names.is_exact(group, positional, tokens, "quarter_turn") is quarter
    assert names.is_exact(group, positional, tokens, "mirror") is mirror


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (2.34e-7, "2.3e-7"),
        (1e-5, "1e-5"),
        (0.98, "0.98"),
        (12, "12"),
        (0.0996, "0.100"),
        (0.0234, "0.023"),
    ],
)
def test_small_numbers_in_words(value: float, text: str) -> None:
    assert formatting.small(value) == text


@pytest.mark.parametrize(("value", "text"), [(6.09e12, "6.09T"), (147e9, "147G"), (12, "12")])
def test_amounts_in_words(value: float, text: str) -> None:
    assert formatting.amount(value) == text


def test_the_last_panel_of_every_column_has_numbers() -> None:
    tiles = [(str(number), pd.DataFrame()) for number in range(4)]
    axes = panels.tiled(tiles, 1.9, sharex=True, sharey=True)[1]
    panels.label_outer(axes, "x", "y")
    for column in zip(*axes, strict=True):
        last = [axis for axis in column if axis.get_visible()][-1]
        assert any(tick.label1.get_visible() for tick in last.xaxis.get_major_ticks())

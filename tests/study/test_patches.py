"""How many pixels become one token, where a study says how many tokens it wants."""

from __future__ import annotations

import pytest
from fake_study import FakeData, study

from pipeline.search.space import configuration, transferred
from pipeline.study.cells import cells
from pipeline.study.patches import own_patch_size, token_grid
from pipeline.study.sweep_schema import Architecture


def architecture(**keys: object) -> Architecture:
    return Architecture(form="framewise", heads=2, window=None, encoding="auto", **keys)


@pytest.mark.parametrize(
    ("tokens", "side", "most", "expected"),
    [
        ("stem", 8, 16, 2),  # 4x4 tokens
        ("stem", 16, 16, 4),
        ("stem", 16, 64, 2),
        ("stem", 9, 25, 2),  # 5x5: odd sides round up
        ("stem", 9, 24, 4),
        ("stem", 400, 16, 16),  # no stem leaves as few
        ("patch", 8, 64, 1),
        ("patch", 8, 16, 2),
        ("patch", 9, 9, 3),  # 2 does not tile it symmetrically
        ("patch", 7, 1, 7),
        ("pixel", 8, 16, None),
        ("trunk", 8, 1, None),
    ],
)
def test_the_smallest_patch_with_at_most_so_many_tokens(
    tokens: str, side: int, most: int, expected: int | None
) -> None:
    asked = architecture(max_tokens=most)
    assert own_patch_size(asked, tokens, side) == expected
    if expected is not None and side < 100:
        assert token_grid(side, tokens, expected) ** 2 <= most


@pytest.mark.parametrize(
    ("tokens", "expected"), [("stem", 4), ("patch", 4), ("pixel", None), ("trunk", None)]
)
def test_without_a_bound_it_is_what_the_study_says(tokens: str, expected: int | None) -> None:
    assert own_patch_size(architecture(patch_size=4), tokens, 16) == expected
    assert own_patch_size(architecture(), tokens, 16) is None


def test_data_sets_of_two_sizes_have_as_many_tokens() -> None:
    section = architecture(max_tokens=16).model_dump()
    params = study(architecture=section, match={"of": "parameters", "at": 20000}, search_space={
        "learning_rate": {"low": 0.001, "high": 0.01}})  # fmt: skip
    cell = cells(params)[0]
    small, large = FakeData(image_size=8), FakeData(image_size=16)
    configs = [configuration(cell, {}, params, data) for data in (small, large)]
    assert [config["patch_size"] for config in configs] == [2, 4]
    # A search that is used for another data set: its patches and width follow the images.
    moved = transferred(configs[0], cell, params, {"image_shape": [1, 16, 16], "classes": 10})
    assert moved["patch_size"] == 4
    assert moved["channels"] < configs[0]["channels"]

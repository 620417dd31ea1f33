"""Designs known before the first trial: within the space, spread over it, no point twice."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_study import study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from pipeline.common.errors import UserError
from pipeline.search.designs import at, grid_point, levels, sobol_point
from pipeline.search.space import distributions
from pipeline.study.cells import cells
from pipeline.study.params import load_params
from pipeline.sweep.proposals import Proposer

SPACE = {
    "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
    "dropout": {"low": 0.0, "high": 0.3, "step": 0.1},
    "channels": {"choices": [8, 12, 16]},
    "heads": {"low": 1, "high": 4},
}
FINITE = {name: SPACE[name] for name in ("dropout", "channels", "heads")}


def space(of: dict[str, Any]) -> dict[str, BaseDistribution]:
    params = study(search_space=of)
    return distributions(params.sweep.search_space, cells(params)[0])


def contains(one: BaseDistribution, value: Any) -> bool:
    """Whether a distribution can give a value."""
    if isinstance(one, CategoricalDistribution):
        return value in one.choices
    return one.low <= value <= one.high  # type: ignore[attr-defined]


def test_a_sobol_sequence_is_within_the_space_and_even() -> None:
    points = [sobol_point(space(SPACE), 7, number) for number in range(64)]
    for name, one in space(SPACE).items():
        assert all(contains(one, point[name]) for point in points), name
    # Of a sequence of 64 points each 16th of an interval has its share; random points do not.
    places = [int(8 * math.log10(point["learning_rate"] / 0.001)) for point in points]
    assert [places.count(place) for place in range(16)] == [4] * 16


def test_a_grid_is_complete_before_any_point_comes_again() -> None:
    points = [tuple(grid_point(space(FINITE), 5, number).values()) for number in range(96)]
    assert len(set(points[:48])) == 48
    assert points[48:] == points[:48]


def test_a_small_part_of_a_grid_has_every_value_of_a_hyperparameter() -> None:
    points = [grid_point(space(FINITE), 5, number) for number in range(12)]
    for name, one in space(FINITE).items():
        assert {point[name] for point in points} == set(levels(one)), name


@pytest.mark.parametrize("sampler", ["qmc", "grid"])
def test_designs_follow_seed_cell_and_number_alone(sampler: str) -> None:
    def propose(seed: int, cell: str) -> list[dict[str, Any]]:
        proposer = Proposer(sampler, seed, cell, space(FINITE))
        assert proposer.needed(30) == 0, "it waits for results it does not look at"
        return [proposer.propose(number, []) for number in reversed(range(8))]

    assert propose(0, "one") == propose(0, "one")
    assert propose(0, "one") != propose(1, "one")
    assert propose(0, "one") != propose(0, "other")


@pytest.mark.parametrize("u", [0.0, 0.999999999])
def test_the_ends_of_an_interval_are_within_it(u: float) -> None:
    assert 0.001 <= at(FloatDistribution(0.001, 0.1, log=True), u) <= 0.1
    assert 1 <= at(IntDistribution(1, 9, log=True), u) <= 9


def test_an_interval_without_a_step_has_no_grid() -> None:
    with pytest.raises(ValueError, match="choices or a step"):
        levels(FloatDistribution(0, 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "search_space.learning_rate: no grid of an interval without a step"),
        ({"trials_per_cell": 3}, "got 3, but the grid of sweep.search_space has 2 points"),
    ],
)
def test_a_study_that_has_no_such_grid_is_refused(
    root: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    text = yaml.safe_load((root / "studies/digits.yaml").read_text())
    text["sweep"].update(sampler="grid", **changes)
    if changes:
        text["sweep"]["search_space"] = {"feedforward_ratio": {"choices": [1, 2]}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(text))
    with pytest.raises(UserError, match=message):
        load_params(tmp_path / "params.yaml")

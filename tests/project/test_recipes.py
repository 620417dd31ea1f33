"""Recipes are compared on validation images, each once, from where they were; failures are rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_study import small_data

from benchmarks import recipes
from gsa_core import count_flops
from pipeline.common.errors import UserError


class Crash(BaseException):
    """The end of the process."""


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen images of 8x8, prepared with seed 1; small networks."""
    monkeypatch.chdir(tmp_path)
    small = {**recipes.BASELINE, "channels": 4, "image_size": 8, "batch_size": 8}
    monkeypatch.setattr(recipes, "BASELINE", small)
    data = small_data()
    data = replace(data, card={**data.card, "seed": 1})

    def load(folder: Path, splits: tuple[str, ...]) -> Any:
        assert "test" not in " ".join(splits)
        return data

    monkeypatch.setattr(recipes, "load_dataset", load)


def rows(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.setattr("sys.argv", ["recipes.py", *arguments, "--epochs", "2"])
    threads = torch.get_num_threads()
    try:
        recipes.main()
    finally:
        torch.set_num_threads(threads)
    return recipes.rows_of(recipes.LOG)


@pytest.mark.parametrize("name", ["baseline", "average 0.995", "cosine"])
def test_a_recipe_has_a_row_and_is_not_repeated(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    [row] = rows(name, monkeypatch=monkeypatch)
    assert (row["recipe"], row["group"], row["epochs"], row["seed"]) == (name, "C4", "2", "1")
    assert json.loads(row["changes"]) == recipes.RECIPES[name]
    assert 0 <= float(row["last_accuracy"]) <= float(row["best_accuracy"]) <= 1
    assert float(row["last_loss"]) > 0 and row["failure"] == ""
    monkeypatch.setattr(recipes, "train", None)
    assert len(rows(name, monkeypatch=monkeypatch)) == 1


def test_another_seed_and_another_recipe_are_rows_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = rows("baseline", "step", "--seeds", "1", "2", monkeypatch=monkeypatch)
    assert [(row["recipe"], row["seed"]) for row in found] == [
        ("baseline", "1"), ("step", "1"), ("baseline", "2"), ("step", "2")
    ]  # fmt: skip


def test_an_interrupted_recipe_goes_on_with_the_same_row(monkeypatch: pytest.MonkeyPatch) -> None:
    [whole] = rows("baseline", monkeypatch=monkeypatch)
    recipes.LOG.unlink()
    trained = recipes.train

    def cut(*arguments: Any, on_state: Any, **options: Any) -> Any:
        def crash(snapshot: Any) -> None:
            on_state(snapshot)
            raise Crash

        return trained(*arguments, on_state=crash, **options)

    with monkeypatch.context() as patched, pytest.raises(Crash):
        patched.setattr(recipes, "train", cut)
        rows("baseline", monkeypatch=patched)
    assert list(Path(".state/recipes").iterdir())
    [again] = rows("baseline", monkeypatch=monkeypatch)
    assert {**again, "cpu_seconds": ""} == {**whole, "cpu_seconds": ""}
    assert not list(Path(".state/recipes").iterdir())


def test_a_failure_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recipes.RECIPES, "broken", {"channels": 0})
    [row] = rows("broken", monkeypatch=monkeypatch)
    assert row["failure"].startswith("ValueError: channels: got 0") and row["last_accuracy"] == ""


def test_data_whose_test_was_read_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = small_data()
    read = replace(data, card={**data.card, "seed": 0})
    monkeypatch.setattr(recipes, "load_dataset", lambda *_: read)
    with pytest.raises(UserError, match=r"was prepared with seed 0.*set prepare.seed to another"):
        rows("baseline", monkeypatch=monkeypatch)


@pytest.mark.parametrize("flops", [20e6, 353e6])
def test_an_ordinary_network_has_as_many_flops(flops: int) -> None:
    from benchmarks import staged

    found = count_flops(staged.ordinary(staged.equal_width(int(flops))), staged.SHAPE)
    assert abs(found - flops) < 0.03 * flops

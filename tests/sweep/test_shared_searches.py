"""Cells that are confirmed with the search of other cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fake_study
import pandas as pd
import pytest
from fake_study import FakeData, fake_confirmation, fake_trial

from pipeline.confirm import stage as confirm
from pipeline.confirm.plan import best_trial
from pipeline.execution.engine import InProcess
from pipeline.results import records, schemas
from pipeline.search.space import configuration, transferred
from pipeline.study.cells import Cell
from pipeline.sweep import stage as sweep

pytestmark = pytest.mark.usefixtures("fake_folder")


RATE = {"learning_rate": {"low": 0.001, "high": 0.01}}


def two_data_sets(**section: Any) -> Any:
    params = fake_study.study(search_space=RATE, trials_per_cell=2, **section)
    prepare = params.prepare.model_copy(update={"datasets": ("digits", "mnist")})
    for name, side in (("digits", 8), ("mnist", 12)):
        folder = Path("data/prepare") / name
        folder.mkdir(parents=True, exist_ok=True)
        card = {**fake_study.CARD, "name": name, "image_shape": [1, side, side], "classes": 10}
        (folder / "card.json").write_text(json.dumps(card))
    return params.model_copy(update={"prepare": prepare})


def test_a_data_set_is_confirmed_with_the_search_of_another() -> None:
    match = {"of": "flops", "at": 200_000}
    params = two_data_sets(match=match, tuned_on={"mnist": "digits"})
    sweep.sweep(params, InProcess(), fake_trial)
    confirm.confirm(params, InProcess(), fake_confirmation)
    trials = records.read("data/sweep/mnist/trials.parquet", schemas.TRIALS)
    assert trials.empty
    tables = {
        name: records.read(f"data/confirm/{name}/runs.parquet", schemas.RUNS).set_index(
            ["cell", "seed"]
        )
        for name in ("digits", "mnist")
    }
    mine, other = tables["digits"], tables["mnist"]
    assert set(mine["tuned_on"]) == set(other["tuned_on"]) == {"digits"}
    for name in ("trial", "learning_rate", "tuned_validation_accuracy", "tuned_cell"):
        assert (mine[name] == other[name]).all()
    assert (mine["tuned_cell"] == mine.index.get_level_values("cell")).all()
    assert (mine["channels"] > other["channels"]).all(), "larger images, equal FLOPs"
    assert {json.loads(text)["image_size"] for text in other["configuration"]} == {12}


def test_fewer_images_are_confirmed_with_the_search_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep, "check_training_images", lambda *arguments: None)
    section = {"training_images": [None, 100], "tune_images": "largest", "group": ["C1"]}
    params = fake_study.study(**section)
    sweep.sweep(params, InProcess(), fake_trial)
    confirm.confirm(params, InProcess(), fake_confirmation)
    trials = records.read("data/sweep/digits/trials.parquet", schemas.TRIALS)
    assert trials["training_images"].isna().all()
    runs = records.read("data/confirm/digits/runs.parquet", schemas.RUNS)
    assert set(runs["cell"]) == {"gsa-C1-relative-d1-stem", "gsa-C1-relative-d1-stem-n100"}
    assert set(runs["tuned_cell"]) == {"gsa-C1-relative-d1-stem"}
    few = runs[runs["training_images"] == 100]
    assert [json.loads(text)["training_images"] for text in few["configuration"]] == [100, 100]
    assert len(runs.drop_duplicates("learning_rate")) == 1


def test_cells_are_confirmed_with_the_one_search_and_their_own_widths() -> None:
    """A convolutional network lacks what the search of attention has."""
    params = fake_study.study(
        model=["staged", "staged_gcnn"], tokens=["trunk"], depth=[2], group=["C4", "C1"],
        tuned_as={"model": "staged", "positional": "relative", "depth": 2, "group": "C4"},
        match={"of": "parameters", "at": 9000},
        search_space={"learning_rate": {"choices": [0.004]}, "dropout": {"choices": [0.1]}},
        trials_per_cell=1, sampler="random",
    )  # fmt: skip
    sweep.sweep(params, InProcess(), fake_trial)
    confirm.confirm(params, InProcess(), fake_confirmation)
    trials = records.read("data/sweep/digits/trials.parquet", schemas.TRIALS)
    assert trials["cell"].tolist() == ["staged-C4-relative-d2-trunk"]
    runs = records.read("data/confirm/digits/runs.parquet", schemas.RUNS)
    assert len(runs) == 4 * 2
    assert set(runs["tuned_cell"]) == {"staged-C4-relative-d2-trunk"}
    assert set(runs["learning_rate"]) == {0.004}
    for text in runs["configuration"]:
        config = json.loads(text)
        staged = config["model"] == "staged"
        assert (config["dropout"], config["heads"]) == ((0.1, 4) if staged else (None, None))
    widths = runs.groupby(["model", "group"])["channels"].first()
    assert widths["staged_gcnn", "C1"] > widths["staged_gcnn", "C4"] > widths["staged", "C4"]


def test_a_short_search_serves_long_runs() -> None:
    params = fake_study.study(search_epochs=1, epochs=3)
    sweep.sweep(params, InProcess(), fake_trial)
    confirm.confirm(params, InProcess(), fake_confirmation)
    trials = records.read("data/sweep/digits/trials.parquet", schemas.TRIALS)
    runs = records.read("data/confirm/digits/runs.parquet", schemas.RUNS)
    for table, epochs in ((trials, 1), (runs, 3)):
        assert {json.loads(text)["epochs"] for text in table["configuration"]} == {epochs}


def test_a_width_that_cannot_be_solved_is_a_failed_run() -> None:
    params = two_data_sets(match={"of": "parameters", "at": 5000}, tuned_on={"mnist": "digits"})
    card = {**fake_study.CARD, "name": "mnist", "image_shape": [1, 12, 12], "classes": 9000}
    with pytest.raises(ValueError, match="budget"):
        cell = Cell("gsa", "C1", "relative", 1, "stem")
        config = configuration(cell, {"learning_rate": 0.003}, params, FakeData())
        transferred(config, cell, params, card)
    sweep.sweep(params, InProcess(), fake_trial)
    path = Path("data/prepare/mnist/card.json")
    path.write_text(json.dumps(card))
    confirm.confirm(params, InProcess(), fake_confirmation)
    runs = records.read("data/confirm/mnist/runs.parquet", schemas.RUNS)
    assert set(runs["status"]) == {"failed"}
    assert runs["reason"].str.contains("of gsa-.* on digits: budget").all()


@pytest.mark.parametrize(
    ("objective", "best"),
    [("accuracy", 1), ("macro_f1", 2), ("negative_log_likelihood", 0)],
)
def test_the_best_trial_is_that_of_the_first_objective(objective: str, best: int) -> None:
    table = pd.DataFrame({
        "cell": "c", "pareto": True, "trial": [0, 1, 2], "validation_loss": [0.1, 0.2, 0.3],
        "validation_accuracy": [0.5, 0.9, 0.6], "validation_macro_f1": [0.1, 0.2, 0.3],
    })  # fmt: skip
    found = best_trial(table, "c", objective)
    assert found is not None and found["trial"] == best

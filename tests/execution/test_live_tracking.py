"""Each trial and run is sent to a tracking tool once, and no result depends on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_study
import pandas as pd
import pytest
from fake_study import fake_confirmation, fake_trial, faulty_trial

from pipeline.common.errors import UserError
from pipeline.confirm import stage as confirm
from pipeline.execution.engine import InProcess
from pipeline.results import records, schemas
from pipeline.study.schema import Params
from pipeline.sweep import stage as sweep
from pipeline.tracking import registry
from pipeline.tracking.entry import Entry

TRIALS, RUNS = 12, 6


class Kept:
    """A store in memory that may fail."""

    entries: list[Entry]
    fails_at: int | None

    def __init__(self, params: Params) -> None:
        if Kept.fails_at == -1:
            raise ConnectionError("no server")

    def add(self, entry: Entry) -> None:
        if len(Kept.entries) == Kept.fails_at:
            raise ConnectionError("the server is gone\nfor good")
        Kept.entries.append(entry)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for module in (sweep, confirm):
        monkeypatch.setattr(module, "load_dataset", fake_study.fake_load)
    monkeypatch.setattr(registry, "store_class", lambda name: Kept)
    Kept.entries, Kept.fails_at = [], None
    fake_study.prepare_folder()


def study(track: str | None = "mlflow") -> Params:
    params = fake_study.study()
    resources = params.resources.model_copy(update={"track": track})
    return params.model_copy(update={"resources": resources})


def swept(params: Params, function: Any = fake_trial) -> pd.DataFrame:
    sweep.sweep(params, InProcess(), function)
    return records.read("data/sweep/digits/trials.parquet", schemas.TRIALS)


def test_every_trial_and_run_is_told_once() -> None:
    trials = swept(study())
    swept(study())  # nothing is left to run
    told = {(entry.cell, entry.number): entry for entry in Kept.entries}
    assert len(Kept.entries) == len(told) == TRIALS
    for _, row in trials.iterrows():
        entry = told[row["cell"], row["trial"]]
        assert entry.metrics["validation_accuracy"] == row["validation_accuracy"]
        assert entry.parameters["learning_rate"] == row["learning_rate"]
        assert entry.parameters["group"] == row["group"] and len(entry.curves) == row["epochs"]
    Kept.entries.clear()
    confirm.confirm(study("wandb"), InProcess(), fake_confirmation)
    assert len({entry.name for entry in Kept.entries}) == len(Kept.entries) == RUNS
    assert {entry.number for entry in Kept.entries} == {101, 102}
    assert all(entry.metrics["test_accuracy"] == 0.5 for entry in Kept.entries)


@pytest.mark.parametrize(("fails_at", "told"), [(-1, 0), (0, 0), (5, 5)])
def test_a_tool_that_fails_stops_nothing(
    fails_at: int, told: int, capsys: pytest.CaptureFixture[str]
) -> None:
    Kept.fails_at = fails_at
    assert (swept(study())["status"] == "completed").sum() == TRIALS
    assert len(Kept.entries) == told
    assert capsys.readouterr().out.count("mlflow: nothing more is sent to it: ConnectionError") == 1


def test_failed_trials_are_told_with_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_STARTS", str(Path("starts.txt").absolute()))

    def failing(task: Any, data: Any, context: Any) -> Any:
        if task.payload["configuration"]["group"] == "D4":
            return fake_trial(task, data, context)
        return faulty_trial(task, data, context)

    swept(study(), failing)
    of_c1 = [entry for entry in Kept.entries if entry.parameters.get("group") == "C1"]
    assert of_c1 and all(not entry.ok and entry.reason for entry in of_c1)
    of_c4 = [entry for entry in Kept.entries if entry.parameters.get("group") == "C4"]
    assert {entry.status for entry in of_c4} == {"diverged"}
    assert all("validation_accuracy" not in entry.metrics for entry in of_c4)


def test_results_are_the_same_with_and_without(tmp_path: Path, monkeypatch: Any) -> None:
    tracked = swept(study())
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    fake_study.prepare_folder()
    pd.testing.assert_frame_equal(tracked, swept(study(None)))
    assert len(Kept.entries) == TRIALS


def test_a_tool_that_is_not_installed_is_refused_before_the_first_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> Any:
        raise UserError(f"{name} is not installed")

    monkeypatch.setattr(registry, "store_class", missing)
    with pytest.raises(UserError, match="mlflow is not installed"):
        swept(study())
    assert not Path("starts.txt").exists()

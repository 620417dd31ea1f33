"""The sweep, on the engine in this process: equal rows whatever happens, and test never opened."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_study
import pandas as pd
import pytest

from pipeline.confirm import stage as confirm
from pipeline.execution.engine import InProcess
from pipeline.execution.run_stage import StageFailed
from pipeline.results import records, schemas
from pipeline.sweep import stage as sweep

Function = Callable[..., dict[str, Any]]


class Crash(BaseException):
    """The end of the process, as far as the code under test can tell."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder whose data set is a fake."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKE_STARTS", str(tmp_path / "starts.txt"))
    monkeypatch.setenv("GSA_QUIET", "1")
    monkeypatch.setattr(sweep, "load_dataset", fake_study.fake_load)
    monkeypatch.setattr(confirm, "load_dataset", fake_study.fake_load)
    fake_study.prepare_folder()
    return tmp_path


def run_sweep(function: Function = fake_study.fake_trial, **section: Any) -> pd.DataFrame:
    """Run the sweep and return its trials."""
    sweep.sweep(fake_study.study(**section), InProcess(), function)
    return trials()


def trials() -> pd.DataFrame:
    return records.read("data/sweep/digits/trials.parquet", schemas.TRIALS)


def starts() -> Counter[str]:
    """How often each task was executed."""
    return Counter(Path("starts.txt").read_text().splitlines())


def test_every_cell_gets_its_budget_in_turn() -> None:
    table = run_sweep()
    assert table.groupby("cell")["trial"].apply(list).tolist() == [[0, 1, 2, 3]] * 3
    assert (table["status"] == "completed").all()
    numbers = [int(line.split()[-1]) for line in Path("starts.txt").read_text().splitlines()]
    assert numbers == sorted(numbers), "a cell was ahead of the others"
    epochs = records.read("data/sweep/digits/epochs.parquet", schemas.EPOCHS)
    assert len(epochs) == 12 * 2


def test_nothing_is_left_to_do_the_second_time() -> None:
    first = run_sweep()
    again = run_sweep()
    pd.testing.assert_frame_equal(first, again)
    assert set(starts().values()) == {1}


def test_a_grown_study_keeps_its_trials() -> None:
    small = run_sweep(group=["C1"], trials_per_cell=2)
    assert len(small) == 2
    grown = run_sweep()
    assert len(grown) == 12
    assert set(starts().values()) == {1}


def test_a_changed_study_starts_anew() -> None:
    run_sweep(epochs=1)
    run_sweep(epochs=2)
    assert set(starts().values()) == {2}


def test_the_sweep_opens_neither_split_of_test() -> None:
    run_sweep()
    assert Path("opened.txt").read_text() == "digits train validation\n"


def test_failures_are_rows() -> None:
    def failing(task: Any, data: Any, context: Any) -> dict[str, Any]:
        value = fake_study.fake_trial(task, data, context)
        group = task.payload["configuration"]["group"]
        if group == "C1":
            raise ValueError("this cell always fails")
        if group == "C4":
            value["row"]["validation_accuracy"] = float("nan")
        return value

    table = run_sweep(failing).set_index(["group", "trial"])
    assert table.groupby("group")["status"].unique().map(list).to_dict() == {
        "C1": ["failed"],
        "C4": ["diverged"],
        "D4": ["completed"],
    }
    reason = table.loc[("C1", 0), "reason"]
    assert reason.startswith("ValueError: this cell always fails\n")
    assert "in failing" in reason, "the traceback is missing"
    assert table.loc["C4", "validation_accuracy"].isna().all()
    assert set(starts().values()) == {1}, "a deterministic error was tried again"


def always_failing(task: Any, data: Any, context: Any) -> dict[str, Any]:
    """Raise in every trial of C1, in the same words."""
    value = fake_study.fake_trial(task, data, context)
    if task.payload["configuration"]["group"] == "C1":
        raise ValueError("this cell always fails")
    return value


def test_a_cell_that_always_fails_is_given_up_after_three_equal_errors() -> None:
    table = run_sweep(always_failing, trials_per_cell=12).set_index(["group", "trial"])
    assert table.groupby("group")["status"].value_counts().to_dict() == {
        ("C1", "failed"): 12,
        ("C4", "completed"): 12,
        ("D4", "completed"): 12,
    }
    assert starts().total() == 3 + 12 + 12
    given_up = table.loc["C1"].loc[3:]
    told = "not run: 3 trials of this cell failed before with ValueError: this cell always fails\n"
    assert given_up["reason"].str.startswith(told).all()
    assert given_up["learning_rate"].between(0.001, 0.01).all(), "a row without its configuration"


def test_a_cell_is_given_up_across_an_interruption() -> None:
    def interrupted(task: Any, data: Any, context: Any) -> dict[str, Any]:
        if task.key.endswith("C4-relative-d1-stem 2"):
            raise Crash
        return always_failing(task, data, context)

    with pytest.raises(Crash):
        run_sweep(interrupted)
    run_sweep(always_failing)
    assert starts().total() == 3 + 4 + 4


@pytest.mark.parametrize("when", ["one completed", "errors differ", "workers died"])
def test_a_cell_with_hope_goes_on(when: str) -> None:
    def failing(task: Any, data: Any, context: Any) -> dict[str, Any]:
        value = fake_study.fake_trial(task, data, context)
        number = int(task.key.split()[-1])
        if when == "one completed" and number == 0:
            return value
        if when == "workers died":
            row = {"status": "failed", "reason": "WorkerDied: 3 times", "seconds": 0.0}
            return {"row": row, "epochs": []}
        raise ValueError(f"fails at {number if when == 'errors differ' else 'all'}")

    with contextlib.suppress(StageFailed):
        run_sweep(failing, trials_per_cell=6)
    assert starts().total() == 3 * 6


def test_a_proposal_without_a_model_is_a_failed_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def configuration(*arguments: Any, **keywords: Any) -> dict[str, Any]:
        raise ValueError("no width fits")

    monkeypatch.setattr(sweep, "configuration", configuration)
    with pytest.raises(StageFailed, match="no width fits"):
        run_sweep()
    table = trials()
    assert (table["status"] == "failed").all()
    assert table["learning_rate"].between(0.001, 0.01).all()
    assert len(table) == 12
    assert not Path("starts.txt").exists()


def test_all_trials_failed_is_an_error_after_the_rows_are_written() -> None:
    def failing(task: Any, data: Any, context: Any) -> dict[str, Any]:
        raise RuntimeError("no luck")

    with pytest.raises(StageFailed, match=r"none of the 12 trials completed .*RuntimeError"):
        run_sweep(failing)
    assert len(trials()) == 12


def test_a_trial_over_time_is_a_timeout_with_its_epochs() -> None:
    params = fake_study.study(trials_per_cell=1)
    with pytest.raises(StageFailed):
        sweep.sweep(params, InProcess(limit=-1.0), fake_study.fake_trial)
    assert (trials()["status"] == "timeout").all()
    epochs = records.read("data/sweep/digits/epochs.parquet", schemas.EPOCHS)
    assert epochs["epoch"].tolist() == [1, 1, 1]


class Fuse:
    """A function that crashes before or after one of its calls, and counts them."""

    def __init__(self, function: Callable[..., Any], when: str, at: int) -> None:
        self.function, self.when, self.at, self.calls = function, when, at, 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.calls == self.at and self.when == "before":
            raise Crash
        value = self.function(*arguments)
        if self.calls == self.at:
            raise Crash
        return value


@pytest.mark.parametrize(
    ("name", "when", "step"),
    [
        # A file is flushed before it is renamed and its folder after: this is on either side.
        ("fsync", "before", 9),
        pytest.param("fsync", "before", 1, marks=pytest.mark.deep),
        pytest.param("replace", "before", 1, marks=pytest.mark.deep),
        pytest.param("replace", "after", 1, marks=pytest.mark.deep),
    ],
)
def test_a_crash_at_any_write_loses_and_repeats_nothing(
    name: str, when: str, step: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crash at every flush (or rename) of a study, or at every ninth one; then go on."""
    for module in (sweep, confirm):
        monkeypatch.setattr(module, "provenance", lambda params, card: {})
        monkeypatch.setattr(module, "code_of", lambda stage: {})
    function, at, whole = getattr(os, name), 0, None
    while True:
        project = folder / f"{at}"
        project.mkdir()
        monkeypatch.chdir(project)
        monkeypatch.setenv("FAKE_STARTS", str(project / "starts.txt"))
        fuse = Fuse(function, when, at)
        monkeypatch.setattr(os, name, fuse)
        with contextlib.suppress(Crash):
            do_both()
        monkeypatch.setattr(os, name, function)
        tables = do_both()
        whole = tables if whole is None else whole
        for one, other in zip(whole, tables, strict=True):
            pd.testing.assert_frame_equal(one, other)
        # Two trials, one run and the hierarchy, and what was in flight at the crash.
        assert len(starts()) == 4
        assert starts().total() <= 5
        if at > fuse.calls:
            break
        at += step
    assert at > (30 if name == "fsync" else 10)


def do_both() -> list[pd.DataFrame]:
    """Run sweep and confirm of a tiny study; return all their tables."""
    params = fake_study.study(group=["C1"], trials_per_cell=2)
    one_seed = params.confirm.model_copy(update={"seeds": (101,)})
    params = params.model_copy(update={"confirm": one_seed})
    fake_study.prepare_folder()
    sweep.sweep(params, InProcess(), fake_study.fake_trial)
    confirm.confirm(params, InProcess(), fake_study.fake_confirmation)
    tables = {
        "sweep/digits/trials": schemas.TRIALS,
        "sweep/digits/epochs": schemas.EPOCHS,
        "confirm/digits/runs": schemas.RUNS,
        "confirm/digits/epochs": schemas.EPOCHS,
        "confirm/digits/angles": schemas.ANGLES,
        "confirm/digits/layers": schemas.LAYERS,
        "confirm/hierarchy": schemas.HIERARCHY,
    }
    return [records.read(f"data/{name}.parquet", schema) for name, schema in tables.items()]

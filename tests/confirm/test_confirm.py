"""Confirm: chosen on validation alone, test opened here alone, every cell in the tables."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import fake_study
import pandas as pd
import pytest
from fake_study import fake_confirmation, fake_trial

from pipeline.confirm import stage as confirm
from pipeline.confirm.plan import best_trial
from pipeline.confirm.result_store import RunStore
from pipeline.execution.engine import InProcess
from pipeline.execution.run_stage import StageFailed
from pipeline.results import records, schemas
from pipeline.sweep import stage as sweep


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project folder with a fake data set and a finished sweep."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSA_QUIET", "1")
    for module in (sweep, confirm):
        monkeypatch.setattr(module, "load_dataset", fake_study.fake_load)
    fake_study.prepare_folder()


def run_sweep(function: Any = fake_trial) -> None:
    sweep.sweep(fake_study.study(), InProcess(), function)
    Path("starts.txt").unlink()
    Path("opened.txt").unlink()


def run_confirm(function: Any = fake_confirmation) -> pd.DataFrame:
    """Run confirm and return its runs."""
    confirm.confirm(fake_study.study(), InProcess(), function)
    return records.read("data/confirm/digits/runs.parquet", schemas.RUNS)


def test_the_best_of_each_cell_runs_with_every_seed() -> None:
    run_sweep()
    runs = run_confirm()
    trials = records.read("data/sweep/digits/trials.parquet", schemas.TRIALS)
    best = trials.groupby("cell")["validation_accuracy"].max()
    assert runs.groupby("cell")["seed"].apply(list).tolist() == [[101, 102]] * 3
    assert (runs["tuned_validation_accuracy"] == runs["cell"].map(best)).all()
    for _, run in runs.iterrows():
        assert json.loads(run["configuration"])["seed"] == run["seed"]
        assert Path(run["weights"]).read_bytes() == f"{run['group']} {run['seed']}".encode()


def test_test_is_opened_once_and_only_here() -> None:
    run_sweep()
    run_confirm()
    assert Path("opened.txt").read_text() == "digits train validation test test_turned\n"
    run_confirm()
    assert len(Path("opened.txt").read_text().splitlines()) == 1, "opened with nothing to do"


def test_a_cell_without_a_completed_trial_is_failed_rows() -> None:
    def failing(task: Any, data: Any, context: Any) -> dict[str, Any]:
        value = fake_trial(task, data, context)
        if task.payload["configuration"]["group"] == "C4":
            raise ValueError("this cell always fails")
        return value

    run_sweep(failing)
    runs = run_confirm().set_index("group")
    assert runs.groupby("group")["status"].unique().map(list).to_dict() == {
        "C1": ["completed"],
        "C4": ["failed"],
        "D4": ["completed"],
    }
    assert runs.loc["C4", "reason"].str.contains("this cell always fails").all()
    assert runs.loc["C4", "seed"].tolist() == [101, 102]
    assert runs.loc["C4", "test_accuracy"].isna().all()


def test_all_runs_failed_is_an_error_after_the_rows_are_written() -> None:
    def failing(task: Any, data: Any, context: Any) -> dict[str, Any]:
        if task.payload["kind"] == "run":
            raise RuntimeError("no luck")
        return fake_confirmation(task, data, context)

    run_sweep()
    with pytest.raises(StageFailed, match="none of the 6 runs completed"):
        run_confirm(failing)
    runs = records.read("data/confirm/digits/runs.parquet", schemas.RUNS)
    assert runs["reason"].str.startswith("RuntimeError: no luck").all()


def test_a_damaged_result_is_set_aside_and_its_run_done_again() -> None:
    run_sweep()
    whole = run_confirm()
    results = sorted(Path(".state/confirm").rglob("*-seed101-*"))
    record = next(path for path in results if path.suffix == ".json")
    weights = next(path for path in results if path.suffix == ".safetensors")
    record.write_bytes(record.read_bytes().replace(b"completed", b"complexed"))
    weights = sorted(path for path in results if path.suffix == ".safetensors")[-1]
    weights.write_bytes(b"other")
    pd.testing.assert_frame_equal(run_confirm(), whole)
    executed = Counter(Path("starts.txt").read_text().splitlines())
    assert sorted(executed.values())[-3:] == [1, 2, 2]
    assert record.with_name(f"{record.name}.damaged").exists()


TRIALS = pd.DataFrame(
    [
        # cell, trial, status, validation accuracy and loss
        ("tie on accuracy", 0, "completed", 0.9, 0.3),
        ("tie on accuracy", 1, "completed", 0.9, 0.2),
        ("tie on both", 5, "completed", 0.9, 0.2),
        ("tie on both", 3, "completed", 0.9, 0.2),
        ("a diverged one is never best", 0, "diverged", 0.99, 0.1),
        ("a diverged one is never best", 1, "completed", 0.5, 0.9),
        ("a missing loss is last", 0, "completed", 0.9, None),
        ("a missing loss is last", 1, "completed", 0.9, 5.0),
        ("none completed", 0, "failed", None, None),
    ],
    columns=["cell", "trial", "status", "validation_accuracy", "validation_loss"],
)


TRIALS["pareto"] = TRIALS["status"].eq("completed") & TRIALS["validation_accuracy"].eq(
    TRIALS[TRIALS["status"] == "completed"]
    .groupby("cell")["validation_accuracy"]
    .max()
    .reindex(TRIALS["cell"])
    .to_numpy()
)


@pytest.mark.parametrize(
    ("cell", "trial"),
    [
        ("tie on accuracy", 1),
        ("tie on both", 3),
        ("a diverged one is never best", 1),
        ("a missing loss is last", 1),
        ("none completed", None),
    ],
)
def test_best_trial(cell: str, trial: int | None) -> None:
    best = best_trial(TRIALS, cell)
    assert (best and best["trial"]) == trial


def test_a_result_is_not_there_before_its_record(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    (tmp_path / "key.safetensors").write_bytes(b"weights of a run that was cut off")
    assert store.get("key") is None
    kept = store.put("key", {"row": {"x": 0.1}, "weights": b"whole"})
    assert store.get("key") == kept == {"row": {"x": 0.1}, "weights": tmp_path / "key.safetensors"}
    assert kept["weights"].read_bytes() == b"whole"

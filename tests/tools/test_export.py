"""Stores of other tools, each opened as that tool opens it; what is not installed is skipped."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_study
import optuna
import pandas as pd
import pytest
from synthetic import Shape, write_study

from pipeline.common.errors import UserError
from pipeline.results import records, schemas
from pipeline.study.schema import Params
from pipeline.tools.export import export
from pipeline.tracking import registry
from pipeline.tracking.entry import Entry, entries

CELLS, TRIALS, SEEDS, EPOCHS = 3, 3, 2, 4
SPACE = {
    "learning_rate": {"low": 0.001, "high": 0.01, "log": True},
    "dropout": {"low": 0.0, "high": 0.2},
}
BAD = "gsa-D4-relative-d1-stem"


def shape(**changes: Any) -> Shape:
    return Shape(
        study="fake", encodings=("relative",), depths=(1,), seeds=(101, 102), epochs=EPOCHS,
        **changes,
    )  # fmt: skip


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A finished study of three cells, one of which always fails."""
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path, shape(failing=[BAD]))
    return fake_study.study(search_space=SPACE)


@pytest.fixture
def trials(params: Params) -> pd.DataFrame:
    return records.read("data/sweep/digits/trials.parquet", schemas.TRIALS)


def test_an_entry_is_a_row_with_its_curve(params: Params, trials: pd.DataFrame) -> None:
    found = list(entries(params, Path("data")))
    assert len({entry.name for entry in found}) == len(found) == CELLS * (TRIALS + SEEDS)
    first, row = found[0], trials.iloc[0]
    assert first.name == f"digits/{row['cell']}-trial0" and first.ok
    assert first.metrics["validation_accuracy"] == row["validation_accuracy"]
    assert first.parameters["group"] == "C1"
    assert first.parameters["learning_rate"] == row["learning_rate"]
    assert [epoch["epoch"] for epoch in first.curves] == list(range(EPOCHS))
    assert "validation_accuracy" in first.curves[0] and "study" not in first.curves[0]
    bad = next(entry for entry in found if entry.cell == BAD)
    assert not bad.ok and bad.reason and "validation_accuracy" not in bad.metrics
    run = next(entry for entry in found if entry.stage == "confirm")
    assert run.name.endswith("-seed101") and "test_accuracy" in run.metrics


def test_csv_has_every_row(params: Params, trials: pd.DataFrame) -> None:
    export(params, "csv", Path("out"))
    written = pd.read_csv("out/trials.csv")
    columns = ["cell", "trial", "status", "validation_accuracy", "learning_rate"]
    pd.testing.assert_frame_equal(written[columns], trials[columns], check_dtype=False)
    assert len(pd.read_csv("out/runs.csv")) == CELLS * SEEDS
    epochs = pd.read_csv("out/epochs.csv")
    assert set(epochs["stage"]) == {"sweep", "confirm"} and epochs["epoch"].dtype.kind == "i"


def opened(folder: str = "out") -> dict[str, optuna.Study]:
    address = f"sqlite:///{folder}/study.db"
    names = optuna.get_all_study_names(address)
    return {name: optuna.load_study(study_name=name, storage=address) for name in names}


def test_optuna_opens_a_study_a_cell_and_one_of_all(params: Params, trials: pd.DataFrame) -> None:
    export(params, "optuna", Path("out"))
    studies = opened()
    whole = studies.pop("digits all cells")
    assert {f"digits {cell}" for cell in trials["cell"]} == set(studies)
    assert len(whole.trials) == CELLS * TRIALS and whole.metric_names == ["accuracy"]
    assert whole.best_value == trials["validation_accuracy"].max()
    assert {trial.params["group"] for trial in whole.trials} == {"C1", "C4", "D4"}
    one = studies[f"digits {trials['cell'][0]}"].trials[0]
    assert one.params["learning_rate"] == trials["learning_rate"][0]
    assert sorted(one.intermediate_values) == list(range(EPOCHS))
    row, attributes = trials.iloc[0], one.user_attrs
    assert one.duration is not None
    assert one.duration.total_seconds() == pytest.approx(row["seconds"], abs=1e-3)
    assert attributes["flops"] == row["flops"] and isinstance(attributes["flops"], int)
    fixed = set(json.loads(row["configuration"])) - set(one.params)
    assert fixed and fixed <= set(attributes)
    bad = studies[f"digits {BAD}"].trials
    assert {trial.state for trial in bad} == {optuna.trial.TrialState.FAIL}
    importance = optuna.importance.get_param_importances(whole)
    assert set(importance) == {"group", "learning_rate", "dropout"}


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("sweep", "best"),
    [
        ({"objectives": ["accuracy", "flops"]}, 2),
        ({"constraints": {"flops": 1e6}}, 1),
    ],
)
def test_optuna_knows_objectives_and_bounds(
    sweep: dict[str, Any], best: int, tmp_path: Path, params: Params
) -> None:
    export(fake_study.study(search_space=SPACE, **sweep), "optuna", Path("out"))
    found = opened()["digits all cells"]
    assert len(found.directions) == best
    if "constraints" in sweep:
        bounds = [trial.constraints for trial in found.trials if trial.values]
        assert all(set(bound) == {"flops"} for bound in bounds)


@pytest.mark.parametrize(
    ("tool", "counts"), [("csv", "9 trials and 6 runs"), ("optuna", "9 trials")]
)
def test_what_was_written_is_counted(
    tool: str, counts: str, params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    export(params, tool, Path("out"))
    assert f"out: {counts} of fake\n" in capsys.readouterr().out


def test_an_export_is_replaced_and_nothing_else_is(params: Params) -> None:
    export(params, "csv", Path("out"))
    Path("out/trials.csv").unlink()
    export(params, "csv", Path("out"))
    assert Path("out/trials.csv").is_file()
    Path("mine").mkdir()
    with pytest.raises(UserError, match="mine: is there and no earlier export"):
        export(params, "csv", Path("mine"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: Path("data/sweep/digits/trials.parquet").unlink(), "run `make study` first"),
        (lambda: write_study(Path.cwd(), Shape(study="other")), "of the study 'other'"),
    ],
)
@pytest.mark.parametrize("tool", ["csv", "optuna"])
def test_a_study_that_has_not_run_is_refused(
    tool: str, change: Any, message: str, params: Params
) -> None:
    change()
    with pytest.raises(UserError, match=message):
        export(params, tool, Path("out"))
    assert not Path("out").exists()


def test_a_tool_needs_only_the_stages_that_it_takes(params: Params) -> None:
    shutil.rmtree("data/confirm")
    export(params, "optuna", Path("out"))
    assert len(opened()["digits all cells"].trials) == CELLS * TRIALS
    with pytest.raises(UserError, match=r"no runs\.parquet: run `make study` first"):
        export(params, "csv", Path("runs"))


@pytest.mark.parametrize("tool", [name for name, one in registry.TOOLS.items() if one.package])
def test_a_missing_tool_is_one_sentence(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=rf"{tool} is not installed .*pip install -e '\.\[{tool}\]'"
    ):
        registry.store_class(tool)


def test_mlflow_opens_it(params: Params, trials: pd.DataFrame) -> None:
    mlflow = pytest.importorskip("mlflow")
    export(params, "mlflow", Path("out"))
    client = mlflow.MlflowClient(f"sqlite:///{Path('out/mlflow.db').absolute()}")
    experiment = client.get_experiment_by_name("fake")
    runs = client.search_runs([experiment.experiment_id], "tags.stage = 'sweep'")
    assert len(runs) == CELLS * TRIALS
    assert {run.info.status for run in runs if run.data.tags["cell"] == BAD} == {"FAILED"}
    [one] = [run for run in runs if run.info.run_name == f"digits/{trials['cell'][0]}-trial0"]
    assert float(one.data.params["learning_rate"]) == trials["learning_rate"][0]
    assert one.data.metrics["validation_accuracy"] == trials["validation_accuracy"][0]
    curve = client.get_metric_history(one.info.run_id, "epoch/validation_accuracy")
    assert [point.step for point in curve] == list(range(EPOCHS))


def test_trackio_opens_it(params: Params) -> None:
    pytest.importorskip("trackio")
    code = (
        "from pathlib import Path; import fake_study; from test_export import SPACE\n"
        "from pipeline.tools.export import export\n"
        "export(fake_study.study(search_space=SPACE), 'trackio', Path('out'))"
    )
    paths = [str(Path(__file__).parent), *sys.path]  # its folder is read once, when it is imported
    subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths}\n{code}"], check=True
    )
    [database] = Path("out").rglob("fake*.db")
    with sqlite3.connect(database) as connection:
        names = {name for (name,) in connection.execute("SELECT DISTINCT run_name FROM metrics")}
        steps = connection.execute("SELECT metrics FROM metrics WHERE run_name LIKE '%C4%trial0'")
        values = [json.loads(one) for (one,) in steps]
    assert len(names) == CELLS * (TRIALS + SEEDS)
    assert any("validation_accuracy" in one for one in values)
    assert sum("epoch/validation_accuracy" in one for one in values) == EPOCHS


def test_tensorboard_opens_it(params: Params) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    export(params, "tensorboard", Path("out"))
    [folder] = Path("out/digits").glob("*C4*trial0")
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [p.step for p in events.Scalars("epoch/validation_accuracy")] == list(range(EPOCHS))
    assert len(events.Scalars("validation_accuracy")) == 1


def test_wandb_keeps_it_offline(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    store = registry.store_class("wandb")(params, tmp_path)
    entry: Entry = next(entries(params, Path("data")))
    store.add(entry)
    store.close()
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == 1

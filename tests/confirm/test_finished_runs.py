"""Finished runs that are kept for git: another machine takes them, and refuses those of others."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import fake_study
import pandas as pd
import pytest
from fake_study import fake_confirmation, fake_trial

from pipeline.confirm import stage as confirm
from pipeline.execution.engine import InProcess
from pipeline.results import records, schemas
from pipeline.study.schema import Params
from pipeline.sweep import stage as sweep

KEPT = Path("results/fake/runs")
CELL = "digits-gsa-C4-relative-d1-stem-seed101"


def study(*, keep_runs: bool = True, angles: int = 8, **section: Any) -> Params:
    space = {"learning_rate": {"choices": [0.004]}, "channels": {"choices": [8]}}
    fixed = {"search_space": space, "trials_per_cell": 1, "sampler": "random"}
    params = fake_study.study(**{**fixed, **section})
    asked = params.confirm.model_copy(update={"keep_runs": keep_runs, "angles": angles})
    return params.model_copy(update={"confirm": asked})


def run(params: Params, function: Any = fake_confirmation) -> pd.DataFrame:
    """Sweep and confirm; the runs, and how many were made here in `made.txt`."""
    sweep.sweep(params, InProcess(), fake_trial)
    Path("starts.txt").unlink()
    confirm.confirm(params, InProcess(), function)
    return records.read("data/confirm/digits/runs.parquet", schemas.RUNS)


def made() -> int:
    """Runs and hierarchies that were made since the last sweep."""
    return len(Path("starts.txt").read_text().splitlines())


def new_machine() -> None:
    """A clone: what is not in git is gone."""
    shutil.rmtree(".state")
    shutil.rmtree("data")
    fake_study.prepare_folder()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GSA_QUIET", raising=False)
    for module in (sweep, confirm):
        monkeypatch.setattr(module, "load_dataset", fake_study.fake_load)
    fake_study.prepare_folder()


def test_another_machine_goes_on_with_what_is_finished() -> None:
    first = run(study())
    files = sorted(path.name for path in KEPT.iterdir())
    assert len(files) == 6 and f"{CELL}.run.xz" in files
    (KEPT / f"{CELL}.run.xz").unlink()  # not yet finished when it was interrupted
    new_machine()
    again = run(study())
    assert made() == 1 + 1  # the missing run and the hierarchy
    compared = [name for name in first.columns if name not in ("weights",)]
    pd.testing.assert_frame_equal(first[compared], again[compared])
    predictions = records.read("data/confirm/digits/predictions.parquet", schemas.PREDICTIONS)
    assert len(predictions) == 2 * 6
    assert sorted(path.name for path in KEPT.iterdir()) == files


def test_weights_are_kept_of_the_first_seed_of_a_cell() -> None:
    run(study())
    new_machine()
    runs = run(study()).set_index("seed")
    assert runs.loc[102, "weights"].isna().all()
    for _, row in runs.loc[[101]].iterrows():
        assert Path(row["weights"]).read_bytes() == f"{row['group']} 101".encode()


def change_data() -> None:
    card = {**fake_study.CARD, "source": "another"}
    Path("data/prepare/digits/card.json").write_text(json.dumps(card))


DIFFERENT: dict[str, tuple[dict[str, Any], Any, str]] = {
    "configuration": ({"epochs": 3}, None, r"\(epochs 2, here 3\)"),
    "hyperparameter": (
        {"search_space": {"learning_rate": {"choices": [0.005]}, "channels": {"choices": [8]}}},
        None, r"\(learning_rate 0.004, here 0.005\)",
    ),
    "measures": ({"angles": 4}, None, r"\(angles 8, here 4\)"),
    "data": ({}, change_data, r"\(other data\)"),
}  # fmt: skip


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("section", "change", "named"), DIFFERENT.values(), ids=DIFFERENT)
def test_a_run_of_something_else_is_named_and_made_here(
    section: dict[str, Any], change: Any, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(study())
    new_machine()
    if change is not None:
        change()
    capsys.readouterr()
    run(study(**section))
    said = capsys.readouterr().out
    assert made() == 6 + 1
    pattern = rf"{CELL}.run.xz: is of another run {named}, so it is not used and this run is made"
    assert re.search(pattern, said)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("content", [b"", b"no archive", None], ids=["empty", "other", "cut"])
def test_a_damaged_file_is_named_and_its_run_made_here(
    content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    run(study())
    path = KEPT / f"{CELL}.run.xz"
    path.write_bytes(path.read_bytes()[:-9] if content is None else content)
    new_machine()
    run(study())
    assert f"{path}: damaged, so this run is made again" in capsys.readouterr().out
    assert made() == 1 + 1


def test_measured_symmetry_of_the_data_makes_no_other_run() -> None:
    """It depends on rounding, so another machine has another card of the same images."""
    params = study()
    run(params)
    cards = confirm.read_cards(params.prepare)
    [first, *_] = confirm.plan(params, cards)
    described = {**json.loads(cards["digits"]), "symmetry": {"share": 0.1 + 0.2}}
    other = json.dumps(described).encode()
    key = confirm.run_task(params, first, cards["digits"]).key
    assert confirm.run_task(params, first, other).key == key
    changed = json.dumps({**described, "seed": 7}).encode()
    assert confirm.run_task(params, first, changed).key != key


def test_a_failed_run_is_not_kept() -> None:
    def failing(task: Any, data: Any, context: Any) -> dict[str, Any]:
        if task.payload.get("configuration", {}).get("group") == "C4":
            raise ValueError("this cell always fails")
        return fake_confirmation(task, data, context)

    run(study(), failing)
    assert not [path for path in KEPT.iterdir() if "-C4-" in path.name]


def test_a_study_that_does_not_ask_keeps_and_takes_nothing() -> None:
    run(study())
    new_machine()
    run(study(keep_runs=False))
    assert made() == 6 + 1
    shutil.rmtree(KEPT)
    new_machine()
    run(study(keep_runs=False))
    assert not KEPT.exists()

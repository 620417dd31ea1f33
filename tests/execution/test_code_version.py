"""Workers run the code of their driver, and a start at nothing says which change is to blame."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_study
import pytest

from pipeline.confirm import stage as confirm
from pipeline.execution import code_version as same_code
from pipeline.execution import state_folder
from pipeline.execution.code_dependencies import (
    code_of,
)
from pipeline.execution.engine import InProcess
from pipeline.sweep import stage as sweep
from pipeline.sweep.trial import run_trial


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A process that has done no task yet; lists what it imports, to which Ray need not belong."""
    imported: list[str] = []
    monkeypatch.setattr(same_code.importlib, "import_module", imported.append)
    same_code.loaded_digests.cache_clear()
    yield imported
    same_code.loaded_digests.cache_clear()


def test_an_edit_after_the_driver_read_its_code_is_refused_by_workers(
    worker: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = same_code.code_for(run_trial)
    assert {
        "pipeline/training/loop.py",
        "gsa_core/attention/backends/kernel/kernel.cpp",
        "torch",
    } <= driver.keys()
    assert same_code.difference(driver) is None
    assert {"pipeline.execution.resumable_training", "pipeline.training.loop", "gsa_core"} <= set(
        worker
    )
    # What is on the disk now matters no more: the worker has imported what it was.
    monkeypatch.setattr(same_code, "raw_digest", lambda file: "other")
    assert same_code.difference(driver) is None
    same_code.loaded_digests.cache_clear()
    assert "and" in str(same_code.difference(driver))


def test_an_edit_while_a_worker_imports_is_refused(
    worker: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = same_code.code_for(fake_study.fake_trial)
    original, count = same_code.raw_digest, {"count": 0}

    def digest(file: Path) -> str | None:
        count["count"] += file.name == "tasks.py"
        return "new" if file.name == "tasks.py" and count["count"] > 1 else original(file)

    monkeypatch.setattr(same_code, "raw_digest", digest)
    assert "another version of pipeline/execution/tasks.py than" in str(
        same_code.difference(driver)
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder whose data set is a fake."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKE_STARTS", str(tmp_path / "starts.txt"))
    for module in (sweep, confirm):
        monkeypatch.setattr(module, "load_dataset", fake_study.fake_load)
    fake_study.prepare_folder()
    return tmp_path


def run_both(**section: Any) -> None:
    """Sweep and confirm a study of one cell."""
    params = fake_study.study(group=["C1"], trials_per_cell=1, **section)
    sweep.sweep(params, InProcess(), fake_study.fake_trial)
    confirm.confirm(params, InProcess(), fake_study.fake_confirmation)


@pytest.mark.parametrize("what", ["code", "torch", "epochs"])
def test_a_start_at_nothing_says_why_and_where_the_earlier_work_is(
    what: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_both()
    assert "not continued" not in capsys.readouterr().out
    run_both()
    assert "not continued" not in capsys.readouterr().out
    kept = {stage: next(Path(".state", stage).glob("*/")) for stage in ("sweep", "confirm")}
    if what == "code":
        changed = {**code_of("sweep"), "pipeline/training/loop.py": "other"}
        monkeypatch.setattr(sweep, "code_of", lambda stage: changed)
        monkeypatch.setattr(confirm, "code_of", lambda stage: changed)
    if what == "torch":
        monkeypatch.setattr(sweep, "versions", lambda: {**state_folder.versions(), "torch": "9"})
        monkeypatch.setattr(confirm, "versions", lambda: {**state_folder.versions(), "torch": "9"})
    run_both(**({"epochs": 1} if what == "epochs" else {}))
    told = [line for line in capsys.readouterr().out.splitlines() if "not continued" in line]
    named = {"code": "pipeline/training/loop.py", "torch": "torch", "epochs": "sweep.epochs"}[what]
    assert named in told[0] and str(kept["sweep"]) in told[0] and "count again" in told[0]
    assert len(told) == (1 if what == "epochs" else 2), "one line a stage"
    assert (kept["sweep"] / "journal.log").exists()


def test_the_last_study_that_ran_is_what_a_change_is_told_against(folder: Path) -> None:
    for at, text in enumerate(["first", "second", "first"]):
        place = state_folder.state_folder("sweep", {"data": "one", "epochs": text})
        stamp = 1e9 + at if at < 2 else None  # the clock of files may be coarse
        if stamp is not None:
            os.utime(place / "definition.json", (stamp, stamp))
    first = state_folder.state_path("sweep", {"data": "one", "epochs": "first"})
    told = state_folder.superseded("sweep", {"data": "one", "epochs": "third"})
    assert told is not None and str(first) in told


def test_a_second_data_set_is_not_a_change(folder: Path) -> None:
    definition = sweep.definition(fake_study.study(), b"one")
    state_folder.state_folder("sweep", definition)
    assert state_folder.superseded("sweep", sweep.definition(fake_study.study(), b"two")) is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"data": 3}', '"x"'])
def test_a_damaged_definition_stops_nobody(content: str, folder: Path) -> None:
    other = folder / ".state/sweep/0123"
    other.mkdir(parents=True)
    (other / "definition.json").write_text(content)
    definition = sweep.definition(fake_study.study(), b"one")
    assert state_folder.superseded("sweep", definition) is None

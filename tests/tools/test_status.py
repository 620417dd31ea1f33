"""`python -m pipeline status`: how far a study is, from what is kept on the disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import fake_study
import pytest

from pipeline.common.commands import parse
from pipeline.common.errors import UserError
from pipeline.confirm import stage as confirm
from pipeline.execution import progress, state_folder
from pipeline.execution.engine import InProcess
from pipeline.execution.state_folder import stage_lock
from pipeline.sweep import stage as sweep
from pipeline.tools import check, serve, status
from pipeline.tools.support.stage_running import stage_running


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


class Crash(BaseException):
    """The end of the process."""


def crash_at(key: str) -> Any:
    def function(task: Any, data: Any, context: Any) -> dict[str, Any]:
        if task.key == key:
            raise Crash
        if task.payload["configuration"]["group"] == "C1":
            raise ValueError("this cell always fails")
        return fake_study.fake_trial(task, data, context)

    return function


def files() -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in Path().rglob("*") if p.is_file()}


def test_status_says_what_is_done_failed_and_open_and_changes_nothing() -> None:
    params = fake_study.study()
    assert "no trial of this study yet" in "\n".join(status.status(params))
    with pytest.raises(Crash):
        sweep.sweep(params, InProcess(), crash_at("digits gsa-C4-relative-d1-stem 1"))
    journal = next(Path(".state").rglob("journal.log"))
    journal.write_bytes(journal.read_bytes() + b'{"torn')
    before = files()
    lines = status.status(params)
    assert files() == before
    assert lines[0] == "sweep of digits: not running"
    cells = {line.split()[0]: line.split()[1:] for line in lines[1:5]}
    assert cells["cell"] == ["done", "interrupted", "failed", "best", "validation", "since"]
    assert cells["gsa-C1-relative-d1-stem"] == ["2/4", "2", "failed"]
    whole = "python -m pipeline log --dataset digits --cell gsa-C1-relative-d1-stem --number 0"
    assert lines[5].startswith("  best validation: accuracy; since: trials that ended after the ")
    assert lines[6] == (
        f"  2 failed: ValueError: this cell always fails; the first, whole: {whole}"
    )
    assert cells["gsa-C4-relative-d1-stem"][:2] == ["1/4", "1"]
    assert cells["gsa-D4-relative-d1-stem"][0] == "1/4"
    assert f"cp {journal} look.log && optuna-dashboard look.log" in lines[8]
    assert lines[-1] == "  waits for the sweep"


def test_status_names_the_dashboard_of_ray_only_where_ray_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = fake_study.study()
    sweep.sweep(params, InProcess(), fake_study.fake_trial)
    monkeypatch.delenv("GSA_ENGINE", raising=False)
    assert "GSA_DASHBOARD=1" in "\n".join(status.status(params))
    monkeypatch.setenv("GSA_ENGINE", "in-process")
    assert "GSA_DASHBOARD" not in "\n".join(status.status(params))


def test_status_of_a_study_that_was_not_begun_is_no_refusal() -> None:
    shutil.rmtree("data")
    said = status.status(fake_study.study())
    assert said[0] == f"prepare: `make study` of {fake_study.study().study} begins with it"
    assert "data/prepare/digits/card.json: not there" in said[1]
    with stage_lock("prepare"):
        assert status.status(fake_study.study())[0].startswith("prepare: running (pid ")


def test_status_names_who_runs_the_stage() -> None:
    with stage_lock("sweep"):
        assert status.status(fake_study.study())[0] == (
            f"sweep of digits: running (pid {os.getpid()} on {os.uname().nodename})"
        )
    assert state_folder.holder("sweep") is None


def test_status_shows_the_epochs_of_running_tasks_and_none_of_a_killed_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "NOTES", -1.0)
    params, seen = fake_study.study(), list[str]()
    monkeypatch.setattr("pipeline.study.params.load_params", lambda: params)

    def look(task: Any, data: Any, context: Any) -> dict[str, Any]:
        found = fake_study.fake_trial(task, data, context)
        seen[:] = [line for line in status.status(params) if "running now" in line]
        assert seen[0] in serve.current_status()
        if task.key.endswith("C4-relative-d1-stem 1"):
            raise Crash
        return found

    with stage_lock("sweep"), pytest.raises(Crash):
        sweep.sweep(params, InProcess(), look)
    assert seen == ["  running now: gsa-C4-relative-d1-stem trial 1 epoch 2/2"]
    assert "running now" not in "\n".join(status.status(params))
    note = Path(".state/sweep/running.json")
    with stage_lock("sweep"):
        assert "running now" in "\n".join(status.status(params))
        note.write_text(note.read_text().replace("pid ", "pid 1"))
        assert "running now" not in "\n".join(status.status(params))
        note.write_text("[torn")
        assert "running now" not in "\n".join(status.status(params))


@pytest.mark.parametrize("alive", [True, False])
def test_status_knows_a_stage_that_dvc_starts(alive: bool, folder: Path) -> None:
    """A stage holds its lock only after its imports."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    writer = os.getpid() if alive else ended.pid
    entry = {"pid": writer, "cmd": "dvc repro"}
    written = {str(folder / path): entry for path in ("data/sweep", "reports/index.html")}
    Path(".dvc/tmp").mkdir(parents=True)
    Path(".dvc/tmp/rwlock").write_text(json.dumps({"write": written, "read": {}}))
    running = f"running (DVC, pid {writer})" if alive else None
    assert status.status(fake_study.study())[0] == f"sweep of digits: {running or 'not running'}"
    assert stage_running("report") == running and stage_running("prepare") is None
    Path(".dvc/tmp/rwlock").write_text("[]")
    assert status.status(fake_study.study())[0] == "sweep of digits: not running"


def test_status_says_that_results_are_here_without_the_state_that_made_them() -> None:
    params = fake_study.study()
    sweep.sweep(params, InProcess(), fake_study.fake_trial)
    confirm.confirm(params, InProcess(), fake_study.fake_confirmation)
    before = status.status(params)
    assert before[-1] == "  6 of 6 runs done"
    shutil.rmtree(".state")
    lines = status.status(params)
    assert lines[1] == f"  data/sweep/digits/trials.parquet has 12 trials {status.SAME}"
    assert lines[-1] == f"  data/confirm has 6 runs {status.SAME}"
    other = fake_study.study(seed=5)
    assert status.status(other)[1] == (
        "  data/sweep/digits/trials.parquet has 12 trials that other parameters made; "
        "`make study` replaces them"
    )


def test_status_says_that_other_parameters_made_the_runs() -> None:
    params = fake_study.study()
    sweep.sweep(params, InProcess(), fake_study.fake_trial)
    confirm.confirm(params, InProcess(), fake_study.fake_confirmation)
    section = params.confirm.model_copy(update={"angles": 12})
    other = params.model_copy(update={"confirm": section})
    said = "  data/confirm has 6 runs that other parameters made; `make study` replaces them"
    assert status.status(other)[-2:] == ["  0 of 6 runs done", said]
    report = params.report.model_copy(update={"confidence": 0.9})
    assert status.status(params.model_copy(update={"report": report})) == status.status(params)


def test_a_second_study_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "load_params", fake_study.study)
    check.main(parse(["check", "--idle"]))
    with stage_lock("confirm"):
        check.main(parse(["check"]))
        with pytest.raises(
            UserError, match=rf"confirm is running \(pid {os.getpid()} on .*one study"
        ):
            check.main(parse(["check", "--idle"]))


def test_status_counts_runs_after_the_sweep() -> None:
    sweep.sweep(fake_study.study(), InProcess(), fake_study.fake_trial)
    assert status.status(fake_study.study())[-1] == "  0 of 6 runs done"

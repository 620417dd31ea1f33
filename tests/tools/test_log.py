"""What is said in a trial is kept with its row, and found from it."""

from __future__ import annotations

import logging
import shutil
import threading
import warnings
from pathlib import Path
from typing import Any

import fake_study
import pytest

from pipeline.common.commands import parse
from pipeline.common.errors import UserError
from pipeline.confirm import stage as confirm
from pipeline.execution.dispatcher import Dispatcher
from pipeline.execution.engine import InProcess
from pipeline.execution.task_log import LINES, Log
from pipeline.execution.tasks import Context, Result, Task, perform
from pipeline.results import records, schemas
from pipeline.sweep import stage as sweep
from pipeline.tools import log as command

CELL = "gsa-C4-relative-d1-stem"


def said(log: str) -> list[str]:
    """The lines without their times."""
    return [line.partition(" ")[2] for line in log.splitlines()]


def talk(task: Task, data: Any, context: Context) -> dict[str, Any]:
    warnings.warn("the same in every task", UserWarning, stacklevel=1)
    logging.getLogger("library").warning("also %s", "this")
    other = threading.Thread(target=logging.getLogger("library").warning, args=("not this",))
    other.start()
    other.join()
    context.note("a note\nin two lines")
    return {"row": {"status": "completed"}, "epochs": []}


@pytest.mark.filterwarnings("default::UserWarning")
def test_what_is_said_in_every_task_is_heard_in_every_task() -> None:
    with pytest.warns(UserWarning, match="the same in every task"):
        logs = [said(perform(talk, Task("0", {}), {}, Context()).log) for _ in range(2)]
    for lines in logs:
        assert lines[0].startswith("started on ") and lines[0].endswith(", cpu")
        assert lines[1].startswith("UserWarning: the same in every task (tools/test_log.py:")
        assert lines[2:4] == ["WARNING library: also this", "a note in two lines"]
        assert lines[4].startswith("finished after ") and len(lines) == 5
    assert not any(isinstance(handler, Log) for handler in logging.getLogger().handlers)


def test_an_endless_log_keeps_its_end() -> None:
    log = Log()
    for number in range(LINES + 5):
        log.add(f"{number} " + "x" * 5000)
    lines = str(log).splitlines()
    assert lines[0] == "(5 earlier lines are not kept)"
    assert lines[-1].split()[1] == str(LINES + 4)
    assert max(map(len, lines)) < 1100


class Source:
    """One task, and what became of it."""

    exhausted = False

    def __init__(self) -> None:
        self.results: list[Result] = []

    def next(self) -> Task:
        return Task("0", {})

    def finish(self, task: Task, result: Result) -> None:
        self.results.append(result)

    def note(self, text: str) -> None:
        pass


@pytest.mark.filterwarnings("ignore:the same")
def test_a_worker_that_died_is_told_before_what_the_next_one_says() -> None:
    source = Source()
    dispatcher = Dispatcher(source, slots=1, limit=60)
    dispatcher.take("first")
    dispatcher.lost("first", "the hint")
    dispatcher.take("second")
    dispatcher.finish("second", perform(talk, Task("0", {}), {}, Context()))
    first, second, *_ = said(source.results[0].log)
    assert first.startswith("the worker process ended after ") and first.endswith("; the hint")
    assert second.startswith("started on ")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder with a fake study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSA_QUIET", "1")
    monkeypatch.setattr(sweep, "load_dataset", fake_study.fake_load)
    monkeypatch.setattr(confirm, "load_dataset", fake_study.fake_load)
    fake_study.prepare_folder()
    params = fake_study.study()
    monkeypatch.setattr(command, "load_params", lambda: params)
    return params


def test_a_log_is_found_from_its_row(study: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def trial(task: Task, data: Any, context: Context) -> dict[str, Any]:
        context.note(f"this is {task.key}")
        return fake_study.fake_trial(task, data, context)

    sweep.sweep(study, InProcess(), trial)
    command.main(parse(["log", "--cell", CELL, "--number", "2"]))
    during = capsys.readouterr().out
    assert f"this is digits {CELL} 2" in said(during)
    shutil.rmtree(".state")
    command.main(parse(["log", "--cell", CELL, "--number", "2"]))
    assert capsys.readouterr().out == during, "the table and the journal say the same"
    confirm.confirm(study, InProcess(), fake_study.fake_confirmation)
    seed = study.confirm.seeds[0]
    command.main(parse(["log", "--cell", CELL, "--seed", str(seed)]))
    assert said(capsys.readouterr().out)[0].startswith("started on ")
    table = records.read(confirm.CONFIRMED / "digits" / "logs.parquet", schemas.LOGS)
    assert set(table["stage"]) == {"confirm"} and len(table) == len(study.confirm.seeds) * 3
    with pytest.raises(UserError, match=f"--seed: got 9; {CELL} has {seed}"):
        command.main(parse(["log", "--cell", CELL, "--seed", "9"]))


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("C4", f"--cell: got 'C4'; accepts .*{CELL}"),
        (CELL, f"--cell: no trial of {CELL} has ended"),
    ],
)
def test_before_a_trial_has_ended_the_cells_of_the_study_are_named(
    study: Any, cell: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep.sweep(study, InProcess(), fake_study.fake_trial)
    monkeypatch.setattr(command, "_trials", lambda journal: iter(()))  # none has ended
    with pytest.raises(UserError, match=sentence):
        command.main(parse(["log", "--cell", cell, "--number", "0"]))

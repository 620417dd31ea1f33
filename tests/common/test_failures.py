"""A failure is told where it happens: in one line, harmless, and whole where the line says."""

from __future__ import annotations

import io
import shlex
import shutil
from pathlib import Path
from typing import Any

import fake_study
import pytest
from fake_study import fake_confirmation, fake_trial

from pipeline.common import failures
from pipeline.common.commands import parse
from pipeline.common.errors import UserError
from pipeline.common.failures import brief, describe, harmless, tally
from pipeline.confirm import stage as confirm
from pipeline.execution.dispatcher import Dispatcher
from pipeline.execution.engine import InProcess
from pipeline.execution.progress import Progress
from pipeline.execution.run_stage import StageFailed
from pipeline.execution.task_log import Log
from pipeline.execution.tasks import Context, Task, perform
from pipeline.sweep import stage as sweep
from pipeline.tools import log, status
from pipeline.tools.provenance import trace

HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n\u202e\x9b31m\x00\ud800 end"
WHOLE = "python -m pipeline log --dataset digits --cell gsa-C1-relative-d1-stem --number 0"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder with a fake study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GSA_QUIET", raising=False)
    for module in (sweep, confirm):
        monkeypatch.setattr(module, "load_dataset", fake_study.fake_load)
    fake_study.prepare_folder()
    params = fake_study.study()
    monkeypatch.setattr(log, "load_params", lambda: params)
    return params


def failing(task: Any, data: Any, context: Context) -> dict[str, Any]:
    """Fail in all of C1, diverge in all of C4."""
    value = fake_trial(task, data, context)
    if task.payload["configuration"]["group"] == "C1":
        try:
            raise KeyError("the first cause")
        except KeyError as error:
            raise ValueError(f"no luck {HOSTILE}\nsecond line") from error
    if task.payload["configuration"]["group"] == "C4":
        value["row"]["validation_accuracy"] = float("nan")
    return value


def is_harmless(text: str) -> bool:
    return all(one.isprintable() or one in "\n\t" for one in text)


def test_a_failed_trial_is_told_where_it_happens(study: Any, capsys: Any) -> None:
    sweep.sweep(study, InProcess(), failing)
    told = capsys.readouterr().out
    assert is_harmless(told)
    lines = told.splitlines()
    first = next(line for line in lines if "trial 0 failed" in line)
    assert first.startswith("sweep: digits gsa-C1-relative-d1-stem trial 0 failed: ValueError: no")
    assert first.endswith(f"; the whole: {WHOLE}")
    assert sum("; the whole: " in line for line in lines) == 3, "each reason is told once"
    assert "sweep: 8 of 12 trials failed" in lines
    ends = [line for line in lines[lines.index("sweep: 8 of 12 trials failed") + 1 :]]
    assert [line.split(":")[1].strip() for line in ends] == ["4 diverged", "3 failed", "1 failed"]
    seen = "\n".join(status.status(study))
    assert is_harmless(seen)
    assert "4 diverged: the validation accuracy is not a number; the first, whole: " in seen
    assert "3 failed: ValueError: no luck" in seen and WHOLE in seen


def test_the_command_that_is_named_shows_the_whole(study: Any, capsys: Any) -> None:
    sweep.sweep(study, InProcess(), failing)
    capsys.readouterr()
    for _ in ("the journal", "the tables"):
        log.main(parse(shlex.split(WHOLE)[3:]))
        said = capsys.readouterr().out
        assert is_harmless(said)
        assert "in failing: raise ValueError(" in said, "the traceback"
        assert "caused by KeyError: 'the first cause'" in said
        shutil.rmtree(".state", ignore_errors=True)


def test_a_trial_that_never_ran_has_its_reason_in_the_log(study: Any, capsys: Any) -> None:
    sweep.sweep(study, InProcess(), failing)
    capsys.readouterr()
    log.main(parse([*shlex.split(WHOLE)[3:-1], "3"]))
    assert capsys.readouterr().out.startswith("failed: not run: 3 trials of this cell failed")


def test_provenance_tells_the_reason(study: Any) -> None:
    sweep.sweep(study, InProcess(), failing)
    line = next(trace("gsa-C1-relative-d1-stem-trial0"))
    assert is_harmless(line) and line.endswith(f"; the whole: {WHOLE}")
    assert "failed: ValueError: no luck" in line


def test_failed_runs_are_told_as_trials_are(study: Any, capsys: Any) -> None:
    def some(task: Task, data: Any, context: Any) -> dict[str, Any]:
        if task.payload["kind"] == "run" and task.payload["configuration"]["group"] == "D4":
            raise MemoryError("no room")
        return fake_confirmation(task, data, context)

    sweep.sweep(study, InProcess(), fake_trial)
    capsys.readouterr()
    confirm.confirm(study, InProcess(), some)
    lines = capsys.readouterr().out.splitlines()
    whole = "python -m pipeline log --dataset digits --cell gsa-D4-relative-d1-stem --seed 101"
    assert lines[-1] == f"confirm:   2 failed: MemoryError: no room; the first, whole: {whole}"
    assert "  6 of 6 runs done, 2 failed" in status.status(study)
    assert any("2 failed: MemoryError: no room" in line for line in status.status(study))
    shutil.rmtree("data/confirm")
    log.main(parse(shlex.split(whole)[3:]))
    assert "in some: raise MemoryError" in capsys.readouterr().out, "before the tables are there"


def test_a_failed_hierarchy_is_told_whole(study: Any) -> None:
    def some(task: Task, data: Any, context: Any) -> dict[str, Any]:
        if task.payload["kind"] == "hierarchy":
            raise RuntimeError("no encodings")
        return fake_confirmation(task, data, context)

    sweep.sweep(study, InProcess(), fake_trial)
    with pytest.raises(StageFailed, match=r"to try it again, remove .*: RuntimeError: no enc"):
        confirm.confirm(study, InProcess(), some)


class Mute(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("not even that")


def deep(depth: int) -> None:
    if not depth:
        raise RecursionError("too deep")
    deep(depth - 1)


def test_a_reason_is_bounded_whatever_an_error_says() -> None:
    for error, start in ((ValueError("x" * 10_000_000), "ValueError: xxx"), (Mute(), "Mute: its")):
        assert describe(error).startswith(start) and len(describe(error)) < 10_000
    with pytest.raises(RecursionError) as caught:
        deep(300)
    assert "more frames)" in describe(caught.value) and len(describe(caught.value)) < 10_000
    assert brief(describe(AssertionError())) == "AssertionError"


@pytest.mark.parametrize(
    "text", [HOSTILE, "a\tb", "é ß 漢", "\x85\u2028next", "\x1b[31mred" * 9999]
)
def test_what_is_shown_moves_no_cursor(text: str) -> None:
    assert is_harmless(harmless(text)) and is_harmless(brief(text))
    assert len(brief(text)) <= failures.LINE and "\n" not in brief(text)
    log_of_it = Log()
    log_of_it.add(text)
    assert is_harmless(str(log_of_it))
    str(log_of_it).encode()
    describe(ValueError(text)).encode()


@pytest.mark.parametrize("reason", [None, "", " \n ", float("nan")])
def test_no_reason_is_said_to_be_none(reason: Any) -> None:
    assert brief(reason) == "no reason recorded"


def test_endlessly_many_reasons_are_counted() -> None:
    lines = list(tally([("failed", f"ValueError: {n}", "x") for n in range(500)]))
    assert len(lines) == failures.KINDS + 1 and lines[-1] == "490 more, of 490 other reasons"


def test_a_task_that_leaves_the_process_is_a_failed_row() -> None:
    def leave(task: Any, data: Any, context: Any) -> dict[str, Any]:
        raise SystemExit(3)

    assert (
        perform(leave, Task("0", {}), {}, Context())
        .value["row"]["reason"]
        .startswith("SystemExit: 3")
    )


@pytest.mark.parametrize(
    ("limit", "status_of_it", "words"),
    [
        (0.0, "timeout", "stopped at resources.trial_timeout_seconds = 0"),
        (60.0, "failed", "WorkerDied: the worker process ended 1 times in this task"),
    ],
)
def test_lost_workers_are_told_with_their_reason(
    limit: float, status_of_it: str, words: str
) -> None:
    stream = io.StringIO()
    progress = Progress("sweep", {"cell": 1}, 1, stream)

    class Source:
        exhausted = False

        def next(self) -> Task:
            return Task("0", {})

        def finish(self, task: Task, result: Any) -> None:
            status, reason = result.value["row"]["status"], result.value["row"]["reason"]
            progress.finish("cell", "trial 0", status, None, 0.0, (status, reason, "WHERE"))

    dispatcher = Dispatcher(Source(), slots=1, limit=limit, restarts=0)  # type: ignore[arg-type]
    dispatcher.take("first")
    dispatcher.lost("first", "the hint")
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith(f"sweep: cell trial 0 {status_of_it}: {words}")
    assert lines[0].endswith("; the whole: WHERE")
    assert f"trial 0: {status_of_it}: {words[:50]}" in lines[1]


def test_a_log_of_what_is_not_there_says_so(study: Any) -> None:
    with pytest.raises(UserError, match=r"runs.parquet: there is no such file"):
        log.log(study, "digits", "gsa-C1-relative-d1-stem", seed=101)

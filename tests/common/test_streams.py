"""What commands write to: readers that leave, terminals that can do little, wishes for help."""

from __future__ import annotations

import io
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_study
import pytest
from stages import FAKE, Stage

from pipeline import __main__ as command_line
from pipeline.common import errors
from pipeline.common import signals as signals
from pipeline.common.commands import STAGES, commands
from pipeline.execution.engine import InProcess
from pipeline.execution.progress import Progress
from pipeline.sweep import stage as sweep

COMMANDS = commands()
MODULES = [
    *(f"pipeline.{stage}" for stage in STAGES),
    "pipeline.prepare.look",
    "pipeline.execution.orphan_cleanup",
]
SCRIPTS = ["scripts/make_environment.py"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["pipeline", *arguments])
    try:
        errors.main(command_line.main)
    except SystemExit as ending:
        return int(ending.code or 0)
    return 0


@pytest.mark.parametrize("word", ["--help", "-h"])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_how_to_use_it(
    name: str, word: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)  # nothing can be run here
    assert run(monkeypatch, name, word) == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m pipeline {name}")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_what_it_does_not_know(
    name: str, monkeypatch: pytest.MonkeyPatch, root: Path, capsys: Any
) -> None:
    monkeypatch.chdir(root)
    assert run(monkeypatch, name, "--unknown") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1


@pytest.mark.parametrize(("word", "code"), [("--help", 0), ("-h", 0), ("--unknown", 2)])
@pytest.mark.parametrize("name", [*MODULES, *SCRIPTS])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_module_that_runs_alone_tells_how_to_use_it(
    name: str, word: str, code: int, monkeypatch: pytest.MonkeyPatch, root: Path, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "argv", [name, word])
    ended = 0
    try:
        if name.endswith(".py"):
            runpy.run_path(str(root / name), run_name="__main__")
        else:
            runpy.run_module(name, run_name="__main__")
    except SystemExit as ending:
        ended = int(ending.code or 0)
    said = capsys.readouterr()
    assert ended == code and ("usage: " in said.out) is not bool(code)
    assert "error: " in said.err if code else not said.err


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["pipeline", *MODULES[1:4]])
def test_a_module_names_a_package_of_another_python(name: str, tmp_path: Path, root: Path) -> None:
    (tmp_path / "pydantic").mkdir()
    (tmp_path / "pydantic/__init__.py").write_text("raise ImportError('of another Python')")
    arguments = ["check"] if name == "pipeline" else []
    done = subprocess.run(
        [sys.executable, "-m", name, *arguments], cwd=root, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"error: {tmp_path}/pydantic/__init__.py: a package from outside")


def with_closed_reader(command: list[str], folder: Path, **options: Any) -> tuple[int, str]:
    """Run a command whose standard output has no reader any more."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command, cwd=folder, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120,
        **options,
    )  # fmt: skip
    os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["use", "check", "--help"])
def test_a_reader_that_leaves_ends_a_command_without_a_word(name: str, root: Path) -> None:
    command = [sys.executable, "-m", "pipeline", name]
    assert with_closed_reader(command, root) == (errors.CLOSED, "")


@pytest.mark.deep
def test_a_reader_that_leaves_ends_a_stage_and_no_trial_is_to_blame(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stage.folder)
    monkeypatch.setattr(sweep, "load_dataset", fake_study.fake_load)
    fake_study.prepare_folder()
    environment = {"GSA_ENGINE": "in-process", "GSA_QUIET": "", "PYTHONPATH": str(FAKE.parents[2])}
    done = with_closed_reader(
        [sys.executable, str(FAKE), "sweep", "fake_trial"], stage.folder,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done == (errors.CLOSED, "")
    monkeypatch.setenv("GSA_QUIET", "1")
    sweep.sweep(fake_study.study(), InProcess(), fake_study.fake_trial)
    assert set(stage.trials()["status"]) == {"completed"}


class Closed(io.StringIO):
    """A stream whose reader leaves after some lines."""

    left = 2

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise BrokenPipeError
        return super().write(text)


@pytest.mark.parametrize("terminal", [False, True])
def test_within_a_trial_the_error_of_the_display_is_no_failed_trial(
    terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(Closed, "isatty", lambda self: terminal)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GSA_QUIET", raising=False)
    monkeypatch.setattr(sweep, "load_dataset", fake_study.fake_load)
    monkeypatch.setattr(signals, "DEADLINE", 3600.0)  # what ends a stage by force ends no test
    monkeypatch.setattr(sys, "stdout", Closed())
    fake_study.prepare_folder()

    def noting(task: Any, data: Any, context: Any) -> dict[str, Any]:
        context.note("said within the trial")
        return fake_study.fake_trial(task, data, context)

    with pytest.raises(signals.Interrupted, match="SIGPIPE"), signals.ending_on_signals():
        sweep.sweep(fake_study.study(), InProcess(), noting)
    journal = next(Path(".state").rglob("journal.log")).read_text()
    assert "BrokenPipeError" not in journal and '"failed"' not in journal


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", ["20", "1", "0", "", "many"])
@pytest.mark.parametrize(
    ("term", "no_color", "moves"),
    [
        ("dumb", "", False),
        ("", "", False),
        ("unknown", "", False),
        ("xterm", "1", False),
        ("xterm", "", True),
    ],
)
def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(
    term: str, no_color: str, moves: bool, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.delenv("GSA_QUIET", raising=False)
    stream, seconds = Terminal(), iter(range(1000))
    progress = Progress("sweep", {"cell": 3}, 1, stream, lambda: float(next(seconds)))
    with progress:
        for number in range(3):
            progress.start("cell", f"trial {number}")
            progress.finish("cell", f"trial {number}", "completed", 0.5, 1.0)
        progress.say("a line")
    assert ("\x1b" in stream.getvalue()) is moves
    assert "?25l" not in stream.getvalue(), "a killed process could not show the cursor again"
    text = re.sub(r"\x1b\[[\d;]*\w|[\r\n]", "", stream.getvalue())
    assert text.isprintable() and ("a line" in text or moves)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_letters_beyond_the_encoding_do_not_end_a_command(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding))
    errors.main(lambda: print("naïve 漢 \ud800"))
    assert b"\\u6f22 \\ud800" in raw.getvalue()


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_closed_stream_is_no_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, name, None)
    errors.main(lambda: print("unheard"))

"""What the terminal shows: a table in place, lines in a log, nothing when asked."""

from __future__ import annotations

import io
import re

import pytest

from pipeline.common.progress import wrapped
from pipeline.execution.live_table import TEST
from pipeline.execution.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    def last_frame(self) -> list[str]:
        """The lines of the last drawing."""
        shown = self.getvalue().split("\x1b[2K")[-1]
        return [line.rstrip() for line in re.sub(r"\x1b\[[\d;?]*\w", "", shown).splitlines()]


@pytest.fixture(autouse=True)
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GSA_QUIET", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "30")


def work(stream: io.StringIO) -> Progress:
    """Two cells of three trials, of which three finish, a minute each."""
    now = [0.0]
    progress = Progress("sweep", {"C1": 3, "C4": 3}, 2, stream, lambda: now[0])
    progress.machines = "2 nodes, 1 of 4 CPUs taken"
    with progress:
        for number, (cell, status, score) in enumerate(
            [("C1", "completed", 0.9), ("C4", "failed", None), ("C1", "completed", 0.8)]
        ):
            progress.start(cell, f"trial {number}")
            now[0] += 60
            progress.finish(cell, f"trial {number}", status, score, 60)
        progress.start("C4", "trial 3")
        progress.epoch("C4", "trial 3", 2, 8)
    return progress


def test_a_terminal_has_one_table() -> None:
    stream = Terminal()
    work(stream)
    assert stream.last_frame() == [
        "sweep: [##########..........] 3 of 6 done, 1 failed; 1.0/min, about 3 min left; "
        "2 nodes, 1 of 4 CPUs taken",
        "      done  running  failed  best validation  since",
        "  C1   2/3                            90.0 %      1",
        "  C4   1/3        1       1                          trial 3 epoch 2/8",
    ]


def test_runs_have_the_mean_test_accuracy_of_their_seeds() -> None:
    stream, log = Terminal(), io.StringIO()
    for shown in (stream, log):
        with Progress("confirm", {"C1": 2}, 1, shown, scores=TEST) as progress:
            for seed, accuracy in ((101, 0.9), (102, 0.8)):
                progress.start("C1", f"seed {seed}")
                progress.finish("C1", f"seed {seed}", "completed", accuracy, 60)
    assert stream.last_frame() == [
        "confirm: [####################] 2 of 2 done",
        "      done  running  failed  mean test",
        "  C1   2/2                      85.0 %",
    ]
    assert "seed 102: test 80.0 %, mean 85.0 %, 60.0 s; done" in log.getvalue()


def test_the_table_of_an_interrupted_stage_says_so() -> None:
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt), Progress("sweep", {"C1": 2}, 1, stream) as progress:
        progress.start("C1", "trial 0")
        raise KeyboardInterrupt
    head, columns, row = stream.last_frame()
    assert head == "sweep: [....................] 0 of 2 done; interrupted"
    assert columns.split()[1] == "interrupted" and row.split()[2:] == ["1", "trial", "0"]


def test_a_resumed_stage_says_how_many_tasks_continue() -> None:
    progress = Progress("sweep", {"C1": 4}, 1, io.StringIO())
    assert progress.resumed() == "4 tasks to run"
    progress.continued = 1
    assert progress.resumed() == "4 tasks to run, 1 of them from the last epoch"
    progress.restore("C1", True, 0.9)
    assert progress.resumed() == (
        "resuming, 1 of 4 tasks finished, 3 to run, 1 of them from the last epoch"
    )


def test_long_lines_break_at_blanks_of_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    text = "prepare: digits: a sentence of many words\nreports/index.html"
    assert wrapped(text, io.StringIO()) == text
    assert wrapped(text, Terminal()).splitlines() == [
        "prepare: digits: a sentence",
        "  of many words",
        "reports/index.html",
    ]


def test_a_log_has_a_line_for_each_trial() -> None:
    stream = io.StringIO()
    work(stream)
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().splitlines() == [
        "sweep 1/6  C1  trial 0: validation 90.0 %, best 90.0 %, 60.0 s; about 2.5 min left",
        "sweep 2/6  C4  trial 1: failed, 60.0 s; 1.0/min, about 4 min left",
        "sweep 3/6  C1  trial 2: validation 80.0 %, best 90.0 %, 60.0 s; 1.0/min, about 3 min left",
    ]


def test_a_log_has_a_line_for_each_silent_minute() -> None:
    stream, now = io.StringIO(), [0.0]
    progress = Progress("sweep", {"C1": 2, "C4": 2}, 2, stream, lambda: now[0])
    with progress:
        progress.start("C1", "trial 0")
        for now[0] in (30.0, 59.0, 61.0, 90.0, 122.0):
            progress.tick()
        progress.finish("C1", "trial 0", "completed", 0.9, 122)
        for now[0] in (150.0, 181.0, 183.0):
            progress.tick()
    assert stream.getvalue().splitlines() == [
        "sweep: 0 of 4 done, 1 running; time left not known yet",
        "sweep: 0 of 4 done, 1 running; time left not known yet",
        "sweep 1/4  C1  trial 0: validation 90.0 %, best 90.0 %, 122.0 s; about 3 min left",
        "sweep: 1 of 4 done, 0 running; about 3 min left",
    ]


@pytest.mark.parametrize(
    ("seconds", "left"),
    [([0.0, 0.1], "time left not known yet"), ([0.0, 60.0], "about 2 min left")],
)
def test_what_fails_at_once_makes_no_pace(seconds: list[float], left: str) -> None:
    stream = io.StringIO()
    shown = Progress("sweep", {"C1": 6}, 2, stream, lambda: 0.0)
    for number, taken in enumerate(seconds):
        shown.start("C1", f"trial {number}")
        shown.finish("C1", f"trial {number}", "failed", None, taken)
    assert stream.getvalue().splitlines()[-1].endswith(left)


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_quiet_is_quiet(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSA_QUIET", "1")
    work(stream).say("never seen")
    assert not stream.getvalue()


def test_a_table_larger_than_the_terminal_shows_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "3")
    stream = Terminal()
    work(stream)
    last = stream.last_frame()
    assert len(last) == 3 and last[-1].startswith("  C4 ")


def test_a_resumed_trial_shows_its_whole_time() -> None:
    stream = io.StringIO()
    with Progress("sweep", {"C1": 2}, 1, stream) as progress:
        progress.finish("C1", "trial 0", "completed", 0.9, 32.3, whole=57.7)
        progress.finish("C1", "trial 1", "completed", 0.9, 40.2, whole=40.0)
    assert "best 90.0 %, 57.7 s, 32.3 s of it since it resumed; " in stream.getvalue()
    assert "best 90.0 %, 40.2 s; " in stream.getvalue()

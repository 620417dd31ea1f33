"""What the terminal shows while a stage runs: a table in place, or plain lines in a log."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from rich.console import Group
from rich.text import Text

from pipeline.common.failures import GOOD, Failure, brief, harmless, tally
from pipeline.common.progress import LINES, bar, is_capable
from pipeline.common.signals import end_unread
from pipeline.common.units import duration
from pipeline.execution.live_table import (
    VALIDATION,
    CellProgress,
    Scores,
    head_of,
    live_display,
    table_of,
)
from pipeline.execution.running_tasks import note_running

# Seconds between two drawings of the table, and between two notes for other terminals.
INTERVAL, NOTES = 0.5, 2.0


class Progress:
    """Progress of a stage over its cells.

    On a terminal a bar and a table are redrawn in place; elsewhere each finished task is a line,
    and a minute in which none finishes ends with a line, too. With
    `GSA_QUIET` set nothing is shown but the last line of the stage.

    Parameters
    ----------
    stage : str
        What runs; it begins every line.
    totals : mapping
        Tasks of each cell, in order.
    slots : int or str
        Tasks in parallel, for the time that is left; "auto" is what a cluster has room for.
    noted : bool
        Whether the stage writes down what it runs, for `status` in another terminal.
    scores : Scores
        What the scores of its tasks are.
    stream, clock
        Where to write, and seconds that never step back.
    """

    def __init__(
        self,
        stage: str,
        totals: Mapping[str, int],
        slots: int | str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        noted: bool = False,
        scores: Scores = VALIDATION,
    ) -> None:
        self.stage, self.slots = stage, slots if isinstance(slots, int) else 1
        self.scores = scores
        self.continued = 0  # tasks that an earlier start began, and whose last epoch is kept
        self.interrupted = False
        self.noted = float("-inf" if noted else "inf")  # when a note was written last
        self.parallel = (
            ("one at a time" if slots == 1 else f"{slots} in parallel")
            if isinstance(slots, int)
            else "as many in parallel as the cluster has room for"
        )
        self.cells = {name: CellProgress(name, total) for name, total in totals.items()}
        self.stream = stream or sys.stdout
        self.quiet = os.environ.get("GSA_QUIET", "") not in ("", "0")
        self.live = (
            live_display(self.stream) if not self.quiet and is_capable(self.stream) else None
        )
        self.clock = clock
        self.seconds: list[float] = []
        self.started: float | None = None
        # What the engine says of its nodes.
        self.machines = ""
        self.printed: set[str] = set()
        self.last = self.said = 0.0  # when the table was drawn, and a line printed

    @property
    def total(self) -> int:
        """Tasks of the stage."""
        return sum(cell.total for cell in self.cells.values())

    @property
    def done(self) -> int:
        """Tasks that are finished, in whatever way."""
        return sum(cell.done for cell in self.cells.values())

    def say(self, text: str) -> None:
        """Print a line above the table."""
        if not self.quiet:
            self._write(f"{self.stage}: {harmless(text)}\n")

    def restore(self, name: str, ok: bool, score: float | None) -> None:
        """Count a task that an earlier start of the stage has finished."""
        self.cells[name].add(ok, score if ok else None)

    def resumed(self) -> str:
        """Say how many tasks an earlier start of the stage has finished."""
        kept = f", {self.continued} of them from the last epoch" if self.continued else ""
        if not self.done:
            return f"{self.total} tasks to run{kept}"
        to_run = f", {self.total - self.done} to run{kept}" if kept else ""
        return f"resuming, {self.done} of {self.total} tasks finished{to_run}"

    def start(self, name: str, label: str) -> None:
        """Note that a task runs."""
        if self.started is None:
            self.started = self.said = self.clock()
        self.cells[name].running[label] = label
        self.tick()

    def epoch(self, name: str, label: str, epoch: int, epochs: int) -> None:
        """Note how far a running task is."""
        self.cells[name].running[label] = f"{label} epoch {epoch}/{epochs}"

    def finish(
        self,
        name: str,
        label: str,
        status: str,
        score: float | None,
        seconds: float,
        failure: Failure | None = None,
        whole: float | None = None,
    ) -> None:
        """Note that a task is finished, and say so where there is no table.

        `seconds` are those since its last start, `whole` those of its row, earlier starts included.
        Each distinct reason is printed once, with the command that shows the whole traceback.
        """
        cell = self.cells[name]
        cell.running.pop(label, None)
        if status in GOOD or seconds >= 1:  # what fails at once says nothing about the rate
            self.seconds.append(seconds)
        self.restore(name, status in GOOD, score)
        if failure is not None:
            self._fail(f"{name} {label}", failure)
        if self.live or self.quiet:
            return
        ending = status
        if score is not None and status == "completed":
            ending = f"{self.scores.name} {100 * score:.1f} %"
        if failure is not None:
            ending = f"{status}: {brief(failure[1], 80)}"
        summed = cell.summed(self.scores)
        summed = f", {self.scores.summed} {summed}" if summed else ""
        width = max(len(name) for name in self.cells)
        time = f"{seconds:.1f} s"
        if whole is not None and whole > seconds + 1:
            time = f"{whole:.1f} s, {time} of it since it resumed"
        self._write(
            f"{self.stage} {self.done:>{len(str(self.total))}}/{self.total}  "
            f"{cell.name:{width}}  {label}: {ending}{summed}, {time}; {self.left()}\n"
        )

    def summarise(self, failures: Sequence[Failure], what: str) -> None:
        """Say at the end of the stage how many of its tasks have failed, and why."""
        if failures:
            self.say(f"{len(failures)} of {self.total} {what} failed")
        for line in tally(failures):
            self.say(f"  {line}")

    def _fail(self, task: str, failure: Failure) -> None:
        status, reason, where = failure
        if (line := f"{status}: {brief(reason)}") not in self.printed:
            self.printed.add(line)
            self.say(f"{task} {line}; the whole: {where}")

    def left(self) -> str:
        """Say how long the rest will take, from the pace of this start of the stage."""
        remaining = self.total - self.done
        if not remaining:
            return "done"
        if not self.seconds or self.started is None:
            return "time left not known yet"
        elapsed = self.clock() - self.started
        slots = max(self.slots, sum(len(cell.running) for cell in self.cells.values()))
        if len(self.seconds) < slots:  # the others of the first round have not ended yet
            mean = sum(self.seconds) / len(self.seconds)
            return f"about {duration(mean * remaining / min(slots, remaining))} left"
        pace = elapsed / len(self.seconds)
        return f"{rate(pace)}, about {duration(pace * remaining)} left"

    def tick(self) -> None:
        """Draw the table again if it is time to; in a log, say what runs after a silent minute."""
        if self.started is not None and self.clock() - self.noted > NOTES:
            cells = {key: [*one.running.values()] for key, one in self.cells.items() if one.running}
            note_running(self.stage, cells, self.left())
            self.noted = self.clock()
        if self.live is None and self.started is not None and self.clock() - self.said > LINES:
            running = sum(len(cell.running) for cell in self.cells.values())
            self.say(f"{self.done} of {self.total} done, {running} running; {self.left()}")
        if self.live is not None and self.clock() - self.last > INTERVAL:
            self.live.console.size = shutil.get_terminal_size()
            self.live.start()
            self.live.update(self._table(), refresh=True)
            self.last = self.clock()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, error: object, *rest: object) -> None:
        """Draw a last time and leave the table standing."""
        self.interrupted = error is not None
        self.last = float("-inf")
        self.tick()
        if self.live is not None:
            self.live.stop()

    def _table(self) -> Group:
        """Lay out all cells where they fit, else those that run."""
        rows = shutil.get_terminal_size().lines
        cells = list(self.cells.values())
        if len(cells) + 3 > rows:
            cells = [cell for cell in cells if cell.running][: max(1, rows - 3)]
        failed = sum(cell.failed for cell in self.cells.values())
        head = f"{self.stage}: {bar(self.done, self.total)} {self.done} of {self.total} done"
        head += f", {failed} failed" if failed else ""
        left = "interrupted" if self.interrupted else self.left() if self.done < self.total else ""
        head = "; ".join(filter(None, [head, left, self.machines]))
        columns = head_of(self.scores, "interrupted" if self.interrupted else "running")
        table = table_of([columns, *(cell.columns(self.scores) for cell in cells)])
        return Group(Text(head, no_wrap=True, overflow="ellipsis"), table)

    def _write(self, text: str) -> None:
        """Write at once, above the table where there is one."""
        if self.live is not None:
            self.live.console.print(Text(text), end="", soft_wrap=True)
            return
        self.said = self.clock()
        try:
            self.stream.write(text)
            self.stream.flush()
        except BrokenPipeError:
            end_unread()


class EngineNotes:
    """What the sources of sweep and confirm do with a note of the engine."""

    progress: Progress

    def note(self, text: str) -> None:
        """Show a note of the engine."""
        self.progress.say(text)

    def machines(self, text: str) -> None:
        """Show what the engine says of its nodes."""
        self.progress.machines = text


def rate(seconds: float) -> str:
    """Write how often something happens that takes so long.

    >>> rate(0.5), rate(7), rate(900)
    ('2.0/s', '8.6/min', '4.0/h')
    """
    for unit, length in (("s", 1), ("min", 60), ("h", 3600)):
        if seconds <= length or length == 3600:
            return f"{length / max(seconds, 1e-9):.1f}/{unit}"
    raise AssertionError

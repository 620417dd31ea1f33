"""What the terminal shows while a stage runs: a table in place, or plain lines in a log."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO

# How a task ends that has not failed.
GOOD = ("completed", "stopped")
# Seconds between two drawings of the table.
INTERVAL = 0.25


@dataclass
class Standing:
    """How far one cell is."""

    name: str
    total: int
    done: int = 0
    failed: int = 0
    best: float | None = None
    running: dict[str, str] = field(default_factory=dict)

    def line(self, width: int) -> str:
        """Write the cell's line of the table."""
        best = "" if self.best is None else f"{100 * self.best:.1f} %"
        failed = f"{self.failed} failed" if self.failed else ""
        now = ", ".join(self.running.values())
        count = f"{self.done}/{self.total}"
        return f"  {self.name:{width}}  {count:>7}  {best:>8}  {failed:9} {now}".rstrip()


class Progress:
    """Progress of a stage over its cells.

    On a terminal a table is redrawn in place; elsewhere each finished task is a line. With
    `GSA_QUIET` set nothing is shown but the last line of the stage.

    Parameters
    ----------
    stage : str
        What runs, first word of every line.
    totals : mapping
        Tasks of each cell, in order.
    slots : int
        Tasks at once, for the time that is left.
    """

    def __init__(
        self,
        stage: str,
        totals: Mapping[str, int],
        slots: int,
        stream: TextIO | None = None,
    ) -> None:
        self.stage, self.slots = stage, max(1, slots)
        self.cells = {name: Standing(name, total) for name, total in totals.items()}
        self.stream = stream or sys.stdout
        self.quiet = os.environ.get("GSA_QUIET", "") not in ("", "0")
        self.live = not self.quiet and self.stream.isatty()
        self.seconds: list[float] = []
        self.drawn, self.last = 0, 0.0

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
            self._erase()
            print(f"{self.stage}: {text}", file=self.stream, flush=True)

    def restore(self, name: str, ok: bool, score: float | None) -> None:
        """Count a task that an earlier start of the stage has finished."""
        cell = self.cells[name]
        cell.done += 1
        cell.failed += not ok
        cell.best = best_of(cell.best, score if ok else None)

    def start(self, name: str, label: str) -> None:
        """Note that a task runs."""
        self.cells[name].running[label] = label
        self.tick()

    def epoch(self, name: str, label: str, epoch: int, epochs: int) -> None:
        """Note how far a running task is."""
        self.cells[name].running[label] = f"{label} epoch {epoch}/{epochs}"

    def finish(
        self, name: str, label: str, status: str, score: float | None, seconds: float
    ) -> None:
        """Note that a task is finished, and say so where there is no table."""
        cell = self.cells[name]
        cell.running.pop(label, None)
        self.seconds.append(seconds)
        self.restore(name, status in GOOD, score)
        if self.live or self.quiet:
            return
        told = f"{100 * score:.1f} %" if score is not None and status == "completed" else status
        best = "" if cell.best is None else f", best {100 * cell.best:.1f} %"
        width = max(len(name) for name in self.cells)
        print(
            f"{self.stage} {self.done:>{len(str(self.total))}}/{self.total}  "
            f"{cell.name:{width}}  {label}: {told}{best}, {seconds:.1f} s; {self.left()}",
            file=self.stream,
            flush=True,
        )

    def left(self) -> str:
        """Say how long the rest will take, from the mean of the tasks so far."""
        remaining = self.total - self.done
        if not remaining:
            return "done"
        if not self.seconds:
            return "time left not known yet"
        mean = sum(self.seconds) / len(self.seconds)
        return f"about {duration(mean * remaining / min(self.slots, remaining))} left"

    def tick(self) -> None:
        """Draw the table again if it is time to."""
        if self.live and time.monotonic() - self.last > INTERVAL:
            self._erase()
            lines = self._table()
            self.stream.write("".join(f"{line}\n" for line in lines))
            self.stream.flush()
            self.drawn, self.last = len(lines), time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *ending: object) -> None:
        """Draw a last time and leave the table standing."""
        self.last = 0.0
        self.tick()
        self.drawn = 0

    def _table(self) -> list[str]:
        """Write the table: all cells where they fit, else those that run."""
        columns, rows = shutil.get_terminal_size()
        head = f"{self.stage}: {self.done} of {self.total} done, {self.left()}"
        width = max((len(name) for name in self.cells), default=0)
        cells = list(self.cells.values())
        if len(cells) + 2 > rows:
            cells = [cell for cell in cells if cell.running][: max(1, rows - 2)]
        return [line[: columns - 1] for line in [head, *(cell.line(width) for cell in cells)]]

    def _erase(self) -> None:
        """Take the table off the terminal."""
        if self.drawn:
            self.stream.write(f"\x1b[{self.drawn}F\x1b[0J")
            self.drawn = 0


def best_of(one: float | None, other: float | None) -> float | None:
    """Return the larger of two scores, either of which may be missing."""
    known = [score for score in (one, other) if score is not None]
    return max(known, default=None)


def duration(seconds: float) -> str:
    """Write a time as somebody would say it.

    >>> duration(41), duration(600), duration(7300)
    ('41 s', '10 min', '2 h 2 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"

"""Show the progress of a long step: how many are done, the rate, the time left."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable
from threading import Lock
from typing import TextIO

from pipeline.common.units import duration

__all__ = ["StepProgress", "bar", "is_capable", "wrapped"]

LINES = 60.0  # seconds between two lines in a log
FRAMES = 0.5  # seconds between two drawings in a terminal
_CLEAR = "\x1b[K"


def bar(done: int, total: int, width: int = 20) -> str:
    """Draw how much is done.

    >>> bar(3, 4, 8), bar(0, 0, 4)
    ('[######..]', '[....]')
    """
    full = width * done // total if total else 0
    return f"[{'#' * full}{'.' * (width - full)}]"


def is_capable(stream: TextIO) -> bool:
    """Whether a stream is a terminal that can redraw, by what it says of itself."""
    plain = os.environ.get("TERM", "") in ("", "dumb", "unknown") or os.environ.get("NO_COLOR")
    return stream.isatty() and not plain


def wrapped(text: str, stream: TextIO | None = None) -> str:
    """Break long lines at blanks where a stream is a terminal; elsewhere a line stays one line."""
    if not (stream or sys.stdout).isatty():
        return text
    width = shutil.get_terminal_size().columns - 1
    lines = (
        textwrap.wrap(
            line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
        for line in text.split("\n")
    )
    return "\n".join("\n".join(line) for line in lines)


class StepProgress:
    """Count what is done: a bar in a terminal, a line a minute elsewhere, nothing for short steps.

    Parameters
    ----------
    name
        The data set.
    doing
        The step, as in "reading".
    total
        How many there are.
    already
        How many of them were done before an interruption.
    unit
        What is counted, where it is not images.
    """

    def __init__(
        self,
        name: str,
        doing: str,
        total: int,
        already: int = 0,
        unit: str = "images",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.unit = unit
        self.text, self.total, self.done = f"prepare: {name}: {doing}", total, already
        self.started_at, self.clock, self.lock = already, clock, Lock()
        self.started = self.printed = clock()
        self.live = is_capable(sys.stdout)
        if already:
            print(f"{self.text}: resuming after {already:,} of {total:,} {unit}", flush=True)

    def add(self, count: int) -> None:
        """Count more of them as done."""
        with self.lock:
            self.done += count
            now = self.clock()
            if self.live and self.done >= self.total:
                print(end=_CLEAR, flush=True)
            if now - self.printed < (FRAMES if self.live else LINES) or self.done >= self.total:
                return
            self.printed = now
            rate = (self.done - self.started_at) / (now - self.started)
            said = (
                f"{self.done:,} of {self.total:,} {self.unit}, {rate:,.0f} {self.unit}/s, "
                f"{duration((self.total - self.done) / rate)} left"
            )
            if not self.live:
                print(f"{self.text}: {said}", flush=True)
                return
            # The cursor is left at the start, so that whatever is printed next is in its place.
            frame = f"{self.text}: {bar(self.done, self.total)} {said}"
            print(frame[: shutil.get_terminal_size().columns - 1], end=f"{_CLEAR}\r", flush=True)

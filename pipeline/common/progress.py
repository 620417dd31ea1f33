"""Print the progress of a long step: how many are done, the rate, the time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from pipeline.common.units import duration

__all__ = ["StepProgress"]

_SECONDS = 3.0  # between two lines


class StepProgress:
    """Count what is done and print it every few seconds; short steps print nothing.

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
        if already:
            print(f"{self.text}: resuming after {already:,} of {total:,} {unit}", flush=True)

    def add(self, count: int) -> None:
        """Count more of them as done."""
        with self.lock:
            self.done += count
            now = self.clock()
            if now - self.printed < _SECONDS or self.done >= self.total:
                return
            self.printed = now
            rate = (self.done - self.started_at) / (now - self.started)
            left = duration((self.total - self.done) / rate)
            print(
                f"{self.text}: {self.done:,} of {self.total:,} {self.unit}, "
                f"{rate:,.0f} {self.unit}/s, {left} left",
                flush=True,
            )

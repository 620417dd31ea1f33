"""Say how far a long step is: how many, how fast, how long still."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from pipeline.common.units import duration

__all__ = ["StepProgress"]

_SECONDS = 3.0  # between two lines


class StepProgress:
    """Counts what is done and says so every few seconds; short steps say nothing.

    Parameters
    ----------
    name
        The data set.
    doing
        What is done, as in "reading".
    total
        How many there are.
    already
        How many of them an earlier attempt has done.
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
        self.begun = self.said = clock()
        if already:
            print(f"{self.text} goes on after {already:,} of {total:,} {unit}", flush=True)

    def add(self, count: int) -> None:
        """Note that more images are done."""
        with self.lock:
            self.done += count
            now = self.clock()
            if now - self.said < _SECONDS or self.done >= self.total:
                return
            self.said = now
            rate = (self.done - self.started_at) / (now - self.begun)
            print(
                f"{self.text} {self.done:,} of {self.total:,} {self.unit}, {rate:,.0f} a second, "
                f"{duration((self.total - self.done) / rate)} left",
                flush=True,
            )

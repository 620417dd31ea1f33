"""Send the epochs of a task in batches, so that thousands of workers do not crowd one driver."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["EpochBatches", "interval"]

# Seconds between two messages of a worker, and messages a second of all workers together.
LEAST, MESSAGES = 3.0, 50.0


def interval(slots: int) -> float:
    """Return the seconds between two messages of each of so many workers.

    >>> interval(2), interval(1000)
    (3.0, 20.0)
    """
    return max(LEAST, slots / MESSAGES)


@dataclass
class EpochBatches:
    """Rows of finished epochs that have not been sent to the driver.

    What is left when the task ends need not be sent: the result holds every row. Of a worker that
    dies, those of the last seconds are lost, which its checkpoint may hold all the same.

    Parameters
    ----------
    send
        Takes rows to the driver.
    seconds
        Between two messages; the first is sent with the first row.
    clock
        Seconds, never stepping back.
    """

    send: Callable[[list[dict[str, Any]]], None]
    seconds: float
    clock: Callable[[], float] = time.monotonic
    rows: list[dict[str, Any]] = field(default_factory=list)
    due: float = float("-inf")

    def add(self, row: dict[str, Any]) -> None:
        """Take a row; send all where the last message was long enough ago."""
        self.rows.append(row)
        if self.clock() >= self.due:
            self.flush()

    def flush(self) -> None:
        """Send what is there."""
        if self.rows:
            self.send(self.rows)
            self.rows, self.due = [], self.clock() + self.seconds

"""Who does which task: hands tasks to workers, and counts what becomes of them."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.execution.task_log import Log
from pipeline.execution.tasks import (
    DIED,
    Result,
    Task,
    WorkSource,
    failed_result,
    timeout_reason,
)

# Set to anything but 0, it asks a local Ray for its dashboard, which needs `ray[default]`.
DASHBOARD = "GSA_DASHBOARD"
# A task whose worker dies is started again this many times without getting an epoch further: a
# dead process is the machine's fault until it has happened again and again.
RESTARTS = 2
# Seconds a task may overrun its limit before its process is ended from outside.
GRACE = 5.0


def nothing() -> None:
    """Do nothing; the default of a tick."""


@dataclass(frozen=True)
class Deaths:
    """How often in a row workers died in a task, the furthest epoch of which is `epoch`."""

    count: int = 0
    epoch: int = 0

    def another(self, epochs: list[dict[str, Any]]) -> Deaths:
        """One more, of a worker that reported `epochs`."""
        reached = max((row["epoch"] for row in epochs), default=0)
        return Deaths(1, reached) if reached > self.epoch else replace(self, count=self.count + 1)


@dataclass
class Dispatcher:
    """The driver's side of an engine with workers: who has which task, and what came of it.

    Workers are named by the engine. A worker that ends without a result is looked at here: over
    its time limit it is a timeout, else the task is handed out again. A task whose worker died more
    than `RESTARTS` times in a row without a new epoch fails; a new epoch starts the count again, so
    that a task with checkpoints may lose any number of machines. What is said of that comes before
    the log of its last worker.
    """

    source: WorkSource
    slots: int
    limit: float
    restarts: int = RESTARTS
    out: dict[str, tuple[Task, float]] = field(default_factory=dict)
    epochs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    again: deque[Task] = field(default_factory=deque)
    deaths: dict[str, Deaths] = field(default_factory=dict)
    logs: defaultdict[str, Log] = field(default_factory=lambda: defaultdict(Log))

    @property
    def finished(self) -> bool:
        """Whether no task is left to hand out and none is out."""
        return not self.out and not self.again and self.source.exhausted

    def take(self, worker: str) -> Task | None:
        """Give `worker` a task; None when all slots are taken or nothing can start now."""
        if len(self.out) >= self.slots:
            return None
        task = self.again.popleft() if self.again else self.source.next()
        if task is not None:
            self.out[worker] = (task, time.monotonic())
            self.epochs[worker] = []
        return task

    def begin(self, worker: str) -> None:
        """Start the clock of a task: its worker process is there."""
        if worker in self.out:
            self.out[worker] = (self.out[worker][0], time.monotonic())

    def epoch(self, worker: str, *rows: dict[str, Any]) -> None:
        """Keep epochs of the task that `worker` has, and pass on the last of them."""
        if worker in self.out and rows:
            kept = self.epochs[worker]
            for row in rows:
                # A worker that restarts a trial reports its first epochs again.
                while kept and kept[-1]["epoch"] >= row["epoch"]:
                    kept.pop()
                kept.append(row)
            self.source.epoch(self.out[worker][0], rows[-1])

    def finish(self, worker: str, result: Result) -> None:
        """Commit the result that `worker` sent; sending it twice changes nothing."""
        if worker in self.out:
            task, _ = self.out[worker]
            parts = [str(self.logs.pop(task.key, "")), result.log]
            self.source.finish(task, replace(result, log="\n".join(filter(None, parts))))
            self.deaths.pop(task.key, None)
            del self.out[worker], self.epochs[worker]

    def lost(self, worker: str, hint: str) -> None:
        """Deal with the task of a worker that ended without a result."""
        if worker not in self.out:
            return
        task, start = self.out[worker]
        seconds, epochs = time.monotonic() - start, self.epochs[worker]
        deaths = self.deaths.get(task.key, Deaths()).another(epochs)
        self.deaths[task.key] = deaths
        self.logs[task.key].add(f"the worker process ended after {seconds:.1f} s; {hint}")
        if seconds > self.limit:
            reason = timeout_reason(self.limit)
            self.finish(worker, failed_result("timeout", reason, seconds, epochs))
        elif deaths.count > self.restarts:
            reason = f"{DIED}: the worker process ended {deaths.count} times in this task, "
            reason += f"which got no further than epoch {deaths.epoch}; {hint}"
            self.finish(worker, failed_result("failed", reason, seconds, epochs))
        else:
            del self.out[worker], self.epochs[worker]
            self.again.append(task)
            self.source.note(f"a worker process died in {task.key}, which starts again; {hint}")

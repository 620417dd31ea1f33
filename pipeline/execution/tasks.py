"""What an engine runs: tasks, the source that hands them out, and how one task is performed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pipeline.common.failures import describe
from pipeline.execution.task_log import Log

# How the reason of a failed task begins where its worker processes died.
DIED = "WorkerDied"
# What of a result must be a number: of a trial in its row, of a run in its measures.
NUMBERS = ("validation_accuracy", "validation_accuracy_turned", "validation_invariance_error")
MEASURED = ("test_accuracy", "test_accuracy_turned", "invariance_error", "consistency")


@dataclass(frozen=True)
class Task:
    """One piece of work: `key` is its lasting name, `payload` all its input but the data."""

    key: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What became of a task.

    Attributes
    ----------
    value : dict
        What the work function returned: a "row" with its status, "epochs", and what else it found.
        Of a task that failed or ran out of time, the row says why, and the epochs are those
        reported before the end.
    seconds : float
        How long the task took.
    log : str
        What was said meanwhile.
    """

    value: dict[str, Any]
    seconds: float = 0.0
    log: str = ""


def failed_result(
    status: Literal["failed", "timeout"],
    reason: str,
    seconds: float = 0.0,
    epochs: Sequence[dict[str, Any]] = (),
    log: str = "",
) -> Result:
    """Return the result of a task that did not come to its own end: a row like any other."""
    row = {"status": status, "reason": reason, "seconds": seconds}
    return Result({"row": row, "epochs": list(epochs)}, seconds, log)


def checked(value: dict[str, Any]) -> dict[str, Any]:
    """Return what a work function returned; a row whose score is not a number has diverged."""
    row, measures = value["row"], value.get("measures", {}).get("run", {})
    found = {**{name: row.get(name) for name in NUMBERS},
             **{name: measures.get(name) for name in MEASURED}}  # fmt: skip
    wrong = [name for name, x in found.items() if x is not None and not math.isfinite(x)]
    if row["status"] != "completed" or not wrong:
        return value
    reason = f"the {wrong[0].replace('_', ' ')} is not a number"
    return {**value, "row": {**row, "status": "diverged", "reason": reason}}


class OverTime(Exception):
    """The task used up its time; raised where it reports an epoch."""


class CannotWork(Exception):
    """The engine cannot run any task at all, so that none of them is to blame."""


@dataclass
class Context:
    """What a work function is given in addition to its task and the data.

    Attributes
    ----------
    device : str
        Where to compute, "cpu" or "cuda".
    limit : float
        Seconds the task may take; looked at whenever an epoch is reported.
    send : callable
        Takes the row of a finished epoch to the driver, perhaps a few seconds later.
    flush : callable
        Takes all such rows to the driver now.
    send_note : callable
        Takes a note for the user to the driver.
    log : Log
        Keeps what is said.
    """

    device: str = "cpu"
    limit: float = float("inf")
    send: Callable[[dict[str, Any]], None] | None = None
    flush: Callable[[], None] | None = None
    send_note: Callable[[str], None] | None = None
    epochs: list[dict[str, Any]] = field(default_factory=list)
    start: float = field(default_factory=time.monotonic)
    log: Log = field(default_factory=Log)

    def report(self, epoch: dict[str, Any], flush: bool = False) -> None:
        """Keep the row of a finished epoch, send it, and stop a task that is over its limit."""
        self.epochs.append(epoch)
        if self.send is not None:
            self.send(epoch)
        if flush and self.flush is not None:
            self.flush()
        if time.monotonic() - self.start > self.limit:
            raise OverTime

    def note(self, text: str) -> None:
        """Show the user something about the task, and log it."""
        self.log.add(text)
        if self.send_note is not None:
            self.send_note(text)


WorkFunction = Callable[[Task, Mapping[str, Any], Context], dict[str, Any]]


class WorkSource(Protocol):
    """Hands out tasks and takes their results; the same task may come back only once."""

    @property
    def exhausted(self) -> bool:
        """Whether every task has been handed out and its result taken."""

    def next(self) -> Task | None:
        """Hand out the next task; None when there is none now (or none any more)."""

    def epoch(self, task: Task, row: dict[str, Any]) -> None:
        """Take note of a finished epoch of a running task."""

    def finish(self, task: Task, result: Result) -> None:
        """Commit the result of a task for good."""

    def note(self, text: str) -> None:
        """Show the user something about the work."""

    def machines(self, text: str) -> None:
        """Say what the work runs on now, and how much of it is taken."""


def perform(
    function: WorkFunction, task: Task, data: Mapping[str, Any], context: Context
) -> Result:
    """Run one task to a result; an error of the function is a result, not an exception."""
    status: Literal["finished", "failed", "timeout"] = "finished"
    value: dict[str, Any] = {}
    reason = ""
    try:
        with context.log.listening(context.device):
            value = checked(function(task, data, context))
    except OverTime:
        status, reason = "timeout", timeout_reason(context.limit)
    except (Exception, SystemExit) as error:
        # The same code on the same input fails the same way: a row, never a retry.
        status, reason = "failed", describe(error)
    seconds = time.monotonic() - context.start
    context.log.add(f"{status} after {seconds:.1f} s")
    if status == "finished":
        return Result(value, seconds, str(context.log))
    return failed_result(status, reason, seconds, context.epochs, str(context.log))


def timeout_reason(limit: float) -> str:
    """Say why a task was stopped, as its row says it."""
    return f"stopped at resources.trial_timeout_seconds = {limit:g}"

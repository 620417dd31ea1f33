"""What the two stages give an engine: trials from the ledgers, runs from the plan of confirm."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.execution.checkpoints import Checkpoints
from pipeline.execution.progress import Progress
from pipeline.execution.work import Result, Task, describe
from pipeline.runs import RunStore
from pipeline.search.ledger import CellLedger, score


def outcome(result: Result) -> dict[str, Any]:
    """Turn a result into a row and its epochs: a failure is a row too, NaN never a score."""
    if result.status != "finished":
        row = {"status": result.status, "reason": result.reason, "seconds": result.seconds}
        return {"row": row, "epochs": result.epochs}
    value = {**result.value, "row": dict(result.value["row"])}
    row = value["row"]
    if row["status"] == "completed" and not math.isfinite(row.get("validation_accuracy", 0.0)):
        row.update(status="diverged", reason="the validation accuracy is not a number")
    return value


class Told:
    """What both sources do with a note of the engine."""

    progress: Progress

    def note(self, text: str) -> None:
        """Show a note of the engine."""
        self.progress.say(text)


class SweepSource(Told):
    """Hands out the trials of all cells in turn: the lowest number first, then in order of cells.

    So every cell has its first result before any starts its second, and a cell that cannot work
    at all is known early.
    """

    def __init__(
        self,
        ledgers: Sequence[CellLedger],
        progress: Progress,
        checkpoints: Mapping[str, Checkpoints],
    ) -> None:
        self.ledgers, self.progress, self.checkpoints = list(ledgers), progress, checkpoints
        self.out: dict[str, tuple[CellLedger, int]] = {}
        for ledger in self.ledgers:
            for _, result in ledger.results():
                value = score(result["row"])
                progress.restore(ledger.name, value is not None, value)

    @property
    def exhausted(self) -> bool:
        """Whether every trial of every cell has finished."""
        return all(ledger.complete for ledger in self.ledgers)

    def next(self) -> Task | None:
        """Start the next trial.

        One whose proposal makes no model, or whose cell always fails, fails on the spot.
        """
        while True:
            upcoming = [(ledger.upcoming, ledger) for ledger in self.ledgers]
            ready = [(number, ledger) for number, ledger in upcoming if number is not None]
            if not ready:
                return None
            number, ledger = min(ready, key=lambda pair: pair[0])
            task = Task(f"{ledger.name} {number}", {})
            self.out[task.key] = (ledger, number)
            sampled = ledger.start()
            self.progress.start(ledger.name, f"trial {number}")
            if (reason := ledger.hopeless) is not None:
                self.finish(task, Result("failed", reason=reason))
                continue
            try:
                config = ledger.configure(sampled)
            except Exception as error:
                self.finish(task, Result("failed", reason=describe(error)))
                continue
            payload = {"dataset": ledger.dataset, "configuration": config}
            place = self.checkpoints[ledger.dataset].of(task.key).address
            return Task(task.key, {**payload, "checkpoint": place})

    def epoch(self, task: Task, row: dict[str, Any]) -> None:
        """Show how far a trial is."""
        ledger, number = self.out[task.key]
        epochs = task.payload["configuration"]["epochs"]
        self.progress.epoch(ledger.name, f"trial {number}", int(row["epoch"]), epochs)

    def finish(self, task: Task, result: Result) -> None:
        """Commit a trial's row and epochs to the journal."""
        ledger, number = self.out[task.key]
        value = outcome(result)
        row = value["row"]
        row["configuration"] = task.payload.get("configuration")
        ledger.finish(number, row, value["epochs"])
        self.checkpoints[ledger.dataset].remove(task.key)
        del self.out[task.key]
        self.progress.finish(
            ledger.name, f"trial {number}", row["status"], score(row), result.seconds
        )


class ConfirmSource(Told):
    """Hands out the runs that are not in the store yet, and puts their results there.

    Parameters
    ----------
    tasks : mapping
        Tasks by the name under which progress counts them.
    store : RunStore
        Where results are kept.
    progress : Progress
        Told of everything.
    checkpoints : Checkpoints
        Where unfinished runs keep their state.
    """

    def __init__(
        self,
        tasks: Sequence[tuple[str, Task]],
        store: RunStore,
        progress: Progress,
        checkpoints: Checkpoints,
    ) -> None:
        self.store, self.progress, self.checkpoints = store, progress, checkpoints
        self.names = {task.key: name for name, task in tasks}
        self.results: dict[str, dict[str, Any]] = {}
        self.waiting: deque[Task] = deque()
        for name, task in tasks:
            known = store.get(task.key)
            if known is None:
                self.waiting.append(task)
            else:
                self.results[task.key] = known
                progress.restore(name, known["row"]["status"] == "completed", accuracy(known))

    @property
    def exhausted(self) -> bool:
        """Whether every run has its result."""
        return len(self.results) == len(self.names)

    def next(self) -> Task | None:
        """Hand out the next run."""
        if not self.waiting:
            return None
        task = self.waiting.popleft()
        self.progress.start(self.names[task.key], task.payload["label"])
        return Task(task.key, {**task.payload, "checkpoint": self.checkpoints.of(task.key).address})

    def epoch(self, task: Task, row: dict[str, Any]) -> None:
        """Show how far a run is."""
        epochs = task.payload["configuration"]["epochs"]
        name, label = self.names[task.key], task.payload["label"]
        self.progress.epoch(name, label, int(row["epoch"]), epochs)

    def finish(self, task: Task, result: Result) -> None:
        """Commit the result of a run."""
        value = outcome(result)
        self.store.put(task.key, value)
        self.checkpoints.remove(task.key)
        self.results[task.key] = value
        name, label, status = self.names[task.key], task.payload["label"], value["row"]["status"]
        self.progress.finish(name, label, status, accuracy(value), result.seconds)


def accuracy(value: Mapping[str, Any]) -> float | None:
    """Return the test accuracy of a result that has one."""
    test: float | None = value.get("measures", {}).get("run", {}).get("test_accuracy")
    return test

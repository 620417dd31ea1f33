"""The runs of confirm as tasks for an engine, and their results in the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.common.failures import Failure, failure_of
from pipeline.confirm.finished_runs import FinishedRuns
from pipeline.confirm.result_store import RunStore
from pipeline.execution.checkpoints import Checkpoints
from pipeline.execution.live_tracking import LiveTracking
from pipeline.execution.progress import EngineNotes, Progress
from pipeline.execution.tasks import Result, Task


class ConfirmSource(EngineNotes):
    """Hand out the runs that are not in the store yet, and store their results.

    Parameters
    ----------
    tasks : mapping
        Tasks by the name under which progress counts them.
    store : RunStore
        The store of results.
    progress : Progress
        Shows what happens.
    checkpoints : Checkpoints
        Where unfinished runs keep their state.
    finished : FinishedRuns, optional
        Finished runs in the project folder, which are taken from there and kept there.
    tracking : LiveTracking, optional
        Called for every run that finishes.
    """

    def __init__(
        self,
        tasks: Sequence[tuple[str, Task]],
        store: RunStore,
        progress: Progress,
        checkpoints: Checkpoints,
        finished: FinishedRuns | None = None,
        tracking: LiveTracking | None = None,
    ) -> None:
        self.tracking = tracking
        self.finished = finished
        self.store, self.progress, self.checkpoints = store, progress, checkpoints
        self.names = {task.key: name for name, task in tasks}
        self.log_command = {task.key: task.payload["log_command"] for _, task in tasks}
        self.results: dict[str, dict[str, Any]] = {}
        self.waiting: deque[Task] = deque()
        for name, task in tasks:
            known = store.get(task.key) or self._taken(task)
            if known is None:
                self.waiting.append(task)
            else:
                self.results[task.key] = known
                progress.restore(name, known["row"]["status"] == "completed", accuracy(known))
        progress.continued = checkpoints.kept(task.key for task in self.waiting)

    def _taken(self, task: Task) -> dict[str, Any] | None:
        """Store what another machine found in this run; None if there is no such thing."""
        if self.finished is None or task.payload["kind"] != "run":
            return None
        found = self.finished.take(task)
        return None if found is None else self.store.put(task.key, found)

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
        """Show the progress of a run."""
        epochs = task.payload["configuration"]["epochs"]
        name, label = self.names[task.key], task.payload["label"]
        self.progress.epoch(name, label, int(row["epoch"]), epochs)

    def finish(self, task: Task, result: Result) -> None:
        """Store the result of a run."""
        value = self.store.put(task.key, {**result.value, "log": result.log})
        if self.finished is not None:
            self.finished.keep(task, value)
        self.checkpoints.remove(task.key)
        self.results[task.key] = value
        config = task.payload.get("configuration")
        if self.tracking is not None and config is not None:  # else no run
            dataset = task.payload["dataset"]
            cell = self.names[task.key].removeprefix(f"{dataset} ")
            self.tracking.finished(dataset, cell, config["seed"], config, value)
        name, label, status = self.names[task.key], task.payload["label"], value["row"]["status"]
        failure = failure_of(value["row"], self.log_command[task.key])
        whole = value["row"].get("seconds")
        self.progress.finish(name, label, status, accuracy(value), result.seconds, failure, whole)

    def failures(self) -> list[Failure]:
        """List the runs that have failed, those of earlier starts too."""
        found = (failure_of(self.results[key]["row"], self.log_command[key]) for key in self.names)
        return [failure for failure in found if failure is not None]


def accuracy(value: Mapping[str, Any]) -> float | None:
    """Return the test accuracy of a result that has one."""
    test: float | None = value.get("measures", {}).get("run", {}).get("test_accuracy")
    return test

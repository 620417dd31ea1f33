"""The trials of a sweep as tasks for an engine, and their results as rows of the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.common.failures import GOOD, Failure, command, describe, failure_of
from pipeline.execution.checkpoints import Checkpoints
from pipeline.execution.live_tracking import LiveTracking
from pipeline.execution.progress import EngineNotes, Progress
from pipeline.execution.tasks import Result, Task, failed_result
from pipeline.search.objectives import score
from pipeline.sweep.budget import Budget
from pipeline.sweep.cell_search import CellSearch


class SweepSource(EngineNotes):
    """Hands out the trials of all cells in turn: the lowest number first, then in order of cells.

    Every cell has its first result before any starts its second, so that a broken cell is known
    early.

    Parameters
    ----------
    searches : sequence of CellSearch
        Of all cells of all data sets.
    progress : Progress
        Shows what happens.
    checkpoints : mapping
        By data set, where unfinished trials keep their state.
    budget : Budget
        After which no further trial is started.
    measures : sequence of str
        What trials measure in addition to their accuracy.
    tracking : LiveTracking
        Called for every trial that finishes.
    """

    def __init__(
        self,
        searches: Sequence[CellSearch],
        progress: Progress,
        checkpoints: Mapping[str, Checkpoints],
        budget: Budget | None = None,
        measures: Sequence[str] = (),
        tracking: LiveTracking | None = None,
    ) -> None:
        self.searches, self.progress, self.checkpoints = list(searches), progress, checkpoints
        self.budget, self.measures = budget or Budget(), list(measures)
        self.tracking = tracking
        self.running: dict[str, tuple[CellSearch, int]] = {}
        self.end_reason: str | None = None
        for search in self.searches:
            for _, result in search.results():
                row, value = result["row"], score(result["row"])
                progress.restore(search.name, row["status"] in GOOD, value)
                self.budget.restore(result.get("elapsed", 0.0), row["seconds"])
        for dataset, places in checkpoints.items():
            mine = (search for search in self.searches if search.dataset == dataset)
            begun = [f"{search.name} {number}" for search in mine for number in search.waiting]
            progress.continued += places.kept(begun) if begun else 0

    @property
    def exhausted(self) -> bool:
        """Whether every trial of every cell has finished, or all that may still be started."""
        if self.end_reason is not None:
            return not self.running
        return all(search.complete for search in self.searches)

    def next(self) -> Task | None:
        """Start the next trial.

        A trial whose proposal makes no model, or whose cell always fails, fails at once.
        """
        while True:
            upcoming = [(search.upcoming, search) for search in self.searches]
            ready = [(number, search) for number, search in upcoming if number is not None]
            if not ready or self._ends():
                return None
            number, search = min(ready, key=lambda pair: pair[0])
            task = Task(f"{search.name} {number}", {})
            self.running[task.key] = (search, number)
            sampled = search.start()
            self.progress.start(search.name, f"trial {number}")
            if (reason := search.repeated_error) is not None:
                self.finish(task, failed_result("failed", reason))
                continue
            try:
                config = search.configure(sampled)
            except Exception as error:
                self.finish(task, failed_result("failed", describe(error)))
                continue
            return Task(task.key, self._payload(task.key, search, number, config))

    def _ends(self) -> bool:
        """Whether the budget is used up; reported once."""
        if self.end_reason is None and (reason := self.budget.used_up) is not None:
            self.end_reason = reason
            self.note(f"{reason}; no further trial is started")
        return self.end_reason is not None

    def _payload(
        self, key: str, search: CellSearch, number: int, config: dict[str, Any]
    ) -> dict[str, Any]:
        """Return what a worker needs for a trial."""
        if cutoffs := search.cutoffs(number):
            config = {**config, "stop_below": cutoffs}
        return {
            "dataset": search.dataset,
            "configuration": config,
            "measures": self.measures,
            "checkpoint": self.checkpoints[search.dataset].of(key).address,
        }

    def epoch(self, task: Task, row: dict[str, Any]) -> None:
        """Show the progress of a trial."""
        search, number = self.running[task.key]
        epochs = task.payload["configuration"]["epochs"]
        self.progress.epoch(search.name, f"trial {number}", int(row["epoch"]), epochs)

    def finish(self, task: Task, result: Result) -> None:
        """Commit a trial's row and epochs to the journal."""
        search, number = self.running[task.key]
        row = {"configuration": task.payload.get("configuration"), **result.value["row"]}
        value = {**result.value, "row": row}
        search.elapsed = self.budget.elapsed
        search.finish(number, row, value["epochs"], result.log)
        if self.tracking is not None:
            name, config = search.cell.name, row["configuration"]
            self.tracking.finished(search.dataset, name, number, config, value)
        self.budget.gpu_seconds += row["seconds"] * self.budget.gpus
        self.checkpoints[search.dataset].remove(task.key)
        del self.running[task.key]
        self.progress.finish(
            search.name,
            f"trial {number}",
            row["status"],
            score(row),
            result.seconds,
            self._failure(search, number, row),
            row["seconds"],
        )

    def failures(self) -> list[Failure]:
        """List the trials that have failed, those of earlier starts too."""
        found = (
            self._failure(search, trial.number, result["row"])
            for search in self.searches
            for trial, result in search.results()
        )
        return [failure for failure in found if failure is not None]

    def _failure(self, search: CellSearch, number: int, row: Mapping[str, Any]) -> Failure | None:
        return failure_of(row, command(search.dataset, search.cell.name, f"--number {number}"))

    def end_reasons(self, dataset: str) -> dict[str, str]:
        """Return why cells of a data set have fewer trials than their budget, by cell."""
        return {
            search.cell.name: reason
            for search in self.searches
            if search.dataset == dataset
            if (
                reason := search.ended_by_patience or (None if search.complete else self.end_reason)
            )
        }

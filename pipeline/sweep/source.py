"""What a sweep gives an engine: trials from the ledgers; and how a result becomes a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.common.reasons import GOOD, Failure, command, describe, failure_of
from pipeline.execution.checkpoints import Checkpoints
from pipeline.execution.outcomes import Told, outcome
from pipeline.execution.progress import Progress
from pipeline.execution.tasks import Result, Task
from pipeline.sweep.budget import Spending
from pipeline.sweep.cell_search import CellLedger, score


class SweepSource(Told):
    """Hands out the trials of all cells in turn: the lowest number first, then in order of cells.

    So every cell has its first result before any starts its second, and a cell that cannot work
    at all is known early.

    Parameters
    ----------
    ledgers : sequence of CellLedger
        Of all cells of all data sets.
    progress : Progress
        Told of everything.
    checkpoints : mapping
        By data set, where unfinished trials keep their state.
    spending : Spending
        When no further trial is started.
    measures : sequence of str
        What trials measure beside their accuracy.
    """

    def __init__(
        self,
        ledgers: Sequence[CellLedger],
        progress: Progress,
        checkpoints: Mapping[str, Checkpoints],
        spending: Spending | None = None,
        measures: Sequence[str] = (),
    ) -> None:
        self.ledgers, self.progress, self.checkpoints = list(ledgers), progress, checkpoints
        self.spending, self.measures = spending or Spending(), list(measures)
        self.out: dict[str, tuple[CellLedger, int]] = {}
        self.ended: str | None = None
        for ledger in self.ledgers:
            for _, result in ledger.results():
                row, value = result["row"], score(result["row"])
                progress.restore(ledger.name, row["status"] in GOOD, value)
                self.spending.restore(result.get("elapsed", 0.0), row["seconds"])

    @property
    def exhausted(self) -> bool:
        """Whether every trial of every cell has finished, or all that may still be started."""
        if self.ended is not None:
            return not self.out
        return all(ledger.complete for ledger in self.ledgers)

    def next(self) -> Task | None:
        """Start the next trial.

        One whose proposal makes no model, or whose cell always fails, fails on the spot.
        """
        while True:
            upcoming = [(ledger.upcoming, ledger) for ledger in self.ledgers]
            ready = [(number, ledger) for number, ledger in upcoming if number is not None]
            if not ready or self._ends():
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
            return Task(task.key, self._payload(task.key, ledger, number, config))

    def _ends(self) -> bool:
        """Whether what may be spent is spent; said once."""
        if self.ended is None and (over := self.spending.over) is not None:
            self.ended = over
            self.note(f"{over}; no further trial is started")
        return self.ended is not None

    def _payload(
        self, key: str, ledger: CellLedger, number: int, config: dict[str, Any]
    ) -> dict[str, Any]:
        """Return all that a worker needs for a trial."""
        if cutoffs := ledger.cutoffs(number):
            config = {**config, "stop_below": cutoffs}
        return {
            "dataset": ledger.dataset,
            "configuration": config,
            "measures": self.measures,
            "checkpoint": self.checkpoints[ledger.dataset].of(key).address,
        }

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
        row.setdefault("configuration", task.payload.get("configuration"))
        ledger.elapsed = self.spending.elapsed
        ledger.finish(number, row, value["epochs"], value["log"])
        self.spending.gpu_seconds += row["seconds"] * self.spending.gpus
        self.checkpoints[ledger.dataset].remove(task.key)
        del self.out[task.key]
        self.progress.finish(
            ledger.name,
            f"trial {number}",
            row["status"],
            score(row),
            result.seconds,
            self._failure(ledger, number, row),
        )

    def failures(self) -> list[Failure]:
        """List the trials that have failed, those of earlier starts too."""
        found = (
            self._failure(ledger, trial.number, result["row"])
            for ledger in self.ledgers
            for trial, result in ledger.results()
        )
        return [failure for failure in found if failure is not None]

    def _failure(self, ledger: CellLedger, number: int, row: Mapping[str, Any]) -> Failure | None:
        return failure_of(row, command(ledger.dataset, ledger.cell.name, f"--number {number}"))

    def endings(self, dataset: str) -> dict[str, str]:
        """Say why cells of a data set have fewer trials than their budget."""
        return {
            ledger.cell.name: reason
            for ledger in self.ledgers
            if ledger.dataset == dataset
            if (reason := ledger.impatient or (None if ledger.complete else self.ended))
        }

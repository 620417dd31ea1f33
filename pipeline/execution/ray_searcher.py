"""Tune's side of the dispatcher: a searcher, a scheduler and a callback of the driver's loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from pipeline.common.signals import raise_pending
from pipeline.execution.dispatcher import Dispatcher
from pipeline.execution.epoch_batches import interval
from pipeline.execution.large_results import PartBuffer
from pipeline.execution.nodes import NodeWatch, nodes_in_use
from pipeline.execution.parallel_trials import AHEAD
from pipeline.execution.ray_private import drop_finished, log_folder
from pipeline.execution.ray_worker import MESSAGE, Opaque
from pipeline.execution.tasks import CannotWork

__all__ = ["DispatcherSearcher", "DriverCallback", "DroppingScheduler"]


class _Unsaved:
    """What Tune saves nothing of: it holds a terminal, and a restart is a fresh run."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class DispatcherSearcher(_Unsaved, Searcher):
    """Asks the dispatcher for tasks: a Tune trial is one task on one worker.

    Tune logs and swallows what a searcher raises when a trial ends, so an error is kept here
    and raised at the next step of the driver's loop.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__()
        self.dispatcher, self.parts = dispatcher, PartBuffer()
        self.error: BaseException | None = None

    def raise_error(self) -> None:
        """Raise what went wrong while results were taken, if anything did."""
        if self.error is not None:
            raise self.error

    def suggest(self, trial_id: str) -> Any:
        """Return a task, nothing for now, or the end."""
        if self.error is not None or self.dispatcher.finished:
            return Searcher.FINISHED
        try:
            task = self.dispatcher.take(trial_id)
        except Exception as error:
            self.error = error
            return None
        if task is None:
            return None
        seconds = interval(self.dispatcher.slots)
        return {"key": task.key, "payload": Opaque(task.payload), "seconds": seconds}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take a message of a worker: epochs, a note, or the result."""
        kind, content = result[MESSAGE]
        if self.error is not None:
            return
        try:
            if kind == "epochs":
                self.dispatcher.epoch(trial_id, *content)
            elif kind == "result":
                self.dispatcher.finish(trial_id, self.parts.join(trial_id, content))
            elif kind == "part":
                self.parts.add(trial_id, content)
            elif kind == "note":
                self.dispatcher.source.note(content)
            else:
                raise CannotWork(f"a worker cannot do the work: {content}")
        except Exception as error:
            self.error = error

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Notice a worker that ended without sending a result."""
        if self.error is not None:
            return
        self.parts.drop(trial_id)
        try:
            self.dispatcher.lost(trial_id, f"Ray's logs: {log_folder()}")
        except Exception as caught:
            self.error = caught

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the source keeps what matters."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: a restart is a fresh run over what is left."""


class DriverCallback(_Unsaved, TrialProgressCallback):
    """Calls back at every turn of the driver's loop, ten times a second or more.

    It replaces the reporter that Tune would add, which keeps every trial of the study.
    """

    def __init__(
        self,
        searcher: DispatcherSearcher,
        watch: NodeWatch,
        tick: Callable[[], None],
        room: Callable[[list[dict[str, Any]]], int] | None = None,
    ) -> None:
        super().__init__()
        self.searcher, self.watch, self.tick, self.room = searcher, watch, tick, room

    def on_trial_result(self, *arguments: Any, **info: Any) -> None:
        """Report nothing: the dispatcher has the messages."""

    on_trial_error = on_trial_complete = on_trial_result

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that the worker of a task runs, perhaps long after the task was taken."""
        self.searcher.dispatcher.begin(trial.trial_id)

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Raise a signal or a kept error, where Tune lets it through, else tick."""
        raise_pending()
        self.searcher.raise_error()
        nodes = self.watch.look()
        if nodes is not None:
            dispatcher = self.searcher.dispatcher
            if self.room is not None:
                dispatcher.slots = self.room(nodes) + AHEAD
            dispatcher.source.machines(nodes_in_use(nodes, ray.available_resources()))
        self.tick()


class DroppingScheduler(FIFOScheduler):
    """First in, first out; trials that have ended are dropped from Tune's own collections.

    Tune keeps them all, looks through them at every step and writes them out at the end: time and
    memory that grow with the study, for what the journal has already.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Choose the next trial, of those that have not ended."""
        drop_finished(tune_controller)
        return super().choose_trial_to_run(tune_controller)

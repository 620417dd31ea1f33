"""A task as a trial of Ray Tune: handed out by the driver, performed by a worker, sent back.

A worker sends the driver messages: epochs in batches, notes, large bytes in parts, and the result.
"""

from __future__ import annotations

import faulthandler
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from pipeline.common.failures import brief, describe
from pipeline.common.units import size
from pipeline.execution.code_version import difference
from pipeline.execution.dispatcher import GRACE, Dispatcher
from pipeline.execution.epoch_batches import EpochBatches, interval
from pipeline.execution.ray_private import log_folder
from pipeline.execution.shared_data import open_shared
from pipeline.execution.tasks import CannotWork, Context, Result, Task, failed_result, perform
from pipeline.training.devices import use_threads

__all__ = [
    "MESSAGE",
    "MOST",
    "PART",
    "DispatcherSearcher",
    "Opaque",
    "PartBuffer",
    "Unsaved",
    "run_task",
    "split",
]

MESSAGE = "message"
# Bytes of a part; what is no larger stays in the result. And bytes that a task may bring at all.
PART, MOST = 4 << 20, 8 << 30


@dataclass(frozen=True)
class Opaque:
    """A dictionary that Tune passes on without flattening or searching it."""

    content: dict[str, Any]


class Unsaved:
    """What Tune saves nothing of: it holds a terminal, and a restart is a fresh run."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class DispatcherSearcher(Unsaved, Searcher):
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


def run_task(config: dict[str, Any], work: list[Any], limit: float, threads: float) -> None:
    """Perform one task in a worker and send its result to the driver.

    Parameters
    ----------
    config
        The task, and the seconds between two messages.
    work
        A list of one reference: Ray would open a bare one before this function runs.
    limit
        Seconds the task may take.
    threads
        Of torch.
    """
    try:
        function, shared, code = ray.get(work[0])
        if (other := difference(code)) is not None:
            send("broken", other)
            return
        data = open_shared(shared, ray.get)
        use_threads(int(threads))
    except Exception as error:
        # Not the task's fault, and no other task would fare better: the driver ends the stage.
        send("broken", brief(describe(error)))
        return
    task = Task(config["key"], config["payload"].content)
    batches = EpochBatches(partial(send, "epochs"), config["seconds"])
    context = Context(device(), limit, batches.add, batches.flush, partial(send, "note"))
    if limit < float("inf"):
        # Kept by a thread of C code: it ends even a process that holds the interpreter's lock.
        faulthandler.dump_traceback_later(limit + GRACE, exit=True, file=sys.stderr.fileno())
    try:
        result = perform(function, task, data, context)
    finally:
        faulthandler.cancel_dump_traceback_later()
    send("result", split(result, partial(send, "part")))


def send(kind: str, content: Any) -> None:
    """Send a message from a worker to the driver."""
    tune.report({MESSAGE: (kind, content)})


def device() -> str:
    """Name the device Ray has given this worker: a GPU only where it reserved one."""
    return "cuda" if ray.get_runtime_context().get_accelerator_ids().get("GPU") else "cpu"


@dataclass(frozen=True)
class Placeholder:
    """Stands in a result for bytes that came before it."""

    length: int


def split(result: Result, send: Callable[[bytes], None]) -> Result:
    """Send the large bytes of a result in parts; return the result without them.

    Where they are too many the result is a failure that says so.
    """
    value = result.value
    large = {k: v for k, v in value.items() if isinstance(v, bytes) and len(v) > PART}
    if not large:
        return result
    total = sum(map(len, large.values()))
    if total > MOST:
        reason = f"its {', '.join(large)} of {size(total)} are more than the {size(MOST)} that a "
        reason += "task may bring"
        return failed_result("failed", reason, result.seconds, value["epochs"], result.log)
    for content in large.values():
        view = memoryview(content)
        for start in range(0, len(content), PART):
            send(bytes(view[start : start + PART]))
    light = {name: Placeholder(len(content)) for name, content in large.items()}
    return replace(result, value={**value, **light})


@dataclass
class PartBuffer:
    """The parts that workers have sent and whose results are still to come."""

    kept: defaultdict[str, bytearray] = field(default_factory=lambda: defaultdict(bytearray))

    def add(self, worker: str, part: bytes) -> None:
        """Take a part."""
        self.kept[worker] += part

    def drop(self, worker: str) -> None:
        """Forget what a worker sent that ended."""
        self.kept.pop(worker, None)

    def join(self, worker: str, result: Result) -> Result:
        """Put the parts back where they belong.

        Raises
        ------
        ValueError
            There are more or fewer bytes than the result says.
        """
        content = memoryview(bytes(self.kept.pop(worker, b"")))
        value = dict(result.value)
        start = 0
        for name, placeholder in value.items():
            if isinstance(placeholder, Placeholder):
                value[name] = bytes(content[start : start + placeholder.length])
                start += placeholder.length
        if start != len(content):
            raise ValueError(f"{len(content):,} bytes came for a result of {start:,}")
        return replace(result, value=value) if start else result

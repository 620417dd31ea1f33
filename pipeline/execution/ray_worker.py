"""A worker of Ray Tune: performs one task and sends epochs, notes and the result to the driver."""

from __future__ import annotations

import faulthandler
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray import tune

from pipeline.common.failures import brief, describe
from pipeline.execution.code_version import difference
from pipeline.execution.dispatcher import GRACE
from pipeline.execution.epoch_batches import EpochBatches
from pipeline.execution.large_results import split
from pipeline.execution.shared_data import open_shared
from pipeline.execution.tasks import Context, Task, perform
from pipeline.training.devices import use_threads

__all__ = ["MESSAGE", "Opaque", "run_task"]

MESSAGE = "message"


@dataclass(frozen=True)
class Opaque:
    """A dictionary that Tune passes on without flattening or searching it."""

    content: dict[str, Any]


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

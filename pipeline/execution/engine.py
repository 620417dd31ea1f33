"""The interface between what a stage computes and where: in this process, or on Ray Tune."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.execution.cluster_address import check_address
from pipeline.execution.dispatcher import nothing
from pipeline.execution.local_ray import check_local_ray
from pipeline.execution.ray_private import set_environment
from pipeline.execution.tasks import (
    Context,
    Task,
    WorkFunction,
    WorkSource,
    perform,
)
from pipeline.training.devices import use_threads


class Engine(Protocol):
    """Runs every task of a source, several at a time, until the source is exhausted."""

    def run(
        self,
        function: WorkFunction,
        source: WorkSource,
        data: Mapping[str, Any],
        tick: Callable[[], None] = nothing,
    ) -> None:
        """Run `function(task, data, context)` for each task; call `tick` a few times a second."""


@dataclass
class InProcess:
    """One task after the other in this process: for debugging, tests, and machines without Ray.

    The time limit is looked at between epochs only: a process cannot end itself from outside.
    """

    device: str = "cpu"
    limit: float = float("inf")
    threads: int = 1

    def run(
        self,
        function: WorkFunction,
        source: WorkSource,
        data: Mapping[str, Any],
        tick: Callable[[], None] = nothing,
    ) -> None:
        """Run the tasks of `source` one by one."""
        use_threads(self.threads)
        while (task := source.next()) is not None:

            def send(row: dict[str, Any], task: Task = task) -> None:
                source.epoch(task, row)
                tick()

            tick()
            context = Context(self.device, self.limit, send, send_note=source.note)
            source.finish(task, perform(function, task, data, context))
            tick()


def make_engine(resources: Any, scratch: Path) -> Engine:
    """Choose the engine: Ray Tune, or this process when `GSA_ENGINE=in-process` asks for it.

    Parameters
    ----------
    resources : pipeline.study.schema.Resources
        How many trials run in parallel, and what each of them gets.
    scratch : Path
        A folder of this stage alone, for what Ray Tune wants to write.
    """
    limit = float(resources.trial_timeout_seconds)
    if os.environ.get("GSA_ENGINE") == "in-process":
        device = "cuda" if resources.gpus_per_trial else "cpu"
        return InProcess(device, limit, int(resources.cpus_per_trial))
    address = os.environ["RAY_ADDRESS"] = check_address()
    if address == "local":
        check_local_ray()
    set_environment(local=address == "local")
    from pipeline.execution.ray_engine import RayTune

    return RayTune(
        address=address,
        slots=None if resources.workers == "auto" else resources.workers,
        cpus=resources.cpus_per_trial,
        gpus=resources.gpus_per_trial,
        memory=int(1e9 * (resources.gigabytes_per_trial or 0)),
        limit=limit,
        patience=float(resources.node_wait_seconds),
        scratch=scratch,
    )

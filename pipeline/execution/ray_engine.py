"""The Ray Tune engine: long-lived workers, one copy of the data, results straight to the source."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler

from pipeline.common.failures import brief
from pipeline.common.signals import raise_pending, rearm, signals_held
from pipeline.execution.cluster_address import answers
from pipeline.execution.code_version import code_for
from pipeline.execution.dispatcher import DASHBOARD, Dispatcher, nothing
from pipeline.execution.local_ray import interpreter
from pipeline.execution.nodes import NodeWatch, nodes_in_use, runtime_env
from pipeline.execution.orphan_cleanup import orphan_cleanup
from pipeline.execution.parallel_trials import AHEAD, idle, room, room_here
from pipeline.execution.ray_private import (
    ENVIRONMENT,
    drop_finished,
    keep_signal_handlers,
    quiet_worker_deaths,
    raylet_pid,
    start_workers_together,
)
from pipeline.execution.ray_tasks import DispatcherSearcher, Unsaved, run_task
from pipeline.execution.shared_data import share
from pipeline.execution.tasks import CannotWork, WorkFunction, WorkSource

__all__ = ["DriverCallback", "DroppingScheduler", "RayTune"]


@dataclass
class RayTune:
    """Tasks as Tune trials on reused workers, of a local Ray or of a cluster.

    Attributes
    ----------
    address : str
        Of a cluster, or "local".
    slots : int or None
        Tasks in parallel; None is as many as the cluster has room for, nodes that join included.
    cpus, gpus : float
        What Ray reserves for each of them.
    memory : int
        Bytes of memory that Ray reserves for each; 0 reserves none.
    limit : float
        Seconds a task may take.
    patience : float
        Seconds to wait for nodes when there is none.
    scratch : Path
        Emptied before use and removed after.
    """

    address: str
    slots: int | None
    cpus: float
    gpus: float
    memory: int
    limit: float
    patience: float
    scratch: Path

    @property
    def local(self) -> bool:
        """Whether Ray runs on this machine alone."""
        return self.address == "local"

    def run(
        self,
        function: WorkFunction,
        source: WorkSource,
        data: Mapping[str, Any],
        tick: Callable[[], None] = nothing,
    ) -> None:
        """Start or join Ray, run every task of `source`, and leave no process behind."""
        if source.exhausted:
            return
        shutil.rmtree(self.scratch, ignore_errors=True)
        # A signal must not raise within Ray's C++ code: it is looked at in the driver's loop.
        with signals_held():
            try:
                if dashboard := self.start(share(data)):
                    source.note(
                        f"Ray's dashboard: http://{dashboard}, whose token is that of "
                        "`ray get-auth-token`"
                    )
                if self.slots is not None and (note := idle(self.slots, self.room())):
                    source.note(note)
                with orphan_cleanup(raylet_pid()) if self.local else nullcontext():
                    slots = self.slots or self.room() + AHEAD
                    self.fit(function, Dispatcher(source, slots, self.limit), data, tick)
                    ray.shutdown()
            finally:
                ray.shutdown()
                shutil.rmtree(self.scratch, ignore_errors=True)

    def room(self, nodes: list[dict[str, Any]] | None = None) -> int:
        """Count the trials that there is room for, whatever `slots` says."""
        if self.local:
            return room_here(self.cpus, self.gpus, self.memory)
        alive = [node for node in nodes or ray.nodes() if node["Alive"]]
        return room(alive, self.cpus, self.gpus, self.memory)

    def start(self, data: Mapping[str, Any]) -> str | None:
        """Connect to Ray; a local one listens on the loopback only. Return its dashboard."""
        options = self.local_options(data) if self.local else self.cluster_options()
        keep_signal_handlers()
        try:
            context = ray.init(
                address=self.address, logging_level=logging.ERROR, log_to_driver=False, **options
            )
        except Exception as error:
            raise CannotWork(self.why_not(error)) from error
        rearm()
        if self.local and self.gpus and not ray.cluster_resources().get("GPU"):
            raise CannotWork(
                f"resources.gpus_per_trial is {self.gpus:g}, but Ray finds no GPU here; "
                "set it to 0, or to auto"
            )
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        quiet_worker_deaths()
        return context.dashboard_url or None

    def cluster_options(self) -> dict[str, Any]:
        """Return the options of `ray.init` for a cluster, whose nodes are sent the code."""
        if not answers(self.address):
            raise CannotWork(
                f"nothing answers at RAY_ADDRESS = {self.address!r}; is that cluster up?"
            )
        return {"runtime_env": runtime_env(self.scratch / "code", ENVIRONMENT)}

    def local_options(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of `ray.init` for this machine."""
        dashboard = os.environ.get(DASHBOARD, "") not in ("", "0")
        if dashboard and find_spec("aiohttp_cors") is None:
            raise CannotWork(
                f"{DASHBOARD} asks for Ray's dashboard, which needs more packages; "
                f"pip install 'ray[default]=={ray.__version__}', or unset it"
            )
        return {
            "num_cpus": max(1, ceil((self.slots or self.room()) * self.cpus)),
            # As many as there are, where trials use any.
            "num_gpus": None if self.gpus else 0,
            "include_dashboard": dashboard,
            "object_store_memory": 100_000_000 + 2 * size_of(data),
            **interpreter(),
        }

    def fit(
        self,
        function: WorkFunction,
        dispatcher: Dispatcher,
        data: Mapping[str, Any],
        tick: Callable[[], None],
    ) -> None:
        """Let Tune start workers and carry messages; the dispatcher says what to run."""
        searcher = DispatcherSearcher(dispatcher)
        watch = NodeWatch(self.cpus, self.gpus, self.patience, ray.nodes)
        start_workers_together(dispatcher.slots)
        # Nodes of a cluster may not have the driver's files: Ray brings them the arrays.
        shared = share(data, None if self.local else lambda dataset: (ray.put(dataset),))
        work = [ray.put((function, shared, code_for(function)))]
        trainable = tune.with_parameters(run_task, work=work, limit=self.limit, threads=self.cpus)
        needed = {"cpu": self.cpus, "gpu": self.gpus, "memory": self.memory}
        room = None if self.slots else self.room
        tune.Tuner(
            tune.with_resources(trainable, needed),
            tune_config=tune.TuneConfig(
                search_alg=searcher, scheduler=DroppingScheduler(), num_samples=-1,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(self.scratch.resolve()),
                callbacks=[DriverCallback(searcher, watch, tick, room)],
                failure_config=tune.FailureConfig(max_failures=0),
                verbose=0,
            ),
        ).fit()  # fmt: skip
        searcher.raise_error()

    def why_not(self, error: Exception) -> str:
        """Say in a sentence why there is no Ray."""
        first = brief(str(error).strip() or type(error).__name__)
        if not self.local:
            hint = "with this token?"
            if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
                hint = "and does it ask for a token (set RAY_AUTH_MODE=token)?"
            return f"cannot connect to Ray at {self.address} ({first}); is the cluster up, {hint}"
        return (
            f"Ray did not start on this machine ({first}); if other work crowds it, wait and give "
            "the same command again, or set GSA_ENGINE=in-process to do without Ray"
        )


class DriverCallback(Unsaved, TrialProgressCallback):
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


def size_of(data: Mapping[str, Any]) -> int:
    """Count the bytes of all arrays in `data`."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(dict(data), protocol=5, buffer_callback=buffers.append)
    return len(head) + sum(buffer.raw().nbytes for buffer in buffers)

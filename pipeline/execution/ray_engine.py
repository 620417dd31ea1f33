"""The Ray Tune engine: long-lived workers, one copy of the data, results straight to the source."""

from __future__ import annotations

import faulthandler
import logging
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

# Read by Ray when it is imported or started. Its own files, loggers, chatter and usage reports
# are all off: the source keeps the results, and a Tune folder is never read back.
QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
ADDRESS = os.environ.get("RAY_ADDRESS", "local")
LOCAL = ADDRESS == "local"
if LOCAL:
    # Ray's switch for machines that are no cluster: every port on the loopback, none beyond.
    QUIET["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.progress_reporter import TrialProgressCallback  # noqa: E402
from ray.tune.schedulers import FIFOScheduler  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402

from pipeline.common.reasons import brief, describe  # noqa: E402
from pipeline.common.signals import raise_pending, rearm, undisturbed  # noqa: E402
from pipeline.execution.address import answers  # noqa: E402
from pipeline.execution.code_version import code_for, difference  # noqa: E402
from pipeline.execution.dispatcher import DASHBOARD, GRACE, Dispatcher, nothing  # noqa: E402
from pipeline.execution.epoch_batches import Outbox, interval  # noqa: E402
from pipeline.execution.large_results import Parts, split  # noqa: E402
from pipeline.execution.local_ray import interpreter  # noqa: E402
from pipeline.execution.nodes import Watch, luggage, use  # noqa: E402
from pipeline.execution.orphan_cleanup import guarded  # noqa: E402
from pipeline.execution.parallel_trials import AHEAD, idle, room, room_here  # noqa: E402
from pipeline.execution.shared_data import open_shared, share  # noqa: E402
from pipeline.execution.tasks import (  # noqa: E402
    CannotWork,
    Context,
    Task,
    WorkFunction,
    WorkSource,
    perform,
)
from pipeline.training.devices import use_threads  # noqa: E402

MESSAGE = "message"


@dataclass
class RayTune:
    """Tasks as Tune trials on reused workers, of a local Ray or of the cluster at RAY_ADDRESS.

    Attributes
    ----------
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

    slots: int | None
    cpus: float
    gpus: float
    memory: int
    limit: float
    patience: float
    scratch: Path

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
        with undisturbed():
            try:
                address = self.start(share(data))
                if address:
                    source.note(
                        f"Ray's dashboard: http://{address}, whose token is that of "
                        "`ray get-auth-token`"
                    )
                if self.slots is not None and (told := idle(self.slots, self.room())):
                    source.note(told)
                with guarded(raylet()) if LOCAL else nullcontext():
                    slots = self.slots or self.room() + AHEAD
                    self.fit(function, Dispatcher(source, slots, self.limit), data, tick)
                    ray.shutdown()
            finally:
                ray.shutdown()
                shutil.rmtree(self.scratch, ignore_errors=True)

    def room(self, nodes: list[dict[str, Any]] | None = None) -> int:
        """Count the trials that there is room for, whatever `slots` says."""
        if LOCAL:
            return room_here(self.cpus, self.gpus, self.memory)
        alive = [node for node in nodes or ray.nodes() if node["Alive"]]
        return room(alive, self.cpus, self.gpus, self.memory)

    def start(self, data: Mapping[str, Any]) -> str | None:
        """Connect to Ray; a local one listens on the loopback only. Return its dashboard."""
        options: dict[str, Any]
        dashboard = os.environ.get(DASHBOARD, "") not in ("", "0")
        if not LOCAL and not answers(ADDRESS):
            raise CannotWork(f"nothing answers at RAY_ADDRESS = {ADDRESS!r}; is that cluster up?")
        if LOCAL and dashboard and find_spec("aiohttp_cors") is None:
            raise CannotWork(
                f"{DASHBOARD} asks for Ray's dashboard, which needs more packages; "
                f"pip install 'ray[default]=={ray.__version__}', or unset it"
            )
        if not LOCAL:
            options = {"runtime_env": luggage(self.scratch / "code", QUIET)}
        else:
            options = {
                "num_cpus": max(1, ceil((self.slots or self.room()) * self.cpus)),
                # As many as there are, where trials use any.
                "num_gpus": None if self.gpus else 0,
                "include_dashboard": dashboard,
                "object_store_memory": 100_000_000 + 2 * size_of(data),
                **interpreter(),
            }
        # Ray would put a SIGTERM handler of its own in place of the one that ends a stage cleanly.
        ray._private.utils.set_sigterm_handler = lambda handler: None
        try:
            context = ray.init(
                address=ADDRESS, logging_level=logging.ERROR, log_to_driver=False, **options
            )
        except Exception as error:
            raise CannotWork(why_not(error)) from error
        rearm()
        if LOCAL and self.gpus and not ray.cluster_resources().get("GPU"):
            raise CannotWork(
                f"resources.gpus_per_trial is {self.gpus:g}, but Ray finds no GPU here; "
                "set it to 0, or to auto"
            )
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        # Deaths of workers are told in our own words, by the desk.
        ray._private.worker._worker_logs_enabled = False
        return context.dashboard_url or None

    def fit(
        self,
        function: WorkFunction,
        desk: Dispatcher,
        data: Mapping[str, Any],
        tick: Callable[[], None],
    ) -> None:
        """Let Tune start workers and carry messages; what to run is asked of the desk."""
        searcher = DeskSearcher(desk)
        watch = Watch(self.cpus, self.gpus, self.patience, ray.nodes)
        # Tune's own choice for a searcher is one: workers would then start one after the other.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(desk.slots)
        # Nodes of a cluster may not have the driver's files: Ray brings them the arrays.
        shared = share(data, None if LOCAL else lambda dataset: (ray.put(dataset),))
        # A reference within a list, so that it is the worker's own code that opens it.
        work = [ray.put((function, shared, code_for(function)))]
        trainable = tune.with_parameters(on_worker, work=work, limit=self.limit, threads=self.cpus)
        tune.Tuner(
            tune.with_resources(
                trainable, {"cpu": self.cpus, "gpu": self.gpus, "memory": self.memory}
            ),
            tune_config=tune.TuneConfig(
                search_alg=searcher, scheduler=Forgetful(), num_samples=-1, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(self.scratch.resolve()),
                callbacks=[Ticker(searcher, watch, tick, None if self.slots else self.room)],
                failure_config=tune.FailureConfig(max_failures=0),
                verbose=0,
            ),
        ).fit()
        searcher.raise_error()


class DeskSearcher(Searcher):
    """Tune's side of the desk: a Tune trial is a worker's turn at one task.

    Tune logs and swallows what a searcher raises when a trial ends, so an error is kept here
    and raised at the next step of the driver's loop.
    """

    def __init__(self, desk: Dispatcher) -> None:
        super().__init__()
        self.desk, self.parts = desk, Parts()
        self.error: BaseException | None = None

    def raise_error(self) -> None:
        """Raise what went wrong while results were taken, if anything did."""
        if self.error is not None:
            raise self.error

    def suggest(self, trial_id: str) -> Any:
        """Hand out a task, nothing for now, or the end."""
        if self.error is not None or self.desk.finished:
            return Searcher.FINISHED
        try:
            task = self.desk.take(trial_id)
        except Exception as error:
            self.error = error
            return None
        if task is None:
            return None
        seconds = interval(self.desk.slots)
        return {"key": task.key, "payload": Opaque(task.payload), "seconds": seconds}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take a message of a worker: epochs, a note, or the result."""
        kind, content = result[MESSAGE]
        if self.error is not None:
            return
        try:
            if kind == "epochs":
                self.desk.epoch(trial_id, *content)
            elif kind == "result":
                self.desk.finish(trial_id, self.parts.join(trial_id, content))
            elif kind == "part":
                self.parts.add(trial_id, content)
            elif kind == "note":
                self.desk.source.note(content)
            else:
                raise CannotWork(f"a worker cannot do the work: {content}")
        except Exception as error:
            self.error = error

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Notice a worker that ended without bringing a result."""
        if self.error is not None:
            return
        self.parts.drop(trial_id)
        try:
            self.desk.lost(trial_id, f"Ray's logs: {log_folder()}")
        except Exception as caught:
            self.error = caught

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the source keeps what matters."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: a restart is a fresh run over what is left."""


class Ticker(TrialProgressCallback):
    """Calls back at every turn of the driver's loop, ten times a second or more.

    It stands where Tune would put a reporter of its own, which keeps every trial of the study.
    """

    def __init__(
        self,
        searcher: DeskSearcher,
        watch: Watch,
        tick: Callable[[], None],
        room: Callable[[list[dict[str, Any]]], int] | None = None,
    ) -> None:
        super().__init__()
        self.searcher, self.watch, self.tick, self.room = searcher, watch, tick, room

    def on_trial_result(self, *arguments: Any, **info: Any) -> None:
        """Report nothing: the desk is told."""

    on_trial_error = on_trial_complete = on_trial_result

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a worker is there for the task, which may be long after it was handed out."""
        self.searcher.desk.begin(trial.trial_id)

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Raise a signal or a kept error, where Tune lets it through, else tick."""
        raise_pending()
        self.searcher.raise_error()
        nodes = self.watch.look()
        if nodes is not None:
            if self.room is not None:
                self.searcher.desk.slots = self.room(nodes) + AHEAD
            self.searcher.desk.source.machines(use(nodes, ray.available_resources()))
        self.tick()


class Forgetful(FIFOScheduler):
    """First in, first out; and trials that have ended are dropped from Tune's own collections.

    Tune keeps them all, looks through them at every step and writes them out at the end: time and
    memory that grow with the study, for what the journal has already.
    """

    KEPT = ("_trials_to_cache", "_stopped_trials", "_failed_trials")

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Choose the next trial, of those that have not ended."""
        trials = tune_controller.get_trials()
        if any(trial.is_finished() for trial in trials):
            trials[:] = [trial for trial in trials if not trial.is_finished()]
            for name in self.KEPT:
                kept: set[Any] = getattr(tune_controller, name, set())
                kept.difference_update([trial for trial in kept if trial.is_finished()])
        return super().choose_trial_to_run(tune_controller)


@dataclass(frozen=True)
class Opaque:
    """A dictionary that Tune passes on without flattening or searching it."""

    content: dict[str, Any]


def on_worker(
    config: dict[str, Any],
    work: list[Any],
    limit: float,
    threads: float,
) -> None:
    """Perform one task in a worker and bring its result to the driver."""
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
    outbox = Outbox(partial(send, "epochs"), config["seconds"])
    note = partial(send, "note")
    context = Context(device(), limit, outbox.add, outbox.flush, note)
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


def why_not(error: Exception) -> str:
    """Say in a sentence why there is no Ray."""
    first = brief(str(error).strip() or type(error).__name__)
    if not LOCAL:
        return f"cannot connect to Ray at {ADDRESS} ({first}); is the cluster up, with this token?"
    return (
        f"Ray did not start on this machine ({first}); if other work crowds it, wait and give the "
        "same command again, or set GSA_ENGINE=in-process to do without Ray"
    )


def device() -> str:
    """Name the device Ray has given this worker: a GPU only where it reserved one."""
    return "cuda" if ray.get_runtime_context().get_accelerator_ids().get("GPU") else "cpu"


def size_of(data: Mapping[str, Any]) -> int:
    """Count the bytes of all arrays in `data`."""
    import pickle

    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(dict(data), protocol=5, buffer_callback=buffers.append)
    return len(head) + sum(buffer.raw().nbytes for buffer in buffers)


def raylet() -> int:
    """Return the process id of the local Ray's raylet."""
    return int(_node().all_processes["raylet"][0].process.pid)


def log_folder() -> str:
    """Return where the running Ray keeps its logs."""
    return str(_node().get_logs_dir_path())


def _node() -> Any:
    """Return Ray's own record of the node this driver is on."""
    return ray._private.worker._global_node

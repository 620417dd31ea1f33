"""Every name and variable of Ray that its documentation does not promise; a test finds each.

The version of Ray is bounded in pyproject.toml for these names.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = [
    "ENVIRONMENT",
    "SUBMITTED_JOB",
    "drop_finished",
    "keep_signal_handlers",
    "log_folder",
    "quiet_worker_deaths",
    "raylet_pid",
    "set_environment",
    "start_workers_together",
]

# Read by Ray when it is imported or started. Its own result files, loggers, messages and usage
# reports are off: the source keeps the results, and a Tune folder is never read back.
ENVIRONMENT = {
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
# Ray's switch for machines that are no cluster: every port on the loopback, none beyond.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
MAX_PENDING = "TUNE_MAX_PENDING_TRIALS_PG"
# Set in the driver of a submitted job.
SUBMITTED_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
# Sets of trials that Tune's controller never empties.
CONTROLLER_SETS = ("_trials_to_cache", "_stopped_trials", "_failed_trials")


def set_environment(local: bool) -> None:
    """Set what Ray reads when it is imported, unless the user has; call it before the import."""
    for name, value in {**ENVIRONMENT, **(LOOPBACK if local else {})}.items():
        os.environ.setdefault(name, value)


def start_workers_together(count: int) -> None:
    """Let Tune start `count` workers at once: for a searcher it would start one after another."""
    os.environ[MAX_PENDING] = str(count)


def keep_signal_handlers() -> None:
    """Keep Ray from replacing the SIGTERM handler that ends a stage cleanly."""
    import ray

    ray._private.utils.set_sigterm_handler = lambda handler: None


def quiet_worker_deaths() -> None:
    """Keep Ray from printing deaths of workers, which the dispatcher reports."""
    import ray

    ray._private.worker._worker_logs_enabled = False


def raylet_pid() -> int:
    """Return the process id of the local Ray's raylet."""
    return int(_node().all_processes["raylet"][0].process.pid)


def log_folder() -> str:
    """Return where the running Ray keeps its logs."""
    return str(_node().get_logs_dir_path())


def _node() -> Any:
    import ray

    return ray._private.worker._global_node


def drop_finished(controller: Any) -> None:
    """Drop trials that have ended from the collections of Tune's controller."""
    trials = controller.get_trials()  # the list itself, no copy
    if any(trial.is_finished() for trial in trials):
        trials[:] = [trial for trial in trials if not trial.is_finished()]
        for name in CONTROLLER_SETS:
            kept: set[Any] = getattr(controller, name)
            kept.difference_update([trial for trial in kept if trial.is_finished()])

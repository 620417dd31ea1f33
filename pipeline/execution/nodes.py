"""A cluster's nodes: the runtime env they are sent, and the end of a stage that has none left."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.common.documents import mapping, parse_json
from pipeline.execution.code_dependencies import PACKAGES, PROJECT
from pipeline.execution.ray_private import SUBMITTED_JOB
from pipeline.execution.tasks import CannotWork

__all__ = ["NodeWatch", "nodes_in_use", "runtime_env"]

# Seconds between two queries of a cluster's nodes.
LOOK = 5.0


def runtime_env(folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return Ray's `runtime_env`: the project's two packages, and nothing else of its folder.

    Workers import them from where Ray unpacks them, before whatever a node has installed, so no
    shared file system is needed and no node runs another version of the code than the driver.
    A job that was submitted to the cluster with its folder has it there already.

    Parameters
    ----------
    folder : Path
        Where to put the packages together for Ray to send; made.
    environment : mapping
        Variables that workers are to have.
    """
    sent: dict[str, Any] = {"env_vars": dict(environment)}
    if has_folder(os.environ.get(SUBMITTED_JOB, "{}")):
        return sent
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, folder / name, ignore=ignored)
    return {**sent, "working_dir": str(folder.resolve())}


def has_folder(job: str) -> bool:
    """Whether a submitted job, as Ray describes it in JSON, has a working directory.

    Examples
    --------
    >>> has_folder('{"runtime_env": {"working_dir": "gcs://x.zip"}}'), has_folder("{}")
    (True, False)
    """
    advice = "unset it, or submit the job with Ray's own tools"
    described = mapping(parse_json(job, SUBMITTED_JOB, advice), SUBMITTED_JOB, advice)
    environment = mapping(described.get("runtime_env") or {}, SUBMITTED_JOB, advice)
    return bool(environment.get("working_dir"))


@dataclass
class NodeWatch:
    """Ends a stage when the cluster has had no room for a trial for too long.

    Tune would wait for ever. Nodes that are preempted and return in time cost nothing but the
    trials that ran on them.

    Parameters
    ----------
    cpus, gpus : float
        What a trial needs.
    patience : float
        Seconds without a node that has as much.
    nodes : callable
        Lists Ray's nodes, each a mapping with "Alive" and "Resources".
    clock : callable
        Seconds, never stepping back.
    """

    cpus: float
    gpus: float
    patience: float
    nodes: Callable[[], list[dict[str, Any]]]
    clock: Callable[[], float] = time.monotonic
    since: float | None = field(default=None, init=False)
    last: float = field(default=float("-inf"), init=False)

    def look(self) -> list[dict[str, Any]] | None:
        """Look at the cluster, unless that was done just now; return its living nodes.

        Raises
        ------
        CannotWork
            No node could have run a trial for `patience` seconds.
        """
        now = self.clock()
        if now - self.last < LOOK:
            return None
        self.last = now
        alive = [node for node in self.nodes() if node["Alive"]]
        if any(self.has_room(node) for node in alive):
            self.since = None
            return alive
        self.since = now if self.since is None else self.since
        if now - self.since >= self.patience:
            raise CannotWork(
                f"no node of the cluster has had {self.cpus:g} CPUs and {self.gpus:g} GPUs for a "
                f"trial in the last {self.patience:g} s; start nodes and run the same command "
                "again: what is finished is kept"
            )
        return alive

    def has_room(self, node: Mapping[str, Any]) -> bool:
        """Whether a node is large enough, however busy."""
        there = node["Resources"]
        return bool(there.get("CPU", 0) >= self.cpus and there.get("GPU", 0) >= self.gpus)


def nodes_in_use(nodes: Sequence[Mapping[str, Any]], free: Mapping[str, float]) -> str:
    """Say how many nodes there are and how much of them is taken.

    Examples
    --------
    >>> two = [{"Resources": {"CPU": 4.0, "GPU": 1.0}}, {"Resources": {"CPU": 4.0}}]
    >>> nodes_in_use(two, {"CPU": 5.0, "GPU": 0.5})
    '2 nodes, 3 of 8 CPUs and 0.5 of 1 GPUs taken'
    """
    parts = []
    for name in ("CPU", "GPU"):
        there = sum(node["Resources"].get(name, 0.0) for node in nodes)
        if there:
            parts.append(f"{there - free.get(name, 0.0):g} of {there:g} {name}s")
    count = f"{len(nodes)} node{'s' if len(nodes) != 1 else ''}"
    return f"{count}, {' and '.join(parts)} taken" if parts else count

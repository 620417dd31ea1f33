"""What a cluster's nodes need and do: the code they are sent, and what if none of them is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.execution.work import CannotWork

__all__ = ["Watch", "luggage"]

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("gsa_core", "pipeline")
# Seconds between two looks at a cluster of which nothing is heard.
LOOK = 5.0


def luggage(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return Ray's `runtime_env`: the project's two packages, and nothing else of its folder.

    Workers import them from where Ray unpacks them, before whatever a node has installed, so no
    shared file system is needed and no node runs another version of the code than the driver.

    Parameters
    ----------
    environment : mapping
        Variables that workers are to have.
    """
    return {
        "py_modules": [str(PROJECT / name) for name in PACKAGES],
        "excludes": ["**/__pycache__/"],
        "env_vars": dict(environment),
    }


@dataclass
class Watch:
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

    def look(self) -> None:
        """Look at the cluster, unless that was done just now.

        Raises
        ------
        CannotWork
            No node could have run a trial for `patience` seconds.
        """
        now = self.clock()
        if now - self.last < LOOK:
            return
        self.last = now
        if any(self.has_room(node) for node in self.nodes()):
            self.since = None
            return
        self.since = now if self.since is None else self.since
        if now - self.since >= self.patience:
            raise CannotWork(
                f"no node of the cluster has had {self.cpus:g} CPUs and {self.gpus:g} GPUs for a "
                f"trial in the last {self.patience:g} s; start nodes and run the same command "
                "again: what is finished is kept"
            )

    def has_room(self, node: Mapping[str, Any]) -> bool:
        """Whether a node is alive and large enough, however busy."""
        there = node["Resources"]
        enough = there.get("CPU", 0) >= self.cpus and there.get("GPU", 0) >= self.gpus
        return bool(node["Alive"] and enough)

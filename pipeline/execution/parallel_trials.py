"""How many trials run in parallel: what `resources.workers` says, or all that there is room for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.execution.cluster_address import named_address
from pipeline.study.schema import Params, Resources

__all__ = ["AHEAD", "idle", "parallel_here", "room", "room_here", "with_workers"]

# Trials handed out beyond what the nodes of a cluster hold: an autoscaler starts nodes for what
# waits, and a node that joins has work at once.
AHEAD = 16
# Of memory, for a trial of a study that does not say.
BYTES_A_TRIAL = 1e9


def with_workers(resources: Resources) -> Resources:
    """Replace `workers: auto` by what runs in parallel here; Ray counts what a cluster has."""
    if os.environ.get("GSA_ENGINE") == "in-process":
        count = 1
    elif resources.workers != "auto" or named_address() != "local":
        return resources
    else:
        memory = 1e9 * (resources.gigabytes_per_trial or 0)
        count = room_here(resources.cpus_per_trial, float(resources.gpus_per_trial), memory)
    return resources.model_copy(update={"workers": count})


def parallel_here(params: Params) -> int:
    """Count the trials of a study that run in parallel on this machine, GPU or none."""
    import torch

    resources = params.resources
    if os.environ.get("GSA_ENGINE") == "in-process":
        return 1
    gpus = 0.0 if resources.gpus_per_trial == "auto" else float(resources.gpus_per_trial)
    gpus = gpus if torch.cuda.is_available() else 0.0
    memory = 1e9 * (resources.gigabytes_per_trial or 0)
    there = room_here(resources.cpus_per_trial, gpus, memory)
    return there if resources.workers == "auto" else min(there, int(resources.workers))


def room(nodes: Iterable[Mapping[str, Any]], cpus: float, gpus: float, memory: float) -> int:
    """Count the trials that nodes of Ray can run in parallel.

    Examples
    --------
    >>> two = [{"Resources": {"CPU": 4.0, "GPU": 1.0}}, {"Resources": {"CPU": 6.0}}]
    >>> room(two, 2, 0, 0), room(two, 1, 0.5, 0), room(two, 8, 0, 0)
    (5, 2, 0)
    """
    wanted = {"CPU": cpus, "GPU": gpus, "memory": memory}
    return sum(
        min(
            int(node["Resources"].get(name, 0.0) / need + 1e-6)
            for name, need in wanted.items()
            if need
        )
        for node in nodes
    )


def room_here(cpus: float, gpus: float = 0.0, memory: float = 0.0) -> int:
    """Count the trials that this machine can run in parallel, one at least."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    there: dict[str, float] = {"CPU": cores or 1}
    if gpus:
        import torch

        there["GPU"] = torch.cuda.device_count()
    if pages := os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0:
        there["memory"] = pages * os.sysconf("SC_PAGE_SIZE")
    needed = (memory or BYTES_A_TRIAL) if "memory" in there else 0
    return max(1, room([{"Resources": there}], cpus, gpus, needed))


def idle(workers: int, there: int) -> str | None:
    """Say that a number of workers leaves most of what is there idle; None where it does not.

    >>> idle(2, 32)
    'resources.workers is 2, so 30 of the 32 trials that there is room for ...; auto uses all'
    >>> idle(2, 4), idle(8, 2)
    (None, None)
    """
    if there <= 2 * workers:
        return None
    return (
        f"resources.workers is {workers}, so {there - workers} of the {there} trials that there is "
        "room for do not run; auto uses all"
    )

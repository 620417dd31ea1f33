"""Warnings of trials that ask for more than this machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from pipeline.study.schema import Resources

__all__ = ["room_warnings"]


def room_warnings(
    resources: Resources, environment: Mapping[str, str] = os.environ
) -> Iterator[str]:
    """Yield a warning for each resource of which a trial asks for more than is here.

    None where a cluster is named, whose nodes may have it.
    """
    if resources.address is not None or environment.get("RAY_ADDRESS", "").strip():
        return
    cores = _cores()
    if resources.cpus_per_trial > cores:
        yield _warning("cpus_per_trial", resources.cpus_per_trial, cores, "processor cores")
    asked = resources.gpus_per_trial
    if asked != "auto" and asked > 0 and asked > (gpus := _gpus()):
        yield _warning("gpus_per_trial", asked, gpus, "GPUs")


def _warning(name: str, asked: float, there: int, what: str) -> str:
    return (
        f"warning: resources.{name} is {asked:g} but this machine has {there} {what}: "
        "lower it, or name a cluster that has them by RAY_ADDRESS"
    )


def _cores() -> int:
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return found or 1


def _gpus() -> int:
    import torch  # takes seconds, and few studies ask

    return torch.cuda.device_count()

"""How much of a GPU a trial needs, where `resources.gpus_per_trial` is `auto`."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from pipeline.common.units import size
from pipeline.dataset import load_dataset
from pipeline.execution.cluster_address import named_address
from pipeline.search.designs import at, levels
from pipeline.search.space import configuration, distributions
from pipeline.study.cells import cells
from pipeline.study.schema import Params
from pipeline.training.cost import trial_bytes

__all__ = ["device_bytes", "largest_trial_bytes", "share_of", "shared"]

PREPARED = Path("data/prepare")
# What a process takes of a GPU before any tensor: CUDA's context and the libraries' workspaces.
PROCESS = 700e6
# Kernels take memory that is not kept for the backward pass, and allocators leave gaps.
SPARE = 1.5
# The quantile of the largest value of an interval.
LAST = math.nextafter(1, 0)
# A GPU that more processes share than this does not get faster for it.
MOST = 16


def shared(params: Params) -> Params:
    """Replace `auto` by a number: a share of the GPU here, a whole one of a cluster's, or none."""
    resources = params.resources
    if resources.gpus_per_trial != "auto":
        return params
    total, share = device_bytes(), 0.0
    if total is not None:
        share = share_of(
            max(largest_trial_bytes(params, name) for name in params.prepare.datasets), total
        )
        print(f"auto: {share:.3g} of a GPU of {size(total)} for each trial", flush=True)
    elif named_address() != "local":
        share = 1.0
    update = {"resources": resources.model_copy(update={"gpus_per_trial": share})}
    return params.model_copy(update=update)


def share_of(needed: float, total: float) -> float:
    """Return the part of a GPU that so many bytes of a trial take, as one over a whole number.

    >>> share_of(300e6, 80e9), share_of(10e9, 80e9), share_of(90e9, 80e9)
    (0.0625, 0.2, 1.0)
    """
    return 1 / min(MOST, max(1, int(total / (SPARE * needed + PROCESS))))


def device_bytes() -> int | None:
    """Return the memory of this machine's first GPU, without starting CUDA in this process."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=30, check=True
        )
        return int(float(answer.stdout.splitlines()[0])) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def largest_trial_bytes(params: Params, dataset: str) -> int:
    """Count what a trial holds at most: of each cell the largest values that are searched."""
    data = load_dataset(PREPARED / dataset, ("train", "validation"))
    found = []
    for cell in cells(params, dataset):
        space = distributions(params.sweep.search_space, cell)
        largest = {name: largest_of(one) for name, one in space.items()}
        found.append(trial_bytes(configuration(cell, largest, params, data), data))
    return max(found)


def largest_of(one: BaseDistribution) -> Any:
    """Return the largest value of a distribution."""
    return max(levels(one)) if isinstance(one, CategoricalDistribution) else at(one, LAST)

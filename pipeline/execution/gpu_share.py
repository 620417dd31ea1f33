"""How much of a GPU a trial needs, where `resources.gpus_per_trial` is `auto`: a short probe."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from pipeline.common.documents import mapping, read_json
from pipeline.common.files import write_json
from pipeline.common.units import size
from pipeline.dataset import load_dataset
from pipeline.execution.cluster_address import named_address
from pipeline.execution.gpu_probe import Case, Measured, ProbeFailed, best, measure_together
from pipeline.execution.parallel_trials import room_here
from pipeline.execution.state_folder import ROOT
from pipeline.results.provenance import digest
from pipeline.search.designs import at, levels
from pipeline.search.space import configuration, distributions
from pipeline.study.cells import cells
from pipeline.study.schema import Params
from pipeline.training.cost import trial_bytes
from pipeline.training.image_feed import SHARE

__all__ = ["Gpu", "Largest", "auto_share", "gpu_here", "largest_trial", "share_of"]

PREPARED = Path("data/prepare")
FILE = "gpu_probe.json"  # of what was measured, in the state folder
# What a process takes of a GPU before any tensor: CUDA's context and the libraries' workspaces.
PROCESS = 700e6
# Kernels take memory that is not kept for the backward pass, and allocators leave gaps.
SPARE = 1.5
# The quantile of the largest value of an interval.
LAST = math.nextafter(1, 0)
# More processes than these share a GPU only where a probe says so.
MOST = 8


@dataclass(frozen=True)
class Gpu:
    """A GPU's name and its memory in bytes."""

    name: str
    total: int


@dataclass(frozen=True)
class Largest:
    """The configuration of a study that takes most memory.

    Attributes
    ----------
    counted
        Bytes of weights, gradients, moments and what a backward pass keeps, counted.
    images
        Bytes of the train and validation images, which lie on a GPU that has room for them.
    """

    configuration: dict[str, Any]
    card: dict[str, Any]
    counted: int
    images: int


def auto_share(
    params: Params, measure: Callable[[int, Case], Measured | None] = measure_together
) -> float:
    """Return what of a GPU a trial gets: a share of the one here, a whole of a cluster's, or 0."""
    gpu = gpu_here()
    if gpu is not None:
        return _share_here(params, gpu, measure)
    return 1.0 if named_address() != "local" else 0.0


def _share_here(params: Params, gpu: Gpu, measure: Callable[[int, Case], Measured | None]) -> float:
    """Probe the largest trial; where that fails, count its memory."""
    largest = max(
        (largest_trial(params, name) for name in params.prepare.datasets),
        key=lambda one: one.counted,
    )
    images = largest.images if largest.images <= SHARE * gpu.total else 0
    try:
        found = _probed(params, largest, images, gpu, measure)
    except (ProbeFailed, OSError) as error:
        share = share_of(largest.counted, gpu.total, images)
        _say(share, gpu, f"by counted memory, since the probe failed ({error})")
        return share
    share = 1 / found.trials if found is not None else 1.0
    rate = f"{found.images_per_second:,.0f} images/s" if found is not None else "out of memory"
    _say(share, gpu, f"measured: {rate} together")
    return share


def _say(share: float, gpu: Gpu, how: str) -> None:
    trials = round(1 / share)
    print(
        f"auto: {trials} trial{'s' if trials > 1 else ''} at once on each GPU ({gpu.name}, "
        f"{size(gpu.total)}), {how}",
        flush=True,
    )


def _probed(
    params: Params,
    largest: Largest,
    images: int,
    gpu: Gpu,
    measure: Callable[[int, Case], Measured | None],
) -> Measured | None:
    """Measure once for a configuration and a GPU; a later start of the study takes what is kept."""
    threads = max(1, int(params.resources.cpus_per_trial))
    case = Case(largest.configuration, largest.card, threads=threads)
    cores = room_here(params.resources.cpus_per_trial)
    key = digest({**asdict(case), **asdict(gpu), "images": images, "cores": cores})
    path = ROOT / FILE
    advice = "remove it, and the GPU is measured again"
    known = mapping(read_json(path, advice), str(path), advice) if path.exists() else {}
    if key not in known:
        print(f"auto: measuring how many trials a {gpu.name} trains at once", flush=True)
        found = best(partial(_of_case, measure, case), gpu.total, images + PROCESS, cores)
        known[key] = None if found is None else asdict(found)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, known)
    return None if known[key] is None else Measured(**known[key])


def _of_case(
    measure: Callable[[int, Case], Measured | None], case: Case, count: int
) -> Measured | None:
    return measure(count, case)


def share_of(needed: float, total: float, images: float = 0) -> float:
    """Return the part of a GPU that so many bytes of a trial take, as one over a whole number.

    >>> share_of(300e6, 80e9), share_of(10e9, 80e9), share_of(90e9, 80e9)
    (0.125, 0.2, 1.0)
    """
    return 1 / min(MOST, max(1, int(total / (SPARE * needed + images + PROCESS))))


def gpu_here() -> Gpu | None:
    """Return this machine's first GPU, without starting CUDA in this process."""
    query = "--query-gpu=name,memory.total"
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=30, check=True
        )
        name, _, total = answer.stdout.splitlines()[0].rpartition(", ")
        return Gpu(name, int(float(total)) * 2**20)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def largest_trial(params: Params, dataset: str) -> Largest:
    """Find what takes most memory: of each cell the largest values that are searched."""
    data = load_dataset(PREPARED / dataset, ("train", "validation"))
    found = []
    for cell in cells(params, dataset):
        space = distributions(params.sweep.search_space, cell)
        values = {name: largest_of(one) for name, one in space.items()}
        config = configuration(cell, values, params, data)
        images = data.train.images.nbytes + data.validation.images.nbytes
        card = {name: data.card[name] for name in ("image_shape", "classes", "mean", "std")}
        found.append(Largest(config, card, trial_bytes(config, data), images))
    return max(found, key=lambda one: one.counted)


def largest_of(one: BaseDistribution) -> Any:
    """Return the largest value of a distribution."""
    return max(levels(one)) if isinstance(one, CategoricalDistribution) else at(one, LAST)

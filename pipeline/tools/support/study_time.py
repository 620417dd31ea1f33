"""How long `make study` will take, in one sentence, within seconds and before there are data."""

from __future__ import annotations

import os

import torch

from gsa_core import point_group
from pipeline.common.commands import STAGES
from pipeline.common.units import duration
from pipeline.execution.parallel_trials import parallel_here
from pipeline.study.schema import Params
from pipeline.tools.support.forecast import Sizes, estimate_seconds
from pipeline.tools.use import look_for

__all__ = ["sentence"]

MEASURING = 4.0  # seconds of one core
# Of one core, without trials and runs: the symmetry of a data set, and the report. Measured at
# ce6d969 for five data sets and 42 cells on two cores of a virtual machine: 30 s and 83 s.
SYMMETRY, REPORT = 6.0, 83.0
# Of one core, for an element of a group, an encoding and a seed: the untrained networks that
# `confirm` measures. Measured for C1, C2, C4 and D4: 21 s in all where this says 20 s.
UNTRAINED = 0.15
# The imports of a stage (3.4 s of one core), and about what Ray and its workers take to start.
START, RAY = 4.0, 8.0


def sentence(params: Params) -> str:
    """Return the estimate and where it is from."""
    sizes: dict[str, Sizes] = {}
    for name in params.prepare.datasets:
        found, said = look_for(params, name)
        if found is None:
            return f"time: no estimate before all data are there ({said})"
        sizes[name] = found
    wanted = params.resources.gpus_per_trial and torch.cuda.is_available()
    slots = parallel_here(params)
    searching = estimate_seconds(params, sizes, "cuda" if wanted else "cpu", MEASURING)
    symmetry = SYMMETRY * len(sizes) * params.prepare.symmetry_test
    total = searching + symmetry + REPORT / min(slots, 4) + _untrained(params) / slots + _starts()
    parallel = f"{slots} trials in parallel" if slots > 1 else "one trial at a time"
    return (
        f"time: {duration(total)} or more for the whole study with {parallel}, by a few steps of "
        "its networks on this machine; other work on it makes the study longer; what was done "
        "before is not repeated, so that the rest takes less"
    )


def _untrained(params: Params) -> float:
    """Seconds of one core for the hierarchy of encodings, which `confirm` measures once."""
    elements = sum(point_group(name).order for name in params.sweep.group)
    return UNTRAINED * elements * len(params.sweep.positional) * params.confirm.hierarchy_seeds


def _starts() -> float:
    """Seconds in which the stages start, two of them with Ray."""
    with_ray = os.environ.get("GSA_ENGINE") != "in-process"
    return len(STAGES) * START + 2 * RAY * with_ray

"""How long `make study` will take, in one sentence, within seconds and before there are data."""

from __future__ import annotations

import torch

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
    total = searching + symmetry + REPORT / min(slots, 4)
    parallel = f"{slots} trials in parallel" if slots > 1 else "one trial at a time"
    return (
        f"time: about {duration(total)} with {parallel}, by a few steps of its networks on this "
        "machine when nothing else runs; what was done before is not repeated"
    )

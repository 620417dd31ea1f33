"""Train with a real limit of memory: `python tests/limited.py [bytes]` prints what came of it.

A small trial first, so that libraries have what they want; then one with a large batch, with only
so many bytes of address space more than are taken by then; then the small one again.
"""

from __future__ import annotations

import json
import resource
import sys

import fake_study
import numpy as np

from pipeline.attempt import attempt
from pipeline.datasets import Dataset
from pipeline.datasets.store import Split
from pipeline.execution.engine import use_threads
from pipeline.execution.work import Context
from pipeline.search_space import Cell, configuration

BATCH, SIDE = 256, 28


def images(count: int) -> Dataset:
    """Images of noise."""
    draw = np.random.default_rng(0)
    split = Split(draw.random((count, 1, SIDE, SIDE), dtype=np.float32), np.arange(count) % 10)
    card = {"image_shape": [1, SIDE, SIDE], "classes": 10, "mean": [0.5], "std": [0.3]}
    return Dataset("noise", split, split, card=card)


def train(count: int) -> dict[str, object]:
    """Train an epoch of one batch."""
    params, data = fake_study.study(batch_size=count, epochs=1), images(count)
    config = configuration(Cell("gsa", "C4", "relative", 1, "stem"), {"channels": 16}, params, data)
    row = attempt(config, data, Context(), None).row
    row["batch_parts"] = row.get("configuration", config).get("batch_parts", 1)
    return row


def taken(name: str) -> int:
    """Bytes of address space: VmSize now, VmPeak at most."""
    with open("/proc/self/status") as lines:
        found = next(line for line in lines if line.startswith(f"{name}:"))
    return 1024 * int(found.split()[1])


def main() -> None:
    """Print a line of JSON: growth without a limit, or three rows with one."""
    use_threads(1)
    rows = [train(8)]
    before = taken("VmSize")
    if len(sys.argv) > 1:
        resource.setrlimit(resource.RLIMIT_AS, (before + int(sys.argv[1]), resource.RLIM_INFINITY))
    rows += [train(BATCH), train(8)]
    print(json.dumps({"growth": taken("VmPeak") - before, "rows": rows}))


if __name__ == "__main__":
    main()

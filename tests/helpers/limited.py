"""Train with a real limit of memory: `python tests/helpers/limited.py` prints what came of it.

A small trial first, so that libraries have what they want; then one with a large batch, whose
growth of the address space is measured; then both once more, the large one with a part of that
growth alone.
"""

from __future__ import annotations

import json
import resource

import fake_study
import numpy as np

from pipeline.dataset import Dataset
from pipeline.dataset.store import Split
from pipeline.execution.resumable_training import train_resumably
from pipeline.execution.tasks import Context
from pipeline.search.space import configuration
from pipeline.study.cells import Cell
from pipeline.training.devices import use_threads

BATCH, SIDE = 256, 20


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
    row = train_resumably(config, data, Context(), None).row
    row["batch_parts"] = row.get("configuration", config).get("batch_parts", 1)
    return row


def taken(name: str) -> int:
    """Bytes of address space: VmSize now, VmPeak at most."""
    with open("/proc/self/status") as lines:
        found = next(line for line in lines if line.startswith(f"{name}:"))
    return 1024 * int(found.split()[1])


def main() -> None:
    """Print the rows of both trials, without a limit and with one, as a line of JSON."""
    use_threads(1)
    small, before = train(8), taken("VmSize")
    large, growth = train(BATCH), taken("VmPeak") - before
    most = taken("VmSize") + int(0.75 * growth)
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    limited = [train(BATCH), train(8)]
    print(json.dumps({"free": [small, large], "limited": limited}))


if __name__ == "__main__":
    main()

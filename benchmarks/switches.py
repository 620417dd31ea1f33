"""What `sweep.precision: bf16` and `sweep.compile: true` bring to a training step on a processor.

``python benchmarks/switches.py`` (one thread): whole networks take steps eagerly in float32, in
bfloat16, compiled, and both, in turns, by the processor's own clock. The table of docs/gpu.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from gsa_core import build_model
from pipeline.training.gradients import Gradients

# Of a network: its arguments, and the images of a step.
NETWORKS: dict[str, tuple[dict[str, Any], int]] = {
    "gsa C4": ({"model": "gsa", "group": "C4", "depth": 1, "image_size": 16}, 32),
    "staged C4": ({"model": "staged", "group": "C4"}, 64),
    "vit": ({"model": "vit", "group": "C1", "image_size": 32, "channels": 64}, 64),
}
SWITCHES: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"precision": "bf16"},
    "compiled": {"compile": True},
    "compiled, bfloat16": {"precision": "bf16", "compile": True},
}


def step_of(name: str, switches: dict[str, Any]) -> Callable[[], float]:
    """A training step of a network under these switches; the seconds that it took."""
    arguments, batch = NETWORKS[name]
    torch.manual_seed(0)
    model = build_model(**arguments).train()
    size = arguments.get("image_size", 28)
    images, labels = torch.rand(batch, 1, size, size), torch.randint(10, (batch,))
    gradients = Gradients(model, {"label_smoothing": 0.0, **switches}, None)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> float:
        start = time.process_time()
        optimizer.zero_grad()
        gradients(images, labels, 1.0)
        optimizer.step()
        return time.process_time() - start

    return step


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    others = list(SWITCHES)[1:]
    print("| network | ms a step | " + " | ".join(others) + " | first compiled step, s |")
    print("|---|---:|" + "---:|" * (len(others) + 1))
    for name in asked.networks:
        # Networks of one class share what is compiled, so each switch has its steps at a time.
        plain, ratios, first = step_of(name, SWITCHES["float32"]), [], 0.0
        for title in others:
            step = step_of(name, SWITCHES[title])
            start = step()
            if title == "compiled":
                first = start
            step(), plain()
            taken = [(step(), plain()) for _ in range(asked.steps)]
            ratios.append(statistics.median(one / other for one, other in taken))
        ms = 1000 * statistics.median(plain() for _ in range(asked.steps))
        cells = " | ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"| {name} | {ms:.0f} | {cells} | {first:.0f} |", flush=True)


if __name__ == "__main__":
    main()

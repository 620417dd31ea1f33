"""What turning images on the fly adds to a training step: ``python benchmarks/turning.py``.

The step is that of a study (forward, backward, AdamW) for a batch of 28x28 grey digits on stem
tokens; both are timed in alternation by the processor's clock, or by the GPU's where there is one.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from gsa_core import build_model
from pipeline.training.augment import turned_at_random


def timer(device: str) -> Callable[[Callable[[], object]], float]:
    """Return what times a call in seconds."""

    def seconds(call: Callable[[], object]) -> float:
        if device == "cpu":
            start = time.process_time()
            call()
            return time.process_time() - start
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        return time.perf_counter() - start

    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    print(f"{name}, torch {torch.__version__}, batch {options.batch}, median of {options.rounds}")
    print("| group | a step, ms | quarter turns, ms | any turn, ms | any turn / step |")
    print("|---|---|---|---|---|")
    seconds, draw = timer(device), torch.Generator().manual_seed(0)
    images = torch.rand(options.batch, 1, 28, 28, device=device)
    labels = torch.zeros(options.batch, dtype=torch.int64, device=device)
    for group in ("C1", "C4", "D4"):
        model = build_model(group=group, tokens="stem", form="framewise", image_size=28).to(device)
        optimizer = torch.optim.AdamW(model.parameters())

        def step(model: torch.nn.Module = model, optimizer: object = optimizer) -> None:
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()  # type: ignore[attr-defined]
            optimizer.zero_grad()  # type: ignore[attr-defined]

        calls = (
            step,
            lambda: turned_at_random(images, "quarter", draw),
            lambda: turned_at_random(images, "turn", draw),
        )
        took = [[seconds(call) for call in calls] for _ in range(options.rounds)]
        whole, quarter, turn = (1e3 * statistics.median(times) for times in zip(*took, strict=True))
        print(
            f"| {group} | {whole:.1f} | {quarter:.2f} | {turn:.2f} | {turn / whole:.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

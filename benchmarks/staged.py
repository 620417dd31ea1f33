"""A training step of a staged network compared with that of an ordinary one with as many FLOPs.

``python benchmarks/staged.py`` (one thread, batch 64, 28x28): both take steps in turns, timed by
the processor's own clock, so that other work on the machine counts little; then the operations of a
step of the staged network by their share. The tables of docs/performance.md.
"""

from __future__ import annotations

import argparse
import bisect
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from gsa_core import build_model, count_flops, count_parameters

BATCH, SHAPE = 64, (1, 28, 28)
# Names of torch's operations, by the part that they belong to; the first that fits counts.
PARTS = {
    "convolutions": ("convolution",),
    "attention": ("attention", "softmax"),
    "linear maps": ("mm", "linear"),
    "norms": ("norm",),
    "activations": ("gelu",),
    "pooling": ("pool", "amax"),
    "optimiser": ("adamw", "Optimizer"),
}


def ordinary(channels: int) -> nn.Module:
    """The stages of a staged network as ordinary convolutions, in the faster memory format."""
    middle, last = round(1.5 * channels), 2 * channels

    def stage(before: int, after: int) -> list[nn.Module]:
        convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(after), nn.GELU()]

    first = [nn.Conv2d(1, channels, 5, padding=2, bias=False), nn.MaxPool2d(2)]
    return nn.Sequential(
        *first, nn.BatchNorm2d(channels), nn.GELU(),
        *stage(channels, middle), *stage(middle, middle), nn.MaxPool2d(2), *stage(middle, last),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(last, 10),
    ).to(memory_format=torch.channels_last)  # fmt: skip


def equal_width(flops: int) -> int:
    """The width with which an ordinary network comes closest to so many FLOPs."""
    return bisect.bisect_left(
        range(1000), flops, lo=1, key=lambda width: count_flops(ordinary(width), SHAPE)
    )


def step_of(model: nn.Module) -> Callable[[], float]:
    """A training step; the seconds that it took of the processor."""
    images, labels = torch.rand(BATCH, *SHAPE), torch.randint(10, (BATCH,))
    optimizer = torch.optim.AdamW(model.train().parameters(), fused=True)

    def step() -> float:
        start = time.process_time()
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        return time.process_time() - start

    return step


def shares(step: Callable[[], float]) -> dict[str, float]:
    """The share of each part of the time of a step."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step()
    found = dict.fromkeys([*PARTS, "others"], 0.0)
    for event in profiled.key_averages():
        named = (p for p, words in PARTS.items() if any(word in event.key for word in words))
        found[next(named, "others")] += event.self_cpu_time_total
    total = sum(found.values())
    return {part: spent / total for part, spent in found.items()}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--group", default="C8")
    parser.add_argument("--steps", type=int, default=15)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| network | parameters | MFLOPs an image | ms an image | of the ordinary one |")
    print("|---|---:|---:|---:|---:|")
    parts = {}
    for name in ("staged", "staged_gcnn"):
        model = build_model(name, group=asked.group)
        flops = count_flops(model, SHAPE)
        plain = ordinary(equal_width(flops))
        steps = step_of(model), step_of(plain)
        taken = [(steps[0](), steps[1]()) for _ in range(asked.steps + 2)][2:]
        ratio = statistics.median(one / other for one, other in taken)
        for title, network, column in ((f"`{name}`", model, 0), ("ordinary", plain, 1)):
            ms = 1000 * statistics.median(row[column] for row in taken) / BATCH
            print(f"| {title} | {count_parameters(network):,} | "
                  f"{count_flops(network, SHAPE) / 1e6:.0f} | {ms:.1f} | "
                  f"{ratio if column == 0 else 1:.2f} |", flush=True)  # fmt: skip
        parts[name] = shares(steps[0])
    print("\n| part of a step |" + "".join(f" `{name}` |" for name in parts))
    print("|---|" + "---:|" * len(parts))
    for part in parts["staged"]:
        print(f"| {part} |" + "".join(f" {100 * found[part]:.1f} % |" for found in parts.values()))


if __name__ == "__main__":
    main()

"""Step time and peak memory of every form of group attention, in one alternating run.

One layer, 20 channels a frame, 9 heads of 10; a step is forward and backward. The plain
transformer has |H| times the channels and heads and one frame. ``python benchmarks/attention.py``
runs the cases of a few minutes; ``--threads 1 2 --rounds 7 --cases all`` the rest.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from published_way import published_way

from gsa_core import GroupSelfAttention, cyclic_group, point_group

CHANNELS, HEADS, HEAD_DIM = 20, 9, 10
CASES = {  # group, window, image side
    "C4 5x5": ("C4", 5, 28),
    "C4 9x9": ("C4", 9, 28),
    "D4 5x5": ("D4", 5, 28),
    "D4 9x9": ("D4", 9, 28),
    "C4 global": ("C4", None, 14),
    "D4 global": ("D4", None, 14),
}
REFERENCE = "published, its way"


def contestants(
    name: str, window: int | None, side: int, methods: Sequence[str]
) -> dict[str, Callable[[], object]]:
    """One training step of each way, by its name."""
    group = point_group(name)
    x = torch.randn(1, CHANNELS, group.order, side, side)
    options = {"window": window, "head_dim": HEAD_DIM}
    if window is None:
        options["image_size"] = side

    def layer(form: str, **more: object) -> GroupSelfAttention:
        torch.manual_seed(0)
        return GroupSelfAttention(
            group, CHANNELS, CHANNELS, HEADS, form=form, **{**options, **more}
        )

    def plain_transformer(method: str) -> GroupSelfAttention:
        torch.manual_seed(0)
        return GroupSelfAttention(
            cyclic_group(1), group.order * CHANNELS, group.order * CHANNELS, group.order * HEADS,
            form="framewise", positional="none", method=method, **options,
        )  # fmt: skip

    published = layer("published", encoding="published")
    steps = {REFERENCE: _step(lambda y: published_way(published, y), published, x)}
    for method in methods:
        made = {
            "published": layer("published", encoding="published", method=method),
            "joint": layer("joint", method=method),
            "framewise": layer("framewise", method=method),
            "framewise, rotary": layer("framewise", positional="rotary", method=method),
        }
        for form, module in made.items():
            steps[f"{form}, {method}"] = _step(module, module, x)
        plain = plain_transformer(method)
        steps[f"plain transformer, {method}"] = _step(plain, plain, x.flatten(1, 2).unsqueeze(2))
    return steps


def _step(
    function: Callable[[torch.Tensor], torch.Tensor], module: torch.nn.Module, x: torch.Tensor
) -> Callable[[], object]:
    x = x.clone().requires_grad_()

    def step() -> None:
        module.zero_grad(set_to_none=True)
        x.grad = None
        function(x).square().sum().backward()

    return step


def peak_bytes(step: Callable[[], object]) -> int:
    """Most memory that a step holds beyond what the process holds before it."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # give back what earlier steps have freed
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    step()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(x for x in lines if x.startswith(field)).split()[1]) * 1024


def measure(
    case: str, rounds: int, methods: Sequence[str], ways: Sequence[str]
) -> list[tuple[str, float, float]]:
    """Name, median seconds and peak megabytes of every way, alternating."""
    steps = contestants(*CASES[case], methods)
    if ways:
        wanted = {f"{way}, {method}" for way in ways for method in methods}
        steps = {name: step for name, step in steps.items() if name in wanted}
    memory = {name: peak_bytes(step) for name, step in steps.items()}  # and a first, untimed step
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    # One thread is timed by the processor's clock, which other processes do not move.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    for _ in range(rounds):
        for name, step in steps.items():
            start = clock()
            step()
            seconds[name].append(clock() - start)
    return [(name, statistics.median(seconds[name]), memory[name] / 1e6) for name in steps]


def main() -> None:
    """Print one table for every number of threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=["all"], choices=["all", *CASES])
    parser.add_argument("--methods", nargs="+", default=["torch", "kernel"])
    parser.add_argument("--ways", nargs="+", help="these alone, held to the first of them")
    arguments = parser.parse_args()
    cases = list(CASES) if "all" in arguments.cases else arguments.cases
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(
        f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, "
        f"commit {commit}; medians of {arguments.rounds} alternating rounds, batch 1, float32"
    )
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        print(f"\n{threads} thread{'s' * (threads > 1)}\n")
        print("| case | way | ms a step | MB | times faster | times less memory |")
        print("|---|---|---:|---:|---:|---:|")
        for case in cases:
            rows = measure(case, arguments.rounds, arguments.methods, arguments.ways or ())
            _, slow, large = rows[0]
            for name, seconds, megabytes in rows:
                print(
                    f"| {case} | {name} | {1000 * seconds:.0f} | {megabytes:.0f} | "
                    f"{slow / seconds:.1f} | {large / max(megabytes, 0.1):.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

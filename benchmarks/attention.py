"""Step time and peak memory of every form of group attention, in one alternating run.

One layer, 20 channels a frame, 9 heads of 10; a step is forward and backward. The plain
transformer has |H| times the channels and heads and one frame. ``python benchmarks/attention.py``
runs the cases of a few minutes; ``--threads 1 2 --rounds 7 --cases all`` the rest. ``--widths``
compares the methods by channels a head instead, which is what ``method="auto"`` is chosen by.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import torch
from measurement_origin import commit
from published_way import published_way
from torch import Tensor

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
REFERENCE = "published (reference implementation)"
WIDTHS = (10, 16, 24, 32, 64)
COMPARED = ("auto", "kernel", "torch", "written_out")
Step = Callable[[], object]


def contestants(
    name: str,
    window: int | None,
    side: int,
    methods: Sequence[str],
    *,
    channels: int = CHANNELS,
    heads: int = HEADS,
    head_dim: int = HEAD_DIM,
    batch: int = 1,
    **where: object,
) -> dict[str, Callable[[], Step]]:
    """What makes one training step of each way, by its name; `where` are device and dtype."""
    group = point_group(name)
    options = {"window": window, "head_dim": head_dim}
    if window is None:
        options["image_size"] = side

    def layer(form: str, **more: object) -> GroupSelfAttention:
        torch.manual_seed(0)
        made = GroupSelfAttention(group, channels, channels, heads, form=form, **options, **more)
        return made.to(**where)

    def plain_transformer(method: str) -> GroupSelfAttention:
        torch.manual_seed(0)
        made = GroupSelfAttention(
            cyclic_group(1), group.order * channels, group.order * channels, group.order * heads,
            form="framewise", positional="none", method=method, window=window, head_dim=head_dim,
        )  # fmt: skip
        return made.to(**where)

    def features() -> Tensor:
        return torch.randn(batch, channels, group.order, side, side, **where)

    def published() -> Step:
        module = layer("published", encoding="published")
        return _step(partial(published_way, module), module, features())

    def group_step(form: str, **more: object) -> Step:
        module = layer(form, **more)
        return _step(module, module, features())

    def plain_step(method: str) -> Step:
        module = plain_transformer(method)
        return _step(module, module, features().flatten(1, 2).unsqueeze(2))

    steps: dict[str, Callable[[], Step]] = {REFERENCE: published}
    for method in methods:
        forms = {
            "published": {"form": "published", "encoding": "published"},
            "joint": {"form": "joint"},
            "framewise": {"form": "framewise"},
            "framewise, rotary": {"form": "framewise", "positional": "rotary"},
        }
        for form, more in forms.items():
            steps[f"{form}, {method}"] = partial(group_step, method=method, **more)
        steps[f"plain transformer, {method}"] = partial(plain_step, method)
    return steps


def _step(function: Callable[[Tensor], Tensor], module: torch.nn.Module, x: Tensor) -> Step:
    x = x.clone().requires_grad_()

    def step() -> None:
        module.zero_grad(set_to_none=True)
        x.grad = None
        function(x).square().sum().backward()

    return step


def peak_bytes(step: Step) -> int:
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
    made = contestants(*CASES[case], methods)
    if ways:
        wanted = {f"{way}, {method}" for way in ways for method in methods}
        made = {name: make for name, make in made.items() if name in wanted}
    steps = {name: make() for name, make in made.items()}
    memory = {name: peak_bytes(step) for name, step in steps.items()}  # and a first, untimed step
    # One thread is timed by the processor's clock, which other processes do not move.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds = _alternating(steps, rounds, clock)
    return [(name, seconds[name], memory[name] / 1e6) for name in steps]


def compare_widths(rounds: int) -> None:
    """Print, for every width of a head, the median step of each method over that of the fastest."""
    print(f"| form | sees | encoding | channels a head | {' | '.join(COMPARED)} |")
    print(f"|---|---|---|---:|{'---:|' * len(COMPARED)}")
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    x = torch.randn(1, CHANNELS, 4, 14, 14)
    rows = product(("framewise", "joint"), (None, 5), ("none", "rotary", "relative"), WIDTHS)
    for form, window, positional, width in rows:
        options = {"form": form, "positional": positional, "head_dim": width, "window": window}
        if window is None and positional != "none":
            options["image_size"] = 14
        steps = {}
        for method in COMPARED:
            layer = GroupSelfAttention(
                cyclic_group(4), CHANNELS, CHANNELS, 4, method=method, **options
            )
            steps[method] = _step(layer, layer, x)
            steps[method]()
        seconds = _alternating(steps, rounds, clock)
        best = min(seconds.values())
        ratios = " | ".join(f"{seconds[method] / best:.2f}" for method in COMPARED)
        sees = "all" if window is None else f"{window}x{window}"
        print(f"| {form} | {sees} | {positional} | {width} | {ratios} |", flush=True)


def _alternating(
    steps: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Median seconds of every step."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = clock()
            step()
            seconds[name].append(clock() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


def main() -> None:
    """Print one table for every number of threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=["all"], choices=["all", *CASES])
    parser.add_argument("--methods", nargs="+", default=["torch", "kernel"])
    parser.add_argument("--widths", action="store_true")
    parser.add_argument("--ways", nargs="+", help="these alone, held to the first of them")
    arguments = parser.parse_args()
    cases = list(CASES) if "all" in arguments.cases else arguments.cases
    print(
        f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, "
        f"commit {commit()}; medians of {arguments.rounds} alternating rounds, batch 1, float32"
    )
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        print(f"\n{threads} thread{'s' * (threads > 1)}\n")
        if arguments.widths:
            compare_widths(arguments.rounds)
            continue
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

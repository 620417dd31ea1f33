"""How step time and memory of group attention grow with the image and with the group.

``python benchmarks/scaling.py`` draws docs/figures/scaling.svg and prints the exponents that fit:
``time ~ pixels ^ a`` and ``memory ~ pixels ^ b`` over the larger half of the sizes, and the same
against ``|H|`` at one size. One layer, 16 channels a frame, 2 heads, batch 1, one thread. Memory is
what the forward pass keeps for the backward pass (`gsa_core.count_activations`), which does not
depend on what else the machine does; time is that of the processor, the least of many steps.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence

import torch
from drawing import save
from matplotlib import pyplot as plt
from matplotlib import ticker

from gsa_core import GroupSelfAttention, count_activations, point_group

CHANNELS, HEADS, WINDOW = 16, 2, 5
SIDES = {"window": (12, 16, 24, 32, 48), "global": (8, 12, 16, 24, 32)}
GROUPS = ("C1", "C2", "C4", "D4", "D8")
WAYS = {
    "joint, relative": {"form": "joint"},
    "framewise, relative": {"form": "framewise"},
    "framewise, rotary": {"form": "framewise", "positional": "rotary"},
}
COLOURS = ("#4477aa", "#ee6677", "#228833")
UNITS = (1e3, 1e-6)  # milliseconds, megabytes
Point = tuple[float, float]


def measure(way: str, reach: str, group_name: str, side: int, rounds: int) -> Point:
    """Seconds of a step and bytes that its forward pass keeps."""
    group, window = point_group(group_name), WINDOW if reach == "window" else None
    torch.manual_seed(0)
    size = {"image_size": side} if window is None else {"window": window}
    layer = GroupSelfAttention(group, CHANNELS, CHANNELS, HEADS, **size, **WAYS[way])
    x = torch.randn(1, CHANNELS, group.order, side, side, requires_grad=True)

    def step() -> float:
        start = time.process_time()
        layer(x).square().sum().backward()
        return time.process_time() - start

    step()
    seconds = min(step() for _ in range(rounds))
    return seconds, count_activations(layer, tuple(x.shape[1:]))


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of ``log values`` over ``log sizes``, by least squares."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in values]
    centre = sum(x) / len(x)
    weights = [a - centre for a in x]
    return sum(w * b for w, b in zip(weights, y, strict=True)) / sum(w * w for w in weights)


def report(reach: str, rounds: int, axes: Sequence[plt.Axes]) -> None:
    """Measure one neighbourhood, draw its four panels and print its rows."""
    for (way, _), colour in zip(WAYS.items(), COLOURS, strict=True):
        sides = SIDES[reach]
        by_size = [measure(way, reach, "C4", side, rounds) for side in sides]
        by_order = [measure(way, reach, name, 16, rounds) for name in GROUPS]
        pixels = [side**2 for side in sides]
        orders = [point_group(name).order for name in GROUPS]
        slopes = []
        for index, (sizes, points, first) in enumerate(
            ((pixels, by_size, len(sides) // 2), (orders, by_order, 1))
        ):
            for what in (0, 1):
                values = [point[what] * UNITS[what] for point in points]
                slopes.append(exponent(sizes[first:], values[first:]))
                axis = axes[2 * index + what]
                axis.loglog(sizes, values, "o-", color=colour, label=way, markersize=3)
        print(f"| {reach} | {way} | " + " | ".join(f"{x:.2f}" for x in slopes) + " |", flush=True)


def main() -> None:
    """Print the exponents and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    figure, axes = plt.subplots(2, 4, figsize=(9, 4.4), layout="constrained")
    figure.suptitle("A layer of group self-attention, forward and backward, on one core")
    print("| keys | layer | time, pixels | memory, pixels | time, order | memory, order |")
    print("|---|---|---:|---:|---:|---:|")
    for row, reach in zip(axes, SIDES, strict=True):
        report(reach, rounds, row)
        keys = f"{WINDOW}x{WINDOW} window" if reach == "window" else "global"
        pixels = {side**2: f"{side}²" for side in SIDES[reach]}
        orders = {point_group(name).order: name for name in GROUPS}
        for axis, what, over, ticks in zip(
            row,
            2 * ("ms a step", "MB kept"),
            ("pixels", "pixels", "group, by its order", "group, by its order"),
            (pixels, pixels, orders, orders),
            strict=True,
        ):
            axis.set(title=keys, xlabel=over, ylabel=what)
            axis.set_xticks(list(ticks), list(ticks.values()))
            axis.xaxis.set_minor_locator(ticker.NullLocator())
            axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
            axis.yaxis.set_minor_locator(ticker.NullLocator())
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    save(figure, "scaling")


if __name__ == "__main__":
    main()

"""FlexAttention in sections 2 and 3 of `gpu.py`: whether it is right, and what a layer costs by it.

The baseline is FlexAttention alone: the window's mask, as many heads of the same width, no linear
maps and no encoding. Torch compiles once for every row, for seconds, before anything is timed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from attention import CASES, CHANNELS, HEAD_DIM, HEADS, Step, contestants
from torch import nn

from gsa_core import GroupSelfAttention, LiftingSelfAttention, point_group
from gsa_core.attention.backends import flex
from gsa_core.attention.backends.flex_scores import padded_length

__all__ = [
    "FLEX_CHECKS", "NARROW", "WIDE", "Rows", "check_layer", "check_results", "flex_rows",
    "flex_tolerance", "plain_window", "warm",
]  # fmt: skip

Rows = Iterator[tuple[dict[str, Any], Callable[[], Step], tuple[str, int, int, int, int]]]
NARROW, WIDE = (CHANNELS, HEADS, HEAD_DIM), (128, 2, 64)
# Form, options, whether encodings are looked up where they could be appended to queries and keys.
FLEX_CHECKS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "framewise, relative": ("framewise", {"window": 5}, False),
    "joint, relative, looked up": ("joint", {"window": 5}, True),
    "joint, radial, soft disc": (
        "joint", {"positional": "radial", "window": 5, "window_shape": "soft_disc"}, False,
    ),
    "lifting, rotary, global": ("lifting", {"positional": "rotary", "image_size": 12}, False),
    "published, relative, disc": ("published", {"window": 3, "window_shape": "disc"}, False),
}  # fmt: skip
_TOLERANCES = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 1e-1}


def flex_tolerance(dtype: torch.dtype) -> float:
    """Of values relative to their norm, and of gradients relative to the largest of them."""
    return _TOLERANCES[dtype]


def check_layer(name: str) -> nn.Module:
    """The layer of a check, of C4."""
    form, options, _ = FLEX_CHECKS[name]
    if form == "lifting":
        return LiftingSelfAttention(point_group("C4"), 3, 4, 2, **options)
    return GroupSelfAttention(point_group("C4"), 3, 4, 2, form=form, **options)


def check_results(
    name: str, module: nn.Module, x: torch.Tensor, dtype: torch.dtype, device: torch.device,
    results: Callable[[nn.Module, torch.Tensor], list[torch.Tensor]],
) -> list[torch.Tensor]:  # fmt: skip
    """Output and gradients by ``flex`` on a device, of a copy of a module."""
    moved = deepcopy(module).to(device, dtype)
    moved.method = "flex"
    widest = flex.WIDEST_FACTORS
    flex.WIDEST_FACTORS = 0 if FLEX_CHECKS[name][2] else widest
    try:
        return results(moved, x.to(device, dtype))
    finally:
        flex.WIDEST_FACTORS = widest


def flex_rows(asked: argparse.Namespace, batch: int) -> Rows:
    """What names a row, what makes its step, and the sizes that say what it must move at least."""
    gpu = asked.device.type == "cuda"
    narrow, wide = (NARROW, "10 a head"), (WIDE, "64 a head")
    single, half = torch.float32, torch.bfloat16
    pair = ("framewise, flex", "flex, plain sliding window")
    order: list[tuple[Any, torch.dtype, str, tuple[str, ...]]] = [
        (narrow, single, "C4 9x9", pair),
        (narrow, half, "C4 9x9", (*pair, "framewise, torch")),
        (wide, single, "C4 9x9", pair),
        (wide, half, "C4 9x9", (*pair, "framewise, torch")),
        (narrow, half, "C4 9x9", ("framewise, flex, looked up", "joint, flex", "joint, torch")),
        (narrow, single, "C4 9x9", ("joint, flex", "framewise, flex, looked up")),
        (narrow, single, "C4 9x9", ("framewise, flex, tf32", "framewise, flex, large blocks")),
        (wide, half, "C4 9x9", ("joint, flex", "framewise, flex, looked up")),
        (narrow, single, "C4 9x9", ("framewise, rotary, flex", "published, flex")),
        (narrow, single, "C4 global", ("framewise, flex", "framewise, torch")),
        (narrow, half, "C4 5x5", ("framewise, flex", "framewise, torch")),
        (narrow, single, "C4 9x9", ("framewise, flex, ieee",)),
    ]
    if asked.quick or not gpu:
        order = order[:1]
    for ((channels, heads, head_dim), width), dtype, case, ways in order:
        name, window, side = CASES[case]
        side = 6 if asked.quick or not gpu else side
        sizes = {"channels": channels, "heads": heads, "head_dim": head_dim, "batch": batch}
        where = {"device": asked.device, "dtype": dtype}
        steps = contestants(name, window, side, ("flex", "torch"), **sizes, **where)
        for way in ways:
            make = _step_of(way, steps, partial(plain_window, name, window, side, **sizes, **where))
            row = {"case": case, "width": width, "way": way, "batch": batch}
            row["dtype"] = str(dtype).removeprefix("torch.")
            yield (
                row,
                partial(warm, make),
                (name, side, channels, heads * head_dim, dtype.itemsize),
            )


def _step_of(
    way: str, steps: dict[str, Callable[[], Step]], plain: Callable[[], Step]
) -> Callable[[], Step]:
    """A step of that name, with another constant of `gsa_core.attention.backends.flex` or not."""
    if way.startswith("flex"):
        return plain
    base, _, change = way.partition("flex, ")
    make = steps[f"{base}flex" if change else way]
    large = {"bwd_BLOCK_M1": 64, "bwd_BLOCK_N1": 64, "bwd_BLOCK_M2": 64, "bwd_BLOCK_N2": 64}
    changes: dict[str, tuple[str, Any]] = {
        "looked up": ("WIDEST_FACTORS", 0),
        "tf32": ("kernel_options", lambda dtype: {"FLOAT32_PRECISION": "'tf32'"} | large),
        "ieee": ("kernel_options", lambda dtype: {"FLOAT32_PRECISION": "'ieee'"}),
        "large blocks": ("kernel_options", lambda d: {"FLOAT32_PRECISION": "'tf32x3'"} | large),
    }
    return partial(_changed, make, *changes[change]) if change else make


def _changed(make: Callable[[], Step], name: str, value: Any) -> Step:
    step = make()

    def run() -> None:
        before = getattr(flex, name)
        setattr(flex, name, value)
        try:
            step()
        finally:
            setattr(flex, name, before)

    return run


def warm(make: Callable[[], Step]) -> Step:
    """A step that has run twice: what is compiled and made once is no part of it."""
    step = make()
    step()
    step()
    return step


def plain_window(
    name: str, window: int | None, side: int,
    *, channels: int, heads: int, head_dim: int, batch: int, **where: Any,
) -> Step:  # fmt: skip
    """FlexAttention with the mask of the window alone."""
    width = flex.padded_width(head_dim)
    shape = (3, batch, point_group(name).order * heads, padded_length(side**2), width)
    tokens = torch.randn(shape, **where).requires_grad_()
    seen = (side, side, window, "square", 1)

    def step() -> None:
        tokens.grad = None
        out = flex.attended(*tokens.unbind(), None, seen, scale=head_dim**-0.5)
        out.square().sum().backward()

    return step

"""Attention by our own kernels in Triton in sections 2 and 3 of `gpu.py`: is it right, and fast?

FlexAttention, torch's attention and the bare sliding window are timed next to it on the same card.
Kernels are compiled once for every type, width and shape, for seconds: on a GPU all are compiled
first, in processes side by side, and found in Triton's cache afterwards.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from functools import cache, partial
from typing import Any

import torch
from attention import CASES, Step, contestants
from gpu_flex import FLEX_CHECKS, NARROW, WIDE, Rows, check_layer, plain_window, warm
from torch import Tensor, nn

from gsa_core import LiftingSelfAttention
from gsa_core.attention.backends import triton_operators
from gsa_core.attention.backends.triton_attention import problem

__all__ = ["TRITON_CHECKS", "compile_ahead", "triton_problem", "triton_results", "triton_rows"]

# The layers of FlexAttention's checks, of which float64 compiles for the longest.
TRITON_CHECKS = [
    *((name, torch.float32) for name in FLEX_CHECKS),
    *((name, torch.bfloat16) for name in list(FLEX_CHECKS)[:2]),
    (next(iter(FLEX_CHECKS)), torch.float64),
]
# Options of the kernel that are tried on the first row: warps of a program, blocks read ahead.
OPTIONS = {
    "8 warps": {"num_warps": 8, "num_stages": 2},
    "1 stage": {"num_warps": 4, "num_stages": 1},
    "3 stages": {"num_warps": 4, "num_stages": 3},
}
PLAIN = "flex, plain sliding window"
_TRITON, _FLEX, _TORCH = (f"framewise, {name}" for name in ("triton", "flex", "torch"))


def triton_problem(device: torch.device) -> str:
    """Why there is nothing to measure; the interpreter is no measurement."""
    if device.type != "cuda":
        return "the kernels are for GPUs"
    return problem(device.type, torch.float32, NARROW[2])


def triton_results(
    name: str, module: nn.Module, x: Tensor, dtype: torch.dtype, device: torch.device,
    results: Callable[[nn.Module, Tensor], list[Tensor]],
) -> list[Tensor]:  # fmt: skip
    """Output and gradients of a copy of a module; its output and that of the input twice."""
    moved = deepcopy(module).to(device, dtype)
    moved.method = "triton"
    found, again = (results(moved, x.to(device, dtype)) for _ in range(2))
    if not all(torch.equal(a, b) for a, b in zip(found[:2], again[:2], strict=True)):
        raise AssertionError("two runs differ")
    return found


def _order(quick: bool) -> list[tuple[Any, torch.dtype, str, tuple[str, ...]]]:
    """Sizes, type, case and ways: what decides first."""
    narrow, wide = (NARROW, "10 a head"), (WIDE, "64 a head")
    single, half = torch.float32, torch.bfloat16
    options = tuple(f"{_TRITON}, {name}" for name in OPTIONS)
    order = [
        (narrow, single, "C4 9x9", (_TRITON, _FLEX, PLAIN, _TORCH)),
        (wide, half, "C4 9x9", (_TRITON, _FLEX, PLAIN, _TORCH)),
        (narrow, single, "C4 5x5", (_TRITON, _TORCH)),
        (narrow, single, "C4 9x9", ("joint, triton", "joint, flex", "joint, torch")),
        (narrow, half, "C4 9x9", (_TRITON, _TORCH)),
        (narrow, single, "C4 9x9", options),
        (wide, single, "C4 9x9", (_TRITON, _TORCH)),
        (narrow, single, "C4 global", (_TRITON, _TORCH)),
        (narrow, single, "D4 9x9", (_TRITON, _TORCH)),
        (narrow, single, "C4 9x9", ("framewise, rotary, triton",)),
    ]
    return order[:1] if quick else order


def triton_rows(asked: argparse.Namespace, batch: int) -> Rows:
    """As `gpu_flex.flex_rows`."""
    if triton_problem(asked.device):
        return
    for ((channels, heads, head_dim), width), dtype, case, ways in _order(asked.quick):
        name, window, side = CASES[case]
        sizes = {"channels": channels, "heads": heads, "head_dim": head_dim, "batch": batch}
        where = {"device": asked.device, "dtype": dtype}
        steps = contestants(name, window, side, ("triton", "flex", "torch"), **sizes, **where)
        for way in ways:
            make = partial(plain_window, name, window, side, **sizes, **where)
            if way != PLAIN:
                base, _, option = way.partition("triton, ")
                make = steps[f"{base}triton" if option else way]
                make = partial(_with_options, make, OPTIONS[option]) if option else make
            row = {"case": case, "width": width, "way": way, "batch": batch}
            row["dtype"] = str(dtype).removeprefix("torch.")
            least = (name, side, channels, heads * head_dim, dtype.itemsize)
            yield row, partial(warm, make), least


def _with_options(make: Callable[[], Step], options: dict[str, Any]) -> Step:
    step = make()

    def run() -> None:
        before = triton_operators.launch_options
        triton_operators.launch_options = lambda dtype: options
        try:
            step()
        finally:
            triton_operators.launch_options = before

    return run


@cache
def compile_ahead(device: torch.device, quick: bool, batch: int) -> None:
    """Run every check and every step in Triton once, in as many processes as there are cores.

    What fails there fails again in a row of its own, which says why.
    """
    if triton_problem(device):
        return
    tasks = [("check", at) for at in range(len(TRITON_CHECKS))]
    tasks += [("row", at) for at in range(len(_own_rows(quick, batch)))]
    workers = min(len(tasks), os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for kind, at in tasks:
            pool.submit(_compiled, kind, at, quick, batch)


def _own_rows(quick: bool, batch: int) -> list[Callable[[], Step]]:
    asked = argparse.Namespace(quick=quick, device=torch.device("cuda"))
    return [make for row, make, _ in triton_rows(asked, batch) if "triton" in row["way"]]


def _compiled(kind: str, at: int, quick: bool, batch: int) -> None:
    if kind == "row":
        _own_rows(quick, batch)[at]()
        return
    name, dtype = TRITON_CHECKS[at]
    module = check_layer(name).to("cuda", dtype)
    module.method = "triton"
    frames = () if isinstance(module, LiftingSelfAttention) else (module.group.order,)
    x = torch.randn(2, 3, *frames, 12, 12, device="cuda", dtype=dtype)
    module(x.requires_grad_()).square().sum().backward()

"""Section 4 of `gpu.py`: images a second of whole networks, alone and several on one device.

Rows are in order of their use: a section whose time is up has measured what matters most.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from gpu_networks import NETWORKS, PASSES, SMALL, Case, Run, ways_of
from gpu_sharing import together
from gpu_training import first_line, products_in, wait

from gsa_core import count_parameters

__all__ = ["models"]

LARGE, BATCHES = 1_000_000, (64, 1024)
ROW_SECONDS = 0.2  # of timed steps
Row = dict[str, Any]


def models(asked: argparse.Namespace) -> Iterator[Row]:
    """Rows of one pass, training or evaluation, each."""
    if asked.quick:
        first, later = [Case(name, 5_000, 2, side=8) for name in NETWORKS], []
    else:
        first, later = [Case(name) for name in NETWORKS], _later()
    ways = ways_of(asked.device)
    for case in first:
        yield from rates_alone(case, asked, ways)
    yield from together(first[1], asked, ways)
    for case in later:
        yield from rates_alone(case, asked, ways[-1:])
    if not asked.quick:
        yield from rates_alone(Case("hybrid"), asked, ["compiled"])


def _later() -> list[Case]:
    cases = [Case(name, batch=BATCHES[1]) for name in NETWORKS]
    for precision in ("tf32", "bfloat16"):
        cases += [Case(x, SMALL, y, precision) for x in ("staged", "gsa") for y in BATCHES]
    cases += [Case("staged", LARGE, y, z) for z in ("float32", "bfloat16") for y in BATCHES]
    return cases + [Case("vit", LARGE, y, z) for z in ("float32", "bfloat16") for y in BATCHES]


def rates_alone(case: Case, asked: argparse.Namespace, ways: list[str]) -> Iterator[Row]:
    """Images a second of a network by each way, in training and in evaluation."""
    least = 0 if asked.quick else ROW_SECONDS
    for way in ways:
        for name, run in PASSES.items():
            _free(asked.device)
            found = rate_of(run, case, asked.device, way, least)
            yield {**case.row(), "pass": name, "way": way, **found}


def _free(device: torch.device) -> None:
    """What the row before held, also if it failed."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def rate_of(
    make: Callable[..., Run], case: Case, device: torch.device, way: str, least: float
) -> Row:
    """The rate of what is made, or why there is none; memory beyond what was held before."""
    start, held = time.perf_counter(), memory_counter(device, "memory_allocated")
    try:
        model, run = make(case, device, way)
        with products_in(case.precision):
            seconds = seconds_a_step(run, device, least)
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            return {"out_of_memory": True}
        return {"error": first_line(error)}
    row: Row = {"images_s": case.batch / seconds, "ms": 1000 * seconds}
    if device.type == "cuda":  # streams keep workspaces of cuBLAS from row to row
        row["peak_mb"] = (memory_counter(device, "max_memory_allocated") - held) / 1e6
    row |= {"parameters": count_parameters(model), "row_s": time.perf_counter() - start}
    return row


def memory_counter(device: torch.device, which: str) -> int:
    """Bytes of a counter of `torch.cuda`; none elsewhere."""
    return getattr(torch.cuda, which)(device) if device.type == "cuda" else 0


def seconds_a_step(run: Callable[[], Any], device: torch.device, least: float) -> float:
    """Mean of as many steps as take so long, after two that are not counted."""
    for _ in range(2):
        run()
    count = 1
    while True:
        wait(device)
        start = time.perf_counter()
        for _ in range(count):
            run()
        wait(device)
        taken = time.perf_counter() - start
        if taken >= least:
            return taken / count
        count *= 2

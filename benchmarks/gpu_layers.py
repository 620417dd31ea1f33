"""Section 3 of `gpu.py`: what one attention layer costs, forward and backward, and what it could.

The least that a layer moves is its input, its output and its parameters forward, and these with
their gradients backward, each once. That over the time and over the card's bandwidth is the share
of the roofline.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import torch
from attention import CASES, CHANNELS, HEAD_DIM, HEADS, REFERENCE, Step, contestants, peak_bytes
from gpu_flex import flex_rows
from gpu_triton import compile_ahead, triton_problem, triton_rows
from torch.nn import functional

from gsa_core import point_group
from gsa_core.attention.backends.registry import METHODS

__all__ = ["bandwidth", "batch_of", "device_methods", "layers"]

# GB/s by the makers' data sheets; the first name that occurs in the card's.
BANDWIDTHS = {
    "H200": 4800, "H100 PCIe": 2000, "H100 NVL": 3900, "H100": 3350, "A100-SXM4-80GB": 2039,
    "A100 80GB PCIe": 1935, "A100": 1555, "L40S": 864, "L4": 300, "A10": 600, "V100": 900,
    "T4": 320, "RTX 4090": 1008,
}  # fmt: skip
WIDTHS = {  # channels a frame, heads, channels a head
    "10 a head": (CHANNELS, HEADS, HEAD_DIM),
    "32 a head": (128, 4, 32),
    "64 a head": (128, 2, 64),
}
QUICK = {"C4 5x5": ("C4", 5, 6), "C4 global": ("C4", None, 4)}
ROW_SECONDS = 0.5  # of timed steps, three of them at least


def bandwidth(device: torch.device) -> int | None:
    """Bytes a nanosecond that the card can move; None if it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((rate for known, rate in BANDWIDTHS.items() if known in name), None)


def device_methods(device: torch.device) -> list[str]:
    """Ways of computing attention that a device has in every type of number."""
    elsewhere = {"auto", "flex", "triton"} | (set() if device.type == "cpu" else {"kernel"})
    return [x for x in METHODS if x not in elsewhere]


def batch_of(asked: argparse.Namespace) -> int:
    """Images of a step."""
    return 32 if asked.device.type == "cuda" and not asked.quick else 1


def layers(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Rows: Triton, FlexAttention, then the six cases at every width, in 32 bits and in 16."""
    cases = QUICK if asked.quick else CASES
    methods = device_methods(asked.device)
    if asked.quick:  # it would be built for every width of a head, seconds each
        methods = [method for method in methods if method != "kernel"]
    dtypes = [torch.float32] if asked.device.type == "cpu" else [torch.float32, torch.bfloat16]
    batch = batch_of(asked)
    fewest = 1 if asked.quick else 3
    if why := triton_problem(asked.device):
        yield {"way": "triton", "dtype": "float32", "skipped": why}
    compile_ahead(asked.device, asked.quick, batch)
    rows = chain(triton_rows(asked, batch), flex_rows(asked, batch))
    for row, make, (*sizes_of, itemsize) in rows:
        least = _least_bytes(*sizes_of, batch, itemsize)
        yield row | cost(make, asked.device, least, fewest)
    for dtype in dtypes:
        if dtype == torch.bfloat16:  # nobody writes every score out in 16 bits
            methods = [method for method in methods if method != "written_out"]
        for width, (channels, heads, head_dim) in WIDTHS.items():
            if asked.quick and width != next(iter(WIDTHS)):
                cases = {"C4 global": QUICK["C4 global"]}
            for case, (name, window, side) in cases.items():
                sizes = {"channels": channels, "heads": heads, "head_dim": head_dim, "batch": batch}
                where = {"device": asked.device, "dtype": dtype}
                steps = contestants(name, window, side, methods, **sizes, **where)
                steps["sdpa, whole image"] = partial(_plain_sdpa, name, side, **sizes, **where)
                if asked.peers is not None:
                    steps["GE-ViT"] = partial(
                        published_layer, asked.peers, name, window, side, **sizes, **where
                    )
                if dtype == torch.bfloat16:
                    del steps[REFERENCE]  # its softmax would be in 16 bits as well
                least = _least_bytes(name, side, channels, heads * head_dim, batch, dtype.itemsize)
                for way, make in steps.items():
                    row = {"case": case, "width": width, "way": way, "batch": batch}
                    row["dtype"] = str(dtype).removeprefix("torch.")
                    yield row | cost(make, asked.device, least, fewest)


def cost(make: Callable[[], Step], device: torch.device, least: int, fewest: int) -> dict[str, Any]:
    """Milliseconds, memory and share of the roofline of a step, or why there are none."""
    if device.type == "cuda":  # what the row before held, also if it failed
        gc.collect()
        torch.cuda.empty_cache()
    try:
        step = make()
        memory = _peak(step, device)  # and a first, untimed step
        milliseconds = median_milliseconds(step, device, fewest)
    except Exception as error:
        if not _is_out_of_memory(error):
            traceback.print_exc()
            return {"error": f"{type(error).__name__}: {error}".partition("\n")[0]}
        return {"ms": None, "out_of_memory": True}
    rate = bandwidth(device)
    share = least / (1e6 * milliseconds) / rate if rate else None
    return {"ms": milliseconds, "peak_mb": memory / 1e6, "least_mb": least / 1e6, "roofline": share}


def _is_out_of_memory(error: Exception) -> bool:
    words = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


def _peak(step: Step, device: torch.device) -> int:
    if device.type != "cuda":
        return peak_bytes(step)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def median_milliseconds(step: Step, device: torch.device, fewest: int) -> float:
    """Median of a step, by the clock of the device."""
    taken: list[float] = []
    start = time.perf_counter()
    while len(taken) < fewest or (fewest > 1 and time.perf_counter() - start < ROW_SECONDS):
        if device.type == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            step()
            end.record()
            end.synchronize()
            taken.append(begin.elapsed_time(end))
        else:
            begun = time.perf_counter()
            step()
            taken.append(1000 * (time.perf_counter() - begun))
    return statistics.median(taken)


def _least_bytes(name: str, side: int, channels: int, inner: int, batch: int, itemsize: int) -> int:
    """Of a forward and a backward pass of the layer: see the module."""
    features = batch * channels * point_group(name).order * side**2
    parameters = 4 * channels * inner
    forward, backward = 2 * features + parameters, 3 * features + 2 * parameters
    return itemsize * (forward + backward)


def _plain_sdpa(
    name: str, side: int, *, channels: int, heads: int, head_dim: int, batch: int, **where: Any
) -> Step:
    """Torch's attention between all pixels, with as many numbers a pixel and no linear maps."""
    shape = (3, batch, point_group(name).order * heads, side**2, head_dim)
    tokens = torch.randn(shape, **where).requires_grad_()

    def step() -> None:
        tokens.grad = None
        functional.scaled_dot_product_attention(*tokens.unbind()).square().sum().backward()

    return step


def published_layer(
    folder: Any, name: str, window: int | None, side: int,
    *, channels: int, heads: int, head_dim: int, batch: int, **where: Any,
) -> Step:  # fmt: skip
    """The layer of the published code that lies in a folder, which imports what it needs."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    import g_selfatt.groups
    import g_selfatt.nn

    order = point_group(name).order
    kind = g_selfatt.groups.SE2 if name.startswith("C") else g_selfatt.groups.E2
    common = dict(group=kind(num_elements=order), in_channels=channels, mid_channels=head_dim,
                  out_channels=channels, num_heads=heads, attention_dropout_rate=0.0)  # fmt: skip
    if window is None:
        module = g_selfatt.nn.GroupSelfAttention(max_pos_embedding=side, **common)
    else:
        module = g_selfatt.nn.GroupLocalSelfAttention(patch_size=window, **common)
    module.to(**where)
    x = torch.randn(batch, channels, order, side, side, **where).requires_grad_()

    def step() -> None:
        module.zero_grad(set_to_none=True)
        x.grad = None
        module(x).square().sum().backward()

    return step

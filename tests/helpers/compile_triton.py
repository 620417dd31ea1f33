"""Compile the kernels in Triton for an H100, without one: ``python compile_triton.py CASE ...``.

A case is a type, channels a head, and the shape of the window. Prints bytes of shared memory.
"""

from __future__ import annotations

import sys
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.language import float32, float64

from gsa_core.attention.backends import triton_kernels

TYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "float64": "fp64"}
WIDE = ("ROWS", "COLS", "FRAMES", "PAIRS", "FADING", "LSE", "DELTA")


def compiled(kernel: Any, dtype: str, width: int, shape: str) -> int:
    """Bytes of shared memory of a kernel; all terms occur with a soft disc, else two."""
    wide = float64 if dtype == "float64" else float32
    padded = max(16, triton.next_power_of_2(width))
    constants = {
        "SCALE": 0.3, "SHAPE": shape, "WIDE": wide,
        "PRECISION": "tf32x3" if dtype == "float32" else "ieee",
        "D": width, "DV": width, "D_PADDED": padded, "DV_PADDED": padded,
        "TILE_ROWS": 8, "TILE_COLS": 8, "BLOCK_ROWS": 4, "BLOCK_COLS": 16,
    }  # fmt: skip
    if shape == "square":  # a launch makes a constant of every 1
        constants |= dict.fromkeys(("own", "sets", "members", "heads"), 1)
    if shape != "soft_disc":
        constants |= dict.fromkeys(("FRAMES", "PAIRS", "FADING"))
    signature: dict[str, Any] = {}
    for name in kernel.arg_names:
        if name in constants:
            signature[name] = "constexpr"
        elif name.endswith("strides"):
            signature[name] = ("i32",) * 6
        elif name.isupper():
            of_terms = name.removesuffix("_GRAD") in WIDE
            signature[name] = "*" + _type(dtype, of_terms)
        else:
            signature[name] = "i32"
    at = {(kernel.arg_names.index(name),): x for name, x in constants.items()
          if name in kernel.arg_names}  # fmt: skip
    made = triton.compile(
        ASTSource(kernel, signature, at),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": 4, "num_stages": 2},
    )
    return int(made.metadata.shared)


def _type(dtype: str, of_terms: bool) -> str:
    if of_terms:
        return "fp64" if dtype == "float64" else "fp32"
    return TYPES[dtype]


if __name__ == "__main__":
    for case in sys.argv[1:]:
        dtype, width, shape = case.split(",")
        for name in triton_kernels.__all__:
            print(case, name, compiled(getattr(triton_kernels, name), dtype, int(width), shape))

"""Attention on a GPU by kernels of our own in Triton: a tile of the image and its surroundings.

Scores stay on the chip. What encodings add to them is a number for every query and offset along
each axis; for those of both axes together that do not separate, one for every query and offset.
"""

from __future__ import annotations

import importlib.util
import os

import torch
from jaxtyping import Float
from torch import Tensor

from gsa_core.attention.backends.flex import computing_type
from gsa_core.attention.backends.triton_operators import NO_RULE, attended
from gsa_core.attention.encodings.tables import OffsetTables
from gsa_core.attention.neighbourhood import Tiling
from gsa_core.common.derivatives import is_transformed

__all__ = ["attention", "problem"]

WIDEST = 256  # bytes of the channels of a head: more do not fit on the chip


def problem(device: str, dtype: torch.dtype, width: int) -> str:
    """Why the kernels cannot take such queries now; empty if they can."""
    if device == "meta":  # nothing is computed there but shapes
        return ""
    if device == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        return "it is for GPUs; on a CPU there is Triton's interpreter alone (TRITON_INTERPRET=1)"
    if device not in ("cpu", "cuda"):
        return f"it is for GPUs, and the tensors are on {device}"
    if importlib.util.find_spec("triton") is None:
        return "it needs triton, which is not installed; CUDA builds of torch bring it"
    if dtype not in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        return f"it takes floating-point numbers, not {dtype}"
    if width > (widest := WIDEST // dtype.itemsize):
        return f"it takes heads of up to {widest} channels of {dtype}, not {width}"
    if torch.compiler.is_exporting():
        return "exported programs hold torch's operators alone"
    return NO_RULE if is_transformed() else ""


# A compiler may take the answer for a constant, as that of `cpu.problem`.
problem._dynamo_marked_constant = True  # type: ignore[attr-defined]


def attention(
    query: Float[Tensor, "batch rows cols group own heads head_dim"],
    key: Float[Tensor, "batch rows cols sets members heads head_dim"],
    value: Float[Tensor, "batch rows cols value_sets members heads head_dim"],
    tables: OffsetTables,
    tiling: Tiling,
    *,
    scale: float,
) -> Float[Tensor, "batch rows cols group own heads head_dim"]:
    """Attention of the contract in `registry`."""
    terms = _terms(query, tables, scale)
    if tables.rotation is not None:
        query, key = tables.rotation(query), tables.rotation(key)
    dtype, sets = computing_type(query), max(key.shape[3], value.shape[3])
    key, value = (x.expand(-1, -1, -1, sets, -1, -1, -1) for x in (key, value))
    # Triton's interpreter takes the bits of bfloat16 for integers when it multiplies.
    interpreted = query.device.type == "cpu" and dtype == torch.bfloat16
    within = torch.float32 if interpreted else dtype
    query, key, value = (x.to(within) for x in (query, key, value))
    return attended(query, key, value, terms, tiling, scale).to(dtype)


def _terms(
    query: Float[Tensor, "batch rows cols group own heads head_dim"],
    tables: OffsetTables,
    scale: float,
) -> dict[str, Tensor]:
    """Scores of queries with the tables, ``(g, n, b, i, j, m, offsets)``, in 32 bits or more."""
    products = {
        "rows": ("bijgmnd,gund->gnbijmu", tables.rows),
        "cols": ("bijgmnd,gund->gnbijmu", tables.cols),
        "pairs": ("bijgmnd,guwnd->gnbijmuw", tables.pairs),
        "frames": ("bijgmnd,gmhnd->gnbijmh", tables.frames),
    }
    wide = torch.promote_types(query.dtype, torch.float32)
    return {
        name: (scale * torch.einsum(axes, query, table).to(wide)).contiguous()
        for name, (axes, table) in products.items()
        if table is not None
    }

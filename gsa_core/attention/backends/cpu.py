"""Attention by the C++ kernel of `kernel/`, in one pass: no tensor of scores is held."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gsa_core.attention.backends import kernel_calls
from gsa_core.attention.backends.operators import fused_attention, fused_rotation
from gsa_core.attention.encodings.tables import OffsetTables, products_with_frames
from gsa_core.attention.neighbourhood import Tiling
from gsa_core.common.derivatives import is_transformed

__all__ = ["attention", "problem"]

WIDEST = 512  # channels a head
_HALVES = (torch.bfloat16, torch.float16)


def problem(device: str, dtype: torch.dtype, width: int) -> str:
    """Why the operator cannot take such queries now; empty if it can.

    Like torch's own fused attention it has no derivatives but gradients. It is refused where others
    are needed or fused attention is switched off: within transforms of `torch.func` and
    forward-mode levels, and under ``torch.nn.attention.sdpa_kernel(SDPBackend.MATH)``. Exported
    programs hold torch's operators alone.
    """
    if device == "meta":  # nothing is computed there but shapes
        return ""
    if device != "cpu":
        return f"it is for the CPU, and the tensors are on {device}"
    if dtype not in kernel_calls.NUMBERS and dtype not in _HALVES:
        return f"it takes floating-point numbers, not {dtype}"
    if width > WIDEST:
        return f"it takes heads of up to {WIDEST} channels, not {width}"
    if torch.compiler.is_exporting():
        return "exported programs hold torch's operators alone"
    if not torch.backends.cuda.flash_sdp_enabled():
        return "fused attention is switched off"
    if is_transformed():
        return kernel_calls.TRANSFORMED
    library = kernel_calls.library_of(kernel_calls.NUMBERS.get(dtype, torch.float32), width)
    return f"no kernel could be built: {library}" if isinstance(library, str) else ""


# A compiler may take the answer for a constant. The name is that of torch.compiler's
# assume_constant_result, which would import the compiler, for seconds.
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
    """Attention of the contract in `registry`; numbers of 16 bits are computed with in 32."""
    dtype, width = query.dtype, value.shape[-1]
    if tables.rotation is not None:
        unrotated = query
        query, key = fused_rotation(tables.rotation.angles(*tiling.size), query, key)
        if tables.frames is not None:
            query, key = products_with_frames(unrotated, tables.frames, query, key)
            value = functional.pad(value, (0, query.shape[-1] - width))
            tables = replace(tables, frames=None)
    key, value = torch.broadcast_tensors(key, value)  # either may differ for each frame g
    attended = fused_attention(query, key, value, tables, tiling, scale=scale)
    return attended.to(dtype)[..., :width]

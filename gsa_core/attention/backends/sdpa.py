"""Attention by torch's fused operator, in the widths and grids that its kernels on a GPU take."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gsa_core.attention.backends import reference
from gsa_core.attention.backends.tiles import attend_in_tiles
from gsa_core.attention.encodings.tables import OffsetTables
from gsa_core.attention.neighbourhood import Tiling
from gsa_core.common.derivatives import (
    differentiable_gradients,
    gradients_are_differentiated,
    is_transformed,
)

__all__ = ["attend", "attention", "fused", "fused_on_gpu", "problem"]

_GRID = 65_535  # blocks of a grid along its second and third axis
_AT_ONCE = 16  # bytes that a kernel reads at once


def problem(device: str, dtype: torch.dtype, width: int) -> str:
    """Why it cannot take such queries: it takes all."""
    return ""


def attend(
    query: Float[Tensor, "tiles streams queries head_dim"],
    key: Float[Tensor, "tiles streams keys head_dim"],
    value: Float[Tensor, "tiles streams keys value_dim"],
    bias: Tensor | None,
    scale: float,
) -> Float[Tensor, "tiles streams queries value_dim"]:
    """As `reference.attend`, by torch's fused attention but for derivatives that it lacks."""
    if is_transformed():
        return reference.attend(query, key, value, bias, scale)
    width = value.shape[-1]
    if query.shape[-1] > width:  # fused kernels want equal widths
        value = functional.pad(value, (0, query.shape[-1] - width))
    by = fused if query.device.type == "cpu" else fused_on_gpu
    attended = by(query, key, value, bias, scale)
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # by operators alone
    if attended.requires_grad and not recorded:
        attended = _Differentiable.apply(attended, query, key, value, bias, scale)
    return attended[..., :width]


def fused(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    """Attention in every stream of every tile, ``(tiles, streams, tokens, d)``."""
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)


def fused_on_gpu(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float
) -> Tensor:
    """The same in widths and grids that the kernels of a GPU take.

    Widths that are no multiple of 16 bytes would be computed with every score in memory. Tiles and
    streams are axes of a grid of blocks.
    """
    for axis in (0, 1):
        if query.shape[axis] > _GRID:
            parts = (_split(x, axis, query.shape[axis]) for x in (query, key, value, bias))
            done = [fused_on_gpu(q, k, v, b, scale) for q, k, v, b in zip(*parts, strict=True)]
            return torch.cat(done, axis)
    width, beyond = value.shape[-1], -query.shape[-1] % (_AT_ONCE // query.element_size())
    if beyond:
        query, key, value = (functional.pad(x, (0, beyond)) for x in (query, key, value))
    return fused(query, key, value, bias, scale)[..., :width]


def _split(x: Tensor | None, axis: int, size: int) -> Sequence[Any]:
    """Parts that fit a grid; what is the same for all is in every part."""
    if x is None or x.shape[axis] == 1:
        return [x] * -(-size // _GRID)
    return x.split(_GRID, axis)


class _Differentiable(torch.autograd.Function):
    """Passes the result of torch's fused attention on, and chooses the way of its gradient.

    A gradient that is not differentiated goes back through fused attention, any other one through
    the same arithmetic written out: fused attention has no second derivative.
    """

    @staticmethod
    def forward(
        ctx: Any,
        attended: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor | None,
        scale: float,
    ) -> Tensor:
        ctx.save_for_backward(query, key, value, bias)
        ctx.scale = scale
        return attended.view_as(attended)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (out_grad,) = gradients
        if not gradients_are_differentiated():
            return out_grad, None, None, None, None, None
        found = differentiable_gradients(
            partial(reference.attend_mixed, scale=ctx.scale, dtype=out_grad.dtype),
            ctx.saved_tensors,
            ctx.needs_input_grad[1:5],
            out_grad,
        )
        return None, *found, None


def attention(
    query: Float[Tensor, "batch rows cols group own heads head_dim"],
    key: Float[Tensor, "batch rows cols sets members heads head_dim"],
    value: Float[Tensor, "batch rows cols value_sets members heads head_dim"],
    tables: OffsetTables,
    tiling: Tiling,
    *,
    scale: float,
) -> Float[Tensor, "batch rows cols group own heads head_dim"]:
    """Attention of the contract in `registry`, by torch's fused operator."""
    return attend_in_tiles(query, key, value, tables, tiling, by=attend, scale=scale)

"""Torch's fused attention, and the shapes that its kernels on a GPU take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["fused", "fused_on_gpu"]

_GRID = 65_535  # blocks of a grid along its second and third axis
_AT_ONCE = 16  # bytes that a kernel reads at once


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

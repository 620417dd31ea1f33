"""Attention with every score in memory: the reference, with derivatives of every order."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gsa_core.attention.backends.tiles import attend_in_tiles
from gsa_core.attention.encodings.tables import OffsetTables
from gsa_core.attention.neighbourhood import Tiling

__all__ = ["attend", "attend_mixed", "attention", "problem"]


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
    """``softmax(scale q k^T + bias) v``; a boolean bias says which keys a query sees.

    A stream is a head of an independent attention.
    """
    scores = scale * query @ key.mT
    if bias is not None and bias.dtype == torch.bool:
        scores = scores.masked_fill(~bias, float("-inf"))
    elif bias is not None:
        scores = scores + bias
    return scores.softmax(-1) @ value


def attend_mixed(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    scale: float,
    dtype: torch.dtype,
) -> Tensor:
    """The same for inputs of several types, as autocast takes them; the result in `dtype`."""
    widest = torch.promote_types(torch.promote_types(query.dtype, key.dtype), value.dtype)
    query, key, value = (x.to(widest) for x in (query, key, value))
    if bias is not None and bias.dtype != torch.bool:
        bias = bias.to(widest)
    return attend(query, key, value, bias, scale).to(dtype)


def attention(
    query: Float[Tensor, "batch rows cols group own heads head_dim"],
    key: Float[Tensor, "batch rows cols sets members heads head_dim"],
    value: Float[Tensor, "batch rows cols value_sets members heads head_dim"],
    tables: OffsetTables,
    tiling: Tiling,
    *,
    scale: float,
) -> Float[Tensor, "batch rows cols group own heads head_dim"]:
    """Attention of the contract in `registry`, every score in memory."""
    return attend_in_tiles(query, key, value, tables, tiling, by=attend, scale=scale)

"""Keys that no query sees, and the weights of attention, by any implementation of it."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from gsa_core.attention.backends import reference
from gsa_core.attention.backends.tiles import attend_in_tiles
from gsa_core.attention.encodings.tables import OffsetTables, products_with_frames
from gsa_core.attention.neighbourhood import Tiling

__all__ = ["attention_weights", "check_mask", "hide_keys"]

_HIDDEN = 1e4  # taken from a score; its exponential is zero in every type


def check_mask(name: str, mask: Tensor, batch: int, rows: int, cols: int) -> None:
    """A boolean mask ``(batch, rows, cols)``."""
    if mask.dtype != torch.bool or tuple(mask.shape) != (batch, rows, cols):
        raise ValueError(
            f"{name}: got {tuple(mask.shape)} of {mask.dtype}; accepts ({batch}, {rows}, {cols}) "
            "of torch.bool, True where there is something"
        )


def hide_keys(
    query: Float[Tensor, "batch rows cols group own heads head_dim"],
    key: Float[Tensor, "batch rows cols sets members heads head_dim"],
    value: Float[Tensor, "batch rows cols value_sets members heads head_dim"],
    tables: OffsetTables,
    mask: Bool[Tensor, "batch rows cols"],
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, OffsetTables]:
    """The same attention with a channel more, which takes masked keys out of every softmax.

    Any implementation computes it. Rotations are applied here, because the channel must not turn.
    """
    if tables.rotation is not None:
        unrotated = query
        query, key = tables.rotation(query), tables.rotation(key)
        if tables.frames is not None:
            query, key = products_with_frames(unrotated, tables.frames, query, key)
        tables = OffsetTables()
    size = (_HIDDEN / scale) ** 0.5
    hidden = size * (~mask).to(key.dtype)[:, :, :, None, None, None, None]
    query = torch.cat([query, torch.full_like(query[..., :1], -size)], -1)
    key = torch.cat([key, hidden.expand(*key.shape[:-1], 1)], -1)
    value = functional.pad(value, (0, query.shape[-1] - value.shape[-1]))
    rows, cols, pairs, frames = (
        None if table is None else functional.pad(table, (0, 1))
        for table in (tables.rows, tables.cols, tables.pairs, tables.frames)
    )
    return query, key, value, OffsetTables(rows, cols, pairs, frames)


def attention_weights(
    query: Float[Tensor, "batch rows cols group own heads head_dim"],
    key: Float[Tensor, "batch rows cols sets members heads head_dim"],
    tables: OffsetTables,
    tiling: Tiling,
    *,
    scale: float,
) -> Float[Tensor, "batch heads group rows cols members rows cols"]:
    """The weight of every key in the result of every query, with every score in memory.

    The reference implementation on values that are one for one key and zero for others; summed
    over the frames of queries where a form sums them.
    """
    batch, rows, cols, _, members, heads, _ = key.shape
    keys = rows * cols * members
    one_hot = torch.eye(keys, dtype=query.dtype, device=query.device)
    one_hot = one_hot.unflatten(0, (rows, cols, 1, members, 1))
    value = one_hot.expand(batch, rows, cols, 1, members, heads, keys)
    weights = attend_in_tiles(
        query, key, value, tables, tiling, by=reference.attend, scale=scale
    ).sum(4)
    return weights.permute(0, 4, 3, 1, 2, 5).unflatten(-1, (rows, cols, members)).movedim(-1, -3)

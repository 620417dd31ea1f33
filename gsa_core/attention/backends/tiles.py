"""How tokens are laid before the arithmetic of attention in operators of torch.

Lifting and group attention, global and local, joint, framewise and published differ only in which
queries share which keys. Axis letters are those of `docs/attention.md`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from gsa_core.attention.constants import mask_of, offsets_of, one_hot
from gsa_core.attention.encodings.tables import OffsetTables, PositionalScores, positional_scores
from gsa_core.attention.neighbourhood import Tiling

__all__ = ["attend_in_tiles", "attend_over_group"]

# ``softmax(scale q k^T + bias) v`` of ``(tiles, streams, tokens, d)``; arguments in this order.
Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None, float], Tensor]


def attend_in_tiles(
    query: Float[Tensor, "batch rows cols group own heads head_dim"],
    key: Float[Tensor, "batch rows cols sets members heads head_dim"],
    value: Float[Tensor, "batch rows cols value_sets members heads value_dim"],
    tables: OffsetTables,
    tiling: Tiling,
    *,
    by: Attend,
    scale: float,
) -> Float[Tensor, "batch rows cols group own heads value_dim"]:
    """Attention of the contract in `registry`, by any function that attends within streams."""
    own, seen = query.shape[4], (*tiling.size, tiling.window, tiling.shape, query.device)
    unrotated = query
    if tables.rotation is not None:
        query, key = tables.rotation(query), tables.rotation(key)
    offsets = offsets_of(*seen, like=query)
    unrotated = _tiles_of_queries(tiling, unrotated)
    attended = attend_over_group(
        _tiles_of_queries(tiling, query),
        tiling.split(key, tiling.halo),
        tiling.split(value, tiling.halo),
        positional_scores(unrotated, tables, offsets),
        mask_of(*seen, query.dtype, like=query),
        own=own,
        by=by,
        scale=scale,
    )
    return tiling.join(attended).unflatten(0, (-1, own)).movedim(1, 4)


def _tiles_of_queries(
    tiling: Tiling, query: Float[Tensor, "batch rows cols group own heads head_dim"]
) -> Float[Tensor, "tiles batch_own group heads tile_rows tile_cols head_dim"]:
    """Queries of every frame g, those of frames m in the batch."""
    return tiling.split(query, halo=0).transpose(2, 3).flatten(1, 2)


def attend_over_group(
    query: Float[Tensor, "tiles batch_own group heads rows cols head_dim"],
    key: Float[Tensor, "tiles batch frames key_group heads key_rows key_cols head_dim"],
    value: Float[Tensor, "tiles batch value_frames key_group heads key_rows key_cols value_dim"],
    scores: PositionalScores,
    mask: Tensor | None,
    *,
    own: int,
    by: Attend,
    scale: float,
) -> Float[Tensor, "tiles batch_own group heads rows cols value_dim"]:
    """Attention of the queries of all frames to keys of their own or to keys they share.

    Parameters
    ----------
    query
        ``(t, b m, g, n, i, j, d)``, seeing with frame g, m of them to an image.
    key, value
        ``(t, b, 1 or g, h, n, k, l, d)``: keys of frames h, the same for the queries of all
        frames, or for each its own.
    scores
        What a positional encoding adds.
    mask
        What is seen, ``(t, i j, k l)``; boolean, or added to the scores.
    own
        Frames m, see `query`.
    by, scale
        The function that attends within streams, and the factor of the scores.
    """
    t, _, g, n, i, j, _ = query.shape
    d = value.shape[-1]
    batch, frames = key.shape[1], key.shape[3]
    apart = max(key.shape[2], value.shape[2]) == g  # every frame of the query is a stream
    if apart:
        key, value = (x.expand(-1, -1, g, -1, -1, -1, -1, -1) for x in (key, value))
    sharing = own if apart else own * g

    def of_queries(x: Tensor) -> Tensor:
        x = x.unflatten(1, (batch, own))  # (t, b, m, g, n, i, j, *)
        if apart:
            return x.permute(0, 1, 3, 4, 2, 5, 6, 7).flatten(4, 6).flatten(1, 3)
        return x.permute(0, 1, 4, 2, 3, 5, 6, 7).flatten(3, 6).flatten(1, 2)

    def of_keys(x: Tensor) -> Tensor:
        return x.transpose(3, 4).flatten(4, 6).flatten(1, 3)  # (t, b [g] n, h k l, d)

    queries, keys, bias = of_queries(query), of_keys(key), None
    known = [x for x in (scores.rows, scores.cols, scores.frames) if x is not None]
    if known:
        # Factors of the scores, appended to queries and keys: no tensor of queries x keys.
        factors = _key_factors(scores, frames, key.shape[5:7]).to(keys.dtype)
        queries = torch.cat([queries, of_queries(torch.cat(known, -1)).to(queries.dtype)], -1)
        keys = torch.cat([keys, factors.expand(*keys.shape[:2], -1, -1)], -1)
    if scores.pairs is not None:
        bias = scale * of_queries(scores.pairs.flatten(6, 7))
        bias = bias.repeat(1, 1, 1, frames)
    if mask is not None:
        mask = mask.repeat(1, sharing, frames).unsqueeze(1)
    bias = _combine(bias, mask)
    if bias is not None and bias.dtype != torch.bool:
        bias = bias.to(queries.dtype)
    attended = by(queries, keys, of_keys(value), bias, scale)
    if apart:
        attended = attended.reshape(t, batch, g, n, own, i, j, d).permute(0, 1, 4, 2, 3, 5, 6, 7)
    else:
        attended = attended.reshape(t, batch, n, own, g, i, j, d).permute(0, 1, 3, 4, 2, 5, 6, 7)
    return attended.flatten(1, 2)


def _key_factors(scores: PositionalScores, frames: int, grid: torch.Size) -> Tensor:
    """One-hot row, column and frame of every key (frame, row, column), ``(keys, rank)``."""
    axes = (scores.frames, scores.rows, scores.cols)
    like = next(x for x in axes if x is not None)
    present = tuple(x is not None for x in axes)
    return one_hot((frames, *grid), present, like.dtype, like.device, like=like)


def _combine(bias: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """The bias where a key is seen, minus infinity where it is not."""
    if bias is None or mask is None:
        return mask if bias is None else bias
    if mask.dtype == torch.bool:
        return bias.masked_fill(~mask, float("-inf"))
    return bias + mask

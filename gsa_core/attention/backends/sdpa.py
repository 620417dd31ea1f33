"""The arithmetic of every form of attention: one function, and how tokens are laid before it.

Lifting and group attention, global and local, joint, framewise and published differ only in which
queries share which keys. Axis letters are those of `gsa_core.attention.encodings.relative`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gsa_core.attention.backends.fused import fused, fused_on_gpu
from gsa_core.attention.constants import mask_of, offsets_of, one_hot
from gsa_core.attention.encodings.relative import OffsetTables, PositionalScores, positional_scores
from gsa_core.attention.neighbourhood import Tiling
from gsa_core.common.derivatives import (
    differentiable_gradients,
    gradients_are_differentiated,
    is_transformed,
)

__all__ = ["METHODS", "attend", "attend_in_tiles", "attend_over_group", "faster_method"]

METHODS = ("auto", "kernel", "flex", "torch", "written_out")

_TORCH_FROM = 16  # channels a head
_TORCH_FROM_ON_SEVERAL_THREADS = {"rotary": 10, "others": 14}
_ON_GPU = "torch"


def faster_method(
    device: str,
    dtype: torch.dtype,
    *,
    local: bool,
    tables: OffsetTables,
    width: int,
    rotary: bool = False,
) -> str:
    """The fastest of ``kernel``, ``flex`` and ``torch``, as far as they were measured.

    Torch's fused attention gains on the kernel as heads become wider, where it sees every key, and
    sooner on several threads.
    Tables that separate make its heads wider still, by an entry for every row, column and frame of
    the keys; others are scores that it must hold. Only float32 was measured; any other type keeps
    the kernel.

    Parameters
    ----------
    device, dtype
        Of the tokens.
    local
        Whether a query sees a window.
    tables
        The encoding.
    width
        Channels a head.
    rotary
        Whether queries and keys are turned by their positions.
    """
    if device not in ("cpu", "meta"):
        return _ON_GPU
    if local or tables.pairs is not None or dtype != torch.float32:
        return "kernel"
    spatial = [x for x in (tables.rows, tables.cols) if x is not None]
    entries = sum((x.shape[1] + 1) // 2 for x in spatial)
    if spatial and tables.frames is not None:
        entries += tables.frames.shape[2]
    start = _TORCH_FROM
    if not _on_one_thread():
        start = _TORCH_FROM_ON_SEVERAL_THREADS["rotary" if rotary else "others"]
    return "torch" if width >= max(start, entries) else "kernel"


def _on_one_thread() -> bool:
    return torch.get_num_threads() == 1


# A compiler may take the answer for a constant: torch.compiler's assume_constant_result, whose
# import takes seconds.
_on_one_thread._dynamo_marked_constant = True  # type: ignore[attr-defined]


def attend(
    query: Float[Tensor, "tiles streams queries head_dim"],
    key: Float[Tensor, "tiles streams keys head_dim"],
    value: Float[Tensor, "tiles streams keys head_dim"],
    *,
    scale: float,
    terms: tuple[Tensor, Tensor] | None = None,
    bias: Tensor | None = None,
    method: str = "auto",
) -> Float[Tensor, "tiles streams queries head_dim"]:
    """``softmax(scale (q k^T + a b^T) + bias) v`` in every stream of every tile.

    Parameters
    ----------
    query, key, value
        ``(tiles, streams, tokens, d)``; a stream is a head of an independent attention.
    scale
        Factor of the scores.
    terms
        Factors ``a (tiles, streams, queries, rank)`` and ``b (keys, rank)`` of scores that are
        known in factors. Laid beside queries and keys they cost no tensor of queries x keys.
    bias
        Added to the scaled scores, or, if boolean, says which keys a query sees.
    method
        ``written_out``: every score is a number in memory; else torch's fused attention, but for
        derivatives that it does not have.
    """
    width = value.shape[-1]
    if terms is not None:
        of_query, of_key = terms
        query = torch.cat([query, of_query.to(query.dtype)], -1)
        of_key = of_key.to(key.dtype).expand(*key.shape[:2], -1, -1)
        key = torch.cat([key, of_key], -1)
    if bias is not None and bias.dtype != torch.bool:
        bias = bias.to(query.dtype)
    if method == "written_out" or is_transformed():
        return _written_out(query, key, value, bias, scale)
    if query.shape[-1] > width:  # fused kernels want equal widths
        value = functional.pad(value, (0, query.shape[-1] - width))
    by = fused if query.device.type == "cpu" else fused_on_gpu
    attended = by(query, key, value, bias, scale)
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # by operators alone
    if attended.requires_grad and not recorded:
        attended = _Differentiable.apply(attended, query, key, value, bias, scale)
    return attended[..., :width]


def _written_out(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float
) -> Tensor:
    scores = scale * query @ key.mT
    if bias is not None and bias.dtype == torch.bool:
        scores = scores.masked_fill(~bias, float("-inf"))
    elif bias is not None:
        scores = scores + bias
    return scores.softmax(-1) @ value


def _written_out_alike(
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
    return _written_out(query, key, value, bias, scale).to(dtype)


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
            partial(_written_out_alike, scale=ctx.scale, dtype=out_grad.dtype),
            ctx.saved_tensors,
            ctx.needs_input_grad[1:5],
            out_grad,
        )
        return None, *found, None


def attend_in_tiles(
    tiling: Tiling,
    query: Float[Tensor, "batch rows cols frames own heads head_dim"],
    key: Float[Tensor, "batch rows cols sets members heads head_dim"],
    value: Float[Tensor, "batch rows cols value_sets members heads head_dim"],
    tables: OffsetTables,
    *,
    asking: Tensor | None = None,
    scale: float,
    method: str = "auto",
) -> Float[Tensor, "batch rows cols group own heads head_dim"]:
    """Attention over a neighbourhood and the frames of the keys, in operators of torch.

    Parameters
    ----------
    tiling
        What every query sees.
    query
        Queries that see with every frame g, several `own` to an image.
    key, value
        Keys of `members` frames: one set for the queries of all frames, or one for each.
    tables
        A positional encoding, up to the reaches of `tiling`.
    asking
        The queries that meet the tables, if others than `query`.
    scale, method
        As in `attend`.
    """
    own, seen = query.shape[4], (*tiling.size, tiling.window, tiling.shape, query.device)
    offsets = offsets_of(*seen, like=query)
    asking = _tiles_of_queries(tiling, query if asking is None else asking)
    attended = attend_over_group(
        _tiles_of_queries(tiling, query),
        tiling.split(key, tiling.halo),
        tiling.split(value, tiling.halo),
        positional_scores(asking, tables, offsets),
        mask_of(*seen, query.dtype, like=query),
        own=own,
        scale=scale,
        method=method,
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
    value: Float[Tensor, "tiles batch value_frames key_group heads key_rows key_cols head_dim"],
    scores: PositionalScores,
    mask: Tensor | None,
    *,
    own: int,
    scale: float,
    method: str = "auto",
) -> Float[Tensor, "tiles batch_own group heads rows cols head_dim"]:
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
    scale, method
        As in `attend`.
    """
    t, _, g, n, i, j, d = query.shape
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

    terms, bias = None, None
    known = [x for x in (scores.rows, scores.cols, scores.frames) if x is not None]
    if known:
        terms = of_queries(torch.cat(known, -1)), _key_terms(scores, frames, key.shape[5:7])
    if scores.pairs is not None:
        bias = scale * of_queries(scores.pairs.flatten(6, 7))
        bias = bias.repeat(1, 1, 1, frames)
    if mask is not None:
        mask = mask.repeat(1, sharing, frames).unsqueeze(1)
    attended = attend(
        of_queries(query),
        of_keys(key),
        of_keys(value),
        scale=scale,
        terms=terms,
        bias=_combine(bias, mask),
        method=method,
    )
    if apart:
        attended = attended.reshape(t, batch, g, n, own, i, j, d).permute(0, 1, 4, 2, 3, 5, 6, 7)
    else:
        attended = attended.reshape(t, batch, n, own, g, i, j, d).permute(0, 1, 3, 4, 2, 5, 6, 7)
    return attended.flatten(1, 2)


def _key_terms(scores: PositionalScores, frames: int, grid: torch.Size) -> Tensor:
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

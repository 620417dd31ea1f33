"""Attention on a GPU in one pass, by torch's FlexAttention: no tensor of scores is held.

Tokens are the pixels in raster order, padded to blocks of 128; keys of several frames lie one
after another. Blocks of keys that no query of a block sees are skipped. An encoding that separates
is appended to queries and keys in further channels: the scores of the query with it, and a one at
the residue of the key (see `flex_scores`). Any other one, and one of too many, is looked up.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gsa_core.attention.backends.flex_scores import (
    BLOCK,
    Mask,
    ScoreChange,
    mask_of,
    ones_at_residues,
    padded,
    padded_length,
    score_change,
    scores_at_residues,
)
from gsa_core.attention.encodings.tables import OffsetTables, PositionalScores
from gsa_core.attention.neighbourhood import Tiling
from gsa_core.common.cached import constant
from gsa_core.common.derivatives import gradients_are_differentiated, is_transformed

__all__ = ["attended", "attention", "computing_type", "kernel_options", "padded_width", "problem"]

WIDEST_FACTORS = 128  # channels of a query and its scores with an encoding, padded
_NARROWEST = 16  # channels that the kernel takes
_NO_RULE = (
    "it has no rule for derivatives of gradients, transforms of torch.func (vmap, grad, jvp, ...) "
    "and forward-mode derivatives; use method='torch' or 'written_out' there"
)


def problem(device: str, dtype: torch.dtype, width: int) -> str:
    """Why FlexAttention cannot take such queries now; empty if it can.

    Devices other than a GPU compute the same with every score in memory.
    """
    if device != "cuda":
        return ""
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"on a GPU it takes numbers of 32 and 16 bits, not {dtype}"
    if is_transformed():
        return _NO_RULE
    if importlib.util.find_spec("triton") is None:
        return "on a GPU it needs triton, which is not installed"
    return ""


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
    head_dim, (group, own), members = value.shape[-1], query.shape[3:5], key.shape[4]
    unrotated = query
    if tables.rotation is not None:
        query, key = tables.rotation(query), tables.rotation(key)
    scores = scores_at_residues(tiling, unrotated, tables)
    dtype, sets = computing_type(query), max(key.shape[3], value.shape[3])
    key, value = (x.expand(-1, -1, -1, sets, -1, -1, -1) for x in (key, value))
    query, key, value = (_laid(x).to(dtype) for x in (query, key, value))
    known = [x for x in (scores.rows, scores.cols, scores.frames) if x is not None]
    width = padded_width(query.shape[-1] + sum(x.shape[-1] for x in known))
    if known and scores.pairs is None and width <= WIDEST_FACTORS:
        query = torch.cat([query, *(x.to(dtype) for x in known)], -1)
        ones = ones_at_residues(tiling, scores, members, key)
        key = torch.cat([key, ones.expand(*key.shape[:3], -1, -1, -1)], -1)
        scores = PositionalScores()
    length = padded_length(query.shape[4])
    query, key = (padded(x, length, padded_width(x.shape[-1])) for x in (query, key))
    value = padded(value, length, padded_width(head_dim))
    out = attended(
        query.flatten(1, 3),
        key.flatten(3, 4).flatten(1, 2),
        value.flatten(3, 4).flatten(1, 2),
        score_change(tiling, scores, length, scale, query),
        (*tiling.size, tiling.window, tiling.shape, members),
        scale=scale,
    )
    pixels = tiling.size[0] * tiling.size[1]
    out = out[:, :, :pixels, :head_dim].unflatten(1, (-1, group, own)).unflatten(4, tiling.size)
    return out.permute(0, 4, 5, 2, 3, 1, 6)


def computing_type(query: Tensor) -> torch.dtype:
    """The type to compute in; autocast leaves the sum of a product and a bias in 32 bits."""
    device = query.device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return query.dtype


def _laid(
    x: Float[Tensor, "batch rows cols frames others heads head_dim"],
) -> Float[Tensor, "batch heads frames others pixels head_dim"]:
    return x.permute(0, 5, 3, 4, 1, 2, 6).flatten(4, 5)


def padded_width(channels: int) -> int:
    """The power of two that the kernel would round up to."""
    return max(_NARROWEST, 1 << (channels - 1).bit_length())


@constant
def block_mask(
    rows: int, cols: int, window: int | None, shape: str, members: int, device: torch.device
) -> Any:
    """Blocks of keys that a block of queries sees whole, in part or not at all."""
    from torch.nn.attention.flex_attention import BlockMask

    tiling, pixels = Tiling(rows, cols, window, shape), rows * cols
    length = padded_length(pixels)
    first = torch.arange(0, length, BLOCK, device=device)
    top, bottom = first // cols, (first + BLOCK - 1).clamp(max=pixels - 1) // cols
    apart = torch.maximum(top[None] - bottom[:, None], top[:, None] - bottom[None])
    seen = apart <= tiling.radius if tiling.local else apart <= rows
    whole = (first + BLOCK <= pixels) & seen & (not tiling.local)
    parts = []
    for blocks in (seen & ~whole, whole):
        blocks = blocks.int().repeat(1, members)[None, None]
        indices = blocks.argsort(dim=-1, descending=True, stable=True).int()
        parts += [blocks.sum(-1, dtype=torch.int32), indices]
    return BlockMask.from_kv_blocks(
        parts[0],
        parts[1],
        parts[2],
        parts[3],
        BLOCK_SIZE=BLOCK,
        mask_mod=mask_of(rows, cols, window, shape),
        seq_lengths=(length, members * length),
    )


def attended(
    query: Float[Tensor, "batch heads length width"],
    key: Float[Tensor, "batch key_heads key_length width"],
    value: Float[Tensor, "batch key_heads key_length value_width"],
    change: ScoreChange | None,
    seen: tuple[int, int, int | None, str, int],
    *,
    scale: float,
) -> Float[Tensor, "batch heads length value_width"]:
    """Attention of heads of queries to those of keys, which several of them may share.

    ``seen`` is the image's size, the window, its shape, and frames of the keys.
    """
    if query.device.type != "cuda" or not query.numel():
        return _written_out(query, key, value, change, mask_of(*seen[:4]), scale)
    options = {
        "score_mod": change,
        "block_mask": block_mask(*seen, query.device, like=query),
        "scale": scale,
        "enable_gqa": query.shape[1] != key.shape[1],
        "kernel_options": kernel_options(query.dtype),
    }
    shapes = (query.shape, key.shape, value.shape, query.dtype, query.device, change is None, seen)
    with torch.autocast(query.device.type, enabled=False):
        if torch.compiler.is_compiling():
            return call_flex(query, key, value, options)
        out = compiled(shapes)(query, key, value, options)
    return _Once.apply(out) if out.requires_grad else out


def _written_out(
    query: Tensor, key: Tensor, value: Tensor, change: ScoreChange | None, seen: Mask, scale: float
) -> Tensor:
    """The same with every score in memory."""
    shared = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(shared, 1) for x in (key, value))
    wide = torch.promote_types(query.dtype, torch.float32)
    scores = scale * query.to(wide) @ key.to(wide).mT
    index = [
        torch.arange(n, device=query.device).view(-1, *(3 - axis) * [1])
        for axis, n in enumerate(scores.shape)
    ]
    if change is not None:
        scores = change(scores, *index)
    weights = scores.masked_fill(~seen(*index), float("-inf")).softmax(-1)
    return weights.to(value.dtype) @ value


def _float32_precision() -> str:
    return "'tf32x3'" if torch.get_float32_matmul_precision() == "highest" else "'tf32'"


# A compiler may take the answer for a constant.
_float32_precision._dynamo_marked_constant = True  # type: ignore[attr-defined]


def kernel_options(dtype: torch.dtype) -> dict[str, Any]:
    """Options of the kernel: 32 bits kept by three products of TF32, in blocks that suit them."""
    if dtype != torch.float32 or torch.version.hip:
        return {}
    blocks = {"bwd_BLOCK_M1": 32, "bwd_BLOCK_N1": 64, "bwd_BLOCK_M2": 64, "bwd_BLOCK_N2": 32}
    return {"FLOAT32_PRECISION": _float32_precision(), **blocks}


def call_flex(query: Tensor, key: Tensor, value: Tensor, options: dict[str, Any]) -> Tensor:
    from torch.nn.attention.flex_attention import flex_attention

    out: Tensor = flex_attention(query, key, value, **options)
    return out


@cache
def compiled(shapes: tuple[Any, ...]) -> Callable[..., Tensor]:
    """FlexAttention compiled for some shapes, in code of its own: torch compiles code 8 times."""
    own = FunctionType(call_flex.__code__.replace(), call_flex.__globals__)
    return torch.compile(own, dynamic=False, fullgraph=True)


class _Once(torch.autograd.Function):
    """Passes a result on, and says in a sentence that its gradient has no derivative."""

    @staticmethod
    def forward(ctx: Any, out: Tensor) -> Tensor:
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        if gradients_are_differentiated():
            raise NotImplementedError(f"method: got 'flex'; {_NO_RULE}")
        return gradients[0]

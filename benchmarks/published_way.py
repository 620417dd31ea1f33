"""The published group attention computed as its authors do: every score a number in memory.

An independent way to the function of ``GroupSelfAttention(form="published",
encoding="published")`` and from its weights: scores of every acted frame, query frame, key frame,
query position and key position at once, keys unfolded, encodings evaluated pair by pair.

Einsum letters: b batch, c channel of a head, n head, v acted frame, g frame of the query, h frame
of the key, i j position of the query, k l position of the key (in its window, if there is one).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from gsa_core import GroupSelfAttention

__all__ = ["published_way"]


def published_way(layer: GroupSelfAttention, features: Tensor) -> Tensor:
    """Map ``(batch, in, |H|, height, width)`` to ``(batch, out, |H|, height, width)``."""
    maps = layer.query_key_value(features.permute(0, 3, 4, 2, 1))
    heads = (layer.num_heads, layer.head_dim)
    query, key, value = (
        x.unflatten(-1, heads).permute(0, 5, 4, 3, 1, 2) for x in maps.chunk(3, -1)
    )  # (b, c, n, g, i, j)
    if layer.window is None:
        content = torch.einsum("bcngij,bcnhkl->bngijhkl", query, key)
        values, outside = value, None
    else:
        keys, values = (_unfolded(x, layer.window) for x in (key, value))
        content = torch.einsum("bcngij,bcnhklij->bngijhkl", query, keys)
        inside = _unfolded(torch.ones_like(value[:1, :1, :1, :1]), layer.window)
        outside = inside[0, 0, 0, 0].permute(2, 3, 0, 1)[:, :, None] == 0
    scores = (_positional(layer, query) + content.unsqueeze(2)) * layer.scale
    if outside is not None:
        scores = scores.masked_fill(outside, float("-inf"))
    weights = scores.flatten(-3).softmax(-1).view(scores.shape)
    keys_of_query = "hkl" if layer.window is None else "hklij"
    out = torch.einsum(f"bnvgijhkl,bcn{keys_of_query}->bvijnc", weights, values)
    return layer.output(out.flatten(-2)).permute(0, 4, 1, 2, 3)


def _unfolded(x: Tensor, window: int) -> Tensor:
    """``(b, c, n, h, i, j)`` to ``(b, c, n, h, k, l, i, j)``, zeros beyond the image."""
    patches = functional.unfold(x.flatten(1, 3), window, padding=window // 2)
    return patches.view(*x.shape[:4], window, window, *x.shape[4:])


def _positional(layer: GroupSelfAttention, query: Tensor) -> Tensor:
    """Scores of row, column and group offsets, ``(b, n, v, g, i, j, h, k, l)``."""
    encoding, group = layer.relative, layer.group
    third = encoding.function.channels
    height, width = query.shape[-2:]
    if layer.window is None:
        rows = torch.arange(height)[None, :] - torch.arange(height)[:, None]
        cols = torch.arange(width)[None, :] - torch.arange(width)[:, None]
        offsets = torch.stack(
            [
                rows[:, None, :, None].expand(-1, width, -1, width),
                cols[None, :, None, :].expand(height, -1, height, -1),
            ],
            -1,
        )
        pairs = "ijkl"
    else:
        axis = torch.arange(layer.window) - layer.window // 2
        offsets = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
        pairs = "kl"
    back = group.matrices[group.inverse].to(query)
    seen = torch.einsum("vab,...b->v...a", back, offsets.to(query))
    scores = 0
    for axis in range(2):
        part = slice(axis * third, (axis + 1) * third)
        values = encoding.function.networks[axis](seen[..., axis, None] / encoding.reach)
        scores = scores + torch.einsum(f"bcngij,v{pairs}c->bnvgijkl", query[:, part], values)
    frames = encoding.frame_table[encoding.relative]  # (v, g, h, c)
    of_frames = torch.einsum("bcngij,vghc->bnvgijh", query[:, 2 * third :], frames)
    return scores.unsqueeze(-3) + of_frames[..., None, None]

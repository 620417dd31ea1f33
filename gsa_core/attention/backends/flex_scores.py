"""Which residue a key has, what a query's encoding is worth there, and which keys it sees.

A window of ``2R + 1`` rows holds every residue of rows modulo ``2R + 1`` once, so that the scores
of a query with an encoding are ``2R + 1`` numbers for the rows, as many for the columns, and one
for a frame. Tokens are the pixels in raster order, padded to blocks; keys of several frames lie one
after another.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gsa_core.attention.encodings.tables import OffsetTables, PositionalScores, positional_scores
from gsa_core.attention.neighbourhood import Offsets, Tiling
from gsa_core.common.cached import constant

__all__ = [
    "BLOCK", "Mask", "ScoreChange", "mask_of", "ones_at_residues", "padded", "padded_length",
    "score_change", "scores_at_residues",
]  # fmt: skip

BLOCK = 128  # queries, and keys, that are computed or skipped together
ScoreChange = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
Mask = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def padded_length(pixels: int) -> int:
    """Tokens of a frame with those that fill its last block."""
    return -(-pixels // BLOCK) * BLOCK


def padded(x: Tensor, length: int, width: int) -> Tensor:
    """With zeros beyond its tokens and its channels."""
    beyond = (0, width - x.shape[-1], 0, length - x.shape[-2])
    return functional.pad(x, beyond) if any(beyond) else x


def residue_counts(tiling: Tiling) -> tuple[int, int]:
    """Distinct residues of rows and of columns: a window's sides, or all where it covers them."""
    rows, cols = (min(2 * r + 1, n) for r, n in zip(tiling.reaches, tiling.size, strict=True))
    return rows, cols


@constant
def offsets_of_residues(
    rows: int, cols: int, window: int | None, shape: str, device: torch.device
) -> Offsets:
    """Offset of the key that has a residue from every query, as of a key in its own place."""
    tiling, parts = Tiling(rows, cols, window, shape), []
    for size, reach, modulus in zip(
        tiling.size, tiling.reaches, residue_counts(tiling), strict=True
    ):
        residue = torch.arange(modulus, device=device)[None, :]
        offset = residue - torch.arange(size, device=device)[:, None]
        if modulus < size:
            offset = (offset + reach) % modulus - reach
        parts.append(offset.clamp(-reach, reach))
    return Offsets(parts[0], parts[1], tiling.reaches)


def scores_at_residues(tiling: Tiling, query: Tensor, tables: OffsetTables) -> PositionalScores:
    """Scores of queries with the tables, ``(batch, heads, group, own, pixels, residues)``."""
    batch, own = query.shape[0], query.shape[4]
    image = query.permute(0, 4, 3, 5, 1, 2, 6).flatten(0, 1)  # (b m, g, n, i, j, d)
    seen = (*tiling.size, tiling.window, tiling.shape)
    offsets = offsets_of_residues(*seen, query.device, like=query)
    found = positional_scores(image.unsqueeze(0), tables, offsets)

    def laid(x: Tensor | None) -> Tensor | None:
        if x is None:
            return None
        x = x.flatten(6).squeeze(0).unflatten(0, (batch, own))
        return x.permute(0, 3, 2, 1, 4, 5, 6).flatten(4, 5)

    return PositionalScores(
        laid(found.rows), laid(found.cols), laid(found.frames), laid(found.pairs)
    )


def ones_at_residues(
    tiling: Tiling, scores: PositionalScores, members: int, like: Tensor
) -> Float[Tensor, "members pixels residues"]:
    """A one among zeros at the row, the column and the frame of every key."""
    present = tuple(x is not None for x in (scores.rows, scores.cols, scores.frames))
    counts = (*residue_counts(tiling), members)
    return _ones(tiling.size, counts, present, like.dtype, like.device, like=like)


@constant
def _ones(
    size: tuple[int, int],
    counts: tuple[int, int, int],
    present: tuple[bool, ...],
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    row, col, frame = (torch.arange(n, device=device) for n in (*size, counts[2]))
    index = (row[None, :, None], col[None, None, :], frame[:, None, None])
    parts = []
    for count, of_key, is_term in zip(counts, index, present, strict=True):
        if is_term:
            one = (of_key % count)[..., None] == torch.arange(count, device=device)
            parts.append(one.to(dtype).expand(counts[2], *size, count).flatten(1, 2))
    return torch.cat(parts, -1)


def score_change(
    tiling: Tiling, scores: PositionalScores, length: int, scale: float, like: Tensor
) -> ScoreChange | None:
    """What is looked up and added to the scaled score of a pair of tokens; ``None`` if nothing is.

    The scores of an encoding are kept in 32 bits: their gradients are sums over keys.
    """
    (_, cols), moduli = tiling.size, residue_counts(tiling)
    last, (reach, col_reach) = tiling.size[0] * cols - 1, tiling.reaches
    wide = torch.promote_types(like.dtype, torch.float32)
    fading = tiling.neighbourhood(like.new_empty(0, dtype=wide))[1]

    def kept(x: Tensor | None) -> Tensor | None:
        if x is None:
            return None
        # No view: a compiler drops the gradient of one that a function captures.
        return scale * padded(x.to(wide), length, x.shape[-1]).flatten(1, 3).contiguous()

    rows_of, cols_of = kept(scores.rows), kept(scores.cols)
    frames_of, pairs_of = kept(scores.frames), kept(scores.pairs)
    if all(x is None for x in (rows_of, cols_of, frames_of, pairs_of, fading)):
        return None

    def change(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        pixel = key % length
        row, col = pixel // cols, pixel % cols
        if rows_of is not None:
            score = score + rows_of[batch, head, query, row % moduli[0]]
        if cols_of is not None:
            score = score + cols_of[batch, head, query, col % moduli[1]]
        if pairs_of is not None:
            pair = row % moduli[0] * moduli[1] + col % moduli[1]
            score = score + pairs_of[batch, head, query, pair]
        if frames_of is not None:
            score = score + frames_of[batch, head, query, key // length]
        if fading is not None:
            from_query = query.clamp(max=last)
            down = (row - from_query // cols).clamp(-reach, reach) + reach
            right = (col - from_query % cols).clamp(-col_reach, col_reach) + col_reach
            score = score + fading[down, right]
        return score

    return change


def mask_of(rows: int, cols: int, window: int | None, shape: str) -> Mask:
    """Whether a token sees another; tokens that fill a block see what the last pixel sees."""
    tiling, pixels = Tiling(rows, cols, window, shape), rows * cols
    length, local, square = padded_length(pixels), tiling.local, shape == "square"
    radius, diameter = tiling.radius, (window or 0) ** 2

    def seen(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        from_query, pixel = query.clamp(max=pixels - 1), key % length
        inside = pixel < pixels
        if not local:
            return inside
        down, right = pixel // cols - from_query // cols, pixel % cols - from_query % cols
        if square:
            return inside & (down.abs() <= radius) & (right.abs() <= radius)
        return inside & (4 * (down * down + right * right) <= diameter)

    return seen

"""What an encoding is worth at every offset, and the scores of queries with it.

An encoding adds ``q . p`` to the scores with ``p(h^-1 (y - x), h^-1 h')`` (Romero & Cordonnier
2021, https://arxiv.org/abs/2010.00977, section 4). Everywhere here ``p`` is a sum of a spatial
part and a part of the group offset, so that neither is ever evaluated for a pair of tokens, only
for a distinct offset: an encoding is its tables. Axis letters are those of `docs/attention.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.attention.encodings.rotary import RotaryEncoding
from gsa_core.attention.neighbourhood import Offsets

__all__ = [
    "OffsetEncoding",
    "OffsetTables",
    "PositionalScores",
    "check_tables",
    "positional_scores",
    "products_with_frames",
]


@dataclass(frozen=True)
class OffsetTables:
    """What an encoding is worth at every distinct offset, as the terms it is a sum of.

    ``rows (g u n d)`` and ``cols (g w n d)`` of one component of the offset, from minus to plus
    the reach asked for; ``pairs (g u w n d)`` of both, when they do not separate; ``frames
    (g m h n d)`` of the group offset. A term that does not occur is ``None``. `rotation` rotates
    queries and keys by their positions; the tables meet queries that are not rotated.
    """

    rows: Tensor | None = None
    cols: Tensor | None = None
    pairs: Tensor | None = None
    frames: Tensor | None = None
    rotation: RotaryEncoding | None = None


class OffsetEncoding(nn.Module):
    """An encoding of offsets: a subclass gives the tables, as `docs/library.md` shows.

    Attributes
    ----------
    kind
        How it is held, a name that is kept with the weights: a layer refuses those of another
        kind. ``None`` if there is one kind alone.
    scaled
        Whether its values at an offset depend on the largest offset of the layer; this is then
        kept with the weights, too.
    """

    kind: str | None = None
    scaled = False

    def forward(self, reaches: tuple[int, int]) -> OffsetTables:
        """Values at every offset from ``-reaches[0]`` to ``reaches[0]`` rows, so for columns."""
        raise NotImplementedError(
            f"{type(self).__name__}: has no forward(reaches), which returns OffsetTables"
        )


def check_tables(
    name: str,
    tables: object,
    reaches: tuple[int, int],
    query: Float[Tensor, "batch rows cols group own heads head_dim"],
    key: Float[Tensor, "batch rows cols sets members heads head_dim"],
) -> OffsetTables:
    """The tables of an encoding, of the shapes that every implementation of attention reads.

    Parameters
    ----------
    name
        What gave them, for messages.
    tables, reaches
        What an `OffsetEncoding` returned for these reaches.
    query, key
        What they are to meet.
    """
    if not isinstance(tables, OffsetTables):
        raise TypeError(f"{name}: forward returned a {type(tables).__name__}; accepts OffsetTables")
    if (tables.rows is None) != (tables.cols is None):
        raise ValueError(f"{name}: got rows or cols alone; accepts both or neither")
    (group, own, heads, width), members = query.shape[3:], key.shape[4]
    rows, cols = (2 * reach + 1 for reach in reaches)
    for term, axes in (
        ("rows", (group, rows, heads, width)),
        ("cols", (group, cols, heads, width)),
        ("pairs", (group, rows, cols, heads, width)),
        ("frames", (group, own, members, heads, width)),
    ):
        table = getattr(tables, term)
        if table is None:
            continue
        if tuple(table.shape) != axes:
            raise ValueError(
                f"{name}: {term} of its OffsetTables: got {tuple(table.shape)}; "
                f"accepts {axes} for reaches {tuple(reaches)}"
            )
        if table.dtype != query.dtype and not torch.is_autocast_enabled(query.device.type):
            raise TypeError(
                f"{name}: {term} of its OffsetTables: got {table.dtype}; accepts {query.dtype}, "
                "the type of the queries"
            )
    return tables


@dataclass(frozen=True)
class PositionalScores:
    """What an encoding adds to the scores, as the terms it is a sum of.

    ``rows (t b g n i j k)`` for the key's row, ``cols (t b g n i j l)`` for its column, ``frames
    (t b g n i j h)`` for its frame, ``pairs (t b g n i j k l)`` for its position when that does
    not separate; a term that does not occur is ``None``.
    """

    rows: Tensor | None = None
    cols: Tensor | None = None
    frames: Tensor | None = None
    pairs: Tensor | None = None


def positional_scores(
    query: Float[Tensor, "tiles batch group heads rows cols head_dim"],
    tables: OffsetTables,
    offsets: Offsets,
) -> PositionalScores:
    """Scores of queries with the tables, laid out for every key: ``q . p``."""
    rows = cols = pairs = frames = None
    row, col = offsets.rows + offsets.reaches[0], offsets.cols + offsets.reaches[1]
    if tables.rows is not None and tables.cols is not None:
        rows = torch.einsum("tbgnijd,giknd->tbgnijk", query, _looked_up(tables.rows, row))
        cols = torch.einsum("tbgnijd,gjlnd->tbgnijl", query, _looked_up(tables.cols, col))
    if tables.pairs is not None:
        pair = row[:, None, :, None] * tables.pairs.shape[2] + col[None, :, None, :]
        entries = _looked_up(tables.pairs.flatten(1, 2), pair)
        pairs = torch.einsum("tbgnijd,gijklnd->tbgnijkl", query, entries)
    if tables.frames is not None:
        own = query.unflatten(1, (-1, tables.frames.shape[1]))
        frames = torch.einsum("tbmgnijd,gmhnd->tbmgnijh", own, tables.frames).flatten(1, 2)
    return PositionalScores(rows=rows, cols=cols, frames=frames, pairs=pairs)


def _looked_up(
    table: Float[Tensor, "group offset heads head_dim"], index: Int[Tensor, "*pairs"]
) -> Float[Tensor, "group *pairs heads head_dim"]:
    """``table[:, index]`` as an embedding, whose backward is a fast sum."""
    frame = torch.arange(table.shape[0], device=index.device) * table.shape[1]
    index = frame.view(-1, *index.ndim * [1]) + index
    return functional.embedding(index, table.flatten(2).flatten(0, 1)).unflatten(
        -1, table.shape[2:]
    )


def products_with_frames(
    unrotated: Float[Tensor, "batch rows cols frames own heads head_dim"],
    table: Float[Tensor, "group own members heads head_dim"],
    query: Float[Tensor, "batch rows cols group own heads head_dim"],
    key: Float[Tensor, "batch rows cols sets members heads head_dim"],
) -> tuple[Tensor, Tensor]:
    """Rotated queries and keys, with appended products of unrotated queries with a table.

    A key chooses the product of its own frame by a one among zeros: the table must not see the
    rotated queries.
    """
    unrotated = unrotated.to(query.dtype)
    products = torch.einsum("bijgmnd,gmhnd->bijgmnh", unrotated, table.to(query.dtype))
    ones = torch.eye(key.shape[4], dtype=key.dtype, device=key.device)[:, None]
    ones = ones.expand(*key.shape[:-1], -1)
    return torch.cat([query, products], -1), torch.cat([key, ones], -1)

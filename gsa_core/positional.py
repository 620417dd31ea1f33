"""Positional encodings: what a layer knows of where its tokens are.

Score encodings add ``q . p`` to the scores, where ``p`` depends on the offset of key and query as
seen in the query's frame, ``p(h^-1 (y - x), h^-1 h')`` (Romero & Cordonnier 2021,
https://arxiv.org/abs/2010.00977, section 4). Everywhere here ``p`` is a sum of a spatial part and
a part of the group offset, so that neither is ever evaluated for a pair of tokens, only for a
distinct offset.

Einsum letters: b batch, t tile, g frame of the query, n head, i j row and column of the query,
k l row and column of the key, h frame of the key, d channel of a head, c channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.groups import PointGroup, act_on_image

__all__ = [
    "AbsoluteEncoding",
    "Offsets",
    "PositionalScores",
    "RelativeFunction",
    "RelativeTable",
    "position_network",
]


@dataclass(frozen=True)
class Offsets:
    """Offsets of keys from queries along each axis, in pixels.

    ``rows[i, k] = y_1 - x_1`` and ``cols[j, l] = y_2 - x_2``, integers of magnitude at most
    ``farthest``.
    """

    rows: Int[Tensor, "rows key_rows"]
    cols: Int[Tensor, "cols key_cols"]
    farthest: int


@dataclass(frozen=True)
class PositionalScores:
    """What an encoding adds to the scores, as the terms it is a sum of.

    ``rows (b t g n i j k)`` for the key's row, ``cols (b t g n i j l)`` for its column, ``frames
    (b t g n i j h)`` for its frame, ``pairs (b t g n i j k l)`` for its position when that does
    not separate; a term that does not occur is ``None``.
    """

    rows: Tensor | None = None
    cols: Tensor | None = None
    frames: Tensor | None = None
    pairs: Tensor | None = None


class _RelativeEncoding(nn.Module):
    """The part of a relative encoding that depends on the group offset ``h^-1 h'``."""

    def __init__(self, group: PointGroup, heads: int, head_dim: int, *, across_frames: bool):
        super().__init__()
        self.group, self.heads, self.head_dim = group, heads, head_dim
        self.frame_table: nn.Parameter | None = None
        if across_frames and group.order > 1:
            self.frame_table = nn.Parameter(torch.empty(group.order, heads * head_dim))
            nn.init.normal_(self.frame_table, std=0.02)
            self.register_buffer("relative", group.relative, persistent=False)

    def _frame_scores(self, query: Tensor) -> Tensor | None:
        if self.frame_table is None:
            return None
        table = functional.embedding(self.relative, self.frame_table)  # (g, h, n d)
        table = table.unflatten(-1, (self.heads, self.head_dim))
        return torch.einsum("btgnijd,ghnd->btgnijh", query, table)


class RelativeTable(_RelativeEncoding):
    """Learned tables of row, column and group offsets, for groups that keep the axes.

    ``p(d, h) = P_1(d_1) + P_2(d_2) + P_3(h)``. Every frame reads the same two tables turned: a
    quarter turn exchanges rows and columns, a mirror reverses one. Exactly equivariant under
    translations (of the offsets) and H.

    Parameters
    ----------
    group
        A group that keeps the pixel axes: C1, C2, C4, D1, D2 or D4.
    heads, head_dim
        Number of heads and channels a head.
    reach
        Largest offset in pixels, ``2 reach + 1`` entries a table.
    across_frames
        Whether keys lie in other frames than the query (form ``joint``).
    """

    def __init__(
        self, group: PointGroup, heads: int, head_dim: int, reach: int, *, across_frames: bool
    ) -> None:
        super().__init__(group, heads, head_dim, across_frames=across_frames)
        if not group.keeps_axes:
            raise ValueError(
                f"encoding: got 'table' with {group.name}, whose turns leave the pixel axes; "
                "accepts C1, C2, C4, D1, D2, D4 (use encoding='continuous')"
            )
        self.reach = reach
        self.table = nn.Parameter(torch.empty(2 * (2 * reach + 1), heads * head_dim))
        nn.init.normal_(self.table, std=0.02)
        self.register_buffer("index", self._turned_index(), persistent=False)

    def _turned_index(self) -> Int[Tensor, "axis group offset"]:
        """Row of ``table`` that frame g reads at an offset along the image's rows or columns."""
        offsets = torch.arange(-self.reach, self.reach + 1)
        turned_back = self.group.matrices[self.group.inverse].round().long()
        index = []
        for axis in range(2):
            component = turned_back[:, :, axis].abs().argmax(1)  # where this axis goes in frame g
            sign = turned_back[:, :, axis].sum(1)
            along = sign[:, None] * offsets + self.reach
            index.append(component[:, None] * (2 * self.reach + 1) + along)
        return torch.stack(index)

    def forward(
        self,
        query: Float[Tensor, "batch tiles group heads rows cols head_dim"],
        offsets: Offsets,
    ) -> PositionalScores:
        """Scores of the row and of the column offsets."""
        if offsets.farthest > self.reach:
            raise ValueError(
                f"image: has offsets of {offsets.farthest} pixels; this layer's table reaches "
                f"{self.reach} (set image_size to the largest image)"
            )
        along_rows = self._table(0, offsets.rows)
        along_cols = self._table(1, offsets.cols)
        return PositionalScores(
            rows=torch.einsum("btgnijd,giknd->btgnijk", query, along_rows),
            cols=torch.einsum("btgnijd,gjlnd->btgnijl", query, along_cols),
            frames=self._frame_scores(query),
        )

    def _table(self, axis: int, offsets: Tensor) -> Tensor:
        """Table entries ``(g, query, key, n, d)`` at these offsets along one axis."""
        entries = functional.embedding(self.index[axis][:, offsets + self.reach], self.table)
        return entries.unflatten(-1, (self.heads, self.head_dim))


class RelativeFunction(_RelativeEncoding):
    """A learned continuous function of the offset, for any group.

    ``p(d, h) = f(h^-1 d) + P(h)`` with ``f`` a small network on Fourier features. Exactly
    equivariant under translations and the elements that keep the grid; at other angles as good as
    the grid allows.

    Parameters
    ----------
    group, heads, head_dim, across_frames
        As in `RelativeTable`.
    scale
        Length in pixels over which ``f`` varies.
    """

    def __init__(
        self, group: PointGroup, heads: int, head_dim: int, scale: float, *, across_frames: bool
    ) -> None:
        super().__init__(group, heads, head_dim, across_frames=across_frames)
        self.function = position_network(heads * head_dim, scale)
        back = group.matrices[group.inverse].to(torch.get_default_dtype())
        self.register_buffer("turned_back", back, persistent=False)

    def forward(
        self,
        query: Float[Tensor, "batch tiles group heads rows cols head_dim"],
        offsets: Offsets,
    ) -> PositionalScores:
        """Scores of every pair of positions, from one evaluation a distinct offset."""
        reach, span = offsets.farthest, 2 * offsets.farthest + 1
        axis = torch.arange(-reach, reach + 1, device=query.device, dtype=self.turned_back.dtype)
        distinct = torch.cartesian_prod(axis, axis)
        seen = torch.einsum("gab,ub->gua", self.turned_back, distinct)
        values = self.function(seen)  # (g, distinct, n d)
        row, col = offsets.rows + reach, offsets.cols + reach
        pair = row[:, None, :, None] * span + col[None, :, None, :]
        frame = torch.arange(len(values), device=pair.device) * values.shape[1]
        entries = functional.embedding(
            frame[:, None, None, None, None] + pair, values.flatten(0, 1)
        )
        entries = entries.unflatten(-1, (self.heads, self.head_dim))
        return PositionalScores(
            pairs=torch.einsum("btgnijd,gijklnd->btgnijkl", query, entries),
            frames=self._frame_scores(query),
        )


class AbsoluteEncoding(nn.Module):
    """Adds ``a(h^-1 p)`` to the token at position p and frame h.

    Breaks translations and keeps H acting about the image centre; with the trivial group it is
    the position embedding of a plain transformer. ``a`` is a table of the grid where the group
    maps the grid onto itself, else a continuous function.

    Parameters
    ----------
    group
        The point group H.
    channels
        Channels of a token.
    image_size
        ``(height, width)`` in pixels.
    encoding
        ``"table"``, ``"continuous"``, or ``"auto"``: a table where that is possible.
    """

    def __init__(
        self,
        group: PointGroup,
        channels: int,
        image_size: tuple[int, int],
        encoding: str = "auto",
    ) -> None:
        super().__init__()
        height, width = image_size
        fits = group.keeps_axes and (height == width or group.rotations <= 2)
        if encoding == "table" and not fits:
            raise ValueError(
                f"encoding: got 'table' with {group.name} and image_size {height}x{width}, which "
                "the group does not map onto itself; use encoding='continuous'"
            )
        self.group, self.image_size = group, (height, width)
        self.table: nn.Parameter | None = None
        if fits and encoding != "continuous":
            self.table = nn.Parameter(torch.empty(channels, height, width))
            nn.init.normal_(self.table, std=0.02)
        else:
            self.function = position_network(channels, max(height, width) / 2)
            self.register_buffer("positions", self._positions(), persistent=False)

    def _positions(self) -> Float[Tensor, "height width group two"]:
        """Every position as it is seen in every frame, ``h^-1 p``."""
        axes = [torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in self.image_size]
        grid = torch.cartesian_prod(*axes).reshape(*self.image_size, 2)
        back = self.group.matrices[self.group.inverse]
        return torch.einsum("gab,ijb->ijga", back, grid).to(torch.get_default_dtype())

    def values(self) -> Float[Tensor, "height width group channels"]:
        """The encoding ``a(h^-1 p)`` as every frame sees it."""
        if self.table is None:
            return self.function(self.positions)
        acted = [act_on_image(self.group, h, self.table) for h in range(self.group.order)]
        return torch.stack(acted).permute(2, 3, 0, 1)

    def forward(
        self, tokens: Float[Tensor, "batch height width frames channels"]
    ) -> Float[Tensor, "batch height width group channels"]:
        """Add the encoding to tokens of ``|H|`` frames, or of one frame, which it then lifts."""
        if tokens.shape[1:3] != self.image_size:
            got, fits = "x".join(map(str, tokens.shape[1:3])), "x".join(map(str, self.image_size))
            raise ValueError(f"image: got {got}; this absolute encoding was built for {fits}")
        return tokens + self.values()


class _FourierFeatures(nn.Module):
    """``[sin, cos](2 pi B p / scale)`` at fixed frequencies B, in float32 or better.

    Tancik et al. (2020), https://arxiv.org/abs/2006.10739, with frequencies on a grid instead of
    random ones: up to two periods over ``2 scale``.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        axis = torch.arange(-2.0, 3.0)
        grid = torch.cartesian_prod(axis, axis)
        half = (grid[:, 0] > 0) | ((grid[:, 0] == 0) & (grid[:, 1] > 0))  # -B repeats B
        self.register_buffer("frequencies", math.pi * grid[half] / scale, persistent=False)

    @property
    def width(self) -> int:
        return 2 * len(self.frequencies)

    def forward(self, positions: Tensor) -> Tensor:
        phase = positions @ self.frequencies.T
        return torch.cat([phase.sin(), phase.cos()], -1)


def position_network(channels: int, scale: float, hidden: int = 16) -> nn.Module:
    """A continuous function of a position ``(..., 2)`` in pixels with values ``(..., channels)``.

    The last layer has no bias: added to all scores of a query it would change nothing.
    """
    features = _FourierFeatures(scale)
    return nn.Sequential(
        features,
        nn.Linear(features.width, hidden),
        nn.GELU(),
        nn.Linear(hidden, channels, bias=False),
    )

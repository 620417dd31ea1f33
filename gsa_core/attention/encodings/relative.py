"""Learned encodings of the offset between a key and a query, as seen in the query's frame."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.attention.encodings.absolute import PositionNetwork
from gsa_core.attention.encodings.tables import OffsetEncoding, OffsetTables
from gsa_core.common.constants import WithConstants
from gsa_core.groups import PointGroup

__all__ = ["FrameOffsets", "RadialFunction", "RelativeFunction", "RelativeTable"]


class FrameOffsets(OffsetEncoding, WithConstants):
    """A learned table of group offsets alone: ``p(d, h) = P(h)``.

    Parameters
    ----------
    group
        The point group H.
    heads, head_dim
        Number of heads and channels a head.
    frame_offsets
        Which entry a frame g reads for a key of frame h, ``(g, h)`` or, where the query has a
        frame m of its own, ``(g, m, h)``; ``None`` where keys lie in the query's frame.
    """

    relative: Tensor

    def __init__(
        self,
        group: PointGroup,
        heads: int,
        head_dim: int,
        *,
        frame_offsets: Int[Tensor, "group *own key_group"] | None = None,
    ) -> None:
        super().__init__()
        self.group, self.heads, self.head_dim = group, heads, head_dim
        self._frame_offsets = frame_offsets
        self.frame_table: nn.Parameter | None = None
        if frame_offsets is not None:
            self.frame_table = self._make_frame_table()
        self.make_constants()

    def constants(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Which entry of the table a pair of frames reads."""
        return {} if self._frame_offsets is None else {"relative": self._frame_offsets}

    def _make_frame_table(self) -> nn.Parameter | None:
        if self.group.order == 1:
            return None
        table = nn.Parameter(torch.empty(self.group.order, self.heads * self.head_dim))
        nn.init.normal_(table, std=0.02)
        return table

    def frame_entries(self) -> Float[Tensor, "entries channels"]:
        """The table; channels are (head, d)."""
        assert self.frame_table is not None
        return self.frame_table

    def forward(self, reaches: tuple[int, int]) -> OffsetTables:
        """The group offsets alone."""
        return OffsetTables(frames=self._frames())

    def _frames(self) -> Float[Tensor, "group own key_group heads head_dim"] | None:
        if self.frame_table is None:
            return None
        order = self.group.order
        relative = self.constant("relative", self.frame_table)
        index = relative.reshape(order, -1, order)  # (g, m, h)
        return self._by_head(functional.embedding(index, self.frame_entries()))

    def _by_head(self, entries: Float[Tensor, "*entries channels"]) -> Tensor:
        return entries.unflatten(-1, (self.heads, self.head_dim))


class RelativeTable(FrameOffsets):
    """Learned tables of row, column and group offsets, for groups that keep the axes.

    ``p(d, h) = P_1(d_1) + P_2(d_2) + P_3(h)``. Every frame reads the same two tables turned: a
    quarter turn exchanges rows and columns, a mirror reverses one. Exactly equivariant under
    translations (of the offsets) and H.

    Parameters
    ----------
    group
        A group that keeps the pixel axes: C1, C2, C4, D1, D2 or D4.
    reach
        Largest offset in pixels, ``2 reach + 1`` entries a table.
    heads, head_dim, frame_offsets
        As in `FrameOffsets`.
    """

    kind = "table"
    index: Tensor

    def __init__(
        self,
        group: PointGroup,
        heads: int,
        head_dim: int,
        reach: int,
        *,
        frame_offsets: Tensor | None = None,
    ) -> None:
        if not group.keeps_axes:
            raise ValueError(
                f"encoding: got 'table' with {group.name}, whose turns leave the pixel axes; "
                "accepts C1, C2, C4, D1, D2, D4 (use encoding='continuous')"
            )
        self.reach = reach  # before the constants of a table of group offsets are made
        super().__init__(group, heads, head_dim, frame_offsets=frame_offsets)
        self._make_table()
        self.make_constants()

    def constants(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Which entries every frame reads."""
        return {**super().constants(dtype), "index": self._turned_index()}

    def _make_table(self) -> None:
        self.table = nn.Parameter(torch.empty(2 * (2 * self.reach + 1), self.heads * self.head_dim))
        nn.init.normal_(self.table, std=0.02)

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

    def entries(self) -> Float[Tensor, "entries channels"]:
        """Both tables, that of rows before that of columns; channels are (head, d)."""
        return self.table

    def forward(self, reaches: tuple[int, int]) -> OffsetTables:
        """Offsets up to the reaches of rows and columns, and the group offsets."""
        if max(reaches) > self.reach:
            raise ValueError(
                f"image: got a side of {max(reaches) + 1} tokens; this layer's table of offsets "
                f"accepts up to {self.reach + 1} (set image_size to that of the largest image)"
            )
        entries = self.entries()
        index = self.constant("index", entries)
        rows, cols = (
            self._by_head(
                functional.embedding(
                    index[axis][:, self.reach - reach : self.reach + reach + 1], entries
                )
            )
            for axis, reach in enumerate(reaches)
        )
        return OffsetTables(rows=rows, cols=cols, frames=self._frames())


class RelativeFunction(FrameOffsets):
    """A learned continuous function of the offset, for any group.

    ``p(d, h) = f(h^-1 d) + P(h)`` with ``f`` a small network on Fourier features. Exactly
    equivariant under translations and the elements that keep the grid; at other angles as good as
    the grid allows.

    Parameters
    ----------
    group, heads, head_dim, frame_offsets
        As in `FrameOffsets`.
    scale
        Length in pixels over which ``f`` varies.
    """

    kind, scaled = "continuous", True
    turned_back: Tensor

    def __init__(
        self,
        group: PointGroup,
        heads: int,
        head_dim: int,
        scale: float,
        *,
        frame_offsets: Tensor | None = None,
    ) -> None:
        super().__init__(group, heads, head_dim, frame_offsets=frame_offsets)
        self.function = self._function(scale)
        self.make_constants()

    def constants(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The inverse of every element."""
        back = self.group.matrices[self.group.inverse]
        return {**super().constants(dtype), "turned_back": back}

    def _function(self, scale: float) -> nn.Module:
        return PositionNetwork(self.heads * self.head_dim, scale)

    def _seen(self, distinct: Float[Tensor, "offsets two"]) -> Float[Tensor, "group offsets two"]:
        """Offsets as every frame sees them, ``h^-1 d``; never in less than float32."""
        return (self.constant("turned_back", distinct)[:, None] * distinct[:, None, :]).sum(-1)

    def forward(self, reaches: tuple[int, int]) -> OffsetTables:
        """Every offset up to the reaches of rows and columns, and the group offsets."""
        like = next(self.function.parameters())
        rows, cols = torch.meshgrid(
            *(torch.arange(-n, n + 1, device=like.device, dtype=like.dtype) for n in reaches),
            indexing="ij",
        )
        values = self.function(self._seen(torch.stack([rows.flatten(), cols.flatten()], -1)))
        values = values.expand(self.group.order, -1, -1).unflatten(1, rows.shape)
        return OffsetTables(pairs=self._by_head(values), frames=self._frames())


class RadialFunction(RelativeFunction):
    """A learned function of the distance, ``p(d, h) = f(|d|) + P(h)``.

    The spatial part is the same in every frame: equivariant under translations and all of O(2),
    as far as the grid allows, and blind to direction.
    """

    def _function(self, scale: float) -> nn.Module:
        return PositionNetwork(self.heads * self.head_dim, scale, dimensions=1)

    def _seen(self, distinct: Float[Tensor, "offsets two"]) -> Float[Tensor, "one offsets one"]:
        return distinct.square().sum(-1).sqrt()[None, :, None]

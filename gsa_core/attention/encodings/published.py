"""The positional encoding of the published group attention, GSA-Nets and GE-ViT.

Romero & Cordonnier (2021), https://arxiv.org/abs/2010.00977; Xu et al. (2023),
https://arxiv.org/abs/2306.06722. A head's channels are cut in three: the first third is met by a
small network of the row offset, the second by one of the column offset, the rest by a table of
group offsets; all heads share them. Where we differ: offsets are turned by exact matrices, and
group offsets are exact for groups that do not commute.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.attention.encodings.relative import RelativeFunction, RelativeTable
from gsa_core.groups import PointGroup

__all__ = ["PublishedFunction", "PublishedTable"]

_HIDDEN = 16


class _Positions(nn.Module):
    """Row and column networks, their values laid into the channels they meet.

    Parameters
    ----------
    channels
        Channels each of the two networks meets.
    head_dim, heads
        Channels a head, zero where neither network reaches; heads, which all see the same.
    reach
        Largest offset, to which offsets are normalised.
    """

    def __init__(self, channels: int, head_dim: int, heads: int, reach: int) -> None:
        super().__init__()
        self.channels, self.head_dim, self.heads, self.reach = channels, head_dim, heads, reach
        self.networks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(1, _HIDDEN),
                nn.LayerNorm(_HIDDEN, eps=1e-12),
                nn.SiLU(),
                nn.Linear(_HIDDEN, channels),
            )
            for _ in range(2)
        )

    def along(self, axis: int, offsets: Float[Tensor, "*offsets"]) -> Tensor:
        """Values ``(..., heads head_dim)`` of the network of rows (0) or columns (1)."""
        values = self.networks[axis](offsets[..., None] / max(self.reach, 1))
        before = axis * self.channels
        laid = functional.pad(values, (before, self.head_dim - self.channels - before))
        return laid.repeat(*(laid.ndim - 1) * [1], self.heads)

    def forward(self, positions: Float[Tensor, "*offsets two"]) -> Tensor:
        """Values ``(..., heads head_dim)`` of both networks."""
        return self.along(0, positions[..., 0]) + self.along(1, positions[..., 1])


class _PublishedParts:
    """What both encodings share: which channels are for what, and one table for all heads."""

    heads: int
    head_dim: int
    group: PointGroup
    frame_table: nn.Parameter | None

    def _positions(self, reach: int) -> _Positions:
        parts = 2 if self.frame_table is None else 3
        third = self.head_dim // parts
        if third == 0:
            raise ValueError(
                f"encoding: got 'published' with {self.head_dim} channels a head, of which rows, "
                f"columns and frames each take a part; accepts heads of {parts} channels or more"
            )
        return _Positions(third, self.head_dim, self.heads, reach)

    def _make_frame_table(self) -> nn.Parameter:
        return nn.Parameter(torch.randn(self.group.order, self.head_dim - 2 * (self.head_dim // 3)))

    def frame_entries(self) -> Tensor:
        """The table of group offsets, in the last channels of every head."""
        assert self.frame_table is not None
        before = self.head_dim - self.frame_table.shape[1]
        return functional.pad(self.frame_table, (before, 0)).repeat(1, self.heads)


class PublishedTable(_PublishedParts, RelativeTable):
    """The published encoding where the group keeps the axes: rows and columns separate."""

    scaled = True

    def _make_table(self) -> None:
        self.function = self._positions(self.reach)

    def entries(self) -> Float[Tensor, "entries channels"]:
        """Both networks at every offset."""
        like = next(self.function.parameters())
        offsets = torch.arange(-self.reach, self.reach + 1, device=like.device).to(like.dtype)
        return torch.cat([self.function.along(axis, offsets) for axis in range(2)])


class PublishedFunction(_PublishedParts, RelativeFunction):
    """The published encoding for any other group: both networks at every turned offset."""

    def _function(self, scale: float) -> nn.Module:
        return self._positions(int(scale))

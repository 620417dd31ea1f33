"""Rotary positions: queries and keys turned by angles that grow with position, frame by frame."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsa_core.common.constants import WithConstants
from gsa_core.groups import PointGroup

__all__ = ["RotaryEncoding", "turn"]


class RotaryEncoding(WithConstants):
    """Turns pairs of channels by ``w . (h^-1 p)``, the position as frame h sees it.

    With ``R`` that rotation of channel pairs, ``(R(h^-1 x) q) . (R(h^-1 y) k) =
    q . R(h^-1 (y - x)) k``: only the offset remains, seen in the frame of the query, and there is
    no table of scores. Turning the position back is turning the frequencies: ``w . (h^-1 p) =
    (h w) . p``. Angles are computed in float32 or better, whatever the type of the tokens.

    Parameters
    ----------
    group
        The point group H.
    heads, head_dim
        Number of heads and channels a head; an odd last channel is not turned.
    scale
        Length in pixels of half the longest period; the shortest is four pixels.

    Notes
    -----
    Frequencies are learned and point in all directions (Heo et al. 2024,
    https://arxiv.org/abs/2403.13298), starting from directions a golden angle apart.
    """

    matrices: Tensor

    def __init__(self, group: PointGroup, heads: int, head_dim: int, scale: float) -> None:
        super().__init__()
        if head_dim < 2:
            raise ValueError(
                f"positional: got 'rotary' with {head_dim} channel a head, which turns pairs of "
                "channels; accepts fewer heads or more channels"
            )
        self.group, self.pairs = group, head_dim // 2
        slowest = math.pi / max(scale, 2)
        steps = torch.arange(self.pairs) / max(self.pairs - 1, 1)
        magnitude = slowest * (math.pi / 2 / slowest) ** steps
        golden = math.pi * (3 - math.sqrt(5))
        angle = golden * torch.arange(heads * self.pairs).reshape(heads, self.pairs)
        directions = torch.stack([angle.cos(), angle.sin()], -1)
        self.frequencies = nn.Parameter(magnitude[:, None] * directions)  # (heads, pairs, 2)
        self.make_constants()

    def constants(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The elements of the group."""
        return {"matrices": self.group.matrices}

    def angles(self, rows: int, cols: int) -> Float[Tensor, "rows cols group heads pairs"]:
        """Angles of all pairs at every position, in every frame, in float32 or better."""
        wide = torch.promote_types(self.frequencies.dtype, torch.float32)
        frequencies = self.frequencies.to(wide)
        matrices = self.constant("matrices", self.frequencies).to(wide)
        # Products and sums, not matrix products: autocast leaves them alone.
        turned = (matrices[:, None, None] * frequencies[None, :, :, None, :]).sum(-1)
        row, col = (
            torch.arange(n, device=turned.device, dtype=wide) - (n - 1) / 2 for n in (rows, cols)
        )
        along = row[:, None, None, None, None] * turned[..., 0]
        across = col[None, :, None, None, None] * turned[..., 1]
        return along + across

    def forward(
        self, tokens: Float[Tensor, "batch rows cols frames others heads head_dim"]
    ) -> Float[Tensor, "batch rows cols group others heads head_dim"]:
        """Turn tokens of ``|H|`` frames each in its own, or of one frame in every frame."""
        return turn(tokens, self.angles(*tokens.shape[1:3]))


def turn(
    tokens: Float[Tensor, "batch rows cols frames others heads head_dim"],
    angles: Float[Tensor, "rows cols group heads pairs"],
) -> Float[Tensor, "batch rows cols group others heads head_dim"]:
    """Turn pairs (c, c + pairs) of channels by their angles; an odd last channel is kept."""
    pairs = angles.shape[-1]
    angles = angles.unsqueeze(3)
    cos, sin = angles.cos(), angles.sin()
    first, second, rest = tokens.split([pairs, pairs, tokens.shape[-1] % 2], -1)
    turned = torch.cat([first * cos - second * sin, first * sin + second * cos], -1)
    turned = turned.to(tokens.dtype)
    if not rest.shape[-1]:
        return turned
    return torch.cat([turned, rest.expand(*turned.shape[:-1], -1)], -1)

"""Positions of tokens: the encoding that is added to them, and functions of a position."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsa_core.common.constants import WithConstants
from gsa_core.common.saved_properties import Identified
from gsa_core.groups import PointGroup, act_on_image

__all__ = ["AbsoluteEncoding", "PositionNetwork"]


class AbsoluteEncoding(Identified, WithConstants):
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
            self.function = PositionNetwork(channels, max(height, width) / 2)
        self.make_constants()

    def identity(self) -> dict[str, Any]:
        """The group and the grid."""
        return {"group": self.group.name, "image_size": list(self.image_size)}

    def constants(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Where every frame sees every position."""
        return {} if self.table is not None else {"positions": self._positions()}

    def _positions(self) -> Float[Tensor, "height width group two"]:
        """Every position as it is seen in every frame, ``h^-1 p``."""
        axes = [torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in self.image_size]
        grid = torch.cartesian_prod(*axes).reshape(*self.image_size, 2)
        back = self.group.matrices[self.group.inverse]
        return torch.einsum("gab,ijb->ijga", back, grid)

    def values(self) -> Float[Tensor, "height width group channels"]:
        """The encoding ``a(h^-1 p)`` as every frame sees it."""
        if self.table is None:
            return self.function(self.constant("positions", next(self.function.parameters())))
        acted = [act_on_image(self.group, h, self.table) for h in range(self.group.order)]
        return torch.stack(acted).permute(2, 3, 0, 1)

    def forward(
        self, tokens: Float[Tensor, "batch height width frames channels"]
    ) -> Float[Tensor, "batch height width group channels"]:
        """Add the encoding to tokens of ``|H|`` frames, or of one frame, which it then lifts."""
        if tokens.shape[1:3] != self.image_size:
            got, fits = "x".join(map(str, tokens.shape[1:3])), "x".join(map(str, self.image_size))
            raise ValueError(f"image: got {got}; this absolute encoding accepts {fits}")
        return tokens + self.values()


class PositionNetwork(WithConstants):
    """A continuous function of a position ``(..., dimensions)`` in pixels, to ``(..., channels)``.

    A small network on ``[sin, cos](B p)`` at fixed frequencies B, in float32 or better: Tancik et
    al. (2020), https://arxiv.org/abs/2006.10739, with frequencies on a grid instead of random
    ones: up to two periods over ``2 scale``. The last layer has no bias: added to all scores of a
    query it would change nothing.
    """

    def __init__(self, channels: int, scale: float, hidden: int = 16, dimensions: int = 2) -> None:
        super().__init__()
        self.scale, self.dimensions = scale, dimensions
        self.network = nn.Sequential(
            nn.Linear(5**dimensions - 1, hidden),
            nn.GELU(),
            nn.Linear(hidden, channels, bias=False),
        )
        self.make_constants()

    def constants(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The frequencies ``(5^dimensions - 1) / 2, dimensions``."""
        axis = torch.arange(-2, 3, dtype=dtype)
        grid = torch.cartesian_prod(*self.dimensions * [axis]).reshape(-1, self.dimensions)
        # Of B and -B, which say the same, the one after 0 in the order of the grid.
        return {"frequencies": math.pi * grid[len(grid) // 2 + 1 :] / self.scale}

    def forward(self, positions: Float[Tensor, "*positions dimensions"]) -> Tensor:
        """Values at positions."""
        # Products and sums, not a matrix product, which autocast would round.
        frequencies = self.constant("frequencies", positions)
        phase = (positions[..., None, :] * frequencies).sum(-1)
        return self.network(torch.cat([phase.sin(), phase.cos()], -1))

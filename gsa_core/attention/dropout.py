"""Attention dropout that keeps the symmetry: what is dropped is dropped on a whole orbit."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsa_core.common.arguments import check_number
from gsa_core.groups import PointGroup, act_on_image

__all__ = ["OrbitDropout"]


class OrbitDropout(nn.Module):
    """Drops keys of attention in training, the same for all queries and for a whole orbit.

    Dropping a weight of attention is dropping the value it multiplies. A key at p in frame h is
    kept where a random image ``r`` is at ``h^-1 p``, and the orbit of ``(p, h)`` has one
    ``h^-1 p``: a layer with this mask commutes with the group, whatever ``r`` is. Every image and
    every head has an ``r`` of its own. Kept values are divided by the probability of keeping.

    Parameters
    ----------
    group
        The point group H.
    probability
        Of dropping a key.
    """

    def __init__(self, group: PointGroup, probability: float) -> None:
        super().__init__()
        probability = check_number(
            "attention_dropout", probability, "a number 0 <= p < 1", low=0, high=1 - 1e-9
        )
        self.group, self.probability = group, probability
        self.representatives = _cosets(group)
        # Of a representative, quarter turns; an odd number of them swaps height and width.
        self.turns = any(4 * exact // group.rotations % 2 for exact, _ in self.representatives)

    def extra_repr(self) -> str:
        """The probability, for ``print``."""
        return f"group={self.group.name}, probability={self.probability}"

    def forward(
        self, value: Float[Tensor, "batch rows cols frames others heads head_dim"]
    ) -> Float[Tensor, "batch rows cols group others heads head_dim"]:
        """Drop values of |H| frames, on the fourth or fifth axis; of one frame, for all to see."""
        if not self.training or self.probability == 0:
            return value
        batch, rows, cols, _, frames, heads, _ = value.shape
        if rows != cols and self.turns:
            raise ValueError(
                f"image: got {rows}x{cols}; attention_dropout with {self.group.name} needs a square"
            )
        shape = (batch, heads, self.group.order, rows, cols)
        keep = (torch.rand(shape, device=value.device) >= self.probability).to(value.dtype)
        kept = [
            act_on_image(self.group, exact, keep[:, :, coset])
            for exact, coset in self.representatives
        ]
        mask = torch.stack(kept, -1).permute(0, 2, 3, 4, 1)  # (batch, rows, cols, |H|, heads)
        mask = mask.unsqueeze(3 if frames > 1 else 4).unsqueeze(-1)
        return value * mask / (1 - self.probability)


def _cosets(group: PointGroup) -> list[tuple[int, int]]:
    """``element = exact * coset``, an element that keeps the grid and one for each such coset."""
    quotients = group.product[:, group.inverse].tolist()  # [element][coset]
    return [
        next((exact, coset) for coset, exact in enumerate(row) if group.is_exact(exact))
        for row in quotients
    ]

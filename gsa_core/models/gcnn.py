"""The group-equivariant convolutional network: what attention is compared with."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from gsa_core.groups import PointGroup
from gsa_core.models.network import Model
from gsa_core.models.transformer import Head, Standardise
from gsa_core.nn.embed import Trunk

__all__ = ["GroupConvNet"]


class GroupConvNet(Model):
    """A group-equivariant convolutional network: a `Trunk`, then the head of the transformer.

    Cohen & Welling (2016), https://arxiv.org/abs/1602.07576, with batch norm and residuals.

    Parameters
    ----------
    group
        The point group H; logits are invariant under its elements that keep the pixel grid.
    depth
        Number of group convolutions after the lifting one.
    in_channels, num_classes, channels, head_dropout, mean, std
        As in `build_model`.
    """

    def __init__(
        self,
        group: PointGroup,
        *,
        in_channels: int,
        num_classes: int,
        depth: int,
        channels: int,
        head_dropout: float,
        mean: float | Sequence[float],
        std: float | Sequence[float],
    ) -> None:
        super().__init__()
        self.group = group
        self.standardise = Standardise(mean, std, in_channels)
        self.trunk = Trunk(group, in_channels, channels, depth)
        self.head = Head(channels, num_classes, head_dropout)

    def layers(self) -> dict[str, nn.Module]:
        """The layers that are applied one after another, by name."""
        return {"standardise": self.standardise, "trunk": self.trunk, "head": self.head}

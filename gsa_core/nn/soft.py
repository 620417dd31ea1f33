"""Soft equivariance: a layer's tied weights mixed with free ones, from exact to plain.

``W = (1 - a) tied + a free`` with one number a a layer, its softness: at 0 the layer commutes with
the group, at 1 it is a plain layer of the same width, without ties between frames. Finzi et al.
(2021), https://arxiv.org/abs/2112.01388, add a free path to an equivariant one; here both are
linear, so that one mixed weight does the work of two paths at the cost of one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gsa_core.common.arguments import check_flag, check_number
from gsa_core.common.constants import WithConstants
from gsa_core.common.saved_properties import Identified
from gsa_core.groups import PointGroup

__all__ = ["FreeWeights", "TiedLayer", "soften"]


class TiedLayer(Identified, WithConstants):
    """A layer whose weights, of all pairs of frames, are made from one small bank."""

    group: PointGroup
    bias: Tensor | None
    free: FreeWeights | None

    def __init__(self) -> None:
        super().__init__()
        self.register_module("free", None)

    def expanded(self) -> Tensor:
        """The tied weights written out, ``(|H| out_channels, in_channels of all frames, ...)``."""
        raise NotImplementedError

    def mixed(self, tied: Tensor) -> tuple[Tensor, Tensor | None]:
        """Written-out weights and bias, mixed with the free ones where there are any."""
        bias = None if self.bias is None else self.bias.repeat(self.group.order)
        return (tied, bias) if self.free is None else self.free(tied, bias)


class FreeWeights(nn.Module):
    """Weights and biases of every frame, and how much they count.

    Parameters
    ----------
    weight, bias
        What they start as: the tied ones, so that a network begins equivariant.
    softness
        ``0 <= a <= 1``.
    learned
        Whether a is a parameter, kept within 0 and 1.
    """

    softness: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, softness: float, learned: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        amount = weight.new_tensor(softness)
        if learned:
            self.softness = nn.Parameter(amount)
        else:
            self.register_buffer("softness", amount)

    def extra_repr(self) -> str:
        """Whether softness is learned, for ``print``."""
        return f"learned={isinstance(self.softness, nn.Parameter)}"

    def forward(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Mix: exactly the given weights at 0, exactly the free ones at 1."""
        softness = self.softness.clamp(0, 1)
        if bias is not None and self.bias is not None:
            bias = torch.lerp(bias, self.bias, softness)
        return torch.lerp(weight, self.weight, softness), bias


@torch.no_grad()
def soften(module: nn.Module, softness: float, *, learned: bool = False) -> None:
    """Mix the tied weights of all group convolutions and group linear maps with free ones.

    Positions of attention, norms and linear maps that act on each frame alone stay tied. Called on
    a part of a network it softens that part; calling it again resets that part.

    Parameters
    ----------
    module
        A layer, or a network before training.
    softness
        From 0 (exact) to 1 (plain).
    learned
        Whether each layer learns its softness from there. Weight decay pulls it to 0.

    Raises
    ------
    ValueError
        No weights are tied: the group is trivial, or the module has no such layer.

    Examples
    --------
    >>> from gsa_core import GroupLinear, cyclic_group, equivariance_error
    >>> layer = GroupLinear(cyclic_group(4), 3, 5)
    >>> soften(layer, 0.5)
    >>> sum(p.numel() for p in layer.free.parameters())
    260
    """
    softness = check_number("softness", softness, "a number 0 <= a <= 1", low=0, high=1)
    check_flag("learned", learned)
    layers = [one for one in module.modules() if isinstance(one, TiedLayer) and one.group.order > 1]
    if not layers:
        raise ValueError(
            f"softness: got {softness:g} for a {type(module).__name__} that ties no weights; "
            "accepts group convolutions or group linear maps of a group that is not trivial"
        )
    for layer in layers:
        layer.free = None
        layer.free = FreeWeights(*layer.mixed(layer.expanded()), softness, learned)

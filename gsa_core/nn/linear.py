"""The group linear map: the 1x1 case of a group convolution."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.common.arguments import check_flag, check_whole
from gsa_core.common.factory import Device, placed
from gsa_core.groups import PointGroup, check_group
from gsa_core.nn.soft import TiedLayer

__all__ = ["GroupLinear", "gather", "initialise"]


class GroupLinear(TiedLayer):
    """Linear map over channels and frames that commutes with the group.

    ``y(h) = sum_h' W(h^-1 h') x(h') + b``, pointwise in space: a group convolution with a 1x1
    kernel. For the trivial group it is ``torch.nn.Linear``.

    Parameters
    ----------
    group
        The point group H.
    in_features, out_features
        Channels a frame.
    bias
        Whether to add one bias a channel, shared by the frames.
    device, dtype
        Of parameters and buffers, as in torch's own layers.

    Examples
    --------
    >>> from gsa_core import cyclic_group
    >>> GroupLinear(cyclic_group(4), 3, 5)(torch.zeros(2, 7, 4, 3)).shape
    torch.Size([2, 7, 4, 5])
    """

    relative: Tensor

    @placed
    def __init__(
        self,
        group: PointGroup,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_group(group)
        in_features = check_whole("in_features", in_features)
        out_features = check_whole("out_features", out_features)
        self.group = group
        self.weight = nn.Parameter(torch.empty(group.order, out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features)) if check_flag("bias", bias) else None
        initialise(self.weight, self.bias, fan_in=group.order * in_features)
        self.make_constants()

    def extra_repr(self) -> str:
        """What the layer is, for ``print``."""
        out_features, in_features = self.weight.shape[1:]
        return (
            f"group={self.group.name}, in_features={in_features}, out_features={out_features}, "
            f"bias={self.bias is not None}"
        )

    def identity(self) -> dict[str, Any]:
        """The group, whose product says which weight is met where."""
        return {"layer": "GroupLinear", "group": self.group.name}

    def constants(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Which weight a pair of frames takes."""
        return {"relative": self.group.relative}

    def forward(
        self, tokens: Float[Tensor, "*batch group inner"]
    ) -> Float[Tensor, "*batch group outer"]:
        """Map ``(..., |H|, in_features)`` to ``(..., |H|, out_features)``."""
        order, out_features, in_features = self.weight.shape
        if tokens.shape[-2:] != (order, in_features):
            raise ValueError(
                f"tokens: got {tuple(tokens.shape)}; accepts (..., {order}, {in_features})"
            )
        if order == 1:
            return functional.linear(tokens, self.weight[0], self.bias)
        if self.free is not None:
            free = functional.linear(tokens.flatten(-2), *self.mixed(self.expanded()))
            return free.unflatten(-1, (order, out_features))
        mixed = functional.linear(tokens.flatten(-2), self.expanded())
        mixed = mixed.unflatten(-1, (order, out_features))
        return mixed if self.bias is None else mixed + self.bias

    def expanded(self) -> Tensor:
        """The matrix from all frames to all frames, ``[(h o), (h' i)] = weight[h^-1 h', o, i]``."""
        order, out_features, in_features = self.weight.shape
        matrix = gather(self.weight, self.constant("relative", self.weight)).transpose(1, 2)
        return matrix.reshape(order * out_features, order * in_features)


def gather(bank: Tensor, index: Tensor) -> Tensor:
    """``bank[index]`` along the first axis, as an embedding: its backward is a fast sum."""
    rows = functional.embedding(index, bank.flatten(1))
    return rows.unflatten(-1, bank.shape[1:])


def initialise(weight: Tensor, bias: Tensor | None, fan_in: int) -> None:
    """Uniform in ``+-1 / sqrt(fan_in)``, as ``torch.nn.Linear``."""
    bound = 1 / math.sqrt(fan_in)
    nn.init.uniform_(weight, -bound, bound)
    if bias is not None:
        nn.init.uniform_(bias, -bound, bound)

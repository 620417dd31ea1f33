"""Group convolutions: lifting and group.

Cohen & Welling (2016), https://arxiv.org/abs/1602.07576, equations 10 and 11. The weights of all
frames are one small bank, turned and permuted by an index table, then one ordinary ``conv2d``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.common.arguments import (
    check_choice,
    check_flag,
    check_odd,
    check_shape,
    check_whole,
)
from gsa_core.common.axes import to_features, to_tokens
from gsa_core.common.derivatives import is_transformed
from gsa_core.common.factory import Device, placed
from gsa_core.groups import PointGroup, check_group
from gsa_core.nn.kernel_basis import KERNEL_BASES, basis_size, kernel_sampling, turned_kernels
from gsa_core.nn.linear import gather, initialise
from gsa_core.nn.soft import TiedLayer

__all__ = ["GroupConv2d", "LiftingConv2d"]


class LiftingConv2d(TiedLayer):
    """Convolution from images to group feature maps.

    ``F(x, h) = sum_y W(h^-1 (y - x)) f(y) + b``, with zeros outside the image ("same" size).
    Equivariant: ``Phi(L_s f) = L_s Phi(f)``, to rounding for the elements that keep the pixel
    grid. At other angles the layer is approximate.

    Parameters
    ----------
    group
        The point group H.
    in_channels, out_channels
        Channels of the image and channels a frame of the feature map.
    kernel_size
        Odd number of pixels.
    bias
        Whether to add one bias a channel, shared by the frames.
    basis
        What kernels at other angles are made from: ``"bilinear"`` samples their pixels;
        ``"gaussian"`` makes them from circular harmonics on Gaussian rings, with less error from
        5 pixels a side on.
    device, dtype
        Of parameters and buffers, as in torch's own layers.

    Examples
    --------
    >>> from gsa_core import cyclic_group
    >>> LiftingConv2d(cyclic_group(4), 1, 8, 3)(torch.zeros(2, 1, 9, 9)).shape
    torch.Size([2, 8, 4, 9, 9])
    """

    any_kernel = False  # "same" size asks for a middle
    sampling: Tensor

    @placed
    def __init__(
        self,
        group: PointGroup,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        basis: str = "bilinear",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        in_channels, out_channels, kernel_size = _checked_sizes(
            group, in_channels, out_channels, kernel_size, basis, self.any_kernel
        )
        self.group, self.kernel_size = group, kernel_size
        self.basis = basis
        weights = _weights(basis, kernel_size)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *weights))
        self.bias = nn.Parameter(torch.empty(out_channels)) if check_flag("bias", bias) else None
        initialise(self.weight, self.bias, fan_in=in_channels * math.prod(weights))
        self.make_constants()

    def extra_repr(self) -> str:
        """What the layer is, for ``print``."""
        return _described(self, self.weight.shape[1], self.weight.shape[0])

    def identity(self) -> dict[str, Any]:
        """The group, and whether kernels lie side by side or around every pixel."""
        kind = "PatchEmbedding" if self.any_kernel else "LiftingConv2d"
        return {"layer": kind, "group": self.group.name, **_named(self.basis)}

    def constants(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The kernel's turns."""
        return {"sampling": kernel_sampling(self.group, self.kernel_size, self.basis)}

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels group height width"]:
        """Map ``(batch, in, height, width)`` to ``(batch, out, |H|, height, width)``."""
        return self._respond(image, padding=(self.kernel_size // 2,) * 2, stride=1)

    def _respond(self, image: Tensor, padding: tuple[int, int], stride: int) -> Tensor:
        check_shape("image", image, "batch", self.weight.shape[1], "height", "width")
        bank = self.mixed(turned_kernels(self, self.weight, self.expanded))
        return _convolve(image, *bank, self.group.order, padding, stride)

    def expanded(self) -> Tensor:
        """The kernels of all frames, ``(|H| out, in, size, size)``."""
        sampling = self.constant("sampling", self.weight)
        turned = torch.einsum("huv,oiv->hoiu", sampling, self.weight.flatten(2))
        size = self.kernel_size
        return _channels_last(turned.reshape(-1, self.weight.shape[1], size, size))


class GroupConv2d(TiedLayer):
    """Convolution from group feature maps to group feature maps.

    ``F'(x, h) = sum_{y, h'} W(h^-1 (y - x), h^-1 h') F(y, h') + b``, zeros outside the image.
    Equivariant like `LiftingConv2d`.

    Parameters
    ----------
    group
        The point group H.
    in_channels, out_channels
        Channels a frame.
    kernel_size
        Odd number of pixels.
    bias
        Whether to add one bias a channel, shared by the frames.
    basis
        What kernels at other angles are made from: ``"bilinear"`` samples their pixels;
        ``"gaussian"`` makes them from circular harmonics on Gaussian rings, with less error from
        5 pixels a side on.
    device, dtype
        Of parameters and buffers, as in torch's own layers.

    Examples
    --------
    >>> from gsa_core import dihedral_group
    >>> GroupConv2d(dihedral_group(4), 2, 3, 3)(torch.zeros(1, 2, 8, 6, 6)).shape
    torch.Size([1, 3, 8, 6, 6])
    """

    relative: Tensor

    @placed
    def __init__(
        self,
        group: PointGroup,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        basis: str = "bilinear",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        in_channels, out_channels, kernel_size = _checked_sizes(
            group, in_channels, out_channels, kernel_size, basis
        )
        self.group, self.kernel_size = group, kernel_size
        self.basis = basis
        weights = _weights(basis, kernel_size)
        self.weight = nn.Parameter(torch.empty(group.order, out_channels, in_channels, *weights))
        self.bias = nn.Parameter(torch.empty(out_channels)) if check_flag("bias", bias) else None
        initialise(self.weight, self.bias, fan_in=group.order * in_channels * math.prod(weights))
        self.make_constants()

    def extra_repr(self) -> str:
        """What the layer is, for ``print``."""
        return _described(self, self.weight.shape[2], self.weight.shape[1])

    def identity(self) -> dict[str, Any]:
        """The group, whose action turns the kernels and permutes them."""
        return {"layer": "GroupConv2d", "group": self.group.name, **_named(self.basis)}

    def constants(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The kernel's turns, and which kernel a pair of frames takes."""
        sampling = kernel_sampling(self.group, self.kernel_size, self.basis)
        return {"relative": self.group.relative, "sampling": sampling}

    def forward(
        self, features: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch out_channels group height width"]:
        """Map ``(batch, in, |H|, height, width)`` to ``(batch, out, |H|, height, width)``."""
        order, inner, margin = self.group.order, self.weight.shape[2], self.kernel_size // 2
        check_shape("features", features, "batch", inner, order, "height", "width")
        bank = self.mixed(turned_kernels(self, self.weight, self.expanded))
        stacked = to_tokens(features).flatten(3).permute(0, 3, 1, 2)  # channels are (h', i)
        return _convolve(stacked, *bank, order, (margin, margin))

    def expanded(self) -> Tensor:
        """The kernels of all pairs of frames, ``(|H| out, |H| in, size, size)``."""
        order, size = self.group.order, self.kernel_size
        relative = self.constant("relative", self.weight)
        permuted = gather(self.weight, relative).flatten(4)  # (h, h', o, i, v)
        turned = torch.einsum("huv,hgoiv->hogiu", self.constant("sampling", self.weight), permuted)
        return _channels_last(turned.reshape(order * self.weight.shape[1], -1, size, size))


def _described(layer: LiftingConv2d | GroupConv2d, in_channels: int, out_channels: int) -> str:
    return (
        f"group={layer.group.name}, in_channels={in_channels}, out_channels={out_channels}, "
        f"kernel_size={layer.kernel_size}, bias={layer.bias is not None}, basis={layer.basis}"
    )


def _weights(basis: str, size: int) -> tuple[int, ...]:
    """Shape of the weights of one kernel."""
    return (size, size) if basis == "bilinear" else (basis_size(basis, size),)


def _named(basis: str) -> dict[str, str]:
    """The basis as a saved property; weights of earlier versions are pixels and have none."""
    return {} if basis == "bilinear" else {"basis": basis}


def _channels_last(bank: Tensor) -> Tensor:
    if is_transformed():  # vmap has no rule for memory formats
        return bank
    # `contiguous` leaves the strides of a bank of one channel, and torch then takes the slow
    # layout for the response and for the pooling after it.
    copy = bank.clone if bank.shape[1] == 1 else bank.contiguous
    return copy(memory_format=torch.channels_last)


def _convolve(
    image: Tensor,
    bank: Tensor,
    bias: Tensor | None,
    order: int,
    padding: tuple[int, int],
    stride: int = 1,
) -> Tensor:
    """``conv2d`` whose output channels are (frame, channel), as a feature map."""
    response = functional.conv2d(image, bank, bias, stride=stride, padding=padding)
    return to_features(response.permute(0, 2, 3, 1).unflatten(3, (order, -1)))


def _checked_sizes(
    group: PointGroup,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    basis: str,
    any_kernel: bool = False,
) -> tuple[int, int, int]:
    check_group(group)
    check_choice("basis", basis, KERNEL_BASES)
    return (
        check_whole("in_channels", in_channels),
        check_whole("out_channels", out_channels),
        check_whole("patch_size", kernel_size)
        if any_kernel
        else check_odd("kernel_size", kernel_size),
    )

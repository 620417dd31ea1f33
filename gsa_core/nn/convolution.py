"""Group convolutions: lifting and group.

Cohen & Welling (2016), https://arxiv.org/abs/1602.07576, equations 10 and 11. The weights of all
frames are one small bank, turned and permuted by an index table, then one ordinary ``conv2d``.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.common.arguments import check_flag, check_odd, check_shape, check_whole
from gsa_core.common.axes import to_features, to_tokens
from gsa_core.common.constants import WithConstants
from gsa_core.common.derivatives import is_transformed
from gsa_core.common.factory import Device, placed
from gsa_core.common.saved_properties import Identified
from gsa_core.groups import PointGroup, check_group
from gsa_core.nn.linear import gather, initialise

__all__ = ["GroupConv2d", "LiftingConv2d"]


class LiftingConv2d(Identified, WithConstants):
    """Convolution from images to group feature maps.

    ``F(x, h) = sum_y W(h^-1 (y - x)) f(y) + b``, with zeros outside the image ("same" size).
    Equivariant: ``Phi(L_s f) = L_s Phi(f)``, to rounding for the elements that keep the pixel
    grid. Kernels at other angles are sampled bilinearly: approximate.

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
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        in_channels, out_channels, kernel_size = _checked_sizes(
            group, in_channels, out_channels, kernel_size, self.any_kernel
        )
        self.group, self.kernel_size = group, kernel_size
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if check_flag("bias", bias) else None
        initialise(self.weight, self.bias, fan_in=in_channels * kernel_size**2)
        self.make_constants()

    def identity(self) -> dict[str, Any]:
        """The group, and whether kernels lie side by side or around every pixel."""
        kind = "PatchEmbedding" if self.any_kernel else "LiftingConv2d"
        return {"layer": kind, "group": self.group.name}

    def constants(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The kernel's turns."""
        return {"sampling": _kernel_sampling(self.group, self.kernel_size)}

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels group height width"]:
        """Map ``(batch, in, height, width)`` to ``(batch, out, |H|, height, width)``."""
        return self._respond(image, padding=(self.kernel_size // 2,) * 2, stride=1)

    def _respond(self, image: Tensor, padding: tuple[int, int], stride: int) -> Tensor:
        check_shape("image", image, "batch", self.weight.shape[1], "height", "width")
        turned = torch.einsum(
            "huv,oiv->hoiu", self.constant("sampling", self.weight), self.weight.flatten(2)
        )
        bank = turned.reshape(-1, *self.weight.shape[1:])
        return _convolve(image, bank, self.bias, self.group.order, padding, stride)


class GroupConv2d(Identified, WithConstants):
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
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        in_channels, out_channels, kernel_size = _checked_sizes(
            group, in_channels, out_channels, kernel_size
        )
        self.group = group
        self.weight = nn.Parameter(
            torch.empty(group.order, out_channels, in_channels, kernel_size, kernel_size)
        )
        self.bias = nn.Parameter(torch.empty(out_channels)) if check_flag("bias", bias) else None
        initialise(self.weight, self.bias, fan_in=group.order * in_channels * kernel_size**2)
        self.make_constants()

    def identity(self) -> dict[str, Any]:
        """The group, whose action turns the kernels and permutes them."""
        return {"layer": "GroupConv2d", "group": self.group.name}

    def constants(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The kernel's turns, and which kernel a pair of frames takes."""
        sampling = _kernel_sampling(self.group, self.weight.shape[-1])
        return {"relative": self.group.relative, "sampling": sampling}

    def forward(
        self, features: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch out_channels group height width"]:
        """Map ``(batch, in, |H|, height, width)`` to ``(batch, out, |H|, height, width)``."""
        order, inner, size = self.group.order, self.weight.shape[2], self.weight.shape[-1]
        check_shape("features", features, "batch", inner, order, "height", "width")
        relative = self.constant("relative", self.weight)
        permuted = gather(self.weight, relative).flatten(4)  # (h, h', o, i, v)
        turned = torch.einsum("huv,hgoiv->hogiu", self.constant("sampling", self.weight), permuted)
        bank = turned.reshape(order * self.weight.shape[1], -1, size, size)
        stacked = to_tokens(features).flatten(3).permute(0, 3, 1, 2)  # channels are (h', i)
        return _convolve(stacked, bank, self.bias, order, (size // 2, size // 2))


def _convolve(
    image: Tensor,
    bank: Tensor,
    bias: Tensor | None,
    order: int,
    padding: tuple[int, int],
    stride: int = 1,
) -> Tensor:
    """``conv2d`` whose output channels are (frame, channel), as a feature map."""
    if not is_transformed():  # vmap has no rule for memory formats
        # `contiguous` leaves the strides of a bank of one channel, and torch then takes the slow
        # layout for the response and for the pooling after it.
        copy = bank.clone if bank.shape[1] == 1 else bank.contiguous
        bank = copy(memory_format=torch.channels_last)
    bias = None if bias is None else bias.repeat(order)
    response = functional.conv2d(image, bank, bias, stride=stride, padding=padding)
    return to_features(response.permute(0, 2, 3, 1).unflatten(3, (order, -1)))


def _checked_sizes(
    group: PointGroup,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    any_kernel: bool = False,
) -> tuple[int, int, int]:
    check_group(group)
    return (
        check_whole("in_channels", in_channels),
        check_whole("out_channels", out_channels),
        check_whole("patch_size", kernel_size)
        if any_kernel
        else check_odd("kernel_size", kernel_size),
    )


def _kernel_sampling(group: PointGroup, size: int) -> Float[Tensor, "group out inner"]:
    """``sampling[h] @ kernel`` is the kernel turned by h: its value at ``h^-1 u``, bilinear.

    For elements that keep the grid it is a permutation matrix.
    """
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    grid = torch.cartesian_prod(axis, axis)  # (size^2, 2), rows first
    wanted = torch.einsum("hab,ub->hua", group.matrices[group.inverse], grid)
    # Rounded so that what is equal by symmetry is equal to the last bit in float32 too.
    return (1 - (wanted[:, :, None] - grid).abs()).clamp(min=0).prod(-1).round(decimals=10)

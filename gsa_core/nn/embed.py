"""From images to tokens: pixels, patches, convolutions. All but pixels lift to every frame.

Each class says whether it lifts (``lifts``) and how many tokens an image gives (``token_grid``).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.common.arguments import check_choice, check_shape, check_whole
from gsa_core.common.axes import to_features, to_tokens
from gsa_core.common.factory import Device, placed
from gsa_core.common.saved_properties import Identified
from gsa_core.groups import PointGroup
from gsa_core.nn.convolution import GroupConv2d, LiftingConv2d
from gsa_core.nn.norm import BatchNorm
from gsa_core.nn.pool import SymmetricMaxPool2d

__all__ = ["TOKENS", "PatchEmbedding", "PixelEmbedding", "Stem", "Trunk", "make_tokens"]

TOKENS = ("pixel", "patch", "stem", "trunk")


class PixelEmbedding(nn.Module):
    """One token a pixel: a linear map of its channels, ``(b, in, h, w)`` to ``(b, c, h, w)``."""

    lifts = False

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        in_channels = check_whole("in_channels", in_channels)
        self.linear = nn.Linear(in_channels, check_whole("channels", channels))

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels height width"]:
        """Map every pixel by the same linear map."""
        check_shape("image", image, "batch", self.linear.in_features, "height", "width")
        return to_features(self.linear(to_tokens(image.unsqueeze(2)))).squeeze(2)

    @staticmethod
    def token_grid(image_size: tuple[int, int]) -> tuple[int, int]:
        """Tokens along height and width."""
        return image_size

    @staticmethod
    def token_mask(mask: Tensor) -> Tensor:
        """Which tokens have a pixel of the image."""
        return mask


class PatchEmbedding(LiftingConv2d):
    """One token a patch and frame: a lifting convolution whose stride is the patch size.

    ``F(X, h) = sum_u W(h^-1 (u - X)) f(u) + b`` over the patch around X; the kernel is turned, not
    only the grid of patches. Equivariant, to rounding for the elements that keep the pixel grid,
    where patches tile the image symmetrically: sides that are multiples of the patch size, or
    become so by as many zeros on either side. Other sides are an error.

    Parameters
    ----------
    group
        The point group H.
    in_channels, channels
        Channels of the image, and of a token in a frame.
    patch_size
        Pixels a side, odd or even.
    device, dtype
        Of parameters and buffers, as in torch's own layers.

    Examples
    --------
    >>> import torch
    >>> from gsa_core import cyclic_group
    >>> PatchEmbedding(cyclic_group(4), 1, 8, 4)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 8, 4, 7, 7])
    """

    lifts = True
    any_kernel = True

    @placed
    def __init__(
        self,
        group: PointGroup,
        in_channels: int,
        channels: int,
        patch_size: int,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(group, in_channels, channels, patch_size)

    def token_grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Tokens along height and width."""
        rows, cols = (
            (side + 2 * margin) // self.kernel_size
            for side, margin in zip(image_size, self._margins(image_size), strict=True)
        )
        return rows, cols

    def token_mask(self, mask: Tensor) -> Tensor:
        """Which tokens have a pixel of the image."""
        rows, cols = self._margins((mask.shape[1], mask.shape[2]))
        pixels = functional.pad(mask.float(), (cols, cols, rows, rows)).unsqueeze(1)
        return functional.max_pool2d(pixels, self.kernel_size).squeeze(1) > 0

    def _margins(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Zeros before and after each side, so that patches tile it."""
        rows, cols = (-side % self.kernel_size for side in image_size)
        if rows % 2 or cols % 2:
            height, width = image_size
            raise ValueError(
                f"patch_size: got {self.kernel_size} for an image of {height}x{width}, which such "
                "patches do not tile symmetrically; accepts a size that divides each side, or "
                "divides it after the same number of zeros on either side"
            )
        return rows // 2, cols // 2

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels group rows cols"]:
        """Map ``(batch, in, height, width)`` to tokens in every frame."""
        margins = self._margins((image.shape[2], image.shape[3]))
        return self._respond(image, padding=margins, stride=self.kernel_size)


class Stage(nn.Module):
    """A convolution, perhaps a `SymmetricMaxPool2d`, batch norm and GELU, in this order.

    What is pooled before it is normed is normed on a quarter of the pixels.
    """

    def __init__(self, convolution: nn.Module, channels: int, *, pool: bool) -> None:
        super().__init__()
        self.convolution = convolution
        self.pool = SymmetricMaxPool2d() if pool else nn.Identity()
        self.norm = BatchNorm(channels)

    def forward(self, x: Tensor) -> Float[Tensor, "batch out_channels group height_ width_"]:
        """Map an image or a feature map to a feature map, on half the grid where it pools."""
        return functional.gelu(self.norm(self.pool(self.convolution(x))))


class Stem(Identified):
    """Convolutional tokens that keep their orientation, on a half or a quarter of the grid.

    A 3x3 lifting convolution and 3x3 group convolutions, one for each halving of the grid; the
    halving is that of `SymmetricMaxPool2d`, which takes every size, odd or even: a side of n pixels
    becomes ``ceil(n / 2)``. Borders are padded with zeros, so position leaks in from them even
    where no encoding is given.

    Parameters
    ----------
    group
        The point group H.
    in_channels, channels
        Channels of the image, and of a token in a frame.
    patch_size
        Pixels of the image to a token along each side: 2, 4, 8, ...
    device, dtype
        Of parameters and buffers, as in torch's own layers.

    Examples
    --------
    >>> import torch
    >>> from gsa_core import cyclic_group
    >>> Stem(cyclic_group(4), 1, 8)(torch.zeros(2, 1, 9, 9)).shape
    torch.Size([2, 8, 4, 5, 5])
    """

    lifts = True

    @placed
    def __init__(
        self,
        group: PointGroup,
        in_channels: int,
        channels: int,
        patch_size: int = 2,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        channels = check_whole("channels", channels)
        patch_size = check_whole("patch_size", patch_size)
        self.halvings = patch_size.bit_length() - 1
        if self.halvings < 1 or patch_size != 2**self.halvings:
            raise ValueError(f"patch_size: got {patch_size} for a stem; accepts 2, 4, 8, ...")
        stages = [
            Stage(LiftingConv2d(group, in_channels, channels, 3, bias=False), channels, pool=True)
        ]
        for i in range(self.halvings):
            mix = GroupConv2d(group, channels, channels, 3, bias=False)
            stages.append(Stage(mix, channels, pool=i + 1 < self.halvings))
        self.stages = nn.Sequential(*stages)

    def identity(self) -> dict[str, Any]:
        """How often the grid is halved."""
        return {"patch_size": 2**self.halvings}

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels group height_ width_"]:
        """Map ``(batch, in, height, width)`` to tokens in every frame."""
        return self.stages(image)

    def token_grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Tokens along height and width."""
        return _halved(image_size, self.halvings)


class Trunk(Identified):
    """A small group-convolutional network: deeper tokens that keep their orientation.

    A 3x3 lifting convolution, `depth` 3x3 group convolutions with a residual around each, batch
    norm and GELU after all of them, and a `SymmetricMaxPool2d` in the first stage and in the
    middle: tokens on a quarter of the grid, ``ceil(ceil(n / 2) / 2)`` along a side of n pixels.

    Parameters
    ----------
    group, in_channels, channels
        As in `Stem`.
    depth
        Number of group convolutions.
    """

    lifts = True

    def __init__(self, group: PointGroup, in_channels: int, channels: int, depth: int) -> None:
        super().__init__()
        channels = check_whole("channels", channels)
        depth = check_whole("depth", depth)
        lift = LiftingConv2d(group, in_channels, channels, 3, bias=False)
        self.lift = Stage(lift, channels, pool=True)
        self.pool = SymmetricMaxPool2d()
        self.stages = nn.ModuleList(
            Stage(GroupConv2d(group, channels, channels, 3, bias=False), channels, pool=False)
            for _ in range(depth)
        )

    def identity(self) -> dict[str, Any]:
        """How many convolutions there are: the grid is halved in their middle."""
        return {"depth": len(self.stages)}

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels group height_ width_"]:
        """Map ``(batch, in, height, width)`` to tokens on a quarter of the rows, in frames."""
        x = self.lift(image)
        for i, stage in enumerate(self.stages):
            if i == len(self.stages) // 2:
                x = self.pool(x)
            x = x + stage(x)
        return x

    @staticmethod
    def token_grid(image_size: tuple[int, int]) -> tuple[int, int]:
        """Tokens along height and width."""
        return _halved(image_size, 2)


def _halved(image_size: tuple[int, int], times: int) -> tuple[int, int]:
    """Sides after so many symmetric poolings."""
    rows, cols = (-(-side // 2**times) for side in image_size)
    return rows, cols


def make_tokens(
    tokens: str,
    group: PointGroup,
    in_channels: int,
    channels: int,
    *,
    patch_size: int | None = None,
    depth: int = 2,
) -> PixelEmbedding | PatchEmbedding | Stem | Trunk:
    """Build the tokens of that name."""
    check_choice("tokens", tokens, TOKENS)
    if patch_size is not None and tokens not in ("patch", "stem"):
        raise ValueError(
            f"patch_size: got {patch_size!r} with tokens {tokens!r}, whose size is fixed; accepts "
            "it with tokens 'patch' or 'stem'"
        )
    if tokens == "pixel":
        return PixelEmbedding(in_channels, channels)
    if tokens == "patch":
        return PatchEmbedding(group, in_channels, channels, 4 if patch_size is None else patch_size)
    if tokens == "stem":
        return Stem(group, in_channels, channels, 2 if patch_size is None else patch_size)
    return Trunk(group, in_channels, channels, depth)

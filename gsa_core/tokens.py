"""From images to tokens: pixels, patches, convolutions. All but pixels lift to every frame.

Each class says whether it lifts (``lifts``) and how many tokens an image gives (``token_grid``).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.convolution import GroupConv2d, LiftingConv2d
from gsa_core.groups import PointGroup
from gsa_core.layers import BatchNorm, SymmetricMaxPool2d
from gsa_core.layout import to_features, to_tokens

__all__ = ["TOKENS", "PatchEmbedding", "PixelEmbedding", "Stem", "Trunk", "make_tokens"]

TOKENS = ("pixel", "patch", "stem", "trunk")


class PixelEmbedding(nn.Module):
    """One token a pixel: a linear map of its channels, ``(b, in, h, w)`` to ``(b, c, h, w)``."""

    lifts = False

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, channels)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels height width"]:
        """Map every pixel by the same linear map."""
        return to_features(self.linear(to_tokens(image.unsqueeze(2)))).squeeze(2)

    @staticmethod
    def token_grid(image_size: tuple[int, int]) -> tuple[int, int]:
        """Tokens along height and width."""
        return image_size


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

    Examples
    --------
    >>> import torch
    >>> from gsa_core import cyclic_group
    >>> PatchEmbedding(cyclic_group(4), 1, 8, 4)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 8, 4, 7, 7])
    """

    lifts = True
    any_kernel = True

    def __init__(self, group: PointGroup, in_channels: int, channels: int, patch_size: int) -> None:
        super().__init__(group, in_channels, channels, patch_size)

    def token_grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Tokens along height and width."""
        rows, cols = (
            (side + 2 * margin) // self.kernel_size
            for side, margin in zip(image_size, self._margins(image_size), strict=True)
        )
        return rows, cols

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


class Stem(nn.Module):
    """Convolutional tokens that keep their orientation.

    A 3x3 lifting convolution, a `SymmetricMaxPool2d` and a 3x3 group convolution, with batch norm
    and GELU after each convolution: tokens on half the grid, in every frame. Borders are padded
    with zeros, so position leaks in from them even where no encoding is given.

    Parameters
    ----------
    group
        The point group H.
    in_channels, channels
        Channels of the image, and of a token in a frame.
    """

    lifts = True

    def __init__(self, group: PointGroup, in_channels: int, channels: int) -> None:
        super().__init__()
        self.lift = LiftingConv2d(group, in_channels, channels, 3, bias=False)
        self.norm_lift = BatchNorm(channels)
        self.pool = SymmetricMaxPool2d()
        self.mix = GroupConv2d(group, channels, channels, 3, bias=False)
        self.norm_mix = BatchNorm(channels)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels group height_ width_"]:
        """Map ``(batch, in, height, width)`` to tokens on ``ceil(height / 2)`` rows, in frames."""
        lifted = self.pool(functional.gelu(self.norm_lift(self.lift(image))))
        return functional.gelu(self.norm_mix(self.mix(lifted)))

    @staticmethod
    def token_grid(image_size: tuple[int, int]) -> tuple[int, int]:
        """Tokens along height and width."""
        return (image_size[0] + 1) // 2, (image_size[1] + 1) // 2


class Trunk(nn.Module):
    """A small group-convolutional network: deeper tokens that keep their orientation.

    A 3x3 lifting convolution, `depth` 3x3 group convolutions with a residual around each, batch
    norm and GELU after all of them, and a `SymmetricMaxPool2d` after the first and in the middle:
    tokens on a quarter of the grid.

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
        self.lift = LiftingConv2d(group, in_channels, channels, 3, bias=False)
        self.norm_lift = BatchNorm(channels)
        self.pool = SymmetricMaxPool2d()
        self.convolutions = nn.ModuleList(
            GroupConv2d(group, channels, channels, 3, bias=False) for _ in range(depth)
        )
        self.norms = nn.ModuleList(BatchNorm(channels) for _ in range(depth))

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels group height_ width_"]:
        """Map ``(batch, in, height, width)`` to tokens on a quarter of the rows, in frames."""
        x = self.pool(functional.gelu(self.norm_lift(self.lift(image))))
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            if i == len(self.convolutions) // 2:
                x = self.pool(x)
            x = x + functional.gelu(norm(convolution(x)))
        return x

    @staticmethod
    def token_grid(image_size: tuple[int, int]) -> tuple[int, int]:
        """Tokens along height and width."""
        return (image_size[0] + 3) // 4, (image_size[1] + 3) // 4


def make_tokens(
    tokens: str,
    group: PointGroup,
    in_channels: int,
    channels: int,
    *,
    patch_size: int = 4,
    depth: int = 2,
) -> PixelEmbedding | PatchEmbedding | Stem | Trunk:
    """Build the tokens of that name."""
    if tokens == "pixel":
        return PixelEmbedding(in_channels, channels)
    if tokens == "patch":
        return PatchEmbedding(group, in_channels, channels, patch_size)
    if tokens == "stem":
        return Stem(group, in_channels, channels)
    if tokens == "trunk":
        return Trunk(group, in_channels, channels, depth)
    raise ValueError(f"tokens: got {tokens!r}; accepts {', '.join(map(repr, TOKENS))}")

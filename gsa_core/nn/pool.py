"""Pooling: over pixels symmetrically, over the group, and over both.

All commute with the action of the group on feature maps
``(batch, channels, |H|, height, width)``.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.common.arguments import check_choice, check_shape
from gsa_core.common.axes import to_features, to_tokens
from gsa_core.common.saved_properties import Identified

__all__ = ["GlobalPool", "GroupPool", "SymmetricMaxPool2d"]


class SymmetricMaxPool2d(nn.Module):
    """Halves the grid by a maximum, about the image centre at even and odd sizes.

    An even side n is cut into n / 2 pairs; an odd side keeps every second pixel, the outermost
    among them, as the maximum over three ((n + 1) / 2 of them): the central pixel is one of these
    where n is 1 mod 4, and lies between two of them where n is 3 mod 4. Each side follows its own
    parity, so quarter turns and mirrors commute with it.

    Examples
    --------
    >>> import torch
    >>> pool = SymmetricMaxPool2d()
    >>> [tuple(pool(torch.rand(1, 1, 4, side, side)).shape[-2:]) for side in (8, 9)]
    [(4, 4), (5, 5)]
    """

    def forward(
        self, features: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch channels group height_ width_"]:
        """Map ``(batch, channels, |H|, height, width)`` to about half the height and width."""
        check_shape("features", features, "batch", "channels", "|H|", "height", "width")
        odd = [size % 2 for size in features.shape[-2:]]
        kernel = [2 + side for side in odd]
        pooled = functional.max_pool2d(
            to_tokens(features).flatten(3).permute(0, 3, 1, 2), kernel, stride=2, padding=odd
        )
        tokens = pooled.permute(0, 2, 3, 1).unflatten(3, (features.shape[2], -1))
        return to_features(tokens)


class GroupPool(Identified):
    """Mean or maximum over the frames: from the regular representation to images.

    The result turns with the input and no longer says in which frame a feature was seen.

    Examples
    --------
    >>> import torch
    >>> GroupPool("max")(torch.rand(2, 16, 4, 9, 9)).shape
    torch.Size([2, 16, 9, 9])
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        check_choice("reduction", reduction, ("mean", "max"))
        self.reduction = reduction

    def extra_repr(self) -> str:
        """What is taken, for ``print``."""
        return f"reduction={self.reduction}"

    def identity(self) -> dict[str, Any]:
        """What is taken over the frames."""
        return {"reduction": self.reduction}

    def forward(
        self, features: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Map ``(batch, channels, |H|, height, width)`` to ``(batch, channels, height, width)``."""
        check_shape("features", features, "batch", "channels", "|H|", "height", "width")
        return features.mean(2) if self.reduction == "mean" else features.amax(2)


class GlobalPool(nn.Module):
    """Mean over all positions: ``(batch, channels, height, width)`` to ``(batch, channels)``.

    Examples
    --------
    >>> import torch
    >>> GlobalPool()(torch.rand(2, 16, 9, 9)).shape
    torch.Size([2, 16])
    """

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels"]:
        """Average over height and width; invariant under every permutation of the pixels."""
        check_shape("image", image, "batch", "channels", "height", "width")
        return image.mean((-2, -1))

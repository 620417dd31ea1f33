"""Normalisation that commutes with the group: of channels, and of batches over the group axis.

All commute with the action of the group on feature maps
``(batch, channels, |H|, height, width)``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsa_core.common.arguments import check_shape, check_whole
from gsa_core.common.axes import to_features, to_tokens
from gsa_core.common.factory import Device, placed

__all__ = ["BatchNorm", "ChannelNorm"]


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each token, scale and shift shared by all tokens.

    Pointwise in space and frames, hence equivariant under every permutation of either.

    Examples
    --------
    >>> import torch
    >>> norm = ChannelNorm(16)
    >>> norm(torch.rand(2, 16, 4, 9, 9)).shape
    torch.Size([2, 16, 4, 9, 9])
    """

    @placed
    def __init__(
        self,
        channels: int,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.channels = channels = check_whole("channels", channels)
        self.norm = nn.LayerNorm(channels)

    def forward(
        self, features: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch channels group height width"]:
        """Normalise ``(batch, channels, |H|, height, width)``, shape kept."""
        check_shape("features", features, "batch", self.channels, "|H|", "height", "width")
        return to_features(self.norm(to_tokens(features)))


class BatchNorm(nn.Module):
    """Batch norm of each channel over images, frames and positions.

    Statistics, scale and shift are shared by all frames and positions: equivariant in training
    and in evaluation.

    Examples
    --------
    >>> import torch
    >>> BatchNorm(16)(torch.rand(2, 16, 4, 9, 9)).shape
    torch.Size([2, 16, 4, 9, 9])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(check_whole("channels", channels))

    def forward(
        self, features: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch channels group height width"]:
        """Normalise ``(batch, channels, |H|, height, width)``, shape kept."""
        check_shape("features", features, "batch", self.norm.num_features, "|H|", "height", "width")
        return self.norm(features.permute(0, 1, 3, 4, 2)).permute(0, 1, 4, 2, 3)

"""Everything between attention layers: norm, pooling, feed-forward, block.

All of them commute with the action of the group on feature maps
``(batch, channels, |H|, height, width)``.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.checks import check_choice, check_number, check_shape, check_whole
from gsa_core.factory import Device, placed
from gsa_core.identity import Identified
from gsa_core.layout import to_features, to_tokens

__all__ = [
    "BatchNorm",
    "Block",
    "ChannelNorm",
    "FeedForward",
    "GlobalPool",
    "GroupPool",
    "SymmetricMaxPool2d",
]


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


class FeedForward(nn.Module):
    """Two linear maps with a GELU between, on each token alone.

    Parameters
    ----------
    channels
        Channels a frame.
    ratio
        Hidden width over `channels`, rounded to a whole number of channels.
    device, dtype
        Of parameters and buffers, as in torch's own layers.

    Examples
    --------
    >>> import torch
    >>> layer = FeedForward(16, ratio=4)
    >>> layer(torch.rand(2, 16, 4, 9, 9)).shape
    torch.Size([2, 16, 4, 9, 9])
    """

    @placed
    def __init__(
        self,
        channels: int,
        ratio: float = 2,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        channels = check_whole("channels", channels)
        ratio = check_number("ratio", ratio, "a number above 0", low=1e-9, high=1e9)
        self.channels = channels
        hidden = max(1, round(ratio * channels))
        self.expand = nn.Linear(channels, hidden)
        self.contract = nn.Linear(hidden, channels)

    def forward(
        self, features: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch channels group height width"]:
        """Map ``(batch, channels, |H|, height, width)``, shape kept."""
        check_shape("features", features, "batch", self.channels, "|H|", "height", "width")
        hidden = functional.gelu(self.expand(to_tokens(features)))
        return to_features(self.contract(hidden))


class Block(nn.Module):
    """Pre-norm transformer block around any attention layer that keeps the channels.

    ``x + drop(attention(norm(x)))``, then ``x + drop(feed_forward(norm(x)))``. An image is lifted:
    its tokens are repeated in every frame of the residual stream.

    Parameters
    ----------
    attention
        A `LiftingSelfAttention` or `GroupSelfAttention` with `channels` in and out.
    channels
        Channels a frame.
    feedforward_ratio
        Hidden width of the feed-forward layer over `channels`.
    dropout
        Probability of dropping a whole channel of a branch: shared by positions and frames, so
        that the block is equivariant in training too.
    device, dtype
        Of parameters and buffers, as in torch's own layers.

    Examples
    --------
    >>> import torch
    >>> from gsa_core import GroupSelfAttention, assert_equivariant, cyclic_group
    >>> attention = GroupSelfAttention(cyclic_group(4), 16, 16, num_heads=2, window=3)
    >>> block = Block(attention, 16).double().eval()
    >>> features = torch.rand(2, 16, 4, 9, 9, dtype=torch.float64)
    >>> assert_equivariant(block, features, cyclic_group(4))
    """

    @placed
    def __init__(
        self,
        attention: nn.Module,
        channels: int,
        *,
        feedforward_ratio: float = 2,
        dropout: float = 0.0,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_number("feedforward_ratio", feedforward_ratio, "a number above 0", low=1e-9, high=1e9)
        dropout = check_number("dropout", dropout, "a number 0 <= p < 1", low=0, high=1 - 1e-9)
        self.norm_attention = ChannelNorm(channels)
        self.attention = attention
        self.norm_feedforward = ChannelNorm(channels)
        self.feedforward = FeedForward(channels, feedforward_ratio)
        self.dropout = nn.Dropout3d(dropout)

    def forward(self, x: Tensor) -> Float[Tensor, "batch channels group height width"]:
        """Map an image or a feature map to a feature map."""
        if x.ndim == 4:
            x = x.unsqueeze(2)
            attended = self.attention(self.norm_attention(x).squeeze(2))
        else:
            attended = self.attention(self.norm_attention(x))
        x = x + self.dropout(attended)
        return x + self.dropout(self.feedforward(self.norm_feedforward(x)))


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

"""The pre-norm block of a transformer over a group, and its feed-forward network.

All commute with the action of the group on feature maps
``(batch, channels, |H|, height, width)``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.common.arguments import check_number, check_shape, check_whole
from gsa_core.common.axes import to_features, to_tokens
from gsa_core.common.factory import Device, placed
from gsa_core.nn.norm import ChannelNorm

__all__ = ["Block", "FeedForward"]


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
    drop_path
        Probability of dropping a whole branch of an image in training (stochastic depth).
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
        drop_path: float = 0.0,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_number("feedforward_ratio", feedforward_ratio, "a number above 0", low=1e-9, high=1e9)
        dropout = check_number("dropout", dropout, "a number 0 <= p < 1", low=0, high=1 - 1e-9)
        self.drop_path = check_number(
            "drop_path", drop_path, "a number 0 <= p < 1", low=0, high=1 - 1e-9
        )
        self.norm_attention = ChannelNorm(channels)
        self.attention = attention
        self.norm_feedforward = ChannelNorm(channels)
        self.feedforward = FeedForward(channels, feedforward_ratio)
        self.dropout = nn.Dropout3d(dropout)

    def extra_repr(self) -> str:
        """What is dropped, for ``print``."""
        return f"drop_path={self.drop_path}" if self.drop_path else ""

    def forward(
        self, x: Tensor, mask: Tensor | None = None
    ) -> Float[Tensor, "batch channels group height width"]:
        """Map an image or a feature map to a feature map; a mask is that of attention."""
        seen = () if mask is None else (mask,)
        normed = self.norm_attention(x if x.ndim == 5 else x.unsqueeze(2))
        attended = self.attention(normed if x.ndim == 5 else normed.squeeze(2), *seen)
        x = (x if x.ndim == 5 else x.unsqueeze(2)) + self._branch(attended)
        return x + self._branch(self.feedforward(self.norm_feedforward(x)))

    def _branch(self, x: Tensor) -> Tensor:
        """A residual branch with what is dropped of it in training."""
        x = self.dropout(x)
        if not self.training or self.drop_path == 0:
            return x
        keep = torch.rand(len(x), 1, 1, 1, 1, device=x.device) >= self.drop_path
        return x * keep.to(x.dtype) / (1 - self.drop_path)

"""The group transformer: tokens, (positions,) attention blocks, invariant head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.attention.encodings.registry import (
    ENCODINGS,
    POSITIONAL,
    Setting,
    check_positional,
    make_encoding,
)
from gsa_core.attention.layers import GroupSelfAttention, LiftingSelfAttention
from gsa_core.common.arguments import (
    check_choice,
    check_number,
    check_numbers,
    check_shape,
    check_whole,
)
from gsa_core.common.axes import to_features, to_tokens
from gsa_core.groups import PointGroup
from gsa_core.models.network import Model, make_classifier
from gsa_core.nn.block import Block
from gsa_core.nn.embed import PatchEmbedding, PixelEmbedding, make_tokens
from gsa_core.nn.norm import ChannelNorm
from gsa_core.nn.pool import GlobalPool, GroupPool

__all__ = ["GroupTransformer", "Head", "Standardise", "attention_blocks"]


class Standardise(nn.Module):
    """``(image - mean) / std`` by channel; both belong to the data and travel with the weights."""

    mean: Tensor
    std: Tensor
    image_size: tuple[int, int] | None = None  # of every image, where positions are absolute

    def __init__(
        self, mean: float | Sequence[float], std: float | Sequence[float], in_channels: int
    ) -> None:
        super().__init__()
        self.in_channels = check_whole("in_channels", in_channels)
        means = check_numbers("mean", mean, self.in_channels, "finite numbers")
        stds = check_numbers("std", std, self.in_channels, "numbers above 0", low=5e-324)
        holds = torch.finfo(torch.get_default_dtype())
        for name, values, low in (("mean", means, 0.0), ("std", stds, holds.tiny)):
            for x in values:
                if not low <= abs(x) <= holds.max:
                    raise ValueError(
                        f"{name}: got {x}, which is lost in {holds.dtype}; accepts magnitudes of "
                        f"{low:.2g} to {holds.max:.2g}"
                    )
            constant = torch.tensor([float(x) for x in values])
            self.register_buffer(name, constant.reshape(-1, 1, 1))

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Standardise every pixel."""
        check_shape("image", image, "batch", self.in_channels, "height", "width")
        if not image.is_floating_point():
            raise ValueError(
                f"image: got {image.dtype}; accepts floating-point values, as a rule from 0 to 1: "
                "image / 255 of bytes"
            )
        wider = torch.promote_types(image.dtype, self.mean.dtype) != self.mean.dtype
        if wider and not torch.is_autocast_enabled(image.device.type):
            raise ValueError(
                f"image: got {image.dtype} with a network of {self.mean.dtype}; accepts one type: "
                f"image.to({self.mean.dtype}), or network.to({image.dtype})"
            )
        if self.image_size is not None and image.shape[2:] != self.image_size:
            got, accepts = ("x".join(map(str, x)) for x in (image.shape[2:], self.image_size))
            raise ValueError(
                f"image: got {got} pixels; with positional 'absolute' this network accepts "
                f"{accepts}, its image_size"
            )
        return (image - self.mean) / self.std


class Position(nn.Module):
    """Adds an absolute encoding to the tokens of a network; lifts an image."""

    def __init__(self, encoding: nn.Module) -> None:
        super().__init__()
        self.encoding = encoding

    def forward(self, x: Tensor) -> Float[Tensor, "batch channels group height width"]:
        """Map an image or a feature map to a feature map."""
        return to_features(self.encoding(to_tokens(x.unsqueeze(2) if x.ndim == 4 else x)))


class Head(nn.Module):
    """Norm, mean over frames, mean over positions, linear: logits invariant under H.

    `dropout` is the probability of dropping a feature before the linear map, in training.
    """

    def __init__(self, channels: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = check_number(
            "head_dropout", dropout, "a number 0 <= p < 1", low=0, high=1 - 1e-9
        )
        self.num_features = self.hidden_size = channels
        self.norm = ChannelNorm(channels)
        self.group_pool = GroupPool()
        self.global_pool = GlobalPool()
        self.classify = make_classifier(channels, num_classes)

    def pool(
        self, features: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch channels"]:
        """Everything but the linear map: invariant features ``(batch, channels)``."""
        return self._drop(self.global_pool(self.group_pool(self.norm(features))))

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)

    def masked(self, features: Tensor, mask: Tensor) -> Float[Tensor, "batch classes"]:
        """Logits of the mean over the positions of a mask ``(batch, height, width)``."""
        weight = mask.unsqueeze(1).to(features.dtype)
        pooled = (self.group_pool(self.norm(features)) * weight).sum((2, 3))
        return self.classify(self._drop(pooled / weight.sum((2, 3))))

    def forward(
        self, features: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Map ``(batch, channels, |H|, height, width)`` to ``(batch, classes)``."""
        return self.classify(self.pool(features))


def attention_blocks(
    group: PointGroup,
    channels: int,
    grid: tuple[int, int],
    *,
    lifted: bool,
    depth: int,
    positional: str,
    form: str,
    num_heads: int,
    window: int | None,
    window_shape: str,
    encoding: str,
    feedforward_ratio: float,
    dropout: float,
    attention_dropout: float,
    drop_path: float,
    qk_norm: bool,
) -> tuple[Position | None, nn.ModuleList]:
    """Positions that are added once, where they are absolute, and the blocks of a network.

    Parameters
    ----------
    grid
        Tokens along height and width.
    lifted
        Whether tokens are a feature map; the first block lifts an image.
    group, channels, depth, positional, form, num_heads, window, window_shape, encoding, \
    feedforward_ratio, dropout, attention_dropout, qk_norm
        As in `GroupTransformer`.
    drop_path
        Of the last block; that of block i of n is i / n of it.
    """
    depth = check_whole("depth", depth)
    check_positional(positional)
    check_choice("encoding", encoding, ENCODINGS)
    position: Position | None = None
    if POSITIONAL[positional].on_tokens:
        heads = check_whole("num_heads", num_heads)
        head_dim = -(-channels // heads)  # as in layers
        of = Setting(group, channels, heads, head_dim, grid, window, encoding, None)
        position = Position(make_encoding(positional, of)["absolute"])
        positional, lifted = "none", True
        encoding = encoding if encoding == "published" else "auto"
    options: dict[str, Any] = {
        "positional": positional,
        "window": window,
        "image_size": grid if POSITIONAL[positional].on_scores and window is None else None,
        "encoding": encoding,
        "window_shape": window_shape,
        "attention_dropout": attention_dropout,
        "qk_norm": qk_norm,
    }
    drop_path = check_number("drop_path", drop_path, "a number 0 <= p < 1", low=0, high=1 - 1e-9)
    blocks = nn.ModuleList()
    for i in range(depth):
        attention: nn.Module
        if lifted:
            attention = GroupSelfAttention(
                group, channels, channels, num_heads, form=form, **options
            )
        else:
            attention = LiftingSelfAttention(group, channels, channels, num_heads, **options)
        blocks.append(
            Block(
                attention, channels, feedforward_ratio=feedforward_ratio, dropout=dropout,
                drop_path=drop_path * (i + 1) / depth,
            )
        )  # fmt: skip
        lifted = True
    return position, blocks


class GroupTransformer(Model):
    """Tokens, (positions,) attention blocks, invariant head.

    With the trivial group and absolute positions it is a plain vision transformer.

    Parameters
    ----------
    group
        The point group H; logits are invariant under its elements that keep the pixel grid.
    image_size
        ``(height, width)`` in pixels.
    depth
        Number of attention blocks; with pixel tokens the first one lifts.
    positional
        ``none``, ``absolute`` (added once to the tokens) or ``relative`` (in every block).
    tokens
        ``pixel``, ``patch`` or ``stem`` of `patch_size`, or ``trunk`` of `depth` convolutions.
    channels, num_heads, form, window, window_shape, encoding, feedforward_ratio, dropout, \
    attention_dropout, qk_norm
        As in the layers.
    head_dropout, drop_path
        As in `build_model`.
    mean, std
        Of the data, by channel.
    """

    def __init__(
        self,
        group: PointGroup,
        *,
        in_channels: int,
        num_classes: int,
        image_size: tuple[int, int],
        depth: int,
        positional: str,
        tokens: str,
        form: str,
        channels: int,
        num_heads: int,
        window: int | None,
        encoding: str,
        feedforward_ratio: float,
        dropout: float,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        patch_size: int | None = None,
        window_shape: str = "auto",
        attention_dropout: float = 0.0,
        head_dropout: float = 0.0,
        drop_path: float = 0.0,
        qk_norm: bool = False,
    ) -> None:
        super().__init__()
        depth = check_whole("depth", depth)
        self.group = group
        self.standardise = Standardise(mean, std, in_channels)
        self.tokens = make_tokens(
            tokens, group, in_channels, channels, patch_size=patch_size, depth=depth
        )
        self.position, self.blocks = attention_blocks(
            group, channels, self.tokens.token_grid(image_size), lifted=self.tokens.lifts,
            depth=depth, positional=positional, form=form, num_heads=num_heads, window=window,
            window_shape=window_shape, encoding=encoding, feedforward_ratio=feedforward_ratio,
            dropout=dropout, attention_dropout=attention_dropout, drop_path=drop_path,
            qk_norm=qk_norm,
        )  # fmt: skip
        self.standardise.image_size = None if self.position is None else image_size
        self.head: Head = Head(channels, num_classes, head_dropout)

    def _forward_masked(self, image: Tensor, mask: Tensor) -> Tensor:
        if not isinstance(self.tokens, PixelEmbedding | PatchEmbedding):
            return super()._forward_masked(image, mask)
        image = self.standardise(image).masked_fill(~mask.unsqueeze(1), 0)
        x, seen = self.tokens(image), self.tokens.token_mask(mask)
        x = x if self.position is None else self.position(x)
        for block in self.blocks:
            x = block(x, seen)
        return self.head.masked(x, seen)

    def layers(self) -> dict[str, nn.Module]:
        """The layers that are applied one after another, by name."""
        named: dict[str, nn.Module] = {"standardise": self.standardise, "tokens": self.tokens}
        if self.position is not None:
            named["position"] = self.position
        named |= {f"block {i + 1}": block for i, block in enumerate(self.blocks)}
        return named | {"head": self.head}

"""Whole networks, all from one `build_model`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsa_core.attention import GroupSelfAttention, LiftingSelfAttention
from gsa_core.groups import PointGroup, point_group
from gsa_core.layers import Block, ChannelNorm, GlobalPool, GroupPool, Stem
from gsa_core.layout import to_features, to_tokens
from gsa_core.positional import AbsoluteEncoding

__all__ = ["MODELS", "TOKENS", "GroupTransformer", "build_model"]

TOKENS = ("pixel", "stem")


class Standardise(nn.Module):
    """``(image - mean) / std`` by channel, with constants that belong to the data."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], in_channels: int) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            if len(values) not in (1, in_channels):
                raise ValueError(
                    f"{name}: got {len(values)} values; accepts 1 or in_channels ({in_channels})"
                )
            self.register_buffer(name, torch.tensor(values).reshape(-1, 1, 1), persistent=False)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Standardise every pixel."""
        return (image - self.mean) / self.std


class PixelEmbedding(nn.Module):
    """One token a pixel: a linear map of its channels, ``(b, in, h, w)`` to ``(b, c, h, w)``."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, channels)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels height width"]:
        """Map every pixel by the same linear map."""
        return to_features(self.linear(to_tokens(image.unsqueeze(2)))).squeeze(2)


class Position(nn.Module):
    """Adds an `AbsoluteEncoding` to the tokens of a network; lifts an image."""

    def __init__(self, encoding: AbsoluteEncoding) -> None:
        super().__init__()
        self.encoding = encoding

    def forward(self, x: Tensor) -> Float[Tensor, "batch channels group height width"]:
        """Map an image or a feature map to a feature map."""
        return to_features(self.encoding(to_tokens(x.unsqueeze(2) if x.ndim == 4 else x)))


class Head(nn.Module):
    """Norm, mean over frames, mean over positions, linear: logits invariant under H."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.group_pool = GroupPool()
        self.global_pool = GlobalPool()
        self.classify = nn.Linear(channels, num_classes)

    def forward(
        self, features: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Map ``(batch, channels, |H|, height, width)`` to ``(batch, classes)``."""
        return self.classify(self.global_pool(self.group_pool(self.norm(features))))


class GroupTransformer(nn.Module):
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
        ``pixel`` or ``stem``.
    channels, num_heads, form, window, encoding, feedforward_ratio, dropout
        As in the layers.
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
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth: got {depth}; accepts an integer >= 1")
        self.group = group
        self.standardise = Standardise(mean, std, in_channels)
        lifted = tokens == "stem"
        grid = Stem.token_grid(image_size) if lifted else image_size
        self.tokens: nn.Module
        if lifted:
            self.tokens = Stem(group, in_channels, channels)
        else:
            self.tokens = PixelEmbedding(in_channels, channels)
        self.position: Position | None = None
        if positional == "absolute":
            self.position = Position(AbsoluteEncoding(group, channels, grid, encoding))
            positional, lifted = "none", True
        options: dict[str, Any] = {
            "positional": positional,
            "window": window,
            "image_size": grid,
            "encoding": encoding,
        }
        self.blocks = nn.ModuleList()
        for _ in range(depth):
            attention: nn.Module
            if lifted:
                attention = GroupSelfAttention(
                    group, channels, channels, num_heads, form=form, **options
                )
            else:
                attention = LiftingSelfAttention(group, channels, channels, num_heads, **options)
            self.blocks.append(
                Block(attention, channels, feedforward_ratio=feedforward_ratio, dropout=dropout)
            )
            lifted = True
        self.head = Head(channels, num_classes)

    def layers(self) -> dict[str, nn.Module]:
        """The layers that are applied one after another, by name."""
        named: dict[str, nn.Module] = {"standardise": self.standardise, "tokens": self.tokens}
        if self.position is not None:
            named["position"] = self.position
        named |= {f"block {i + 1}": block for i, block in enumerate(self.blocks)}
        return named | {"head": self.head}

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Map ``(batch, in_channels, height, width)`` to logits ``(batch, num_classes)``."""
        x: Tensor = image
        for layer in self.layers().values():
            x = layer(x)
        return x


MODELS = {"gsa": GroupTransformer}


def build_model(
    model: str = "gsa",
    *,
    group: PointGroup | str = "C4",
    positional: str = "relative",
    depth: int = 2,
    in_channels: int = 1,
    num_classes: int = 10,
    image_size: int | tuple[int, int] = 28,
    tokens: str = "stem",
    form: str = "framewise",
    channels: int = 24,
    num_heads: int = 2,
    window: int | None = None,
    encoding: str = "auto",
    feedforward_ratio: float = 2,
    dropout: float = 0.0,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
) -> nn.Module:
    """Build a classifier of images ``(batch, in_channels, height, width)``.

    Parameters
    ----------
    model
        ``"gsa"``: group self-attention.
    group
        A `PointGroup` or its name, ``"C4"``.
    positional
        ``"none"``, ``"absolute"`` or ``"relative"``.
    depth
        Number of attention blocks.
    in_channels, num_classes, image_size
        What the data are; one number means a square image.
    tokens
        ``"stem"`` (two group convolutions and a pooling) or ``"pixel"`` (costly).
    form
        ``"framewise"`` or ``"joint"`` attention.
    channels, num_heads, feedforward_ratio
        Channels a frame, heads, hidden width of the feed-forward layers over `channels`.
    window
        Odd side of the local neighbourhood in tokens; ``None`` is global attention.
    encoding
        ``"auto"``, ``"table"`` or ``"continuous"`` positions.
    dropout
        Probability of dropping a channel of a residual branch in training.
    mean, std
        The network standardises its input by these, one number or one a channel.

    Returns
    -------
    torch.nn.Module
        Its logits are invariant under the elements of `group` that keep the pixel grid.

    Examples
    --------
    >>> import torch
    >>> model = build_model(group="D4", image_size=9)
    >>> model(torch.zeros(2, 1, 9, 9)).shape
    torch.Size([2, 10])
    """
    if model not in MODELS:
        raise ValueError(f"model: got {model!r}; accepts {', '.join(map(repr, MODELS))}")
    if tokens not in TOKENS:
        raise ValueError(f"tokens: got {tokens!r}; accepts {', '.join(map(repr, TOKENS))}")
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return MODELS[model](
        point_group(group),
        in_channels=in_channels,
        num_classes=num_classes,
        image_size=(height, width),
        depth=depth,
        positional=positional,
        tokens=tokens,
        form=form,
        channels=channels,
        num_heads=num_heads,
        window=window,
        encoding=encoding,
        feedforward_ratio=feedforward_ratio,
        dropout=dropout,
        mean=mean if isinstance(mean, Sequence) else (mean,),
        std=std if isinstance(std, Sequence) else (std,),
    )

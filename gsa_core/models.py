"""Whole networks, all from one `build_model`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import nn

from gsa_core.baselines import GroupConvNet, Symmetrized
from gsa_core.checks import check_choice, check_sides, check_whole
from gsa_core.groups import PointGroup, point_group
from gsa_core.published_networks import PUBLISHED, PublishedNetwork
from gsa_core.tokens import TOKENS
from gsa_core.transformer import GroupTransformer

__all__ = ["MODELS", "TOKENS", "build_model"]


def _plain(group: PointGroup, **arguments: Any) -> nn.Module:
    """A plain transformer, which has no group of its own."""
    if group.order > 1:
        raise ValueError(f"group: got {group.name!r} with model 'vit'; accepts 'C1'")
    return GroupTransformer(group, **arguments)


def _symmetrized(group: PointGroup, **arguments: Any) -> nn.Module:
    """A plain transformer pooled over the orbit of the image under the group."""
    reduction = arguments.pop("reduction")
    return Symmetrized(_plain(point_group("C1"), **arguments), group, reduction=reduction)


def _published(group: PointGroup, plan: str, **arguments: Any) -> nn.Module:
    return PublishedNetwork(group, PUBLISHED[plan], **arguments)


_DATA = ("in_channels", "num_classes", "mean", "std")
_TRANSFORMER = (
    *_DATA, "image_size", "depth", "positional", "tokens", "form", "channels", "num_heads",
    "window", "window_shape", "encoding", "feedforward_ratio", "dropout", "attention_dropout",
    "patch_size",
)  # fmt: skip
_PUBLISHED = (*_DATA, "image_size", "window", "form", "attention_dropout")
_PLAIN = {"group": "C1", "tokens": "patch", "positional": "absolute"}

# Builder, the arguments it has, and its own defaults where they differ from those of `gsa`.
MODELS: dict[str, tuple[Callable[..., nn.Module], tuple[str, ...], dict[str, str]]] = {
    "gsa": (GroupTransformer, _TRANSFORMER, {}),
    "hybrid": (GroupTransformer, _TRANSFORMER, {"tokens": "trunk"}),
    "gcnn": (GroupConvNet, (*_DATA, "depth", "channels"), {}),
    "vit": (_plain, _TRANSFORMER, _PLAIN),
    "symmetrized": (_symmetrized, (*_TRANSFORMER, "reduction"), {**_PLAIN, "group": "C4"}),
    **{
        name: (partial(_published, plan=name), _PUBLISHED, {"form": "published"})
        for name in PUBLISHED
    },
}
_DEFAULTS = {"group": "C4", "positional": "relative", "tokens": "stem", "form": "framewise"}


def build_model(
    model: str = "gsa",
    *,
    group: PointGroup | str | None = None,
    positional: str | None = None,
    depth: int = 2,
    in_channels: int = 1,
    num_classes: int = 10,
    image_size: int | Sequence[int] = 28,
    tokens: str | None = None,
    form: str | None = None,
    channels: int = 24,
    num_heads: int = 2,
    window: int | None = None,
    encoding: str = "auto",
    feedforward_ratio: float = 2,
    dropout: float = 0.0,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    patch_size: int | None = None,
    window_shape: str = "auto",
    attention_dropout: float = 0.0,
    reduction: str = "mean",
) -> nn.Module:
    """Build a classifier of images ``(batch, in_channels, height, width)``.

    Parameters
    ----------
    model
        ``"gsa"``: group self-attention; ``"hybrid"``: the same on the tokens of a group
        convolutional network; ``"gcnn"``: that network alone; ``"vit"``: a plain transformer;
        ``"symmetrized"``: a plain transformer pooled over a group; ``"published_rotmnist"``,
        ``"published_cifar10"``, ``"published_pcam"``: the networks of those experiments.
        Arguments that a model does not have are not used.
    group
        A `PointGroup` or its name; ``"C4"`` unless told, ``"C1"`` for a plain transformer.
    positional
        ``"none"``, ``"absolute"``, ``"relative"``, ``"radial"`` or ``"rotary"``.
    depth
        Number of attention blocks, and of the group convolutions of a convolutional network.
    in_channels, num_classes, image_size
        What the data are; one number means a square image.
    tokens
        ``"stem"`` (a few group convolutions and poolings), ``"patch"``, ``"trunk"`` (`depth` group
        convolutions and two poolings) or ``"pixel"`` (costly).
    patch_size
        Pixels to a token along each side, of a patch (4 unless told) or a stem (2 unless told).
    form
        ``"framewise"``, ``"joint"`` or ``"published"`` attention.
    channels, num_heads, feedforward_ratio
        Channels a frame, heads, hidden width of the feed-forward layers over `channels`.
    window, window_shape
        Odd side of the local neighbourhood in tokens, ``None`` for global attention; its shape.
    encoding
        ``"auto"``, ``"table"`` or ``"continuous"`` positions.
    dropout, attention_dropout
        Probability of dropping a channel of a residual branch, a key of attention, in training.
    mean, std
        The network standardises its input by these, one number or one a channel.
    reduction
        ``"mean"`` or ``"max"`` over the orbit, of ``symmetrized``.

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
    check_choice("model", model, MODELS)
    for name, got in (("channels", channels), ("num_heads", num_heads)):
        check_whole(name, got)
    builder, names, defaults = MODELS[model]
    chosen = {"group": group, "positional": positional, "tokens": tokens, "form": form}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    arguments: dict[str, Any] = {
        **_DEFAULTS,
        **defaults,
        **chosen,
        "depth": depth,
        "in_channels": in_channels,
        "num_classes": num_classes,
        "image_size": check_sides("image_size", image_size),
        "channels": channels,
        "num_heads": num_heads,
        "window": window,
        "encoding": encoding,
        "feedforward_ratio": feedforward_ratio,
        "dropout": dropout,
        "mean": mean if isinstance(mean, Sequence) else (mean,),
        "std": std if isinstance(std, Sequence) else (std,),
        "patch_size": patch_size,
        "window_shape": window_shape,
        "attention_dropout": attention_dropout,
        "reduction": reduction,
    }
    own = {name: arguments[name] for name in names}
    return builder(point_group(arguments["group"]), **own)

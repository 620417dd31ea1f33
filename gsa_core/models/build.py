"""Whole networks, all from one `build_model`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from gsa_core.attention.encodings.registry import POSITIONAL
from gsa_core.common.arguments import check_choice, check_sides, plain
from gsa_core.common.factory import Device, made_with
from gsa_core.common.names import named
from gsa_core.groups import PointGroup, point_group
from gsa_core.models.canonical import Canonical
from gsa_core.models.gcnn import GroupConvNet
from gsa_core.models.network import Model
from gsa_core.models.published import PUBLISHED, PublishedNetwork
from gsa_core.models.staged import StagedNetwork
from gsa_core.models.symmetrized import Symmetrized
from gsa_core.models.transformer import GroupTransformer
from gsa_core.nn.embed import TOKENS
from gsa_core.nn.soft import soften

__all__ = ["MODELS", "TOKENS", "build_model"]


def _plain(group: PointGroup, **arguments: Any) -> Model:
    """A plain transformer, which has no group of its own."""
    if group.order > 1:
        raise ValueError(f"group: got {group.name!r} with model 'vit'; accepts 'C1'")
    return GroupTransformer(group, **arguments)


def _symmetrized(group: PointGroup, **arguments: Any) -> Model:
    """A plain transformer pooled over the orbit of the image under the group."""
    reduction = arguments.pop("reduction")
    return Symmetrized(_plain(point_group("C1"), **arguments), group, reduction=reduction)


def _published(group: PointGroup, plan: str, **arguments: Any) -> Model:
    return PublishedNetwork(group, PUBLISHED[plan], **arguments)


def _convolutional(group: PointGroup, image_size: tuple[int, int], **arguments: Any) -> Model:
    """A convolutional network, which takes images of any size."""
    return GroupConvNet(group, **arguments)


_SIZES = ("in_channels", "num_classes", "image_size")
_DATA = (*_SIZES, "mean", "std")
_BLOCKS = (
    "depth", "positional", "form", "num_heads", "window", "window_shape", "encoding",
    "feedforward_ratio", "dropout", "attention_dropout", "drop_path", "qk_norm",
)  # fmt: skip
_TRANSFORMER = (*_DATA, *_BLOCKS, "channels", "tokens", "patch_size", "head_dropout")
_CONVOLUTIONS = (*_DATA, "channels", "head_dropout", "kernel_size", "basis", "softness")
_PUBLISHED = (*_DATA, "window", "form", "attention_dropout")
_PLAIN = {"group": "C1", "tokens": "patch", "positional": "absolute"}

# Builder, the arguments it has, and its own defaults where they differ from those of `gsa`.
MODELS: dict[str, tuple[Callable[..., Model], tuple[str, ...], dict[str, Any]]] = {
    "gsa": (GroupTransformer, (*_TRANSFORMER, "softness"), {}),
    "hybrid": (GroupTransformer, (*_TRANSFORMER, "softness"), {"tokens": "trunk"}),
    "gcnn": (_convolutional, (*_DATA, "depth", "channels", "head_dropout", "softness"), {}),
    "staged": (
        StagedNetwork,
        (*_CONVOLUTIONS, *_BLOCKS),
        {"channels": 16, "num_heads": 4, "dropout": 0.1, "head_dropout": 0.2},
    ),
    "staged_gcnn": (StagedNetwork, _CONVOLUTIONS, {"channels": 16, "head_dropout": 0.2}),
    "vit": (_plain, _TRANSFORMER, _PLAIN),
    "canonical": (Canonical, _TRANSFORMER, {}),
    "symmetrized": (_symmetrized, (*_TRANSFORMER, "reduction"), {**_PLAIN, "group": "C4"}),
    **{
        name: (partial(_published, plan=name), _PUBLISHED, {"form": "published"})
        for name in PUBLISHED
    },
}
_DEFAULTS: dict[str, Any] = {
    "group": "C4", "positional": "relative", "tokens": "stem", "form": "framewise", "depth": 2,
    "channels": 24, "num_heads": 2, "window": None, "window_shape": "auto", "encoding": "auto",
    "feedforward_ratio": 2, "dropout": 0.0, "attention_dropout": 0.0, "drop_path": 0.0,
    "qk_norm": False, "patch_size": None, "reduction": "mean", "head_dropout": 0.0,
    "kernel_size": 5, "basis": "bilinear", "mean": 0.0, "std": 1.0,
    "softness": 0.0,
}  # fmt: skip


@named
def build_model(
    model: str = "gsa",
    *,
    group: PointGroup | str | None = None,
    positional: str | None = None,
    depth: int | None = None,
    in_channels: int = 1,
    num_classes: int = 10,
    image_size: int | Sequence[int] = 28,
    tokens: str | None = None,
    form: str | None = None,
    channels: int | None = None,
    num_heads: int | None = None,
    window: int | None = None,
    encoding: str | None = None,
    feedforward_ratio: float | None = None,
    dropout: float | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    patch_size: int | None = None,
    window_shape: str | None = None,
    attention_dropout: float | None = None,
    head_dropout: float | None = None,
    drop_path: float | None = None,
    qk_norm: bool | None = None,
    kernel_size: int | None = None,
    basis: str | None = None,
    softness: float | None = None,
    reduction: str | None = None,
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> Model:
    """Build a classifier of images ``(batch, in_channels, height, width)``.

    Parameters
    ----------
    model
        ``"gsa"``: group self-attention; ``"hybrid"``: the same on the tokens of a group
        convolutional network; ``"gcnn"``: that network alone; ``"staged"``: attention on group
        convolutions in stages that widen, with batch norm and a maximum over frames and positions
        before the logits; ``"staged_gcnn"``: these stages alone; ``"vit"``: a plain transformer;
        ``"symmetrized"``: a plain transformer pooled over a group; ``"canonical"``: a plain
        transformer of images that a small equivariant network turns; ``"published_rotmnist"``,
        ``"published_cifar10"``, ``"published_pcam"``: the networks of those experiments.
        An argument left at ``None`` takes the model's default; one that the model has no use for
        is an error.
    group
        A `PointGroup` or its name; ``"C4"`` by default, ``"C1"`` for a plain transformer.
    positional
        ``"none"``, ``"absolute"``, ``"relative"`` (by default; ``"absolute"`` for ``vit`` and
        ``symmetrized``), ``"radial"`` or ``"rotary"``.
    depth
        Number of attention blocks, and of the group convolutions of a convolutional network; 2
        by default.
    in_channels, num_classes, image_size
        What the data are; one number means a square image. With ``absolute`` positions a network
        accepts images of this size alone, with tables of offsets (``relative``, global) no larger
        ones; `docs/attention.md` has the other cases. A convolutional network takes any size, and
        keeps this one in its `config` alone.
    tokens
        ``"stem"`` (a few group convolutions and poolings; by default), ``"patch"`` (by default for
        ``vit`` and ``symmetrized``), ``"trunk"`` (`depth` group convolutions and two poolings; by
        default for ``hybrid``) or ``"pixel"`` (costly).
    patch_size
        Pixels to a token along each side, of a patch (4 by default) or a stem (2 by default).
        Raise it for images above about 20 pixels, or set `window`: `docs/library.md` has the costs.
    form
        ``"framewise"`` (by default), ``"joint"`` or ``"published"`` attention (by default for the
        published networks).
    channels, num_heads, feedforward_ratio
        Channels a frame (24 by default), heads (2), hidden width of the feed-forward layers over
        that of their blocks (2). Each head has ``ceil(channels / num_heads)`` channels: with 24
        channels and 5 heads, queries, keys and values have 25. Of staged networks `channels` is
        the width of the first stage (16); attention has twice as many, and 4 heads.
    window, window_shape
        Odd side of the local neighbourhood in tokens, ``None`` (by default) for global attention;
        its shape, ``"auto"`` (by default), ``"square"``, ``"disc"`` or ``"soft_disc"``.
    encoding
        ``"auto"`` (by default), ``"table"`` or ``"continuous"`` positions, absolute or relative.
    dropout, attention_dropout
        Probability of dropping a channel of a residual branch (0 by default, 0.1 in ``staged``),
        a key of attention (0), in training.
    head_dropout
        Probability of dropping a feature before a linear map of the head, in training (0 by
        default, 0.2 in staged networks).
    drop_path
        Probability of dropping a residual branch of the last attention block for a whole image, in
        training (0 by default); earlier blocks have their share by their number.
    qk_norm
        Whether queries and keys are normed over the channels of a head (``False`` by default).
    kernel_size, basis
        Of a staged network: pixels a side of its lifting kernel (5 by default; its other kernels
        have two fewer), and how kernels turn, ``"bilinear"`` (by default) or ``"gaussian"`` as in
        `LiftingConv2d`.
    softness
        From 0 (exact, by default) to 1 (plain): how much weights without ties between frames count
        in group convolutions and group linear maps, as in `soften`.
    mean, std
        The network standardises its input by these, one number or one a channel (0 and 1 by
        default). They are part of its weights.
    reduction
        ``"mean"`` (by default) or ``"max"`` over the orbit, of ``symmetrized``.
    device, dtype
        Of parameters and buffers, as in torch's own layers.

    Returns
    -------
    Model
        Its logits are invariant under the elements of `group` that keep the pixel grid. Its
        `config` are the arguments that build it, and `save` writes it into a file. What is
        ``None`` is not in `config`: without `window`, attention is global; without `patch_size`,
        it is the default of `tokens`.

    Raises
    ------
    ValueError, TypeError
        For an argument that is wrong, or that this network does not use.

    Examples
    --------
    >>> import torch
    >>> model = build_model(group="D4", image_size=9)
    >>> model(torch.zeros(2, 1, 9, 9)).shape
    torch.Size([2, 10])
    """
    given = {name: got for name, got in locals().items() if got is not None or name in _SIZES}
    given = {name: got for name, got in given.items() if name not in ("model", "device", "dtype")}
    check_choice("model", model, MODELS)
    builder, names, defaults = MODELS[model]
    for name, got in given.items():
        if name not in ("group", *names):
            users = ", ".join(repr(other) for other, (_, has, _) in MODELS.items() if name in has)
            raise ValueError(
                f"{name}: got {got!r} with model {model!r}, which does not use it; accepts it with "
                f"{users}"
            )
    every = {**_DEFAULTS, **defaults, **given}
    arguments = {name: every[name] for name in names}
    arguments["image_size"] = check_sides("image_size", arguments["image_size"])
    of, lifts_alone = point_group(every["group"]), _only_lifts(arguments)
    if lifts_alone and "form" in given:
        raise ValueError(
            f"form: got {form!r} with one block on pixel tokens, which lifts and has no form; "
            "accepts it with more depth, other tokens or positional 'absolute'"
        )
    softness = arguments.pop("softness", 0.0)
    with made_with(device, dtype):
        network = builder(of, **arguments)
        if softness != 0:
            soften(network, softness)
            arguments["softness"] = softness
    unused = ("form",) if lifts_alone else ()
    config = {name: x for name, x in arguments.items() if x is not None and name not in unused}
    network.set_config({"model": model, "group": of.name, **plain(config)})
    return network


def _only_lifts(arguments: dict[str, Any]) -> bool:
    """Whether no attention of the network is from feature map to feature map."""
    encoding = POSITIONAL.get(str(arguments.get("positional")))
    added = encoding is not None and encoding.on_tokens
    return arguments.get("tokens") == "pixel" and not added and arguments["depth"] == 1

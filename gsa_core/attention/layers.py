"""Self-attention layers over a group."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsa_core.attention.base import SelfAttention
from gsa_core.attention.forms import FORMS, LIFTING
from gsa_core.common.arguments import check_choice, check_shape
from gsa_core.common.axes import to_features, to_tokens
from gsa_core.common.factory import Device, placed
from gsa_core.groups import PointGroup
from gsa_core.nn.linear import GroupLinear

__all__ = ["GroupSelfAttention", "LiftingSelfAttention"]


class LiftingSelfAttention(SelfAttention):
    """Self-attention from images to group feature maps.

    ``F(x, h) = sum_y softmax_y[ q(x) . (k(y) + p(h^-1 (y - x))) / sqrt(d) ] v(y)``, then a linear
    map; with ``absolute`` the token is ``f(y) + a(h^-1 y)`` instead. Equivariant:
    ``Phi(L_s f) = L_s Phi(f)``, to rounding for the elements that keep the pixel grid.

    Parameters
    ----------
    group
        The point group H.
    in_channels, out_channels
        Channels of the image, and channels a frame of the feature map.
    num_heads
        Number of heads; each has ``ceil(out_channels / num_heads)`` channels.
    positional
        ``"none"``, ``"absolute"`` (needs `image_size`), ``"relative"``, ``"radial"`` (a function
        of the distance) or ``"rotary"`` (queries and keys turned by their positions).
    window
        Odd side in pixels of the neighbourhood a query sees; ``None`` is global.
    image_size
        Pixels, one number or ``(height, width)``: of every image, for ``absolute``; of the largest,
        for other encodings of global attention. A window says the same, and takes its place.
    encoding
        ``"table"`` (learned offsets or positions), ``"continuous"`` (a learned function), or
        ``"auto"``: a table where the group keeps the axes and its extent is known;
        ``"published"``: everything as the published code has it (`PUBLISHED` in `forms`).
    window_shape
        ``"square"``, ``"disc"`` of that diameter, ``"soft_disc"`` that fades to its rim, or
        ``"auto"``: a square for groups that keep the axes, else a disc.
    attention_dropout
        Probability of dropping a key in training, see `gsa_core.attention.dropout`.
    head_dim
        Channels a head, if not ``ceil(out_channels / num_heads)``.
    method
        ``"kernel"`` (our own operator, for the CPU), ``"flex"`` (torch's FlexAttention, for GPUs),
        ``"triton"`` (our own kernels for GPUs), ``"torch"`` (torch's fused attention),
        ``"written_out"`` (all scores in memory), or
        ``"auto"``: the fastest (`faster_method`), torch where that cannot be had. All are equal to
        rounding.
    qk_norm
        Whether queries and keys are normed over the channels of a head, with a scale and a shift of
        each channel.
    device, dtype
        Of parameters and buffers, as in torch's own layers.

    Raises
    ------
    ValueError
        For an unknown choice, an even window, a table that the group does not allow.

    Notes
    -----
    Romero & Cordonnier (2021), https://arxiv.org/abs/2010.00977, equation 14. Differs from the
    paper by the scale ``1 / sqrt(d)`` and the residual-free output map.

    Examples
    --------
    >>> from gsa_core import cyclic_group
    >>> layer = LiftingSelfAttention(cyclic_group(4), 3, 8, 2, window=5)
    >>> layer(torch.zeros(1, 3, 9, 9)).shape
    torch.Size([1, 8, 4, 9, 9])
    """

    @placed
    def __init__(
        self,
        group: PointGroup,
        in_channels: int,
        out_channels: int,
        num_heads: int,
        *,
        positional: str = "relative",
        window: int | None = None,
        image_size: int | tuple[int, int] | None = None,
        encoding: str = "auto",
        window_shape: str = "auto",
        attention_dropout: float = 0.0,
        head_dim: int | None = None,
        method: str = "auto",
        qk_norm: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            group,
            in_channels,
            out_channels,
            num_heads,
            positional=positional,
            window=window,
            form=LIFTING,
            image_size=image_size,
            encoding=encoding,
            window_shape=window_shape,
            attention_dropout=attention_dropout,
            head_dim=head_dim,
            method=method,
            qk_norm=qk_norm,
        )
        self._add_maps(nn.Linear, in_channels, out_channels)

    def forward(
        self,
        image: Float[Tensor, "batch channels height width"],
        mask: Tensor | None = None,
        *,
        return_attention: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Map ``(batch, in, height, width)`` to ``(batch, out, |H|, height, width)``.

        Parameters
        ----------
        image
            The image.
        mask
            ``(batch, height, width)``, true where there is an image: other pixels are seen by no
            query, and the result is 0 there.
        return_attention
            Whether to return the weights too, ``(batch, heads, |H|, height, width, 1, height,
            width)`` of the key's frame and position last, by the reference.
        """
        check_shape("image", image, "batch", self.in_channels, "height", "width")
        tokens = to_tokens(image.unsqueeze(2))
        return _as_features(self._forward_tokens(tokens, mask, None, return_attention))


class GroupSelfAttention(SelfAttention):
    """Self-attention from group feature maps to group feature maps.

    Form ``joint``, positions and frames attended to together:
    ``F'(x, h) = sum_{y, h'} softmax_{(y, h')}[ q(x, h) . (k(y, h') + p(h^-1 (y - x), h^-1 h'))
    / sqrt(d) ] v(y, h')``; its linear maps act on each frame alone.

    Form ``framewise``, each frame attends within itself:
    ``F'(x, h) = sum_y softmax_y[ q(x, h) . (k(y, h) + p(h^-1 (y - x))) / sqrt(d) ] v(y, h)``; its
    linear maps are `GroupLinear` and mix the frames. Cheaper by a factor ``|H|`` in scores.

    Form ``published``, that of GSA-Nets and GE-ViT, summed over the frames g of the query:
    ``F'(x, h) = sum_g sum_{y, h'} softmax_{(y, h')}[ q(x, g) . (k(y, h') + p(h^-1 (y - x),
    (h^-1 g) (h'^-1 g))) / sqrt(d) ] v(y, h')``. In C_n its group offset is that of GE-ViT; written
    as a product of left-invariant elements it is exact for groups that do not commute too.
    Its cost is larger by a factor ``|H|``.

    Equivariant: ``Phi(L_s F) = L_s Phi(F)``, to rounding for the elements that keep the pixel
    grid. For the trivial group both forms are ordinary self-attention.

    Parameters
    ----------
    group
        The point group H.
    in_channels, out_channels
        Channels a frame.
    form
        ``"joint"``, ``"framewise"`` or ``"published"``.
    num_heads, positional, window, image_size, encoding, window_shape, attention_dropout, \
    head_dim, method, qk_norm
        As in `LiftingSelfAttention`.
    device, dtype
        Of parameters and buffers, as in torch's own layers.

    Examples
    --------
    >>> from gsa_core import dihedral_group
    >>> layer = GroupSelfAttention(dihedral_group(4), 8, 6, 2, form="framewise", window=3)
    >>> layer(torch.zeros(1, 8, 8, 5, 5)).shape
    torch.Size([1, 6, 8, 5, 5])
    """

    @placed
    def __init__(
        self,
        group: PointGroup,
        in_channels: int,
        out_channels: int,
        num_heads: int,
        *,
        positional: str = "relative",
        window: int | None = None,
        form: str = "joint",
        image_size: int | tuple[int, int] | None = None,
        encoding: str = "auto",
        window_shape: str = "auto",
        attention_dropout: float = 0.0,
        head_dim: int | None = None,
        method: str = "auto",
        qk_norm: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_choice("form", form, FORMS)
        super().__init__(
            group,
            in_channels,
            out_channels,
            num_heads,
            positional=positional,
            window=window,
            form=FORMS[form],
            image_size=image_size,
            encoding=encoding,
            window_shape=window_shape,
            attention_dropout=attention_dropout,
            head_dim=head_dim,
            method=method,
            qk_norm=qk_norm,
        )
        linear = partial(GroupLinear, group) if FORMS[form].mixes_frames else nn.Linear
        self._add_maps(linear, in_channels, out_channels)

    def forward(
        self,
        features: Float[Tensor, "batch channels group height width"],
        mask: Tensor | None = None,
        *,
        context: Tensor | None = None,
        return_attention: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Map ``(batch, in, |H|, height, width)`` to ``(batch, out, |H|, height, width)``.

        Parameters
        ----------
        features
            The feature map.
        mask
            As in `LiftingSelfAttention`, the same in all frames.
        context
            A feature map of the same shape that keys and values are taken from (cross-attention),
            with form ``joint``; it moves with `features`.
        return_attention
            Whether to return the weights too, ``(batch, heads, |H|, height, width, |H|, height,
            width)``, or one frame of the key where it is the query's; by the reference.
        """
        axes = ("batch", self.in_channels, self.group.order, "height", "width")
        check_shape("features", features, *axes)
        tokens, other = to_tokens(features), None
        if context is not None:
            check_shape("context", context, *features.shape)
            if self.form.name != "joint":
                raise ValueError(
                    f"context: got one with form {self.form.name!r}; accepts it with form 'joint'"
                )
            if mask is not None:
                raise ValueError("mask: got one together with a context; accepts one of them")
            other = to_tokens(context)
        return _as_features(self._forward_tokens(tokens, mask, other, return_attention))


def _as_features(result: Tensor | tuple[Tensor, Tensor]) -> Tensor | tuple[Tensor, Tensor]:
    if isinstance(result, tuple):
        return to_features(result[0]), result[1]
    return to_features(result)

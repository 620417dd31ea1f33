"""Self-attention layers over a group: thin callers of one of `gsa_core.attention.backends`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsa_core.attention.backends.registry import METHODS, choose_backend
from gsa_core.attention.dropout import OrbitDropout
from gsa_core.attention.encodings.absolute import AbsoluteEncoding
from gsa_core.attention.encodings.published import PublishedFunction, PublishedTable
from gsa_core.attention.encodings.relative import (
    FrameOffsets,
    RadialFunction,
    RelativeFunction,
    RelativeTable,
)
from gsa_core.attention.encodings.rotary import RotaryEncoding
from gsa_core.attention.encodings.tables import OffsetTables
from gsa_core.attention.neighbourhood import WINDOW_SHAPES, Tiling
from gsa_core.common.arguments import (
    check_choice,
    check_odd,
    check_shape,
    check_sides,
    check_whole,
)
from gsa_core.common.axes import to_features, to_tokens
from gsa_core.common.factory import Device, placed
from gsa_core.common.identity import Identified
from gsa_core.groups import PointGroup, check_group
from gsa_core.nn.convolution import GroupLinear

__all__ = ["ENCODINGS", "FORMS", "POSITIONAL", "GroupSelfAttention", "LiftingSelfAttention"]

POSITIONAL = ("none", "absolute", "relative", "radial", "rotary")
ENCODINGS = ("auto", "table", "continuous", "published")
FORMS = ("joint", "framewise", "published")


class _SelfAttention(Identified):
    """What lifting and group attention share: heads, encoding, window, and the arithmetic."""

    def __init__(
        self,
        group: PointGroup,
        in_channels: int,
        out_channels: int,
        num_heads: int,
        *,
        positional: str,
        window: int | None,
        form: str,
        image_size: int | tuple[int, int] | None,
        encoding: str,
        window_shape: str,
        attention_dropout: float,
        head_dim: int | None,
        method: str,
    ) -> None:
        super().__init__()
        for name, got, accepted in (
            ("positional", positional, POSITIONAL),
            ("encoding", encoding, ENCODINGS),
            ("window_shape", window_shape, WINDOW_SHAPES),
            ("method", method, METHODS),
        ):
            check_choice(name, got, accepted)
        check_group(group)
        in_channels = check_whole("in_channels", in_channels)
        out_channels = check_whole("out_channels", out_channels)
        num_heads = check_whole("num_heads", num_heads)
        head_dim = None if head_dim is None else check_whole("head_dim", head_dim)
        window = None if window is None else check_odd("window", window)
        _check_used(positional, window, image_size, encoding, window_shape)
        self.group, self.positional, self.form = group, positional, form
        self.in_channels = in_channels
        self.window, self.method = window, method
        self.window_shape = window_shape
        if window_shape == "auto":
            self.window_shape = "square" if group.keeps_axes else "disc"
        self.num_heads = num_heads
        # Rounded up: any number of channels will do.
        self.head_dim = -(-out_channels // num_heads) if head_dim is None else head_dim
        self.as_published = encoding == "published"
        self.scale = (in_channels if self.as_published else self.head_dim) ** -0.5
        self.dropout = OrbitDropout(group, attention_dropout)
        size = None if image_size is None else check_sides("image_size", image_size)
        self.absolute: AbsoluteEncoding | None = None
        self.relative: FrameOffsets | None = None
        self.rotary: RotaryEncoding | None = None
        if positional == "absolute":
            if size is None:
                raise ValueError(
                    "image_size: got None with positional 'absolute'; accepts the size in pixels"
                )
            self.absolute = AbsoluteEncoding(group, in_channels, size, encoding)
        elif positional != "none":
            self._add_score_encoding(size, encoding)

    def identity(self) -> dict[str, Any]:
        """All that decides the scores of a query but the numbers learned."""
        kind = {RelativeTable: "table", RelativeFunction: "continuous"}
        encodings = [word for table, word in kind.items() if isinstance(self.relative, table)]
        scaled = isinstance(self.relative, RelativeFunction | PublishedTable)
        return {
            "group": self.group.name,
            "form": self.form,
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "positional": self.positional,
            "encoding": "published" if self.as_published else next(iter(encodings), None),
            "reach": self.reach if scaled else None,
            "window": self.window,
            "window_shape": None if self.window is None else self.window_shape,
        }

    def _add_score_encoding(self, size: tuple[int, int] | None, encoding: str) -> None:
        """A table where its extent is known and the group keeps the axes, else a function."""
        reach = max(size) - 1 if size else None
        if self.window is not None:
            reach = self.window // 2
        if encoding in ("table", "published") and reach is None:
            raise ValueError(
                f"encoding: got {encoding!r} without window or image_size, to size it; accepts "
                "'auto', 'continuous', or either of these beside it"
            )
        self.reach = reach or (0 if encoding == "published" else 8)
        scale = float(reach or 8)
        heads = (self.group, self.num_heads, self.head_dim)
        offsets = self._frame_offsets()
        if self.positional == "rotary":
            self.rotary = RotaryEncoding(*heads, scale)
            self.relative = FrameOffsets(*heads, frame_offsets=offsets)
        elif self.positional == "radial":
            self.relative = RadialFunction(*heads, scale, frame_offsets=offsets)
        elif encoding == "published":
            kind = PublishedTable if self.group.keeps_axes else PublishedFunction
            self.relative = kind(*heads, reach or 0, frame_offsets=offsets)
        elif encoding == "table" or (
            encoding == "auto" and reach is not None and self.group.keeps_axes
        ):
            self.relative = RelativeTable(*heads, reach or 0, frame_offsets=offsets)
        else:
            # One period over a window: finer than that, turns off the grid would be lost in it.
            self.relative = RelativeFunction(*heads, 2 * scale, frame_offsets=offsets)

    def _frame_offsets(self) -> Tensor | None:
        """Group offset of every pair of frames that meet, the same after a common left factor."""
        if self.form == "joint":
            return self.group.relative  # h^-1 h'
        if self.form == "published":
            # (h^-1 g) (h'^-1 g) for the query's frame g: in C_n, the index of GE-ViT.
            acted, of_key = self.group.relative[:, :, None], self.group.relative.T[None]
            return self.group.product[acted, of_key]
        return None

    def _add_maps(
        self, linear: Callable[..., nn.Module], in_channels: int, out_channels: int
    ) -> None:
        """Queries, keys and values from one map, and the output map.

        A bias of the keys cancels in the softmax and one of the values in the output's.
        """
        inner = self.num_heads * self.head_dim
        self.query_key_value = linear(in_channels, 3 * inner, bias=self.as_published)
        if not self.as_published:
            self.query_bias = nn.Parameter(torch.zeros(inner))
        self.output = linear(inner, out_channels)

    def _forward_tokens(
        self, tokens: Float[Tensor, "batch rows cols frames channels"]
    ) -> Float[Tensor, "batch rows cols group out_channels"]:
        if self.absolute is not None:
            tokens = self.absolute(tokens)
        query, key, value = (
            x.unflatten(-1, (self.num_heads, self.head_dim))
            for x in self.query_key_value(tokens).chunk(3, -1)
        )
        if not self.as_published:
            query = query + self.query_bias.unflatten(0, (self.num_heads, self.head_dim))
        return self.output(self._attend(query, key, value))

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor
    ) -> Float[Tensor, "batch rows cols group channels"]:
        """Attention of tokens ``(batch, rows, cols, frames, heads, d)``.

        Inside, a query has a frame g that sees positions and, in form ``published``, another one m
        of its own, over which is summed; keys have frames h, and besides a frame g where they
        differ for each: ``(batch, rows, cols, g, m or h, heads, d)``.
        """
        tiling = Tiling(query.shape[1], query.shape[2], self.window, self.window_shape)
        query = query.unsqueeze(3 if self.form == "published" else 4)
        query = query.expand(-1, -1, -1, self.group.order, -1, -1, -1)
        shared = self.form in ("joint", "published")  # keys lie in every frame
        key, value = (x.unsqueeze(3 if shared else 4) for x in (key, value))
        value = self.dropout(value)
        tables = OffsetTables() if self.relative is None else self.relative(tiling.reaches)
        if self.rotary is not None:
            tables = replace(tables, rotation=self.rotary)
        backend = choose_backend(self.method, query, tables, tiling)
        attended = backend.attention(query, key, value, tables, tiling, scale=self.scale)
        return attended.sum(4).flatten(-2) if attended.shape[4] > 1 else attended.flatten(-3)


def _check_used(
    positional: str, window: int | None, image_size: object, encoding: str, window_shape: str
) -> None:
    """No argument that the others leave without a use."""
    if window is None and window_shape != "auto":
        raise ValueError(
            f"window_shape: got {window_shape!r} without a window; accepts 'auto', or any beside "
            "a window"
        )
    without = "positional 'none'" if positional == "none" else f"window {window}"
    unsized = positional == "none" or (window is not None and positional != "absolute")
    if image_size is not None and unsized:
        raise ValueError(
            f"image_size: got {image_size!r} with {without}, which needs none; accepts it with "
            "positional 'absolute', or with the other encodings of global attention"
        )
    users = {"table": ("absolute", "relative"), "continuous": ("absolute", "relative", "radial")}
    if encoding in users and positional not in users[encoding]:
        raise ValueError(
            f"encoding: got {encoding!r} with positional {positional!r}, which has no such "
            f"encoding; accepts it with positional {' or '.join(map(repr, users[encoding]))}"
        )


class LiftingSelfAttention(_SelfAttention):
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
        ``"published"``: everything as the published code has it, see `gsa_core.published`.
    window_shape
        ``"square"``, ``"disc"`` of that diameter, ``"soft_disc"`` that fades to its rim, or
        ``"auto"``: a square for groups that keep the axes, else a disc.
    attention_dropout
        Probability of dropping a key in training, see `gsa_core.attention.dropout`.
    head_dim
        Channels a head, if not ``ceil(out_channels / num_heads)``.
    method
        ``"kernel"`` (our own operator, for the CPU), ``"flex"`` (torch's FlexAttention, for GPUs),
        ``"torch"`` (torch's fused attention), ``"written_out"`` (all scores in memory), or
        ``"auto"``: the fastest (`faster_method`), torch where that cannot be had. All are equal to
        rounding.
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
            form="lifting",  # keys have no frames of their own
            image_size=image_size,
            encoding=encoding,
            window_shape=window_shape,
            attention_dropout=attention_dropout,
            head_dim=head_dim,
            method=method,
        )
        self._add_maps(nn.Linear, in_channels, out_channels)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels group height width"]:
        """Map ``(batch, in, height, width)`` to ``(batch, out, |H|, height, width)``."""
        check_shape("image", image, "batch", self.in_channels, "height", "width")
        return to_features(self._forward_tokens(to_tokens(image.unsqueeze(2))))


class GroupSelfAttention(_SelfAttention):
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
    Dearer by a factor ``|H|``.

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
    head_dim, method
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
            form=form,
            image_size=image_size,
            encoding=encoding,
            window_shape=window_shape,
            attention_dropout=attention_dropout,
            head_dim=head_dim,
            method=method,
        )
        linear = partial(GroupLinear, group) if form == "framewise" else nn.Linear
        self._add_maps(linear, in_channels, out_channels)

    def forward(
        self, features: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch out_channels group height width"]:
        """Map ``(batch, in, |H|, height, width)`` to ``(batch, out, |H|, height, width)``."""
        axes = ("batch", self.in_channels, self.group.order, "height", "width")
        check_shape("features", features, *axes)
        return to_features(self._forward_tokens(to_tokens(features)))

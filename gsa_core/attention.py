"""Self-attention over a group: one function, and the layers around it.

`attend` does the arithmetic of every form. Lifting and group attention, global and local, joint
and framewise differ only in which tokens are laid side by side before it.

Axis letters, as in `gsa_core.positional`: b batch, t tile, g frame of the query, n head, i j row
and column of the query, k l row and column of the key, h frame of the key, d channel of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gsa_core.convolution import GroupLinear
from gsa_core.groups import PointGroup
from gsa_core.layout import to_features, to_tokens
from gsa_core.positional import (
    AbsoluteEncoding,
    Offsets,
    PositionalScores,
    RelativeFunction,
    RelativeTable,
)

__all__ = ["ENCODINGS", "FORMS", "POSITIONAL", "GroupSelfAttention", "LiftingSelfAttention"]

POSITIONAL = ("none", "absolute", "relative")
ENCODINGS = ("auto", "table", "continuous")
FORMS = ("joint", "framewise")

_TILE = 4  # queries a side that share their keys in local attention: the fastest in plain torch


def attend(
    query: Float[Tensor, "batch streams queries head_dim"],
    key: Float[Tensor, "batch streams keys head_dim"],
    value: Float[Tensor, "batch streams keys head_dim"],
    *,
    terms: tuple[Tensor, Tensor] | None = None,
    bias: Tensor | None = None,
) -> Float[Tensor, "batch streams queries head_dim"]:
    """``softmax((q k^T + a b^T) / sqrt(d) + bias) v`` in every stream.

    Parameters
    ----------
    query, key, value
        ``(batch, streams, tokens, d)``; a stream is a head of an independent attention.
    terms
        Factors ``a (batch, streams, queries, rank)`` and ``b (keys, rank)`` of scores that are
        known in factors. Laid beside queries and keys they cost no tensor of queries x keys.
    bias
        Added to the scaled scores, or, if boolean, says which keys a query sees.
    """
    width, scale = query.shape[-1], query.shape[-1] ** -0.5
    if terms is not None:
        of_query, of_key = terms
        query = torch.cat([query, of_query], -1)
        key = torch.cat([key, of_key.expand(*key.shape[:2], -1, -1)], -1)
        value = functional.pad(value, (0, of_key.shape[-1]))  # fused kernels want equal widths
    attended = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=bias, scale=scale
    )
    return attended[..., :width]


class _SelfAttention(nn.Module):
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
        joint: bool,
        image_size: int | tuple[int, int] | None,
        encoding: str,
    ) -> None:
        super().__init__()
        _check_choice("positional", positional, POSITIONAL)
        _check_choice("encoding", encoding, ENCODINGS)
        if num_heads < 1:
            raise ValueError(f"num_heads: got {num_heads}; accepts an integer >= 1")
        if window is not None and (window < 1 or window % 2 == 0):
            raise ValueError(f"window: got {window}; accepts an odd number of pixels, or None")
        self.group, self.positional, self.window, self.joint = group, positional, window, joint
        self.num_heads = num_heads
        self.head_dim = -(-out_channels // num_heads)  # rounded up: any number of channels will do
        size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.absolute: AbsoluteEncoding | None = None
        self.relative: RelativeTable | RelativeFunction | None = None
        if positional == "absolute":
            if size is None:
                raise ValueError("image_size: got None; positional='absolute' needs the image size")
            self.absolute = AbsoluteEncoding(group, in_channels, size, encoding)
        elif positional == "relative":
            self.relative = self._relative_encoding(size, encoding)

    def _relative_encoding(
        self, size: tuple[int, int] | None, encoding: str
    ) -> RelativeTable | RelativeFunction:
        """A table where its extent is known and the group keeps the axes, else a function."""
        reach = max(size) - 1 if size else None
        if self.window is not None:
            reach = self.window // 2
        if encoding == "table" and reach is None:
            raise ValueError("encoding: got 'table' without window or image_size, which size it")
        table = encoding == "table" or (
            encoding == "auto" and reach is not None and self.group.keeps_axes
        )
        heads = (self.group, self.num_heads, self.head_dim)
        if table:
            return RelativeTable(*heads, reach or 0, across_frames=self.joint)
        return RelativeFunction(*heads, scale=float(reach or 8), across_frames=self.joint)

    def _add_maps(
        self, linear: Callable[..., nn.Module], in_channels: int, out_channels: int
    ) -> None:
        """Queries, keys and values from one map, and the output map.

        A bias of the keys cancels in the softmax and one of the values in the output's.
        """
        inner = self.num_heads * self.head_dim
        self.query_key_value = linear(in_channels, 3 * inner, bias=False)
        self.query_bias = nn.Parameter(torch.zeros(inner))
        self.output = linear(inner, out_channels)

    def _forward_tokens(
        self, tokens: Float[Tensor, "batch rows cols frames channels"]
    ) -> Float[Tensor, "batch rows cols group out_channels"]:
        if self.absolute is not None:
            tokens = self.absolute(tokens)
        query, key, value = self.query_key_value(tokens).chunk(3, -1)
        return self.output(self._attend(query + self.query_bias, key, value))

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor
    ) -> Float[Tensor, "batch rows cols group channels"]:
        """Attention of tokens ``(b, rows, cols, frames, channels)``, channels being (head, d)."""
        rows, cols = query.shape[1:3]
        tiling = _Tiling(rows, cols, self.window, round_window=not self.group.keeps_axes)
        query, key, value = (
            x.unflatten(-1, (self.num_heads, self.head_dim)) for x in (query, key, value)
        )
        query = tiling.split(query, halo=0)
        key, value = tiling.split(key, halo=tiling.halo), tiling.split(value, halo=tiling.halo)
        if query.shape[2] == 1 < self.group.order:  # lifting: every frame asks with one query
            query = query.expand(-1, -1, self.group.order, -1, -1, -1, -1)
        scores = PositionalScores()
        if self.relative is not None:
            scores = self.relative(query, tiling.offsets(query.device))
        streams = _joint_streams if self.joint else _framewise_streams
        return tiling.join(streams(query, key, value, scores, tiling.visible(query.device)))


def _framewise_streams(
    query: Tensor, key: Tensor, value: Tensor, scores: PositionalScores, visible: Tensor | None
) -> Tensor:
    """Every frame attends within itself: streams are (tile, frame, head)."""
    b, t, g, n, i, j, d = query.shape
    streams = (b, t * g * n)
    key, value = (
        x.expand(-1, -1, g, -1, -1, -1, -1).reshape(*streams, -1, d) for x in (key, value)
    )
    terms, bias = None, None
    if scores.rows is not None and scores.cols is not None:
        of_query = torch.cat([scores.rows, scores.cols], -1).reshape(*streams, i * j, -1)
        terms = of_query, _key_terms(scores.rows, scores.cols)
    if scores.pairs is not None:
        bias = scores.pairs.reshape(*streams, i * j, -1)
    if visible is not None:
        visible = visible[:, None].expand(-1, g * n, -1, -1).flatten(0, 1).unsqueeze(0)
    query, bias = query.reshape(*streams, i * j, d), _combine(bias, visible, d)
    return attend(query, key, value, terms=terms, bias=bias).reshape(b, t, g, n, i, j, d)


def _joint_streams(
    query: Tensor, key: Tensor, value: Tensor, scores: PositionalScores, visible: Tensor | None
) -> Tensor:
    """Every token attends to all frames: streams are (tile, head), tokens (frame, position)."""
    b, t, g, n, i, j, d = query.shape
    streams = (b, t * n)
    query, key, value = (x.transpose(2, 3).reshape(*streams, -1, d) for x in (query, key, value))
    terms, bias = None, None
    parts = [x for x in (scores.rows, scores.cols, scores.frames) if x is not None]
    if parts:
        of_query = torch.cat(parts, -1).transpose(2, 3).reshape(*streams, g * i * j, -1)
        terms = of_query, _key_terms(scores.rows, scores.cols, g, scores.frames, key.shape[2])
    if scores.pairs is not None:
        bias = scores.pairs.flatten(4, 5).flatten(5, 6).transpose(2, 3).unsqueeze(5)
        bias = bias.expand(-1, -1, -1, -1, -1, g, -1).reshape(*streams, g * i * j, -1)
    if visible is not None:
        visible = visible[:, None, None, :, None, :].expand(-1, n, g, -1, g, -1)
        visible = visible.reshape(1, t * n, g * i * j, -1)
    attended = attend(query, key, value, terms=terms, bias=_combine(bias, visible, d))
    return attended.reshape(b, t, n, g, i, j, d).transpose(2, 3)


def _key_terms(
    rows: Tensor | None,
    cols: Tensor | None,
    group: int = 1,
    frames: Tensor | None = None,
    keys: int = 0,
) -> Tensor:
    """One-hot row, column and frame of every key (frame, row, column), ``(keys, rank)``."""
    parts = []
    if rows is not None and cols is not None:
        height, width = rows.shape[-1], cols.shape[-1]
        grid = (group, height, width)
        parts.append(torch.eye(height).to(rows)[None, :, None].expand(*grid, -1).flatten(0, 2))
        parts.append(torch.eye(width).to(cols)[None, None].expand(*grid, -1).flatten(0, 2))
    if frames is not None:
        parts.append(torch.eye(group).to(frames).repeat_interleave(keys // group, 0))
    return torch.cat(parts, -1)


def _combine(bias: Tensor | None, visible: Tensor | None, head_dim: int) -> Tensor | None:
    """Bias on the scale of the scores, minus infinity where a key is not seen."""
    if bias is None:
        return visible
    bias = bias * head_dim**-0.5
    return bias if visible is None else bias.masked_fill(~visible, float("-inf"))


class _Tiling:
    """Cuts a grid into tiles of queries that share their keys: the tile and a halo around it.

    Without a window there is one tile, the image, and no halo.
    """

    def __init__(self, rows: int, cols: int, window: int | None, *, round_window: bool) -> None:
        self.size = (rows, cols)
        self.round_window = round_window
        self.local = window is not None and window < 2 * max(rows, cols) - 1
        self.radius = (window or 0) // 2
        self.halo = self.radius if self.local else 0
        self.tile = (min(_TILE, rows), min(_TILE, cols)) if self.local else (rows, cols)
        self.tiles = tuple(-(-n // tile) for n, tile in zip(self.size, self.tile, strict=True))
        self.window = window

    def split(self, tokens: Tensor, halo: int) -> Tensor:
        """``(b, rows, cols, g, n, d)`` to ``(b, t, g, n, i, j, d)``, zeros beyond the image."""
        if not self.local:
            return tokens.permute(0, 3, 4, 1, 2, 5).unsqueeze(1)
        (height, width), (count_rows, count_cols) = self.tile, self.tiles
        beyond = (count_rows * height - self.size[0], count_cols * width - self.size[1])
        padding = (0, 0, 0, 0, 0, 0, halo, halo + beyond[1], halo, halo + beyond[0])
        tokens = functional.pad(tokens, padding)
        tokens = tokens.unfold(1, height + 2 * halo, height).unfold(2, width + 2 * halo, width)
        # (b, tile rows, tile cols, g, n, d, i, j)
        return tokens.permute(0, 1, 2, 3, 4, 6, 7, 5).flatten(1, 2)

    def join(self, tokens: Tensor) -> Tensor:
        """``(b, t, g, n, i, j, d)`` back to ``(b, rows, cols, g, n d)``, cropped to the image."""
        b, _, g, n, i, j, d = tokens.shape
        tokens = tokens.unflatten(1, self.tiles).permute(0, 1, 5, 2, 6, 3, 4, 7)
        tokens = tokens.reshape(b, self.tiles[0] * i, self.tiles[1] * j, g, n * d)
        return tokens[:, : self.size[0], : self.size[1]]

    def offsets(self, device: torch.device) -> Offsets:
        """Offsets of keys from queries, the same in every tile; beyond the window clamped."""
        axes = [
            torch.arange(-self.halo, tile + self.halo, device=device)[None, :]
            - torch.arange(tile, device=device)[:, None]
            for tile in self.tile
        ]
        farthest = max(self.tile) - 1
        if self.window is not None:
            farthest = min(farthest + self.halo, self.radius)
            axes = [axis.clamp(-farthest, farthest) for axis in axes]
        return Offsets(axes[0], axes[1], farthest)

    def visible(self, device: torch.device) -> Tensor | None:
        """Which keys a query sees, ``(t, ij, kl)``: those in the window and in the image.

        Queries beyond the image (the last tiles may stick out) see everything; they are cropped.
        """
        if not self.local:
            return None
        seen, key_inside, query_inside = [], [], []
        for size, tile, count in zip(self.size, self.tile, self.tiles, strict=True):
            query = torch.arange(tile, device=device)
            key = torch.arange(-self.halo, tile + self.halo, device=device)
            start = tile * torch.arange(count, device=device)[:, None]
            seen.append(key[None, :] - query[:, None])
            key_inside.append((start + key >= 0) & (start + key < size))
            query_inside.append(start + query < size)
        rows, cols = seen[0][:, None, :, None], seen[1][None, :, None, :]
        if self.round_window:  # every lattice point within window / 2 pixels
            near = 4 * (rows**2 + cols**2) <= self.window**2
        else:
            near = (rows.abs() <= self.radius) & (cols.abs() <= self.radius)
        keys = key_inside[0][:, None, :, None] & key_inside[1][None, :, None, :]
        queries = query_inside[0][:, None, :, None] & query_inside[1][None, :, None, :]
        keys, queries = keys.flatten(0, 1).flatten(1, 2), queries.flatten(0, 1).flatten(1, 2)
        near = near.flatten(0, 1).flatten(1, 2)
        return (near & keys[:, None, :]) | ~queries[:, :, None]


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
        ``"none"``, ``"absolute"`` (needs `image_size`) or ``"relative"``.
    window
        Odd side in pixels of the neighbourhood a query sees: a square for groups that keep the
        axes, else a disc of that diameter. ``None`` is global.
    image_size
        Pixels, one number or ``(height, width)``; the largest image, for a global table.
    encoding
        ``"table"`` (learned offsets or positions), ``"continuous"`` (a learned function), or
        ``"auto"``: a table where the group keeps the axes and its extent is known.

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
    ) -> None:
        super().__init__(
            group,
            in_channels,
            out_channels,
            num_heads,
            positional=positional,
            window=window,
            joint=False,  # keys have no frames of their own
            image_size=image_size,
            encoding=encoding,
        )
        self._add_maps(nn.Linear, in_channels, out_channels)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels group height width"]:
        """Map ``(batch, in, height, width)`` to ``(batch, out, |H|, height, width)``."""
        return to_features(self._forward_tokens(to_tokens(image.unsqueeze(2))))


class GroupSelfAttention(_SelfAttention):
    """Self-attention from group feature maps to group feature maps.

    Form ``joint``, positions and frames attended to together:
    ``F'(x, h) = sum_{y, h'} softmax_{(y, h')}[ q(x, h) . (k(y, h') + p(h^-1 (y - x), h^-1 h'))
    / sqrt(d) ] v(y, h')``; its linear maps act on each frame alone.

    Form ``framewise``, each frame attends within itself:
    ``F'(x, h) = sum_y softmax_y[ q(x, h) . (k(y, h) + p(h^-1 (y - x))) / sqrt(d) ] v(y, h)``; its
    linear maps are `GroupLinear` and mix the frames. Cheaper by a factor ``|H|`` in scores.

    Equivariant: ``Phi(L_s F) = L_s Phi(F)``, to rounding for the elements that keep the pixel
    grid. For the trivial group both forms are ordinary self-attention.

    Parameters
    ----------
    group
        The point group H.
    in_channels, out_channels
        Channels a frame.
    form
        ``"joint"`` or ``"framewise"``.
    num_heads, positional, window, image_size, encoding
        As in `LiftingSelfAttention`.

    Examples
    --------
    >>> from gsa_core import dihedral_group
    >>> layer = GroupSelfAttention(dihedral_group(4), 8, 6, 2, form="framewise", window=3)
    >>> layer(torch.zeros(1, 8, 8, 5, 5)).shape
    torch.Size([1, 6, 8, 5, 5])
    """

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
    ) -> None:
        _check_choice("form", form, FORMS)
        super().__init__(
            group,
            in_channels,
            out_channels,
            num_heads,
            positional=positional,
            window=window,
            joint=form == "joint",
            image_size=image_size,
            encoding=encoding,
        )
        self.form = form
        linear = nn.Linear if self.joint else partial(GroupLinear, group)
        self._add_maps(linear, in_channels, out_channels)

    def forward(
        self, features: Float[Tensor, "batch channels group height width"]
    ) -> Float[Tensor, "batch out_channels group height width"]:
        """Map ``(batch, in, |H|, height, width)`` to ``(batch, out, |H|, height, width)``."""
        if features.shape[2] != self.group.order:
            raise ValueError(
                f"features: got {features.shape[2]} frames on axis 2; {self.group.name} has "
                f"{self.group.order}"
            )
        return to_features(self._forward_tokens(to_tokens(features)))


def _check_choice(name: str, got: str, accepted: tuple[str, ...]) -> None:
    if got not in accepted:
        raise ValueError(f"{name}: got {got!r}; accepts {', '.join(map(repr, accepted))}")

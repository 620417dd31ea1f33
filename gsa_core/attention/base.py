"""What lifting and group attention share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsa_core.attention.backends.registry import METHODS, choose_backend
from gsa_core.attention.dropout import OrbitDropout
from gsa_core.attention.encodings.registry import (
    ENCODINGS,
    Setting,
    check_positional,
    check_setting,
    make_encoding,
)
from gsa_core.attention.encodings.rotary import RotaryEncoding
from gsa_core.attention.encodings.tables import OffsetEncoding, OffsetTables, check_tables
from gsa_core.attention.forms import PUBLISHED, STANDARD, Form
from gsa_core.attention.masks import attention_weights, check_mask, hide_keys
from gsa_core.attention.neighbourhood import WINDOW_SHAPES, Tiling
from gsa_core.common.arguments import check_choice, check_flag, check_odd, check_sides, check_whole
from gsa_core.common.saved_properties import Identified
from gsa_core.groups import PointGroup, check_group

__all__ = ["SelfAttention"]


class SelfAttention(Identified):
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
        form: Form,
        image_size: int | tuple[int, int] | None,
        encoding: str,
        window_shape: str,
        attention_dropout: float,
        head_dim: int | None,
        method: str,
        qk_norm: bool,
    ) -> None:
        super().__init__()
        check_positional(positional)
        for name, got, accepted in (
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
        if window is None and window_shape != "auto":
            raise ValueError(
                f"window_shape: got {window_shape!r} without a window; accepts 'auto', or any "
                "together with a window"
            )
        check_setting(positional, window, image_size, encoding)
        self.group, self.positional, self.form = group, positional, form
        self.in_channels, self.out_channels = in_channels, out_channels
        self.window, self.method = window, method
        self.window_shape = window_shape
        if window_shape == "auto":
            self.window_shape = "square" if group.keeps_axes else "disc"
        self.num_heads = num_heads
        # Rounded up: any number of channels will do.
        self.head_dim = -(-out_channels // num_heads) if head_dim is None else head_dim
        self.preset = PUBLISHED if encoding == "published" else STANDARD
        self.scale = (in_channels if self.preset.scales_by_input else self.head_dim) ** -0.5
        self.dropout = OrbitDropout(group, attention_dropout)
        self.query_norm: nn.LayerNorm | None = None
        self.key_norm: nn.LayerNorm | None = None
        if check_flag("qk_norm", qk_norm):
            self.query_norm, self.key_norm = (
                nn.LayerNorm(self.head_dim),
                nn.LayerNorm(self.head_dim),
            )
        size = None if image_size is None else check_sides("image_size", image_size)
        self._add_encoding(size, encoding)

    def _add_encoding(self, image_size: tuple[int, int] | None, kind: str) -> None:
        """The encoding as up to three modules; `relative` gives tables of offsets."""
        setting = Setting(
            self.group, self.in_channels, self.num_heads, self.head_dim, image_size, self.window,
            kind, self.form.frame_offsets(self.group),
        )  # fmt: skip
        self.reach = setting.reach or (0 if kind == "published" else int(setting.scale))
        self.absolute: nn.Module | None = None
        self.relative: OffsetEncoding | None = None
        self.rotary: RotaryEncoding | None = None
        for name, module in make_encoding(self.positional, setting).items():
            setattr(self, name, module)

    def extra_repr(self) -> str:
        """What the layer is, for ``print``."""
        about = {
            "group": self.group.name, "in_channels": self.in_channels,
            "out_channels": self.out_channels, "num_heads": self.num_heads,
            "form": self.form.name, "positional": self.positional,
            "encoding": self.identity()["encoding"], "window": self.window,
            "window_shape": None if self.window is None else self.window_shape,
            "method": self.method,
        }  # fmt: skip
        return ", ".join(f"{name}={x}" for name, x in about.items() if x is not None)

    def identity(self) -> dict[str, Any]:
        """All that decides the scores of a query but the numbers learned."""
        encoding = None if self.relative is None else self.relative.kind
        scaled = self.relative is not None and self.relative.scaled
        return {
            "group": self.group.name,
            "form": self.form.name,
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "positional": self.positional,
            "encoding": "published" if self.preset == PUBLISHED else encoding,
            "reach": self.reach if scaled else None,
            "window": self.window,
            "window_shape": None if self.window is None else self.window_shape,
        }

    def _add_maps(
        self, linear: Callable[..., nn.Module], in_channels: int, out_channels: int
    ) -> None:
        """Queries, keys and values from one map, and the output map."""
        inner = self.num_heads * self.head_dim
        self.query_key_value = linear(in_channels, 3 * inner, bias=self.preset.all_biases)
        if not self.preset.all_biases:
            self.query_bias = nn.Parameter(torch.zeros(inner))
        self.output = linear(inner, out_channels)

    def _forward_tokens(
        self,
        tokens: Float[Tensor, "batch rows cols frames channels"],
        mask: Tensor | None = None,
        context: Tensor | None = None,
        return_attention: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """The result ``(batch, rows, cols, |H|, out)``, and the weights if asked for."""
        if mask is not None:
            check_mask("mask", mask, *tokens.shape[:3])
        query, key, value = self._projected(tokens)
        if context is not None:
            _, key, value = self._projected(context)
        attended, weights = self._attend(query, key, value, mask, return_attention)
        out = self.output(attended)
        if mask is not None:
            out = out.masked_fill(~mask[..., None, None], 0)
        return out if weights is None else (out, weights)

    def _projected(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values ``(batch, rows, cols, frames, heads, d)``."""
        if self.absolute is not None:
            tokens = self.absolute(tokens)
        query, key, value = (
            x.unflatten(-1, (self.num_heads, self.head_dim))
            for x in self.query_key_value(tokens).chunk(3, -1)
        )
        if not self.preset.all_biases:
            query = query + self.query_bias.unflatten(0, (self.num_heads, self.head_dim))
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        return query, key, value

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None = None,
        return_attention: bool = False,
    ) -> tuple[Float[Tensor, "batch rows cols group channels"], Tensor | None]:
        """Attention of tokens ``(batch, rows, cols, frames, heads, d)``, and its weights."""
        tiling = Tiling(query.shape[1], query.shape[2], self.window, self.window_shape)
        query = self.form.queries(query, self.group.order)
        key, value = self.form.keys(key), self.dropout(self.form.keys(value))
        tables = OffsetTables()
        if self.relative is not None:
            tables = self.relative(tiling.reaches)
            if not torch.compiler.is_compiling():
                name = f"positional {self.positional!r}"
                check_tables(name, tables, tiling.reaches, query, key)
        if self.rotary is not None:
            tables = replace(tables, rotation=self.rotary)
        width = value.shape[-1]
        if mask is not None:
            query, key, value, tables = hide_keys(query, key, value, tables, mask, self.scale)
        weights = None
        if return_attention:
            weights = attention_weights(query, key, tables, tiling, scale=self.scale)
            if mask is not None:
                weights = weights * mask[:, None, None, :, :, None, None, None]
        backend = choose_backend(self.method, query, tables, tiling)
        attended = backend.attention(query, key, value, tables, tiling, scale=self.scale)
        return self.form.result(attended[..., :width]), weights

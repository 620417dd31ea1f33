"""The kernels of `triton_kernels` as torch operators with gradients.

Keys and values are read in tiles of the image; a step keeps queries, keys, values, the scores of
queries with an encoding's tables, the result and a number for each query.
"""

from __future__ import annotations

import contextlib
from functools import lru_cache
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from gsa_core.attention.backends.operators import flops
from gsa_core.attention.neighbourhood import Tiling
from gsa_core.common.cached import constant
from gsa_core.common.derivatives import gradients_are_differentiated

__all__ = ["NO_RULE", "attended", "launch_options", "plan"]

NO_RULE = (
    "it has no rule for derivatives of gradients, transforms of torch.func (vmap, grad, jvp, ...) "
    "and forward-mode derivatives; use method='torch' or 'written_out' there"
)
_PIXELS = 64  # of a tile of queries, and of a block of keys
_NARROWEST = 16  # channels that the hardware multiplies
_TERMS = ("rows", "cols", "frames", "pairs")
_ARGUMENTS = (
    "Tensor query, Tensor key, Tensor value, Tensor? rows, Tensor? cols, Tensor? frames, "
    "Tensor? pairs, int? window, str shape, float scale"
)


@lru_cache(maxsize=256)
def plan(size: tuple[int, int], reaches: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Sides of a tile and of a block, such that an image has the fewest pairs of the two."""
    sides = [(_PIXELS >> n, 1 << n) for n in range(_PIXELS.bit_length())]

    def pairs(tile: tuple[int, int], block: tuple[int, int]) -> int:
        count = 1
        for n, reach, side, step in zip(size, reaches, tile, block, strict=True):
            starts = range(0, n, side)
            count *= sum(
                -(-(min(at + side + reach, n) - max(at - reach, 0)) // step) for at in starts
            )
        return count

    def uneven(both: tuple[tuple[int, int], ...]) -> int:
        return sum(abs(rows - cols) for rows, cols in both)

    return min(product(sides, sides), key=lambda both: (pairs(*both), uneven(both)))


def launch_options(dtype: torch.dtype) -> dict[str, Any]:
    """Warps of a program, and blocks that are read ahead."""
    return {"num_warps": 4, "num_stages": 2}


def _precision(dtype: torch.dtype) -> str:
    """How 32 bits are multiplied: kept by three products of TF32 unless torch may round."""
    if dtype != torch.float32 or torch.version.hip:
        return "ieee"
    return "tf32x3" if torch.get_float32_matmul_precision() == "highest" else "tf32"


@constant
def _fading(
    rows: int, cols: int, window: int | None, shape: str, dtype: torch.dtype, device: torch.device
) -> Tensor | None:
    """Logarithms of a soft window's weights."""
    like = torch.empty(0, dtype=dtype, device=device)
    fading = Tiling(rows, cols, window, shape).neighbourhood(like)[1]
    return None if fading is None else fading.contiguous()


def _wide(query: Tensor) -> torch.dtype:
    return torch.promote_types(query.dtype, torch.float32)


def _strides(x: Tensor) -> tuple[int, ...]:
    return x.stride()[:-1]


def _unit(x: Tensor) -> Tensor:
    """Channels side by side; the other axes as they are."""
    return x if x.shape[-1] == 1 or x.stride(-1) == 1 else x.contiguous()


class _Call:
    """The arguments that the kernels share, for some inputs."""

    def __init__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        terms: tuple[Tensor | None, ...],
        window: int | None,
        shape: str,
        scale: float,
    ) -> None:
        from triton.language import float32, float64

        batch, rows, cols, group, own, heads, _width = query.shape
        tiling = Tiling(rows, cols, window, shape)
        wide = _wide(query)
        fading = _fading(rows, cols, window, shape, wide, query.device, like=query)
        self.query, self.key, self.value = query, key, value
        self.tile, block = plan((rows, cols), tiling.reaches)
        self.tiles = tuple(-(-n // side) for n, side in zip((rows, cols), self.tile, strict=True))
        sets, members = key.shape[3:5]
        self.terms = (*terms, fading)
        self.sizes = (
            batch, rows, cols, *self.tiles, group, own, sets, members, heads,
            *tiling.reaches, (window or 0) ** 2,
        )  # fmt: skip
        widths = [x.shape[-1] for x in (query, value)]
        padded = [max(_NARROWEST, 1 << (n - 1).bit_length()) for n in widths]
        self.constants = (
            scale,  # a constant, since an argument has 32 bits
            shape if tiling.local else "square",
            _precision(query.dtype), float64 if wide == torch.float64 else float32,
            *widths, *padded, *self.tile, *block,
        )  # fmt: skip
        self.options = launch_options(query.dtype)

    def run(self, kernel: Any, programs: int, *arguments: Any) -> None:
        """Run a kernel, with so many programs for each tile of each image."""
        on_device: Any = contextlib.nullcontext()
        if self.query.device.type == "cuda":
            on_device = torch.cuda.device(self.query.device)
        grid = (self.query.shape[0] * self.tiles[0] * self.tiles[1] * programs,)
        with on_device:
            kernel[grid](*arguments, *self.sizes, *self.constants, **self.options)


def _empty(query: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    batch, rows, cols, group, own, heads, _ = query.shape
    out = query.new_empty((*query.shape[:-1], value.shape[-1]))
    lse = query.new_empty((group, heads, batch, rows, cols, own), dtype=_wide(query))
    return out, lse


def _forward(query: Tensor, key: Tensor, value: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    out, lse = _empty(query, value)
    if not out.numel():
        return out, lse
    from gsa_core.attention.backends.triton_kernels import forward

    call = _Call(query, key, value, others[:4], *others[4:])
    programs = query.shape[3] * query.shape[4] * query.shape[5]
    strides = (_strides(x) for x in (query, key, value, out))
    call.run(forward, programs, query, key, value, *call.terms, out, lse, *strides)
    return out, lse


def _empty_gradients(
    query: Tensor, key: Tensor, value: Tensor, terms: tuple[Tensor | None, ...]
) -> tuple[Tensor, ...]:
    tokens = (x.new_empty(x.shape) for x in (query, key, value))
    # Offsets that lead out of the image are written by nobody.
    zeros = (query.new_empty(0) if x is None else x.new_zeros(x.shape) for x in terms)
    return (*tokens, *zeros)


def _backward(
    out_grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *others: Any
) -> tuple[Tensor, ...]:
    *terms, window, shape, scale, out, lse = others
    found = _empty_gradients(query, key, value, tuple(terms))
    if not out.numel():
        return tuple(x.zero_() for x in found)
    from gsa_core.attention.backends.triton_kernels import key_gradients, query_gradients

    call = _Call(query, key, value, tuple(terms), window, shape, scale)
    delta, out_grad = torch.empty_like(lse), _unit(out_grad)
    _, _, _, group, own, heads, _ = query.shape
    strides = [_strides(x) for x in (query, key, value, out, out_grad, *found[:3])]
    call.run(
        query_gradients, group * own * heads,
        query, key, value, *call.terms, out, lse, out_grad, delta, found[0], *found[3:],
        *strides[:6],
    )  # fmt: skip
    call.run(
        key_gradients, key.shape[3] * key.shape[4] * heads,
        query, key, value, *call.terms, lse, out_grad, delta, found[1], found[2],
        *strides[:3], *strides[4:5], *strides[6:],
    )  # fmt: skip
    return found


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.window, ctx.shape, ctx.scale = inputs
    ctx.save_for_backward(*tensors, *output)
    ctx.mark_non_differentiable(output[1])


def _gradients(ctx: Any, out_grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    if gradients_are_differentiated():
        raise NotImplementedError(f"method: got 'triton'; {NO_RULE}")
    *tensors, out, lse = ctx.saved_tensors
    options = (ctx.window, ctx.shape, ctx.scale)
    found = torch.ops.gsa_core.triton_attention_backward(out_grad, *tensors, *options, out, lse)
    needed = ctx.needs_input_grad[:7]
    return (*(x if wanted else None for x, wanted in zip(found, needed, strict=True)),) + 3 * (
        None,
    )


_LIBRARY = torch.library.Library("gsa_core", "FRAGMENT")
_LIBRARY.define(f"triton_attention({_ARGUMENTS}) -> (Tensor, Tensor)")
_LIBRARY.define(
    f"triton_attention_backward(Tensor out_grad, {_ARGUMENTS}, Tensor out, Tensor lse) -> "
    f"({', '.join(7 * ['Tensor'])})"
)
for _key in ("CPU", "CUDA"):  # on a CPU by Triton's interpreter
    _LIBRARY.impl("triton_attention", _forward, _key)
    _LIBRARY.impl("triton_attention_backward", _backward, _key)
torch.library.register_fake(
    "gsa_core::triton_attention",
    lambda query, key, value, *others: _empty(query, value),
    lib=_LIBRARY,
)
torch.library.register_fake(
    "gsa_core::triton_attention_backward",
    lambda out_grad, query, key, value, *others: _empty_gradients(query, key, value, others[:4]),
    lib=_LIBRARY,
)
torch.library.register_autograd(
    "gsa_core::triton_attention", _gradients, setup_context=_keep, lib=_LIBRARY
)


@register_flop_formula(torch.ops.gsa_core.triton_attention)
def _flops(query: Any, key: Any, value: Any, *others: Any, out_shape: Any = None) -> int:
    """Operations of one pass; the products with tables are operators of torch."""
    count: int = flops(query, key, value, None, None, None, None, *others[4:])
    return count


def attended(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    terms: dict[str, Tensor],
    tiling: Tiling,
    scale: float,
) -> Tensor:
    """Attention of the contract in `registry`, terms by their names as scores of queries."""
    tokens = (_unit(x) for x in (query, key, value))
    known = (terms.get(name) for name in _TERMS)
    out, _ = torch.ops.gsa_core.triton_attention(
        *tokens, *known, tiling.window, tiling.shape, scale
    )
    return out

"""Attention of our own for processors, as torch operators with gradients.

They compute what the module `reference` computes from the same tables, without a tensor of scores
or of positional terms: a step keeps queries, keys, values and the result for its backward pass.
Gradients that are differentiated themselves are computed in operators of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from gsa_core.attention.backends import kernel_calls, reference
from gsa_core.attention.encodings.rotary import turn
from gsa_core.attention.encodings.tables import OffsetTables
from gsa_core.attention.neighbourhood import Tiling
from gsa_core.common.derivatives import (
    differentiable_gradients,
    gradients_are_differentiated,
    is_transformed,
)

__all__ = ["flops", "fused_attention", "fused_rotation"]

_ARGUMENTS = (
    "Tensor query, Tensor key, Tensor value, Tensor? rows, Tensor? cols, Tensor? pairs, "
    "Tensor? frames, int? window, str shape, float scale"
)
_SCHEMAS = {
    "attention": f"({_ARGUMENTS}) -> (Tensor, Tensor)",
    "attention_backward": (
        f"(Tensor out_grad, {_ARGUMENTS}, Tensor out, Tensor lse) -> ({', '.join(7 * ['Tensor'])})"
    ),
    "rotation": "(Tensor tokens, Tensor angles, Tensor cos, Tensor sin) -> Tensor",
    "rotation_backward": (
        "(Tensor turned_grad, Tensor turned, Tensor cos, Tensor sin) -> (Tensor, Tensor)"
    ),
}
_ON_CPU: dict[str, Callable[..., Any]] = {
    "attention": kernel_calls.attention_forward,
    "attention_backward": kernel_calls.attention_backward,
    "rotation": kernel_calls.rotation_forward,
    "rotation_backward": kernel_calls.rotation_backward,
}
_SHAPES: dict[str, Callable[..., Any]] = {
    "attention": lambda query, *others: kernel_calls.empty_results(query),
    "attention_backward": lambda out_grad, *others: kernel_calls.summed(
        kernel_calls.empty_gradients(*others[:7])
    ),
    "rotation": kernel_calls.empty_turned,
    "rotation_backward": lambda turned_grad, turned, cos, sin: (
        torch.empty_like(turned),
        torch.empty_like(cos),
    ),
}


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.window, ctx.shape, ctx.scale = inputs
    ctx.save_for_backward(*tensors, *output)
    ctx.mark_non_differentiable(output[1])


def _gradients(ctx: Any, out_grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, out, lse = ctx.saved_tensors
    options = (ctx.window, ctx.shape, ctx.scale)
    needed = ctx.needs_input_grad[:7]
    if gradients_are_differentiated():
        found = differentiable_gradients(
            lambda *inputs: _by_torch(*inputs, *options), tensors, needed, out_grad
        )
        return (*found, None, None, None)
    gradients = torch.ops.gsa_core.attention_backward(out_grad, *tensors, *options, out, lse)
    known = [g if wanted else None for g, wanted in zip(gradients, needed, strict=True)]
    return (*known, None, None, None)


def _by_torch(
    query: Tensor, key: Tensor, value: Tensor, *others: Any
) -> Float[Tensor, "batch rows cols group own heads head_dim"]:
    """What the operator computes, in operators of torch, which have derivatives of every order."""
    *tables, window, shape, scale = others
    tiling = Tiling(query.shape[1], query.shape[2], window, shape)
    terms = OffsetTables(*tables)
    return reference.attention(query, key, value, terms, tiling, scale=scale)


def _keep_turned(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    tokens, angles, cos, sin = inputs
    ctx.shared = tokens.shape[3] < output.shape[3]
    ctx.save_for_backward(output, angles, cos, sin)


def _turn_gradients(ctx: Any, turned_grad: Tensor) -> tuple[Tensor | None, ...]:
    turned, angles, cos, sin = ctx.saved_tensors
    if gradients_are_differentiated():
        grad, angle_grad = _turn_back(turned_grad, turned, angles)
    else:
        grad, angle_grad = torch.ops.gsa_core.rotation_backward(turned_grad, turned, cos, sin)
    return (grad.sum(3, keepdim=True) if ctx.shared else grad), angle_grad, None, None


def _turn_back(turned_grad: Tensor, turned: Tensor, angles: Tensor) -> tuple[Tensor, Tensor]:
    """What `rotation_backward` computes, in operators of torch."""
    pairs = angles.shape[-1]
    parts = [pairs, pairs, turned.shape[-1] % 2]
    (first, second, _), (grad, other, _) = (x.split(parts, -1) for x in (turned, turned_grad))
    return turn(turned_grad, -angles), (other * first - grad * second).sum((0, 4))


def _refuse(ctx: Any, *gradients: Tensor) -> None:
    raise NotImplementedError(
        "gsa_core: a backward operator of the kernel was called by itself and has no derivative; "
        "differentiate the layer, or use method='written_out'"
    )


# The plain interface of torch.library: that of custom_op imports the compiler at the first call.
# An operator without a rule of autograd would drop gradients without an error.
_LIBRARY = torch.library.Library("gsa_core", "DEF")
_RULES: dict[str, tuple[Any, Any]] = {
    "attention": (_gradients, _keep),
    "rotation": (_turn_gradients, _keep_turned),
    "attention_backward": (_refuse, None),
    "rotation_backward": (_refuse, None),
}
for _name, _schema in _SCHEMAS.items():
    _LIBRARY.define(_name + _schema)
    _LIBRARY.impl(_name, _ON_CPU[_name], "CPU")
    torch.library.register_fake(f"gsa_core::{_name}", _SHAPES[_name], lib=_LIBRARY)
    _backward, _setup = _RULES[_name]
    torch.library.register_autograd(
        f"gsa_core::{_name}", _backward, setup_context=_setup, lib=_LIBRARY
    )


@register_flop_formula(torch.ops.gsa_core.attention)
def flops(
    query: Sequence[int],
    key: Sequence[int],
    value: Sequence[int],
    rows: Sequence[int] | None,
    cols: Sequence[int] | None,
    pairs: Sequence[int] | None,
    frames: Sequence[int] | None,
    window: int | None,
    shape: str,
    scale: float,
    out_shape: Any = None,
) -> int:
    """Operations of one pass, two a multiply-add, from the shapes of the arguments."""
    batch, height, width, group, own, heads, d = query
    tiling = Tiling(height, width, window, shape)
    reach = tiling.reaches[0]
    seen = sum(
        (height - abs(row)) * sum(width - abs(col) for col in range(-far, far + 1))
        for row, far in zip(
            range(-reach, reach + 1), tiling.neighbourhood(torch.empty(0))[0], strict=True
        )
    )
    entries = sum(table[1] for table in (rows, cols) if table is not None)
    entries += frames[2] if frames is not None else 0
    spatial = height * width * entries + (seen if pairs is not None else 0)
    return 2 * d * batch * group * own * heads * (2 * key[4] * seen + spatial)


def fused_rotation(
    angles: Float[Tensor, "rows cols group heads pairs"], *tokens: Tensor
) -> list[Tensor]:
    """Turn pairs of channels by angles, as `RotaryEncoding` does; in 32 bits.

    Parameters
    ----------
    angles
        Of every pair of channels, the same for all tokens; their sines are computed once.
    tokens
        Each ``(batch, rows, cols, frames, others, heads, d)``, of one frame or of all.

    Returns
    -------
    list of Tensor
        Each ``(batch, rows, cols, group, others, heads, d)``.
    """
    _check_not_transformed()
    dtype = kernel_calls.NUMBERS.get(tokens[0].dtype, torch.float32)
    angles = angles.to(dtype).contiguous()
    cos, sin = angles.detach().cos(), angles.detach().sin()
    return [torch.ops.gsa_core.rotation(x.to(dtype), angles, cos, sin) for x in tokens]


def fused_attention(
    query: Float[Tensor, "batch rows cols group own heads head_dim"],
    key: Float[Tensor, "batch rows cols sets members heads head_dim"],
    value: Float[Tensor, "batch rows cols sets members heads head_dim"],
    tables: OffsetTables,
    tiling: Tiling,
    *,
    scale: float,
) -> Float[Tensor, "batch rows cols group own heads head_dim"]:
    """``softmax(scale q . (k + p) + w) v`` over a neighbourhood and the frames of the keys.

    Parameters
    ----------
    query
        Queries that see with every frame g, several `own` to an image; any strides.
    key, value
        Keys of `members` frames: one set for the queries of all frames, or one for each.
    tables
        The encoding p, up to the reaches of `tiling`.
    tiling
        What a query sees.
    scale
        Factor of the scores.

    Notes
    -----
    Numbers of 16 bits are computed with in 32.
    """
    _check_not_transformed()
    dtype = kernel_calls.NUMBERS.get(query.dtype, torch.float32)
    terms = (tables.rows, tables.cols, tables.pairs, tables.frames)
    whole = [None if x is None else x.to(dtype) for x in (query, key, value, *terms)]
    out, _ = torch.ops.gsa_core.attention(*whole, tiling.window, tiling.shape, scale)
    return out.to(query.dtype)


def _check_not_transformed() -> None:
    if is_transformed():
        raise NotImplementedError(f"method: got 'kernel'; {kernel_calls.TRANSFORMED}")

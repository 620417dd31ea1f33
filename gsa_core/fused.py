"""Attention over neighbourhoods and frames in one pass: an operator of our own for processors.

The arithmetic is `kernel/`; this is its torch operator, with gradients. It computes what
`gsa_core.attend` computes from the same tables, without a tensor of scores or of positional terms:
what a step keeps for its backward pass is queries, keys, values and the result.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from gsa_core.compiled import load_library
from gsa_core.relative import OffsetTables
from gsa_core.selftest import library_problem
from gsa_core.structures import PROBLEMS, Number, Rotation, call

__all__ = ["fused_attention", "fused_rotation", "kernel_problem"]

SOURCE = Path(__file__).with_name("kernel") / "kernel.cpp"
WIDEST = 512  # channels a head

_NUMBERS = {torch.float32: torch.float32, torch.float64: torch.float64}
_NUMBER_TYPES: dict[torch.dtype, Number] = {
    torch.float32: ctypes.c_float,
    torch.float64: ctypes.c_double,
}
_HALVES = (torch.bfloat16, torch.float16)


@cache
def _library(dtype: torch.dtype, head_dim: int) -> ctypes.CDLL | str:
    """The kernel for one type of number and one width of a head, or why there is none."""
    defines = ["SCALAR=float", "IS_FLOAT", f"HEAD_DIM={head_dim}"]
    if dtype == torch.float64:  # for checks: one library serves all widths
        defines, head_dim = ["SCALAR=double", "HEAD_DIM=0"], 5
    check = partial(library_problem, number=_NUMBER_TYPES[dtype], head_dim=head_dim)
    return load_library(SOURCE, *defines, check=check)


def kernel_problem(device: str, dtype: torch.dtype, head_dim: int) -> str:
    """Why the operator cannot take such queries now; empty if it can.

    Like torch's own fused attention it has no derivatives but gradients, and stands aside where
    that is asked for: under ``torch.nn.attention.sdpa_kernel(SDPBackend.MATH)``. Exported programs
    hold torch's operators alone.
    """
    if device == "meta":  # nothing is computed there but shapes
        return ""
    if device != "cpu":
        return f"it is for the CPU, and the tensors are on {device}"
    if dtype not in _NUMBERS and dtype not in _HALVES:
        return f"it takes floating-point numbers, not {dtype}"
    if head_dim > WIDEST:
        return f"it takes heads of up to {WIDEST} channels, not {head_dim}"
    if torch.compiler.is_exporting():
        return "exported programs hold torch's operators alone"
    if not torch.backends.cuda.flash_sdp_enabled():
        return "fused attention is switched off"
    library = _library(_NUMBERS.get(dtype, torch.float32), head_dim)
    return f"no kernel could be built: {library}" if isinstance(library, str) else ""


# A compiler may take the answer for a constant. The name is that of torch.compiler's
# assume_constant_result, which would import the compiler, for seconds.
kernel_problem._dynamo_marked_constant = True  # type: ignore[attr-defined]


# The arguments of attention, by the schema that torch is told.
_ARGUMENTS = (
    "Tensor query, Tensor key, Tensor value, Tensor? rows, Tensor? cols, Tensor? pairs, "
    "Tensor? frames, Tensor? weights, int[] near, float scale"
)


def _forward(query: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    out, lse = _empty(query)
    _call("forward", (query, *others), out, lse, [])
    return out, lse


def _backward(out_grad: Tensor, *others: Any) -> list[Tensor]:
    *arguments, out, lse = others
    gradients = _empty_gradients(*arguments[:7])
    _call("backward", tuple(arguments), out, lse, [out_grad.contiguous(), *gradients])
    return _summed(gradients)


def _empty(query: Tensor) -> tuple[Tensor, Tensor]:
    batch, rows, cols, frames, own, heads, _ = query.shape
    out = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    return out, query.new_empty((batch, heads, frames, own, rows, cols))


def _empty_gradients(
    query: Tensor, key: Tensor, value: Tensor, *tables: Tensor | None
) -> list[Tensor]:
    """Room for the gradients of tokens, and of tables for each image."""
    whole = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (query, key, value)]
    parts = [query.new_empty((0,) if x is None else (query.shape[0], *x.shape)) for x in tables]
    return whole + parts


def _summed(gradients: list[Tensor]) -> list[Tensor]:
    """Gradients of tables summed over images."""
    return [*gradients[:3], *(x.sum(0) for x in gradients[3:])]


def _call(
    which: str, arguments: tuple[Any, ...], out: Tensor, lse: Tensor, gradients: list[Tensor]
) -> None:
    """Run one of the two functions of the library; `gradients` are in the order of `structures`."""
    query, key, value, *tables, near, scale = arguments
    batch, rows, cols, frames, own, heads, d = query.shape
    reaches = (ctypes.c_int64 * len(near))(*near)
    kept = [None if x is None else x.contiguous() for x in tables]
    problem = PROBLEMS[_NUMBER_TYPES[query.dtype]](
        batch, rows, cols, frames, own, key.shape[3], key.shape[4], heads, d, len(near) // 2,
        torch.get_num_threads(),
        *((ctypes.c_int64 * 7)(*x.stride()) for x in (query, key, value)),
        *(x.data_ptr() for x in (query, key, value)),
        *(None if x is None else x.data_ptr() for x in kept),
        ctypes.cast(reaches, ctypes.c_void_p), scale, out.data_ptr(), lse.data_ptr(),
        *(x.data_ptr() if x.numel() else None for x in gradients),
    )  # fmt: skip
    _run(f"attention_{which}", query, problem)


def _turn_forward(tokens: Tensor, angles: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    turned = _empty_turned(tokens, angles)
    _turn("forward", tokens, cos, sin, turned, None, None)
    return turned


def _turn_backward(
    turned_grad: Tensor, turned: Tensor, cos: Tensor, sin: Tensor
) -> tuple[Tensor, Tensor]:
    grad, angle_grad = torch.empty_like(turned), torch.empty_like(cos)
    _turn("backward", turned_grad.contiguous(), cos, sin, turned, grad, angle_grad)
    return grad, angle_grad


def _empty_turned(tokens: Tensor, angles: Tensor, *others: Tensor) -> Tensor:
    shape = list(tokens.shape)
    shape[3] = angles.shape[2]
    return tokens.new_empty(shape)


def _turn(
    which: str,
    tokens: Tensor,
    cos: Tensor,
    sin: Tensor,
    turned: Tensor,
    grad: Tensor | None,
    angle_grad: Tensor | None,
) -> None:
    batch, rows, cols, sets, others, heads, d = tokens.shape
    frames = turned.shape[3]
    pointers = (tokens, cos, sin, turned, grad, angle_grad)
    problem = Rotation(
        batch, rows, cols, frames, sets, others, heads, d, torch.get_num_threads(),
        (ctypes.c_int64 * 7)(*tokens.stride()),
        *(None if x is None else x.data_ptr() for x in pointers),
    )  # fmt: skip
    _run(f"rotation_{which}", tokens, problem)


def _run(name: str, tokens: Tensor, problem: ctypes.Structure) -> None:
    """Call a function of the library that is for such tokens."""
    library = _library(tokens.dtype, tokens.shape[-1])
    if isinstance(library, str):
        raise RuntimeError(f"method: got 'kernel'; no kernel could be built: {library}")
    call(library, name, problem)


def _keep_turned(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    tokens, _, cos, sin = inputs
    ctx.shared = tokens.shape[3] < output.shape[3]
    ctx.save_for_backward(output, cos, sin)


def _turn_gradients(ctx: Any, turned_grad: Tensor) -> tuple[Tensor | None, ...]:
    grad, angle_grad = torch.ops.gsa_core.rotation_backward(turned_grad, *ctx.saved_tensors)
    return (grad.sum(3, keepdim=True) if ctx.shared else grad), angle_grad, None, None


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.near, ctx.scale = inputs
    ctx.save_for_backward(*tensors, *output)


def _gradients(ctx: Any, out_grad: Tensor, lse_grad: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, out, lse = ctx.saved_tensors
    found = torch.ops.gsa_core.attention_backward(out_grad, *tensors, ctx.near, ctx.scale, out, lse)
    known = [g if x is not None else None for g, x in zip(found, tensors[:7], strict=True)]
    return (*known, None, None, None)


# The plain interface of torch.library: that of custom_op imports the compiler at the first call.
_LIBRARY = torch.library.Library("gsa_core", "DEF")
_LIBRARY.define(f"attention({_ARGUMENTS}) -> (Tensor, Tensor)")
_LIBRARY.define(
    f"attention_backward(Tensor out_grad, {_ARGUMENTS}, Tensor out, Tensor lse) -> Tensor[]"
)
_LIBRARY.define("rotation(Tensor tokens, Tensor angles, Tensor cos, Tensor sin) -> Tensor")
_LIBRARY.define(
    "rotation_backward(Tensor turned_grad, Tensor turned, Tensor cos, Tensor sin)"
    " -> (Tensor, Tensor)"
)
_LIBRARY.impl("rotation", _turn_forward, "CPU")
_LIBRARY.impl("rotation_backward", _turn_backward, "CPU")
_LIBRARY.impl("attention", _forward, "CPU")
_LIBRARY.impl("attention_backward", _backward, "CPU")
torch.library.register_fake(
    "gsa_core::attention", lambda query, *others: _empty(query), lib=_LIBRARY
)
torch.library.register_fake(
    "gsa_core::attention_backward",
    lambda out_grad, *others: _summed(_empty_gradients(*others[:7])),
    lib=_LIBRARY,
)
torch.library.register_autograd(
    "gsa_core::attention", _gradients, setup_context=_keep, lib=_LIBRARY
)


torch.library.register_fake("gsa_core::rotation", _empty_turned, lib=_LIBRARY)
torch.library.register_fake(
    "gsa_core::rotation_backward",
    lambda turned_grad, turned, cos, sin: (torch.empty_like(turned), torch.empty_like(cos)),
    lib=_LIBRARY,
)
torch.library.register_autograd(
    "gsa_core::rotation", _turn_gradients, setup_context=_keep_turned, lib=_LIBRARY
)


@register_flop_formula(torch.ops.gsa_core.attention)
def _flops(
    query: Sequence[int],
    key: Sequence[int],
    value: Sequence[int],
    rows: Sequence[int] | None,
    cols: Sequence[int] | None,
    pairs: Sequence[int] | None,
    frames: Sequence[int] | None,
    weights: Sequence[int] | None,
    near: list[int],
    scale: float,
    out_shape: Any = None,
) -> int:
    """Operations of one pass, two a multiply-add, from the shapes of the arguments."""
    batch, height, width, group, own, heads, d = query
    reach = len(near) // 2
    seen = sum(
        max(height - abs(row), 0) * sum(max(width - abs(col), 0) for col in range(-far, far + 1))
        for row, far in zip(range(-reach, reach + 1), near, strict=True)
    )
    entries = sum(table[1] for table in (rows, cols) if table is not None)
    entries += frames[2] if frames is not None else 0
    spatial = height * width * entries + (seen if pairs is not None else 0)
    return 2 * d * batch * group * own * heads * (2 * key[4] * seen + spatial)


def fused_rotation(
    angles: Float[Tensor, "rows cols group heads pairs"], *tokens: Tensor
) -> list[Tensor]:
    """Turn pairs of channels by angles, as `gsa_core.rotary.RotaryEncoding` does; in 32 bits.

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
    dtype = _NUMBERS.get(tokens[0].dtype, torch.float32)
    angles = angles.to(dtype).contiguous()
    cos, sin = angles.detach().cos(), angles.detach().sin()
    return [torch.ops.gsa_core.rotation(x.to(dtype), angles, cos, sin) for x in tokens]


def fused_attention(
    query: Float[Tensor, "batch rows cols group own heads head_dim"],
    key: Float[Tensor, "batch rows cols sets members heads head_dim"],
    value: Float[Tensor, "batch rows cols sets members heads head_dim"],
    tables: OffsetTables,
    *,
    near: list[int],
    weights: Float[Tensor, "offset offset"] | None = None,
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
        The encoding p, up to the reach of `near`.
    near, weights
        What a query sees, see `gsa_core.tiling.Tiling.neighbourhood`.
    scale
        Factor of the scores.

    Notes
    -----
    Numbers of 16 bits are computed with in 32.
    """
    dtype = _NUMBERS.get(query.dtype, torch.float32)
    terms = (tables.rows, tables.cols, tables.pairs, tables.frames, weights)
    whole = [None if x is None else x.to(dtype) for x in (query, key, value, *terms)]
    out, _ = torch.ops.gsa_core.attention(*whole, near, scale)
    return out.to(query.dtype)

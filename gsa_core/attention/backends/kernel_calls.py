"""Calls the functions of `kernel/` on tensors: attention over neighbourhoods in one pass.

`gsa_core.attention.backends.operators` makes torch operators of them.
"""

from __future__ import annotations

import ctypes
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from gsa_core.attention.backends.build_kernel import load_library
from gsa_core.attention.backends.kernel_structures import PROBLEMS, Number, Rotation, call
from gsa_core.attention.backends.selftest import library_problem
from gsa_core.attention.encodings.tables import OffsetTables, check_tables
from gsa_core.attention.neighbourhood import Tiling
from gsa_core.common.arguments import check_whole

__all__ = [
    "NUMBERS", "TRANSFORMED", "attention_backward", "attention_forward", "build_kernel",
    "empty_gradients", "empty_results", "empty_turned", "library_of", "rotation_backward",
    "rotation_forward", "summed",
]  # fmt: skip

SOURCE = Path(__file__).with_name("kernel") / "kernel.cpp"
DEFAULT_WIDTH = 12  # of a head, by the defaults of `gsa_core.build_model`
TRANSFORMED = (
    "it has no rule for transforms of torch.func (vmap, grad, jvp, ...) and forward-mode "
    "derivatives; use method='auto' or 'written_out' there"
)

NUMBERS = {torch.float32: torch.float32, torch.float64: torch.float64}
_NUMBER_TYPES: dict[torch.dtype, Number] = {
    torch.float32: ctypes.c_float,
    torch.float64: ctypes.c_double,
}


@cache
def library_of(dtype: torch.dtype, head_dim: int) -> ctypes.CDLL | str:
    """The kernel for one type of number and one width of a head, or why there is none."""
    defines = ["SCALAR=float", "IS_FLOAT", f"HEAD_DIM={head_dim}"]
    if dtype == torch.float64:  # for checks: one library serves all widths
        defines, head_dim = ["SCALAR=double", "HEAD_DIM=0"], 5
    check = partial(library_problem, number=_NUMBER_TYPES[dtype], head_dim=head_dim)
    return load_library(SOURCE, *defines, check=check)


def build_kernel(*head_dims: int, dtype: torch.dtype = torch.float32) -> dict[int, Path]:
    """Build the kernel for heads of these widths now, instead of at their first use.

    Libraries are kept in the user's cache: a step of installing, or of building an image. Without
    widths it is built for heads of 12 channels, those of `build_model`'s defaults.

    Returns
    -------
    libraries
        The file of each width: in the cache, or in this package where the wheel has brought it.

    Raises
    ------
    OSError
        There is no kernel, and why; torch computes the same then.
    """
    files: dict[int, Path] = {}
    for width in head_dims or (DEFAULT_WIDTH,):
        library = library_of(dtype, check_whole("head_dims", width))
        if isinstance(library, str):
            raise OSError(f"no kernel for heads of {width} channels: {library}")
        files[width] = Path(library._name)
    return files


def attention_forward(query: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    """The result, and the logarithm of the sum of every query's exponentials."""
    out, lse = empty_results(query)
    _call("forward", (query, *others), out, lse, [])
    return out, lse


def attention_backward(out_grad: Tensor, *others: Any) -> tuple[Tensor, ...]:
    """Gradients of queries, keys, values and the four tables."""
    *arguments, out, lse = others
    gradients = empty_gradients(*arguments[:7])
    _call("backward", tuple(arguments), out, lse, [out_grad.contiguous(), *gradients])
    return summed(gradients)


def empty_results(query: Tensor) -> tuple[Tensor, Tensor]:
    """Room for what `attention_forward` returns."""
    batch, rows, cols, frames, own, heads, _ = query.shape
    out = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    return out, query.new_empty((batch, heads, frames, own, rows, cols))


def empty_gradients(
    query: Tensor, key: Tensor, value: Tensor, *tables: Tensor | None
) -> list[Tensor]:
    """Room for the gradients of tokens, and of tables for each image."""
    whole = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (query, key, value)]
    parts = [query.new_empty((0,) if x is None else (query.shape[0], *x.shape)) for x in tables]
    return whole + parts


def summed(gradients: list[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of tables summed over images."""
    return (*gradients[:3], *(x.sum(0) for x in gradients[3:]))


def _call(
    which: str, arguments: tuple[Any, ...], out: Tensor, lse: Tensor, gradients: list[Tensor]
) -> None:
    """Run one function of the library; `gradients` as `kernel_structures` orders them."""
    query, key, value, *tables, window, shape, scale = arguments
    batch, rows, cols, frames, own, heads, d = query.shape
    tiling = Tiling(rows, cols, window, shape)
    # Compiled programs have not checked them, and the kernel reads beyond the end of a small table.
    check_tables("gsa_core::attention", OffsetTables(*tables), tiling.reaches, query, key)
    near, weights = tiling.neighbourhood(query)
    reaches = (ctypes.c_int64 * len(near))(*near)
    kept = [None if x is None else x.contiguous() for x in (*tables, weights)]
    problem = PROBLEMS[_NUMBER_TYPES[query.dtype]](
        batch, rows, cols, frames, own, key.shape[3], key.shape[4], heads, d,
        *tiling.reaches, torch.get_num_threads(),
        *((ctypes.c_int64 * 7)(*x.stride()) for x in (query, key, value)),
        *(x.data_ptr() for x in (query, key, value)),
        *(None if x is None else x.data_ptr() for x in kept),
        ctypes.cast(reaches, ctypes.c_void_p), scale, out.data_ptr(), lse.data_ptr(),
        *(x.data_ptr() if x.numel() else None for x in gradients),
    )  # fmt: skip
    _run(f"attention_{which}", query, problem)


def rotation_forward(tokens: Tensor, angles: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Tokens turned by angles, see `gsa_core.attention.encodings.rotary.turn`."""
    turned = empty_turned(tokens, angles)
    _turn("forward", tokens, cos, sin, turned, None, None)
    return turned


def rotation_backward(
    turned_grad: Tensor, turned: Tensor, cos: Tensor, sin: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of tokens, in every frame, and of angles."""
    grad, angle_grad = torch.empty_like(turned), torch.empty_like(cos)
    _turn("backward", turned_grad.contiguous(), cos, sin, turned, grad, angle_grad)
    return grad, angle_grad


def empty_turned(tokens: Tensor, angles: Tensor, *others: Tensor) -> Tensor:
    """Room for what `rotation_forward` returns."""
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
    if forward_ad._current_level >= 0:  # whatever called it: tangents would be lost
        raise NotImplementedError(f"method: got 'kernel'; {TRANSFORMED}")
    library = library_of(tokens.dtype, tokens.shape[-1])
    if isinstance(library, str):
        raise RuntimeError(f"method: got 'kernel'; no kernel could be built: {library}")
    call(library, name, problem)

"""A loaded kernel computes what it should: one tiny problem, when it is loaded, in milliseconds.

A compiler may be wrong, and a library may be of other sources than these structures. The reference
is numpy's, in 64 bits: torch's operators mean something else under fake tensors, transformed
functions or a default device, and any of them may surround the first call.

Axis letters are those of `docs/attention.md`; there is one head.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gsa_core.attention.backends.kernel_structures import (
    PROBLEMS,
    Number,
    Rotation,
    call,
    layout_problem,
)

__all__ = ["library_problem"]

Array = np.ndarray[Any, np.dtype[Any]]

# Beyond one vector of the processor in a row, and more than one unit of work for two threads.
BATCH, ROWS, COLS, FRAMES, THREADS, SCALE = 2, 2, 9, 2, 2, 0.3
GRID = (BATCH, ROWS, COLS, FRAMES)
# Of every row offset the farthest column offset, and the farthest of all.
NEAR = {"window": ([0, 1, -1], 1), "global": ([COLS - 1] * (2 * ROWS - 1), COLS - 1)}
TOLERANCES = {ctypes.c_float: 1e-4, ctypes.c_double: 1e-11}  # what is wrong is off by far more
STEP = 1e-30  # of the complex step: a derivative without rounding


def library_problem(library: ctypes.CDLL, *, number: Number, head_dim: int) -> str:
    """Why a library must not be used; empty if it may."""
    if problem := layout_problem(library, number):
        return problem
    with np.errstate(all="ignore"):  # whatever the program around makes of rounding to zero
        errors = {
            name: _attention(library, number, head_dim, near, col_reach)
            for name, (near, col_reach) in NEAR.items()
        }
        errors["rotation"] = _rotation(library, number, head_dim)
    for name, error in errors.items():
        if not error <= TOLERANCES[number]:  # nor is what is not a number
            return f"the kernel failed its self-test ({name}): it is off by {error:.0e}"
    return ""


def _attention(
    library: ctypes.CDLL, number: Number, d: int, near: list[int], col_reach: int
) -> float:
    """Largest relative error of attention and of its derivative."""
    offsets, random = (len(near), 2 * col_reach + 1), np.random.default_rng(0)
    queries, keys = (*GRID, 1, 1, d), (*GRID[:3], 1, FRAMES, 1, d)
    tables = [(FRAMES, *x, d) for x in (offsets[:1], offsets[1:], offsets, (FRAMES,))]
    shapes = [queries, keys, keys, *tables]
    *inputs, out_grad = (random.standard_normal(x).astype(number) for x in [*shapes, queries])
    # A soft window; what is seen whole has no weights.
    weights = random.standard_normal(offsets).astype(number) if -1 in near else None
    columns, lse = np.array(near, np.int64), np.empty(GRID, number)
    out, grads = np.empty(queries, number), [np.empty(x, number) for x in shapes[:3]]
    grads += [np.empty((BATCH, *x), number) for x in shapes[3:]]  # of tables, for each image
    problem = PROBLEMS[number](
        BATCH, ROWS, COLS, FRAMES, 1, 1, FRAMES, 1, d, len(near) // 2, col_reach, THREADS,
        *map(_strides, inputs[:3]), *map(_address, (*inputs, weights, columns)), SCALE,
        *map(_address, (out, lse, out_grad, *grads)),
    )  # fmt: skip
    call(library, "attention_forward", problem)
    call(library, "attention_backward", problem)
    return _largest_error(
        lambda *xs: _attended(*xs, weights=weights, near=columns),
        inputs,
        out,
        out_grad,
        [*grads[:3], *(x.sum(0) for x in grads[3:])],
    )


def _attended(
    query: Array, key: Array, value: Array, rows: Array, cols: Array, pairs: Array, frames: Array,
    *, weights: Array | None, near: Array,
) -> Array:  # fmt: skip
    """``softmax(scale q . (k + p) + w) v`` of one head, written out."""
    row = np.arange(ROWS)[None, :] - np.arange(ROWS)[:, None]  # (i, k)
    col = np.arange(COLS)[None, :] - np.arange(COLS)[:, None]  # (j, l)
    reaches = len(near) // 2, cols.shape[1] // 2
    u, w = (np.clip(x + n, 0, 2 * n) for x, n in zip((row, col), reaches, strict=True))
    both = u[:, None, :, None], w[None, :, None, :]  # (i, j, k, l)
    query, key, value = query[..., 0, 0, :], key[:, :, :, 0, :, 0], value[:, :, :, 0, :, 0]
    scores = (
        np.einsum("bijgd,bklhd->bgijklh", query, key)
        + np.einsum("bijgd,gikd->bgijk", query, rows[:, u])[..., None, None]
        + np.einsum("bijgd,gjld->bgijl", query, cols[:, w])[..., None, :, None]
        + np.einsum("bijgd,gijkld->bgijkl", query, pairs[:, *both])[..., None]
        + np.einsum("bijgd,ghd->bgijh", query, frames)[..., None, None, :]
    ) * SCALE
    if weights is not None:
        scores = scores + weights[both][..., None]
    seen = np.abs(col)[None, :, None, :] <= near[both[0]]
    scores = np.where(seen[..., None], scores, -1e30)
    raised = np.exp(scores - scores.real.max((-3, -2, -1), keepdims=True))
    raised = raised / raised.sum((-3, -2, -1), keepdims=True)
    return np.einsum("bgijklh,bklhd->bijgd", raised, value)[..., None, None, :]


def _rotation(library: ctypes.CDLL, number: Number, d: int) -> float:
    """Largest relative error of turned tokens and of their derivative."""
    random, pairs = np.random.default_rng(0), d // 2
    tokens, turned_grad = random.standard_normal((2, *GRID, 1, 1, d)).astype(number)
    angles = random.standard_normal((*GRID[1:], 1, pairs)).astype(number)
    cos, sin, turned, grad = np.cos(angles), np.sin(angles), *np.empty((2, *tokens.shape), number)
    angle_grad = np.empty_like(angles)

    def rotation(which: str, given: Array, *grads: Array | None) -> None:
        sizes = (BATCH, ROWS, COLS, FRAMES, FRAMES, 1, 1, d, THREADS)
        pointers = map(_address, (given, cos, sin, turned, *grads))
        call(library, f"rotation_{which}", Rotation(*sizes, _strides(given), *pointers))

    rotation("forward", tokens, None, None)
    rotation("backward", turned_grad, grad, angle_grad)
    return _largest_error(_turned, [tokens, angles], turned, turned_grad, [grad, angle_grad])


def _turned(tokens: Array, angles: Array) -> Array:
    """Pairs of channels, ``(c, c + d // 2)``, turned by angles."""
    cos, sin = np.cos(angles)[:, :, :, None], np.sin(angles)[:, :, :, None]
    first, second, rest = np.split(tokens, [cos.shape[-1], 2 * cos.shape[-1]], -1)
    return np.concatenate([first * cos - second * sin, first * sin + second * cos, rest], -1)


def _largest_error(
    reference: Callable[..., Array],
    inputs: Sequence[Array],
    out: Array,
    out_grad: Array,
    grads: Sequence[Array],
) -> float:
    """Relative error of results, and of gradients along a random direction."""
    random = np.random.default_rng(1)
    ways = [random.standard_normal(x.shape) for x in inputs]
    exact = reference(*(x + 1j * STEP * way for x, way in zip(inputs, ways, strict=True)))
    derivative = (exact.imag / STEP * out_grad).sum()
    parts = [np.multiply(x, way, dtype=np.float64) for x, way in zip(grads, ways, strict=True)]
    size = sum(np.abs(x).sum() for x in parts)
    wrong = abs(sum(x.sum() for x in parts) - derivative) / size
    return float(np.maximum(np.linalg.norm(out - exact.real) / np.linalg.norm(exact.real), wrong))


def _strides(x: Array) -> Any:
    return (ctypes.c_int64 * 7)(*(step // x.itemsize for step in x.strides))


def _address(x: Array | None) -> int | None:
    return None if x is None else x.ctypes.data

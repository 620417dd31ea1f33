"""Kernels for GPUs: attention of a tile of the image to its surroundings, and its gradients.

A program computes the queries (or the keys) of one tile, for one image, frame and head. It reads
the tokens around the tile block by block and keeps scores on the chip. Arguments are those of
`triton_blocks`; ``index`` is ``(((g heads + n) batch + b) pixels + pixel) own + m``.
"""

from typing import no_type_check

import triton
import triton.language as tl

from gsa_core.attention.backends.triton_blocks import (
    add,
    add_pairs,
    along,
    frame_terms,
    pixels,
    product,
    program,
    query_tile,
    scores_of,
    start,
    store,
    tokens,
)

__all__ = ["forward", "key_gradients", "query_gradients"]


@triton.jit
@no_type_check
def forward(
    QUERY, KEY, VALUE, ROWS, COLS, FRAMES, PAIRS, FADING, OUT, LSE,
    q_strides, k_strides, v_strides, out_strides,
    batch, height, width, tiles_down, tiles_right, group, own, sets, members, heads,
    row_reach, col_reach, diameter,
    SCALE: tl.constexpr, SHAPE: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
    D: tl.constexpr, DV: tl.constexpr, D_PADDED: tl.constexpr, DV_PADDED: tl.constexpr,
    TILE_ROWS: tl.constexpr, TILE_COLS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr,
):  # fmt: skip
    """Attention of a tile of queries, and the logarithm of the sum of its exponentials."""
    QUERIES: tl.constexpr = TILE_ROWS * TILE_COLS
    KEYS: tl.constexpr = BLOCK_ROWS * BLOCK_COLS
    b, g, m, n, top, left, row, col, inside, index = query_tile(
        batch, height, width, tiles_down, tiles_right, group, own, heads, TILE_ROWS, TILE_COLS
    )
    query = tokens(start(QUERY, q_strides, b, g, m, n), q_strides, row, col, inside, D, D_PADDED)
    highest = tl.full((QUERIES,), float("-inf"), WIDE)
    total = tl.zeros((QUERIES,), WIDE)
    out = tl.zeros((QUERIES, DV_PADDED), WIDE)
    last_row = tl.minimum(top + TILE_ROWS + row_reach, height)
    last_col = tl.minimum(left + TILE_COLS + col_reach, width)
    for key_left in range(tl.maximum(left - col_reach, 0), last_col, BLOCK_COLS):
        key_col = key_left + tl.arange(0, BLOCK_COLS)
        col_term, col_seen, _of_col = along(COLS, index, col, key_col, col_reach, width, inside)
        for h in range(members):
            keys = start(KEY, k_strides, b, g % sets, h, n)
            values = start(VALUE, v_strides, b, g % sets, h, n)
            for key_top in range(tl.maximum(top - row_reach, 0), last_row, BLOCK_ROWS):
                key_row = key_top + tl.arange(0, BLOCK_ROWS)
                row_term, row_seen, _of_row = along(
                    ROWS, index, row, key_row, row_reach, height, inside
                )
                row_term = frame_terms(row_term, FRAMES, index, members, h, inside)
                i, j, known = pixels(key_top, key_left, height, width, BLOCK_COLS, KEYS)
                key = tokens(keys, k_strides, i, j, known, D, D_PADDED)
                value = tokens(values, v_strides, i, j, known, DV, DV_PADDED)
                scores, _seen = scores_of(
                    query, key, row_term, col_term, row_seen, col_seen, PAIRS, FADING,
                    index, row, col, key_row, key_col, row_reach, col_reach, diameter,
                    SCALE, SHAPE, PRECISION, WIDE,
                )  # fmt: skip
                scores = tl.reshape(scores, (QUERIES, KEYS))
                higher = tl.maximum(highest, tl.max(scores, 1))
                # While nothing is seen: no difference of infinities.
                bound = tl.where(higher == float("-inf"), 0.0, higher)
                weights = tl.exp(scores - bound[:, None])
                before = tl.exp(highest - bound)
                total = total * before + tl.sum(weights, 1)
                out = out * before[:, None] + product(
                    weights.to(value.dtype), value, PRECISION, WIDE
                )
                highest = higher
    total = tl.where(inside, total, 1.0)
    to = start(OUT, out_strides, b, g, m, n)
    store(to, out_strides, row, col, inside, out / total[:, None], DV, DV_PADDED)
    tl.store(LSE + index, highest + tl.log(total), mask=inside)


@triton.jit
@no_type_check
def output_gradients(
    OUT, OUT_GRAD, out_strides, out_grad_strides, b, g, m, n, row, col, inside,
    DV: tl.constexpr, DV_PADDED: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The gradient of the output of a tile, and its product with the output of each query."""
    out_from = start(OUT, out_strides, b, g, m, n)
    out = tokens(out_from, out_strides, row, col, inside, DV, DV_PADDED)
    grad_from = start(OUT_GRAD, out_grad_strides, b, g, m, n)
    grad = tokens(grad_from, out_grad_strides, row, col, inside, DV, DV_PADDED)
    return grad, tl.sum(out.to(WIDE) * grad.to(WIDE), 1)


@triton.jit
@no_type_check
def score_gradients(
    scores, out_grad, value, lse, delta,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Gradients of the scores ``(queries, rows, columns)`` of a tile and a block of keys."""
    products = product(out_grad, tl.trans(value), PRECISION, WIDE)
    products = tl.reshape(products, (out_grad.shape[0], BLOCK_ROWS, BLOCK_COLS))
    return tl.exp(scores - lse[:, None, None]) * (products - delta[:, None, None])


@triton.jit
@no_type_check
def query_gradients(
    QUERY, KEY, VALUE, ROWS, COLS, FRAMES, PAIRS, FADING, OUT, LSE, OUT_GRAD, DELTA,
    Q_GRAD, ROWS_GRAD, COLS_GRAD, FRAMES_GRAD, PAIRS_GRAD,
    q_strides, k_strides, v_strides, out_strides, out_grad_strides, q_grad_strides,
    batch, height, width, tiles_down, tiles_right, group, own, sets, members, heads,
    row_reach, col_reach, diameter,
    SCALE: tl.constexpr, SHAPE: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
    D: tl.constexpr, DV: tl.constexpr, D_PADDED: tl.constexpr, DV_PADDED: tl.constexpr,
    TILE_ROWS: tl.constexpr, TILE_COLS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr,
):  # fmt: skip
    """Gradients of a tile of queries and of what encodings add to its scores.

    Each entry of the latter belongs to one program, which adds to it in the order of its loops:
    the sums are the same in every run.
    """
    QUERIES: tl.constexpr = TILE_ROWS * TILE_COLS
    KEYS: tl.constexpr = BLOCK_ROWS * BLOCK_COLS
    b, g, m, n, top, left, row, col, inside, index = query_tile(
        batch, height, width, tiles_down, tiles_right, group, own, heads, TILE_ROWS, TILE_COLS
    )
    query = tokens(start(QUERY, q_strides, b, g, m, n), q_strides, row, col, inside, D, D_PADDED)
    out_grad, delta = output_gradients(
        OUT, OUT_GRAD, out_strides, out_grad_strides, b, g, m, n, row, col, inside,
        DV, DV_PADDED, WIDE)  # fmt: skip
    tl.store(DELTA + index, delta, mask=inside)
    lse = tl.load(LSE + index, mask=inside, other=0.0)
    q_grad = tl.zeros((QUERIES, D_PADDED), WIDE)
    last_row = tl.minimum(top + TILE_ROWS + row_reach, height)
    last_col = tl.minimum(left + TILE_COLS + col_reach, width)
    for key_left in range(tl.maximum(left - col_reach, 0), last_col, BLOCK_COLS):
        key_col = key_left + tl.arange(0, BLOCK_COLS)
        col_term, col_seen, of_col = along(COLS, index, col, key_col, col_reach, width, inside)
        cols_grad = tl.zeros((QUERIES, BLOCK_COLS), WIDE)
        for h in range(members):
            keys = start(KEY, k_strides, b, g % sets, h, n)
            values = start(VALUE, v_strides, b, g % sets, h, n)
            frame_grad = tl.zeros((QUERIES,), WIDE)
            for key_top in range(tl.maximum(top - row_reach, 0), last_row, BLOCK_ROWS):
                key_row = key_top + tl.arange(0, BLOCK_ROWS)
                row_term, row_seen, of_row = along(
                    ROWS, index, row, key_row, row_reach, height, inside)  # fmt: skip
                row_term = frame_terms(row_term, FRAMES, index, members, h, inside)
                i, j, known = pixels(key_top, key_left, height, width, BLOCK_COLS, KEYS)
                key = tokens(keys, k_strides, i, j, known, D, D_PADDED)
                value = tokens(values, v_strides, i, j, known, DV, DV_PADDED)
                scores, seen = scores_of(
                    query, key, row_term, col_term, row_seen, col_seen, PAIRS, FADING,
                    index, row, col, key_row, key_col, row_reach, col_reach, diameter,
                    SCALE, SHAPE, PRECISION, WIDE)  # fmt: skip
                grad = score_gradients(scores, out_grad, value, lse, delta,
                                       BLOCK_ROWS, BLOCK_COLS, PRECISION, WIDE)  # fmt: skip
                add(ROWS, ROWS_GRAD, of_row, tl.sum(grad, 2), row_seen)
                add_pairs(
                    PAIRS, PAIRS_GRAD, grad, seen,
                    index, row, col, key_row, key_col, row_reach, col_reach)  # fmt: skip
                if COLS is not None:
                    cols_grad += tl.sum(grad, 1)
                grad = tl.reshape(grad, (QUERIES, KEYS))
                if FRAMES is not None:
                    frame_grad += tl.sum(grad, 1)
                q_grad += product(grad.to(key.dtype), key, PRECISION, WIDE)
            add(FRAMES, FRAMES_GRAD, index * members + h, frame_grad, inside)
        add(COLS, COLS_GRAD, of_col, cols_grad, col_seen)
    to = start(Q_GRAD, q_grad_strides, b, g, m, n)
    store(to, q_grad_strides, row, col, inside, q_grad * SCALE, D, D_PADDED)


@triton.jit
@no_type_check
def key_gradients(
    QUERY, KEY, VALUE, ROWS, COLS, FRAMES, PAIRS, FADING, LSE, OUT_GRAD, DELTA, K_GRAD, V_GRAD,
    q_strides, k_strides, v_strides, out_grad_strides, k_grad_strides, v_grad_strides,
    batch, height, width, tiles_down, tiles_right, group, own, sets, members, heads,
    row_reach, col_reach, diameter,
    SCALE: tl.constexpr, SHAPE: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
    D: tl.constexpr, DV: tl.constexpr, D_PADDED: tl.constexpr, DV_PADDED: tl.constexpr,
    TILE_ROWS: tl.constexpr, TILE_COLS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr,
):  # fmt: skip
    """Gradients of a tile of keys and of its values, from all queries that see it."""
    KEYS: tl.constexpr = TILE_ROWS * TILE_COLS
    QUERIES: tl.constexpr = BLOCK_ROWS * BLOCK_COLS
    b, down, right, s, h, n = program(tiles_down, tiles_right, sets, members, heads)
    top, left = down * TILE_ROWS, right * TILE_COLS
    i, j, inside = pixels(top, left, height, width, TILE_COLS, KEYS)
    key_row, key_col = top + tl.arange(0, TILE_ROWS), left + tl.arange(0, TILE_COLS)
    key = tokens(start(KEY, k_strides, b, s, h, n), k_strides, i, j, inside, D, D_PADDED)
    value = tokens(start(VALUE, v_strides, b, s, h, n), v_strides, i, j, inside, DV, DV_PADDED)
    k_grad = tl.zeros((KEYS, D_PADDED), WIDE)
    v_grad = tl.zeros((KEYS, DV_PADDED), WIDE)
    last_row = tl.minimum(top + TILE_ROWS + row_reach, height)
    last_col = tl.minimum(left + TILE_COLS + col_reach, width)
    for at in range(own * (group // sets)):  # frames whose queries see these keys
        g, m = s + at // own, at % own
        queries = start(QUERY, q_strides, b, g, m, n)
        grads = start(OUT_GRAD, out_grad_strides, b, g, m, n)
        first = ((g * heads + n) * batch + b) * (height * width)
        for query_left in range(tl.maximum(left - col_reach, 0), last_col, BLOCK_COLS):
            for query_top in range(tl.maximum(top - row_reach, 0), last_row, BLOCK_ROWS):
                row, col, known = pixels(query_top, query_left, height, width, BLOCK_COLS, QUERIES)
                index = (first + row * width + col) * own + m
                query = tokens(queries, q_strides, row, col, known, D, D_PADDED)
                out_grad = tokens(grads, out_grad_strides, row, col, known, DV, DV_PADDED)
                lse = tl.load(LSE + index, mask=known, other=0.0)
                delta = tl.load(DELTA + index, mask=known, other=0.0)
                row_term, row_seen, _of_row = along(
                    ROWS, index, row, key_row, row_reach, height, known
                )
                row_term = frame_terms(row_term, FRAMES, index, members, h, known)
                col_term, col_seen, _of_col = along(
                    COLS, index, col, key_col, col_reach, width, known
                )
                scores, _seen = scores_of(
                    query, key, row_term, col_term, row_seen, col_seen, PAIRS, FADING,
                    index, row, col, key_row, key_col, row_reach, col_reach, diameter,
                    SCALE, SHAPE, PRECISION, WIDE,
                )  # fmt: skip
                weights = tl.exp(tl.reshape(scores, (QUERIES, KEYS)) - lse[:, None])
                v_grad += product(tl.trans(weights.to(out_grad.dtype)), out_grad, PRECISION, WIDE)
                products = product(out_grad, tl.trans(value), PRECISION, WIDE)
                grad = weights * (products - delta[:, None])
                k_grad += product(tl.trans(grad.to(query.dtype)), query, PRECISION, WIDE)
    to = start(K_GRAD, k_grad_strides, b, s, h, n)
    store(to, k_grad_strides, i, j, inside, k_grad * SCALE, D, D_PADDED)
    to = start(V_GRAD, v_grad_strides, b, s, h, n)
    store(to, v_grad_strides, i, j, inside, v_grad, DV, DV_PADDED)

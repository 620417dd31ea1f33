"""What the kernels of `triton_kernels` share: blocks of tokens, and the scores of two of them.

``strides`` are those of batch, row, column and the three axes between columns and channels.
What an encoding adds to the score of a query with a key is read by the offset between them, from
tables with a row for each query, ``index``. Arguments in capitals that are annotated are constants
of compilation; a tensor that is ``None`` is one too.
"""

from typing import no_type_check

import triton
import triton.language as tl

__all__ = [
    "add", "add_pairs", "along", "entries", "frame_terms", "pixels", "product", "program",
    "query_tile", "scores_of", "start", "store", "tokens",
]  # fmt: skip


@triton.jit
@no_type_check
def program(tiles_down, tiles_right, first, second, heads):
    """Image, tile, two axes of frames and head of a program; heads of a tile run side by side."""
    at = tl.program_id(0)
    head, at = at % heads, at // heads
    inner, at = at % second, at // second
    outer, at = at % first, at // first
    right, at = at % tiles_right, at // tiles_right
    return (at // tiles_down).to(tl.int64), at % tiles_down, right, outer, inner, head


@triton.jit
@no_type_check
def pixels(top, left, height, width, COLS: tl.constexpr, COUNT: tl.constexpr):
    """Rows and columns of the pixels of a block, and whether they are in the image."""
    at = tl.arange(0, COUNT)
    row, col = top + at // COLS, left + at % COLS
    return row, col, (row < height) & (col < width)


@triton.jit
@no_type_check
def query_tile(
    batch, height, width, tiles_down, tiles_right, group, own, heads,
    TILE_ROWS: tl.constexpr, TILE_COLS: tl.constexpr,
):  # fmt: skip
    """Image, frames and head of a program; where its tile is; its pixels and their `index`."""
    b, down, right, g, m, n = program(tiles_down, tiles_right, group, own, heads)
    top, left = down * TILE_ROWS, right * TILE_COLS
    row, col, inside = pixels(top, left, height, width, TILE_COLS, TILE_ROWS * TILE_COLS)
    index = (((g * heads + n) * batch + b) * (height * width) + row * width + col) * own + m
    return b, g, m, n, top, left, row, col, inside, index


@triton.jit
@no_type_check
def product(a, b, PRECISION: tl.constexpr, WIDE: tl.constexpr):
    """The matrix product, summed in 32 bits or more."""
    return tl.dot(a, b, input_precision=PRECISION, out_dtype=WIDE)


@triton.jit
@no_type_check
def start(TOKENS, strides, image, outer, inner, head):
    """Where the tokens of an image, two frames and a head begin."""
    return TOKENS + (
        image * strides[0] + outer * strides[3] + inner * strides[4] + head * strides[5]
    )


@triton.jit
@no_type_check
def tokens(first, strides, row, col, inside, WIDTH: tl.constexpr, PADDED: tl.constexpr):
    """Channels of the tokens of a block, zeros beyond the image and beyond the channels."""
    channel = tl.arange(0, PADDED)[None, :]
    pixel = row.to(tl.int64) * strides[1] + col.to(tl.int64) * strides[2]
    mask = inside[:, None] & (channel < WIDTH)
    return tl.load(first + pixel[:, None] + channel, mask=mask, other=0.0)


@triton.jit
@no_type_check
def store(first, strides, row, col, inside, x, WIDTH: tl.constexpr, PADDED: tl.constexpr):
    """Write what `tokens` would read."""
    channel = tl.arange(0, PADDED)[None, :]
    pixel = row.to(tl.int64) * strides[1] + col.to(tl.int64) * strides[2]
    mask = inside[:, None] & (channel < WIDTH)
    tl.store(first + pixel[:, None] + channel, x.to(first.dtype.element_ty), mask=mask)


@triton.jit
@no_type_check
def along(TERMS, index, query, key, reach, size, inside):
    """What rows (or columns) of keys add to scores of queries; minus infinity: not seen."""
    offset = key[None, :] - query[:, None]
    seen = (tl.abs(offset) <= reach) & (key < size)[None, :] & inside[:, None]
    entry = index[:, None] * (2 * reach + 1) + offset + reach
    if TERMS is None:
        term = tl.where(seen, 0.0, float("-inf"))
    else:
        term = tl.load(TERMS + entry, mask=seen, other=float("-inf"))
    return term, seen, entry


@triton.jit
@no_type_check
def frame_terms(term, FRAMES, index, members, h, inside):
    """The same with what the frame of the keys adds."""
    if FRAMES is not None:
        term += tl.load(FRAMES + index * members + h, mask=inside, other=0.0)[:, None]
    return term


@triton.jit
@no_type_check
def entries(index, query_row, query_col, key_row, key_col, row_reach, col_reach):
    """The offset of every pair in a table of both axes, in that of a query, and its square."""
    down = (key_row[None, :] - query_row[:, None])[:, :, None]
    right = (key_col[None, :] - query_col[:, None])[:, None, :]
    entry = (down + row_reach) * (2 * col_reach + 1) + right + col_reach
    first = index * ((2 * row_reach + 1) * (2 * col_reach + 1))
    return entry, first[:, None, None] + entry, down * down + right * right


@triton.jit
@no_type_check
def scores_of(
    query, key, row_term, col_term, row_seen, col_seen, PAIRS, FADING,
    index, query_row, query_col, key_row, key_col, row_reach, col_reach, diameter,
    SCALE: tl.constexpr, SHAPE: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Scores ``(queries, key rows, key columns)``, minus infinity where a key is not seen."""
    scores = product(query, tl.trans(key), PRECISION, WIDE) * SCALE
    scores = tl.reshape(scores, (query.shape[0], key_row.shape[0], key_col.shape[0]))
    scores += row_term[:, :, None] + col_term[:, None, :]
    # Which pairs are seen is no question of scores: loads that wait for a product do not compile.
    seen = row_seen[:, :, None] & col_seen[:, None, :]
    if SHAPE != "square" or PAIRS is not None:
        entry, of_query, square = entries(
            index, query_row, query_col, key_row, key_col, row_reach, col_reach
        )
        if SHAPE != "square":
            seen = seen & (4 * square <= diameter)
            scores = tl.where(seen, scores, float("-inf"))
        if SHAPE == "soft_disc":
            scores += tl.load(FADING + entry, mask=seen, other=0.0)
        if PAIRS is not None:
            scores += tl.load(PAIRS + of_query, mask=seen, other=0.0)
    return scores, seen


@triton.jit
@no_type_check
def add(TERMS, GRADS, entry, x, mask):
    """Add to the gradient of terms, if there are any."""
    if TERMS is not None:
        tl.atomic_add(GRADS + entry, x, mask=mask, sem="relaxed")


@triton.jit
@no_type_check
def add_pairs(
    PAIRS, GRADS, grad, seen, index, query_row, query_col, key_row, key_col, row_reach, col_reach
):
    """The same for terms of both axes."""
    if PAIRS is not None:
        _entry, of_query, _square = entries(
            index, query_row, query_col, key_row, key_col, row_reach, col_reach
        )
        tl.atomic_add(GRADS + of_query, grad, mask=seen, sem="relaxed")

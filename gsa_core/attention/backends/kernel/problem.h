// What the two functions of attention are given; backends/kernel_structures.py has the same.
// Axis letters: docs/attention.md.
//
// Ownership: the caller owns all memory and keeps it for the call; nothing is kept after it.
// Shapes: query, key and value may have any strides, in numbers and in the order
//   (b, i, j, g, own, n, d) and (b, i, j, set, member, n, d). All else is contiguous: tables
//   (g, offsets..., n, d) and (g, own, member, n, d), weights (row offset, column offset), out and
//   query_grad like query, key_grad and value_grad like key, gradients of tables (b, table...).
// Invariants: own, sets, members, heads, d >= 1; sets is 1 or frames; 0 <= row_reach < rows and
//   0 <= col_reach < cols; near has 2 row_reach + 1 entries, each from -1 to col_reach.
#pragma once

#include "lanes.h"

extern "C" struct Problem {
    Int batch, rows, cols, frames, own, sets, members, heads, d, row_reach, col_reach, threads;
    Int query_strides[7], key_strides[7], value_strides[7];
    const T *query, *key, *value;
    const T *row_table, *col_table, *pair_table, *frame_table, *weights;  // may be null
    const Int* near;  // of every row offset, how far columns are seen; -1: not at all
    T scale;
    T *out, *lse;
    // The backward pass alone:
    const T* out_grad;
    T *query_grad, *key_grad, *value_grad;
    T *row_grad, *col_grad, *pair_grad, *frame_grad;  // one a batch entry
};

// Where the numbers of tokens lie that are contiguous: (batch, row, col, frame, other, head, d).
static inline Int token_of(const Problem& p, Int b, Int n, Int i, Int j, Int g, Int o) {
    return ((((b * p.rows + i) * p.cols + j) * p.frames + g) * p.own + o) * p.heads + n;
}

static inline Int key_of(const Problem& p, Int b, Int n, Int i, Int j, Int set, Int m) {
    return ((((b * p.rows + i) * p.cols + j) * p.sets + set) * p.members + m) * p.heads + n;
}

// Logarithm of the sum of a query's exponentials: (batch, head, frame, other, row, col).
static inline Int lse_of(const Problem& p, Int b, Int n, Int i, Int j, Int g, Int o) {
    return ((((b * p.heads + n) * p.frames + g) * p.own + o) * p.rows + i) * p.cols + j;
}

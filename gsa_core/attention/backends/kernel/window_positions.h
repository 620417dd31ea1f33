// Positions within windows: what they add to the scores of one row of queries, and the gradients of
// their tables. A row is padded to whole vectors, between two vectors beyond the image, where
// numbers are zero and scores are minus 1e30.
#pragma once

#include "head.h"

// One row of queries of one head, and the tables of positions. `by_row`, `by_col`, `by_frame` and
// `by_pair` hold the row's scores with each entry of a table, the `_grad` of these what comes back;
// `_sums` are the gradients of tables, one a lane.
class WindowPositions : protected Head {
 protected:
    const Int stride, padded, plane;
    Buffer query, inside, by_row, by_col, by_frame, by_pair;
    Buffer query_grad, row_grad, col_grad, frame_grad, pair_grad;
    Buffer row_sums, col_sums, pair_sums, frame_sums;

    WindowPositions(const Problem& p, bool backward)
        : Head(p, backward, planes(p), p.members * p.d * p.rows * width(p)),
          stride(width(p)),
          padded(stride - 2 * L),
          plane(p.rows * stride) {
        query.resize(D * stride);
        inside.assign(stride, FAR);
        std::fill_n(inside.begin() + L, p.cols, T(0));
        by_row.resize(row_offsets * stride), by_col.resize(col_offsets * stride);
        by_frame.resize(p.members * stride);
        if (p.pair_table) by_pair.resize(row_offsets * col_offsets * stride);
        if (!backward) return;
        query_grad.resize(D * stride);
        row_grad.resize(by_row.size()), col_grad.resize(by_col.size());
        frame_grad.resize(by_frame.size()), pair_grad.resize(by_pair.size());
        row_sums.resize(p.row_table ? p.frames * row_offsets * D * L : 0);
        col_sums.resize(p.col_table ? p.frames * col_offsets * D * L : 0);
        pair_sums.resize(p.pair_table ? p.frames * row_offsets * col_offsets * D * L : 0);
        frame_sums.resize(p.frame_table ? p.frames * p.own * p.members * D * L : 0);
    }

    void begin_tables() {
        for (Buffer* x : {&row_sums, &col_sums, &pair_sums, &frame_sums}) zero(*x);
    }

    void zero_positions() { zero(row_grad), zero(col_grad), zero(frame_grad), zero(pair_grad); }

    Int first_row(Int i) const { return std::max<Int>(0, i - p.row_reach); }
    Int end_row(Int i) const { return std::min(p.rows, i + p.row_reach + 1); }
    Int first_col(Int j, Int near) const { return std::max(-near, -(j + L - 1)); }
    Int last_col(Int j, Int near) const { return std::min(near, p.cols - 1 - j); }

    void read_row(const T* from, const Int* s, Buffer& to, Int b, Int n, Int i, Int g, Int o,
                  T scale) {
        const T* x = from + b * s[0] + i * s[1] + g * s[3] + o * s[4] + n * s[5];
        for (Int j = 0; j < p.cols; ++j, x += s[2])
            for (int c = 0; c < D; ++c) to[c * stride + L + j] = scale * x[c * s[6]];
    }

    void write_row(T* to, const Buffer& from, Int b, Int n, Int i, Int g, Int o, T scale) {
        for (Int j = 0; j < p.cols; ++j) {
            T* y = to + token_of(p, b, n, i, j, g, o) * D;
            for (int c = 0; c < D; ++c) y[c] = scale * from[c * stride + L + j];
        }
    }

    const T* entry(const T* table, Int of, Int n) const { return table + (of * p.heads + n) * D; }

    // Scores q . t of a row of queries with one entry of a table, onto `to`.
    void score(const T* entry, T* to) {
        for (Int j = 0; j < p.cols; j += L) {
            V s = load(to + j);
            for (int c = 0; c < D; ++c) s += load(&query[c * stride + L + j]) * entry[c];
            store(to + j, s);
        }
    }

    void score_positions(Int n, Int i, Int g, Int o) {
        zero(by_row), zero(by_frame);
        for (Int r = first_row(i); r < end_row(i); ++r) {
            const Int u = r - i + p.row_reach, near = p.near[u];
            if (near < 0) continue;
            if (p.row_table) score(entry(p.row_table, g * row_offsets + u, n), &by_row[u * stride]);
            if (!p.pair_table) continue;
            for (Int w = p.col_reach - near; w <= p.col_reach + near; ++w) {
                T* to = pair(by_pair, u, w);
                std::fill_n(to, padded, p.weights ? p.weights[u * col_offsets + w] : T(0));
                score(entry(p.pair_table, (g * row_offsets + u) * col_offsets + w, n), to);
            }
        }
        for (Int j = 0; j < p.cols; j += L)
            for (Int w = first_col(j, p.col_reach); w <= last_col(j, p.col_reach); ++w)
                store(&by_col[(w + p.col_reach) * stride + j], load(&inside[j + w + L]));
        for (Int w = 0; p.col_table && w < col_offsets; ++w)
            score(entry(p.col_table, g * col_offsets + w, n), &by_col[w * stride]);
        if (p.frame_table)
            for (Int m = 0; m < p.members; ++m)
                score(entry(p.frame_table, (g * p.own + o) * p.members + m, n),
                      &by_frame[m * stride]);
    }

    T* pair(Buffer& x, Int u, Int w) { return x.data() + (u * col_offsets + w) * stride; }

    // What a row of queries passes back to one entry of a table, and the entry to them.
    void return_entry(const T* entry, const T* passed, T* sums) {
        for (Int j = 0; j < p.cols; j += L) {
            const V x = load(passed + j);
            for (int c = 0; c < D; ++c) {
                add(&query_grad[c * stride + L + j], x * entry[c]);
                add(sums + c * L, x * load(&query[c * stride + L + j]));
            }
        }
    }

    void return_positions(Int n, Int g, Int o) {
        for (Int w = 0; p.col_table && w < col_offsets; ++w)
            return_entry(entry(p.col_table, g * col_offsets + w, n), &col_grad[w * stride],
                         &col_sums[(g * col_offsets + w) * D * L]);
        for (Int u = 0; u < row_offsets; ++u) {
            const Int near = p.near[u];
            if (p.row_table && near >= 0)
                return_entry(entry(p.row_table, g * row_offsets + u, n), &row_grad[u * stride],
                             &row_sums[(g * row_offsets + u) * D * L]);
            if (!p.pair_table) continue;
            for (Int w = p.col_reach - near; near >= 0 && w <= p.col_reach + near; ++w) {
                const Int at = (g * row_offsets + u) * col_offsets + w;
                return_entry(entry(p.pair_table, at, n), pair(pair_grad, u, w),
                             &pair_sums[at * D * L]);
            }
        }
        for (Int m = 0; p.frame_table && m < p.members; ++m) {
            const Int at = (g * p.own + o) * p.members + m;
            return_entry(entry(p.frame_table, at, n), &frame_grad[m * stride],
                         &frame_sums[at * D * L]);
        }
    }

    void write_tables(Int b, Int n) {
        write_table(p.row_grad, row_sums, b, n), write_table(p.col_grad, col_sums, b, n);
        write_table(p.pair_grad, pair_sums, b, n), write_table(p.frame_grad, frame_sums, b, n);
    }

    void write_table(T* to, const Buffer& sums, Int b, Int n) {
        const Int entries = Int(sums.size()) / (D * L);
        for (Int e = 0; e < entries; ++e)
            for (int c = 0; c < D; ++c) {
                const T* x = &sums[(e * D + c) * L];
                to[((b * entries + e) * p.heads + n) * D + c] = sum(load(x));
            }
    }

 private:
    // Of a row: its columns to whole vectors, between two vectors beyond the image. The order of
    // planes is (member, d).
    static Int width(const Problem& p) { return (p.cols + L - 1) / L * L + 2 * L; }
    static Planes planes(const Problem& p) {
        return {p.d * p.rows * width(p), width(p), p.rows * width(p), L};
    }
};

// Positions in attention to all keys: what they add to the scores of a few queries, and the
// gradients of their tables.
#pragma once

#include "head.h"

constexpr int Q = 4;  // queries at once

// A few queries of one head, with the scores of every key. Tables lie in planes (d, offset), so
// that a vector holds neighbouring offsets.
class GlobalPositions : protected Head {
 protected:
    const Int count, padded, keys, row_line, line;
    Buffer rows, cols, pairs, of_row, of_col, query, base[Q], scores[Q], frame[Q];
    Buffer query_grad, score_grad[Q], base_grad;
    Buffer rows_grad, cols_grad, pairs_grad, frames_grad;

    GlobalPositions(const Problem& p, bool backward)
        : Head(p, backward, planes(p), p.members * padding(p) * p.d),
          count(p.rows * p.cols),
          padded(padding(p)),
          keys(p.members * padded),
          row_line(row_offsets + L),
          line(col_offsets + L) {
        rows.resize(p.row_table ? D * row_line : 0), cols.resize(p.col_table ? D * line : 0);
        pairs.resize(p.pair_table ? D * row_offsets * line : 0);
        of_row.resize(p.rows + L), of_col.resize(p.cols + L), query.resize(Q * D);
        for (int a = 0; a < Q; ++a) {
            base[a].assign(padded + L, FAR), scores[a].resize(keys), frame[a].resize(p.members);
            if (backward) score_grad[a].resize(keys);
        }
        if (!backward) return;
        query_grad.resize(Q * D), base_grad.resize(padded + L);
        rows_grad.resize(rows.size()), cols_grad.resize(cols.size());
        pairs_grad.resize(pairs.size()), frames_grad.resize(p.frame_table ? p.members * D : 0);
    }

    void read_tables(Int n, Int g) {
        for (int c = 0; c < D; ++c) {
            for (Int u = 0; p.row_table && u < row_offsets; ++u)
                rows[c * row_line + u] = p.row_table[entry(g * row_offsets + u, n) + c];
            for (Int w = 0; p.col_table && w < col_offsets; ++w)
                cols[c * line + w] = p.col_table[entry(g * col_offsets + w, n) + c];
            for (Int u = 0; p.pair_table && u < row_offsets; ++u)
                for (Int w = 0; w < col_offsets; ++w)
                    pairs[(c * row_offsets + u) * line + w] =
                        p.pair_table[entry((g * row_offsets + u) * col_offsets + w, n) + c];
        }
    }

    void write_tables(Int b, Int n, Int g) {
        const Int of = b * p.frames + g;
        for (int c = 0; c < D; ++c) {
            for (Int u = 0; p.row_table && u < row_offsets; ++u)
                p.row_grad[entry(of * row_offsets + u, n) + c] = rows_grad[c * row_line + u];
            for (Int w = 0; p.col_table && w < col_offsets; ++w)
                p.col_grad[entry(of * col_offsets + w, n) + c] = cols_grad[c * line + w];
            for (Int u = 0; p.pair_table && u < row_offsets; ++u)
                for (Int w = 0; w < col_offsets; ++w)
                    p.pair_grad[entry((of * row_offsets + u) * col_offsets + w, n) + c] =
                        pairs_grad[(c * row_offsets + u) * line + w];
        }
    }

    // Where the channels of an entry of a table begin.
    Int entry(Int at, Int n) const { return (at * p.heads + n) * D; }

    Int frame_entry(Int n, Int g, Int o, Int m) const {
        return entry((g * p.own + o) * p.members + m, n);
    }

    void write_frames(Int b, Int n, Int g, Int o) {
        T* to = p.frame_grad + b * p.frames * p.own * p.members * p.heads * D;
        for (Int m = 0; m < p.members; ++m)
            for (int c = 0; c < D; ++c) to[frame_entry(n, g, o, m) + c] = frames_grad[m * D + c];
    }

    // Scores of a query with `size` neighbouring offsets of a table.
    void score_line(const T* q, const T* table, Int step, Int size, T* to) {
        for (Int k = 0; k < size; k += L) {
            V s{};
            for (int c = 0; c < D; ++c) s += q[c] * load(table + c * step + k);
            store(to + k, s);
        }
    }

    // `base[a]`: what positions add to the scores of every key; `frame[a]`: what frames do.
    void score_positions(Int n, Int x, Int g, Int o, int a) {
        const T* q = &query[a * D];
        const Int row = p.row_reach - x / p.cols, col = p.col_reach - x % p.cols;
        if (p.row_table) score_line(q, rows.data() + row, row_line, p.rows, of_row.data());
        if (p.col_table) score_line(q, cols.data() + col, line, p.cols, of_col.data());
        for (Int r = 0; r < p.rows; ++r) {
            T* to = &base[a][r * p.cols];  // the next row overwrites what a vector has past it
            if (p.pair_table)
                score_line(q, pairs.data() + (row + r) * line + col, row_offsets * line, p.cols,
                           to);
            for (Int k = 0; k < p.cols; k += L) {
                V s = all(of_row[r]) + load(&of_col[k]);
                if (p.pair_table) s += load(to + k);
                store(to + k, s);
            }
        }
        std::fill(base[a].begin() + count, base[a].end(), FAR);
        for (Int m = 0; m < p.members; ++m) {
            T s = 0;
            for (int c = 0; p.frame_table && c < D; ++c)
                s += q[c] * p.frame_table[frame_entry(n, g, o, m) + c];
            frame[a][m] = s;
        }
    }

    void return_frames(Int n, Int g, Int o, int a) {
        for (Int m = 0; m < p.members; ++m) {
            V total{};
            for (Int k = 0; k < padded; k += L) total += load(&score_grad[a][m * padded + k]);
            const T s = sum(total), *entry = p.frame_table + frame_entry(n, g, o, m);
            for (int c = 0; c < D; ++c) {
                query_grad[a * D + c] += s * entry[c];
                frames_grad[m * D + c] += s * query[a * D + c];
            }
        }
    }

    void return_positions(Int x, int a) {
        for (Int k = 0; k < padded; k += L) {
            V s{};
            for (Int m = 0; m < p.members; ++m) s += load(&score_grad[a][m * padded + k]);
            store(&base_grad[k], s);
        }
        const Int row = p.row_reach - x / p.cols, col = p.col_reach - x % p.cols;
        if (p.row_table) {
            for (Int r = 0; r < p.rows; ++r) {
                T s = 0;
                for (Int c = 0; c < p.cols; ++c) s += base_grad[r * p.cols + c];
                of_row[r] = s;
            }
            return_line(of_row.data(), p.rows, &rows[row], &rows_grad[row], row_line, a);
        }
        if (p.col_table) {
            zero(of_col);
            for (Int r = 0; r < p.rows; ++r)
                for (Int c = 0; c < p.cols; ++c) of_col[c] += base_grad[r * p.cols + c];
            return_line(of_col.data(), p.cols, &cols[col], &cols_grad[col], line, a);
        }
        for (Int r = 0; p.pair_table && r < p.rows; ++r) {
            const Int from = (row + r) * line + col;
            return_line(&base_grad[r * p.cols], p.cols, &pairs[from], &pairs_grad[from],
                        row_offsets * line, a);
        }
        zero(of_row), zero(of_col);
    }

    // What neighbouring offsets pass back to a table, and the table to the query.
    void return_line(const T* passed, Int size, const T* table, T* table_grad, Int step, int a) {
        const T* q = &query[a * D];
        for (Int k = 0; k < size; k += L) {
            V s = load(passed + k);
            for (int lane = 0; lane < L; ++lane) s[lane] = k + lane < size ? s[lane] : T(0);
            for (int c = 0; c < D; ++c) {
                query_grad[a * D + c] += sum(s * load(table + c * step + k));
                add(table_grad + c * step + k, s * q[c]);
            }
        }
    }

 private:
    // Of a plane: the pixels, to whole vectors. The order of planes is (d, member).
    static Int padding(const Problem& p) { return (p.rows * p.cols + L - 1) / L * L; }
    static Planes planes(const Problem& p) {
        return {padding(p), p.cols, p.members * padding(p), 0};
    }
};

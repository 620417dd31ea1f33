// Attention to all keys. A vector holds neighbouring keys of one frame, rows after one another; a
// query meets all of them before the next comes. Keys beyond the last have a score of minus 1e30.
#pragma once

#include "problem.h"

// One head of one image, with the room it works in.
class Everywhere {
   public:
    Everywhere(const Problem& p, bool backward)
        : p(p), count(p.rows * p.cols), padded((count + L - 1) / L * L), keys(p.members * padded),
          offsets(2 * p.reach + 1), line(offsets + L) {
        key.resize(D * keys), value.resize(D * keys);
        rows.resize(p.row_table ? D * line : 0), cols.resize(p.col_table ? D * line : 0);
        pairs.resize(p.pair_table ? D * offsets * line : 0);
        of_row.resize(p.rows + L), of_col.resize(p.cols + L);
        base.resize(padded + L), scores.resize(keys), frame.resize(p.members);
        if (!backward) return;
        key_grad.resize(D * keys), value_grad.resize(D * keys), score_grad.resize(keys);
        rows_grad.resize(rows.size()), cols_grad.resize(cols.size());
        pairs_grad.resize(pairs.size()), frames_grad.resize(p.frame_table ? p.members * D : 0);
        base_grad.resize(padded + L);
    }

    void forward(Int batch, Int head) {
        each_query(batch, head, false, [&](Int i, Int j, Int g, Int o) { attend(batch, head, i, j, g, o); });
    }

    void backward(Int batch, Int head) {
        each_query(batch, head, true, [&](Int i, Int j, Int g, Int o) {
            pass_back(batch, head, i, j, g, o);
        });
    }

   private:
    const Problem& p;
#if HEAD_DIM
    static constexpr int D = HEAD_DIM;
#else
    const int D = int(p.d);
#endif
    const Int count, padded, keys, offsets, line;
    Buffer key, value, rows, cols, pairs, of_row, of_col, base, scores, frame;
    Buffer key_grad, value_grad, score_grad, rows_grad, cols_grad, pairs_grad, frames_grad, base_grad;
    T query[WIDEST];

    // Calls `body` for every query; keys, values and the tables of its frame are in place by then.
    template <class Body>
    void each_query(Int b, Int n, bool backward, Body body) {
        for (Int set = 0; set < p.sets; ++set) {
            read_keys(p.key, p.key_strides, key, b, set, n);
            read_keys(p.value, p.value_strides, value, b, set, n);
            if (backward) zero(key_grad), zero(value_grad);
            const Int first = p.sets == 1 ? 0 : set, end = p.sets == 1 ? p.frames : set + 1;
            for (Int g = first; g < end; ++g) {
                read_tables(n, g);
                if (backward) zero(rows_grad), zero(cols_grad), zero(pairs_grad);
                for (Int o = 0; o < p.own; ++o) {
                    if (backward) zero(frames_grad);
                    for (Int i = 0; i < p.rows; ++i)
                        for (Int j = 0; j < p.cols; ++j) {
                            read_query(b, n, i, j, g, o);
                            score_positions(n, i, j, g, o);
                            body(i, j, g, o);
                        }
                    if (backward && p.frame_table) write_frames(b, n, g, o);
                }
                if (backward) write_tables(b, n, g);
            }
            if (backward) write_keys(p.key_grad, key_grad, b, set, n), write_keys(p.value_grad, value_grad, b, set, n);
        }
    }

    // Tokens to planes (d, member, key), and planes to contiguous tokens.
    void read_keys(const T* from, const Int* s, Buffer& to, Int b, Int set, Int n) {
        for (Int m = 0; m < p.members; ++m)
            for (Int i = 0; i < p.rows; ++i)
                for (Int j = 0; j < p.cols; ++j) {
                    const T* x = from + b * s[0] + i * s[1] + j * s[2] + set * s[3] + m * s[4] + n * s[5];
                    T* y = &to[m * padded + i * p.cols + j];
                    for (int c = 0; c < D; ++c) y[c * keys] = x[c * s[6]];
                }
    }

    void write_keys(T* to, const Buffer& from, Int b, Int set, Int n) {
        for (Int i = 0; i < p.rows; ++i)
            for (Int j = 0; j < p.cols; ++j)
                for (Int m = 0; m < p.members; ++m) {
                    T* y = to + key_of(p, b, n, i, j, set, m) * D;
                    const T* x = &from[m * padded + i * p.cols + j];
                    for (int c = 0; c < D; ++c) y[c] = x[c * keys];
                }
    }

    // Tables to planes (d, offset), so that a vector holds neighbouring offsets.
    void read_tables(Int n, Int g) {
        for (Int u = 0; u < offsets; ++u)
            for (int c = 0; c < D; ++c) {
                const Int at = ((g * offsets + u) * p.heads + n) * D + c;
                if (p.row_table) rows[c * line + u] = p.row_table[at];
                if (p.col_table) cols[c * line + u] = p.col_table[at];
                for (Int w = 0; p.pair_table && w < offsets; ++w)
                    pairs[(c * offsets + u) * line + w] =
                        p.pair_table[(((g * offsets + u) * offsets + w) * p.heads + n) * D + c];
            }
    }

    void write_tables(Int b, Int n, Int g) {
        for (Int u = 0; u < offsets; ++u)
            for (int c = 0; c < D; ++c) {
                const Int at = (((b * p.frames + g) * offsets + u) * p.heads + n) * D + c;
                if (p.row_table) p.row_grad[at] = rows_grad[c * line + u];
                if (p.col_table) p.col_grad[at] = cols_grad[c * line + u];
                for (Int w = 0; p.pair_table && w < offsets; ++w)
                    p.pair_grad[((((b * p.frames + g) * offsets + u) * offsets + w) * p.heads + n) * D + c] =
                        pairs_grad[(c * offsets + u) * line + w];
            }
    }

    Int frame_entry(Int n, Int g, Int o, Int m) const {
        return (((g * p.own + o) * p.members + m) * p.heads + n) * D;
    }

    void write_frames(Int b, Int n, Int g, Int o) {
        T* to = p.frame_grad + b * p.frames * p.own * p.members * p.heads * D;
        for (Int m = 0; m < p.members; ++m)
            for (int c = 0; c < D; ++c) to[frame_entry(n, g, o, m) + c] = frames_grad[m * D + c];
    }

    void read_query(Int b, Int n, Int i, Int j, Int g, Int o) {
        const Int* s = p.query_strides;
        const T* x = p.query + b * s[0] + i * s[1] + j * s[2] + g * s[3] + o * s[4] + n * s[5];
        for (int c = 0; c < D; ++c) query[c] = p.scale * x[c * s[6]];
    }

    // Scores of the query with `size` neighbouring offsets of a table.
    void score_line(const T* table, Int step, Int size, T* to) {
        for (Int k = 0; k < size; k += L) {
            V s{};
#pragma GCC unroll 16
            for (int c = 0; c < D; ++c) s += query[c] * load(table + c * step + k);
            store(to + k, s);
        }
    }

    // `base`: what positions add to the scores of every key; `frame`: what frames do.
    void score_positions(Int n, Int i, Int j, Int g, Int o) {
        const T *row = rows.data() + p.reach - i, *col = cols.data() + p.reach - j;
        if (p.row_table) score_line(row, line, p.rows, of_row.data());
        if (p.col_table) score_line(col, line, p.cols, of_col.data());
        for (Int r = 0; r < p.rows; ++r) {
            T* to = &base[r * p.cols];  // a vector over the end of a row is mended by the next row
            if (p.pair_table)
                score_line(pairs.data() + (p.reach + r - i) * line + p.reach - j, offsets * line, p.cols, to);
            for (Int k = 0; k < p.cols; k += L) {
                V s = all(of_row[r]) + load(&of_col[k]);
                if (p.pair_table) s += load(to + k);
                store(to + k, s);
            }
        }
        std::fill(base.begin() + count, base.end(), FAR);
        for (Int m = 0; m < p.members; ++m) {
            T s = 0;
            for (int c = 0; p.frame_table && c < D; ++c) s += query[c] * p.frame_table[frame_entry(n, g, o, m) + c];
            frame[m] = s;
        }
    }

    // Scores of the query with all keys, to `scores`; their maximum in every lane.
    V score_keys() {
        V q[WIDEST], top = all(FAR);
#pragma GCC unroll 16
        for (int c = 0; c < D; ++c) q[c] = all(query[c]);
        for (Int m = 0; m < p.members; ++m) {
            const V own = all(frame[m]);
            for (Int k = 0; k < padded; k += L) {
                const T* x = &key[m * padded + k];
                V s = load(&base[k]) + own;
#pragma GCC unroll 16
                for (int c = 0; c < D; ++c) s += q[c] * load(x + c * keys);
                store(&scores[m * padded + k], s);
                top = larger(s, top);
            }
        }
        return top;
    }

    void attend(Int b, Int n, Int i, Int j, Int g, Int o) {
        const V tops = score_keys();
        T top = tops[0];
        for (int lane = 1; lane < L; ++lane) top = tops[lane] > top ? tops[lane] : top;
        V acc[WIDEST], total{};
#pragma GCC unroll 16
        for (int c = 0; c < D; ++c) acc[c] = V{};
        for (Int k = 0; k < keys; k += L) {
            const V weight = exponential(load(&scores[k]) - top);
            total += weight;
#pragma GCC unroll 16
            for (int c = 0; c < D; ++c) acc[c] += weight * load(&value[c * keys + k]);
        }
        const T whole = sum(total);
        T* to = p.out + token_of(p, b, n, i, j, g, o) * D;
        for (int c = 0; c < D; ++c) to[c] = sum(acc[c]) / whole;
        p.lse[lse_of(p, b, n, i, j, g, o)] = top + std::log(whole);
    }

    // Everything that the scores of one query pass back.
    void pass_back(Int b, Int n, Int i, Int j, Int g, Int o) {
        const Int at = token_of(p, b, n, i, j, g, o) * D;
        const T *passed = p.out_grad + at, *out = p.out + at;
        const T lse = p.lse[lse_of(p, b, n, i, j, g, o)];
        T less = 0;
        for (int c = 0; c < D; ++c) less += passed[c] * out[c];
        score_keys();
        V x[WIDEST], acc[WIDEST];
#pragma GCC unroll 16
        for (int c = 0; c < D; ++c) x[c] = all(passed[c]);
        for (Int k = 0; k < keys; k += L) {
            const V weight = exponential(load(&scores[k]) - lse);
            V s = all(-less);
#pragma GCC unroll 16
            for (int c = 0; c < D; ++c) s += x[c] * load(&value[c * keys + k]);
            store(&scores[k], weight);
            store(&score_grad[k], weight * s);
        }
        to_keys(scores, x, value_grad);
#pragma GCC unroll 16
        for (int c = 0; c < D; ++c) x[c] = all(query[c]), acc[c] = V{};
        to_keys(score_grad, x, key_grad);
        for (Int k = 0; k < keys; k += L) {
            const V s = load(&score_grad[k]);
#pragma GCC unroll 16
            for (int c = 0; c < D; ++c) acc[c] += s * load(&key[c * keys + k]);
        }
        T* to = p.query_grad + at;
        for (int c = 0; c < D; ++c) to[c] = 0;
        if (p.frame_table) return_frames(n, g, o, to);
        if (p.row_table || p.col_table || p.pair_table) return_positions(i, j, acc);
        for (int c = 0; c < D; ++c) to[c] = p.scale * (to[c] + sum(acc[c]));
    }

    void to_keys(const Buffer& coefficient, const V* x, Buffer& onto) {
        for (Int k = 0; k < keys; k += L) {
            const V factor = load(&coefficient[k]);
#pragma GCC unroll 16
            for (int c = 0; c < D; ++c) add(&onto[c * keys + k], factor * x[c]);
        }
    }

    void return_frames(Int n, Int g, Int o, T* to) {
        for (Int m = 0; m < p.members; ++m) {
            V total{};
            for (Int k = 0; k < padded; k += L) total += load(&score_grad[m * padded + k]);
            const T s = sum(total), *entry = p.frame_table + frame_entry(n, g, o, m);
            for (int c = 0; c < D; ++c) to[c] += s * entry[c], frames_grad[m * D + c] += s * query[c];
        }
    }

    void return_positions(Int i, Int j, V* acc) {
        for (Int k = 0; k < padded; k += L) {
            V s{};
            for (Int m = 0; m < p.members; ++m) s += load(&score_grad[m * padded + k]);
            store(&base_grad[k], s);
        }
        const Int row = p.reach - i, col = p.reach - j;
        if (p.row_table) {
            for (Int r = 0; r < p.rows; ++r) {
                T s = 0;
                for (Int c = 0; c < p.cols; ++c) s += base_grad[r * p.cols + c];
                of_row[r] = s;
            }
            return_line(of_row.data(), p.rows, &rows[row], &rows_grad[row], line, acc);
        }
        if (p.col_table) {
            zero(of_col);
            for (Int r = 0; r < p.rows; ++r)
                for (Int c = 0; c < p.cols; ++c) of_col[c] += base_grad[r * p.cols + c];
            return_line(of_col.data(), p.cols, &cols[col], &cols_grad[col], line, acc);
        }
        for (Int r = 0; p.pair_table && r < p.rows; ++r) {
            const Int from = (row + r) * line + col;
            return_line(&base_grad[r * p.cols], p.cols, &pairs[from], &pairs_grad[from], offsets * line, acc);
        }
        zero(of_row), zero(of_col);
    }

    // What neighbouring offsets pass back to a table, and the table to the query.
    void return_line(const T* passed, Int size, const T* table, T* table_grad, Int step, V* acc) {
        for (Int k = 0; k < size; k += L) {
            V s = load(passed + k);
            for (int lane = 0; lane < L; ++lane) s[lane] = k + lane < size ? s[lane] : T(0);
            for (int c = 0; c < D; ++c) {
                acc[c] += s * load(table + c * step + k);
                add(table_grad + c * step + k, s * query[c]);
            }
        }
    }
};

// Attention within windows. A vector holds neighbouring columns of one row: of queries, and for one
// offset of the keys that these queries meet there. The scores of an offset are products and sums
// of vectors.
#pragma once

#include "window_positions.h"

// One head of one image, with the room it works in.
class Window : WindowPositions {
 public:
    Window(const Problem& p, bool backward) : WindowPositions(p, backward) {
        if (!backward) return;
        out_grad.resize(D * stride), lse.resize(stride), delta.resize(stride);
        weights.resize(col_offsets * stride), score_grad.resize(col_offsets * stride);
    }

    void forward(Int batch, Int head) {
        each_row(batch, head, false, [&](Int i, Int g, Int o) {
            for (Int j = 0; j < p.cols; j += L) attend(batch, head, i, g, o, j);
        });
    }

    void backward(Int batch, Int head) {
        begin_tables();
        each_row(batch, head, true, [&](Int i, Int g, Int o) {
            begin_row(batch, head, i, g, o);
            for (Int m = 0; m < p.members; ++m)
                for (Int r = first_row(i); r < end_row(i); ++r)
                    if (p.near[r - i + p.row_reach] >= 0) return_scores(m, i, r);
            return_positions(head, g, o);
            write_row(p.query_grad, query_grad, batch, head, i, g, o, p.scale);
        });
        write_tables(batch, head);
    }

 private:
    Buffer out_grad, lse, delta, weights, score_grad, room;

    // Calls `body` for every row of queries, whose scores with positions are in place by then.
    template <class Body>
    void each_row(Int batch, Int head, bool backward, Body body) {
        each_frame(batch, head, backward, [&](Int first, Int end) {
            for (Int i = 0; i < p.rows; ++i)
                for (Int g = first; g < end; ++g)
                    for (Int o = 0; o < p.own; ++o) {
                        read_row(p.query, p.query_strides, query, batch, head, i, g, o, p.scale);
                        score_positions(head, i, g, o);
                        body(i, g, o);
                    }
        });
    }

    // Score of the queries from column j with the keys of row r at offset (u, w) from them.
    inline V score_at(const V* q, const T* keys, V base, Int u, Int w, Int j) {
        const Int c = j + w - p.col_reach + L;
        V s = base + load(&by_col[w * stride + j]);
        if (p.pair_table)
            s += load(pair(by_pair, u, w) + j);
        else if (p.weights)
            s += p.weights[u * col_offsets + w];
#pragma GCC unroll 16
        for (int e = 0; e < D; ++e) s += q[e] * load(keys + e * plane + c);
        return s;
    }

    // Attention of the queries of one row from column j: a running softmax over rows of keys.
    void attend(Int b, Int n, Int i, Int g, Int o, Int j) {
        V q[WIDEST], acc[WIDEST], highest = all(FAR), total{};
        V* s = reinterpret_cast<V*>(scratch(p.cols + 2 * L));
#pragma GCC unroll 16
        for (int c = 0; c < D; ++c) q[c] = load(&query[c * stride + L + j]), acc[c] = V{};
        for (Int m = 0; m < p.members; ++m)
            for (Int r = first_row(i); r < end_row(i); ++r) {
                const Int u = r - i + p.row_reach, near = p.near[u];
                const Int first = first_col(j, near), last = last_col(j, near);
                if (near < 0 || first > last) continue;
                const T* keys = &key[m * D * plane + r * stride];
                const T* values = &value[m * D * plane + r * stride];
                const V base = load(&by_row[u * stride + j]) + load(&by_frame[m * stride + j]);
                V top = highest;
                for (Int w = first; w <= last; ++w) {
                    s[w - first] = score_at(q, keys, base, u, w + p.col_reach, j);
                    top = larger(s[w - first], top);
                }
                const V shrink = exponential(highest - top);
                highest = top, total *= shrink;
                V a[WIDEST];
#pragma GCC unroll 16
                for (int c = 0; c < D; ++c) a[c] = acc[c] * shrink;
                for (Int w = first; w <= last; ++w) {
                    const V weight = exponential(s[w - first] - top);
                    total += weight;
                    const T* v = values + j + w + L;
#pragma GCC unroll 16
                    for (int c = 0; c < D; ++c) a[c] += weight * load(v + c * plane);
                }
#pragma GCC unroll 16
                for (int c = 0; c < D; ++c) acc[c] = a[c];
            }
        const Int here = std::min<Int>(L, p.cols - j);
        for (int c = 0; c < D; ++c) acc[c] /= total;
        for (Int lane = 0; lane < here; ++lane) {
            T* to = p.out + token_of(p, b, n, i, j + lane, g, o) * D;
            for (int c = 0; c < D; ++c) to[c] = acc[c][lane];
            p.lse[lse_of(p, b, n, i, j + lane, g, o)] = highest[lane] + std::log(total[lane]);
        }
    }

    T* scratch(Int vectors) {
        room.resize((vectors + 1) * L);
        const uintptr_t at = reinterpret_cast<uintptr_t>(room.data());
        return room.data() + ((BYTES - at % BYTES) % BYTES) / sizeof(T);
    }

    void begin_row(Int b, Int n, Int i, Int g, Int o) {
        const Int contiguous[7] = {p.rows * p.cols * p.frames * p.own * p.heads * D,
                                   p.cols * p.frames * p.own * p.heads * D,
                                   p.frames * p.own * p.heads * D,
                                   p.own * p.heads * D,
                                   p.heads * D,
                                   D,
                                   1};
        read_row(p.out_grad, contiguous, out_grad, b, n, i, g, o, T(1));
        read_row(p.out, contiguous, query_grad, b, n, i, g, o, T(1));
        std::fill(lse.begin(), lse.end(), -FAR);  // no weight to queries beyond the image
        std::copy_n(p.lse + lse_of(p, b, n, i, 0, g, o), p.cols, lse.begin());
        for (Int j = 0; j < p.cols; j += L) {
            V s{};
            for (int c = 0; c < D; ++c)
                s += load(&out_grad[c * stride + L + j]) * load(&query_grad[c * stride + L + j]);
            store(&delta[j], s);
        }
        zero(query_grad), zero_positions();
    }

    // Everything that the scores of one row of queries with one row of keys pass back.
    void return_scores(Int m, Int i, Int r) {
        const Int u = r - i + p.row_reach, near = p.near[u];
        const Int at = m * D * plane + r * stride;
        const bool rows = p.row_table, cols = p.col_table, pairs = p.pair_table;
        zero_rows(near);
        for (Int j = 0; j < p.cols; j += L) {
            const Int first = first_col(j, near), last = last_col(j, near);
            const V base = load(&by_row[u * stride + j]) + load(&by_frame[m * stride + j]);
            const V most = load(&lse[j]), less = load(&delta[j]);
            V x[WIDEST], total{};
#pragma GCC unroll 16
            for (int c = 0; c < D; ++c) x[c] = load(&query[c * stride + L + j]);
            for (Int w = first; w <= last; ++w) {
                const V s = score_at(x, &key[at], base, u, w + p.col_reach, j);
                store(&weights[(w + p.col_reach) * stride + L + j], exponential(s - most));
            }
#pragma GCC unroll 16
            for (int c = 0; c < D; ++c) x[c] = load(&out_grad[c * stride + L + j]);
            for (Int w = first; w <= last; ++w) {
                V passed = -less;
#pragma GCC unroll 16
                for (int c = 0; c < D; ++c)
                    passed += x[c] * load(&value[at + c * plane + L + j + w]);
                const Int o = (w + p.col_reach) * stride + L + j;
                passed *= load(&weights[o]);
                store(&score_grad[o], passed);
                total += passed;
                if (cols) add(&col_grad[(w + p.col_reach) * stride + j], passed);
                if (pairs) add(pair(pair_grad, u, w + p.col_reach) + j, passed);
            }
            if (rows) add(&row_grad[u * stride + j], total);
            add(&frame_grad[m * stride + j], total);
#pragma GCC unroll 16
            for (int c = 0; c < D; ++c) x[c] = load(&query_grad[c * stride + L + j]);
            for (Int w = first; w <= last; ++w) {
                const V passed = load(&score_grad[(w + p.col_reach) * stride + L + j]);
#pragma GCC unroll 16
                for (int c = 0; c < D; ++c) x[c] += passed * load(&key[at + c * plane + L + j + w]);
            }
#pragma GCC unroll 16
            for (int c = 0; c < D; ++c) store(&query_grad[c * stride + L + j], x[c]);
        }
        to_keys(score_grad, query, &key_grad[at], near);
        to_keys(weights, out_grad, &value_grad[at], near);
    }

    void zero_rows(Int near) {
        const Int from = (p.col_reach - near) * stride, count = (2 * near + 1) * stride;
        std::fill_n(weights.begin() + from, count, T(0));
        std::fill_n(score_grad.begin() + from, count, T(0));
    }

    // onto[key] += sum over offsets of coefficient[offset][query] x[query], for a row of keys.
    void to_keys(const Buffer& coefficient, const Buffer& x, T* onto, Int near) {
        for (Int j = 0; j < p.cols; j += L) {
            const Int first = std::max(-near, j - (p.cols - 1)), last = std::min(near, j + L - 1);
            V acc[WIDEST];
#pragma GCC unroll 16
            for (int c = 0; c < D; ++c) acc[c] = load(onto + c * plane + L + j);
            for (Int w = first; w <= last; ++w) {
                const Int from = L + j - w;
                const V factor = load(&coefficient[(w + p.col_reach) * stride + from]);
#pragma GCC unroll 16
                for (int c = 0; c < D; ++c) acc[c] += factor * load(&x[c * stride + from]);
            }
#pragma GCC unroll 16
            for (int c = 0; c < D; ++c) store(onto + c * plane + L + j, acc[c]);
        }
    }
};

// Attention to all keys. A vector holds neighbouring keys of one frame, rows after one another; a
// few queries meet all of them together, so that a key that is loaded serves them all. Keys beyond
// the last have a score of minus 1e30.
#pragma once

#include "global_positions.h"

// One head of one image, with the room it works in.
class GlobalAttention : GlobalPositions {
 public:
    GlobalAttention(const Problem& p, bool backward) : GlobalPositions(p, backward) {
        if (backward) passed.resize(Q * D);
    }

    void forward(Int b, Int n) {
        each_block(b, n, false,
                   [&](Int x, int here, Int g, Int o) { attend(b, n, x, here, g, o); });
    }

    void backward(Int b, Int n) {
        each_block(b, n, true,
                   [&](Int x, int here, Int g, Int o) { pass_back(b, n, x, here, g, o); });
    }

 private:
    Buffer passed;

    // Calls `body` for every few queries, from number x on; keys, values and the tables of their
    // frame are in place by then.
    template <class Body>
    void each_block(Int b, Int n, bool backward, Body body) {
        each_frame(b, n, backward, [&](Int first, Int end) {
            for (Int g = first; g < end; ++g) {
                read_tables(n, g);
                if (backward) zero(rows_grad), zero(cols_grad), zero(pairs_grad);
                for (Int o = 0; o < p.own; ++o) {
                    if (backward) zero(frames_grad);
                    for (Int x = 0; x < count; x += Q) {
                        const int here = int(std::min<Int>(Q, count - x));
                        for (int a = 0; a < here; ++a) {
                            read_query(b, n, x + a, g, o, &query[a * D]);
                            score_positions(n, x + a, g, o, a);
                        }
                        body(x, here, g, o);
                    }
                    if (backward && p.frame_table) write_frames(b, n, g, o);
                }
                if (backward) write_tables(b, n, g);
            }
        });
    }

    void read_query(Int b, Int n, Int x, Int g, Int o, T* to) {
        const Int* s = p.query_strides;
        const T* from = p.query + b * s[0] + x / p.cols * s[1] + x % p.cols * s[2] + g * s[3] +
                        o * s[4] + n * s[5];
        for (int c = 0; c < D; ++c) to[c] = p.scale * from[c * s[6]];
    }

    // Scores of the queries with all keys.
    void score_keys() {
        for (Int m = 0; m < p.members; ++m)
            for (Int k = m * padded; k < (m + 1) * padded; k += L) {
                V s[Q];
                for (int a = 0; a < Q; ++a) s[a] = load(&base[a][k - m * padded]) + frame[a][m];
                products(&query[0], &key[k], s);
                for (int a = 0; a < Q; ++a) store(&scores[a][k], s[a]);
            }
    }

    // s[a] += x[a] . y, for a vector of tokens y.
    inline void products(const T* x, const T* y, V* s) {
#pragma GCC unroll 16
        for (int c = 0; c < D; ++c) {
            const V other = load(y + c * keys);
            for (int a = 0; a < Q; ++a) s[a] += x[a * D + c] * other;
        }
    }

    // to[a] = sum over keys of weight[a] y, for all channels of y.
    void sums(const Buffer* weight, const Buffer& y, T* to) {
        for (int c = 0; c < D; ++c) {
            V acc[Q] = {};
            for (Int k = 0; k < keys; k += L) {
                const V other = load(&y[c * keys + k]);
                for (int a = 0; a < Q; ++a) acc[a] += load(&weight[a][k]) * other;
            }
            for (int a = 0; a < Q; ++a) to[a * D + c] = sum(acc[a]);
        }
    }

    // onto[key] += sum over queries of weight[a] x[a], for all channels of x.
    void spread_out(const Buffer* weight, const Buffer& x, Buffer& onto) {
        for (int c = 0; c < D; ++c)
            for (Int k = 0; k < keys; k += L) {
                V s = load(&onto[c * keys + k]);
                for (int a = 0; a < Q; ++a) s += load(&weight[a][k]) * x[a * D + c];
                store(&onto[c * keys + k], s);
            }
    }

    void attend(Int b, Int n, Int x, int here, Int g, Int o) {
        score_keys();
        T top[Q], total[Q];
        Buffer& result = query;  // its numbers are no longer needed
        for (int a = 0; a < Q; ++a) {
            V highest = all(FAR), whole{};
            for (Int k = 0; k < keys; k += L) highest = larger(load(&scores[a][k]), highest);
            top[a] = highest[0];
            for (int lane = 1; lane < L; ++lane) top[a] = std::max(top[a], highest[lane]);
            for (Int k = 0; k < keys; k += L) {
                const V weight = exponential(load(&scores[a][k]) - top[a]);
                store(&scores[a][k], weight);
                whole += weight;
            }
            total[a] = sum(whole);
        }
        sums(scores, value, &result[0]);
        for (int a = 0; a < here; ++a) {
            const Int i = (x + a) / p.cols, j = (x + a) % p.cols;
            T* to = p.out + token_of(p, b, n, i, j, g, o) * D;
            for (int c = 0; c < D; ++c) to[c] = result[a * D + c] / total[a];
            p.lse[lse_of(p, b, n, i, j, g, o)] = top[a] + std::log(total[a]);
        }
    }

    // Everything that the scores of a few queries pass back.
    void pass_back(Int b, Int n, Int x, int here, Int g, Int o) {
        T less[Q] = {}, lse[Q] = {-FAR, -FAR, -FAR, -FAR};  // no weight to queries beyond the last
        zero(passed);
        for (int a = 0; a < here; ++a) {
            const Int i = (x + a) / p.cols, j = (x + a) % p.cols,
                      at = token_of(p, b, n, i, j, g, o) * D;
            lse[a] = p.lse[lse_of(p, b, n, i, j, g, o)];
            for (int c = 0; c < D; ++c) {
                passed[a * D + c] = p.out_grad[at + c];
                less[a] += p.out_grad[at + c] * p.out[at + c];
            }
        }
        score_keys();
        for (Int k = 0; k < keys; k += L) {
            V s[Q];
            for (int a = 0; a < Q; ++a) s[a] = all(-less[a]);
            products(&passed[0], &value[k], s);
            for (int a = 0; a < Q; ++a) {
                const V weight = exponential(load(&scores[a][k]) - lse[a]);
                store(&scores[a][k], weight);
                store(&score_grad[a][k], weight * s[a]);
            }
        }
        spread_out(scores, passed, value_grad);
        spread_out(score_grad, query, key_grad);
        sums(score_grad, key, &query_grad[0]);
        for (int a = 0; a < here; ++a) {
            if (p.frame_table) return_frames(n, g, o, a);
            if (p.row_table || p.col_table || p.pair_table) return_positions(x + a, a);
            T* to = p.query_grad + token_of(p, b, n, (x + a) / p.cols, (x + a) % p.cols, g, o) * D;
            for (int c = 0; c < D; ++c) to[c] = p.scale * query_grad[a * D + c];
        }
    }
};

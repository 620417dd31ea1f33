// One head of one image, with its keys and values in planes of channels.
#pragma once

#include "problem.h"

class Head {
 protected:
    // Steps between members, rows and channels of a plane's numbers, and where the first one is.
    struct Planes {
        Int member, row, channel, first;
    };

    const Problem& p;
#if HEAD_DIM
    static constexpr int D = HEAD_DIM;
#else
    const int D = int(p.d);
#endif
    const Int row_offsets, col_offsets;
    Buffer key, value, key_grad, value_grad;

    // `size` numbers of a plane, the same of keys and values; those beyond the image stay zero.
    Head(const Problem& p, bool backward, Planes planes, Int size)
        : p(p),
          row_offsets(2 * p.row_reach + 1),
          col_offsets(2 * p.col_reach + 1),
          planes(planes) {
        key.resize(size), value.resize(size);
        if (backward) key_grad.resize(size), value_grad.resize(size);
    }

    // Calls `body` with the first frame and the end of those of queries whose keys are in `key` and
    // `value` by then.
    template <class Body>
    void each_frame(Int b, Int n, bool backward, Body body) {
        for (Int set = 0; set < p.sets; ++set) {
            read_keys(p.key, p.key_strides, key, b, set, n);
            read_keys(p.value, p.value_strides, value, b, set, n);
            if (backward) zero(key_grad), zero(value_grad);
            const Int first = p.sets == 1 ? 0 : set, end = p.sets == 1 ? p.frames : set + 1;
            body(first, end);
            if (!backward) continue;
            write_keys(p.key_grad, key_grad, b, set, n);
            write_keys(p.value_grad, value_grad, b, set, n);
        }
    }

 private:
    const Planes planes;

    Int place(Int m, Int i, Int j) const {
        return m * planes.member + i * planes.row + j + planes.first;
    }

    // Tokens to planes, and planes to contiguous tokens.
    void read_keys(const T* from, const Int* s, Buffer& to, Int b, Int set, Int n) {
        for (Int m = 0; m < p.members; ++m)
            for (Int i = 0; i < p.rows; ++i)
                for (Int j = 0; j < p.cols; ++j) {
                    const T* x =
                        from + b * s[0] + i * s[1] + j * s[2] + set * s[3] + m * s[4] + n * s[5];
                    T* y = &to[place(m, i, j)];
                    for (int c = 0; c < D; ++c) y[c * planes.channel] = x[c * s[6]];
                }
    }

    void write_keys(T* to, const Buffer& from, Int b, Int set, Int n) {
        for (Int i = 0; i < p.rows; ++i)
            for (Int j = 0; j < p.cols; ++j)
                for (Int m = 0; m < p.members; ++m) {
                    T* y = to + key_of(p, b, n, i, j, set, m) * D;
                    const T* x = &from[place(m, i, j)];
                    for (int c = 0; c < D; ++c) y[c] = x[c * planes.channel];
                }
    }
};

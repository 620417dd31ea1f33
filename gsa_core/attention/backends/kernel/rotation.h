// Rotary positions: pairs of channels turned by angles.
#pragma once

#include "lanes.h"

extern "C" struct Rotation {
    Int batch, rows, cols, frames, sets, others, heads, d, threads;
    Int strides[7];
    const T* tokens;       // of one frame (sets == 1) or of all
    const T *cos, *sin;    // (row, col, frame, head, pair)
    T* turned;             // contiguous
    T *grad, *angle_grad;  // the backward pass alone
};

// Turns pairs (c, c + pairs) of channels by angles of position, frame and head; d_odd is kept.
struct Turn {
    const Rotation& p;
    const Int pairs = p.d / 2;

    const T* in(Int b, Int i, Int j, Int g, Int o, Int n) const {
        const Int* s = p.strides;
        return p.tokens + b * s[0] + i * s[1] + j * s[2] + (p.sets == 1 ? 0 : g) * s[3] + o * s[4] +
               n * s[5];
    }

    // Calls body(in, offset of the contiguous result, offset of the angles) for every token.
    template <class Body>
    void each(Int i, Body body) const {
        for (Int j = 0; j < p.cols; ++j)
            for (Int b = 0; b < p.batch; ++b)
                for (Int g = 0; g < p.frames; ++g)
                    for (Int o = 0; o < p.others; ++o)
                        for (Int n = 0; n < p.heads; ++n) {
                            const Int place = (i * p.cols + j) * p.frames + g;
                            const Int token =
                                (b * p.rows * p.cols * p.frames + place) * p.others + o;
                            body(in(b, i, j, g, o, n), (token * p.heads + n) * p.d,
                                 (place * p.heads + n) * pairs);
                        }
    }

    void forward(Int i) const {
        each(i, [&](const T* x, Int at, Int angle) {
            const T *cos = p.cos + angle, *sin = p.sin + angle;
            T* y = p.turned + at;
            const Int s = p.strides[6];
            for (Int c = 0; c < pairs; ++c) {
                const T first = x[c * s], second = x[(c + pairs) * s];
                y[c] = first * cos[c] - second * sin[c];
                y[c + pairs] = first * sin[c] + second * cos[c];
            }
            if (p.d % 2) y[p.d - 1] = x[(p.d - 1) * s];
        });
    }

    // Here `tokens` are the gradients of the result: they are turned back.
    void backward(Int i) const {
        std::fill_n(p.angle_grad + i * p.cols * p.frames * p.heads * pairs,
                    p.cols * p.frames * p.heads * pairs, T(0));
        each(i, [&](const T* x, Int at, Int angle) {
            const T *cos = p.cos + angle, *sin = p.sin + angle, *y = p.turned + at;
            T *grad = p.grad + at, *of_angle = p.angle_grad + angle;
            for (Int c = 0; c < pairs; ++c) {
                const T first = x[c], second = x[c + pairs];
                of_angle[c] += second * y[c] - first * y[c + pairs];
                grad[c] = first * cos[c] + second * sin[c];
                grad[c + pairs] = second * cos[c] - first * sin[c];
            }
            if (p.d % 2) grad[p.d - 1] = x[p.d - 1];
        });
    }
};

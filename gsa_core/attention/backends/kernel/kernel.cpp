// Attention of grids of tokens over neighbourhoods and frames, fused: no score outlives its row.
//
// out[x] = sum_{y, h} softmax_{y, h}[ scale q[x] . (k[y, h] + p(y - x) + f(h)) + w(y - x) ] v[y, h]
//
// with p(u) = rows(u_1) + cols(u_2) + pairs(u), any of which may be absent, f(h) = frames(h), and w
// the logarithm of a window's weights. backends/kernel_calls.py compiles this file, for one type of
// number (SCALAR) and one width of a head (HEAD_DIM; 0: known at run time). problem.h says what the
// arguments are. Tokens are (batch, row, col, frame, other, head, d) with any strides.
//
// A unit of work is one head of one image: nothing is shared between units, so sums come in the
// same order on any number of threads.

#include "global_attention.h"
#include "rotation.h"
#include "window_attention.h"

namespace {

// Whether every query sees every key, with equal weights.
bool sees_everything(const Problem& p) {
    if (p.weights || p.row_reach < p.rows - 1) return false;
    return std::all_of(p.near, p.near + 2 * p.row_reach + 1,
                       [&](Int near) { return near >= p.cols - 1; });
}

template <class Way>
int run_as(const Problem& p, bool backward) {
    return spread(p.batch * p.heads, p.threads, [&] {
        auto unit = std::make_unique<Way>(p, backward);
        return [&p, backward, unit = std::move(unit)](Int at) {
            const Int batch = at / p.heads, head = at % p.heads;
            backward ? unit->backward(batch, head) : unit->forward(batch, head);
        };
    });
}

int run(const Problem& p, bool backward) {
    return sees_everything(p) ? run_as<GlobalAttention>(p, backward) : run_as<Window>(p, backward);
}

int run(const Rotation& p, bool backward) {
    const Turn turn{p};
    return spread(p.rows, p.threads,
                  [&] { return [&](Int i) { backward ? turn.backward(i) : turn.forward(i); }; });
}

template <class Given>
int run_to_status(const Given& given, bool backward) {
    return status_of([&] { return run(given, backward); });
}

}  // namespace

extern "C" {
int attention_forward(const Problem* problem) { return run_to_status(*problem, false); }
int attention_backward(const Problem* problem) { return run_to_status(*problem, true); }
int rotation_forward(const Rotation* problem) { return run_to_status(*problem, false); }
int rotation_backward(const Rotation* problem) { return run_to_status(*problem, true); }

// Bytes of the structures and of a number, which must be what the caller takes them for.
void structure_sizes(Int* sizes) {
    sizes[0] = sizeof(Problem), sizes[1] = sizeof(Rotation), sizes[2] = sizeof(T);
}
}

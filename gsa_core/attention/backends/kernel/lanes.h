// Numbers side by side: vectors of neighbours, their loads and stores, exp, and threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

typedef SCALAR T;
typedef int64_t Int;
constexpr int BYTES = 32;
constexpr int L = BYTES / sizeof(T);  // lanes
typedef T V __attribute__((vector_size(BYTES)));
typedef T Loose __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
constexpr T FAR = T(-1e30);
constexpr int WIDEST = HEAD_DIM ? HEAD_DIM : 512;

static inline V load(const T* from) { return *reinterpret_cast<const Loose*>(from); }
static inline void store(T* to, V x) { *reinterpret_cast<Loose*>(to) = x; }
static inline V all(T x) { return x - V{}; }
static inline V larger(V a, V b) { return a < b ? b : a; }  // not a number stays so in `a`
static inline T sum(V x) {
    T total = 0;
    for (int lane = 0; lane < L / 2; ++lane) total += x[lane] + x[lane + L / 2];
    return total;
}

#ifdef IS_FLOAT
typedef int32_t Whole __attribute__((vector_size(BYTES)));
// exp of numbers that are not large, to 2 units in the last place; 0 below the smallest normal.
static inline V exponential(V x) {
    const V low = all(-87.0f), high = all(88.0f);
    Whole below = x < low;
    x = below ? low : x;
    x = x > high ? high : x;
    const Whole n =
        __builtin_convertvector(x * 1.44269504f + (x < 0 ? all(-0.5f) : all(0.5f)), Whole);
    const V turns = __builtin_convertvector(n, V);
    const V r = (x - turns * 0.693359375f) + turns * 2.12194440e-4f;
    V p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const Whole power = (n + 127) << 23;
    p = p * (V)power;
    return below ? V{} : p;
}
#else
static inline V exponential(V x) {
    for (int lane = 0; lane < L; ++lane) x[lane] = std::exp(x[lane]);
    return x;
}
#endif

typedef std::vector<T> Buffer;
static inline void zero(Buffer& x) { std::fill(x.begin(), x.end(), T(0)); }
static inline void add(T* to, V x) { store(to, load(to) + x); }

// What the functions of the library return; backends/kernel_structures.py has the same numbers.
enum Status { DONE = 0, NO_MEMORY = 1, FAILED = 2 };

// The status that `body` ends with: an exception must not leave a thread, nor reach a caller in C.
template <class Body>
int status_of(Body body) noexcept {
    try {
        return body();
    } catch (const std::bad_alloc&) {
        return NO_MEMORY;
    } catch (const std::length_error&) {  // more than a vector can ever hold
        return NO_MEMORY;
    } catch (...) {
        return FAILED;
    }
}

// Hands out the numbers up to `units` to threads; each calls what its own `prepare` returns. Where
// one fails all end, and the status says why.
template <class Prepare>
int spread(Int units, Int threads, Prepare prepare) {
    std::atomic<Int> next{0};
    std::atomic<int> status{DONE};
    auto work = [&] {
        const int ended = status_of([&] {
            auto body = prepare();
            for (Int at; status == DONE && (at = next++) < units;) body(at);
            return int(DONE);
        });
        if (ended != DONE) status = ended;
    };
    std::vector<std::thread> others;
    status_of([&] {  // without memory or more threads, fewer do it
        for (Int i = 1; i < std::min(threads, units); ++i) others.emplace_back(work);
        return int(DONE);
    });
    work();
    for (std::thread& thread : others) thread.join();
    return status;
}

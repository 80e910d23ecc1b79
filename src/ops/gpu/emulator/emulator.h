// Just enough of CUDA to run a kernel on a CPU: every thread of a block is a fiber on one real thread, switched where threads
// wait for one another. Slow, and exact in which thread reads and writes what, and when it waits; numbers differ in their last
// bits (exp, fused multiply-adds, the sums inside tensor cores). It makes the most of every liberty that the hardware has: blocks run one after another, and of a block each warp runs
// as far as it gets before the next, in rising order with copies that arrive no sooner than somebody waits for them, or in
// falling order with copies that are there at once; memory holds NaN before. A kernel that forgot to wait gives wrong numbers.
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <tuple>
#include <utility>

using std::max;
using std::min;

#define DEVICE inline
#define __device__
#define __shared__ static
#define __restrict__
#define INFINITE INFINITY
#define NOT_A_NUMBER NAN

struct Index {
    uint32_t x, y, z;
};

// A launch, as the host describes it.
struct Launch {
    Index grid, block;
    uint32_t shared_bytes;
    // Nonzero: threads run from the last to the first, and copies are there at once.
    uint32_t falling;
    // Addresses of the arguments, in order.
    void **arguments;
};

extern Index gridDim, blockDim, blockIdx, threadIdx;
extern unsigned char *dynamic_shared;

#define DYNAMIC_SHARED(NAME) unsigned char *NAME = dynamic_shared

// Waits for all threads of the block, or of the warp.
void __syncthreads();
void __syncwarp();

// Gives `mine` (up to 64 bytes) to the other lanes of the warp, and returns what all 32 gave, until the next exchange.
const void *exchange(const void *mine, size_t bytes);
// Size of one lane's place in what `exchange` returns.
static const size_t LANE_BYTES = 64;

template <class T> const T &of_lane(const void *exchanged, int lane) {
    return *(const T *)((const char *)exchanged + lane * LANE_BYTES);
}

static inline int lane_id() { return threadIdx.x % 32; }

template <class T> static inline T __shfl_xor_sync(uint32_t, T x, int far) {
    return of_lane<T>(exchange(&x, sizeof x), lane_id() ^ far);
}

template <class T> static inline T __shfl_sync(uint32_t, T x, int lane) {
    return of_lane<T>(exchange(&x, sizeof x), lane % 32);
}

static inline uint32_t __ballot_sync(uint32_t, int yes) {
    const void *all = exchange(&yes, sizeof yes);
    uint32_t ballot = 0;
    for (int lane = 0; lane < 32; lane++) ballot |= (uint32_t)(of_lane<int>(all, lane) != 0) << lane;
    return ballot;
}

static inline int __popc(uint32_t x) { return __builtin_popcount(x); }

static inline float __uint_as_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t __float_as_uint(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

// To nearest, ties to even, as cvt.rn does; a NaN stays one.
static inline uint16_t round_to_bf16(float x) {
    uint32_t bits = __float_as_uint(x);
    if (x != x) return 0x7fff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static inline float rsqrtf(float x) { return 1.f / sqrtf(x); }

// Copies 16 bytes (zeros where they are not real), in the group that `commit_copies` closes; all are there but for the latest
// so many groups after `wait_for_copies`.
void copy_async(void *to, const void *from, bool real);
void commit_copies();
void wait_for_copies(uint32_t but);

// Runs `thread(context)` for every thread of the launch; false where threads wait for one another for ever.
bool run_threads(const Launch *launch, void (*thread)(void *), void *context);

// A kernel with its arguments.
template <class... P> struct Call {
    void (*kernel)(P...);
    std::tuple<P...> arguments;
    static void run(void *self) { std::apply(((Call *)self)->kernel, ((Call *)self)->arguments); }
};

template <class... P, size_t... I>
static bool emulate(void (*kernel)(P...), const Launch *launch, std::index_sequence<I...>) {
    Call<P...> call{kernel, {*(P *)launch->arguments[I]...}};
    return run_threads(launch, Call<P...>::run, &call);
}

template <class... P> static bool emulate(void (*kernel)(P...), const Launch *launch) {
    return emulate(kernel, launch, std::index_sequence_for<P...>());
}

// The sizes of a kernel's parameters, then 0.
template <class... P> struct Sizes_of {
    int at[sizeof...(P) + 1];
};

template <class... P> constexpr Sizes_of<P...> sizes_of(void (*)(P...)) { return {{(int)sizeof(P)..., 0}}; }

// A kernel under that name, as a function that takes its launch, and beside it the sizes of its parameters.
#define EXPORT(THREADS, NAME, PARAMETERS, ...)                                                                             \
    static void NAME##_thread PARAMETERS { __VA_ARGS__; }                                                                  \
    extern "C" bool NAME(const Launch *launch) { return emulate(NAME##_thread, launch); }                                  \
    extern "C" const auto NAME##_sizes = sizes_of(NAME##_thread);

// What all kernels share: numbers of two kinds (float, bf16) in packs of up to 16 bytes, and sums over warps and blocks in an
// order that never changes.
//
// The same source runs on a GPU and, with EMULATED, on any machine: see ../emulator/emulator.h.
#pragma once

#ifdef EMULATED
#include "emulator.h"
#else
#define DEVICE __device__ __forceinline__
// A kernel of that name with a plain C symbol, and what it runs.
#define EXPORT(THREADS, NAME, PARAMETERS, ...) \
    extern "C" __global__ void __launch_bounds__(THREADS) NAME PARAMETERS { __VA_ARGS__; }
#define DYNAMIC_SHARED(NAME) extern __shared__ __align__(16) unsigned char NAME[]
#define INFINITE __int_as_float(0x7f800000)
#define NOT_A_NUMBER __int_as_float(0x7fc00000)
#endif

typedef unsigned int u32;
typedef unsigned short u16;

static const int WARP = 32;

// The number of this thread in a launch of one dimension.
DEVICE long long thread_in_grid() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

// A 16-bit float: the upper half of a float.
struct bf16 {
    u16 bits;
};

DEVICE float to_float(float x) { return x; }

DEVICE float to_float(bf16 x) { return __uint_as_float((u32)x.bits << 16); }

template <class T> DEVICE T from_float(float x);

template <> DEVICE float from_float<float>(float x) { return x; }

template <> DEVICE bf16 from_float<bf16>(float x) {
    bf16 y;
#ifdef EMULATED
    y.bits = round_to_bf16(x);
#else
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#endif
    return y;
}

// Two numbers in one register, `low` in the lower half.
DEVICE u32 pack(float low, float high) {
#ifdef EMULATED
    return (u32)round_to_bf16(low) | (u32)round_to_bf16(high) << 16;
#else
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
#endif
}

// N numbers that are read and written at once.
template <class T, int N> struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
    T at[N];
};

template <int N, class T> DEVICE void load(const T *from, float (&to)[N]) {
    Pack<T, N> pack = *(const Pack<T, N> *)from;
#pragma unroll
    for (int i = 0; i < N; i++) to[i] = to_float(pack.at[i]);
}

template <int N, class T> DEVICE void store(T *to, const float (&from)[N]) {
    Pack<T, N> pack;
#pragma unroll
    for (int i = 0; i < N; i++) pack.at[i] = from_float<T>(from[i]);
    *(Pack<T, N> *)to = pack;
}

DEVICE float warp_sum(float x) {
#pragma unroll
    for (int far = WARP / 2; far > 0; far /= 2) x += __shfl_xor_sync(0xffffffffu, x, far);
    return x;
}

DEVICE float warp_max(float x) {
#pragma unroll
    for (int far = WARP / 2; far > 0; far /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, far));
    return x;
}

// The sum over a block of up to 1024 threads, known to all of them. `shared` holds 32 numbers and serves one sum.
DEVICE float block_sum(float x, float *shared) {
    x = warp_sum(x);
    if (threadIdx.x % WARP == 0) shared[threadIdx.x / WARP] = x;
    __syncthreads();
    float sum = 0.f;
    for (u32 warp = 0; warp < blockDim.x / WARP; warp++) sum += shared[warp];
    return sum;
}

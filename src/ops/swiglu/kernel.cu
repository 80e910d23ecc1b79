// A gate in front of a layer. A thread takes N numbers beside one another.
#include "common.cuh"

DEVICE float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

// Rows of `[gate | up]`, `width` numbers each, to silu(gate) up.
template <class T, int N> DEVICE void swiglu(const T *gate_up, T *y, long long count, int width) {
    long long i = thread_in_grid() * N;
    if (i >= count) return;
    const T *at = gate_up + i / width * 2 * width + i % width;
    float gate[N], up[N];
    load<N>(at, gate), load<N>(at + width, up);
    for (int k = 0; k < N; k++) up[k] *= gate[k] * sigmoid(gate[k]);
    store<N>(y + i, up);
}

template <class T, int N> DEVICE void swiglu_slopes(const T *gate_up, const T *g, T *d, long long count, int width) {
    long long i = thread_in_grid() * N;
    if (i >= count) return;
    long long at = i / width * 2 * width + i % width;
    float gate[N], up[N], slope[N];
    load<N>(gate_up + at, gate), load<N>(gate_up + at + width, up), load<N>(g + i, slope);
    for (int k = 0; k < N; k++) {
        float s = sigmoid(gate[k]);
        up[k] *= slope[k] * s * (1.f + gate[k] * (1.f - s));
        slope[k] *= gate[k] * s;
    }
    store<N>(d + at, up), store<N>(d + at + width, slope);
}

#define KERNELS(T, KIND, N)                                                                                   \
    EXPORT(256, swiglu_##KIND##_##N, (const T *gate_up, T *y, long long count, int width),                    \
           (swiglu<T, N>(gate_up, y, count, width)))                                                          \
    EXPORT(256, swiglu_slopes_##KIND##_##N, (const T *gate_up, const T *g, T *d, long long count, int width), \
           (swiglu_slopes<T, N>(gate_up, g, d, count, width)))

KERNELS(float, f32, 1)
KERNELS(float, f32, 4)
KERNELS(bf16, bf16, 1)
KERNELS(bf16, bf16, 8)

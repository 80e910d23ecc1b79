// A gate in front of a layer. A thread takes N numbers beside one another.
#include "common.cuh"

struct Silu {
    DEVICE static float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }
    DEVICE float operator()(float x) const { return x * sigmoid(x); }
    DEVICE float slope(float x) const {
        float s = sigmoid(x);
        return s * (1.f + x * (1.f - s));
    }
};

// GELU in its tanh form: x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3).
struct Gelu {
    DEVICE static float tanh_of_u(float x) {
        float u = 0.7978845608f * (x + 0.044715f * x * x * x);
        return 1.f - 2.f / (expf(2.f * u) + 1.f);
    }
    DEVICE float operator()(float x) const { return 0.5f * x * (1.f + tanh_of_u(x)); }
    DEVICE float slope(float x) const {
        float t = tanh_of_u(x), du = 0.7978845608f * (1.f + 3.f * 0.044715f * x * x);
        return 0.5f * (1.f + t) + 0.5f * x * (1.f - t * t) * du;
    }
};

// Rows of `[gate | up]`, `width` numbers each, to f(gate) up.
template <class T, int N, class F> DEVICE void gated(const T *gate_up, T *y, long long count, int width, F f) {
    long long i = thread_in_grid() * N;
    if (i >= count) return;
    const T *at = gate_up + i / width * 2 * width + i % width;
    float gate[N], up[N];
    load<N>(at, gate), load<N>(at + width, up);
    for (int k = 0; k < N; k++) up[k] *= f(gate[k]);
    store<N>(y + i, up);
}

template <class T, int N, class F>
DEVICE void gated_slopes(const T *gate_up, const T *g, T *d, long long count, int width, F f) {
    long long i = thread_in_grid() * N;
    if (i >= count) return;
    long long at = i / width * 2 * width + i % width;
    float gate[N], up[N], slope[N];
    load<N>(gate_up + at, gate), load<N>(gate_up + at + width, up), load<N>(g + i, slope);
    for (int k = 0; k < N; k++) {
        up[k] *= slope[k] * f.slope(gate[k]);
        slope[k] *= f(gate[k]);
    }
    store<N>(d + at, up), store<N>(d + at + width, slope);
}

#define GATE(NAME, F, T, KIND, N)                                                                             \
    EXPORT(256, NAME##_##KIND##_##N, (const T *gate_up, T *y, long long count, int width),                    \
           (gated<T, N>(gate_up, y, count, width, F())))                                                      \
    EXPORT(256, NAME##_slopes_##KIND##_##N, (const T *gate_up, const T *g, T *d, long long count, int width), \
           (gated_slopes<T, N>(gate_up, g, d, count, width, F())))

#define KERNELS(T, KIND, N)          \
    GATE(swiglu, Silu, T, KIND, N)   \
    GATE(geglu, Gelu, T, KIND, N)

KERNELS(float, f32, 1)
KERNELS(float, f32, 4)
KERNELS(bf16, bf16, 1)
KERNELS(bf16, bf16, 8)

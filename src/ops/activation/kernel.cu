// Activations, number by number: a thread takes N beside one another.
#include "common.cuh"

template <class T, int N, class F> DEVICE void map(const T *x, T *y, long long count, F f) {
    long long i = thread_in_grid() * N;
    if (i >= count) return;
    float v[N];
    load<N>(x + i, v);
    for (int k = 0; k < N; k++) v[k] = f(v[k]);
    store<N>(y + i, v);
}

template <class T, int N, class F> DEVICE void map_slopes(const T *x, const T *g, T *d, long long count, F slope) {
    long long i = thread_in_grid() * N;
    if (i >= count) return;
    float v[N], s[N];
    load<N>(x + i, v), load<N>(g + i, s);
    for (int k = 0; k < N; k++) s[k] *= slope(v[k]);
    store<N>(d + i, s);
}

DEVICE float tanh_of(float x) { return 1.f - 2.f / (expf(2.f * x) + 1.f); }

// GELU in its tanh form: x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3).
static const float ROOT = 0.7978845608f, CUBIC = 0.044715f;

struct Gelu {
    DEVICE float operator()(float x) const { return 0.5f * x * (1.f + tanh_of(ROOT * (x + CUBIC * x * x * x))); }
};

struct GeluSlope {
    DEVICE float operator()(float x) const {
        float t = tanh_of(ROOT * (x + CUBIC * x * x * x));
        return 0.5f * (1.f + t) + 0.5f * x * (1.f - t * t) * ROOT * (1.f + 3.f * CUBIC * x * x);
    }
};

// NaN stays NaN.
struct Relu {
    DEVICE float operator()(float x) const { return x < 0.f ? 0.f : x; }
};

struct ReluSlope {
    DEVICE float operator()(float x) const { return x > 0.f ? 1.f : 0.f; }
};

struct Relu2 {
    DEVICE float operator()(float x) const { return x < 0.f ? 0.f : x * x; }
};

struct Relu2Slope {
    DEVICE float operator()(float x) const { return x > 0.f ? 2.f * x : 0.f; }
};

struct Multiple {
    float factor;
    DEVICE float operator()(float x) const { return factor * x; }
};

struct MultipleSlope {
    float factor;
    DEVICE float operator()(float) const { return factor; }
};

struct Softcap {
    float cap;
    DEVICE float operator()(float x) const { return cap * tanh_of(x / cap); }
};

struct SoftcapSlope {
    float cap;
    DEVICE float operator()(float x) const {
        float t = tanh_of(x / cap);
        return 1.f - t * t;
    }
};

#define KERNELS(T, KIND, N)                                                                                  \
    EXPORT(256, gelu_##KIND##_##N, (const T *x, T *y, long long count),                                      \
           (map<T, N>(x, y, count, Gelu())))                                                                 \
    EXPORT(256, gelu_slopes_##KIND##_##N, (const T *x, const T *g, T *d, long long count),                   \
           (map_slopes<T, N>(x, g, d, count, GeluSlope())))                                                  \
    EXPORT(256, relu_##KIND##_##N, (const T *x, T *y, long long count),                                      \
           (map<T, N>(x, y, count, Relu())))                                                                 \
    EXPORT(256, relu_slopes_##KIND##_##N, (const T *x, const T *g, T *d, long long count),                   \
           (map_slopes<T, N>(x, g, d, count, ReluSlope())))                                                  \
    EXPORT(256, relu2_##KIND##_##N, (const T *x, T *y, long long count),                                     \
           (map<T, N>(x, y, count, Relu2())))                                                                \
    EXPORT(256, relu2_slopes_##KIND##_##N, (const T *x, const T *g, T *d, long long count),                  \
           (map_slopes<T, N>(x, g, d, count, Relu2Slope())))                                                 \
    EXPORT(256, softcap_##KIND##_##N, (const T *x, T *y, long long count, float cap),                        \
           (map<T, N>(x, y, count, Softcap{cap})))                                                           \
    EXPORT(256, softcap_slopes_##KIND##_##N, (const T *x, const T *g, T *d, long long count, float cap),     \
           (map_slopes<T, N>(x, g, d, count, SoftcapSlope{cap})))                                            \
    EXPORT(256, multiple_##KIND##_##N, (const T *x, T *y, long long count, float factor),                    \
           (map<T, N>(x, y, count, Multiple{factor})))                                                       \
    EXPORT(256, multiple_slopes_##KIND##_##N, (const T *x, const T *g, T *d, long long count, float factor), \
           (map_slopes<T, N>(x, g, d, count, MultipleSlope{factor})))

KERNELS(float, f32, 1)
KERNELS(float, f32, 4)
KERNELS(bf16, bf16, 1)
KERNELS(bf16, bf16, 8)

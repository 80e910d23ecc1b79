// What goes number by number: sums, activations, casts, rotary positions. A thread takes N numbers beside one another.
#include "common.cuh"

template <class T, int N> DEVICE void add(const T *a, const T *b, T *y, long long count) {
    long long i = thread_in_grid() * N;
    if (i >= count) return;
    float x[N], z[N];
    load<N>(a + i, x), load<N>(b + i, z);
    for (int k = 0; k < N; k++) x[k] += z[k];
    store<N>(y + i, x);
}

// y = x + table, the table repeated every `period` numbers: a bias for every row, positions for every window.
template <class T, int N> DEVICE void add_periodic(const T *x, const float *table, T *y, long long count, long long period) {
    long long i = thread_in_grid() * N;
    if (i >= count) return;
    float v[N], added[N];
    load<N>(x + i, v), load<N>(table + i % period, added);
    for (int k = 0; k < N; k++) v[k] += added[k];
    store<N>(y + i, v);
}

// The gradient of such a table: the sum over the periods, in order.
template <class T, int N> DEVICE void sum_periods(const T *g, float *d, long long count, long long period) {
    long long i = thread_in_grid() * N;
    if (i >= period) return;
    float sum[N] = {}, v[N];
    for (long long at = i; at < count; at += period) {
        load<N>(g + at, v);
        for (int k = 0; k < N; k++) sum[k] += v[k];
    }
    store<N>(d + i, sum);
}

// Sums of columns over the rows of one chunk: `partial` is (chunks, width).
template <class T, int N>
DEVICE void column_sums(const T *g, float *partial, int rows, int width, int rows_per_chunk) {
    int column = (blockIdx.x * blockDim.x + threadIdx.x) * N, first = blockIdx.y * rows_per_chunk;
    if (column >= width) return;
    int last = min(first + rows_per_chunk, rows);
    float sum[N] = {}, v[N];
    for (int row = first; row < last; row++) {
        load<N>(g + (size_t)row * width + column, v);
        for (int k = 0; k < N; k++) sum[k] += v[k];
    }
    store<N>(partial + (size_t)blockIdx.y * width + column, sum);
}

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

// Rotary positions on rows of packed queries, keys and values: the first `turned` numbers of a row are heads of width 2 `half`
// whose pairs (i, i + half) are turned by the angles of the row's time step, `way` 1 forwards and -1 backwards; the rest is copied.
template <class T, int N>
DEVICE void rope(const T *x, const float *cos, const float *sin, T *y, long long pairs, int packed, int turned, int half,
                 int time, float way) {
    long long i = thread_in_grid() * N;
    if (i >= pairs) return;
    long long row = i / (packed / 2);
    int pair = i % (packed / 2);
    float a[N], b[N];
    if (pair >= turned / 2) {
        long long at = row * packed + turned + (pair - turned / 2);
        load<N>(x + at, a), load<N>(x + at + (packed - turned) / 2, b);
        store<N>(y + at, a), store<N>(y + at + (packed - turned) / 2, b);
        return;
    }
    long long at = row * packed + pair / half * 2 * half + pair % half, angle = row % time * half + pair % half;
    float c[N], s[N];
    load<N>(x + at, a), load<N>(x + at + half, b), load<N>(cos + angle, c), load<N>(sin + angle, s);
    for (int k = 0; k < N; k++) {
        float turned_a = a[k] * c[k] - b[k] * way * s[k];
        b[k] = b[k] * c[k] + a[k] * way * s[k];
        a[k] = turned_a;
    }
    store<N>(y + at, a), store<N>(y + at + half, b);
}

#define ELEMENTWISE(T, KIND, N)                                                                                            \
    EXPORT(256, add_##KIND##_##N, (const T *a, const T *b, T *y, long long count), (add<T, N>(a, b, y, count)))            \
    EXPORT(256, add_periodic_##KIND##_##N, (const T *x, const float *table, T *y, long long count, long long period),      \
           (add_periodic<T, N>(x, table, y, count, period)))                                                               \
    EXPORT(256, sum_periods_##KIND##_##N, (const T *g, float *d, long long count, long long period),                       \
           (sum_periods<T, N>(g, d, count, period)))                                                                       \
    EXPORT(256, column_sums_##KIND##_##N, (const T *g, float *partial, int rows, int width, int rows_per_chunk),           \
           (column_sums<T, N>(g, partial, rows, width, rows_per_chunk)))                                                   \
    EXPORT(256, gelu_##KIND##_##N, (const T *x, T *y, long long count), (map<T, N>(x, y, count, Gelu())))                  \
    EXPORT(256, gelu_slopes_##KIND##_##N, (const T *x, const T *g, T *d, long long count),                                 \
           (map_slopes<T, N>(x, g, d, count, GeluSlope())))                                                                \
    EXPORT(256, relu_##KIND##_##N, (const T *x, T *y, long long count), (map<T, N>(x, y, count, Relu())))                  \
    EXPORT(256, relu_slopes_##KIND##_##N, (const T *x, const T *g, T *d, long long count),                                 \
           (map_slopes<T, N>(x, g, d, count, ReluSlope())))                                                                \
    EXPORT(256, softcap_##KIND##_##N, (const T *x, T *y, long long count, float cap),                                      \
           (map<T, N>(x, y, count, Softcap{cap})))                                                                         \
    EXPORT(256, softcap_slopes_##KIND##_##N, (const T *x, const T *g, T *d, long long count, float cap),                   \
           (map_slopes<T, N>(x, g, d, count, SoftcapSlope{cap})))                                                          \
    EXPORT(256, multiple_##KIND##_##N, (const T *x, T *y, long long count, float factor),                                  \
           (map<T, N>(x, y, count, Multiple{factor})))                                                                     \
    EXPORT(256, multiple_slopes_##KIND##_##N, (const T *x, const T *g, T *d, long long count, float factor),               \
           (map_slopes<T, N>(x, g, d, count, MultipleSlope{factor})))                                                      \
    EXPORT(256, swiglu_##KIND##_##N, (const T *gate_up, T *y, long long count, int width),                                 \
           (swiglu<T, N>(gate_up, y, count, width)))                                                                       \
    EXPORT(256, swiglu_slopes_##KIND##_##N, (const T *gate_up, const T *g, T *d, long long count, int width),              \
           (swiglu_slopes<T, N>(gate_up, g, d, count, width)))                                                             \
    EXPORT(256, rope_##KIND##_##N,                                                                                         \
           (const T *x, const float *cos, const float *sin, T *y, long long pairs, int packed, int turned, int half,       \
            int time, float way),                                                                                          \
           (rope<T, N>(x, cos, sin, y, pairs, packed, turned, half, time, way)))

ELEMENTWISE(float, f32, 1)
ELEMENTWISE(float, f32, 4)
ELEMENTWISE(bf16, bf16, 1)
ELEMENTWISE(bf16, bf16, 8)

// The sum over the chunks of (chunks, width), in order.
// A block does 32 columns; each of its 8 warps every eighth chunk.
EXPORT(256, sum_chunks, (const float *partial, float *sums, int chunks, int width), {
    __shared__ float of_warps[8][WARP];
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, column = blockIdx.x * WARP + lane;
    float sum = 0.f;
    for (int chunk = warp; chunk < chunks && column < width; chunk += 8) sum += partial[(size_t)chunk * width + column];
    of_warps[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || column >= width) return;
    for (int other = 1; other < 8; other++) sum += of_warps[other][lane];
    sums[column] = sum;
})

EXPORT(256, zero, (float *x, long long count), {
    long long i = thread_in_grid();
    if (i < count) x[i] = 0.f;
})

// Four at a time: weights are long.
EXPORT(256, narrow_4, (const float *x, bf16 *y, long long count), {
    long long i = thread_in_grid() * 4;
    if (i >= count) return;
    float v[4];
    load<4>(x + i, v), store<4>(y + i, v);
})

EXPORT(256, narrow_1, (const float *x, bf16 *y, long long count), {
    long long i = thread_in_grid();
    if (i < count) y[i] = from_float<bf16>(x[i]);
})

// x times a number that only the device knows; mostly that is 1, and then nothing is touched.
template <class T> DEVICE void scale(T *x, const float *factor, long long count) {
    long long i = thread_in_grid();
    if (*factor != 1.f && i < count) x[i] = from_float<T>(to_float(x[i]) * *factor);
}

EXPORT(256, scale_f32, (float *x, const float *factor, long long count), (scale(x, factor, count)))
EXPORT(256, scale_bf16, (bf16 *x, const float *factor, long long count), (scale(x, factor, count)))

// LayerNorm and RMSNorm over the columns, statistics in float: y = (x - mean) r gain + bias, r = 1 / sqrt(var + eps).
// Backwards, with n = (x - mean) r and h = g gain: dx = r (h - mean(h) - n mean(h n)), the mean of h only where x's is taken out.
// A warp does a row.
#include "common.cuh"

// `statistics` gets (mean, r) of each row; the mean of an RMSNorm is 0. `bias` may be null.
template <class T, int N>
DEVICE void norm_forward(const T *x, const float *gain, const float *bias, T *y, float *statistics, int rows, int width,
                         float eps, int centred) {
    int row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= rows) return;
    x += (size_t)row * width, y += (size_t)row * width;
    float v[N], mean = 0.f;
    if (centred) {
        for (int i = lane * N; i < width; i += WARP * N) {
            load<N>(x + i, v);
            for (int k = 0; k < N; k++) mean += v[k];
        }
        mean = warp_sum(mean) / width;
    }
    float squares = 0.f;
    for (int i = lane * N; i < width; i += WARP * N) {
        load<N>(x + i, v);
        for (int k = 0; k < N; k++) squares += (v[k] - mean) * (v[k] - mean);
    }
    float r = rsqrtf(warp_sum(squares) / width + eps);
    for (int i = lane * N; i < width; i += WARP * N) {
        load<N>(x + i, v);
        for (int k = 0; k < N; k++) v[k] = (v[k] - mean) * r * gain[i + k] + (bias ? bias[i + k] : 0.f);
        store<N>(y + i, v);
    }
    if (lane == 0) statistics[2 * row] = mean, statistics[2 * row + 1] = r;
}

template <class T, int N>
DEVICE void norm_backward(const T *x, const float *gain, const T *g, const float *statistics, T *dx, int rows, int width,
                          int centred) {
    int row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= rows) return;
    size_t start = (size_t)row * width;
    x += start, g += start, dx += start;
    float mean = statistics[2 * row], r = statistics[2 * row + 1];
    float n[N], h[N], sum_h = 0.f, sum_hn = 0.f;
    for (int i = lane * N; i < width; i += WARP * N) {
        load<N>(x + i, n), load<N>(g + i, h);
        for (int k = 0; k < N; k++) {
            float of_h = h[k] * gain[i + k];
            sum_h += of_h, sum_hn += of_h * (n[k] - mean) * r;
        }
    }
    float mean_h = centred ? warp_sum(sum_h) / width : 0.f;
    float mean_hn = warp_sum(sum_hn) / width;
    for (int i = lane * N; i < width; i += WARP * N) {
        load<N>(x + i, n), load<N>(g + i, h);
        for (int k = 0; k < N; k++) h[k] = r * (h[k] * gain[i + k] - mean_h - (n[k] - mean) * r * mean_hn);
        store<N>(dx + i, h);
    }
}

// The gradients of gain and bias over the rows of one chunk: `partial` is (chunks, 2, width). A thread does N columns.
template <class T, int N>
DEVICE void norm_columns(const T *x, const T *g, const float *statistics, float *partial, int rows, int width,
                         int rows_per_chunk) {
    int column = (blockIdx.x * blockDim.x + threadIdx.x) * N, first = blockIdx.y * rows_per_chunk;
    if (column >= width) return;
    int last = min(first + rows_per_chunk, rows);
    float of_gain[N] = {}, of_bias[N] = {}, v[N], slope[N];
    for (int row = first; row < last; row++) {
        load<N>(x + (size_t)row * width + column, v), load<N>(g + (size_t)row * width + column, slope);
        float mean = statistics[2 * row], r = statistics[2 * row + 1];
        for (int k = 0; k < N; k++) of_gain[k] += slope[k] * (v[k] - mean) * r, of_bias[k] += slope[k];
    }
    float *to = partial + (size_t)blockIdx.y * 2 * width + column;
    for (int k = 0; k < N; k++) to[k] = of_gain[k], to[width + k] = of_bias[k];
}

#define NORM(T, KIND, N)                                                                                                   \
    EXPORT(256, norm_forward_##KIND##_##N,                                                                                 \
           (const T *x, const float *gain, const float *bias, T *y, float *statistics, int rows, int width, float eps,     \
            int centred),                                                                                                  \
           (norm_forward<T, N>(x, gain, bias, y, statistics, rows, width, eps, centred)))                                  \
    EXPORT(256, norm_backward_##KIND##_##N,                                                                                \
           (const T *x, const float *gain, const T *g, const float *statistics, T *dx, int rows, int width, int centred),  \
           (norm_backward<T, N>(x, gain, g, statistics, dx, rows, width, centred)))                                        \
    EXPORT(256, norm_columns_##KIND##_##N,                                                                                 \
           (const T *x, const T *g, const float *statistics, float *partial, int rows, int width, int rows_per_chunk),     \
           (norm_columns<T, N>(x, g, statistics, partial, rows, width, rows_per_chunk)))

NORM(float, f32, 1)
NORM(float, f32, 4)
NORM(bf16, bf16, 1)
NORM(bf16, bf16, 8)

// An RMSNorm over each query's and each key's head, statistics in float: y = x r gain, r = 1 / sqrt(mean(x^2) + eps). Backwards,
// with n = x r and h = g gain: dx = r (h - n mean(h n)). Rows are `[queries | keys | values]`, head by head; values pass as they
// are. A warp does a head of a row.
#include "common.cuh"

struct Heads {
    int rows, heads, kv_heads, width;
};

// Where this warp stands: a row, a head within it, and where that begins; a row too many where there is none left.
struct Place {
    int row, head;
    size_t start;
};

DEVICE Place place_of(const Heads &s) {
    int of_row = s.heads + 2 * s.kv_heads;
    long long warp = thread_in_grid() / WARP;
    if (warp >= (long long)s.rows * of_row) return {s.rows, 0, 0};
    return {(int)(warp / of_row), (int)(warp % of_row), (size_t)warp * s.width};
}

// `roots` gets r of each query's and key's head, (rows, heads + kv_heads).
template <class T>
DEVICE void head_norm(const T *x, const float *q_gain, const float *k_gain, T *y, float *roots, Heads s, float eps) {
    Place p = place_of(s);
    int lane = threadIdx.x % WARP, normed = s.heads + s.kv_heads;
    if (p.row == s.rows) return;
    x += p.start, y += p.start;
    if (p.head >= normed) {
        for (int i = lane; i < s.width; i += WARP) y[i] = x[i];
        return;
    }
    float squares = 0.f;
    for (int i = lane; i < s.width; i += WARP) squares += to_float(x[i]) * to_float(x[i]);
    float r = rsqrtf(warp_sum(squares) / s.width + eps);
    const float *gain = p.head < s.heads ? q_gain : k_gain;
    for (int i = lane; i < s.width; i += WARP) y[i] = from_float<T>(to_float(x[i]) * r * gain[i]);
    if (lane == 0) roots[(size_t)p.row * normed + p.head] = r;
}

template <class T>
DEVICE void head_norm_back(const T *x, const float *q_gain, const float *k_gain, const T *g, const float *roots, T *dx,
                           Heads s) {
    Place p = place_of(s);
    int lane = threadIdx.x % WARP, normed = s.heads + s.kv_heads;
    if (p.row == s.rows) return;
    x += p.start, g += p.start, dx += p.start;
    if (p.head >= normed) {
        for (int i = lane; i < s.width; i += WARP) dx[i] = g[i];
        return;
    }
    float r = roots[(size_t)p.row * normed + p.head], sum = 0.f;
    const float *gain = p.head < s.heads ? q_gain : k_gain;
    for (int i = lane; i < s.width; i += WARP) sum += to_float(g[i]) * gain[i] * to_float(x[i]) * r;
    float mean_hn = warp_sum(sum) / s.width;
    for (int i = lane; i < s.width; i += WARP)
        dx[i] = from_float<T>(r * (to_float(g[i]) * gain[i] - to_float(x[i]) * r * mean_hn));
}

// The gradients of both gains over the rows of one chunk: `partial` is (chunks, 2, width). A thread does a column of a gain.
template <class T>
DEVICE void head_norm_gains(const T *x, const T *g, const float *roots, float *partial, Heads s, int rows_per_chunk) {
    int at = blockIdx.x * blockDim.x + threadIdx.x, first = blockIdx.y * rows_per_chunk;
    if (at >= 2 * s.width) return;
    bool of_keys = at >= s.width;
    int column = of_keys ? at - s.width : at, last = min(first + rows_per_chunk, s.rows);
    int from = of_keys ? s.heads : 0, to = of_keys ? s.heads + s.kv_heads : s.heads, packed = (s.heads + 2 * s.kv_heads) * s.width;
    float sum = 0.f;
    for (int row = first; row < last; row++) {
        for (int head = from; head < to; head++) {
            size_t i = (size_t)row * packed + head * s.width + column;
            sum += to_float(g[i]) * to_float(x[i]) * roots[(size_t)row * (s.heads + s.kv_heads) + head];
        }
    }
    partial[(size_t)blockIdx.y * 2 * s.width + at] = sum;
}

#define HEAD_NORM(T, KIND)                                                                                                 \
    EXPORT(256, head_norm_##KIND,                                                                                          \
           (const T *x, const float *q_gain, const float *k_gain, T *y, float *roots, Heads s, float eps),                 \
           (head_norm(x, q_gain, k_gain, y, roots, s, eps)))                                                               \
    EXPORT(256, head_norm_back_##KIND,                                                                                     \
           (const T *x, const float *q_gain, const float *k_gain, const T *g, const float *roots, T *dx, Heads s),         \
           (head_norm_back(x, q_gain, k_gain, g, roots, dx, s)))                                                           \
    EXPORT(256, head_norm_gains_##KIND,                                                                                    \
           (const T *x, const T *g, const float *roots, float *partial, Heads s, int rows_per_chunk),                      \
           (head_norm_gains(x, g, roots, partial, s, rows_per_chunk)))

HEAD_NORM(float, f32)
HEAD_NORM(bf16, bf16)

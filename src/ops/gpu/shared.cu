// What several operations take: sums, casts, zeros, factors. A thread takes N numbers beside one another.
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

#define KERNELS(T, KIND, N)                                                                                           \
    EXPORT(256, add_##KIND##_##N, (const T *a, const T *b, T *y, long long count),                                    \
           (add<T, N>(a, b, y, count)))                                                                               \
    EXPORT(256, add_periodic_##KIND##_##N, (const T *x, const float *table, T *y, long long count, long long period), \
           (add_periodic<T, N>(x, table, y, count, period)))                                                          \
    EXPORT(256, column_sums_##KIND##_##N, (const T *g, float *partial, int rows, int width, int rows_per_chunk),      \
           (column_sums<T, N>(g, partial, rows, width, rows_per_chunk)))

KERNELS(float, f32, 1)
KERNELS(float, f32, 4)
KERNELS(bf16, bf16, 1)
KERNELS(bf16, bf16, 8)

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

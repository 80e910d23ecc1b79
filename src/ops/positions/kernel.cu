// The way back of a table that is added to every window; forwards it is `add_periodic` of the shared kernels.
#include "common.cuh"

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

#define KERNELS(T, KIND, N)                                                                          \
    EXPORT(256, sum_periods_##KIND##_##N, (const T *g, float *d, long long count, long long period), \
           (sum_periods<T, N>(g, d, count, period)))

KERNELS(float, f32, 1)
KERNELS(float, f32, 4)
KERNELS(bf16, bf16, 1)
KERNELS(bf16, bf16, 8)

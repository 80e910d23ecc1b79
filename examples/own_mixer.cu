// The mean of all tokens of a window up to each, and back: a thread goes down a column of a window.
#include "common.cuh"

template <class T> DEVICE void mean_so_far(const T *x, T *y, int time, int width) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= width) return;
    size_t first = (size_t)blockIdx.y * time * width + column;
    float sum = 0.f;
    for (int t = 0; t < time; t++) {
        size_t at = first + (size_t)t * width;
        sum += to_float(x[at]);
        y[at] = from_float<T>(sum / (t + 1));
    }
}

// Token s is in the mean of every t from s on: the sum of g[t] / (t + 1) over those, from the last to the first.
template <class T> DEVICE void mean_so_far_back(const T *g, T *d, int time, int width) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= width) return;
    size_t first = (size_t)blockIdx.y * time * width + column;
    float sum = 0.f;
    for (int t = time - 1; t >= 0; t--) {
        size_t at = first + (size_t)t * width;
        sum += to_float(g[at]) / (t + 1);
        d[at] = from_float<T>(sum);
    }
}

EXPORT(256, mean_so_far_f32, (const float *x, float *y, int time, int width), mean_so_far(x, y, time, width))
EXPORT(256, mean_so_far_bf16, (const bf16 *x, bf16 *y, int time, int width), mean_so_far(x, y, time, width))
EXPORT(256, mean_so_far_back_f32, (const float *g, float *d, int time, int width), mean_so_far_back(g, d, time, width))
EXPORT(256, mean_so_far_back_bf16, (const bf16 *g, bf16 *d, int time, int width), mean_so_far_back(g, d, time, width))

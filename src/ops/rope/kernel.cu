// A thread takes N pairs beside one another.
#include "common.cuh"

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

#define KERNELS(T, KIND, N)                                                                                                                                        \
    EXPORT(256, rope_##KIND##_##N, (const T *x, const float *cos, const float *sin, T *y, long long pairs, int packed, int turned, int half, int time, float way), \
           (rope<T, N>(x, cos, sin, y, pairs, packed, turned, half, time, way)))

KERNELS(float, f32, 1)
KERNELS(float, f32, 4)
KERNELS(bf16, bf16, 1)
KERNELS(bf16, bf16, 8)

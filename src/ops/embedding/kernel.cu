// Rows of a table by id, and the gradient of the table: each of its rows is written by one block, which adds up the tokens that
// took it in their order, so that the sum has the same bits every time.
#include "common.cuh"

template <class T, int N>
DEVICE void embedding(const float *table, const u32 *ids, T *y, long long count, int width, u32 vocabulary) {
    long long i = thread_in_grid() * N;
    if (i >= count) return;
    u32 id = ids[i / width];
    float v[N];
    if (id < vocabulary) {
        load<N>(table + (size_t)id * width + i % width, v);
    } else {
        for (int k = 0; k < N; k++) v[k] = NOT_A_NUMBER;
    }
    store<N>(y + i, v);
}

// Rows that a thread reads before it adds them up, so that it waits for memory once for all of them.
static const int AT_ONCE = 4;

// A block a token: the first with its id does the work for all of them. `d` is zero before. A thread takes N columns of the
// tile of columns that is blockIdx.y.
template <class T, int N>
DEVICE void embedding_slopes(const u32 *ids, const T *g, float *d, int tokens, int width, u32 vocabulary) {
    __shared__ int earlier;
    __shared__ int matches[256];
    __shared__ int of_warp[8];
    int token = blockIdx.x, column = (blockIdx.y * blockDim.x + threadIdx.x) * N;
    u32 id = ids[token];
    if (threadIdx.x == 0) earlier = id >= vocabulary;
    __syncthreads();
    for (int i = threadIdx.x; i < token; i += blockDim.x) {
        if (ids[i] == id) earlier = 1;
    }
    __syncthreads();
    if (earlier) return;
    float sum[N] = {}, v[AT_ONCE][N];
    for (int first = token; first < tokens; first += blockDim.x) {
        int i = first + threadIdx.x, warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
        bool found = i < tokens && ids[i] == id;
        u32 ballot = __ballot_sync(0xffffffffu, found);
        if (lane == 0) of_warp[warp] = __popc(ballot);
        __syncthreads();
        int before = 0, all = 0;
        for (int w = 0; w < (int)blockDim.x / WARP; w++) {
            if (w < warp) before += of_warp[w];
            all += of_warp[w];
        }
        if (found) matches[before + __popc(ballot & ((1u << lane) - 1))] = i;
        __syncthreads();
        for (int m = 0; m < all && column < width; m += AT_ONCE) {
#pragma unroll
            for (int a = 0; a < AT_ONCE; a++) {
                if (m + a < all) load<N>(g + (size_t)matches[m + a] * width + column, v[a]);
            }
#pragma unroll
            for (int a = 0; a < AT_ONCE; a++) {
                for (int k = 0; k < N && m + a < all; k++) sum[k] += v[a][k];
            }
        }
    }
    if (column < width) store<N>(d + (size_t)id * width + column, sum);
}

#define EMBEDDING(T, KIND, N)                                                                                              \
    EXPORT(256, embedding_##KIND##_##N,                                                                                    \
           (const float *table, const u32 *ids, T *y, long long count, int width, u32 vocabulary),                         \
           (embedding<T, N>(table, ids, y, count, width, vocabulary)))                                                     \
    EXPORT(256, embedding_slopes_##KIND##_##N,                                                                             \
           (const u32 *ids, const T *g, float *d, int tokens, int width, u32 vocabulary),                                  \
           (embedding_slopes<T, N>(ids, g, d, tokens, width, vocabulary)))

EMBEDDING(float, f32, 1)
EMBEDDING(float, f32, 4)
EMBEDDING(bf16, bf16, 1)
EMBEDDING(bf16, bf16, 8)

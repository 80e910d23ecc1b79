// Attention of a few new queries over the keys and values of all tokens so far: see ../../cached.rs. A block does one head of one
// query: scores with a key a thread, sums of values with a column a thread, the keys split among as many groups of threads as
// fit.
#include "common.cuh"

struct Cache {
    int time, heads, kv_heads, width, offset, room, window;
    float scale;
};

template <class T> DEVICE void cached_attention(const T *qkv, const T *keys, const T *values, T *y, Cache c) {
    DYNAMIC_SHARED(memory);
    __shared__ float of_warps[WARP];
    __shared__ float sums[WARP];
    int row = blockIdx.y, head = blockIdx.x, last = c.offset + row % c.time;
    // The keys that it sees are `first` to `last`.
    int first = max(last - c.window + 1, 0), seen = last - first + 1;
    float *q = (float *)memory, *partial = q + c.width, *scores = partial + blockDim.x;
    int packed = (c.heads + 2 * c.kv_heads) * c.width;
    size_t of_head = (size_t)(row / c.time * c.kv_heads + head / (c.heads / c.kv_heads)) * c.room * c.width;
    of_head += (size_t)first * c.width;
    keys += of_head, values += of_head;
    for (int i = threadIdx.x; i < c.width; i += blockDim.x)
        q[i] = to_float(qkv[(size_t)row * packed + head * c.width + i]) * c.scale;
    __syncthreads();
    float top = -INFINITE;
    for (int key = threadIdx.x; key < seen; key += blockDim.x) {
        float score = 0.f;
        for (int i = 0; i < c.width; i++) score += q[i] * to_float(keys[(size_t)key * c.width + i]);
        scores[key] = score, top = fmaxf(top, score);
    }
    top = warp_max(top);
    if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = top;
    __syncthreads();
    for (u32 warp = 0; warp < blockDim.x / WARP; warp++) top = fmaxf(top, of_warps[warp]);
    float total = 0.f;
    for (int key = threadIdx.x; key < seen; key += blockDim.x) {
        scores[key] = expf(scores[key] - top);
        total += scores[key];
    }
    // Its barrier is also the one behind which all scores are weights.
    total = block_sum(total, sums);
    int groups = blockDim.x / c.width, group = threadIdx.x / c.width, column = threadIdx.x % c.width;
    float sum = 0.f;
    for (int key = group; group < groups && key < seen; key += groups)
        sum += scores[key] * to_float(values[(size_t)key * c.width + column]);
    partial[threadIdx.x] = sum;
    __syncthreads();
    if ((int)threadIdx.x >= c.width) return;
    for (int other = 1; other < groups; other++) sum += partial[other * c.width + threadIdx.x];
    y[((size_t)row * c.heads + head) * c.width + threadIdx.x] = from_float<T>(sum / total);
}

EXPORT(256, cached_attention_f32, (const float *qkv, const float *keys, const float *values, float *y, Cache c),
       (cached_attention(qkv, keys, values, y, c)))
EXPORT(256, cached_attention_bf16, (const bf16 *qkv, const bf16 *keys, const bf16 *values, bf16 *y, Cache c),
       (cached_attention(qkv, keys, values, y, c)))

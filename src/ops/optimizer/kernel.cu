// Updates of many parameters in one launch.
#include "common.cuh"

static const int ENTRIES = 32;
// Numbers of one parameter that a block takes.
static const int PER_BLOCK = 4096;

// One parameter: its weights, gradient and moments.
struct Entry {
    float *w;
    const float *g;
    float *m;
    float *v;
    long long count;
    // Its factor on the learning rate.
    float lr;
    float eps;
    float decay;
    // The first of its blocks in this launch.
    int first_block;
};

struct Table {
    Entry entries[ENTRIES];
    int used;
    int unused;
};

DEVICE int entry_of_block(const Table &table) {
    int i = 0;
    while (i + 1 < table.used && (int)blockIdx.x >= table.entries[i + 1].first_block) i++;
    return i;
}

struct Adamw {
    // 1 - beta_2 would lose digits of what the host knows exactly.
    float beta1, rest1, beta2, rest2, lr, rate, root2, scale;
};

// AdamW (Loshchilov & Hutter 2019, algorithm 2): rate = lr / (1 - beta1^t), root2 = sqrt(1 - beta2^t).
EXPORT(256, adamw, (Table table, Adamw a), {
    const Entry &e = table.entries[entry_of_block(table)];
    long long first = (long long)((int)blockIdx.x - e.first_block) * PER_BLOCK;
    long long last = min(first + PER_BLOCK, e.count);
    float shrink = 1.f - a.lr * e.lr * e.decay, rate = a.rate * e.lr;
    for (long long i = first + threadIdx.x; i < last; i += blockDim.x) {
        float g = e.g[i] * a.scale;
        float m = a.beta1 * e.m[i] + a.rest1 * g;
        float v = a.beta2 * e.v[i] + a.rest2 * g * g;
        e.m[i] = m;
        e.v[i] = v;
        e.w[i] = shrink * e.w[i] - rate * m / (sqrtf(v) / a.root2 + e.eps);
    }
})

// The sum of the squares of each block's numbers of the gradients.
EXPORT(256, square_sums, (Table table, float *partial), {
    __shared__ float shared[WARP];
    const Entry &e = table.entries[entry_of_block(table)];
    long long first = (long long)((int)blockIdx.x - e.first_block) * PER_BLOCK;
    long long last = min(first + PER_BLOCK, e.count);
    float sum = 0.f;
    for (long long i = first + threadIdx.x; i < last; i += blockDim.x) sum += e.g[i] * e.g[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
})

// Cross-entropy of rows of float logits, ln sum exp(logits) - logits[target], and its gradient (softmax - onehot) / count; with a
// coefficient z also l^2, l = ln sum exp(logits), whose gradient times z is 2 z l softmax / count.
#include "common.cuh"

static const u32 IGNORED = 0xffffffffu;

// How many of the targets count. One block.
EXPORT(1024, known_targets, (const u32 *targets, float *known, int count), {
    __shared__ float shared[WARP];
    float mine = 0.f;
    for (int i = threadIdx.x; i < count; i += blockDim.x) mine += targets[i] != IGNORED;
    float sum = block_sum(mine, shared);
    if (threadIdx.x == 0) *known = sum;
})

// A factor times the sum of the losses over the number of targets. One block.
EXPORT(1024, mean_loss, (const float *losses, const float *known, float *mean, float factor, int count), {
    __shared__ float shared[WARP];
    float mine = 0.f;
    for (int i = threadIdx.x; i < count; i += blockDim.x) mine += losses[i];
    float sum = block_sum(mine, shared);
    if (threadIdx.x == 0) *mean = factor * sum / *known;
})

// The largest of a row and where it is first, the sum of exp(logit - largest).
struct Summary {
    float top, sum;
    int at;
};

DEVICE Summary merge(Summary a, Summary b) {
    bool first = a.top > b.top || (a.top == b.top && a.at < b.at);
    float top = fmaxf(a.top, b.top);
    // A part that saw nothing has no sum; its exp(-inf - -inf) would be none either.
    float sum = (a.sum == 0.f ? 0.f : a.sum * expf(a.top - top)) + (b.sum == 0.f ? 0.f : b.sum * expf(b.top - top));
    return {top, sum, first ? a.at : b.at};
}

// Logits that a thread reads at once, so that it waits for memory once for all of them.
static const int AT_ONCE = 4;

// This thread's part of the row.
DEVICE Summary summary_of_thread(const float *logits, int vocabulary) {
    Summary mine = {-INFINITE, 0.f, vocabulary};
    for (int first = threadIdx.x; first < vocabulary; first += AT_ONCE * blockDim.x) {
        float v[AT_ONCE], top = mine.top, sum = 0.f;
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            int i = first + k * blockDim.x;
            v[k] = i < vocabulary ? logits[i] : -INFINITE;
        }
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            if (v[k] > top) top = v[k], mine.at = first + k * blockDim.x;
        }
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) sum += v[k] == -INFINITE ? 0.f : expf(v[k] - top);
        mine.sum = (mine.sum == 0.f ? 0.f : mine.sum * expf(mine.top - top)) + sum, mine.top = top;
    }
    return mine;
}

DEVICE Summary summary_of_row(const float *logits, int vocabulary) {
    Summary mine = summary_of_thread(logits, vocabulary);
    for (int far = WARP / 2; far > 0; far /= 2) {
        Summary other;
        other.top = __shfl_xor_sync(0xffffffffu, mine.top, far);
        other.sum = __shfl_xor_sync(0xffffffffu, mine.sum, far);
        other.at = __shfl_xor_sync(0xffffffffu, mine.at, far);
        mine = merge(mine, other);
    }
    __shared__ float tops[WARP];
    __shared__ float sums[WARP];
    __shared__ int ats[WARP];
    int warp = threadIdx.x / WARP;
    if (threadIdx.x % WARP == 0) tops[warp] = mine.top, sums[warp] = mine.sum, ats[warp] = mine.at;
    __syncthreads();
    Summary all = {tops[0], sums[0], ats[0]};
    for (u32 w = 1; w < blockDim.x / WARP; w++) all = merge(all, {tops[w], sums[w], ats[w]});
    return all;
}

// A block a row; rows begin `stride` apart. `squares`, `correct` and `slopes` may be null; `known` is read where there are slopes. A target beyond the vocabulary has
// no loss: NaN.
template <class T>
DEVICE void loss_rows(const float *logits, const u32 *targets, const float *known, float *losses, float *squares, u32 *correct,
                      T *slopes, float z, int vocabulary, int stride) {
    size_t row = blockIdx.x;
    logits += row * stride;
    u32 target = targets[row];
    bool counts = target != IGNORED;
    Summary all = summary_of_row(logits, vocabulary);
    if (threadIdx.x == 0) {
        bool possible = target < (u32)vocabulary;
        float l = all.top + logf(all.sum);
        losses[row] = !counts ? 0.f : possible ? l - logits[target] : NOT_A_NUMBER;
        if (squares) squares[row] = counts ? l * l : 0.f;
        if (correct) correct[row] = (u32)all.at == target;
    }
    if (!slopes) return;
    float factor = counts ? 1.f / *known : 0.f, of_z = z == 0.f ? 1.f : 1.f + 2.f * z * (all.top + logf(all.sum));
    float scale = factor * of_z / all.sum;
    for (int i = threadIdx.x; i < vocabulary; i += blockDim.x) {
        float p = counts ? scale * expf(logits[i] - all.top) : 0.f;
        slopes[row * stride + i] = from_float<T>((u32)i == target ? p - factor : p);
    }
}

EXPORT(512, loss_rows_f32,
       (const float *logits, const u32 *targets, const float *known, float *losses, float *squares, u32 *correct,
        float *slopes, float z, int vocabulary, int stride),
       (loss_rows<float>(logits, targets, known, losses, squares, correct, slopes, z, vocabulary, stride)))
EXPORT(512, loss_rows_bf16,
       (const float *logits, const u32 *targets, const float *known, float *losses, float *squares, u32 *correct,
        bf16 *slopes, float z, int vocabulary, int stride),
       (loss_rows<bf16>(logits, targets, known, losses, squares, correct, slopes, z, vocabulary, stride)))

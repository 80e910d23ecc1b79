// Causal attention for any width of head up to 128 and both kinds of numbers, in float arithmetic: what runs where the kernels
// of kernel.cu, which need tensor cores, do not fit. Formulas: mod.rs.
//
// A warp owns ROWS rows (queries; keys in the last kernel) and goes through tiles of 32 of the others, a lane each: inner
// products by lane, sums over the tile by columns. Rows of `qkv` are `[queries | keys | values]`, head by head.
#include "common.cuh"

static const int ROWS = 2;
static const int TILE = 32;
// Columns of a head that a lane owns: 4 x 32 = 128.
static const int COLUMNS = 4;

// Sizes of the problem, and where this block stands.
struct Sizes {
    int time, heads, kv_heads, width;
    // Tokens that a query sees, itself the last of them.
    int window;
    float scale;
};

struct Place {
    int window, head, kv_head, first_row, warp, lane, packed;
    size_t first_token;
};

DEVICE Place place_of(const Sizes &s, int head, int kv_head) {
    int warp = threadIdx.x / WARP;
    int rows = blockDim.x / WARP * ROWS;
    return {(int)blockIdx.z,
            head,
            kv_head,
            (int)blockIdx.x * rows + warp * ROWS,
            warp,
            (int)threadIdx.x % WARP,
            (s.heads + 2 * s.kv_heads) * s.width,
            (size_t)blockIdx.z * s.time};
}

// Copies rows `first..first + count` of one head into shared memory, `stride` floats apart; zeros beyond the window.
template <class T>
DEVICE void fetch(float *to, int stride, const T *from, int row_numbers, int first, int count, const Sizes &s) {
    for (int i = threadIdx.x; i < count * s.width; i += blockDim.x) {
        int row = i / s.width, c = i % s.width, t = first + row;
        to[row * stride + c] = t < s.time ? to_float(from[(size_t)t * row_numbers + c]) : 0.f;
    }
}

// Whether a query sees a key.
DEVICE bool sees(int query, int key, const Sizes &s) { return key <= query && key > query - s.window; }

// Where the tile of the first key that a query sees begins.
DEVICE int first_tile(int query, const Sizes &s) { return max(query - s.window + 1, 0) / TILE * TILE; }

// The first query that sees no key of these, whose last is given.
DEVICE int last_query(int key, const Sizes &s) { return s.window > s.time - key ? s.time : key + s.window; }

DEVICE float inner(const float *a, const float *b, int width) {
    float sum = 0.f;
    for (int c = 0; c < width; c++) sum += a[c] * b[c];
    return sum;
}

// sum[c] += sum over the tile's lanes of p times row `lane` of `rows`.
DEVICE void add_rows(float (&sum)[COLUMNS], float p, const float *rows, int stride, int width) {
    for (int j = 0; j < TILE; j++) {
        float of_j = __shfl_sync(0xffffffffu, p, j);
        for (int c = 0; c < COLUMNS; c++) {
            int column = threadIdx.x % WARP + c * WARP;
            if (column < width) sum[c] += of_j * rows[j * stride + column];
        }
    }
}

template <class T> DEVICE void write_row(T *to, const float (&sum)[COLUMNS], float factor, int width) {
    for (int c = 0; c < COLUMNS; c++) {
        int column = threadIdx.x % WARP + c * WARP;
        if (column < width) to[column] = from_float<T>(sum[c] * factor);
    }
}

// Grid: (rows / 8, heads, windows). `lse` is (windows, heads, time).
template <class T> DEVICE void forward(const T *qkv, T *y, float *lse, Sizes s) {
    DYNAMIC_SHARED(memory);
    int stride = s.width + 1, block_rows = blockDim.x / WARP * ROWS;
    float *q = (float *)memory, *k = q + block_rows * stride, *v = k + TILE * stride;
    int head = blockIdx.y;
    Place p = place_of(s, head, head / (s.heads / s.kv_heads));
    const T *window = qkv + p.first_token * p.packed;
    int first = blockIdx.x * block_rows, last = min(first + block_rows, s.time);
    fetch(q, stride, window + head * s.width, p.packed, first, block_rows, s);
    float sum[ROWS][COLUMNS] = {}, top[ROWS], total[ROWS];
    for (int r = 0; r < ROWS; r++) top[r] = -INFINITE, total[r] = 0.f;
    for (int key = first_tile(first, s); key < last; key += TILE) {
        __syncthreads();
        fetch(k, stride, window + (s.heads + p.kv_head) * s.width, p.packed, key, TILE, s);
        fetch(v, stride, window + (s.heads + s.kv_heads + p.kv_head) * s.width, p.packed, key, TILE, s);
        __syncthreads();
        for (int r = 0; r < ROWS; r++) {
            float score = inner(q + (p.warp * ROWS + r) * stride, k + p.lane * stride, s.width) * s.scale;
            if (!sees(p.first_row + r, key + p.lane, s)) score = -INFINITE;
            float next = fmaxf(top[r], warp_max(score));
            // Until a tile has a key that this query sees, there is no largest score.
            float least = next == -INFINITE ? 0.f : next;
            float kept = expf(top[r] - least), weight = expf(score - least);
            top[r] = next, total[r] = total[r] * kept + warp_sum(weight);
            for (int c = 0; c < COLUMNS; c++) sum[r][c] *= kept;
            add_rows(sum[r], weight, v, stride, s.width);
        }
    }
    for (int r = 0; r < ROWS; r++) {
        int t = p.first_row + r;
        if (t >= s.time) continue;
        write_row(y + ((p.first_token + t) * s.heads + head) * s.width, sum[r], 1.f / total[r], s.width);
        if (p.lane == 0) lse[((size_t)p.window * s.heads + head) * s.time + t] = top[r] + logf(total[r]);
    }
}

// `delta` = the inner products of output and gradient, (windows, heads, time). A warp a row and head.
template <class T> DEVICE void deltas(const T *y, const T *g, float *delta, int rows, Sizes s) {
    long long warp = thread_in_grid() / WARP;
    if (warp >= (long long)rows * s.heads) return;
    size_t row = warp / s.heads, head = warp % s.heads, start = row * s.heads * s.width + head * s.width;
    float sum = 0.f;
    for (int c = threadIdx.x % WARP; c < s.width; c += WARP) sum += to_float(y[start + c]) * to_float(g[start + c]);
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) delta[(row / s.time * s.heads + head) * s.time + row % s.time] = sum;
}

// The gradient of the queries. Grid as forward.
template <class T>
DEVICE void query_slopes(const T *qkv, const T *g, const float *lse, const float *delta, T *d, Sizes s) {
    DYNAMIC_SHARED(memory);
    int stride = s.width + 1, block_rows = blockDim.x / WARP * ROWS;
    float *q = (float *)memory, *dy = q + block_rows * stride, *k = dy + block_rows * stride, *v = k + TILE * stride;
    int head = blockIdx.y;
    Place p = place_of(s, head, head / (s.heads / s.kv_heads));
    const T *window = qkv + p.first_token * p.packed;
    int first = blockIdx.x * block_rows, last = min(first + block_rows, s.time);
    fetch(q, stride, window + head * s.width, p.packed, first, block_rows, s);
    fetch(dy, stride, g + (p.first_token * s.heads + head) * s.width, s.heads * s.width, first, block_rows, s);
    float sum[ROWS][COLUMNS] = {};
    for (int key = first_tile(first, s); key < last; key += TILE) {
        __syncthreads();
        fetch(k, stride, window + (s.heads + p.kv_head) * s.width, p.packed, key, TILE, s);
        fetch(v, stride, window + (s.heads + s.kv_heads + p.kv_head) * s.width, p.packed, key, TILE, s);
        __syncthreads();
        for (int r = 0; r < ROWS; r++) {
            int t = p.first_row + r, row = p.warp * ROWS + r;
            float slope = 0.f;
            if (t < s.time && sees(t, key + p.lane, s)) {
                size_t at = ((size_t)p.window * s.heads + head) * s.time + t;
                float weight = expf(inner(q + row * stride, k + p.lane * stride, s.width) * s.scale - lse[at]);
                slope = weight * (inner(dy + row * stride, v + p.lane * stride, s.width) - delta[at]);
            }
            __syncwarp();
            add_rows(sum[r], slope, k, stride, s.width);
        }
    }
    for (int r = 0; r < ROWS; r++) {
        int t = p.first_row + r;
        if (t < s.time) write_row(d + (p.first_token + t) * p.packed + head * s.width, sum[r], s.scale, s.width);
    }
}

// The gradients of keys and values, summed over the query heads that share them, in order. Grid: (rows / 8, key heads, windows).
template <class T>
DEVICE void key_slopes(const T *qkv, const T *g, const float *lse, const float *delta, T *d, Sizes s) {
    DYNAMIC_SHARED(memory);
    int stride = s.width + 1, block_rows = blockDim.x / WARP * ROWS, kv_head = blockIdx.y, group = s.heads / s.kv_heads;
    float *k = (float *)memory, *v = k + block_rows * stride, *q = v + block_rows * stride, *dy = q + TILE * stride;
    int first = blockIdx.x * block_rows;
    Place p = place_of(s, 0, kv_head);
    const T *window = qkv + p.first_token * p.packed;
    fetch(k, stride, window + (s.heads + kv_head) * s.width, p.packed, first, block_rows, s);
    fetch(v, stride, window + (s.heads + s.kv_heads + kv_head) * s.width, p.packed, first, block_rows, s);
    float of_key[ROWS][COLUMNS] = {}, of_value[ROWS][COLUMNS] = {};
    for (int head = kv_head * group; head < (kv_head + 1) * group; head++) {
        int last = last_query(min(first + block_rows, s.time) - 1, s);
        for (int query = first / TILE * TILE; query < last; query += TILE) {
            __syncthreads();
            fetch(q, stride, window + head * s.width, p.packed, query, TILE, s);
            fetch(dy, stride, g + (p.first_token * s.heads + head) * s.width, s.heads * s.width, query, TILE, s);
            __syncthreads();
            int t = query + p.lane;
            for (int r = 0; r < ROWS; r++) {
                int row = p.warp * ROWS + r;
                float weight = 0.f, slope = 0.f;
                if (t < s.time && sees(t, p.first_row + r, s)) {
                    size_t at = ((size_t)p.window * s.heads + head) * s.time + t;
                    weight = expf(inner(k + row * stride, q + p.lane * stride, s.width) * s.scale - lse[at]);
                    slope = weight * (inner(v + row * stride, dy + p.lane * stride, s.width) - delta[at]);
                }
                __syncwarp();
                add_rows(of_value[r], weight, dy, stride, s.width);
                add_rows(of_key[r], slope, q, stride, s.width);
            }
        }
    }
    for (int r = 0; r < ROWS; r++) {
        int t = p.first_row + r;
        if (t >= s.time) continue;
        T *row = d + (p.first_token + t) * p.packed;
        write_row(row + (s.heads + kv_head) * s.width, of_key[r], s.scale, s.width);
        write_row(row + (s.heads + s.kv_heads + kv_head) * s.width, of_value[r], 1.f, s.width);
    }
}

#define ATTENTION(T, KIND)                                                                                                 \
    EXPORT(128, attention_any_##KIND, (const T *qkv, T *y, float *lse, Sizes s), (forward(qkv, y, lse, s)))                \
    EXPORT(256, attention_deltas_##KIND, (const T *y, const T *g, float *delta, int rows, Sizes s),                        \
           (deltas(y, g, delta, rows, s)))                                                                                 \
    EXPORT(128, attention_any_queries_##KIND,                                                                              \
           (const T *qkv, const T *g, const float *lse, const float *delta, T *d, Sizes s),                                \
           (query_slopes(qkv, g, lse, delta, d, s)))                                                                       \
    EXPORT(128, attention_any_keys_##KIND,                                                                                 \
           (const T *qkv, const T *g, const float *lse, const float *delta, T *d, Sizes s),                                \
           (key_slopes(qkv, g, lse, delta, d, s)))

ATTENTION(float, f32)
ATTENTION(bf16, bf16)

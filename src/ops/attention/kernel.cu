// Causal attention on tensor cores (compute capability 8.0 and newer): bf16 numbers, float sums, heads of 16 to 128 columns.
// As FlashAttention-2 (Dao 2023, arXiv:2307.08691) goes through the keys, but backwards in two kernels, one that owns queries
// and one that owns keys, so that no sum depends on which block came first. Formulas: ../../attention.rs.
//
// A block has 4 warps of 16 rows each. Products are of 16 x 16 by 16 x 8 (mma.m16n8k16), of fragments that ldmatrix fetches from
// tiles in shared memory; lane 4 g + t holds of a product the rows g and g + 8, columns 2 t and 2 t + 1.
#include "common.cuh"

static const int ROWS = 64;
static const float LOG2_E = 1.4426950409f;

struct Sizes {
    int time, heads, kv_heads, width;
    // Tokens that a query sees, itself the last of them.
    int window;
    float scale;
};

#ifdef EMULATED
static inline void load_fragments(u32 (&r)[4], const bf16 *row) {
    const void *all = exchange(&row, sizeof row);
    for (int matrix = 0; matrix < 4; matrix++) {
        const bf16 *from = of_lane<const bf16 *>(all, matrix * 8 + lane_id() / 4);
        memcpy(&r[matrix], from + lane_id() % 4 * 2, 4);
    }
}

static inline void load_transposed(u32 (&r)[4], const bf16 *row) {
    const void *all = exchange(&row, sizeof row);
    for (int matrix = 0; matrix < 4; matrix++) {
        u32 low = of_lane<const bf16 *>(all, matrix * 8 + lane_id() % 4 * 2)[lane_id() / 4].bits;
        u32 high = of_lane<const bf16 *>(all, matrix * 8 + lane_id() % 4 * 2 + 1)[lane_id() / 4].bits;
        r[matrix] = low | high << 16;
    }
}

static inline void multiply_add(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    struct Given {
        u32 a[4], b[2];
    } mine = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
    const void *all = exchange(&mine, sizeof mine);
    auto half = [](u32 pair, int which) { return to_float(bf16{(u16)(pair >> 16 * which)}); };
    for (int i = 0; i < 4; i++) {
        int row = lane_id() / 4 + i / 2 * 8, column = lane_id() % 4 * 2 + i % 2;
        for (int k = 0; k < 16; k++) {
            const Given &left = of_lane<Given>(all, row % 8 * 4 + k % 8 / 2);
            const Given &right = of_lane<Given>(all, column * 4 + k % 8 / 2);
            d[i] += half(left.a[row / 8 + k / 8 * 2], k % 2) * half(right.b[k / 8], k % 2);
        }
    }
}

template <int N> static inline void wait_for_copies_but() { wait_for_copies(N); }
#else
DEVICE u32 shared_address(const void *pointer) { return (u32)__cvta_generic_to_shared(pointer); }

// Four 8 x 8 matrices, of which lane i gives the address of row i % 8 of matrix i / 8.
DEVICE void load_fragments(u32 (&r)[4], const bf16 *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

DEVICE void load_transposed(u32 (&r)[4], const bf16 *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// d += a b
DEVICE void multiply_add(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// 16 bytes to shared memory, on their way while the thread goes on; zeros where they are not real.
DEVICE void copy_async(void *to, const void *from, bool real) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(real ? 16 : 0)
                 : "memory");
}
DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until all but the latest N groups of copies are there.
template <int N> DEVICE void wait_for_copies_but() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }
#endif

// A tile in shared memory: rows of D numbers, 8 more apart so that the rows of a fragment lie in different banks.
template <int D> struct Tile {
    static const int STRIDE = D + 8;
    bf16 *at;

    // For a left factor at rows `row..` and inner columns `k..`, and, transposed, for a right factor at inner rows `row..` and columns `k..`.
    DEVICE const bf16 *left(int row, int k) const {
        int lane = threadIdx.x % WARP;
        return at + (row + lane % 16) * STRIDE + k + lane / 16 * 8;
    }

    // For a right factor stored by columns: 16 of its columns from `column` on, inner `k..`.
    DEVICE const bf16 *right(int column, int k) const {
        int lane = threadIdx.x % WARP;
        return at + (column + lane % 8 + lane / 16 * 8) * STRIDE + k + lane / 8 % 2 * 8;
    }

    // Starts copying rows `first..first + COUNT` of a head; zeros beyond the window.
    template <int COUNT> DEVICE void fetch(const bf16 *from, int row_numbers, int first, int time) const {
        for (int i = threadIdx.x; i < COUNT * D / 8; i += blockDim.x) {
            int row = i / (D / 8), c = i % (D / 8) * 8, t = first + row;
            bool real = t < time;
            copy_async(at + row * STRIDE + c, from + (size_t)(real ? t : 0) * row_numbers + c, real);
        }
    }
};

// The product of 16 rows of one tile with N columns, stored as rows of the other, over D: sums[n] is the n-th 16 x 8.
template <int D, int N>
DEVICE void inner_products(float (&sums)[N / 8][4], const Tile<D> &rows, int row, const Tile<D> &columns) {
#pragma unroll
    for (int n = 0; n < N / 8; n++) {
        for (int i = 0; i < 4; i++) sums[n][i] = 0.f;
    }
#pragma unroll
    for (int k = 0; k < D; k += 16) {
        u32 a[4], b[4];
        load_fragments(a, rows.left(row, k));
#pragma unroll
        for (int n = 0; n < N; n += 16) {
            load_fragments(b, columns.right(n, k));
            multiply_add(sums[n / 8], a, b[0], b[1]);
            multiply_add(sums[n / 8 + 1], a, b[2], b[3]);
        }
    }
}

// sums += weights (16 x N, in registers) times the N rows of a tile.
template <int D, int N>
DEVICE void add_product(float (&sums)[D / 8][4], const float (&weights)[N / 8][4], const Tile<D> &rows) {
#pragma unroll
    for (int k = 0; k < N; k += 16) {
        const float(&low)[4] = weights[k / 8];
        const float(&high)[4] = weights[k / 8 + 1];
        u32 a[4] = {pack(low[0], low[1]), pack(low[2], low[3]), pack(high[0], high[1]), pack(high[2], high[3])}, b[4];
#pragma unroll
        for (int n = 0; n < D; n += 16) {
            load_transposed(b, rows.left(k, n));
            multiply_add(sums[n / 8], a, b[0], b[1]);
            multiply_add(sums[n / 8 + 1], a, b[2], b[3]);
        }
    }
}

// Writes 16 rows times factors for the upper and the lower 8.
template <int D>
DEVICE void write_rows(bf16 *to, int row_numbers, int row, int time, const float (&sums)[D / 8][4], float upper, float lower) {
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
        int c = n * 8 + 2 * t;
        if (row + g < time) *(u32 *)(to + (size_t)(row + g) * row_numbers + c) = pack(sums[n][0] * upper, sums[n][1] * upper);
        if (row + g + 8 < time)
            *(u32 *)(to + (size_t)(row + g + 8) * row_numbers + c) = pack(sums[n][2] * lower, sums[n][3] * lower);
    }
}

// Over the 4 lanes that share a row.
DEVICE float row_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

DEVICE float row_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// Grid: (time / 64, heads, windows); the longest rows first. `lse` is (windows, heads, time).
template <int D> DEVICE void forward(const bf16 *qkv, bf16 *y, float *lse, Sizes s) {
    DYNAMIC_SHARED(memory);
    Tile<D> k = {(bf16 *)memory}, v = {k.at + ROWS * Tile<D>::STRIDE}, q = {v.at + ROWS * Tile<D>::STRIDE};
    int head = blockIdx.y, kv_head = head / (s.heads / s.kv_heads), packed = (s.heads + 2 * s.kv_heads) * D;
    int tile = gridDim.x - 1 - blockIdx.x, first = tile * ROWS, warp = threadIdx.x / WARP;
    size_t first_token = (size_t)blockIdx.z * s.time;
    const bf16 *window = qkv + first_token * packed;
    const bf16 *keys = window + (s.heads + kv_head) * D, *values = keys + s.kv_heads * D;
    q.template fetch<ROWS>(window + head * D, packed, first, s.time);
    // The tile of the first key that the first query sees.
    int start = max(first - s.window + 1, 0) / ROWS;
    k.template fetch<ROWS>(keys, packed, start * ROWS, s.time);
    commit_copies();
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4, row = warp * 16;
    float sums[D / 8][4] = {}, top[2] = {-INFINITE, -INFINITE}, least[2], total[2] = {0.f, 0.f};
    float to_log2 = s.scale * LOG2_E;
    for (int j = start; j <= tile; j++) {
        v.template fetch<ROWS>(values, packed, j * ROWS, s.time);
        commit_copies();
        wait_for_copies_but<1>();
        __syncthreads();
        float p[ROWS / 8][4];
        inner_products<D, ROWS>(p, q, row, k);
        __syncthreads();
        // The next keys come while these are weighed; after the last, an empty group keeps the count.
        if (j < tile) k.template fetch<ROWS>(keys, packed, (j + 1) * ROWS, s.time);
        commit_copies();
        float next[2] = {top[0], top[1]};
        // Whether some query does not see some key of the tile, for that is too far back.
        bool leaves = j * ROWS <= first + ROWS - 1 - s.window;
#pragma unroll
        for (int n = 0; n < ROWS / 8; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int column = n * 8 + 2 * t + i % 2, of_query = row + g + i / 2 * 8;
                if (j == tile && column > of_query) p[n][i] = -INFINITE;
                if (leaves && j * ROWS + column <= first + of_query - s.window) p[n][i] = -INFINITE;
                next[i / 2] = fmaxf(next[i / 2], p[n][i]);
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            next[half] = row_max(next[half]);
            // Until a tile has a key that this query sees, there is no largest score.
            least[half] = next[half] == -INFINITE ? 0.f : next[half];
            float kept = exp2f((top[half] - least[half]) * to_log2);
            top[half] = next[half], total[half] *= kept;
#pragma unroll
            for (int n = 0; n < D / 8; n++) sums[n][2 * half] *= kept, sums[n][2 * half + 1] *= kept;
        }
#pragma unroll
        for (int n = 0; n < ROWS / 8; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                p[n][i] = exp2f((p[n][i] - least[i / 2]) * to_log2);
                total[i / 2] += p[n][i];
            }
        }
        wait_for_copies_but<1>();
        __syncthreads();
        add_product<D, ROWS>(sums, p, v);
        __syncthreads();
    }
    for (int half = 0; half < 2; half++) {
        total[half] = row_sum(total[half]);
        int query = first + row + g + half * 8;
        if (t == 0 && query < s.time)
            lse[((size_t)blockIdx.z * s.heads + head) * s.time + query] = top[half] * s.scale + logf(total[half]);
    }
    write_rows<D>(y + first_token * s.heads * D + head * D, s.heads * D, first + row, s.time, sums, 1.f / total[0],
                  1.f / total[1]);
}

// The gradient of the queries, of `d` that is laid out as `qkv`. Grid as forward. KEYS go through at a time.
template <int D, int KEYS>
DEVICE void query_slopes(const bf16 *qkv, const bf16 *dy, const float *lse, const float *delta, bf16 *d, Sizes s) {
    DYNAMIC_SHARED(memory);
    Tile<D> q = {(bf16 *)memory}, g_tile = {q.at + ROWS * Tile<D>::STRIDE}, k = {g_tile.at + ROWS * Tile<D>::STRIDE},
            v = {k.at + KEYS * Tile<D>::STRIDE};
    int head = blockIdx.y, kv_head = head / (s.heads / s.kv_heads), packed = (s.heads + 2 * s.kv_heads) * D;
    int first = (gridDim.x - 1 - blockIdx.x) * ROWS, row = threadIdx.x / WARP * 16, last = min(first + ROWS, s.time);
    size_t first_token = (size_t)blockIdx.z * s.time;
    const bf16 *window = qkv + first_token * packed;
    const bf16 *keys = window + (s.heads + kv_head) * D, *values = keys + s.kv_heads * D;
    q.template fetch<ROWS>(window + head * D, packed, first, s.time);
    g_tile.template fetch<ROWS>(dy + (first_token * s.heads + head) * D, s.heads * D, first, s.time);
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    float sums[D / 8][4] = {}, l[2], of_y[2], to_log2 = s.scale * LOG2_E;
    for (int half = 0; half < 2; half++) {
        int query = first + row + g + half * 8;
        size_t at = ((size_t)blockIdx.z * s.heads + head) * s.time + query;
        l[half] = query < s.time ? lse[at] * LOG2_E : INFINITE, of_y[half] = query < s.time ? delta[at] : 0.f;
    }
    for (int key = max(first - s.window + 1, 0) / KEYS * KEYS; key < last; key += KEYS) {
        k.template fetch<KEYS>(keys, packed, key, s.time);
        v.template fetch<KEYS>(values, packed, key, s.time);
        commit_copies();
        wait_for_copies_but<0>();
        __syncthreads();
        float p[KEYS / 8][4], slopes[KEYS / 8][4];
        inner_products<D, KEYS>(p, q, row, k);
        inner_products<D, KEYS>(slopes, g_tile, row, v);
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int at = key + n * 8 + 2 * t + i % 2, query = first + row + g + i / 2 * 8;
                bool seen = at <= query && at > query - s.window;
                float weight = seen ? exp2f(p[n][i] * to_log2 - l[i / 2]) : 0.f;
                slopes[n][i] = weight * (slopes[n][i] - of_y[i / 2]);
            }
        }
        add_product<D, KEYS>(sums, slopes, k);
        __syncthreads();
    }
    write_rows<D>(d + first_token * packed + head * D, packed, first + row, s.time, sums, s.scale, s.scale);
}

// The gradients of keys and values, summed over the query heads that share them, in order. Grid: (time / 64, key heads, windows).
// QUERIES go through at a time.
template <int D, int QUERIES>
DEVICE void key_slopes(const bf16 *qkv, const bf16 *dy, const float *lse, const float *delta, bf16 *d, Sizes s) {
    DYNAMIC_SHARED(memory);
    Tile<D> k = {(bf16 *)memory}, v = {k.at + ROWS * Tile<D>::STRIDE}, q = {v.at + ROWS * Tile<D>::STRIDE},
            g_tile = {q.at + QUERIES * Tile<D>::STRIDE};
    __shared__ float l[64], of_y[64];
    int kv_head = blockIdx.y, group = s.heads / s.kv_heads, packed = (s.heads + 2 * s.kv_heads) * D;
    int first = blockIdx.x * ROWS, row = threadIdx.x / WARP * 16;
    size_t first_token = (size_t)blockIdx.z * s.time;
    const bf16 *window = qkv + first_token * packed;
    k.template fetch<ROWS>(window + (s.heads + kv_head) * D, packed, first, s.time);
    v.template fetch<ROWS>(window + (s.heads + s.kv_heads + kv_head) * D, packed, first, s.time);
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    float of_key[D / 8][4] = {}, of_value[D / 8][4] = {}, to_log2 = s.scale * LOG2_E;
    // The first query that sees none of these keys.
    int last = first + ROWS - 1, end = s.window > s.time - last ? s.time : last + s.window;
    for (int head = kv_head * group; head < (kv_head + 1) * group; head++) {
        for (int query = first; query < end; query += QUERIES) {
            q.template fetch<QUERIES>(window + head * D, packed, query, s.time);
            g_tile.template fetch<QUERIES>(dy + (first_token * s.heads + head) * D, s.heads * D, query, s.time);
            commit_copies();
            if (threadIdx.x < QUERIES) {
                int mine = query + threadIdx.x;
                size_t at = ((size_t)blockIdx.z * s.heads + head) * s.time + mine;
                l[threadIdx.x] = mine < s.time ? lse[at] * LOG2_E : INFINITE;
                of_y[threadIdx.x] = mine < s.time ? delta[at] : 0.f;
            }
            wait_for_copies_but<0>();
            __syncthreads();
            float p[QUERIES / 8][4], slopes[QUERIES / 8][4];
            inner_products<D, QUERIES>(p, k, row, q);
            inner_products<D, QUERIES>(slopes, v, row, g_tile);
#pragma unroll
            for (int n = 0; n < QUERIES / 8; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int column = n * 8 + 2 * t + i % 2;
                    int at = first + row + g + i / 2 * 8;
                    bool seen = at <= query + column && at > query + column - s.window;
                    p[n][i] = seen ? exp2f(p[n][i] * to_log2 - l[column]) : 0.f;
                    slopes[n][i] = p[n][i] * (slopes[n][i] - of_y[column]);
                }
            }
            add_product<D, QUERIES>(of_value, p, g_tile);
            add_product<D, QUERIES>(of_key, slopes, q);
            __syncthreads();
        }
    }
    bf16 *to = d + first_token * packed;
    write_rows<D>(to + (s.heads + kv_head) * D, packed, first + row, s.time, of_key, s.scale, s.scale);
    write_rows<D>(to + (s.heads + s.kv_heads + kv_head) * D, packed, first + row, s.time, of_value, 1.f, 1.f);
}

#define ATTENTION(D, AT_A_TIME)                                                                                            \
    EXPORT(128, attention_##D, (const bf16 *qkv, bf16 *y, float *lse, Sizes s), (forward<D>(qkv, y, lse, s)))              \
    EXPORT(128, attention_queries_##D,                                                                                     \
           (const bf16 *qkv, const bf16 *dy, const float *lse, const float *delta, bf16 *d, Sizes s),                      \
           (query_slopes<D, AT_A_TIME>(qkv, dy, lse, delta, d, s)))                                                        \
    EXPORT(128, attention_keys_##D,                                                                                        \
           (const bf16 *qkv, const bf16 *dy, const float *lse, const float *delta, bf16 *d, Sizes s),                      \
           (key_slopes<D, AT_A_TIME>(qkv, dy, lse, delta, d, s)))

ATTENTION(16, 64)
ATTENTION(32, 64)
ATTENTION(48, 64)
ATTENTION(64, 64)
ATTENTION(80, 32)
ATTENTION(96, 32)
ATTENTION(112, 32)
ATTENTION(128, 32)

/* gemm_int16_avx2.c - products of 16-bit integers for AVX2, for small models whose pages are tested with them.
 *
 * One vpmaddwd multiplies twice as many numbers as one FMA. A weight's row becomes integers once, when it is packed; a
 * row of x at each product, in blocks of k with a scale for each. Both keep 13 bits or more: an output is off by some
 * 3e-4 of its size, a third of what rounding to bf16 costs. Sums of a block are exact, so their order is no matter of
 * P8. Sharp edges: no sum of a block can overflow, whatever x is, because packing bounds the sum of |w|; a block of
 * zeros, as the border of a convolution has them, is left out. */
#include "gemm_avx2.h"

#include <math.h>

#define X_MOST 16383 /* of x */
#define W_MOST 32000 /* of w, and ... */
#define SUM_MOST                                                                                   \
    131000 /* ... of a block's |w| together: times X_MOST below 2^31, roundings included */
#define LEAST  1e-30f /* smaller numbers are zero */
#define ROOM   12288  /* numbers of x at once: they stay in the first cache, beside a panel */
#define SCALES 256    /* theirs: at most ROOM / 96, and one more a row */

/* Length of a block: convolutions of multiples of 32 channels have whole blocks outside of the map. */
static int
block_of(int k)
{
    return k % 96 == 0 ? 96 : 128;
}

static int
blocks_of(int k)
{
    return (k + block_of(k) - 1) / block_of(k);
}

/* ---- packing ---- */

/* A panel: 16 scales, then [(k + 1) / 2][16][2]. */
static size_t
panel_size(int k)
{
    return 64 + (size_t)(k + 1) / 2 * 64;
}

size_t
int16_size(const Weight *w)
{
    return ((size_t)w->n + 15) / 16 * panel_size(w->k);
}

/* What output n is multiplied by to become integers. */
static float
enlargement(const Weight *w, int n)
{
    float most = 0, sum = 0, largest_sum = 0;

    for (int i = 0; i < w->k; i++)
    {
        float size = fabsf(dtype_load(w->dtype, w->data, (uint64_t)n * (uint64_t)w->k + i));

        sum = i % block_of(w->k) == 0 ? size : sum + size;
        most = size > most ? size : most;
        largest_sum = sum > largest_sum ? sum : largest_sum;
    }
    if (!(most > LEAST))
        return 0;
    return fminf(W_MOST / most, SUM_MOST / largest_sum);
}

void
int16_pack(const Weight *w, void *to, int n0, int n1)
{
    memset((char *)to + (size_t)(n0 / 16) * panel_size(w->k), 0,
           (size_t)((n1 - n0 + 15) / 16) * panel_size(w->k));
    for (int n = n0; n < n1; n++)
    {
        char *panel = (char *)to + (size_t)(n / 16) * panel_size(w->k);
        int16_t *at = (int16_t *)(panel + 64) + n % 16 * 2;
        float by = enlargement(w, n);

        ((float *)panel)[n % 16] = by > 0 ? 1 / by : 0;
        for (int i = 0; i < w->k; i++)
            at[i / 2 * 32 + i % 2] = (int16_t)lrintf(
                by * dtype_load(w->dtype, w->data, (uint64_t)n * (uint64_t)w->k + i));
    }
}

/* ---- x ---- */

INLINE __m256
load_some(const float *x, int n)
{
    return n >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, first_lanes(n));
}

INLINE void
put_integers(__m256 by, __m256 low, __m256 high, int16_t *to)
{
    __m256i both = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(by, low)),
                                      _mm256_cvtps_epi32(_mm256_mul_ps(by, high)));

    _mm256_store_si256((__m256i *)to, _mm256_permute4x64_epi64(both, 0xD8));
}

/* n numbers to integers, zeros after them up to a multiple of 16. Returns their scale. */
INLINE float
to_integers(const float *x, int n, int16_t *to)
{
    __m256 sign = _mm256_set1_ps(-0.0f), even = _mm256_setzero_ps(), odd = even, by;
    int whole = n / 16 * 16;
    float most;

    for (int i = 0; i < whole; i += 16)
    {
        even = _mm256_max_ps(even, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)));
        odd = _mm256_max_ps(odd, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + i + 8)));
    }
    for (int i = whole; i < n; i += 8)
        even = _mm256_max_ps(even, _mm256_andnot_ps(sign, load_some(x + i, n - i)));
    most = max_8(_mm256_max_ps(even, odd));
    by = _mm256_set1_ps(most > LEAST ? X_MOST / most : 0);
    for (int i = 0; i < whole; i += 16)
        put_integers(by, _mm256_loadu_ps(x + i), _mm256_loadu_ps(x + i + 8), to + i);
    if (whole < n)
        put_integers(by, load_some(x + whole, n - whole), load_some(x + whole + 8, n - whole - 8),
                     to + whole);
    return most > LEAST ? most / X_MOST : 0;
}

/* ---- products ---- */

/* A tile: its rows as integers, the panel of weights, and in `out` where the outputs go. */
typedef struct Tile
{
    Spot out; /* x and ldx are not used */
    const int16_t *x;
    const float *scales; /* [mr, blocks] */
    const char *panel;
    float *sums;              /* [6, 16], 32-byte aligned: what does not fit into registers */
    int ld;                   /* of x */
    int pairs, block, blocks; /* pairs of k, in all and of a block; blocks */
    bool zeros;               /* there may be blocks of zeros */
} Tile;

/* acc += a product, in place: left alone, gcc multiplies all first and spills. */
INLINE void
add_product(__m256i *acc, __m256i a, __m256i b)
{
    __asm__("vpaddd %1, %0, %0" : "+x"(*acc) : "x"(_mm256_madd_epi16(a, b)));
}

/* acc = one block, from pair `from` to pair `end`. */
INLINE void
block_16(int mr, const Tile *t, int from, int end, __m256i acc[ROWS_MOST][2])
{
    UNROLL for (int m = 0; m < mr; m++) acc[m][0] = acc[m][1] = _mm256_setzero_si256();
    for (int i = from; i < end; i++)
    {
        const __m256i *w = (const __m256i *)(t->panel + 64 + (size_t)i * 64);
        __m256i low = _mm256_load_si256(w), high = _mm256_load_si256(w + 1);

        UNROLL for (int m = 0; m < mr; m++)
        {
            int32_t pair;

            memcpy(&pair, t->x + (size_t)m * t->ld + 2 * i, sizeof pair);
            add_product(&acc[m][0], _mm256_set1_epi32(pair), low);
            add_product(&acc[m][1], _mm256_set1_epi32(pair), high);
        }
    }
}

INLINE bool
zeros_only(int mr, const Tile *t, int b)
{
    float any = 0;

    UNROLL for (int m = 0; m < mr; m++) any += t->scales[m * t->blocks + b];
    return any == 0;
}

INLINE void
product_16(int mr, const Tile *t)
{
    const float *by = (const float *)t->panel;
    __m256i acc[ROWS_MOST][2];

    for (int b = 0; b < t->blocks; b++)
    {
        int from = b * t->block, end = b + 1 < t->blocks ? from + t->block : t->pairs;

        block_16(mr, t, from, t->zeros && zeros_only(mr, t, b) ? from : end, acc);
        UNROLL for (int m = 0; m < mr; m++)
        {
            __m256 scale = _mm256_set1_ps(t->scales[m * t->blocks + b]);
            __m256 low = _mm256_mul_ps(_mm256_cvtepi32_ps(acc[m][0]), scale);
            __m256 high = _mm256_mul_ps(_mm256_cvtepi32_ps(acc[m][1]), scale);

            if (b > 0)
            {
                low = _mm256_add_ps(low, _mm256_load_ps(t->sums + m * 16));
                high = _mm256_add_ps(high, _mm256_load_ps(t->sums + m * 16 + 8));
            }
            if (b + 1 < t->blocks)
            {
                _mm256_store_ps(t->sums + m * 16, low);
                _mm256_store_ps(t->sums + m * 16 + 8, high);
            }
            else
                put(&t->out, m, t->out.n, _mm256_mul_ps(low, _mm256_load_ps(by)),
                    _mm256_mul_ps(high, _mm256_load_ps(by + 8)));
        }
    }
}

#define PRODUCT(mr)                                                                                \
    static void product_##mr(const Tile *s)                                                        \
    {                                                                                              \
        product_16(mr, s);                                                                         \
    }
PRODUCT(1)
PRODUCT(2)
PRODUCT(3)
PRODUCT(4)
PRODUCT(5)
PRODUCT(6)

static void (*const products[ROWS_MOST + 1])(const Tile *) = {
    0, product_1, product_2, product_3, product_4, product_5, product_6};

/* Rows that are worked on at once. */
static int
rows_at_once(int rows, int ld)
{
    int most = ROOM / ld / ROWS_MOST * ROWS_MOST;

    most = most > LINEAR_ROWS ? LINEAR_ROWS : most;
    return rows < most ? rows : most;
}

/* Rows of x to integers; returns whether a block is zeros. */
static bool
rows_to_integers(const float *x, int ldx, int rows, int k, int16_t *to, int ld, float *scales)
{
    bool zeros = false;

    for (int r = 0; r < rows; r++)
        for (int at = 0; at < k; at += block_of(k))
        {
            int n = k - at < block_of(k) ? k - at : block_of(k);

            *scales = to_integers(x + (size_t)r * ldx + at, n, to + (size_t)r * ld + at);
            zeros |= *scales++ == 0;
        }
    return zeros;
}

void
int16_linear(float *y, int ldy, const float *x, int ldx, int rows, const Weight *w, int n0, int n1,
             const float *b, Finish finish)
{
    int16_t integers[ROOM] __attribute__((aligned(64)));
    float scales[SCALES], sums[ROWS_MOST * 16] __attribute__((aligned(64)));
    int ld = (w->k + 15) / 16 * 16;
    size_t size = panel_size(w->k);

    for (int row = 0, n; row < rows; row += n)
    {
        Tile t = {.out = {.ldy = ldy, .w = w, .b = b, .finish = finish},
                  .sums = sums,
                  .ld = ld,
                  .pairs = (w->k + 1) / 2,
                  .block = block_of(w->k) / 2,
                  .blocks = blocks_of(w->k)};

        n = rows_at_once(rows - row, ld);
        t.zeros = rows_to_integers(x + (size_t)row * ldx, ldx, n, w->k, integers, ld, scales);
        for (t.out.n = n0; t.out.n < n1; t.out.n += 16)
            for (int r = 0, mr; r < n; r += mr)
            {
                mr = rows_for(n - r);
                t.out.y = y + (size_t)(row + r) * ldy;
                t.panel = (const char *)w->packed + (size_t)(t.out.n / 16) * size;
                t.x = integers + (size_t)r * ld;
                t.scales = scales + (size_t)r * t.blocks;
                products[mr](&t);
            }
    }
}

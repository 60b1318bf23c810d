/* lanes.h - sixteen numbers at once: what the fast twins (lanes_*.h) are written in, and the register tile of all
 * products.
 *
 * kernels_avx2.c and kernels_avx512.c compile the same twins, each with its own instructions. Sixteen lanes are two
 * registers there and one here, and every lane does the same in the same order: their results are the same bits.
 * A tile is MR rows of x against NP panels of 16 outputs; every output is one chain of fused multiply-adds in the order
 * of k, whatever MR and NP are: that is P8. */
#ifndef DS_LANES_H
#define DS_LANES_H

#include <immintrin.h>

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#define INLINE static inline __attribute__((always_inline, unused))

#ifdef __AVX512F__
#include "lanes_avx512.h"
#else
#include "lanes_avx2.h"
#endif

typedef enum Form
{
    FORM_F32,  /* 16 floats, `step` floats from one k to the next */
    FORM_BF16, /* 16 in 32 bytes, in the order of load_bf16_panel */
} Form;

/* The 16 outputs of one k. */
INLINE Floats
load_panel(Form form, const void *panel, size_t at)
{
    return form == FORM_BF16 ? load_bf16_panel((const char *)panel + at * 2)
                             : load((const float *)panel + at);
}

/* acc[m][p] += x[m][0..k-1] . panel p. panels lie `apart` elements from each other. */
INLINE void
tile(int mr, int np, Form form, Floats acc[ROWS_MOST][PANELS_MOST], const float *const *x,
     const void *panel, size_t apart, size_t step, int k)
{
    size_t size = form == FORM_BF16 ? 2 : 4;

    for (int i = 0; i < k; i++)
    {
        Floats w[PANELS_MOST];

        UNROLL for (int p = 0; p < np; p++)
        {
            const char *from = (const char *)panel + (size_t)p * apart * size;

            if (mr <= 2 && form == FORM_BF16)
                _mm_prefetch(from + (size_t)i * 32 + 2048, _MM_HINT_T0);
            w[p] = load_panel(form, from, (size_t)i * step);
        }
        UNROLL for (int m = 0; m < mr; m++)
        {
            Floats one = all(x[m][i]);

            UNROLL for (int p = 0; p < np; p++) acc[m][p] = muladd(one, w[p], acc[m][p]);
        }
    }
}

/* e^x to 1e-7, relative; below -87 it stays at e^-87. */
INLINE Floats
exp_16(Floats x)
{
    static const float inverse[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24,
                                    1.0f / 6,    0.5f,       1,          1};
    Floats n, r, p;

    x = lesser(greater(x, all(-87)), all(88));
    n = nearest(mul(x, all(1.44269504f)));
    r = muladd(n, all(-0.693359375f), x);
    r = muladd(n, all(2.12194440e-4f), r);
    p = all(inverse[0]);
    UNROLL for (int i = 1; i < 8; i++) p = muladd(p, r, all(inverse[i]));
    return mul(p, two_to(n));
}

INLINE float
sum_16(Floats v)
{
    __m256 eight = halves_added(v);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

INLINE float
greatest_16(Floats v)
{
    __m256 eight = halves_greater(v);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* The first n lanes, as many as there are, zeros after them. */
INLINE Floats
load_up_to(const float *p, int n)
{
    return n >= 16 ? load(p) : load_first(p, n);
}

INLINE void
store_up_to(float *p, int n, Floats v)
{
    if (n >= 16)
        store(p, v);
    else
        store_first(p, n, v);
}

/* Panels at once for a tile of so many rows: enough chains to hide the latency of an addition. */
INLINE int
panels_for(int rows)
{
#define PANELS(mr, np) [mr] = np,
    static const int panels[] = {TILES(PANELS)};

    return panels[rows];
}

/* Rows of the next tile when `rows` are left: no tile of one row beside one of six. */
INLINE int
rows_for(int rows)
{
    int tiles = (rows + ROWS_MOST - 1) / ROWS_MOST;

    return (rows + tiles - 1) / tiles;
}

#endif

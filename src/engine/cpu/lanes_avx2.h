/* lanes_avx2.h - what the *_avx2.c files share: the register tile of all products, and e^x in eight lanes.
 *
 * Only for files compiled with AVX2 and FMA. A tile is MR rows of x against NP panels of 16 outputs; every output is
 * one chain of fused multiply-adds in the order of k, whatever MR and NP are: that is P8. */
#ifndef DS_LANES_AVX2_H
#define DS_LANES_AVX2_H

#include <immintrin.h>

#include "cpu.h"

#define ROWS_MOST   6 /* of a tile: 6 x 16 sums fill twelve registers */
#define PANELS_MOST 4

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

#define INLINE static inline __attribute__((always_inline))

typedef enum Form
{
    FORM_F32,  /* 16 floats, `step` floats from one k to the next */
    FORM_BF16, /* 16 in 32 bytes: lane i of eight holds output i below and output i + 8 above */
} Form;

/* Outputs 0..7 and 8..15 of one k. */
INLINE void
load_16(Form form, const void *panel, size_t at, __m256 *low, __m256 *high)
{
    if (form == FORM_BF16)
    {
        __m256i both = _mm256_loadu_si256((const __m256i *)((const char *)panel + at * 2));

        *low = _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
        *high = _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32((int)0xFFFF0000u)));
    }
    else
    {
        *low = _mm256_loadu_ps((const float *)panel + at);
        *high = _mm256_loadu_ps((const float *)panel + at + 8);
    }
}

/* acc[m][2 p, 2 p + 1] += x[m][0..k-1] . panel p. panels lie `apart` elements from each other. */
INLINE void
tile(int mr, int np, Form form, __m256 acc[ROWS_MOST][2 * PANELS_MOST], const float *const *x,
     const void *panel, size_t apart, size_t step, int k)
{
    size_t size = form == FORM_BF16 ? 2 : 4;

    for (int i = 0; i < k; i++)
    {
        UNROLL for (int p = 0; p < np; p++)
        {
            const char *from = (const char *)panel + (size_t)p * apart * size;
            __m256 low, high;

            if (mr <= 2 && form == FORM_BF16)
                _mm_prefetch(from + (size_t)i * 32 + 2048, _MM_HINT_T0);
            load_16(form, from, (size_t)i * step, &low, &high);
            UNROLL for (int m = 0; m < mr; m++)
            {
                __m256 one = _mm256_broadcast_ss(x[m] + i);

                acc[m][2 * p] = _mm256_fmadd_ps(one, low, acc[m][2 * p]);
                acc[m][2 * p + 1] = _mm256_fmadd_ps(one, high, acc[m][2 * p + 1]);
            }
        }
    }
}

/* e^x to 1e-7, relative; below -87 it stays at e^-87. */
INLINE __m256
exp_8(__m256 x)
{
    static const float inverse[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24,
                                    1.0f / 6,    0.5f,       1,          1};
    __m256 n, r, p;

    x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-87)), _mm256_set1_ps(88));
    n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    p = _mm256_set1_ps(inverse[0]);
    UNROLL for (int i = 1; i < 8; i++) p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(inverse[i]));
    return _mm256_mul_ps(p,
                         _mm256_castsi256_ps(_mm256_slli_epi32(
                             _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23)));
}

INLINE float
sum_8(__m256 v)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

INLINE float
max_8(__m256 v)
{
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* The first n of eight floats, zeros after them. */
INLINE __m256i
first_lanes(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* Rows of a tile and panels at once: enough chains to hide the latency of an addition. */
INLINE int
panels_for(int rows)
{
    return rows == 1 ? 4 : rows <= 3 ? 2 : 1;
}

/* Rows of the next tile when `rows` are left: no tile of one row beside one of six. */
INLINE int
rows_for(int rows)
{
    int tiles = (rows + ROWS_MOST - 1) / ROWS_MOST;

    return (rows + tiles - 1) / tiles;
}

#endif

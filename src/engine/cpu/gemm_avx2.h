/* gemm_avx2.h - what the products with weights share: a tile's place, and how its sums leave. */
#ifndef DS_GEMM_AVX2_H
#define DS_GEMM_AVX2_H

#include "lanes_avx2.h"

/* A tile's place: rows from `x` and `y`, outputs from n. */
typedef struct Spot
{
    const float *x;
    float *y;
    int ldx, ldy, n;
    const Weight *w;
    const float *b;
    Finish finish;
} Spot;

/* `count` (up to 16) outputs of one row. */
INLINE void
put(const Spot *s, int m, int n, __m256 low, __m256 high)
{
    float *to = s->y + (size_t)m * s->ldy + n;
    float sums[16];
    int count = s->w->n - n;

    if (count >= 16)
    {
        if (s->b)
        {
            low = _mm256_add_ps(low, _mm256_loadu_ps(s->b + n));
            high = _mm256_add_ps(high, _mm256_loadu_ps(s->b + n + 8));
        }
        if (s->finish == FINISH_ADD)
        {
            low = _mm256_add_ps(_mm256_loadu_ps(to), low);
            high = _mm256_add_ps(_mm256_loadu_ps(to + 8), high);
        }
        _mm256_storeu_ps(to, low);
        _mm256_storeu_ps(to + 8, high);
        return;
    }
    _mm256_storeu_ps(sums, low);
    _mm256_storeu_ps(sums + 8, high);
    for (int i = 0; i < count; i++)
    {
        float sum = sums[i] + (s->b ? s->b[n + i] : 0);

        to[i] = s->finish == FINISH_ADD ? to[i] + sum : sum;
    }
}

/* ---- gemm_int16_avx2.c: the same of weights packed as integers ---- */

size_t int16_size(const Weight *w);
void int16_pack(const Weight *w, void *to, int n0, int n1);
void int16_linear(float *y, int ldy, const float *x, int ldx, int rows, const Weight *w, int n0,
                  int n1, const float *b, Finish finish);

#endif

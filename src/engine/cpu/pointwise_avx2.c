/* pointwise_avx2.c - GELU, SiLU and the norms in eight lanes: pointwise.c's and norm.c's fast twins. */
#include "lanes_avx2.h"

#include <math.h>

/* gelu(x) = x - x/2 erfc(t) or, for negative x, x/2 erfc(t) with t = |x| / sqrt 2: no cancellation at either end.
 * erfc(t) = s P(s) e^(-t^2), s = 1 / (1 + 0.4 t); P was fitted on 0 <= t <= 10 with relative error 8e-9. */
INLINE __m256
gelu_8(__m256 x)
{
    static const float fit[] = {-0.02960103191f, 0.1980493516f, -0.4988959432f, 0.5475473403f,
                                -0.2844590545f,  0.2721153796f, 0.129662782f,   0.2149226665f,
                                0.2249515951f,   0.2257069349f};
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 size = _mm256_andnot_ps(sign, x), t = _mm256_mul_ps(size, _mm256_set1_ps(0.70710678f));
    __m256 s = _mm256_div_ps(_mm256_set1_ps(1),
                             _mm256_fmadd_ps(t, _mm256_set1_ps(0.4f), _mm256_set1_ps(1)));
    __m256 p = _mm256_set1_ps(fit[0]), half;

    UNROLL for (int i = 1; i < 10; i++) p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(fit[i]));
    p = _mm256_mul_ps(_mm256_mul_ps(p, s), exp_8(_mm256_xor_ps(sign, _mm256_mul_ps(t, t))));
    half = _mm256_mul_ps(_mm256_mul_ps(size, _mm256_set1_ps(0.5f)), p);
    return _mm256_sub_ps(_mm256_max_ps(x, _mm256_setzero_ps()), half);
}

INLINE __m256
silu_times_8(__m256 x, __m256 u)
{
    __m256 below = _mm256_add_ps(_mm256_set1_ps(1), exp_8(_mm256_sub_ps(_mm256_setzero_ps(), x)));

    return _mm256_mul_ps(_mm256_div_ps(x, below), u);
}

void
gelu_avx2(float *x, int n)
{
    int i = 0;

    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(x + i, gelu_8(_mm256_loadu_ps(x + i)));
    if (i < n)
        _mm256_maskstore_ps(x + i, first_lanes(n - i),
                            gelu_8(_mm256_maskload_ps(x + i, first_lanes(n - i))));
}

void
silu_times_avx2(float *x, const float *u, int n)
{
    int i = 0;

    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(x + i, silu_times_8(_mm256_loadu_ps(x + i), _mm256_loadu_ps(u + i)));
    if (i < n)
    {
        __m256i lanes = first_lanes(n - i);

        _mm256_maskstore_ps(
            x + i, lanes,
            silu_times_8(_mm256_maskload_ps(x + i, lanes), _mm256_maskload_ps(u + i, lanes)));
    }
}

/* ---- norms ---- */

/* Sum of (x - mean)^power, power 1 or 2; the order depends on n only. */
INLINE float
moment(const float *x, int n, float mean, int power)
{
    __m256 even = _mm256_setzero_ps(), odd = even, middle = _mm256_set1_ps(mean);
    float rest = 0;
    int i = 0;

    for (; i + 16 <= n; i += 16)
    {
        __m256 a = _mm256_sub_ps(_mm256_loadu_ps(x + i), middle),
               b = _mm256_sub_ps(_mm256_loadu_ps(x + i + 8), middle);

        even = power == 1 ? _mm256_add_ps(even, a) : _mm256_fmadd_ps(a, a, even);
        odd = power == 1 ? _mm256_add_ps(odd, b) : _mm256_fmadd_ps(b, b, odd);
    }
    for (; i < n; i++)
        rest += power == 1 ? x[i] - mean : (x[i] - mean) * (x[i] - mean);
    return sum_8(_mm256_add_ps(even, odd)) + rest;
}

void
layer_norm_avx2(float *y, const float *x, int cols, const float *w, const float *b, float eps)
{
    float mean = moment(x, cols, 0, 1) / (float)cols;
    float scale = 1 / sqrtf(moment(x, cols, mean, 2) / (float)cols + eps);
    int i = 0;

    for (; i + 8 <= cols; i += 8)
    {
        __m256 v = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(mean)),
                                 _mm256_set1_ps(scale));

        _mm256_storeu_ps(y + i, _mm256_fmadd_ps(v, _mm256_loadu_ps(w + i), _mm256_loadu_ps(b + i)));
    }
    for (; i < cols; i++)
        y[i] = fmaf((x[i] - mean) * scale, w[i], b[i]);
}

void
rms_norm_avx2(float *y, const float *x, int cols, const float *w, float eps)
{
    float scale = 1 / sqrtf(moment(x, cols, 0, 2) / (float)cols + eps);
    int i = 0;

    for (; i + 8 <= cols; i += 8)
        _mm256_storeu_ps(y + i,
                         _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(scale)),
                                       _mm256_loadu_ps(w + i)));
    for (; i < cols; i++)
        y[i] = x[i] * scale * w[i];
}

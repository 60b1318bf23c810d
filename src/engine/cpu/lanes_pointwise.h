/* lanes_pointwise.h - GELU, SiLU and the norms: pointwise.c's and norm.c's fast twins. */
#ifndef DS_LANES_POINTWISE_H
#define DS_LANES_POINTWISE_H

#include "lanes.h"

#include <math.h>

/* gelu(x) = x - x/2 erfc(t) or, for negative x, x/2 erfc(t) with t = |x| / sqrt 2: no cancellation at either end.
 * erfc(t) = s P(s) e^(-t^2), s = 1 / (1 + 0.4 t); P was fitted on 0 <= t <= 10 with relative error 8e-9. */
INLINE Floats
gelu_16(Floats x)
{
    static const float fit[] = {-0.02960103191f, 0.1980493516f, -0.4988959432f, 0.5475473403f,
                                -0.2844590545f,  0.2721153796f, 0.129662782f,   0.2149226665f,
                                0.2249515951f,   0.2257069349f};
    Floats size = size_of(x), t = mul(size, all(0.70710678f));
    Floats s = divide(all(1), muladd(t, all(0.4f), all(1))), p = all(fit[0]);

    UNROLL for (int i = 1; i < 10; i++) p = muladd(p, s, all(fit[i]));
    p = mul(mul(p, s), exp_16(negative(mul(t, t))));
    return sub(greater(x, all(0)), mul(mul(size, all(0.5f)), p));
}

INLINE Floats
silu_times_16(Floats x, Floats u)
{
    return mul(divide(x, add(all(1), exp_16(sub(all(0), x)))), u);
}

static void
gelu_lanes(float *x, int n)
{
    for (int i = 0; i < n; i += 16)
        store_up_to(x + i, n - i, gelu_16(load_up_to(x + i, n - i)));
}

static void
silu_times_lanes(float *x, const float *u, int n)
{
    for (int i = 0; i < n; i += 16)
        store_up_to(x + i, n - i,
                    silu_times_16(load_up_to(x + i, n - i), load_up_to(u + i, n - i)));
}

/* ---- norms ---- */

/* Sum of (x - mean)^power, power 1 or 2; the order depends on n only. */
INLINE float
moment(const float *x, int n, float mean, int power)
{
    Floats sums = all(0);
    float rest = 0;
    int i = 0;

    for (; i + 16 <= n; i += 16)
    {
        Floats a = sub(load(x + i), all(mean));

        sums = power == 1 ? add(sums, a) : muladd(a, a, sums);
    }
    for (; i < n; i++)
        rest += power == 1 ? x[i] - mean : (x[i] - mean) * (x[i] - mean);
    return sum_16(sums) + rest;
}

static void
layer_norm_lanes(float *y, const float *x, int cols, const float *w, const float *b, float eps)
{
    float mean = moment(x, cols, 0, 1) / (float)cols;
    float scale = 1 / sqrtf(moment(x, cols, mean, 2) / (float)cols + eps);

    for (int i = 0, n; i < cols; i += 16)
    {
        n = cols - i;
        store_up_to(y + i, n,
                    muladd(mul(sub(load_up_to(x + i, n), all(mean)), all(scale)),
                           load_up_to(w + i, n), load_up_to(b + i, n)));
    }
}

static void
rms_norm_lanes(float *y, const float *x, int cols, const float *w, float eps)
{
    float scale = 1 / sqrtf(moment(x, cols, 0, 2) / (float)cols + eps);

    for (int i = 0, n; i < cols; i += 16)
    {
        n = cols - i;
        store_up_to(y + i, n, mul(mul(load_up_to(x + i, n), all(scale)), load_up_to(w + i, n)));
    }
}

#endif

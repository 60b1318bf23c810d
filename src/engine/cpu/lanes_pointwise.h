/* lanes_pointwise.h - GELU, SiLU and the norms: pointwise.c's and norm.c's fast twins. */
#ifndef DS_LANES_POINTWISE_H
#define DS_LANES_POINTWISE_H

#include "lanes.h"

#include <math.h>

/* gelu(x) = max(x, 0) - g(|x|), g(u) = u/2 erfc(u / sqrt 2), which is less than 1e-8 from 6 on: no cancellation at either end.
 * g(u) = u d^4 P(d/3 - 1), d = 6 - u; P was fitted on 0 <= u <= 6, where g is off by 3e-8 at most. */
INLINE Floats
gelu_16(Floats x)
{
    static const float fit[] = {-1.9230439976e-05f, 7.7638533071e-05f,  1.0900210808e-05f,
                                -2.3354777895e-04f, -3.4890725317e-05f, 3.2285549342e-04f,
                                2.3103649249e-04f,  -1.5921471372e-04f, -3.9420612500e-04f,
                                -2.3333748755e-04f, 1.3178174126e-04f,  3.2313584266e-04f,
                                2.4873512176e-04f,  9.7482612619e-05f,  1.6665331265e-05f};
    Floats size = size_of(x), d = greater(sub(all(6), size), all(0)), d2 = mul(d, d);
    Floats z = muladd(d, all(1.0f / 3), all(-1)), p = all(fit[0]);

    UNROLL for (int i = 1; i < 15; i++) p = muladd(p, z, all(fit[i]));
    return sub(greater(x, all(0)), mul(mul(size, mul(d2, d2)), p));
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

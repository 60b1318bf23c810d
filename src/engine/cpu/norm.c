/* norm.c - LayerNorm (spec 4) and RMSNorm (spec 5.2), row by row. */
#include "cpu.h"

#include <math.h>

void
layer_norm_plain(float *y, const float *x, int cols, const float *w, const float *b, float eps)
{
    float mean = 0, variance = 0, scale;

    for (int i = 0; i < cols; i++)
        mean += x[i];
    mean /= (float)cols;
    for (int i = 0; i < cols; i++)
        variance += (x[i] - mean) * (x[i] - mean);
    scale = 1 / sqrtf(variance / (float)cols + eps);
    for (int i = 0; i < cols; i++)
        y[i] = (x[i] - mean) * scale * w[i] + b[i];
}

void
rms_norm_plain(float *y, const float *x, int cols, const float *w, float eps)
{
    float squares = 0, scale;

    for (int i = 0; i < cols; i++)
        squares += x[i] * x[i];
    scale = 1 / sqrtf(squares / (float)cols + eps);
    for (int i = 0; i < cols; i++)
        y[i] = x[i] * scale * w[i];
}

typedef struct NormJob
{
    const CpuKernels *kernels;
    float *y;
    const float *x, *w, *b; /* b: NULL for RMSNorm */
    int rows, cols, step;
    float eps;
} NormJob;

static void
norm_piece(void *arg, int piece, int thread)
{
    const NormJob *j = arg;
    int end = (piece + 1) * j->step < j->rows ? (piece + 1) * j->step : j->rows;

    (void)thread;
    for (int r = piece * j->step; r < end; r++)
    {
        size_t at = (size_t)r * j->cols;

        if (j->b)
            j->kernels->layer_norm(j->y + at, j->x + at, j->cols, j->w, j->b, j->eps);
        else
            j->kernels->rms_norm(j->y + at, j->x + at, j->cols, j->w, j->eps);
    }
}

static void
norm(Device *d, NormJob j)
{
    j.kernels = d->kernels;
    j.step = 65536 / j.cols + 1; /* rows worth handing out */
    device_for(d, (j.rows + j.step - 1) / j.step, 8.0 * j.rows * j.cols, norm_piece, &j);
}

void
cpu_layer_norm(Device *d, float *y, const float *x, int rows, int cols, const float *w,
               const float *b, float eps)
{
    norm(d, (NormJob){.y = y, .x = x, .w = w, .b = b, .rows = rows, .cols = cols, .eps = eps});
}

void
cpu_rms_norm(Device *d, float *y, const float *x, int rows, int cols, const float *w, float eps)
{
    norm(d, (NormJob){.y = y, .x = x, .w = w, .rows = rows, .cols = cols, .eps = eps});
}

/* linear.c - matrix products with weights, and rows of weights.
 *
 * linear_plain is the definition: one sum per output, strictly in the order of k. Weights are read as stored.
 * The operation cuts [rows, n] into pieces and lets the chosen variant do each. */
#include "cpu.h"

#include <math.h>
#include <stdlib.h>

#include "plant.h"

/* ---- the definition ---- */

/* sums[r] = w . x[r] for four rows of x, so that a weight is read once for all of them. */
static inline void
dot_4(DType dtype, const char *w, const float *x, size_t ldx, int k, float *sums)
{
    float a = 0, b = 0, c = 0, d = 0;

    for (int i = 0; i < k; i++)
    {
        float one = dtype_load(dtype, w, (uint64_t)i);

        a += one * x[i];
        b += one * x[i + ldx];
        c += one * x[i + 2 * ldx];
        d += one * x[i + 3 * ldx];
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

static inline void
dot_1(DType dtype, const char *w, const float *x, int k, float *sum)
{
    *sum = 0;
    for (int i = 0; i < k; i++)
        *sum += dtype_load(dtype, w, (uint64_t)i) * x[i];
}

/* Output n of `rows` rows, 4 or 1. */
static void
dots(const Weight *w, int n, const float *x, int ldx, int rows, float *sums)
{
    const char *row = (const char *)w->data + (size_t)n * (size_t)w->k * dtype_size(w->dtype);
    size_t ld = (size_t)ldx;

    if (w->dtype == DTYPE_BF16)
        rows == 4 ? dot_4(DTYPE_BF16, row, x, ld, w->k, sums)
                  : dot_1(DTYPE_BF16, row, x, w->k, sums);
    else if (w->dtype == DTYPE_F16)
        rows == 4 ? dot_4(DTYPE_F16, row, x, ld, w->k, sums) : dot_1(DTYPE_F16, row, x, w->k, sums);
    else
        rows == 4 ? dot_4(DTYPE_F32, row, x, ld, w->k, sums) : dot_1(DTYPE_F32, row, x, w->k, sums);
}

void
linear_plain(float *y, int ldy, const float *x, int ldx, int rows, const Weight *w, int n0, int n1,
             const float *b, Finish finish)
{
    for (int n = n0; n < n1; n++)
        for (int r = 0, together; r < rows; r += together)
        {
            float sums[4];

            together = rows - r >= 4 ? 4 : 1;
            dots(w, n, x + (size_t)r * ldx, ldx, together, sums);
            for (int i = 0; i < together; i++)
            {
                float *to = y + (size_t)(r + i) * ldy + n, sum = sums[i] + (b ? b[n] : 0);

                *to = finish == FINISH_ADD ? *to + sum : sum;
            }
        }
}

/* ---- the operation ---- */

/* A piece is long enough to be worth taking and short enough to be stopped: 8 M multiply-adds are 0.1 ms with
 * AVX2 and 16 ms plain. Small products stay whole. */
#define PIECE_MOST 8388608.0

int
piece_columns(const Device *d, int n, double macs_of_column, double all_macs)
{
    double macs = all_macs / (d->threads * 4);
    double columns;

    if (d->threads == 1)
        macs = PIECE_MOST;
    macs = macs < PIECE_LEAST ? PIECE_LEAST : macs > PIECE_MOST ? PIECE_MOST : macs;
    columns = macs / macs_of_column;
    if (columns >= n)
        return (n + 15) / 16 * 16;
    return columns < 16 ? 16 : (int)columns / 16 * 16;
}

typedef struct LinearJob
{
    Device *d;
    float *y;
    const float *x, *b;
    const Weight *w;
    int ldy, ldx, rows, columns, across;
    Finish finish;
} LinearJob;

static void
finish_gelu(const CpuKernels *c, float *x, int n)
{
    if (!PLANTED(PLANT_TANH_GELU))
        c->gelu(x, n);
    else
        for (int i = 0; i < n; i++)
            x[i] *= 0.5f * (1 + tanhf(0.79788456f * (x[i] + 0.044715f * x[i] * x[i] * x[i])));
}

static void
linear_piece(void *arg, int piece, int thread)
{
    const LinearJob *j = arg;
    int row = piece / j->across * LINEAR_ROWS, n0 = piece % j->across * j->columns;
    int rows = j->rows - row < LINEAR_ROWS ? j->rows - row : LINEAR_ROWS;
    int n1 = n0 + j->columns < j->w->n ? n0 + j->columns : j->w->n;
    float *y = j->y + (size_t)row * j->ldy;

    (void)thread;
    j->d->kernels->linear(y, j->ldy, j->x + (size_t)row * j->ldx, j->ldx, rows, j->w, n0, n1, j->b,
                          j->finish == FINISH_ADD ? FINISH_ADD : FINISH_SET);
    if (j->finish == FINISH_GELU)
        for (int r = 0; r < rows; r++)
            finish_gelu(j->d->kernels, y + (size_t)r * j->ldy + n0, n1 - n0);
}

void
cpu_linear(Device *d, float *y, int ldy, const float *x, int ldx, int rows, const Weight *w,
           const float *b, Finish finish)
{
    LinearJob j = {d, y, x, b, w, ldy, ldx, rows, 0, 0, finish};
    int strip = rows < LINEAR_ROWS ? rows : LINEAR_ROWS;

    if (rows <= 0)
        return;
    j.columns = piece_columns(d, w->n, (double)strip * w->k, (double)rows * w->n * w->k);
    j.across = (w->n + j.columns - 1) / j.columns;
    device_for(d, (rows + LINEAR_ROWS - 1) / LINEAR_ROWS * j.across, (double)rows * w->n * w->k,
               linear_piece, &j);
}

/* ---- packing ---- */

typedef struct PackJob
{
    const CpuKernels *kernels;
    Weight *w;
    int step;
} PackJob;

static void
pack_piece(void *arg, int piece, int thread)
{
    const PackJob *j = arg;
    int n0 = piece * j->step, n1 = n0 + j->step < j->w->n ? n0 + j->step : j->w->n;

    (void)thread;
    j->kernels->pack(j->w, j->w->packed, n0, n1);
}

void
cpu_pack(Device *d, Weight *w)
{
    PackJob j = {d->kernels, w, 16};

    w->packed = NULL;
    if (d->kernels->pack == NULL || d->stopped)
        return;
    w->int8 = d->int8 && w->n >= 16 && w->k <= INT8_K;
    w->packed = aligned_alloc(64, (d->kernels->packed_size(w) + 63) / 64 * 64);
    if (w->packed == NULL)
    {
        d->stopped = DS_BROKEN;
        return;
    }
    while ((double)j.step * w->k < PIECE_LEAST * 4)
        j.step *= 2;
    device_for(d, (w->n + j.step - 1) / j.step, 8.0 * w->n * w->k, pack_piece, &j);
}

void
cpu_unpack(Device *d, Weight *w)
{
    (void)d;
    free(w->packed);
    w->packed = NULL;
}

/* ---- rows ---- */

void
cpu_rows_of(Device *d, float *y, int ldy, const Weight *w, const int32_t *ids, int n)
{
    if (d->stopped)
        return;
    for (int i = 0; i < n; i++)
        for (int j = 0; ids[i] >= 0 && j < w->k; j++)
            y[(size_t)i * ldy + j] =
                dtype_load(w->dtype, w->data, (uint64_t)ids[i] * (uint64_t)w->k + j);
}

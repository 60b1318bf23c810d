/* resize.c - Pillow's bicubic with antialias on bytes, to the last bit (spec 3.5).
 *
 * Weights are made in doubles, in the reference's order of operations, and rounded to 22 fraction bits;
 * from there on everything is whole numbers, so order and width of the loops are free. The vertical pass
 * runs along rows; the horizontal one turns 16 rows into columns first, so that it too runs along memory
 * and the compiler can make vectors of both. Sharp edge: a fused multiply-add in the weights changes
 * bits, hence -ffp-contract=off. */
#include "views.h"

#include <math.h>
#include <string.h>

#define BITS  22
#define LANES 16 /* rows the horizontal pass takes at once */

typedef struct Weights
{
    int n;      /* of outputs */
    int room;   /* weights kept per output, at least the longest window */
    int *first; /* [n] first input of the window */
    int *count; /* [n] inputs in the window */
    int32_t *q; /* [n, room] */
} Weights;

static double
cubic(double x)
{
    x = fabs(x);
    if (x < 1.0)
        return (1.5 * x - 2.5) * x * x + 1;
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

static void
weigh(Weights *w, int i, int nin, double scale, double *k)
{
    double fs = scale > 1.0 ? scale : 1.0;
    double support = 2.0 * fs, inverse = 1.0 / fs, centre = (i + 0.5) * scale, sum = 0;
    int lo = (int)(centre - support + 0.5), hi = (int)(centre + support + 0.5);
    int32_t *q = w->q + (size_t)i * w->room;

    lo = lo < 0 ? 0 : lo;
    hi = hi > nin ? nin : hi;
    for (int j = 0; j < hi - lo; j++)
        sum += k[j] = cubic((j + lo - centre + 0.5) * inverse);
    for (int j = 0; j < hi - lo; j++)
    {
        double share = (sum != 0 ? k[j] / sum : k[j]) * (1 << BITS);

        q[j] = share < 0 ? (int)(-0.5 + share) : (int)(0.5 + share);
    }
    w->first[i] = lo;
    w->count[i] = hi - lo;
}

static bool
make_weights(Weights *w, int nin, int nout, Arena *arena)
{
    double scale = (double)nin / nout;
    double *k;

    w->n = nout;
    w->room = (int)ceil(2.0 * (scale > 1.0 ? scale : 1.0)) * 2 + 1;
    w->first = arena_array(arena, (size_t)nout, sizeof(int));
    w->count = arena_array(arena, (size_t)nout, sizeof(int));
    w->q = arena_array(arena, (size_t)nout * w->room, sizeof(int32_t));
    k = arena_array(arena, (size_t)w->room, sizeof(double));
    if (!w->first || !w->count || !w->q || !k)
        return false;
    for (int i = 0; i < nout; i++)
        weigh(w, i, nin, scale, k);
    return true;
}

static inline uint8_t
to_byte(int32_t sum)
{
    sum >>= BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* in: LANES rows of `stride` bytes, fewer at the end; out: [stride, LANES] */
static void
to_columns(const uint8_t *in, size_t stride, int rows, uint8_t *out)
{
    for (int r = 0; r < rows; r++)
        for (size_t x = 0; x < stride; x++)
            out[x * LANES + r] = in[r * stride + x];
}

/* in: [w * channels, LANES]; out: [rows, w->n, channels] */
static void
across_lanes(const uint8_t *in, int channels, int rows, const Weights *w, uint8_t *out)
{
    size_t stride = (size_t)w->n * channels;

    for (int i = 0; i < w->n; i++)
        for (int c = 0; c < channels; c++)
        {
            const int32_t *q = w->q + (size_t)i * w->room;
            const uint8_t *p = in + ((size_t)w->first[i] * channels + c) * LANES;
            int32_t sum[LANES];

            for (int l = 0; l < LANES; l++)
                sum[l] = 1 << (BITS - 1);
            for (int j = 0; j < w->count[i]; j++, p += (size_t)channels * LANES)
                for (int l = 0; l < LANES; l++)
                    sum[l] += p[l] * q[j];
            for (int r = 0; r < rows; r++)
                out[r * stride + (size_t)i * channels + c] = to_byte(sum[r]);
        }
}

/* in: [h, w, channels], out: [h, weights->n, channels], columns: [w * channels, LANES] of scratch */
static void
across(const uint8_t *in, int w, int h, int channels, const Weights *weights, uint8_t *columns,
       uint8_t *out)
{
    size_t stride = (size_t)w * channels;

    for (int y = 0; y < h; y += LANES)
    {
        int rows = h - y < LANES ? h - y : LANES;

        to_columns(in + y * stride, stride, rows, columns);
        across_lanes(columns, channels, rows, weights, out + (size_t)y * weights->n * channels);
    }
}

/* in: [h, stride], out: [weights->n, stride], sum: [stride] of scratch */
static void
down(const uint8_t *in, size_t stride, const Weights *weights, int32_t *restrict sum,
     uint8_t *restrict out)
{
    for (int i = 0; i < weights->n; i++, out += stride)
    {
        const int32_t *q = weights->q + (size_t)i * weights->room;
        const uint8_t *restrict row = in + weights->first[i] * stride;

        for (size_t x = 0; x < stride; x++)
            sum[x] = 1 << (BITS - 1);
        for (int j = 0; j < weights->count[i]; j++, row += stride)
            for (size_t x = 0; x < stride; x++)
                sum[x] += row[x] * q[j];
        for (size_t x = 0; x < stride; x++)
            out[x] = to_byte(sum[x]);
    }
}

static DsStatus
no_room(int out_w, int out_h, DsError *err)
{
    return ds_fail(err, DS_LIMIT, "out of memory to resize an image to %d x %d pixels", out_w,
                   out_h);
}

static DsStatus
resize_across(const uint8_t *in, int w, int h, int channels, uint8_t *out, int out_w, Arena *arena,
              DsError *err)
{
    Weights weights;
    uint8_t *columns = arena_array(arena, (size_t)w * channels, LANES);

    if (columns == NULL || !make_weights(&weights, w, out_w, arena))
        return no_room(out_w, h, err);
    across(in, w, h, channels, &weights, columns, out);
    return DS_OK;
}

static DsStatus
resize_down(const uint8_t *in, int w, int h, int channels, uint8_t *out, int out_h, Arena *arena,
            DsError *err)
{
    Weights weights;
    size_t stride = (size_t)w * channels;
    int32_t *sum = arena_array(arena, stride, sizeof *sum);

    if (sum == NULL || !make_weights(&weights, h, out_h, arena))
        return no_room(w, out_h, err);
    down(in, stride, &weights, sum, out);
    return DS_OK;
}

DsStatus
resize_bicubic(const uint8_t *in, int w, int h, int channels, uint8_t *out, int out_w, int out_h,
               Arena *arena, DsError *err)
{
    uint8_t *between;
    DsStatus st;

    if (w < 1 || h < 1 || out_w < 1 || out_h < 1)
        return ds_fail(err, DS_BAD_INPUT, "cannot resize %d x %d pixels to %d x %d", w, h, out_w,
                       out_h);
    if (w == out_w && h == out_h)
        memcpy(out, in, (size_t)w * h * channels);
    if (w == out_w)
        return h == out_h ? DS_OK : resize_down(in, w, h, channels, out, out_h, arena, err);
    if (h == out_h)
        return resize_across(in, w, h, channels, out, out_w, arena, err);
    if ((between = arena_alloc(arena, (size_t)out_w * h * channels)) == NULL)
        return no_room(out_w, out_h, err);
    if ((st = resize_across(in, w, h, channels, between, out_w, arena, err)))
        return st;
    return resize_down(between, out_w, h, channels, out, out_h, arena, err);
}

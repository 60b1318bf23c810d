/* conv.c - 3 x 3 convolutions as products with gathered neighbourhoods, and bytes to patches. Spec 3.6, 4.
 *
 * Sharp edge: maps are [h, w, channels], so a neighbourhood is nine runs of memory in the order y, x, channel;
 * the weight's columns lie in that order too. Sizes round up: (h - 1) / stride + 1. */
#include "cpu.h"
#include "plant.h"

#define CONV_BYTES (4u << 20) /* of gathered neighbourhoods at a time */

typedef struct ConvJob
{
    Device *d;
    float *y;
    const float *x;
    const Weight *weight;
    int h, w, channels, stride, out_h, out_w, rows, step, columns, across;
} ConvJob;

/* The nine neighbours of output place `at`, zeros outside of the map. to: [9 * channels]. */
static void
gather(const ConvJob *j, int at, float *to)
{
    int view = at / (j->out_h * j->out_w), y = at / j->out_w % j->out_h, x = at % j->out_w;
    const float *map = j->x + (size_t)view * j->h * j->w * j->channels;

    for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++, to += j->channels)
        {
            int sy = y * j->stride + dy, sx = x * j->stride + dx;

            if (sy < 0 || sy >= j->h || sx < 0 || sx >= j->w)
                memset(to, 0, sizeof(float) * (size_t)j->channels);
            else
                memcpy(to, map + ((size_t)sy * j->w + sx) * j->channels,
                       sizeof(float) * (size_t)j->channels);
        }
}

static void
conv_piece(void *arg, int piece, int thread)
{
    const ConvJob *j = arg;
    float *gathered = thread_scratch(j->d, thread);
    int first = piece / j->across * j->step, n0 = piece % j->across * j->columns;
    int rows = j->rows - first < j->step ? j->rows - first : j->step, k = 9 * j->channels;
    int n = j->weight->n, n1 = n0 + j->columns < n ? n0 + j->columns : n;

    for (int r = 0; r < rows; r++)
        gather(j, first + r, gathered + (size_t)r * k);
    j->d->kernels->linear(j->y + (size_t)first * n, n, gathered, k, rows, j->weight, n0, n1, NULL,
                          FINISH_SET);
}

void
cpu_conv3(Device *d, float *y, const float *x, int views, int h, int w, int channels, int stride,
          const Weight *weight)
{
    ConvJob j = {
        d, y, x, weight, h, w, channels, stride, (h - 1) / stride + 1, (w - 1) / stride + 1,
        0, 0, 0, 0};
    size_t row = sizeof(float) * 9 * (size_t)channels;

    j.rows = views * j.out_h * j.out_w;
    j.step = (int)(CONV_BYTES / row) < 1 ? 1 : (int)(CONV_BYTES / row);
    j.step = j.step > LINEAR_ROWS / 2 ? LINEAR_ROWS / 2 : j.step > j.rows ? j.rows : j.step;
    if (d->stopped || !device_scratch(d, row / sizeof(float) * (size_t)j.step))
        return;
    j.columns = piece_columns(d, weight->n, (double)j.step * weight->k,
                              (double)j.rows * weight->n * weight->k);
    j.across = (weight->n + j.columns - 1) / j.columns;
    device_for(d, (j.rows + j.step - 1) / j.step * j.across, (double)j.rows * weight->n * weight->k,
               conv_piece, &j);
}

/* ---- patches ---- */

typedef struct PatchJob
{
    float *y;
    const uint8_t *pixels;
    const float *table;
    int stride, channels, gw, ph, pw;
} PatchJob;

/* One row of patches. */
static void
patch_piece(void *arg, int gy, int thread)
{
    const PatchJob *j = arg;
    float *y = j->y + (size_t)gy * j->gw * 3 * j->ph * j->pw;

    (void)thread;
    for (int gx = 0; gx < j->gw; gx++)
        for (int c = 0; c < 3; c++)
            for (int py = 0; py < j->ph; py++)
                for (int px = 0; px < j->pw; px++)
                {
                    size_t at = ((size_t)gy * j->ph + py) * j->stride + (size_t)gx * j->pw + px;
                    int from = j->channels == 1 ? 0 : PLANTED(PLANT_BGR) ? 2 - c : c;

                    *y++ = j->table[c * 256 + j->pixels[at * j->channels + from]];
                }
}

void
cpu_patches(Device *d, float *y, const uint8_t *pixels, int stride, int channels, int gh, int gw,
            int ph, int pw, const float *table)
{
    PatchJob j = {y, pixels, table, stride, channels, gw, ph, pw};

    device_for(d, gh, 8.0 * gh * gw * 3 * ph * pw, patch_piece, &j);
}

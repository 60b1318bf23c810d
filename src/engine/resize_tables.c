/* resize_tables.c - the tables of positions, for the grid at hand: pos_embed (spec 4.1), rel_pos (4.3), rope (5.1).
 *
 * Done once per grid at load, so written for reading. Sharp edges: the bicubic filter has a = -0.5 (torch's
 * antialiased one), the other -0.75; the relative tables are interpolated linearly, not cut. */
#include <math.h>

#include "model_parts.h"
#include "plant.h"

static double
cubic(double x)
{
    double a = PLANTED(PLANT_POS_075) ? -0.75 : -0.5;

    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

/* to[i * step .. ] for i < out = the weighted sum of n entries of `cols` numbers, entries `step` apart. */
static void
resize_line(const float *from, int n, float *to, int out, size_t step, int cols)
{
    double scale = (double)n / out, fs = scale > 1 ? scale : 1;

    for (int i = 0; i < out; i++)
    {
        double c = scale * (i + 0.5), sum = 0;
        int lo = (int)(c - 2 * fs + 0.5), hi = (int)(c + 2 * fs + 0.5);
        float *y = to + (size_t)i * step;

        lo = c - 2 * fs + 0.5 < 0 ? 0 : lo;
        hi = hi > n ? n : hi;
        for (int j = lo; j < hi; j++)
            sum += cubic((j - c + 0.5) / fs);
        memset(y, 0, sizeof(float) * (size_t)cols);
        for (int j = lo; j < hi; j++)
        {
            float w = (float)(cubic((j - c + 0.5) / fs) / sum);

            for (int k = 0; k < cols; k++)
                y[k] += w * from[(size_t)j * step + k];
        }
    }
}

/* from: [h, w, width]; to: [out_h, out_w, width]; scratch: [h, out_w, width]. */
void
pos_resize(const float *from, int h, int w, float *to, int out_h, int out_w, int width,
           float *scratch)
{
    for (int y = 0; y < h; y++)
        resize_line(from + (size_t)y * w * width, w, scratch + (size_t)y * out_w * width, out_w,
                    (size_t)width, width);
    resize_line(scratch, h, to, out_h, (size_t)out_w * width, out_w * width);
}

/* from: [rows, dim]; to: [out_rows, dim]. */
void
rel_resize(const float *from, int rows, float *to, int out_rows, int dim)
{
    for (int i = 0; i < out_rows; i++)
    {
        float s = ((float)i + 0.5f) * ((float)rows / (float)out_rows) - 0.5f;
        int i0 = s > 0 ? (int)s : 0, i1 = i0 + 1 < rows ? i0 + 1 : rows - 1;
        float t = s > 0 ? s - (float)i0 : 0;

        if (PLANTED(PLANT_REL_MIDDLE))
        {
            i0 = i1 = i + (rows - out_rows) / 2;
            t = 0;
        }
        for (int d = 0; d < dim; d++)
            to[(size_t)i * dim + d] =
                (1 - t) * from[(size_t)i0 * dim + d] + t * from[(size_t)i1 * dim + d];
    }
}

void
rope_table(float *to, int positions, int dim, float theta)
{
    int half = dim / 2;

    for (int p = 0; p < positions; p++)
        for (int j = 0; j < half; j++)
        {
            float angle =
                (float)p *
                (float)(1.0 / pow(theta, 2.0 * j / dim)); /* rounded as the reference does */

            to[(size_t)p * dim + j] = (float)cos(angle);
            to[(size_t)p * dim + half + j] = (float)sin(angle);
        }
}

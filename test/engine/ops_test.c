/* ops_test.c - every operation: the plain loops against sums in double, and every variant against the plain loops,
 * on odd sizes, with guards around each output.
 *
 * Tolerances: numbers are of size 1, sums of k products differ by rounding only, about sqrt(k) * 6e-8 of their size;
 * e^x, erf and the norms add a few units in the last place. Each case states its own in units of 1e-6.
 *
 * AVX2, AVX-VNNI and AVX-512 must give the same bits: every number that one gives is counted into a mark. Products of
 * integers are besides held, to the bit, to a loop that says what they are. */
#include "../../src/engine/backend.h"

#include <math.h>

#include "check.h"

#define GUARD 32

#define SEED 88172645463325252u

static uint64_t state, mark; /* of the random numbers; of all results that `agree` saw */

static float
random_float(void) /* -1 .. 1 */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (float)(int32_t)(state >> 32) / 2147483648.0f;
}

/* n floats with guards before and after. */
static float *
buffer(size_t n)
{
    float *p = malloc((n + 2 * GUARD) * sizeof *p);

    for (size_t i = 0; i < n + 2 * GUARD; i++)
        p[i] = i < GUARD || i >= n + GUARD ? 12345.678f : random_float();
    return p + GUARD;
}

static bool
guarded(const float *p, size_t n)
{
    for (int i = 1; i <= GUARD; i++)
        if (p[-i] != 12345.678f || p[n + (size_t)i - 1] != 12345.678f)
            return false;
    return true;
}

static void
drop(float *p)
{
    free(p - GUARD);
}

static float *
copy_of(const float *p, size_t n)
{
    float *c = buffer(n);

    memcpy(c, p, n * sizeof *c);
    return c;
}

/* The largest difference, in millionths; infinite for NaN. */
static double
difference(const float *a, const float *b, size_t n)
{
    double most = 0;

    for (size_t i = 0; i < n; i++)
    {
        double d = fabs((double)a[i] - b[i]) * 1e6;

        if (!(d <= most))
            most = d >= 0 ? d : INFINITY;
    }
    return most;
}

static void
agree(const char *what, const float *got, const float *want, size_t n, double millionths)
{
    char line[160];
    double d = difference(got, want, n);

    for (size_t i = 0; i < n * sizeof *got; i++)
        mark = (mark ^ ((const uint8_t *)got)[i]) * 0x100000001b3u;
    snprintf(line, sizeof line, "%s: within %.0fe-6 (%.1f), guards whole", what, millionths, d);
    promise(line, d <= millionths && guarded(got, n));
}

typedef struct Machines
{
    const char *name;
    Device *plain, *fast;
} Machines;

/* Each of k products of 8-bit integers is off by 2e-3 or so, their sum by sqrt(k) times that, its largest of some thousands
 * by five times that. */
static double
allowed(const Machines *m, double millionths, int k)
{
    return strstr(m->name, "-int8") ? 2e4 * sqrt(k) : millionths;
}

/* ---- weights ---- */

static Weight
weight(DType dtype, int n, int k)
{
    size_t count = (size_t)n * (size_t)k;
    char *bytes = malloc(count * 4 + 1);
    Weight w = {dtype, n, k, bytes + 1, NULL}; /* unaligned, as in a file */

    for (size_t i = 0; i < count; i++)
    {
        float f = random_float();
        uint16_t h = f32_to_bf16(f);

        if (dtype == DTYPE_F16) /* normal numbers of size 2^-4 to 1 */
            h = (uint16_t)((uint16_t)(state & 0x8000) | (11 + state % 4) << 10 |
                           (state >> 20 & 1023));
        if (dtype == DTYPE_F32)
            memcpy(bytes + 1 + i * 4, &f, 4);
        else
            memcpy(bytes + 1 + i * 2, &h, 2);
    }
    return w;
}

static void
drop_weight(Device *d, Weight *w)
{
    d->ops->unpack(d, w);
    free((char *)w->data - 1);
}

/* ---- products ---- */

/* y = x w + b in double. */
static void
linear_double(float *y, const float *x, int ldx, int rows, const Weight *w, const float *b)
{
    for (int r = 0; r < rows; r++)
        for (int n = 0; n < w->n; n++)
        {
            double sum = b ? b[n] : 0;

            for (int k = 0; k < w->k; k++)
                sum += (double)x[(size_t)r * ldx + k] *
                       dtype_load(w->dtype, w->data, (uint64_t)n * w->k + (uint64_t)k);
            y[(size_t)r * w->n + n] = (float)sum;
        }
}

static void
one_linear(const Machines *m, DType dtype, int rows, int n, int k, Finish finish)
{
    static const char *const dtypes[] = {"bf16", "f16", "f32"}, *const finishes[] = {"set", "add",
                                                                                     "gelu"};
    Weight w = weight(dtype, n, k);
    int ldx = k + 3;
    size_t all = (size_t)rows * n;
    float *x = buffer((size_t)rows * ldx), *b = buffer((size_t)n), *want = buffer(all),
          *got = copy_of(want, all);
    float *exact = buffer(all);
    char what[128];

    m->plain->ops->linear(m->plain, want, n, x, ldx, rows, &w, b, finish);
    if (finish == FINISH_SET)
    {
        linear_double(exact, x, ldx, rows, &w, b);
        snprintf(what, sizeof what, "linear %s %d x %d x %d, plain against double", dtypes[dtype],
                 rows, n, k);
        agree(what, want, exact, all, 0.1 * k + 3);
    }
    m->fast->ops->pack(m->fast, &w);
    m->fast->ops->linear(m->fast, got, n, x, ldx, rows, &w, b, finish);
    snprintf(what, sizeof what, "linear %s %d x %d x %d %s, %s", dtypes[dtype], rows, n, k,
             finishes[finish], m->name);
    agree(what, got, want, all, allowed(m, 0.1 * k + 3, k));
    drop_weight(m->fast, &w);
    drop(x), drop(b), drop(want), drop(got), drop(exact);
}

static void
test_linear(const Machines *m)
{
    static const int rows[] = {1, 2, 3, 4, 5, 6, 7, 13, 97, 200};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        one_linear(m, (DType)(i % 3), rows[i], 81, 37, FINISH_SET);
    for (int rows2 = 1; rows2 < 9; rows2 += 3)
        for (int finish = FINISH_ADD; finish <= FINISH_GELU; finish++)
            one_linear(m, DTYPE_BF16, rows2, 67, 23, (Finish)finish);
    one_linear(m, DTYPE_BF16, 1, 1, 1, FINISH_SET);
    one_linear(m, DTYPE_F32, 3, 17, 1, FINISH_SET);
    one_linear(m, DTYPE_BF16, 150, 130, 129, FINISH_ADD);
}

/* A row of n numbers as integers: the greatest is 127. Returns what one is. */
static float
integers_of(const float *x, int n, int32_t *integers)
{
    float greatest = 0;

    for (int i = 0; i < n; i++)
        greatest = fmaxf(greatest, fabsf(x[i]));
    for (int i = 0; i < n; i++)
        integers[i] = greatest > 1e-30f ? (int32_t)rintf(127 / greatest * x[i]) : 0;
    return greatest > 1e-30f ? greatest / 127 : 0;
}

/* Products of integers, in so many words: a row of w has one scale, x has one for each block. */
static void
linear_integers(float *y, const float *x, int ldx, int rows, const Weight *w, const float *b,
                int block)
{
    int32_t *xs = malloc(sizeof *xs * (size_t)w->k), *ws = malloc(sizeof *ws * (size_t)w->k);
    float *row = malloc(sizeof *row * (size_t)w->k);

    for (int n = 0; n < w->n; n++)
    {
        float scale;

        for (int i = 0; i < w->k; i++)
            row[i] = dtype_load(w->dtype, w->data, (uint64_t)n * w->k + (uint64_t)i);
        scale = integers_of(row, w->k, ws);
        for (int r = 0; r < rows; r++)
        {
            float sum = 0;

            for (int from = 0; from < w->k; from += block)
            {
                int count = w->k - from < block ? w->k - from : block;
                float one = integers_of(x + (size_t)r * ldx + from, count, xs);
                int32_t exact = 0;

                for (int i = 0; i < count; i++)
                    exact += xs[i] * ws[from + i];
                sum = (float)exact * one + sum;
            }
            y[(size_t)r * w->n + n] = sum * scale + b[n];
        }
    }
    free(xs), free(ws), free(row);
}

/* To the bit. x has blocks of zeros, one in all rows, and a row that is nothing else. */
static void
one_integer_linear(const Machines *m, int rows, int n, int k, int block)
{
    Weight w = weight(DTYPE_BF16, n, k);
    size_t all = (size_t)rows * n;
    float *x = buffer((size_t)rows * k), *b = buffer((size_t)n), *want = buffer(all),
          *got = buffer(all);
    char what[96];

    for (int i = 0; i < rows * k; i++)
        x[i] =
            i % k / block == 1 || (i / k + i % k / block) % 7 == 3 || i / k == rows / 2 ? 0 : x[i];
    linear_integers(want, x, k, rows, &w, b, block);
    m->fast->ops->pack(m->fast, &w);
    m->fast->ops->linear(m->fast, got, n, x, k, rows, &w, b, FINISH_SET);
    snprintf(what, sizeof what, "linear of integers %d x %d x %d, %s, by the loop", rows, n, k,
             m->name);
    agree(what, got, want, all, 0);
    drop_weight(m->fast, &w);
    drop(x), drop(b), drop(want), drop(got);
}

static void
test_integers(const Machines *m)
{
    if (strstr(m->name, "-int8") == NULL)
        return;
    one_integer_linear(m, 3, 16, 5, 5);
    one_integer_linear(m, 20, 81, 129, 129);
    one_integer_linear(m, 99, 33, 192, 192);
    one_integer_linear(m, 17, 130, 512, 512);
    one_integer_linear(m, 13, 96, 864, 96);
    one_integer_linear(m, 11, 48, 1152, 128);
    one_integer_linear(m, 7, 64, 2047, 128);
}

/* Numbers of one size and sign are the largest sum that integers can come to; zeros are left out, and one number
 * among them is not. */
static void
test_extremes(const Machines *m)
{
    static const float values[] = {1, -1, 0};
    Weight w = weight(DTYPE_F32, 16, 300);
    float x[3 * 300], y[3 * 16], one = 1;
    bool ok = true;

    for (size_t i = 0; i < 16 * 300; i++)
        memcpy((char *)w.data + i * 4, &one, 4);
    for (size_t i = 0; i < 3 * 300; i++)
        x[i] = values[i / 300];
    x[2 * 300 + 299] = 0.5f;
    m->fast->ops->pack(m->fast, &w);
    m->fast->ops->linear(m->fast, y, 16, x, 300, 3, &w, NULL, FINISH_SET);
    for (int i = 0; i < 16; i++)
        ok &= fabsf(y[i] - 300) < 0.2f && fabsf(y[16 + i] + 300) < 0.2f &&
              fabsf(y[32 + i] - 0.5f) < 1e-3f;
    promise("sums of 300 equal numbers are 300, -300 and, with zeros, the one", ok);
    drop_weight(m->fast, &w);
}

static void
conv_double(float *y, const float *x, int views, int h, int w, int c, int stride, const Weight *k)
{
    int oh = (h - 1) / stride + 1, ow = (w - 1) / stride + 1;

    for (int at = 0; at < views * oh * ow; at++)
        for (int o = 0; o < k->n; o++)
        {
            double sum = 0;

            for (int i = 0; i < 9 * c; i++)
            {
                int sy = at / ow % oh * stride + i / c / 3 - 1,
                    sx = at % ow * stride + i / c % 3 - 1;

                if (sy >= 0 && sy < h && sx >= 0 && sx < w)
                    sum += (double)x[((size_t)(at / (oh * ow)) * h * w + (size_t)sy * w + sx) * c +
                                     i % c] *
                           dtype_load(k->dtype, k->data, (uint64_t)o * 9 * c + (uint64_t)i);
            }
            y[(size_t)at * k->n + o] = (float)sum;
        }
}

static void
test_conv(const Machines *m)
{
    for (int stride = 1; stride <= 2; stride++)
    {
        int views = 3, h = 5, w = 7, c = 11, oh = (h - 1) / stride + 1, ow = (w - 1) / stride + 1;
        Weight k = weight(DTYPE_BF16, 19, 9 * c);
        size_t all = (size_t)views * oh * ow * 19;
        float *x = buffer((size_t)views * h * w * c), *want = buffer(all), *got = buffer(all),
              *exact = buffer(all);

        m->plain->ops->conv3(m->plain, want, x, views, h, w, c, stride, &k);
        conv_double(exact, x, views, h, w, c, stride, &k);
        agree(stride == 1 ? "conv3 stride 1, plain against double"
                          : "conv3 stride 2, plain against double",
              want, exact, all, 100);
        m->fast->ops->pack(m->fast, &k);
        m->fast->ops->conv3(m->fast, got, x, views, h, w, c, stride, &k);
        agree(stride == 1 ? "conv3 stride 1" : "conv3 stride 2", got, want, all,
              allowed(m, 100, k.k));
        drop_weight(m->fast, &k);
        drop(x), drop(want), drop(got), drop(exact);
    }
}

/* ---- norms and pointwise ---- */

static void
test_norms(const Machines *m)
{
    static const int sizes[] = {1, 5, 8, 31, 48, 100};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    {
        int cols = sizes[i], rows = 7;
        size_t all = (size_t)rows * cols;
        float *x = buffer(all), *w = buffer((size_t)cols), *b = buffer((size_t)cols);
        float *want = buffer(all), *got = buffer(all);
        char what[64];

        m->plain->ops->layer_norm(m->plain, want, x, rows, cols, w, b, 1e-6f);
        m->fast->ops->layer_norm(m->fast, got, x, rows, cols, w, b, 1e-6f);
        snprintf(what, sizeof what, "layer_norm of %d", cols);
        agree(what, got, want, all, 5);
        m->plain->ops->rms_norm(m->plain, want, x, rows, cols, w, 1e-6f);
        m->fast->ops->rms_norm(m->fast, got, x, rows, cols, w, 1e-6f);
        snprintf(what, sizeof what, "rms_norm of %d", cols);
        agree(what, got, want, all, 5);
        drop(x), drop(w), drop(b), drop(want), drop(got);
    }
}

/* GELU by way of a product with 1: from -12 to 12 against erf in double, relative to its size. */
static void
test_gelu(const Machines *m)
{
    float one = 1, x[4096], y[4096];
    Weight w = {DTYPE_F32, 1, 1, &one, NULL};
    double most = 0;
    char what[96];

    for (int i = 0; i < 4096; i++)
        x[i] = (float)(i - 2048) / 170.6f;
    m->fast->ops->pack(m->fast, &w);
    m->fast->ops->linear(m->fast, y, 1, x, 1, 4096, &w, NULL, FINISH_GELU);
    m->fast->ops->unpack(m->fast, &w);
    for (int i = 0; i < 4096; i++)
    {
        double want = 0.5 * (double)x[i] * erfc(-(double)x[i] / sqrt(2)), d = fabs(y[i] - want);

        most = d / fmax(fabs(want), 0.1) > most ? d / fmax(fabs(want), 0.1) : most;
    }
    snprintf(what, sizeof what, "gelu, %s: within 1e-6 of erf in double (%.2g)", m->name, most);
    promise(what, most <= 1e-6);
}

static void
test_rope(const Machines *m)
{
    int rows = 5, heads = 3, dim = 10, ld = 33;
    int32_t positions[5] = {0, 3, 1, 7, 2};
    size_t all = (size_t)rows * ld;
    float *table = buffer(8 * 10), *x = buffer(all), *got = copy_of(x, all),
          *want = copy_of(x, all);

    for (int r = 0; r < rows; r++)
        for (int h = 0; h < heads; h++)
            for (int j = 0; j < dim / 2; j++)
            {
                const float *t = table + positions[r] * dim;
                size_t at = (size_t)r * ld + (size_t)(h * dim + j);

                want[at] = (float)((double)x[at] * t[j] - (double)x[at + 5] * t[5 + j]);
                want[at + 5] = (float)((double)x[at + 5] * t[j] + (double)x[at] * t[5 + j]);
            }
    m->fast->ops->rope(m->fast, got, ld, rows, heads, dim, positions, table);
    agree("rope turns halves, and touches nothing between rows", got, want, all, 1);
    drop(table), drop(x), drop(got), drop(want);
}

/* ---- attention ---- */

typedef struct Attention
{
    const char *what;
    int heads, kv_heads, dim, keys, rows, grid_h, grid_w;
    bool causal, padded;
    int prefix, first;
} Attention;

static const Attention attentions[] = {
    {"attend: one query, one key", 1, 1, 4, 1, 1, 0, 0, false, false, 0, 0},
    {"attend: everything seen, odd sizes", 3, 3, 20, 37, 29, 0, 0, false, false, 0, 0},
    {"attend: window of 5 x 3 with padding", 2, 2, 24, 15, 15, 5, 3, false, true, 0, 0},
    {"attend: window of 2 x 12", 4, 4, 32, 24, 24, 2, 12, false, true, 0, 0},
    {"attend: grid of 7 x 9", 2, 2, 16, 63, 63, 7, 9, false, false, 0, 0},
    {"attend: grid of 3 x 17", 2, 2, 6, 51, 51, 3, 17, false, false, 0, 0},
    {"attend: causal from the start, grouped heads", 6, 2, 32, 33, 33, 0, 0, true, false, 0, 0},
    {"attend: image rows and queries", 4, 2, 16, 50, 50, 0, 0, true, false, 25, 0},
    {"attend: only the queries", 4, 2, 16, 50, 25, 0, 0, true, false, 25, 25},
    {"attend: one query deep in the past", 5, 5, 64, 601, 1, 0, 0, true, false, 0, 600},
    {"attend: one query of an even number of heads", 6, 2, 32, 77, 1, 0, 0, true, false, 0, 76},
    {"attend: more keys than a block", 1, 1, 128, 1100, 14, 0, 0, true, false, 0, 1086},
};

/* The definition once more, in double, from rows and not from panels. */
static void
attend_double(const Attention *a, const AttendJob *job, const float *k, const float *v,
              const int32_t *places, const float *rel_h, const float *rel_w, float *out)
{
    int group = a->heads / a->kv_heads, ld = a->kv_heads * a->dim;

    for (int i = 0; i < a->rows * a->heads; i++)
    {
        int row = i / a->heads, head = i % a->heads, at = places ? places[row] : row,
            sees = a->keys;
        double weights[1200], sum = 0, most = -INFINITY;
        const float *q = job->q + (size_t)at * job->ldq + (size_t)head * a->dim;

        if (at < 0)
            continue;
        if (a->causal)
            sees = a->first + row + 1 > a->prefix ? a->first + row + 1 : a->prefix;
        for (int j = 0; j < sees; j++)
        {
            weights[j] = 0;
            for (int d = 0; d < a->dim; d++)
            {
                double one = q[d];

                weights[j] +=
                    one * k[(size_t)j * ld + (size_t)(head / group) * a->dim + d] * job->scale;
                if (a->grid_h)
                    weights[j] +=
                        one *
                            rel_h[(row / a->grid_w - j / a->grid_w + a->grid_h - 1) * a->dim + d] +
                        one * rel_w[(row % a->grid_w - j % a->grid_w + a->grid_w - 1) * a->dim + d];
            }
            most = weights[j] > most ? weights[j] : most;
        }
        for (int j = 0; j < sees; j++)
            sum += weights[j] = exp(weights[j] - most);
        for (int d = 0; d < a->dim; d++)
        {
            double y = 0;

            for (int j = 0; j < sees; j++)
                y += weights[j] / sum * v[(size_t)j * ld + (size_t)(head / group) * a->dim + d];
            out[(size_t)at * job->ldo + (size_t)head * a->dim + d] = (float)y;
        }
    }
}

static float *
reversed_panels(const float *table, int rows, int dim)
{
    float *p = buffer((size_t)keys_room(rows) * dim);

    for (int r = 0; r < rows; r++)
        for (int d = 0; d < dim; d++)
            p[key_at(dim, rows - 1 - r, d)] = table[(size_t)r * dim + d];
    return p;
}

static void
one_attention(const Machines *m, const Attention *a)
{
    int kv = a->kv_heads * a->dim, wide = a->heads * a->dim, room = keys_room(a->keys);
    int rows_h = a->grid_h ? 2 * a->grid_h - 1 : 1, rows_w = a->grid_h ? 2 * a->grid_w - 1 : 1;
    size_t all = (size_t)a->rows * wide;
    float *k = buffer((size_t)a->keys * kv), *v = buffer((size_t)a->keys * kv), *q = buffer(all);
    float *panels = buffer((size_t)room * kv), *values = buffer((size_t)room * kv);
    float *fast_panels = copy_of(panels, (size_t)room * kv);
    float *want = buffer(all), *got = copy_of(want, all), *exact = copy_of(want, all);
    float *rel_h = buffer((size_t)rows_h * a->dim), *rel_w = buffer((size_t)rows_w * a->dim);
    float *rev_h = reversed_panels(rel_h, rows_h, a->dim),
          *rev_w = reversed_panels(rel_w, rows_w, a->dim);
    Grid grid = {a->grid_h, a->grid_w, rev_h, rev_w};
    int32_t places[64];
    KeepJob keep = {
        .to = {panels, values, a->kv_heads, a->dim, room}, .n = a->keys, .k = k, .v = v, .ld = kv};
    AttendJob job = {.from = keep.to,
                     .keys = a->keys,
                     .q = q,
                     .ldq = wide,
                     .ldo = wide,
                     .rows = a->rows,
                     .heads = a->heads,
                     .causal = a->causal,
                     .prefix = a->prefix,
                     .first = a->first,
                     .scale = 1 / sqrtf((float)a->dim),
                     .grid = a->grid_h ? &grid : NULL};
    char what[128];

    for (int i = 0; a->padded && i < a->rows;
         i++) /* every fifth is padding, without a place in q and out */
        places[i] = i % 5 == 4 ? -1 : i;
    job.places = a->padded ? places : NULL;
    keep.to.k = fast_panels;
    m->fast->ops->keep(m->fast, &keep, 1);
    keep.to.k = panels;
    m->plain->ops->keep(m->plain, &keep, 1);
    promise("  keys are kept as the plain loops keep them",
            memcmp(panels, fast_panels, sizeof(float) * (size_t)room * kv) == 0);
    job.out = want;
    m->plain->ops->attend(m->plain, &job, 1);
    attend_double(a, &job, k, v, job.places, rel_h, rel_w, exact);
    snprintf(what, sizeof what, "%s, plain against double", a->what);
    agree(what, want, exact, all, 6);
    job.out = got;
    m->fast->ops->attend(m->fast, &job, 1);
    agree(a->what, got, want, all, 6);
    promise("  keys and values stay within their room",
            guarded(panels, (size_t)room * kv) && guarded(values, (size_t)room * kv) &&
                guarded(fast_panels, (size_t)room * kv));
    drop(fast_panels), drop(k), drop(v), drop(q), drop(panels), drop(values), drop(want), drop(got),
        drop(exact);
    drop(rel_h), drop(rel_w), drop(rev_h), drop(rev_w);
}

/* Padding is kept as `pad`; other rows as places say. */
static void
test_keep(const Machines *m)
{
    float k[3 * 4], v[3 * 4], pad_k[4] = {9, 8, 7, 6}, pad_v[4] = {5, 4, 3, 2};
    float *panels = buffer(16 * 4), *values = buffer(16 * 4);
    int32_t places[3] = {2, -1, 0};
    KeepJob job = {{panels, values, 2, 2, 16}, 5, 3, k, v, 4, places, pad_k, pad_v};
    bool ok = true;

    for (int i = 0; i < 12; i++)
    {
        k[i] = (float)i;
        v[i] = (float)-i;
    }
    m->fast->ops->keep(m->fast, &job, 1);
    for (int i = 0; i < 3; i++)
        for (int c = 0; c < 4; c++)
        {
            float want_k = places[i] < 0 ? pad_k[c] : k[places[i] * 4 + c];
            float want_v = places[i] < 0 ? pad_v[c] : v[places[i] * 4 + c];

            ok &= panels[c / 2 * 32 + (int)key_at(2, 5 + i, c % 2)] == want_k;
            ok &= values[c / 2 * 32 + (5 + i) * 2 + c % 2] == want_v;
        }
    promise("keep: rows go where they are put, padding is the pad",
            ok && guarded(panels, 64) && guarded(values, 64));
    drop(panels), drop(values);
}

/* ---- feed-forward and experts ---- */

#define EXPERTS 5
#define HIDDEN  22
#define WIDTH   35

static Mlp
mlp(int hidden, int width)
{
    return (Mlp){weight(DTYPE_BF16, width, hidden), weight(DTYPE_BF16, width, hidden),
                 weight(DTYPE_BF16, hidden, width)};
}

static void
pack_mlp(Device *d, Mlp *m)
{
    d->ops->pack(d, &m->gate);
    d->ops->pack(d, &m->up);
    d->ops->pack(d, &m->down);
}

static void
drop_mlp(Device *d, Mlp *m)
{
    drop_weight(d, &m->gate);
    drop_weight(d, &m->up);
    drop_weight(d, &m->down);
}

/* y += scale * down(silu(gate x) (up x)) of one row, in double. */
static void
mlp_double(float *y, const float *x, const Mlp *m, double scale)
{
    double h[WIDTH];

    for (int i = 0; i < m->gate.n; i++)
    {
        double gate = 0, up = 0;

        for (int k = 0; k < m->gate.k; k++)
        {
            gate += (double)x[k] *
                    dtype_load(m->gate.dtype, m->gate.data, (uint64_t)(i * m->gate.k + k));
            up += (double)x[k] * dtype_load(m->up.dtype, m->up.data, (uint64_t)(i * m->gate.k + k));
        }
        h[i] = gate / (1 + exp(-gate)) * up;
    }
    for (int o = 0; o < m->down.n; o++)
    {
        double sum = 0;

        for (int k = 0; k < m->down.k; k++)
            sum += h[k] * dtype_load(m->down.dtype, m->down.data, (uint64_t)(o * m->down.k + k));
        y[o] = (float)(y[o] + scale * sum);
    }
}

static void
one_experts(const Machines *m, int rows)
{
    Mlp experts[EXPERTS];
    Weight router = weight(DTYPE_BF16, EXPERTS, HIDDEN);
    size_t all = (size_t)rows * HIDDEN, scratch = experts_scratch(rows, 2, HIDDEN, WIDTH);
    float *x = buffer(all), *got = buffer(all), *want = copy_of(got, all),
          *logits = buffer((size_t)rows * EXPERTS);
    float *weights = buffer((size_t)rows * 2), *room = buffer(scratch);
    int32_t *ids = calloc((size_t)rows * 2, sizeof *ids);
    char what[96];

    for (int e = 0; e < EXPERTS; e++)
        experts[e] = mlp(HIDDEN, WIDTH);
    m->fast->ops->pack(m->fast, &router);
    m->fast->ops->route(m->fast, ids, weights, logits, x, rows, 2, &router, false, 1);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2; c++)
            mlp_double(want + (size_t)r * HIDDEN, x + (size_t)r * HIDDEN, &experts[ids[r * 2 + c]],
                       weights[r * 2 + c]);
    for (int e = 0; e < EXPERTS; e++)
        pack_mlp(m->fast, &experts[e]);
    m->fast->ops->experts(m->fast, got, x, rows, 2, ids, weights, experts, EXPERTS, room);
    snprintf(what, sizeof what, "experts of %d rows, against double", rows);
    agree(what, got, want, all, allowed(m, 60, 36 * (HIDDEN + WIDTH)));
    promise("  their scratch is as large as experts_scratch says", guarded(room, scratch));
    for (int e = 0; e < EXPERTS; e++)
        drop_mlp(m->fast, &experts[e]);
    drop_weight(m->fast, &router);
    drop(x), drop(got), drop(want), drop(logits), drop(weights), drop(room);
    free(ids);
}

static void
test_mlp(const Machines *m)
{
    for (int rows = 1; rows < 120; rows += 53)
    {
        Mlp one = mlp(HIDDEN, WIDTH);
        size_t all = (size_t)rows * HIDDEN;
        float *x = buffer(all), *got = buffer(all), *want = copy_of(got, all),
              *h = buffer((size_t)rows * WIDTH);

        for (int r = 0; r < rows; r++)
            mlp_double(want + (size_t)r * HIDDEN, x + (size_t)r * HIDDEN, &one, 1);
        pack_mlp(m->fast, &one);
        m->fast->ops->mlp(m->fast, got, h, x, rows, &one);
        agree("mlp, against double", got, want, all, allowed(m, 60, 36 * (HIDDEN + WIDTH)));
        promise("  its scratch stays whole", guarded(h, (size_t)rows * WIDTH));
        drop_mlp(m->fast, &one);
        drop(x), drop(got), drop(want), drop(h);
    }
}

/* A router whose logits are the inputs. */
static void
test_route(const Machines *m)
{
    static const float eye[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
    static const float x[8] = {1, 3, 3, 2, 0, 0, 0, 0};
    double sum = exp(1) + 2 * exp(3) + exp(2);
    Weight w = {DTYPE_F32, 4, 4, eye, NULL};
    float logits[8], weights[6];
    int32_t ids[6];

    m->fast->ops->pack(m->fast, &w);
    m->fast->ops->route(m->fast, ids, weights, logits, x, 2, 3, &w, false, 1);
    promise("route: the largest, ascending by id", ids[0] == 1 && ids[1] == 2 && ids[2] == 3);
    promise("route: ties go to the lower id", ids[3] == 0 && ids[4] == 1 && ids[5] == 2);
    promise("route: weights are probabilities, not made to sum to one",
            close_to(weights[0], exp(3) / sum, 1e-6) && close_to(weights[2], exp(2) / sum, 1e-6));
    m->fast->ops->route(m->fast, ids, weights, logits, x, 2, 3, &w, true, 2);
    promise("route: unless asked for, and scaled",
            close_to(weights[0] + weights[1] + weights[2], 2, 1e-5));
    m->fast->ops->unpack(m->fast, &w);
}

/* ---- the rest ---- */

static void
test_rows(const Machines *m)
{
    Weight w = weight(DTYPE_BF16, 9, 5);
    int32_t ids[4] = {8, -1, 0, 3};
    float *y = buffer(4 * 5), *before = copy_of(y, 20), *x = buffer(2 * 3 * 4),
          *was = copy_of(x, 24);
    float *table = buffer(12);
    bool ok = true;

    m->fast->ops->rows_of(m->fast, y, 5, &w, ids, 4);
    for (int i = 0; i < 20; i++)
        ok &= y[i] == (ids[i / 5] < 0
                           ? before[i]
                           : dtype_load(w.dtype, w.data, (uint64_t)(ids[i / 5] * 5 + i % 5)));
    promise("rows_of: rows by id, a negative id leaves the row alone", ok && guarded(y, 20));
    m->fast->ops->add_rows(m->fast, x, 2, 3, 4, table);
    for (int i = 0; i < 24; i++)
        ok &= x[i] == was[i] + table[i % 12];
    promise("add_rows: the same rows to every view", ok && guarded(x, 24));
    drop_weight(m->fast, &w);
    drop(y), drop(before), drop(x), drop(was), drop(table);
}

static void
test_patches(const Machines *m)
{
    uint8_t rgb[4 * 6 * 3], grey[4 * 6];
    float *table = buffer(768), *y = buffer(4 * 3 * 6), *z = buffer(4 * 3 * 6);
    bool ok = true, same = true;

    for (int i = 0; i < 72; i++)
        rgb[i] = (uint8_t)(i * 37);
    for (int i = 0; i < 24; i++)
        grey[i] = (uint8_t)(i * 11);
    m->fast->ops->patches(m->fast, y, rgb, 6, 3, 2, 2, 2, 3, table);
    m->fast->ops->patches(m->fast, z, grey, 6, 1, 2, 2, 2, 3, table);
    for (int p = 0, i = 0; p < 4; p++)
        for (int c = 0; c < 3; c++)
            for (int e = 0; e < 6; e++, i++)
            {
                int at = (p / 2 * 2 + e / 3) * 6 + p % 2 * 3 + e % 3;

                ok &= y[i] == table[c * 256 + rgb[at * 3 + c]];
                same &= z[i] == table[c * 256 + grey[at]];
            }
    promise("patches: channel, row, column; grey stands for three",
            ok && same && guarded(y, 72) && guarded(z, 72));
    m->fast->ops->patches(m->fast, z, grey, 6, 1, 2, 1, 2, 3, table);
    for (int i = 0; i < 36; i++)
    {
        int e = i % 6, at = (i / 18 * 2 + e / 3) * 6 + e % 3;

        same &= z[i] == table[i / 6 % 3 * 256 + grey[at]];
    }
    promise("patches: a part of the pixels' width", same && guarded(z, 72));
    drop(table), drop(y), drop(z);
}

static int
count_and_stop(void *calls)
{
    return ++*(int *)calls == 3;
}

/* On the plain loops a long product is some seconds: it must be left at the third tick, well within one. */
static void
test_tick(const Machines *m)
{
    Weight w = weight(DTYPE_BF16, 2000, 1000);
    float *x = buffer(600 * 1000), *y = buffer(600 * 2000);
    int calls = 0;
    DsError err;

    m->plain->tick = count_and_stop;
    m->plain->tick_arg = &calls;
    m->plain->ops->linear(m->plain, y, 2000, x, 1000, 600, &w, NULL, FINISH_SET);
    promise("a stop is heeded between pieces, and stays",
            calls == 3 && device_status(m->plain, &err) == DS_CANCELLED);
    y[0] = 4;
    m->plain->ops->linear(m->plain, y, 2000, x, 1000, 1, &w, NULL, FINISH_SET);
    promise("then operations do nothing", y[0] == 4 && calls == 3);
    m->plain->tick = NULL;
    device_begin(m->plain);
    promise("until it is begun anew", device_status(m->plain, &err) == DS_OK);
    drop_weight(m->plain, &w);
    drop(x), drop(y);
}

/* What the environment pins, and that a name given wins. */
static void
test_pinned(void)
{
    Device *d;
    DsError err;

    setenv("DSOCR_CPU", "generic", 1);
    if (promise("DSOCR_CPU=generic opens", device_open(NULL, 1, NULL, NULL, &d, &err) == DS_OK))
    {
        promise("DSOCR_CPU pins auto", strcmp(device_name(d), "generic") == 0);
        device_close(d);
    }
    setenv("DSOCR_CPU", "abacus", 1);
    promise("an unknown one is refused by name",
            device_open("auto", 1, NULL, NULL, &d, &err) == DS_UNSUPPORTED &&
                strstr(err.message, "abacus"));
    if (promise("a backend that was asked for is not pinned",
                device_open("generic", 1, NULL, NULL, &d, &err) == DS_OK))
        device_close(d);
    unsetenv("DSOCR_CPU");
}

/* Everything, from the same numbers for each; false where the processor lacks it. */
static bool
test_backend(const char *name)
{
    Machines m = {name, NULL, NULL};
    DsError err;

    state = SEED;
    mark = 0;
    if (device_open(name, 3, NULL, NULL, &m.fast, &err) != DS_OK)
    {
        skipped(name, err.detail);
        return false;
    }
    promise("the device says what it is",
            device_open("generic", 2, NULL, NULL, &m.plain, &err) == DS_OK &&
                strcmp(device_name(m.fast), name) == 0);
    test_linear(&m);
    test_integers(&m);
    test_extremes(&m);
    test_conv(&m);
    test_norms(&m);
    test_gelu(&m);
    test_rope(&m);
    for (size_t a = 0; a < sizeof attentions / sizeof *attentions; a++)
        one_attention(&m, &attentions[a]);
    test_keep(&m);
    test_mlp(&m);
    one_experts(&m, 1);
    one_experts(&m, 2);
    one_experts(&m, 301);
    test_route(&m);
    test_rows(&m);
    test_patches(&m);
    test_tick(&m);
    device_close(m.fast);
    device_close(m.plain);
    return true;
}

int
main(void)
{
    static const char *const names[] = {"avx2",      "avxvnni",      "avx512",
                                        "avx2-int8", "avxvnni-int8", "avx512-int8"};
    uint64_t first = 0;
    char what[64];
    DsError err;

    test_backend("generic");
    for (int i = 0; i < 6; i++)
    {
        if (!test_backend(names[i]))
            continue;
        if (i % 3 == 0)
            first = mark;
        snprintf(what, sizeof what, "%s and %s: the same bits", names[i / 3 * 3], names[i]);
        promise(what, mark == first);
    }
    promise("an unknown backend is refused",
            device_open("abacus", 1, NULL, NULL, &(Device *){NULL}, &err) == DS_UNSUPPORTED);
    test_pinned();
    return report();
}

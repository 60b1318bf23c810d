/* lanes_attend.h - attention: attend.c's fast twin.
 *
 * A strip of up to twelve queries of one head: scores against panels of 16 keys, softmax row by row, then the
 * values, keys in blocks that stay in the caches. Sharp edge: rows of a strip may see different numbers of keys;
 * what a row does not see weighs exactly zero, so the strip's company does not change its bits. */
#ifndef DS_LANES_ATTEND_H
#define DS_LANES_ATTEND_H

#include "lanes.h"

#include <math.h>

#define KEY_BLOCK 512

typedef struct Strip
{
    const AttendJob *job;
    int n, dim, most, ld; /* rows, dimensions, keys seen by any row, from row to row of scores */
    const float *q[STRIP];
    float *out[STRIP];
    int sees[STRIP], place[STRIP];
    float *scores; /* [STRIP, ld] */
    float *rel;    /* [STRIP, room of 2h-1], then the same for w */
} Strip;

/* ---- products with f32 panels and with values ---- */

/* What a tile of this file works on. */
typedef struct Cut
{
    const float *const *x; /* [mr] rows */
    const float *panel;
    size_t apart, step; /* floats between panels, and between one k and the next */
    int k;
    float *const *y; /* [mr] */
    bool one_panel;
    bool go_on;  /* add to y */
    float scale; /* of the sums */
} Cut;

INLINE void
cut_product(int mr, int np, const Cut *s)
{
    Floats acc[ROWS_MOST][PANELS_MOST];
    const float *x[ROWS_MOST];

    UNROLL for (int m = 0; m < mr; m++)
    {
        x[m] = s->x[m];
        UNROLL for (int p = 0; p < np; p++) acc[m][p] = s->go_on ? load(s->y[m] + 16 * p) : all(0);
    }
    tile(mr, np, FORM_F32, acc, x, s->panel, s->apart, s->step, s->k);
    UNROLL for (int m = 0; m < mr; m++) UNROLL for (int p = 0; p < np; p++)
        store(s->y[m] + 16 * p, mul(acc[m][p], all(s->scale)));
}

/* Tiles as of the products with weights. One row takes what panels there are: a single chain would wait for each sum. */
#define CUT(mr, np)                                                                                \
    static void cut_##mr(const Cut *s)                                                             \
    {                                                                                              \
        if (s->one_panel)                                                                          \
            cut_product(mr, 1, s);                                                                 \
        else                                                                                       \
            cut_product(mr, np, s);                                                                \
    }
#define CUT_AT(mr, np) [mr] = cut_##mr,

#define CUT_ROW(np)                                                                                \
    static void cut_row_##np(const Cut *s)                                                         \
    {                                                                                              \
        cut_product(1, np, s);                                                                     \
    }

TILES(CUT)
CUT_ROW(1)
CUT_ROW(2)
CUT_ROW(3)
CUT_ROW(4)

static void (*const cuts[])(const Cut *) = {TILES(CUT_AT)};
static void (*const row_cuts[])(const Cut *) = {0, cut_row_1, cut_row_2, cut_row_3, cut_row_4};

/* y[row][0 .. 16 panels) for all rows; panels follow each other `apart` floats apart. */
static void
rows_by_panels(const float *const *x, float *const *y, int rows, const float *panel, size_t apart,
               size_t step, int k, int panels, float scale, bool go_on)
{
    int together =
        rows == 1 ? 4 : panels_for(rows_for(rows)); /* a strip's tiles are alike, or take one */
    float *to[STRIP];

    for (int p = 0, np; p < panels; p += np)
    {
        np = panels - p >= together ? together : rows == 1 ? panels - p : 1;
        for (int r = 0, mr; r < rows; r += mr)
        {
            Cut s = {x + r, panel + (size_t)p * apart, apart, step, k, to, np == 1, go_on, scale};

            mr = rows_for(rows - r);
            for (int m = 0; m < mr; m++)
                to[m] = y[r + m] + 16 * p;
            (rows == 1 ? row_cuts[np] : cuts[mr])(&s);
        }
    }
}

/* ---- scores ---- */

/* s[i] += a + t[i] */
static void
add_terms(float *s, float a, const float *t, int n)
{
    for (int i = 0; i < n; i += 16)
        store_up_to(s + i, n - i,
                    add(load_up_to(s + i, n - i), add(all(a), load_up_to(t + i, n - i))));
}

/* Where the terms that query r meets begin, of the columns' table. */
static int
first_term(const Strip *s, int r)
{
    return s->job->grid->w - 1 - s->place[r] % s->job->grid->w;
}

/* A strip's queries stand side by side, so that of the columns' table they need little more than a width. */
static void
add_grid(Strip *s)
{
    const Grid *g = s->job->grid;
    int room_h = keys_room(2 * g->h - 1), room_w = keys_room(2 * g->w - 1), from = g->w, end = 0;
    float *terms_h[STRIP], *terms_w[STRIP];

    for (int r = 0; r < s->n; r++)
    {
        int first = first_term(s, r);

        from = first < from ? first : from;
        end = first + g->w > end ? first + g->w : end;
    }
    from = from / 16 * 16;
    for (int r = 0; r < s->n; r++)
    {
        terms_h[r] = s->rel + (size_t)r * (room_h + room_w);
        terms_w[r] = terms_h[r] + room_h + from;
    }
    rows_by_panels(s->q, terms_h, s->n, g->rel_h, (size_t)s->dim * 16, 16, s->dim, room_h / 16, 1,
                   false);
    rows_by_panels(s->q, terms_w, s->n, g->rel_w + (size_t)from * s->dim, (size_t)s->dim * 16, 16,
                   s->dim, (end - from + 15) / 16, 1, false);
    for (int r = 0; r < s->n; r++)
    {
        const float *up = terms_h[r] + g->h - 1 - s->place[r] / g->w;
        const float *left = terms_w[r] - from + first_term(s, r);

        for (int y = 0; y < g->h; y++)
            add_terms(s->scores + (size_t)r * s->ld + y * g->w, up[y], left, g->w);
    }
}

static void
scores(Strip *s, const float *k)
{
    float *y[STRIP];

    for (int r = 0; r < s->n; r++)
        y[r] = s->scores + (size_t)r * s->ld;
    rows_by_panels(s->q, y, s->n, k, (size_t)s->dim * 16, 16, s->dim, (s->most + 15) / 16,
                   s->job->scale, false);
    if (s->job->grid)
        add_grid(s);
}

/* ---- softmax ---- */

/* s[0 .. sees) becomes e^(s - most), s[sees .. end) zero; returns 1 / sum. */
static float
exponentials(float *s, int sees, int end)
{
    Floats most = all(-INFINITY), sum = all(0);
    int whole = sees / 16 * 16, rest = sees - whole;

    for (int i = 0; i < whole; i += 16)
        most = greater(most, load(s + i));
    if (rest)
        most = greater(most, first(rest, load_first(s + whole, rest), -INFINITY));
    most = all(greatest_16(most));
    for (int i = 0; i < whole; i += 16)
    {
        Floats e = exp_16(sub(load(s + i), most));

        sum = add(sum, e);
        store(s + i, e);
    }
    if (rest)
    {
        Floats e = first(rest, exp_16(sub(load_first(s + whole, rest), most)), 0);

        sum = add(sum, e);
        store_first(s + whole, rest, e);
    }
    for (int i = sees; i < end; i++)
        s[i] = 0;
    return 1 / sum_16(sum);
}

/* ---- values ---- */

/* Dimensions that do not fill 16, one by one in the same order. */
static void
narrow_values(const Strip *s, const float *v, int first, const float *inverse)
{
    for (int r = 0; r < s->n; r++)
        for (int d = first; d < s->dim; d++)
        {
            float sum = 0;

            for (int j = 0; j < s->most; j++)
                sum = fmaf(s->scores[(size_t)r * s->ld + j], v[(size_t)j * s->dim + d], sum);
            s->out[r][d] = sum * inverse[r];
        }
}

static void
values(const Strip *s, const float *v, const float *inverse)
{
    int wide = s->dim / 16;

    for (int j = 0; j < s->most && wide; j += KEY_BLOCK)
    {
        const float *x[STRIP];

        for (int r = 0; r < s->n; r++)
            x[r] = s->scores + (size_t)r * s->ld + j;
        rows_by_panels(x, s->out, s->n, v + (size_t)j * s->dim, 16, (size_t)s->dim,
                       s->most - j < KEY_BLOCK ? s->most - j : KEY_BLOCK, wide, 1, j > 0);
    }
    for (int r = 0; r < s->n; r++)
        for (int d = 0; d < wide * 16; d += 16)
            store(s->out[r] + d, mul(load(s->out[r] + d), all(inverse[r])));
    narrow_values(s, v, wide * 16, inverse);
}

/* ---- keys ---- */

static void
key_panel_lanes(float *panel, const float *const *keys, int dim)
{
    Floats rows[16];

    for (int d = 0; d < dim; d += 16, panel += 256)
    {
        UNROLL for (int r = 0; r < 16; r++) rows[r] = load_up_to(keys[r] + d, dim - d);
        transpose(rows);
        for (int r = 0; r < 16 && r < dim - d; r++)
            store(panel + r * 16, rows[r]);
    }
}

/* ---- a strip ---- */

static void
collect(Strip *s, int head, int row0, int rows)
{
    const AttendJob *job = s->job;

    for (int i = row0; i < row0 + rows; i++)
    {
        int at = job->places ? job->places[i] : i;

        if (at < 0)
            continue;
        s->q[s->n] = job->q + (size_t)at * job->ldq + (size_t)head * s->dim;
        s->out[s->n] = job->out + (size_t)at * job->ldo + (size_t)head * s->dim;
        s->sees[s->n] = attend_sees(job, i);
        s->place[s->n] = i;
        s->most = s->sees[s->n] > s->most ? s->sees[s->n] : s->most;
        s->n++;
    }
}

/* One row of two heads, 32 wide: the chains of one head alone would wait for each other. The same sums as of `values`. */
static void
two_values(const Strip *a, const float *va, const Strip *b, const float *vb, const float *inverse)
{
    Floats sums[4];

    UNROLL for (int i = 0; i < 4; i++) sums[i] = all(0);
    for (int j = 0; j < a->most; j++)
    {
        Floats one = all(a->scores[j]), two = all(b->scores[j]);

        UNROLL for (int i = 0; i < 2; i++)
        {
            sums[i] = muladd(one, load(va + j * 32 + i * 16), sums[i]);
            sums[2 + i] = muladd(two, load(vb + j * 32 + i * 16), sums[2 + i]);
        }
    }
    UNROLL for (int i = 0; i < 4; i++)
        store((i < 2 ? a : b)->out[0] + i % 2 * 16, mul(sums[i], all(inverse[i / 2])));
}

/* Heads `head` and the next, of a job of one row. */
static void
attend_two(const AttendJob *job, int head, float *scratch)
{
    size_t of_head = (size_t)job->from.room * (size_t)job->from.dim;
    const float *v[2];
    float inverse[2];
    Strip s[2];

    for (int i = 0; i < 2; i++)
    {
        size_t from = (size_t)attend_key_head(job, head + i) * of_head;

        s[i] = (Strip){.job = job, .dim = job->from.dim, .ld = keys_room(job->keys)};
        s[i].scores = scratch + (size_t)i * s[i].ld;
        collect(&s[i], head + i, 0, 1);
        scores(&s[i], job->from.k + from);
        inverse[i] = exponentials(s[i].scores, s[i].sees[0], s[i].most);
        v[i] = job->from.v + from;
    }
    two_values(&s[0], v[0], &s[1], v[1], inverse);
}

/* Whether a job's heads go two by two: those of a step of the mini. */
static bool
by_twos(const AttendJob *job)
{
    return job->rows == 1 && job->from.dim == 32 && job->heads % 2 == 0 && !job->grid &&
           !job->places;
}

static void
attend_lanes(const AttendJob *job, int head, int row0, int rows, float *scratch)
{
    Strip s = {.job = job, .dim = job->from.dim, .ld = keys_room(job->keys), .scores = scratch};
    size_t from = (size_t)attend_key_head(job, head) * (size_t)job->from.room * (size_t)s.dim;
    float inverse[STRIP];

    if (by_twos(job))
    {
        if (head % 2 == 0)
            attend_two(job, head, scratch);
        return;
    }
    s.rel = scratch + STRIP * (size_t)s.ld;
    collect(&s, head, row0, rows);
    if (s.n == 0)
        return;
    scores(&s, job->from.k + from);
    for (int r = 0; r < s.n; r++)
        inverse[r] = exponentials(s.scores + (size_t)r * s.ld, s.sees[r], s.most);
    values(&s, job->from.v + from, inverse);
}

#endif

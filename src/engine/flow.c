/* flow.c - the grid and the learned queries -> the tokens, in reading order: the causal-flow encoder. Spec 5.
 *
 * In: features [views, n, dim]. Out: what the n queries of each view saw, [views * n, dim], after the final norm.
 * Sharp edges: image rows see one another and no query, query i sees all image rows and the queries up to itself;
 * positions go on counting through the queries, from where a whole view's features end. No mask is ever built: a row
 * sees a prefix of the keys. */
#include <math.h>

#include "plant.h"
#include "vision_parts.h"

#define VIEWS_MOST 64

typedef struct FlowWork
{
    const Flow *f;
    Device *d;
    int n, views, rows; /* rows: of all views, 2 n each */
    float *x, *a, *q;   /* [rows, dim] */
    float *k, *v;       /* [rows, kv] */
    float *h;           /* [rows, inner] */
    float *keys;        /* [views, 2, kv_heads, room, head] */
    int32_t *positions; /* [rows] */
    KeepJob keep[VIEWS_MOST];
    AttendJob attend[VIEWS_MOST];
} FlowWork;

static int
kv_width(const Flow *f)
{
    return f->dim / f->heads * f->kv_heads;
}

size_t
flow_floats(const Flow *f, int n, int views)
{
    size_t rows = 2 * (size_t)n * (size_t)views, kv = (size_t)kv_width(f);

    return rows * (3 * (size_t)f->dim + 2 * kv + (size_t)f->inner + 1) +
           (size_t)views * 2 * kv * (size_t)keys_room(2 * n);
}

static void
lay_out(FlowWork *w, float *at)
{
    size_t rows = (size_t)w->rows, dim = (size_t)w->f->dim, kv = (size_t)kv_width(w->f);

    w->x = at;
    w->a = w->x + rows * dim;
    w->q = w->a + rows * dim;
    w->k = w->q + rows * dim;
    w->v = w->k + rows * kv;
    w->h = w->v + rows * kv;
    w->keys = w->h + rows * (size_t)w->f->inner;
    w->positions = (int32_t *)(w->keys + (size_t)w->views * 2 * kv * (size_t)keys_room(2 * w->n));
}

/* Each view's features, then the queries. */
static void
join(FlowWork *w, const QueryTable *table, const float *features)
{
    size_t part = (size_t)w->n * (size_t)w->f->dim;

    for (int i = 0; i < w->views; i++)
    {
        float *x = w->x + (size_t)i * 2 * part;

        memcpy(x, features + (size_t)i * part, sizeof(float) * part);
        memcpy(x + part, table->w, sizeof(float) * part);
#ifdef DS_PLANT
        for (int side = (int)sqrt(w->n), p = 0; PLANTED(PLANT_COLUMN_MAJOR) && p < w->n; p++)
            memcpy(x + p * w->f->dim,
                   features + (size_t)i * part + (p % side * side + p / side) * w->f->dim,
                   sizeof(float) * (size_t)w->f->dim);
#endif
    }
    for (int r = 0; r < w->rows; r++)
    {
        int at = r % (2 * w->n), query = at - w->n;

        w->positions[r] = query < 0                        ? at
                          : PLANTED(PLANT_QUERY_POSITIONS) ? query
                                                           : table->first + query;
    }
}

static void
keep_keys(FlowWork *w, const FlowLayer *l)
{
    const Flow *f = w->f;
    const Backend *ops = w->d->ops;
    int kv = kv_width(f), dim = f->dim / f->heads, room = keys_room(2 * w->n);

    ops->linear(w->d, w->k, kv, w->a, f->dim, w->rows, &l->k, l->k_b, FINISH_SET);
    ops->linear(w->d, w->v, kv, w->a, f->dim, w->rows, &l->v, l->v_b, FINISH_SET);
    ops->rope(w->d, w->k, kv, w->rows, f->kv_heads, dim, w->positions, f->rope);
    for (int i = 0; i < w->views; i++)
    {
        float *keys = w->keys + (size_t)i * 2 * kv * room;
        size_t first = (size_t)i * 2 * w->n * kv;

        w->keep[i] = (KeepJob){.to = {keys, keys + (size_t)kv * room, f->kv_heads, dim, room},
                               .n = 2 * w->n,
                               .k = w->k + first,
                               .v = w->v + first,
                               .ld = kv};
    }
    ops->keep(w->d, w->keep, w->views);
}

/* In the last layer only the queries' rows go on: moves them, and what belongs to them, together. */
static void
drop_image_rows(FlowWork *w)
{
    size_t part = (size_t)w->n * (size_t)w->f->dim, from = PLANTED(PLANT_FIRST_ROWS) ? 0 : part;

    for (int i = 0; i < w->views && w->d->stopped == DS_OK; i++)
    {
        memmove(w->x + (size_t)i * part, w->x + (size_t)i * 2 * part + from, sizeof(float) * part);
        memmove(w->a + (size_t)i * part, w->a + (size_t)i * 2 * part + from, sizeof(float) * part);
        memmove(w->positions + (size_t)i * w->n,
                w->positions + (size_t)i * 2 * w->n + from / (size_t)w->f->dim,
                sizeof(int32_t) * (size_t)w->n);
    }
}

/* Planted: after all have looked, the image's rows or the queries look once more, and see all. */
static void
look_again(FlowWork *w, int per)
{
    int from = PLANTED(PLANT_QUERIES_SEE_ALL) ? per - w->n : 0;

    for (int i = 0; i < w->views; i++)
    {
        AttendJob *a = &w->attend[i];

        a->q += (size_t)from * a->ldq;
        a->out += (size_t)from * a->ldo;
        a->rows = w->n;
        a->causal = false;
    }
    w->d->ops->attend(w->d, w->attend, w->views);
}

/* per: rows of a view that ask; they are the last `per` of its 2 n. */
static void
ask(FlowWork *w, const FlowLayer *l, int per)
{
    const Flow *f = w->f;
    int dim = f->dim / f->heads, first = PLANTED(PLANT_FIRST_ROWS) ? 0 : 2 * w->n - per;

    w->d->ops->linear(w->d, w->q, f->dim, w->a, f->dim, w->views * per, &l->q, l->q_b, FINISH_SET);
    w->d->ops->rope(w->d, w->q, f->dim, w->views * per, f->heads, dim, w->positions, f->rope);
    for (int i = 0; i < w->views; i++)
    {
        size_t at = (size_t)i * per * f->dim;

        w->attend[i] = (AttendJob){.from = w->keep[i].to,
                                   .keys = 2 * w->n,
                                   .q = w->q + at,
                                   .out = w->a + at,
                                   .ldq = f->dim,
                                   .ldo = f->dim,
                                   .rows = per,
                                   .heads = f->heads,
                                   .causal = !PLANTED(PLANT_BIDIRECTIONAL),
                                   .prefix = PLANTED(PLANT_CAUSAL) ? 0 : w->n,
                                   .first = first,
                                   .scale = 1 / sqrtf((float)dim)};
    }
    w->d->ops->attend(w->d, w->attend, w->views);
    if (PLANTED(PLANT_QUERIES_SEE_ALL) || (PLANTED(PLANT_IMAGE_SEES_ALL) && per > w->n))
        look_again(w, per);
    w->d->ops->linear(w->d, w->x, f->dim, w->a, f->dim, w->views * per, &l->o, NULL, FINISH_ADD);
}

static void
layer(FlowWork *w, const FlowLayer *l, bool last)
{
    const Flow *f = w->f;
    int per = last ? w->n : 2 * w->n;

    w->d->ops->rms_norm(w->d, w->a, w->x, w->rows, f->dim, l->norm1, f->eps);
    keep_keys(w, l);
    if (last)
        drop_image_rows(w);
    ask(w, l, per);
    w->d->ops->rms_norm(w->d, w->a, w->x, w->views * per, f->dim, l->norm2, f->eps);
    w->d->ops->mlp(w->d, w->x, w->h, w->a, w->views * per, &l->mlp);
}

DsStatus
flow_run(const Flow *f, Device *d, const QueryTable *table, const float *features, int n,
         float *out, float *workspace, DsError *err)
{
    FlowWork w = {.f = f, .d = d, .n = table->rows, .views = n, .rows = 2 * n * table->rows};

    if (n > VIEWS_MOST)
        return ds_fail(err, DS_BROKEN, "%d views at once are too many", n);
    lay_out(&w, workspace);
    join(&w, table, features);
    for (int i = 0; i < f->layers && d->stopped == DS_OK; i++)
        layer(&w, &f->layer[i], i == f->layers - 1);
    if (PLANTED(PLANT_NO_FINAL_NORM))
        memcpy(out, w.x, sizeof(float) * (size_t)(n * table->rows) * (size_t)f->dim);
    else
        d->ops->rms_norm(d, out, w.x, n * table->rows, f->dim, f->norm, f->eps);
    return device_status(d, err);
}

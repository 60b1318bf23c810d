/* patches.c - a view -> a grid of features: SAM, with windowed and global attention, then convolutions. Spec 4.
 *
 * In: bytes of views of one size. Out: [views, out_h * out_w, out]. Sharp edges: a window's padding is zeros put
 * in after norm1, so its keys and values are the biases of qkv, and they do count; relative terms take the
 * unscaled query; grids need not be square; the halvings round up. */
#include <math.h>
#include <string.h>

#include "plant.h"
#include "vision_parts.h"

/* Where one call's numbers lie. T: tokens of all views together. */
typedef struct SamWork
{
    const Sam *s;
    Device *d;
    const SamGrid *grid;
    int index; /* of the grid */
    int views, tokens;
    float *x;   /* [T, width] the residual stream */
    float *y;   /* [T, width] */
    float *qkv; /* [T, 3 width] */
    float *mlp; /* [T, mlp], patches [T, 3 ph pw], and the maps of the convolutions */
    float *keys;
    int windows;     /* per view */
    int32_t *places; /* [views * windows, window_h * window_w]: rows of x, -1 for padding */
    KeepJob *keep;
    AttendJob *attend;
} SamWork;

static int
max_int(int a, int b)
{
    return a > b ? a : b;
}

static int
windows_of(const Sam *s, const SamGrid *g)
{
    return ((g->h + s->window_h - 1) / s->window_h) * ((g->w + s->window_w - 1) / s->window_w);
}

/* Floats of keys and values of one view, in windows or whole. */
static size_t
keys_floats(const Sam *s, const SamGrid *g)
{
    size_t windowed = (size_t)windows_of(s, g) * (size_t)keys_room(s->window_h * s->window_w);
    size_t whole = (size_t)keys_room(g->h * g->w);

    return 2 * (size_t)s->width * (windowed > whole ? windowed : whole);
}

static int
widest(const Sam *s)
{
    return max_int(max_int(s->mlp, 3 * s->patch_h * s->patch_w), max_int(2 * s->neck, s->net2));
}

size_t
sam_floats(const Sam *s, int grid, int views)
{
    const SamGrid *g = &s->grids[grid];
    size_t token = 5 * (size_t)s->width + (size_t)widest(s);

    return (size_t)views * (token * (size_t)(g->h * g->w) + keys_floats(s, g)) + 4 * 16;
}

/* ---- attention ---- */

/* The tokens of window `win` of a view, row by row. */
static void
window_places(const SamWork *w, int view, int win, int32_t *places)
{
    const Sam *s = w->s;
    int h = w->grid->h, width = w->grid->w, across = (width + s->window_w - 1) / s->window_w;
    int top = win / across * s->window_h, left = win % across * s->window_w;

    for (int i = 0; i < s->window_h * s->window_w; i++)
    {
        int y = top + i / s->window_w, x = left + i % s->window_w;

        places[i] = y < h && x < width ? (view * h + y) * width + x : -1;
    }
}

/* The jobs of a block: a window each, or a view each. Returns their number. */
static int
make_jobs(SamWork *w, const SamBlock *k, const float *pad)
{
    const Sam *s = w->s;
    int width = s->width, dim = width / s->heads, n = w->views * (k->global ? 1 : w->windows);
    int size = k->global ? w->grid->h * w->grid->w : s->window_h * s->window_w,
        room = keys_room(size);
    const Grid *grid = &k->grids[k->global ? w->index : 0];

    for (int i = 0; i < n; i++)
    {
        size_t first = k->global ? (size_t)i * size : 0;
        float *q = w->qkv + first * 3 * width;
        float *keys = w->keys + (size_t)i * 2 * width * room;
        Keys to = {keys, keys + (size_t)width * room, s->heads, dim, room};
        const int32_t *places = k->global ? NULL : w->places + (size_t)i * size;

        w->keep[i] = (KeepJob){to,        0,      size,        q + width,      q + 2 * width,
                               3 * width, places, pad + width, pad + 2 * width};
        w->attend[i] = (AttendJob){.from = to,
                                   .keys = size,
                                   .q = q,
                                   .out = w->y + first * width,
                                   .ldq = 3 * width,
                                   .ldo = width,
                                   .rows = size,
                                   .heads = s->heads,
                                   .places = places,
                                   .scale = 1 / sqrtf((float)dim),
                                   .grid = grid};
    }
    return n;
}

#ifdef DS_PLANT
/* Takes the rows of qkv as q, k, v of head 0, q, k, v of head 1, ...; old: [3 width]. */
static void
plant_triples(const Sam *s, float *row, float *old)
{
    int dim = s->width / s->heads;

    memcpy(old, row, sizeof(float) * 3 * (size_t)s->width);
    for (int i = 0; i < 3 * s->width; i++)
        row[i] = old[(i % s->width / dim * 3 + i / s->width) * dim + i % dim];
}

/* What a planted mistake makes of qkv and of the padding's: the pad to use. */
static const float *
plant_qkv(SamWork *w, const SamBlock *k)
{
    const Sam *s = w->s;
    float *pad = w->mlp, *old = w->mlp + 3 * s->width;

    if (PLANTED(PLANT_PADDING_EARLY))
        w->d->ops->linear(w->d, pad, 3 * s->width, k->norm1_b, s->width, 1, &k->qkv, k->qkv_b,
                          FINISH_SET);
    else
        memcpy(pad, k->qkv_b, sizeof(float) * 3 * (size_t)s->width);
    if (PLANTED(PLANT_QKV_TRIPLES))
    {
        plant_triples(s, pad, old);
        for (int r = 0; r < w->tokens; r++)
            plant_triples(s, w->qkv + (size_t)r * 3 * s->width, old);
    }
    return pad;
}
#endif

/* y = norm1 of x, and its q, k and v. */
static void
make_qkv(SamWork *w, const SamBlock *k)
{
    const Sam *s = w->s;

    w->d->ops->layer_norm(w->d, w->y, w->x, w->tokens, s->width, k->norm1_w, k->norm1_b,
                          PLANTED(PLANT_EPS_1E5) ? 1e-5f : s->eps);
    w->d->ops->linear(w->d, w->qkv, 3 * s->width, w->y, s->width, w->tokens, &k->qkv, k->qkv_b,
                      FINISH_SET);
}

static void
block_attention(SamWork *w, const SamBlock *k)
{
    const Sam *s = w->s;
    const Backend *ops = w->d->ops;
    const float *pad = k->qkv_b;
    int jobs;

    make_qkv(w, k);
#ifdef DS_PLANT
    pad = plant_qkv(w, k);
#endif
    jobs = make_jobs(w, k, pad);
    ops->keep(w->d, w->keep, jobs);
    ops->attend(w->d, w->attend, jobs);
    ops->linear(w->d, w->x, s->width, w->y, s->width, w->tokens, &k->proj, k->proj_b, FINISH_ADD);
}

/* ---- the whole ---- */

static void
block(SamWork *w, const SamBlock *k)
{
    const Sam *s = w->s;
    const Backend *ops = w->d->ops;
    float eps = PLANTED(PLANT_EPS_1E5) ? 1e-5f : s->eps;

    block_attention(w, k);
    ops->layer_norm(w->d, w->y, w->x, w->tokens, s->width, k->norm2_w, k->norm2_b, eps);
    ops->linear(w->d, w->mlp, s->mlp, w->y, s->width, w->tokens, &k->lin1, k->lin1_b, FINISH_GELU);
    ops->linear(w->d, w->x, s->width, w->mlp, s->mlp, w->tokens, &k->lin2, k->lin2_b, FINISH_ADD);
}

static void
embed(SamWork *w, const View *views)
{
    const Sam *s = w->s;
    const SamGrid *g = w->grid;
    int k = 3 * s->patch_h * s->patch_w;

    for (int i = 0; i < w->views; i++)
        w->d->ops->patches(w->d, w->mlp + (size_t)i * g->h * g->w * k, views[i].pixels,
                           views[i].width, views[i].channels, g->h, g->w, s->patch_h, s->patch_w,
                           s->pixels);
    w->d->ops->linear(w->d, w->x, s->width, w->mlp, k, w->tokens, &s->patch, s->patch_b,
                      FINISH_SET);
    w->d->ops->add_rows(w->d, w->x, w->views, g->h * g->w, s->width, g->pos);
}

/* 1 x 1, norm, 3 x 3, norm, and two halvings; no activation between. */
static void
convolve(SamWork *w, float *out)
{
    const Sam *s = w->s;
    const SamGrid *g = w->grid;
    const Backend *ops = w->d->ops;
    float *a = w->mlp, *b = a + (size_t)w->tokens * s->neck;
    float eps = PLANTED(PLANT_EPS_1E5) ? 1e-5f : s->eps;

    ops->linear(w->d, a, s->neck, w->x, s->width, w->tokens, &s->neck0, NULL, FINISH_SET);
    ops->layer_norm(w->d, a, a, w->tokens, s->neck, s->neck1_w, s->neck1_b, eps);
    ops->conv3(w->d, b, a, w->views, g->h, g->w, s->neck, 1, &s->neck2);
    ops->layer_norm(w->d, b, b, w->tokens, s->neck, s->neck3_w, s->neck3_b, eps);
    ops->conv3(w->d, w->qkv, b, w->views, g->h, g->w, s->neck, 2, &s->net_2);
    ops->conv3(w->d, out, w->qkv, w->views, (g->h + 1) / 2, (g->w + 1) / 2, s->net2, 2, &s->net_3);
}

static void
lay_out(SamWork *w, float *at)
{
    const Sam *s = w->s;
    size_t tokens = (size_t)w->tokens;

    w->x = at;
    w->y = w->x + tokens * (size_t)s->width;
    w->qkv = w->y + tokens * (size_t)s->width;
    w->mlp = w->qkv + tokens * 3 * (size_t)s->width;
    w->keys = w->mlp + tokens * (size_t)widest(s);
}

static DsStatus
begin(SamWork *w, const Sam *s, Device *d, int grid, int views, float *workspace, Arena *arena,
      DsError *err)
{
    size_t windows;

    *w = (SamWork){.s = s, .d = d, .grid = &s->grids[grid], .index = grid, .views = views};
    w->tokens = views * w->grid->h * w->grid->w;
    w->windows = windows_of(s, w->grid);
    windows = (size_t)views * (size_t)w->windows;
    arena_init(arena, 0);
    w->places = arena_array(arena, windows * s->window_h * s->window_w, sizeof *w->places);
    w->keep = arena_array(arena, windows, sizeof *w->keep);
    w->attend = arena_array(arena, windows, sizeof *w->attend);
    if (w->places == NULL || w->keep == NULL || w->attend == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory for the windows of %d views", views);
    for (size_t i = 0; i < windows; i++)
        window_places(w, (int)i / w->windows, (int)i % w->windows,
                      w->places + i * (size_t)(s->window_h * s->window_w));
    lay_out(w, workspace);
    return DS_OK;
}

DsStatus
sam_run(const Sam *s, Device *d, int grid, const View *views, int n, float *out, float *workspace,
        DsError *err)
{
    Arena arena;
    SamWork w;
    DsStatus st = begin(&w, s, d, grid, n, workspace, &arena, err);

    if (st == DS_OK)
    {
        embed(&w, views);
        for (int i = 0; i < s->layers && d->stopped == DS_OK; i++)
            block(&w, &s->blocks[i]);
        convolve(&w, out);
        st = device_status(d, err);
    }
    arena_free(&arena);
    return st;
}

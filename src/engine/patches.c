/* patches.c - a view -> a grid of features: SAM, with windowed and global attention, then convolutions. Spec 4.
 *
 * In: bytes of views of one size. Out: [views, out_h * out_w, out]. Sharp edges: a window's padding is zeros put
 * in after norm1, so its keys and values are the biases of qkv, and they do count; relative terms take the
 * unscaled query; grids need not be square; the halvings round up. Before the first global block a window knows
 * nothing of the others, so what a white one becomes is worked out once: until there, x has the other windows' rows
 * alone. */
#include <math.h>
#include <string.h>

#include "plant.h"
#include "vision_parts.h"

#define WHITE 255

/* Where one call's numbers lie. T: tokens of all views together. */
typedef struct SamWork
{
    const Sam *s;
    Device *d;
    const SamGrid *grid;
    int index; /* of the grid */
    int views, tokens;
    int rows;   /* of x: all tokens', or those' of windows that are not white */
    float *x;   /* [T, width] the residual stream */
    float *y;   /* [T, width] */
    float *qkv; /* [T, 3 width] */
    float *mlp; /* [T, mlp], patches [T, 3 ph pw], and the maps of the convolutions */
    float *keys;
    int windows;     /* per view */
    int nwindows;    /* of all views, that have rows */
    int32_t *places; /* [nwindows, window_h * window_w]: rows of x, -1 for padding */
    int32_t *row;    /* [tokens] of x, -1: none */
    KeepJob *keep;
    AttendJob *attend;
} SamWork;

static int
max_int(int a, int b)
{
    return a > b ? a : b;
}

static int
min_int(int a, int b)
{
    return a < b ? a : b;
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

static bool
is_white(const SamWork *w, const View *view, int win)
{
    const Sam *s = w->s;
    int across = (w->grid->w + s->window_w - 1) / s->window_w;
    int top = win / across * s->window_h * s->patch_h,
        left = win % across * s->window_w * s->patch_w;
    int rows = min_int(s->window_h * s->patch_h, view->height - top);
    size_t bytes = (size_t)min_int(s->window_w * s->patch_w, view->width - left) * view->channels;

    for (int y = top; y < top + rows; y++)
    {
        const uint8_t *p = view->pixels + ((size_t)y * view->width + left) * view->channels;

        if (p[0] != WHITE || memcmp(p, p + 1, bytes - 1) != 0)
            return false;
    }
    return true;
}

/* Gives rows to the tokens of all windows or, with views, of those that are not white. */
static void
choose_rows(SamWork *w, const View *views)
{
    int size = w->s->window_h * w->s->window_w;

    memset(w->row, -1, sizeof *w->row * (size_t)w->tokens);
    w->rows = w->nwindows = 0;
    for (int i = 0; i < w->views * w->windows; i++)
    {
        int32_t *places = w->places + (size_t)w->nwindows * size;

        if (views && is_white(w, &views[i / w->windows], i % w->windows))
            continue;
        window_places(w, i / w->windows, i % w->windows, places);
        for (int k = 0; k < size; k++)
            if (places[k] >= 0)
                w->row[places[k]] = 0;
        w->nwindows++;
    }
    for (int t = 0; t < w->tokens; t++)
        if (w->row[t] >= 0)
            w->row[t] = w->rows++;
    for (int k = 0; k < w->nwindows * size; k++)
        if (w->places[k] >= 0)
            w->places[k] = w->row[w->places[k]];
}

/* Brings in the white windows' rows: x and qkv are all tokens' then. From the end, where there is room. */
static void
bring_in(SamWork *w)
{
    size_t width = (size_t)w->s->width, per = (size_t)w->grid->h * (size_t)w->grid->w;

    for (size_t t = (size_t)w->tokens; t-- > 0 && w->row[t] != (int32_t)t;)
    {
        const float *x = w->grid->white_x + t % per * width;
        const float *qkv = w->grid->white_qkv + t % per * 3 * width;

        if (w->row[t] >= 0)
        {
            x = w->x + (size_t)w->row[t] * width;
            qkv = w->qkv + (size_t)w->row[t] * 3 * width;
        }
        memmove(w->x + t * width, x, sizeof *x * width);
        memmove(w->qkv + t * 3 * width, qkv, sizeof *qkv * 3 * width);
    }
    choose_rows(w, NULL);
}

/* The jobs of a block: a window each, or a view each. Returns their number. */
static int
make_jobs(SamWork *w, const SamBlock *k, const float *pad)
{
    const Sam *s = w->s;
    int width = s->width, dim = width / s->heads, n = k->global ? w->views : w->nwindows;
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
        for (int r = 0; r < w->rows; r++)
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

    w->d->ops->layer_norm(w->d, w->y, w->x, w->rows, s->width, k->norm1_w, k->norm1_b,
                          PLANTED(PLANT_EPS_1E5) ? 1e-5f : s->eps);
    w->d->ops->linear(w->d, w->qkv, 3 * s->width, w->y, s->width, w->rows, &k->qkv, k->qkv_b,
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
    if (k->global && w->rows < w->tokens)
        bring_in(w);
#ifdef DS_PLANT
    pad = plant_qkv(w, k);
#endif
    jobs = make_jobs(w, k, pad);
    ops->keep(w->d, w->keep, jobs);
    ops->attend(w->d, w->attend, jobs);
    ops->linear(w->d, w->x, s->width, w->y, s->width, w->rows, &k->proj, k->proj_b, FINISH_ADD);
}

/* ---- the whole ---- */

static void
block(SamWork *w, const SamBlock *k)
{
    const Sam *s = w->s;
    const Backend *ops = w->d->ops;
    float eps = PLANTED(PLANT_EPS_1E5) ? 1e-5f : s->eps;

    block_attention(w, k);
    ops->layer_norm(w->d, w->y, w->x, w->rows, s->width, k->norm2_w, k->norm2_b, eps);
    ops->linear(w->d, w->mlp, s->mlp, w->y, s->width, w->rows, &k->lin1, k->lin1_b, FINISH_GELU);
    ops->linear(w->d, w->x, s->width, w->mlp, s->mlp, w->rows, &k->lin2, k->lin2_b, FINISH_ADD);
}

/* add_rows where tokens have no row. */
static void
add_pos(SamWork *w)
{
    size_t width = (size_t)w->s->width, per = (size_t)w->grid->h * (size_t)w->grid->w;

    for (size_t t = 0; t < (size_t)w->tokens; t++)
        for (size_t c = 0; w->row[t] >= 0 && c < width; c++)
            w->x[(size_t)w->row[t] * width + c] += w->grid->pos[t % per * width + c];
}

static void
embed(SamWork *w, const View *views)
{
    const Sam *s = w->s;
    const SamGrid *g = w->grid;
    int k = 3 * s->patch_h * s->patch_w;

    for (int i = 0; i < w->views; i++)
        w->d->ops->patches(w->d, w->mlp + (size_t)i * g->h * g->w * k, views[i].pixels,
                           views[i].channels, g->h, g->w, s->patch_h, s->patch_w, s->pixels);
    for (int t = 0; t < w->tokens; t++)
        if (w->row[t] >= 0 && w->row[t] < t)
            memcpy(w->mlp + (size_t)w->row[t] * k, w->mlp + (size_t)t * k, sizeof(float) * k);
    w->d->ops->linear(w->d, w->x, s->width, w->mlp, k, w->rows, &s->patch, s->patch_b, FINISH_SET);
    if (w->rows == w->tokens)
        w->d->ops->add_rows(w->d, w->x, w->views, g->h * g->w, s->width, g->pos);
    else
        add_pos(w);
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
    w->row = arena_array(arena, (size_t)w->tokens, sizeof *w->row);
    w->keep = arena_array(arena, windows, sizeof *w->keep);
    w->attend = arena_array(arena, windows, sizeof *w->attend);
    if (w->places == NULL || w->row == NULL || w->keep == NULL || w->attend == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory for the windows of %d views", views);
    lay_out(w, workspace);
    return DS_OK;
}

DsStatus
sam_prepare(Sam *s, Device *d, int grid, Arena *arena, float *workspace, DsError *err)
{
    SamGrid *g = &s->grids[grid];
    size_t tokens = (size_t)g->h * (size_t)g->w, width = (size_t)s->width;
    size_t bytes = tokens * (size_t)(s->patch_h * s->patch_w);
    float *x = arena_array(arena, tokens * width, sizeof *x);
    float *qkv = arena_array(arena, tokens * 3 * width, sizeof *qkv);
    uint8_t *white = arena_alloc(arena, bytes);
    const SamBlock *k = s->blocks;
    Arena scratch;
    SamWork w;
    DsStatus st;

    if (x == NULL || qkv == NULL || white == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory for a white view");
    if ((st = begin(&w, s, d, grid, 1, workspace, &scratch, err)) == DS_OK)
    {
        choose_rows(&w, NULL);
        memset(white, WHITE, bytes);
        embed(&w, &(View){g->w * s->patch_w, g->h * s->patch_h, 1, white});
        for (; k < s->blocks + s->layers && !k->global; k++)
            block(&w, k);
        if (k < s->blocks + s->layers)
            make_qkv(&w, k);
        memcpy(x, w.x, sizeof *x * tokens * width);
        memcpy(qkv, w.qkv, sizeof *qkv * tokens * 3 * width);
        st = device_status(d, err);
    }
    arena_free(&scratch);
    if (st == DS_OK && k < s->blocks + s->layers)
    {
        g->white_x = x;
        g->white_qkv = qkv;
    }
    return st;
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
        choose_rows(&w, w.grid->white_x ? views : NULL);
        embed(&w, views);
        for (int i = 0; i < s->layers && d->stopped == DS_OK; i++)
            block(&w, &s->blocks[i]);
        convolve(&w, out);
        st = device_status(d, err);
    }
    arena_free(&arena);
    return st;
}

/* vision.c - stage 3 of 7: views -> vision tokens, in decoder order.
 *
 * Views of as many rows that stand together are worked on together, as many as fill the processor without leaving its
 * caches. Sharp edge: each view's rows are the same bits whatever is worked on beside it (P8). */
#include "vision.h"

#include <stdlib.h>
#include <string.h>

#include "plant.h"
#include "vision_parts.h"

#define GROUP_TOKENS 256 /* of SAM, together, for each thread: they stay in the second cache */
#define GROUP_VIEWS  64
#define WHITE        255

static int
rows_of(const Model *m, int grid)
{
    return grid < 0 ? 0 : m->sam.grids[grid].queries.rows;
}

/* Columns up to the last with ink, at least one; channels: 1. */
static int
ink_end(const View *v)
{
    int end = 1;

    for (const uint8_t *row = v->pixels; row < v->pixels + v->height * v->width; row += v->width)
        for (int x = v->width; x > end; x--)
            if (row[x - 1] != WHITE)
                end = x;
    return end;
}

/* The grid of as much of a view as is looked at, or -1. */
static int
grid_of(const Model *m, const View *v)
{
    int whole = model_grid(m, v->width, v->height), step = m->facts.view_step, width;

    if (whole < 0 || step == 0 || v->channels != 1)
        return whole;
    width = (ink_end(v) + step - 1) / step * step;
    return width < v->width ? model_grid(m, width, v->height) : whole;
}

int
vision_whole_rows(const Model *m, const View *v)
{
    return rows_of(m, model_grid(m, v->width, v->height));
}

int
vision_rows(const Model *m, const View *v)
{
    return rows_of(m, grid_of(m, v));
}

int
vision_all_rows(const Model *m, const View *views, int n, int *gap)
{
    int all = 1;

    *gap = 0;
    for (int i = 0; i < n; i++)
    {
        int rows = vision_rows(m, &views[i]);

        all += rows;
        *gap += vision_whole_rows(m, &views[i]) - rows;
    }
    return all;
}

/* How many of the views from the first on, which has this grid, go together. */
static int
group(const Model *m, const Device *d, const View *views, int n, int grid)
{
    int most = GROUP_TOKENS * d->threads / (m->sam.grids[grid].h * m->sam.grids[grid].w), i = 1;

    most = most < 1 ? 1 : most > GROUP_VIEWS ? GROUP_VIEWS : most;
    while (i < n && i < most && grid_of(m, &views[i]) == grid)
        i++;
    return i;
}

static float *
copy(const float *from, int rows, int cols, bool turned)
{
    float *to = malloc(sizeof(float) * (size_t)rows * (size_t)cols);

    for (int r = 0; to && r < rows; r++)
        for (int c = 0; c < cols; c++)
            to[turned ? (size_t)c * rows + r : (size_t)r * cols + c] = from[(size_t)r * cols + c];
    return to;
}

static DsStatus
fill_trace(VisionTrace *t, const Model *m, const SamGrid *g, const float *features,
           const float *tokens, DsError *err)
{
    int rows = g->out_h * g->out_w;

    *t = (VisionTrace){.sam_shape = {m->sam.out, g->out_h, g->out_w},
                       .encoder_shape = {rows, m->flow.dim}};
    t->sam = copy(features, rows, m->sam.out, true);
    t->encoder = copy(tokens, rows, m->flow.dim, false);
    return t->sam && t->encoder ? DS_OK
                                : ds_fail(err, DS_BROKEN, "out of memory for the stages' values");
}

static size_t
draft_floats(const Model *m, int per, int views)
{
    return (size_t)views * (size_t)per * (size_t)m->flow.draft.n;
}

/* What the views say, told from the encoder's tokens [n * per, dim]. */
static void
make_drafts(const Model *m, Device *d, const float *tokens, int n, int per, Draft *drafts,
            float *logits)
{
    const Flow *f = &m->flow;

    memset(drafts, 0, (size_t)n * sizeof *drafts);
    if (f->draft_slots == 0)
        return;
    d->ops->linear(d, logits, f->draft.n, tokens, f->dim, n * per, &f->draft, f->draft_b,
                   FINISH_SET);
    for (int i = 0; i < n && d->stopped == DS_OK; i++)
        draft_make(&drafts[i], logits + (size_t)i * per * f->draft.n, per, f->draft_slots,
                   m->decoder.vocab);
}

static DsStatus
encode_group(const Model *m, Device *d, const View *views, int n, int grid, float *rows,
             Draft *drafts, VisionTrace *trace, DsError *err)
{
    const SamGrid *g = &m->sam.grids[grid];
    int per = g->queries.rows, dim = m->flow.dim;
    size_t outs = (size_t)n * (size_t)per * (size_t)dim, sam = sam_floats(&m->sam, grid, n),
           flow = flow_floats(&m->flow, per, n), draft = draft_floats(m, per, n),
           most = sam > flow ? sam : flow;
    float *features = device_workspace(d, 2 * outs + (most > draft ? most : draft)),
          *tokens = features + outs;
    DsStatus st;

    if (features == NULL)
        return device_status(d, err);
    if ((st = sam_run(&m->sam, d, grid, views, n, features, tokens + outs, err)) ||
        (st = flow_run(&m->flow, d, &g->queries, features, n, tokens, tokens + outs, err)))
        return st;
    d->ops->linear(d, rows, m->decoder.hidden, tokens, dim, n * per, &m->flow.projector,
                   m->flow.projector_b, FINISH_SET);
    if (drafts)
        make_drafts(m, d, tokens, n, per, drafts, tokens + outs);
    for (int i = 0; trace && st == DS_OK && i < n; i++)
        st = fill_trace(&trace[i], m, g, features + (size_t)i * per * dim,
                        tokens + (size_t)i * per * dim, err);
    return st ? st : device_status(d, err);
}

DsStatus
vision_encode(const Model *m, Device *d, const View *views, int n, float *rows, Draft *drafts,
              VisionTrace *trace, DsError *err)
{
    DsStatus st = DS_OK;

    device_begin(d);
    for (int i = 0; i < n && st == DS_OK;)
    {
        int grid = grid_of(m, &views[i]), together;

        if (grid < 0)
            return ds_fail(err, DS_BAD_REQUEST, "the model has no query table for views of %d x %d",
                           views[i].width, views[i].height);
        together = group(m, d, views + i, n - i, grid);
        st = encode_group(m, d, views + i, together, grid, rows, drafts ? drafts + i : NULL,
                          trace ? trace + i : NULL, err);
        rows += (size_t)together * (size_t)rows_of(m, grid) * (size_t)m->decoder.hidden;
        i += together;
    }
    return st;
}

int
vision_append(const Model *m, float *to, int filled, const float *rows, int n, bool last)
{
    size_t hidden = (size_t)m->decoder.hidden;
    int early = last && PLANTED(PLANT_SEPARATOR_EARLY);

    memcpy(to + (size_t)(filled + early) * hidden, rows, (size_t)n * hidden * sizeof *rows);
    if (last)
        memcpy(to + (size_t)(early ? filled : filled + n) * hidden, m->separator,
               hidden * sizeof *rows);
    return filled + n + last;
}

/* attend.c - attention of every kind the model has: windows and grids with relative positions (spec 4.3), views
 * with their queries (5), and a decoder's past (7).
 *
 * attend_plain is the definition: the scores of one query in the order of dimensions, their softmax in the order
 * of keys, the values in the order of keys. Nothing is as large as queries x keys: a strip of queries at a time. */
#include "cpu.h"

#include <math.h>

#include "plant.h"

#define PLAIN_MOST                                                                                 \
    1048576.0 /* multiply-adds of a piece, by plain loops that walk across keys and values */

/* ---- the definition ---- */

int
attend_sees(const AttendJob *job, int row)
{
    int sees = job->first + row + 1;

    if (!job->causal)
        return job->keys;
    return sees < job->prefix ? job->prefix : sees;
}

int
attend_key_head(const AttendJob *job, int head)
{
    if (PLANTED(PLANT_KV_MODULO))
        return head % job->from.heads;
    return head / (job->heads / job->from.heads);
}

static float
panel_dot(const float *panels, int dim, int row, const float *q)
{
    float sum = 0;

    for (int d = 0; d < dim; d++)
        sum += q[d] * panels[key_at(dim, row, d)];
    return sum;
}

/* score[y * w + x] += q . RH[qy - y + h - 1] + q . RW[qx - x + w - 1]; the tables lie reversed. */
static void
add_grid(const Grid *g, const float *q, int dim, int place, float *scores)
{
    int up = g->h - 1 - place / g->w, left = g->w - 1 - place % g->w;

    for (int y = 0; y < g->h; y++)
    {
        float term = panel_dot(g->rel_h, dim, up + y, q);

        for (int x = 0; x < g->w; x++)
            scores[y * g->w + x] += term + panel_dot(g->rel_w, dim, left + x, q);
    }
}

static void
softmax(float *s, int n)
{
    float most = s[0], sum = 0;

    for (int i = 1; i < n; i++)
        most = s[i] > most ? s[i] : most;
    for (int i = 0; i < n; i++)
        sum += s[i] = expf(s[i] - most);
    for (int i = 0; i < n; i++)
        s[i] /= sum;
}

static void
attend_row(const AttendJob *job, int head, int row, int at, float *scores)
{
    int dim = job->from.dim, sees = attend_sees(job, row);
    size_t from = (size_t)attend_key_head(job, head) * (size_t)job->from.room * (size_t)dim;
    const float *k = job->from.k + from, *v = job->from.v + from;
    const float *q = job->q + (size_t)at * job->ldq + (size_t)head * dim;
    float *out = job->out + (size_t)at * job->ldo + (size_t)head * dim;

    for (int j = 0; j < sees; j++)
        scores[j] = job->scale * panel_dot(k, dim, j, q);
    if (job->grid)
        add_grid(job->grid, q, dim, row, scores);
    for (int j = 0; PLANTED(PLANT_PADDING_MASKED) && job->places && j < sees; j++)
        scores[j] = job->places[j] < 0 ? -INFINITY : scores[j];
    softmax(scores, sees);
    for (int d = 0; d < dim; d++)
    {
        float sum = 0;

        for (int j = 0; j < sees; j++)
            sum += scores[j] * v[(size_t)j * dim + d];
        out[d] = sum;
    }
}

void
attend_plain(const AttendJob *job, int head, int row0, int rows, float *scratch)
{
    for (int i = row0; i < row0 + rows; i++)
    {
        int at = job->places ? job->places[i] : i;

        if (at >= 0)
            attend_row(job, head, i, at, scratch);
    }
}

/* ---- the operation ---- */

size_t
attend_scratch(const AttendJob *job)
{
    size_t grid = 0;

    if (job->grid)
        grid = (size_t)keys_room(2 * job->grid->h - 1) + (size_t)keys_room(2 * job->grid->w - 1);
    return STRIP * ((size_t)keys_room(job->keys) + grid);
}

typedef struct AttendAll
{
    Device *d;
    const AttendJob *jobs;
    int strip, strips; /* rows of a piece; pieces of the longest job, for each head */
} AttendAll;

/* A row that sees all of a page takes the plain loops a millisecond: their strips are as long as can be stopped. */
static int
strip_rows(const Device *d, double macs_of_row)
{
    int rows = (int)(PLAIN_MOST / macs_of_row);

    if (d->kernels->attend != attend_plain || rows > STRIP)
        return STRIP;
    return rows < 1 ? 1 : rows;
}

static void
attend_piece(void *arg, int piece, int thread)
{
    const AttendAll *a = arg;
    int heads = a->jobs->heads, row = piece % a->strips * a->strip,
        head = piece / a->strips % heads;
    const AttendJob *job = &a->jobs[piece / a->strips / heads];
    int rows = job->rows - row < a->strip ? job->rows - row : a->strip;

    if (rows > 0)
        a->d->kernels->attend(job, head, row, rows, thread_scratch(a->d, thread));
}

void
cpu_attend(Device *d, const AttendJob *jobs, int n)
{
    AttendAll a = {d, jobs, STRIP, 0};
    size_t scratch = 0;
    double work = 0, macs, most = 1;
    int rows = 0;

    for (int i = 0; i < n; i++)
    {
        size_t floats = attend_scratch(&jobs[i]);

        scratch = floats > scratch ? floats : scratch;
        rows = jobs[i].rows > rows ? jobs[i].rows : rows;
        macs = 2.0 * jobs[i].keys * jobs[i].from.dim;
        most = macs > most ? macs : most;
        work += macs * jobs[i].rows * jobs[i].heads;
    }
    if (d->stopped || rows == 0 || !device_scratch(d, scratch))
        return;
    a.strip = strip_rows(d, most);
    a.strips = (rows + a.strip - 1) / a.strip;
    device_for(d, n * jobs->heads * a.strips, work, attend_piece, &a);
}

/* ---- keys and values ---- */

typedef struct KeepAll
{
    const CpuKernels *kernels;
    const KeepJob *jobs;
} KeepAll;

void
key_panel_plain(float *panel, const float *const *keys, int dim)
{
    for (int d = 0; d < dim; d++)
        for (int r = 0; r < KEY_PANEL; r++)
            panel[d * KEY_PANEL + r] = keys[r][d];
}

/* Rows i .. i + n - 1 of one head, whose keys share a panel. */
static void
keep_rows(const CpuKernels *kernels, const KeepJob *job, int i, int n, int head)
{
    int dim = job->to.dim, to = job->start + i;
    size_t base = (size_t)head * (size_t)job->to.room * (size_t)dim;
    float *panel = job->to.k + base + key_at(dim, to, 0);
    const float *keys[KEY_PANEL];

    for (int r = 0; r < n; r++)
    {
        int at = job->places ? job->places[i + r] : i + r;
        const float *v = at < 0 ? job->pad_v : job->v + (size_t)at * job->ld;

        keys[r] = (at < 0 ? job->pad_k : job->k + (size_t)at * job->ld) + head * dim;
        memcpy(job->to.v + base + (size_t)(to + r) * dim, v + head * dim,
               sizeof(float) * (size_t)dim);
    }
    if (n == KEY_PANEL)
        kernels->key_panel(panel, keys, dim);
    else
        for (int d = 0; d < dim; d++, panel += KEY_PANEL)
            for (int r = 0; r < n; r++)
                panel[r] = keys[r][d];
}

static void
keep_piece(void *arg, int piece, int thread)
{
    const KeepAll *a = arg;
    int heads = a->jobs->to.heads;
    const KeepJob *job = &a->jobs[piece / heads];

    (void)thread;
    for (int i = 0, n; i < job->n; i += n)
    {
        n = KEY_PANEL - (job->start + i) % KEY_PANEL;
        n = n < job->n - i ? n : job->n - i;
        keep_rows(a->kernels, job, i, n, piece % heads);
    }
}

void
cpu_keep(Device *d, const KeepJob *jobs, int n)
{
    KeepAll a = {d->kernels, jobs};
    double work = 0;

    for (int i = 0; i < n; i++) /* a number kept takes the time of some multiply-adds */
        work += 32.0 * jobs[i].n * jobs[i].to.heads * jobs[i].to.dim;
    if (n > 0)
        device_for(d, n * jobs->to.heads, work, keep_piece, &a);
}

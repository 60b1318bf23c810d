/* moe.c - gated feed-forward layers, the router, and the experts with their rows grouped. Spec 7.
 *
 * Sharp edges: the weights of the chosen experts are not made to sum to one; a row adds its experts in ascending
 * order of id, whatever rows share them. */
#include "cpu.h"

#include <math.h>

/* ---- gate and up together ---- */

/* h = silu(gate x) * (up x) for outputs n0 .. n1-1. up: scratch of rows * (n1 - n0) floats. */
static void
gate_up(const CpuKernels *c, float *h, const float *x, int ldx, int rows, const Mlp *m, int n0,
        int n1, float *up)
{
    int n = n1 - n0;

    c->linear(h, m->gate.n, x, ldx, rows, &m->gate, n0, n1, NULL, FINISH_SET);
    c->linear(up - n0, n, x, ldx, rows, &m->up, n0, n1, NULL, FINISH_SET);
    for (int r = 0; r < rows; r++)
        c->silu_times(h + (size_t)r * m->gate.n + n0, up + (size_t)r * n, n);
}

typedef struct MlpJob
{
    Device *d;
    float *h;
    const float *x;
    const Mlp *m;
    int rows, columns, across;
} MlpJob;

static void
mlp_piece(void *arg, int piece, int thread)
{
    const MlpJob *j = arg;
    int row = piece / j->across * LINEAR_ROWS, n0 = piece % j->across * j->columns,
        k = j->m->gate.k;
    int rows = j->rows - row < LINEAR_ROWS ? j->rows - row : LINEAR_ROWS;
    int n1 = n0 + j->columns < j->m->gate.n ? n0 + j->columns : j->m->gate.n;

    gate_up(j->d->kernels, j->h + (size_t)row * j->m->gate.n, j->x + (size_t)row * k, k, rows, j->m,
            n0, n1, thread_scratch(j->d, thread));
}

void
cpu_mlp(Device *d, float *y, float *h, const float *x, int rows, const Mlp *m)
{
    MlpJob j = {d, h, x, m, rows, 0, 0};
    int strip = rows < LINEAR_ROWS ? rows : LINEAR_ROWS;

    if (d->stopped || rows <= 0)
        return;
    j.columns =
        piece_columns(d, m->gate.n, 2.0 * strip * m->gate.k, 2.0 * rows * m->gate.n * m->gate.k);
    j.across = (m->gate.n + j.columns - 1) / j.columns;
    if (!device_scratch(d, (size_t)strip * (size_t)j.columns))
        return;
    device_for(d, (rows + LINEAR_ROWS - 1) / LINEAR_ROWS * j.across,
               2.0 * rows * m->gate.n * m->gate.k, mlp_piece, &j);
    cpu_linear(d, y, m->down.n, h, m->down.k, rows, &m->down, NULL, FINISH_ADD);
}

/* ---- the router ---- */

/* p becomes the softmax of the row; picks of the largest, ties to the lower id; ascending by id. */
static void
route_row(float *p, int n, int32_t *ids, float *weights, int top, bool normalise, float scale)
{
    float most = p[0], sum = 0, picked = 0;

    for (int e = 1; e < n; e++)
        most = p[e] > most ? p[e] : most;
    for (int e = 0; e < n; e++)
        sum += p[e] = expf(p[e] - most);
    for (int i = 0; i < top; i++)
    {
        int best = -1, to = i;

        for (int e = 0; e < n; e++)
        {
            bool taken = false;

            for (int k = 0; k < i; k++)
                taken |= ids[k] == e;
            if (!taken && (best < 0 || p[e] > p[best]))
                best = e;
        }
        for (; to > 0 && ids[to - 1] > best; to--)
            ids[to] = ids[to - 1];
        ids[to] = best;
        picked += p[best] / sum;
    }
    for (int i = 0; i < top; i++)
        weights[i] = p[ids[i]] / sum / (normalise ? picked + 1e-20f : 1) * scale;
}

void
cpu_route(Device *d, int32_t *ids, float *weights, float *logits, const float *x, int rows, int top,
          const Weight *w, bool normalise, float scale)
{
    cpu_linear(d, logits, w->n, x, w->k, rows, w, NULL, FINISH_SET);
    if (d->stopped)
        return;
    for (int r = 0; r < rows; r++)
        route_row(logits + (size_t)r * w->n, w->n, ids + (size_t)r * top, weights + (size_t)r * top,
                  top, normalise, scale);
}

/* ---- the experts ---- */

/* Which rows go where: entry i of the sorted list is row from[i], and row r's choice c stands at to[r * top + c].
 * Expert e has the entries first[e] .. first[e + 1] - 1. */
typedef struct ExpertsJob
{
    Device *d;
    float *y;
    const float *x, *weights;
    const Mlp *experts;
    int rows, top, nexperts, hidden, width;
    int32_t *from, *to, *first;
    float *in, *h, *out; /* [rows * top, hidden], [.., width], [.., hidden] */
    int *pieces;         /* [nexperts + 1]: each expert's first piece of the phase at hand */
    int columns;
} ExpertsJob;

size_t
experts_scratch(int rows, int top, int hidden, int width)
{
    size_t all = (size_t)rows * (size_t)top;

    return all * (size_t)(2 * hidden + width) + 2 * all + 2 * (EXPERTS_MOST + 8);
}

static void
sort_rows(ExpertsJob *j, const int32_t *ids)
{
    int n = j->rows * j->top;

    memset(j->first, 0, sizeof(int32_t) * (size_t)(j->nexperts + 2));
    for (int i = 0; i < n; i++)
        j->first[ids[i] + 2]++;
    for (int e = 0; e < j->nexperts; e++)
        j->first[e + 2] += j->first[e + 1];
    for (int i = 0; i < n; i++)
    {
        int32_t at = j->first[ids[i] + 1]++;

        j->from[at] = i / j->top;
        j->to[i] = at;
    }
    for (int i = 0; i < n; i++)
        memcpy(j->in + (size_t)i * j->hidden, j->x + (size_t)j->from[i] * j->hidden,
               sizeof(float) * (size_t)j->hidden);
}

/* Lays out a phase: for every expert that has rows, strips of rows times strips of columns. */
static int
count_pieces(ExpertsJob *j, int n, double macs_of_column)
{
    int all = 0, busy = 0;
    double rows = (double)j->rows * j->top;

    for (int e = 0; e < j->nexperts; e++)
        busy += j->first[e + 1] > j->first[e];
    j->columns = piece_columns(
        j->d, n, macs_of_column * (rows / busy < LINEAR_ROWS ? rows / busy : LINEAR_ROWS),
        macs_of_column * rows * n);
    for (int e = 0; e < j->nexperts; e++)
    {
        int mine = j->first[e + 1] - j->first[e];

        j->pieces[e] = all;
        all += (mine + LINEAR_ROWS - 1) / LINEAR_ROWS * ((n + j->columns - 1) / j->columns);
    }
    j->pieces[j->nexperts] = all;
    return all;
}

typedef struct ExpertPiece
{
    const Mlp *m;
    int row, rows, n0, n1;
} ExpertPiece;

static ExpertPiece
find_piece(const ExpertsJob *j, int piece, int n)
{
    int across = (n + j->columns - 1) / j->columns, e = 0, mine, row;
    ExpertPiece p;

    while (j->pieces[e + 1] <= piece)
        e++;
    mine = piece - j->pieces[e];
    row = mine / across * LINEAR_ROWS;
    p.m = &j->experts[e];
    p.row = j->first[e] + row;
    p.rows = j->first[e + 1] - p.row < LINEAR_ROWS ? j->first[e + 1] - p.row : LINEAR_ROWS;
    p.n0 = mine % across * j->columns;
    p.n1 = p.n0 + j->columns < n ? p.n0 + j->columns : n;
    return p;
}

static void
expert_up(void *arg, int piece, int thread)
{
    const ExpertsJob *j = arg;
    ExpertPiece p = find_piece(j, piece, j->width);

    gate_up(j->d->kernels, j->h + (size_t)p.row * j->width, j->in + (size_t)p.row * j->hidden,
            j->hidden, p.rows, p.m, p.n0, p.n1, thread_scratch(j->d, thread));
}

static void
expert_down(void *arg, int piece, int thread)
{
    const ExpertsJob *j = arg;
    ExpertPiece p = find_piece(j, piece, j->hidden);

    (void)thread;
    j->d->kernels->linear(j->out + (size_t)p.row * j->hidden, j->hidden,
                          j->h + (size_t)p.row * j->width, j->width, p.rows, &p.m->down, p.n0, p.n1,
                          NULL, FINISH_SET);
}

/* y[0 .. n) += the weighted sum of rows `to` from column d. n is a constant: a compiler may take all at once. */
static inline void
add_columns(const ExpertsJob *j, float *y, const float *weights, const int32_t *to, int d, int n)
{
    float sums[4] = {0}, row[4];

    for (int c = 0; c < j->top; c++)
    {
        memcpy(row, j->out + (size_t)to[c] * j->hidden + d, sizeof *row * (size_t)n);
        for (int i = 0; i < n; i++)
            sums[i] += weights[c] * row[i];
    }
    for (int i = 0; i < n; i++)
        y[i] += sums[i];
}

/* Puts a row's experts together, in the order of their ids. */
static void
add_experts(void *arg, int r, int thread)
{
    const ExpertsJob *j = arg;
    const float *weights = j->weights + (size_t)r * j->top;
    const int32_t *to = j->to + (size_t)r * j->top;
    float *y = j->y + (size_t)r * j->hidden;
    int d = 0;

    (void)thread;
    for (; d + 4 <= j->hidden; d += 4)
        add_columns(j, y + d, weights, to, d, 4);
    for (; d < j->hidden; d++)
        add_columns(j, y + d, weights, to, d, 1);
}

void
cpu_experts(Device *d, float *y, const float *x, int rows, int top, const int32_t *ids,
            const float *weights, const Mlp *experts, int nexperts, float *scratch)
{
    ExpertsJob j = {.d = d,
                    .y = y,
                    .x = x,
                    .weights = weights,
                    .experts = experts,
                    .rows = rows,
                    .top = top,
                    .nexperts = nexperts,
                    .hidden = experts->gate.k,
                    .width = experts->gate.n};
    size_t all = (size_t)rows * (size_t)top;
    double work;

    if (d->stopped || rows <= 0)
        return;
    j.in = scratch;
    j.out = j.in + all * (size_t)j.hidden;
    j.h = j.out + all * (size_t)j.hidden;
    j.from = (int32_t *)(j.h + all * (size_t)j.width);
    j.to = j.from + all;
    j.first = j.to + all;
    j.pieces = j.first + EXPERTS_MOST + 8;
    sort_rows(&j, ids);
    if (!device_scratch(d, (size_t)LINEAR_ROWS * (size_t)((j.width + 15) / 16 * 16)))
        return;
    work = (double)all * j.hidden * j.width;
    device_for(d, count_pieces(&j, j.width, 2.0 * j.hidden), 2 * work, expert_up, &j);
    device_for(d, count_pieces(&j, j.hidden, j.width), work, expert_down, &j);
    device_for(d, rows, (double)all * j.hidden, add_experts, &j);
}

/* backend.h - the table of operations, and the opened machine that carries them out.
 *
 * A Device is one opened backend: its operations, its threads, its scratch memory, and the tick that is called
 * at least every 100 ms of work. Model code calls d->ops->name(d, ...) and never asks which machine it is on.
 * Sharp edge: operations return nothing. What goes wrong (the tick said stop, no memory) stays in the device;
 * from then on every operation is a no-op, and device_status() says so at the end of a layer.
 *
 * P8: the order in which a sum is formed depends on the weight's shape only - never on the number of rows, of
 * threads or of jobs beside it. A row's result is the same bits alone and in any company. */
#ifndef DS_BACKEND_H
#define DS_BACKEND_H

#include "status.h"
#include "tensor.h"

typedef struct Device Device;

/* What becomes of a product on its way out. */
typedef enum Finish
{
    FINISH_SET,  /* y = xw + b */
    FINISH_ADD,  /* y += xw + b */
    FINISH_GELU, /* y = gelu(xw + b), with erf */
} Finish;

/* Keys and values of one sequence, window or view. Keys lie in panels of 16 positions, so that one query meets
 * 16 of them at once: k[head][position / 16][dim][position % 16]; v[head][position][dim]. */
#define KEY_PANEL 16
typedef struct Keys
{
    float *k;  /* [heads, room / 16, dim, 16] */
    float *v;  /* [heads, room, dim] */
    int heads; /* of keys: grouped-query attention has fewer than of queries */
    int dim;   /* of a head, even */
    int room;  /* positions, a multiple of KEY_PANEL */
} Keys;

/* Puts rows into Keys at positions start, start + 1, ... */
typedef struct KeepJob
{
    Keys to;
    int start, n;
    const float *k, *v; /* [.., heads * dim], rows ld apart */
    int ld;
    const int32_t *places;      /* NULL, or [n]: the row to take for each position, -1 for `pad` */
    const float *pad_k, *pad_v; /* [heads * dim] */
} KeepJob;

/* Relative positions of a grid (spec 4.3), per head the same. Tables are reversed (row r of the panels is row
 * 2 g - 2 - r of the stored table) and laid out as one head of Keys.k, so that the terms of one query for
 * keys 0..g-1 lie side by side. */
typedef struct Grid
{
    int h, w;           /* keys are numbered y * w + x */
    const float *rel_h; /* panels of 2h - 1 rows */
    const float *rel_w; /* panels of 2w - 1 rows */
} Grid;

/* out = softmax(scale * q.k + grid terms) v, head by head. Query i sees the keys 0 .. see(i) - 1, where
 * see(i) = keys, or, if causal, max(prefix, first + i + 1). Query head h uses key head h / (heads / from.heads). */
typedef struct AttendJob
{
    Keys from;
    int keys;
    const float *q; /* [.., heads * dim], rows ldq apart */
    float *out;     /* [.., heads * dim], rows ldo apart */
    int ldq, ldo;
    int rows, heads;
    const int32_t *places; /* NULL, or [rows]: where in q and out query i lies; -1: none */
    bool causal;
    int prefix, first;
    float scale;
    const Grid *grid; /* or NULL; then query i stands at place i of the grid */
} AttendJob;

/* One expert: down(silu(gate x) * (up x)). */
typedef struct Mlp
{
    Weight gate, up, down;
} Mlp;

typedef struct Backend
{
    const char *name;

    /* Lays a weight out as the machine likes it; frees what was laid out. */
    void (*pack)(Device *d, Weight *w);
    void (*unpack)(Device *d, Weight *w);

    /* y[rows, n] from x[rows, k], rows ldy and ldx apart. b: [n] or NULL. */
    void (*linear)(Device *d, float *y, int ldy, const float *x, int ldx, int rows, const Weight *w,
                   const float *b, Finish finish);
    /* 3 x 3, padding 1, no bias. x: [views, h, w, channels]; y: [views, (h-1)/stride+1, (w-1)/stride+1, w->n].
     * w: [n, 3, 3, channels], that is k = 9 * channels: model.c has turned the stored order round. */
    void (*conv3)(Device *d, float *y, const float *x, int views, int h, int w, int channels,
                  int stride, const Weight *weight);
    /* y may be x. w, b: [cols]. */
    void (*layer_norm)(Device *d, float *y, const float *x, int rows, int cols, const float *w,
                       const float *b, float eps);
    void (*rms_norm)(Device *d, float *y, const float *x, int rows, int cols, const float *w,
                     float eps);
    /* Half-rotation of heads of `dim` in place (spec 5.1). positions: [rows]; table: [.., dim], a row being dim/2
     * cosines, then dim/2 sines. */
    void (*rope)(Device *d, float *x, int ldx, int rows, int heads, int dim,
                 const int32_t *positions, const float *table);
    void (*keep)(Device *d, const KeepJob *jobs, int n);
    void (*attend)(Device *d, const AttendJob *jobs, int n);
    /* y[rows, .] += down(silu(gate x) * (up x)). h: [rows, gate.n] scratch. */
    void (*mlp)(Device *d, float *y, float *h, const float *x, int rows, const Mlp *m);
    /* Router (spec 7): for every row the `top` experts of largest probability, ascending by id, and their weights.
     * Ties go to the lower id. logits: [rows, w->n] scratch. */
    void (*route)(Device *d, int32_t *ids, float *weights, float *logits, const float *x, int rows,
                  int top, const Weight *w, bool normalise, float scale);
    /* y[rows, .] += sum over the row's experts of weight * expert(x), in the order of ids. scratch:
     * experts_scratch() floats. */
    void (*experts)(Device *d, float *y, const float *x, int rows, int top, const int32_t *ids,
                    const float *weights, const Mlp *experts, int nexperts, float *scratch);
    /* y[i, :] = row ids[i] of w, as floats; ids[i] < 0 leaves y[i] alone. */
    void (*rows_of)(Device *d, float *y, int ldy, const Weight *w, const int32_t *ids, int n);
    /* x[view, row, :] += w[row, :]. */
    void (*add_rows)(Device *d, float *x, int views, int rows, int cols, const float *w);
    /* Bytes to patches: y[gh * gw, 3 * ph * pw] in the order channel, y, x, each byte through its channel's table.
     * pixels: [gh * ph, stride >= gw * pw, channels]; one channel stands for all three. table: [3, 256]. */
    void (*patches)(Device *d, float *y, const uint8_t *pixels, int stride, int channels, int gh,
                    int gw, int ph, int pw, const float *table);
} Backend;

struct CpuKernels;
struct Pool;

struct Device
{
    const Backend *ops;
    const struct CpuKernels *kernels;
    struct Pool *pool;
    int threads;
    bool automatic; /* the backend was not named */
    bool int8;      /* weights are packed as 8-bit integers */
    int (*tick)(
        void
            *arg); /* may be NULL; called from the thread that calls the operations, and no other */
    void *tick_arg;
    DsStatus stopped; /* DS_OK, or why operations have become no-ops */
    float *workspace; /* of device_workspace */
    size_t workspace_floats;
};

/* backend: "auto" or NULL, "generic", "avx2", "avxvnni", "avx512", each but the first with "-int8" too; the environment's
 * DSOCR_CPU overrides auto. threads: 0 for all the process may use. DS_UNSUPPORTED: no such backend, or not on this processor. */
DsStatus device_open(const char *backend, int threads, int (*tick)(void *arg), void *tick_arg,
                     Device **d, DsError *err);
void device_close(Device *d);
const char *device_name(const Device *d); /* "generic", "avx2", ...: what was chosen */

/* Whether the weights that are packed from now on may become 8-bit integers where that is faster: for models whose pages
 * are tested so. A backend that was named stays as it is. */
void device_allow_int8(Device *d, bool allow);

/* Makes operations work again; the entries of vision.h and decoder.h begin with it. */
void device_begin(Device *d);
/* DS_OK, DS_CANCELLED or DS_BROKEN (no memory), with its message. */
DsStatus device_status(Device *d, DsError *err);

#define EXPERTS_MOST 4096 /* experts of a layer */

/* Memory for one entry's activations, kept for the next; it grows when asked for more. NULL without memory. */
float *device_workspace(Device *d, size_t floats);

/* Floats of scratch that `experts` needs. */
size_t experts_scratch(int rows, int top, int hidden, int width);

/* The room that n positions take. */
static inline int
keys_room(int n)
{
    return (n + KEY_PANEL - 1) / KEY_PANEL * KEY_PANEL;
}

/* Where dimension d of key j lies in one head's panels. */
static inline size_t
key_at(int dim, int j, int d)
{
    return ((size_t)(j / KEY_PANEL) * (size_t)dim + (size_t)d) * KEY_PANEL +
           (size_t)(j % KEY_PANEL);
}

#endif

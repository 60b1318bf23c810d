/* cpu.h - what the files of the cpu backend share: the pool that splits work, and the inner loops that have
 * variants.
 *
 * An operation (linear.c, attend.c, ...) cuts its work into pieces of a few milliseconds and hands them to
 * the pool; a piece calls the inner loops of the variant that was chosen at open. The plain loops are the
 * definition. How work is cut must never change a sum (P8). */
#ifndef DS_CPU_H
#define DS_CPU_H

#include "backend.h"

/* ---- threads.c ---- */

typedef struct Pool Pool;

/* One piece of work; thread counts from 0, which is the caller. */
typedef void (*PieceFn)(void *arg, int piece, int thread);

Pool *pool_open(int threads); /* NULL: no memory, no threads */
void pool_close(Pool *p);

/* Runs fn(arg, 0 .. n-1), `work` in all, on all threads, ticking between; returns when all are done. After a stop the pieces
 * that have not begun are left out. */
void device_for(Device *d, int n, double work, PieceFn fn, void *arg);

extern uint64_t cpu_tick_every; /* ns: a tick comes no sooner after another; tests shorten it */

/* Work, in multiply-adds: less than this is not worth waking a thread for (5 us with AVX2). */
#define PIECE_LEAST 262144.0

/* Makes sure that every thread has this many floats of scratch; false (and the device stopped) without memory. */
bool device_scratch(Device *d, size_t floats);
float *thread_scratch(Device *d, int thread); /* 64-byte aligned */

/* ---- the inner loops with variants ---- */

#define STRIP       12   /* query rows that attend at once */
#define INT8_K      2048 /* weights of longer rows are not packed as integers */
#define LINEAR_ROWS 96   /* rows that multiply at once: a strip of x stays in the second cache */

typedef struct CpuKernels
{
    const char *name;
    const char *int8_name; /* with weights packed as integers; NULL where nothing is packed */
    /* The bytes and form of a packed weight; packs nothing when NULL. */
    size_t (*packed_size)(const Weight *w);
    void (*pack)(const Weight *w, void *to, int n0, int n1);
    /* Outputs n0 .. n1-1 (n0 a multiple of 16) of FINISH_SET or FINISH_ADD. */
    void (*linear)(float *y, int ldy, const float *x, int ldx, int rows, const Weight *w, int n0,
                   int n1, const float *b, Finish finish);
    void (*gelu)(float *x, int n);
    void (*silu_times)(float *x, const float *u, int n); /* x = silu(x) * u */
    void (*layer_norm)(float *y, const float *x, int cols, const float *w, const float *b,
                       float eps);
    void (*rms_norm)(float *y, const float *x, int cols, const float *w, float eps);
    /* Rows row0 .. row0+rows-1 (at most STRIP) of one head. scratch: attend_scratch() floats. */
    void (*attend)(const AttendJob *job, int head, int row0, int rows, float *scratch);
    /* panel[dim][16] from 16 rows. */
    void (*key_panel)(float *panel, const float *const *keys, int dim);
} CpuKernels;

extern const CpuKernels cpu_kernels_generic;
extern const CpuKernels cpu_kernels_avx2, cpu_kernels_avxvnni, cpu_kernels_avx512;

/* The plain loops, by file; the generic table is made of them. */
void linear_plain(float *y, int ldy, const float *x, int ldx, int rows, const Weight *w, int n0,
                  int n1, const float *b, Finish finish);
void gelu_plain(float *x, int n);
void silu_times_plain(float *x, const float *u, int n);
void layer_norm_plain(float *y, const float *x, int cols, const float *w, const float *b,
                      float eps);
void rms_norm_plain(float *y, const float *x, int cols, const float *w, float eps);
void attend_plain(const AttendJob *job, int head, int row0, int rows, float *scratch);
void key_panel_plain(float *panel, const float *const *keys, int dim);

/* Floats that attend needs for one strip: the scores, and the grid's terms. */
size_t attend_scratch(const AttendJob *job);
/* The keys that query row i sees, and the head of keys that a head of queries meets. */
int attend_sees(const AttendJob *job, int row);
int attend_key_head(const AttendJob *job, int head);

/* ---- the operations, by file ---- */

void cpu_pack(Device *d, Weight *w);
void cpu_unpack(Device *d, Weight *w);
void cpu_linear(Device *d, float *y, int ldy, const float *x, int ldx, int rows, const Weight *w,
                const float *b, Finish finish);
void cpu_rows_of(Device *d, float *y, int ldy, const Weight *w, const int32_t *ids, int n);
void cpu_conv3(Device *d, float *y, const float *x, int views, int h, int w, int channels,
               int stride, const Weight *weight);
void cpu_patches(Device *d, float *y, const uint8_t *pixels, int stride, int channels, int gh,
                 int gw, int ph, int pw, const float *table);
void cpu_layer_norm(Device *d, float *y, const float *x, int rows, int cols, const float *w,
                    const float *b, float eps);
void cpu_rms_norm(Device *d, float *y, const float *x, int rows, int cols, const float *w,
                  float eps);
void cpu_rope(Device *d, float *x, int ldx, int rows, int heads, int dim, const int32_t *positions,
              const float *table);
void cpu_keep(Device *d, const KeepJob *jobs, int n);
void cpu_attend(Device *d, const AttendJob *jobs, int n);
void cpu_add_rows(Device *d, float *x, int views, int rows, int cols, const float *w);
void cpu_mlp(Device *d, float *y, float *h, const float *x, int rows, const Mlp *m);
void cpu_route(Device *d, int32_t *ids, float *weights, float *logits, const float *x, int rows,
               int top, const Weight *w, bool normalise, float scale);
void cpu_experts(Device *d, float *y, const float *x, int rows, int top, const int32_t *ids,
                 const float *weights, const Mlp *experts, int nexperts, float *scratch);

/* Columns of a product that make a good piece: a multiple of 16. macs: multiply-adds of one column. */
int piece_columns(const Device *d, int n, double macs_of_column, double all_macs);

#endif

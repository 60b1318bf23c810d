/* lanes_int8.h - products of 8-bit integers, for small models whose pages are tested with them.
 *
 * One instruction (vpdpbusd) multiplies four times as many numbers as an FMA. A weight's row becomes integers of -127 to
 * 127 once, when it is packed; a row of x at each product, with a scale for each block of k. An output is off by some
 * 6e-3 of its size, some times what rounding to bf16 costs; MODEL.md says what that does to what is read. Sums of a block
 * are exact, so their order is no matter of P8, nor is it one that AVX2 alone, which has no such instruction, keeps the same
 * integers in 16 bits (vpmaddwd). Sharp edges: the instruction takes x without a sign, so X_OFFSET is added to each
 * number, and a block's sum begins with what that makes too much; a block of zeros, as the border of a convolution has
 * them, is left out. */
#ifndef DS_LANES_INT8_H
#define DS_LANES_INT8_H

#include "lanes_gemm.h"

#define MOST   127    /* of x and of w */
#define LEAST  1e-30f /* smaller numbers are zero */
#define ROOM   12288  /* numbers of x at once: they stay in the first cache, beside a panel */
#define SCALES 256    /* theirs: at most ROOM / 96, and one more a row */
#define BESIDE 8      /* rows whose greatest numbers are looked for first: none waits for its own */

/* Length of a block: a row, but convolutions, of 96 channels or multiples of 128, have whole blocks outside of the map. */
static int
block_of(int k)
{
    return k <= 512 ? k : k % 128 != 0 && k % 96 == 0 ? 96 : 128;
}

static int
blocks_of(int k)
{
    return (k + block_of(k) - 1) / block_of(k);
}

/* ---- packing ---- */

/* A panel: 16 scales, what the sums of each block begin with [blocks][16], then [k / TOGETHER][16][TOGETHER]. */
static size_t
starts_size(int k)
{
    return (size_t)blocks_of(k) * 64;
}

static size_t
panel_size(int k)
{
    return 64 + starts_size(k) + (size_t)((k + TOGETHER - 1) / TOGETHER) * 64;
}

static size_t
int8_size(const Weight *w)
{
    return ((size_t)w->n + 15) / 16 * panel_size(w->k);
}

/* Row n of w. */
static void
int8_pack_row(const Weight *w, char *panel, int n)
{
    char *at = panel + 64 + starts_size(w->k) + n % 16 * 4;
    float row[INT8_K];
    Narrow integers[INT8_K + 16]; /* whole lanes are stored */
    Floats sizes = all(0), by;
    float greatest;

    for (int i = 0; i < w->k; i++)
        row[i] = dtype_load(w->dtype, w->data, (uint64_t)n * (uint64_t)w->k + (uint64_t)i);
    for (int i = 0; i < w->k; i += 16)
        sizes = greater(sizes, size_of(load_up_to(row + i, w->k - i)));
    greatest = greatest_16(sizes);
    by = all(greatest > LEAST ? MOST / greatest : 0);
    ((float *)panel)[n % 16] = greatest > LEAST ? greatest / MOST : 0;
    for (int i = 0; i < w->k; i += 16)
        store_narrow(integers + i, mul(by, load_up_to(row + i, w->k - i)));
    for (int b = 0; b < blocks_of(w->k); b++)
    {
        int end = (b + 1) * block_of(w->k) < w->k ? (b + 1) * block_of(w->k) : w->k, sum = 0;

        for (int i = b * block_of(w->k); i < end; i++)
            sum += integers[i] - X_OFFSET;
        ((int32_t *)panel)[16 + b * 16 + n % 16] = -X_OFFSET * sum;
    }
    for (int i = 0; i < w->k; i += TOGETHER, at += 64)
    {
        uint32_t some;

        memcpy(&some, integers + i, 4);
        some ^= X_SIGNS;
        memcpy(at, &some, 4);
    }
}

static void
int8_pack(const Weight *w, void *to, int n0, int n1)
{
    size_t size = panel_size(w->k);

    memset((char *)to + (size_t)(n0 / 16) * size, 0, (size_t)((n1 - n0 + 15) / 16) * size);
    for (int n = n0; n < n1; n++)
        int8_pack_row(w, (char *)to + (size_t)(n / 16) * size, n);
}

/* ---- x ---- */

INLINE float
greatest_of(const float *x, int n)
{
    Floats sizes = all(0);
    int whole = n / 16 * 16;

    for (int i = 0; i < whole; i += 16)
        sizes = greater(sizes, size_of(load(x + i)));
    if (whole < n)
        sizes = greater(sizes, size_of(load_first(x + whole, n - whole)));
    return greatest_16(sizes);
}

/* n numbers, none greater than this, to integers, zeros after them up to a multiple of 16. Returns their scale. */
INLINE float
to_integers(const float *x, int n, float greatest, Narrow *to)
{
    Floats by = all(greatest > LEAST ? MOST / greatest : 0);
    int whole = n / 16 * 16;

    for (int i = 0; i < whole; i += 16)
        store_narrow(to + i, mul(by, load(x + i)));
    if (whole < n)
        store_narrow(to + whole, mul(by, load_first(x + whole, n - whole)));
    return greatest > LEAST ? greatest / MOST : 0;
}

/* ---- products ---- */

/* A tile: its rows as integers, the first panel of weights, and in `out` where the outputs go. */
typedef struct Tile
{
    Spot out; /* x and ldx are not used */
    const Narrow *x;
    const float *scales; /* [mr, blocks] */
    const char *panel;
    float (*sums)[PANELS_MOST][16]; /* of the blocks so far: they do not fit into registers */
    size_t apart;                   /* bytes from panel to panel */
    int ld;                         /* of x */
    int steps, block, blocks;       /* TOGETHER of k each, in all and of a block; blocks */
    bool zeros;                     /* there may be blocks of zeros */
} Tile;

/* acc = block b, from step `from` to step `end`. */
INLINE void
block_sums(int mr, int np, const Tile *t, int b, int from, int end,
           Ints acc[ROWS_MOST][PANELS_MOST])
{
    const char *panel = t->panel + 64 + (size_t)t->blocks * 64;

    UNROLL for (int p = 0; p < np; p++)
    {
        Ints start = load_ints(t->panel + (size_t)p * t->apart + 64 + (size_t)b * 64);

        UNROLL for (int m = 0; m < mr; m++) acc[m][p] = start;
    }
    for (int i = from; i < end; i++)
    {
        Ints w[PANELS_MOST];

        UNROLL for (int p = 0; p < np; p++) w[p] =
            load_ints(panel + (size_t)p * t->apart + (size_t)i * 64);
        UNROLL for (int m = 0; m < mr; m++)
        {
            int32_t some;

            memcpy(&some, t->x + (size_t)m * t->ld + TOGETHER * i, sizeof some);
            UNROLL for (int p = 0; p < np; p++) add_products(&acc[m][p], some, w[p]);
        }
    }
}

INLINE bool
zeros_only(int mr, const Tile *t, int b)
{
    float any = 0;

    UNROLL for (int m = 0; m < mr; m++) any += t->scales[m * t->blocks + b];
    return any == 0;
}

/* Whole panels leave without a look at each for where the outputs end. The place is a copy: for all that the compiler knows,
 * each store might change the original. */
INLINE void
put_tile(int mr, int np, const Tile *t, Floats sums[ROWS_MOST][PANELS_MOST])
{
    Spot out = t->out;
    bool whole = out.n + 16 * np <= out.w->n, adds = out.finish == FINISH_ADD;

    UNROLL for (int p = 0; p < np; p++)
    {
        Floats by = load((const float *)(t->panel + (size_t)p * t->apart)), bias = all(0);

        if (out.b)
            bias = load_up_to(out.b + out.n + 16 * p, out.w->n - out.n - 16 * p);
        UNROLL for (int m = 0; m < mr; m++) sums[m][p] = add(mul(sums[m][p], by), bias);
    }
    out.b = NULL;
    UNROLL for (int m = 0; m < mr; m++) UNROLL for (int p = 0; p < np; p++)
    {
        float *to = out.y + (size_t)m * (size_t)out.ldy + out.n + 16 * p;

        if (whole)
            store(to, adds ? add(load(to), sums[m][p]) : sums[m][p]);
        else
            put(&out, m, out.n + 16 * p, sums[m][p]);
    }
}

INLINE void
integer_product(int mr, int np, const Tile *t)
{
    float(*kept)[PANELS_MOST][16] = t->sums;
    int blocks = t->blocks, b = 0;
    Ints acc[ROWS_MOST][PANELS_MOST];
    Floats sums[ROWS_MOST][PANELS_MOST];

    do
    {
        int from = b * t->block, end = b + 1 < blocks ? from + t->block : t->steps;

        if (t->zeros && zeros_only(mr, t, b))
            end = from;
        block_sums(mr, np, t, b, from, end, acc);
        UNROLL for (int m = 0; m < mr; m++) UNROLL for (int p = 0; p < np; p++) sums[m][p] =
            mul(floats_of(acc[m][p]), all(t->scales[m * blocks + b]));
        if (b > 0)
            UNROLL for (int m = 0; m < mr; m++) UNROLL for (int p = 0; p < np; p++) sums[m][p] =
                add(sums[m][p], load(kept[m][p]));
        if (b + 1 < blocks)
            UNROLL for (int m = 0; m < mr; m++) UNROLL for (int p = 0; p < np; p++)
                store(kept[m][p], sums[m][p]);
    } while (++b < blocks);
    put_tile(mr, np, t, sums);
}

#define INTEGER_PRODUCT(mr, np)                                                                    \
    static void int8_##mr(const Tile *t)                                                           \
    {                                                                                              \
        if (t->out.one_panel)                                                                      \
            integer_product(mr, 1, t);                                                             \
        else                                                                                       \
            integer_product(mr, np, t);                                                            \
    }
#define INT8_AT(mr, np) [mr] = int8_##mr,

TILES(INTEGER_PRODUCT)
static void (*const int8_products[])(const Tile *) = {TILES(INT8_AT)};

/* Rows that are worked on at once. */
static int
rows_at_once(int rows, int ld)
{
    int room = ROOM / ld;

    room = room > ROWS_MOST ? room / ROWS_MOST * ROWS_MOST : room;
    room = room > LINEAR_ROWS ? LINEAR_ROWS : room;
    return rows < room ? rows : room;
}

/* Block b of some rows of x, at most BESIDE, to integers; returns whether one is zeros. */
INLINE bool
blocks_to_integers(const float *x, int ldx, int rows, int k, int b, Narrow *to, int ld,
                   float *scales)
{
    int at = b * block_of(k), n = k - at < block_of(k) ? k - at : block_of(k),
        blocks = blocks_of(k);
    float greatest[BESIDE];
    bool zeros = false;

    for (int r = 0; r < rows; r++)
        greatest[r] = greatest_of(x + (size_t)r * ldx + at, n);
    for (int r = 0; r < rows; r++)
    {
        float scale =
            to_integers(x + (size_t)r * ldx + at, n, greatest[r], to + (size_t)r * ld + at);

        scales[r * blocks + b] = scale;
        zeros |= scale == 0;
    }
    return zeros;
}

/* Rows of x to integers; returns whether a block is zeros. */
static bool
rows_to_integers(const float *x, int ldx, int rows, int k, Narrow *to, int ld, float *scales)
{
    bool zeros = false;

    for (int r = 0; r < rows; r += BESIDE)
        for (int b = 0; b < blocks_of(k); b++)
            zeros |=
                blocks_to_integers(x + (size_t)r * ldx, ldx, rows - r < BESIDE ? rows - r : BESIDE,
                                   k, b, to + (size_t)r * ld, ld, scales + r * blocks_of(k));
    return zeros;
}

static void
int8_linear(float *y, int ldy, const float *x, int ldx, int rows, const Weight *w, int n0, int n1,
            const float *b, Finish finish)
{
    Narrow integers[ROOM] __attribute__((aligned(64)));
    float scales[SCALES], sums[ROWS_MOST][PANELS_MOST][16] __attribute__((aligned(64)));
    int ld = (w->k + 15) / 16 * 16, together = panels_for(rows_for(rows));
    size_t size = panel_size(w->k);
    Tile t = {.out = {.ldy = ldy, .w = w, .b = b, .finish = finish},
              .sums = sums,
              .apart = size,
              .ld = ld,
              .steps = (w->k + TOGETHER - 1) / TOGETHER,
              .block = block_of(w->k) / TOGETHER,
              .blocks = blocks_of(w->k)};

    for (int row = 0, n; row < rows; row += n)
    {
        n = rows_at_once(rows - row, ld);
        t.zeros = rows_to_integers(x + (size_t)row * ldx, ldx, n, w->k, integers, ld, scales);
        for (int at = n0, panels; at < n1; at += 16 * panels)
        {
            panels = n1 - at >= 16 * together ? together : 1;
            for (int r = 0, mr; r < n; r += mr)
            {
                mr = rows_for(n - r);
                t.out.y = y + (size_t)(row + r) * ldy;
                t.x = integers + (size_t)r * ld;
                t.scales = scales + (size_t)r * t.blocks;
                t.out.one_panel = panels_for(mr) != panels;
                for (t.out.n = at; t.out.n < at + 16 * panels;
                     t.out.n += t.out.one_panel ? 16 : 16 * panels)
                {
                    t.panel = (const char *)w->packed + (size_t)(t.out.n / 16) * size;
                    int8_products[mr](&t);
                }
            }
        }
    }
}

#endif

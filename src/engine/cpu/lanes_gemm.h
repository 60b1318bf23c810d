/* lanes_gemm.h - products with weights: linear.c's fast twin.
 *
 * Weights lie in panels of 16 outputs, [n / 16][k][16], bf16 when stored so and f32 otherwise; a tile of some rows of x
 * meets a panel while that is in the first cache. Few rows take several panels at once. */
#ifndef DS_LANES_GEMM_H
#define DS_LANES_GEMM_H

#include "lanes.h"

/* ---- how sums leave a tile ---- */

/* A tile's place: rows from `x` and `y`, outputs from n, as many panels as its rows take or one. */
typedef struct Spot
{
    const float *x;
    float *y;
    int ldx, ldy, n;
    bool one_panel;
    const Weight *w;
    const float *b;
    Finish finish;
} Spot;

/* Up to 16 outputs of row m, from n. */
INLINE void
put(const Spot *s, int m, int n, Floats sums)
{
    float *to = s->y + (size_t)m * s->ldy + n;
    int count = s->w->n - n;

    if (s->b)
        sums = add(sums, load_up_to(s->b + n, count));
    if (s->finish == FINISH_ADD)
        sums = add(load_up_to(to, count), sums);
    store_up_to(to, count, sums);
}

/* ---- packing ---- */

static Form
form_of(const Weight *w)
{
    return w->dtype == DTYPE_BF16 ? FORM_BF16 : FORM_F32;
}

static size_t
panels_size(const Weight *w)
{
    return ((size_t)w->n + 15) / 16 * 16 * (size_t)w->k * (form_of(w) == FORM_BF16 ? 2 : 4);
}

/* Up to 16 weights of a row, zeros after them. */
static Floats
load_weights(DType dtype, const char *row, int from, int n)
{
    float few[16];

    if (n >= 16 && dtype == DTYPE_BF16)
        return load_bf16(row + (size_t)from * 2);
    if (n >= 16 && dtype == DTYPE_F32)
        return load((const float *)(const void *)(row + (size_t)from * 4));
    for (int i = 0; i < 16; i++)
        few[i] = i < n ? dtype_load(dtype, row, (uint64_t)(from + i)) : 0;
    return load(few);
}

/* Outputs n0 .. n1-1, n0 a multiple of 16; what lacks of the last panel is zeros. */
static void
pack_panels(const Weight *w, void *to, int n0, int n1)
{
    Form form = form_of(w);
    size_t size = form == FORM_BF16 ? 32 : 64, row = (size_t)w->k * dtype_size(w->dtype);

    for (int n = n0; n < n1; n += 16)
        for (int i = 0; i < w->k; i += 16)
        {
            char *at = (char *)to + ((size_t)(n / 16) * (size_t)w->k + (size_t)i) * size;
            Floats rows[16];

            for (int r = 0; r < 16; r++)
                rows[r] = n + r < w->n ? load_weights(w->dtype,
                                                      (const char *)w->data + (size_t)(n + r) * row,
                                                      i, w->k - i)
                                       : all(0);
            transpose(rows);
            for (int r = 0; r < 16 && r < w->k - i; r++, at += size)
                if (form == FORM_BF16)
                    store_bf16_panel(at, rows[r]);
                else
                    store((float *)at, rows[r]);
        }
}

/* ---- products ---- */

INLINE void
product(int mr, int np, Form form, const Spot *s)
{
    Floats acc[ROWS_MOST][PANELS_MOST];
    const float *x[ROWS_MOST];
    size_t panel = 16 * (size_t)s->w->k;
    const char *from =
        (const char *)s->w->packed + (size_t)(s->n / 16) * panel * (form == FORM_BF16 ? 2 : 4);

    UNROLL for (int m = 0; m < mr; m++)
    {
        x[m] = s->x + (size_t)m * s->ldx;
        UNROLL for (int p = 0; p < np; p++) acc[m][p] = all(0);
    }
    tile(mr, np, form, acc, x, from, panel, 16, s->w->k);
    UNROLL for (int m = 0; m < mr; m++) UNROLL for (int p = 0; p < np; p++)
        put(s, m, s->n + 16 * p, acc[m][p]);
}

#define PRODUCT(form, name, mr, np)                                                                \
    static void name##_##mr(const Spot *s)                                                         \
    {                                                                                              \
        if (s->one_panel)                                                                          \
            product(mr, 1, form, s);                                                               \
        else                                                                                       \
            product(mr, np, form, s);                                                              \
    }
#define F32(mr, np)     PRODUCT(FORM_F32, f32, mr, np)
#define BF16(mr, np)    PRODUCT(FORM_BF16, bf16, mr, np)
#define F32_AT(mr, np)  [mr] = f32_##mr,
#define BF16_AT(mr, np) [mr] = bf16_##mr,

TILES(F32)
TILES(BF16)
static void (*const f32_products[])(const Spot *) = {TILES(F32_AT)};
static void (*const bf16_products[])(const Spot *) = {TILES(BF16_AT)};

static void
linear_panels(float *y, int ldy, const float *x, int ldx, int rows, const Weight *w, int n0, int n1,
              const float *b, Finish finish)
{
    void (*const *products)(const Spot *) = form_of(w) == FORM_BF16 ? bf16_products : f32_products;
    int together = panels_for(rows_for(rows));

    for (int n = n0, panels; n < n1; n += 16 * panels)
    {
        panels = n1 - n >= 16 * together ? together : 1;
        for (int r = 0, mr; r < rows; r += mr)
        {
            Spot s = {x + (size_t)r * ldx, y + (size_t)r * ldy, ldx, ldy, n, false, w, b, finish};

            mr = rows_for(rows - r);
            if (panels_for(mr) == panels)
                products[mr](&s);
            else /* the last panels, or tiles that are uneven */
                for (s.one_panel = true; s.n < n + 16 * panels; s.n += 16)
                    products[mr](&s);
        }
    }
}

#endif

/* gemm_avx2.c - products with weights for AVX2: linear.c's fast twin.
 *
 * Weights lie in panels of 16 outputs, [n / 16][k][16], bf16 when stored so and f32 otherwise; a tile of up to six
 * rows of x meets a panel while that is in the first cache. Few rows take several panels at once. */
#include "gemm_avx2.h"

/* ---- packing ---- */

static Form
form_of(const Weight *w)
{
    return w->dtype == DTYPE_BF16 ? FORM_BF16 : FORM_F32;
}

static size_t
packed_size(const Weight *w)
{
    size_t panels = ((size_t)w->n + 15) / 16;

    if (w->int16)
        return int16_size(w);
    return panels * 16 * (size_t)w->k * (form_of(w) == FORM_BF16 ? 2 : 4);
}

/* Where output n of one k stands among a panel's 16. */
static size_t
place_of(Form form, int n)
{
    return form == FORM_BF16 ? (size_t)(n % 8 * 2 + n % 16 / 8) : (size_t)(n % 16);
}

/* Outputs n0 .. n1-1, n0 a multiple of 16; what lacks of the last panel is zeros. */
static void
pack(const Weight *w, void *to, int n0, int n1)
{
    Form form = form_of(w);
    size_t k = (size_t)w->k;

    if (w->int16)
    {
        int16_pack(w, to, n0, n1);
        return;
    }
    for (int n = n0; n < (n1 + 15) / 16 * 16; n++)
    {
        size_t at = (size_t)(n / 16) * 16 * k + place_of(form, n);

        for (size_t i = 0; i < k; i++)
        {
            uint64_t from = (uint64_t)n * k + i;

            if (form == FORM_F32)
                ((float *)to)[at + i * 16] = n < w->n ? dtype_load(w->dtype, w->data, from) : 0;
            else if (n < w->n)
                memcpy((uint16_t *)to + at + i * 16, (const char *)w->data + from * 2, 2);
            else
                ((uint16_t *)to)[at + i * 16] = 0;
        }
    }
}

/* ---- products ---- */

INLINE void
product(int mr, int np, Form form, const Spot *s)
{
    __m256 acc[ROWS_MOST][2 * PANELS_MOST];
    const float *x[ROWS_MOST];
    size_t panel = 16 * (size_t)s->w->k;
    const char *from =
        (const char *)s->w->packed + (size_t)(s->n / 16) * panel * (form == FORM_BF16 ? 2 : 4);

    UNROLL for (int m = 0; m < mr; m++)
    {
        x[m] = s->x + (size_t)m * s->ldx;
        UNROLL for (int p = 0; p < 2 * np; p++) acc[m][p] = _mm256_setzero_ps();
    }
    tile(mr, np, form, acc, x, from, panel, 16, s->w->k);
    UNROLL for (int m = 0; m < mr; m++) UNROLL for (int p = 0; p < np; p++)
        put(s, m, s->n + 16 * p, acc[m][2 * p], acc[m][2 * p + 1]);
}

#define PRODUCTS(form, name)                                                                       \
    static void name##_1_4(const Spot *s)                                                          \
    {                                                                                              \
        product(1, 4, form, s);                                                                    \
    }                                                                                              \
    static void name##_1_1(const Spot *s)                                                          \
    {                                                                                              \
        product(1, 1, form, s);                                                                    \
    }                                                                                              \
    static void name##_2_2(const Spot *s)                                                          \
    {                                                                                              \
        product(2, 2, form, s);                                                                    \
    }                                                                                              \
    static void name##_2_1(const Spot *s)                                                          \
    {                                                                                              \
        product(2, 1, form, s);                                                                    \
    }                                                                                              \
    static void name##_3_2(const Spot *s)                                                          \
    {                                                                                              \
        product(3, 2, form, s);                                                                    \
    }                                                                                              \
    static void name##_3_1(const Spot *s)                                                          \
    {                                                                                              \
        product(3, 1, form, s);                                                                    \
    }                                                                                              \
    static void name##_4_1(const Spot *s)                                                          \
    {                                                                                              \
        product(4, 1, form, s);                                                                    \
    }                                                                                              \
    static void name##_5_1(const Spot *s)                                                          \
    {                                                                                              \
        product(5, 1, form, s);                                                                    \
    }                                                                                              \
    static void name##_6_1(const Spot *s)                                                          \
    {                                                                                              \
        product(6, 1, form, s);                                                                    \
    }                                                                                              \
    /* [rows][0]: as many panels as panels_for says, [rows][1]: one */                             \
    static void (*const name[ROWS_MOST + 1][2])(const Spot *) = {{0, 0},                           \
                                                                 {name##_1_4, name##_1_1},         \
                                                                 {name##_2_2, name##_2_1},         \
                                                                 {name##_3_2, name##_3_1},         \
                                                                 {name##_4_1, name##_4_1},         \
                                                                 {name##_5_1, name##_5_1},         \
                                                                 {name##_6_1, name##_6_1}};

PRODUCTS(FORM_F32, products_f32)
PRODUCTS(FORM_BF16, products_bf16)

static void
linear(float *y, int ldy, const float *x, int ldx, int rows, const Weight *w, int n0, int n1,
       const float *b, Finish finish)
{
    bool bf16 = form_of(w) == FORM_BF16;
    int together = panels_for(rows_for(rows));

    if (w->int16)
    {
        int16_linear(y, ldy, x, ldx, rows, w, n0, n1, b, finish);
        return;
    }
    for (int n = n0; n < n1;)
    {
        int panels = n1 - n >= 16 * together ? together : 1;

        for (int r = 0, mr; r < rows; r += mr)
        {
            Spot s = {x + (size_t)r * ldx, y + (size_t)r * ldy, ldx, ldy, n, w, b, finish};

            mr = rows_for(rows - r);
            if (panels_for(mr) != together) /* only when the tiles are uneven */
                for (int p = 0; p < panels; p++, s.n += 16)
                    (bf16 ? products_bf16 : products_f32)[mr][1](&s);
            else
                (bf16 ? products_bf16 : products_f32)[mr][panels == 1](&s);
        }
        n += 16 * panels;
    }
}

const CpuKernels cpu_kernels_avx2 = {
    .name = "avx2",
    .packed_size = packed_size,
    .pack = pack,
    .linear = linear,
    .gelu = gelu_avx2,
    .silu_times = silu_times_avx2,
    .layer_norm = layer_norm_avx2,
    .rms_norm = rms_norm_avx2,
    .attend = attend_avx2,
};

/* toy_test.c - the toy made from a formula gives the values of spec 14.1 at every stage, to 2e-5, and its eight
 * tokens, on every backend. With a mistake planted (make PLANT=1, DSOCR_PLANT=number) it must fail: test/plant.sh. */
#include "../../src/engine/decoder.h"
#include "../../src/engine/plant.h"
#include "../../src/engine/vision.h"

#include <math.h>

#include "../../src/engine/choose.h"
#include "check.h"
#include "toy.h"

#define SHARE 2e-5 /* eps and GELU mistakes move values by 1e-4 */

typedef struct Expected
{
    const char *name;
    int n;
    double first[4], last[2], sum, sumsq;
} Expected;

static const Expected expected_sam = {
    "global SAM",         64 * 16,   {-0.90848, 7.15823, 1.46381, 5.56298},
    {-10.88139, 4.79910}, 1906.1732, 43084.902};
static const Expected expected_encoder = {
    "global encoder",    16 * 64,  {0.55571, -0.17714, 0.04815, 0.75890},
    {-1.29225, 0.48679}, -42.8938, 1039.7017};
static const Expected expected_tile_sam = {
    "tile 4 SAM",        64 * 9,   {-2.04581, 2.10884, 3.62952, -3.23698},
    {0.30326, -2.14254}, 939.0406, 20744.365};
static const Expected expected_tile_encoder = {
    "tile 4 encoder",     9 * 64,   {0.47046, 1.07607, 0.36426, 0.35615},
    {-0.88590, -0.66961}, -41.6901, 576.5613};
static const Expected expected_rows = {
    "image rows",       71 * 80,  {1.94493, 0.59913, -1.09072, 0.26322},
    {0.04297, 0.18359}, 186.4828, 7332.107};
static const Expected expected_logits = {
    "logits", 320, {-3.02388, 0.33467, 0.93392, 3.46721}, {-0.41365, -5.28812}, 47.6275, 2023.867};
static const int32_t expected_tokens[8] = {297, 312, 8, 50, 64, 312, 149, 170};

/* A number printed with `digits` decimals: within the share of it, or of the stage's deviation, and half a digit. */
static bool
near_enough(const char *part, double got, double want, double size, double digit)
{
    double tolerance = SHARE * (fabs(want) > size ? fabs(want) : size) + 0.6 * digit;

    if (close_to(got, want, tolerance))
        return true;
    printf("     %s: %.7g, and should be %.7g +- %.1g\n", part, got, want, tolerance);
    return false;
}

static void
check_stage(const char *backend, const Expected *e, const float *v)
{
    double sum = 0, squares = 0, deviation = sqrt(e->sumsq / e->n);
    bool ok = true;
    char what[96];

    for (int i = 0; i < e->n; i++)
    {
        sum += v[i];
        squares += (double)v[i] * v[i];
    }
    for (int i = 0; i < 4; i++)
        ok &= near_enough("first", v[i], e->first[i], deviation, 1e-5);
    for (int i = 0; i < 2; i++)
        ok &= near_enough("last", v[e->n - 2 + i], e->last[i], deviation, 1e-5);
    ok &= near_enough("sum", sum, e->sum, deviation, 1e-4);
    ok &= near_enough("sumsq", squares, e->sumsq, 0, e->sumsq > 2000 ? 1e-3 : 1e-4);
    snprintf(what, sizeof what, "%s: %s as in spec 14.1", backend, e->name);
    promise(what, ok);
}

/* ---- a run ---- */

typedef struct Toy
{
    Device *d;
    Model *m;
    Decoder *dec;
    Views views;
    Arena arena;
    float rows[71 * 80], logits[320];
} Toy;

static bool
open_toy(Toy *t, const char *backend, const char *dir)
{
    DsError err = {0};
    Image page = toy_page(300, 220);
    bool ok;

    memset(t, 0, sizeof *t);
    arena_init(&t->arena, 0);
    ok = device_open(backend, 2, NULL, NULL, &t->d, &err) == DS_OK &&
         model_open(dir, t->d, &t->m, &err) == DS_OK &&
         decoder_open(t->m, t->d, 1, 128, 80, &t->dec, &err) == DS_OK &&
         views_cut(&page, &model_facts(t->m)->views, &t->arena, &t->views, &err) == DS_OK;
    if (!ok)
        printf("     %s: %s\n", err.message, err.detail);
    free(page.pixels);
    return ok;
}

static void
close_toy(Toy *t)
{
    decoder_close(t->dec);
    model_close(t->m);
    device_close(t->d);
    arena_free(&t->arena);
}

static void
see(Toy *t, VisionTrace *traces)
{
    DsError err;

    promise("the toy's views are encoded",
            vision_encode(t->m, t->d, t->views.views, t->views.n, t->rows, traces, &err) == DS_OK);
    memcpy(t->rows + 70 * 80, model_separator(t->m), 80 * sizeof(float));
}

static bool
decode(Toy *t, int start, int n, const int32_t *ids)
{
    DecoderInput in = {0, start, n, ids, t->rows};
    DsError err;

    return decoder_run(t->dec, &in, 1, t->logits, &err) == DS_OK;
}

static void
prompt(Toy *t)
{
    int32_t ids[76] = {0};

    for (int i = 1; i <= 71; i++)
        ids[i] = -1;
    memcpy(ids + 72, (const int32_t[]){201, 17, 270, 16}, 4 * sizeof *ids);
    promise("the prompt is taken", decode(t, 0, 76, ids));
}

static void
test_tokens(Toy *t, const char *backend)
{
    float least = INFINITY;
    bool same = true;
    char what[96];

    for (int i = 0; i < 8; i++)
    {
        Choice c = choose_next(t->logits, 320, NULL, 0, 0, NULL);

        same &= c.id == expected_tokens[i];
        least = c.gap < least ? c.gap : least;
        decode(t, 76 + i, 1, &c.id);
    }
    snprintf(what, sizeof what, "%s: the eight greedy tokens of spec 14.1", backend);
    promise(what, same);
    promise("their smallest gap to the runner-up is 0.22", close_to(least, 0.22, 0.006));
}

static void
test_backend(const char *backend, const char *dir)
{
    VisionTrace traces[7] = {0};
    Toy t;

    if (!promise("the toy opens", open_toy(&t, backend, dir)))
        return;
    promise("6 tiles, then the whole page", t.views.n == 7 &&
                                                vision_rows(t.m, &t.views.views[0]) == 9 &&
                                                vision_rows(t.m, &t.views.views[6]) == 16);
    see(&t, traces);
    check_stage(backend, &expected_sam, traces[6].sam);
    check_stage(backend, &expected_encoder, traces[6].encoder);
    check_stage(backend, &expected_tile_sam, traces[4].sam);
    check_stage(backend, &expected_tile_encoder, traces[4].encoder);
    check_stage(backend, &expected_rows, t.rows);
    prompt(&t);
    check_stage(backend, &expected_logits, t.logits);
    test_tokens(&t, backend);
    for (int i = 0; i < 7; i++)
    {
        free(traces[i].sam);
        free(traces[i].encoder);
    }
    close_toy(&t);
}

/* All values are exact in bf16, so how they are stored cannot matter. */
static void
test_f32(const char *backend, const char *bf16, const char *f32)
{
    Toy a, b;
    char what[96];

    if (!promise("the toy opens from F32",
                 open_toy(&a, backend, bf16) && open_toy(&b, backend, f32)))
        return;
    see(&a, NULL);
    see(&b, NULL);
    prompt(&a);
    prompt(&b);
    snprintf(what, sizeof what, "%s: BF16 and F32 files give the same bits", backend);
    promise(what, memcmp(a.logits, b.logits, sizeof a.logits) == 0);
    promise("the facts tell them apart", strcmp(model_facts(a.m)->dtype, "bf16") == 0 &&
                                             strcmp(model_facts(b.m)->dtype, "f32") == 0 &&
                                             model_facts(a.m)->parameters == 562752);
    close_toy(&a);
    close_toy(&b);
}

int
main(void)
{
    static const char *const backends[] = {"generic", "avx2"};
    char bf16[256], f32[256];

#ifdef DS_PLANT
    ds_planted = getenv("DSOCR_PLANT") ? atoi(getenv("DSOCR_PLANT")) : 0;
#endif
    if (!promise("mktoy writes the toy", make_toy("toy", "", bf16, sizeof bf16) &&
                                             make_toy("toy-f32", "f32=1", f32, sizeof f32)))
        return report();
    for (int i = 0; i < 2; i++)
    {
        Device *d;
        DsError err;

        if (device_open(backends[i], 1, NULL, NULL, &d, &err) != DS_OK)
        {
            skipped(backends[i], err.detail);
            continue;
        }
        device_close(d);
        test_backend(backends[i], bf16);
        test_f32(backends[i], bf16, f32);
    }
    return report();
}

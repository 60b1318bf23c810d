/* toy_test.c - the toy made from a formula gives the values of spec 14.1 at every stage, to 2e-5, and its eight
 * tokens, on every backend. With a mistake planted (make PLANT=1, DSOCR_PLANT=number) it must fail: test/plant.sh. */
#include "../../src/engine/choose.h"
#include "../../src/engine/plant.h"

#include <math.h>

#include "toy_run.h"

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

static char bf16[256], f32[256];

static bool
opens(Toy *t, const char *backend, const char *dir)
{
    return promise("the toy opens: 6 tiles, then the whole page",
                   toy_open(t, backend, dir, 300, 220) &&
                       vision_rows(t->m, &t->views.views[0]) == 9 &&
                       vision_rows(t->m, &t->views.views[6]) == 16);
}

static void
test_tokens(Toy *t, const char *backend, int at)
{
    float least = INFINITY;
    bool same = true;
    char what[96];

    for (int i = 0; i < 8; i++)
    {
        Choice c = choose_next(t->logits, t->vocab, NULL, 0, 0, NULL);

        same &= c.id == expected_tokens[i];
        least = c.gap < least ? c.gap : least;
        toy_decode(t, at + i, 1, &c.id);
    }
    snprintf(what, sizeof what, "%s: the eight greedy tokens of spec 14.1", backend);
    promise(what, same);
    promise("their smallest gap to the runner-up is 0.22", close_to(least, 0.22, 0.006));
}

static void
test_backend(const char *backend)
{
    Toy t;
    int at;

    if (!opens(&t, backend, bf16))
        return;
    toy_see(&t);
    check_stage(backend, &expected_sam, t.traces[6].sam);
    check_stage(backend, &expected_encoder, t.traces[6].encoder);
    check_stage(backend, &expected_tile_sam, t.traces[4].sam);
    check_stage(backend, &expected_tile_encoder, t.traces[4].encoder);
    check_stage(backend, &expected_rows, t.rows);
    at = toy_prompt(&t);
    check_stage(backend, &expected_logits, t.logits);
    test_tokens(&t, backend, at);
    toy_close(&t);
}

/* All values are exact in bf16, so how they are stored cannot matter. */
static void
test_f32(const char *backend)
{
    Toy a, b;
    char what[96];

    if (!opens(&a, backend, bf16) || !opens(&b, backend, f32))
        return;
    toy_see(&a);
    toy_see(&b);
    toy_prompt(&a);
    toy_prompt(&b);
    snprintf(what, sizeof what, "%s: BF16 and F32 files give the same bits", backend);
    promise(what, memcmp(a.logits, b.logits, (size_t)a.vocab * sizeof *a.logits) == 0);
    promise("the facts tell them apart", strcmp(model_facts(a.m)->dtype, "bf16") == 0 &&
                                             strcmp(model_facts(b.m)->dtype, "f32") == 0 &&
                                             model_facts(a.m)->parameters == 562752);
    toy_close(&a);
    toy_close(&b);
}

int
main(void)
{
#ifdef DS_PLANT
    ds_planted = getenv("DSOCR_PLANT") ? atoi(getenv("DSOCR_PLANT")) : 0;
#endif
    if (!promise("mktoy writes the toy", make_toy("toy", "", bf16, sizeof bf16) &&
                                             make_toy("toy-f32", "f32=1", f32, sizeof f32)))
        return report();
    each_backend(test_backend);
    each_backend(test_f32);
    return report();
}

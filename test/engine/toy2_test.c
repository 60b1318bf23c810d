/* toy2_test.c - a second toy, of other sizes, gives the values that transformers' implementation of the model gave
 * (test/golden/toy2.json, made by test/reference/transformers_toy.py), on every backend. */
#include "../../src/engine/decoder.h"
#include "../../src/engine/vision.h"

#include "../../src/engine/choose.h"
#include "check.h"
#include "golden.h"
#include "toy.h"

/* Both compute in f32, in different orders, through deeper stages than the first toy. */
#define SHARE 5e-5

static json_t *golden;

typedef struct Toy
{
    Device *d;
    Model *m;
    Decoder *dec;
    Views views;
    Arena arena;
    int nrows, vocab;
    float *rows, *logits;
    VisionTrace traces[7];
} Toy;

static int
page_side(int i)
{
    return (int)json_integer_value(json_array_get(json_object_get(golden, "page"), (size_t)i));
}

static bool
open_toy(Toy *t, const char *backend, const char *dir)
{
    Image page = toy_page(page_side(0), page_side(1));
    DsError err = {0};
    bool ok;

    memset(t, 0, sizeof *t);
    arena_init(&t->arena, 0);
    ok = device_open(backend, 2, NULL, NULL, &t->d, &err) == DS_OK &&
         model_open(dir, t->d, &t->m, &err) == DS_OK &&
         decoder_open(t->m, t->d, 1, 512, 512, &t->dec, &err) == DS_OK &&
         views_cut(&page, &model_facts(t->m)->views, &t->arena, &t->views, &err) == DS_OK &&
         t->views.n == 7;
    if (!ok)
        printf("     %s: %s\n", err.message, err.detail);
    free(page.pixels);
    return ok;
}

static bool
see(Toy *t)
{
    size_t hidden = (size_t)model_facts(t->m)->hidden;
    DsError err;

    for (int i = 0; i < t->views.n; i++)
        t->nrows += vision_rows(t->m, &t->views.views[i]);
    t->rows = calloc((size_t)t->nrows + 1, hidden * sizeof *t->rows);
    memcpy(t->rows + (size_t)t->nrows * hidden, model_separator(t->m), hidden * sizeof *t->rows);
    return vision_encode(t->m, t->d, t->views.views, t->views.n, t->rows, t->traces, &err) == DS_OK;
}

static bool
decode(Toy *t, int start, int n, const int32_t *ids)
{
    DecoderInput in = {0, start, n, ids, t->rows};
    DsError err;

    return decoder_run(t->dec, &in, 1, t->logits, &err) == DS_OK;
}

/* BOS, the rows, and the four ids; returns the number of positions. */
static int
prompt(Toy *t)
{
    static const int32_t tail[] = {201, 17, 270, 16};
    int32_t ids[512] = {0};

    t->vocab = model_facts(t->m)->vocab;
    t->logits = calloc((size_t)t->vocab, sizeof *t->logits);
    for (int i = 1; i <= t->nrows + 1; i++)
        ids[i] = -1;
    memcpy(ids + t->nrows + 2, tail, sizeof tail);
    promise("the prompt is taken", decode(t, 0, t->nrows + 6, ids));
    return t->nrows + 6;
}

static void
stage(const char *backend, const char *name, const float *values, int n)
{
    char what[128];

    snprintf(what, sizeof what, "%s: %s as transformers has it", backend, name);
    promise(what, golden_stage(golden, name, values, n, SHARE));
}

static void
test_tokens(Toy *t, const char *backend, int at)
{
    json_t *want = json_object_get(golden, "tokens"), *one;
    bool same = json_array_size(want) == 8;
    char what[128];
    size_t i;

    json_array_foreach(want, i, one)
    {
        Choice c = choose_next(t->logits, t->vocab, NULL, 0, 0, NULL);

        same &= c.id == json_integer_value(one);
        same &= decode(t, at++, 1, &c.id);
    }
    snprintf(what, sizeof what, "%s: eight greedy tokens as transformers has them", backend);
    promise(what, same);
}

static void
test_backend(const char *backend, const char *dir)
{
    int tile = (int)json_integer_value(json_object_get(golden, "tile")), at;
    Toy t;

    if (!promise("the second toy opens", open_toy(&t, backend, dir)))
        return;
    promise("its views are encoded", see(&t));
    stage(backend, "global_sam", t.traces[6].sam, 96 * 64);
    stage(backend, "global_encoder", t.traces[6].encoder, 64 * 96);
    stage(backend, "tile_sam", t.traces[tile].sam, 96 * 36);
    stage(backend, "tile_encoder", t.traces[tile].encoder, 36 * 96);
    stage(backend, "image_rows", t.rows, (t.nrows + 1) * model_facts(t.m)->hidden);
    at = prompt(&t);
    stage(backend, "logits", t.logits, t.vocab);
    test_tokens(&t, backend, at);
    for (int i = 0; i < 7; i++)
    {
        free(t.traces[i].sam);
        free(t.traces[i].encoder);
    }
    free(t.rows);
    free(t.logits);
    decoder_close(t.dec);
    model_close(t.m);
    device_close(t.d);
    arena_free(&t.arena);
}

int
main(void)
{
    static const char *const backends[] = {"generic", "avx2"};
    const char *sizes;
    char dir[256];

    golden = json_load_file("test/golden/toy2.json", 0, NULL);
    sizes = json_string_value(json_object_get(golden, "settings"));
    if (!promise("test/golden/toy2.json is there", sizes != NULL) ||
        !promise("mktoy writes a toy of its sizes", make_toy("toy2", sizes, dir, sizeof dir)))
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
        test_backend(backends[i], dir);
    }
    json_decref(golden);
    return report();
}

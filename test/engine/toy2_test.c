/* toy2_test.c - a second toy, of other sizes, gives the values that transformers' implementation of the model gave
 * (test/golden/toy2.json, made by test/reference/transformers_toy.py), on every backend. */
#include "../../src/engine/choose.h"

#include "golden.h"
#include "toy_run.h"

/* Both compute in f32, in different orders, through deeper stages than the first toy. */
#define SHARE 5e-5

static json_t *golden;

static char dir[256];

static int
page_side(int i)
{
    return (int)json_integer_value(json_array_get(json_object_get(golden, "page"), (size_t)i));
}

static void
stage(const char *backend, const char *name, const float *values, int n)
{
    char what[128];

    snprintf(what, sizeof what, "%s: %s as transformers has it", backend, name);
    promise(what, golden_stage(golden, name, values, n, SHARE, SHARE, 0, 0));
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
        same &= toy_decode(t, at++, 1, &c.id);
    }
    snprintf(what, sizeof what, "%s: eight greedy tokens as transformers has them", backend);
    promise(what, same);
}

static void
test_backend(const char *backend)
{
    int tile = (int)json_integer_value(json_object_get(golden, "tile")), at;
    Toy t;

    if (!promise("the second toy opens", toy_open(&t, backend, dir, page_side(0), page_side(1))))
        return;
    toy_see(&t);
    stage(backend, "global_sam", t.traces[6].sam, 96 * 64);
    stage(backend, "global_encoder", t.traces[6].encoder, 64 * 96);
    stage(backend, "tile_sam", t.traces[tile].sam, 96 * 36);
    stage(backend, "tile_encoder", t.traces[tile].encoder, 36 * 96);
    stage(backend, "image_rows", t.rows, t.nrows * t.hidden);
    at = toy_prompt(&t);
    stage(backend, "logits", t.logits, t.vocab);
    test_tokens(&t, backend, at);
    toy_close(&t);
}

int
main(void)
{
    const char *sizes;

    golden = json_load_file("test/golden/toy2.json", 0, NULL);
    sizes = json_string_value(json_object_get(golden, "settings"));
    if (!promise("test/golden/toy2.json is there", sizes != NULL) ||
        !promise("mktoy writes a toy of its sizes", make_toy("toy2", sizes, dir, sizeof dir)))
        return report();
    each_backend(test_backend);
    json_decref(golden);
    return report();
}

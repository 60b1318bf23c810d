/* toy_run.h - a toy's page read stage by stage: its views encoded, its prompt taken, one token at a time.
 *
 * Who includes it decides what the values must be. */
#ifndef DS_TOY_RUN_H
#define DS_TOY_RUN_H

#include "../../src/engine/decoder.h"
#include "../../src/engine/vision.h"

#include "check.h"
#include "toy.h"

#define TOY_VIEWS 7 /* six tiles, then the whole page */

typedef struct Toy
{
    Device *d;
    Model *m;
    Decoder *dec;
    Views views;
    Arena arena;
    int nrows, hidden, vocab; /* nrows: the views' rows and the separator */
    float *rows;              /* [nrows, hidden] */
    float *logits;            /* [vocab], after the newest id */
    VisionTrace traces[TOY_VIEWS];
} Toy;

__attribute__((unused)) static bool
toy_open(Toy *t, const char *backend, const char *dir, int width, int height)
{
    Image page = toy_page(width, height);
    DsError err = {0};
    bool ok;

    memset(t, 0, sizeof *t);
    arena_init(&t->arena, 0);
    ok = device_open(backend, 2, NULL, NULL, &t->d, &err) == DS_OK &&
         model_open(dir, t->d, &t->m, &err) == DS_OK &&
         decoder_open(t->m, t->d, 1, 512, 512, &t->dec, &err) == DS_OK &&
         views_cut(&page, &model_facts(t->m)->views, &t->arena, &t->views, &err) == DS_OK &&
         t->views.n == TOY_VIEWS;
    free(page.pixels);
    if (!ok)
    {
        printf("     %s: %s\n", err.message, err.detail);
        return false;
    }
    t->hidden = model_facts(t->m)->hidden;
    t->vocab = model_facts(t->m)->vocab;
    for (int i = 0; i < TOY_VIEWS; i++)
        t->nrows += vision_rows(t->m, &t->views.views[i]);
    t->nrows++;
    t->rows = calloc((size_t)t->nrows * t->hidden, sizeof *t->rows);
    t->logits = calloc((size_t)t->vocab, sizeof *t->logits);
    return true;
}

__attribute__((unused)) static void
toy_close(Toy *t)
{
    for (int i = 0; i < TOY_VIEWS; i++)
    {
        free(t->traces[i].sam);
        free(t->traces[i].encoder);
    }
    free(t->rows);
    free(t->logits);
    decoder_close(t->dec);
    model_close(t->m);
    device_close(t->d);
    arena_free(&t->arena);
}

__attribute__((unused)) static void
toy_see(Toy *t)
{
    size_t hidden = (size_t)t->hidden;
    float *seen = calloc((size_t)t->nrows, hidden * sizeof *seen);
    int filled = 0;
    DsError err;

    promise("the page's views are encoded", vision_encode(t->m, t->d, t->views.views, TOY_VIEWS,
                                                          seen, NULL, t->traces, &err) == DS_OK);
    for (int i = 0; i < TOY_VIEWS; i++)
        filled = vision_append(t->m, t->rows, filled, seen + (size_t)filled * hidden,
                               vision_rows(t->m, &t->views.views[i]), i == TOY_VIEWS - 1);
    free(seen);
}

__attribute__((unused)) static bool
toy_decode(Toy *t, int start, int n, const int32_t *ids)
{
    DecoderInput in = {0, start, n, ids, t->rows};
    DsError err;

    return decoder_run(t->dec, &in, 1, t->logits, &err) == DS_OK;
}

/* BOS, the rows, and four ids; returns the number of positions. */
__attribute__((unused)) static int
toy_prompt(Toy *t)
{
    static const int32_t tail[] = {201, 17, 270, 16};
    int32_t ids[512] = {0};

    for (int i = 1; i <= t->nrows; i++)
        ids[i] = -1;
    memcpy(ids + t->nrows + 1, tail, sizeof tail);
    promise("the prompt is taken", toy_decode(t, 0, t->nrows + 5, ids));
    return t->nrows + 5;
}

/* The test with every backend that this processor can have. */
__attribute__((unused)) static void
each_backend(void (*test)(const char *backend))
{
    static const char *const backends[] = {"generic", "avx2", "avx512"};

    for (int i = 0; i < 3; i++)
    {
        Device *d;
        DsError err;

        if (device_open(backends[i], 1, NULL, NULL, &d, &err) != DS_OK)
        {
            skipped(backends[i], err.detail);
            continue;
        }
        device_close(d);
        test(backends[i]);
    }
}

#endif

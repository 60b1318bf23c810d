/* early_test.c - a line reader's view is seen up to its last ink, in steps of dsocr.view_step: how many rows it becomes,
 * that these do not depend on company (P8), that without the step all of it is seen, and that what is written behind fewer
 * rows stands where it would behind all. What the rows are is mini_test's, by golden values. Reads with the shipped
 * dsocr-mini's weights. */
#include "../../src/engine/reading.h"

#include "check.h"
#include "image_files.h"
#include "mini_copy.h"

#define W     256
#define H     32
#define WHOLE 16 /* rows, 16 columns each */
#define VIEWS 18

static char dir[300];

/* White with some strokes before column `end`, the last of which is one faint point. */
static View
view(int end, int channels)
{
    uint8_t *pixels = malloc((size_t)W * H * channels);

    memset(pixels, 255, (size_t)W * H * channels);
    for (int x = 3; x < end - 6; x += 7)
        for (int y = 10; y < 24; y++)
            for (int c = 0; c < channels; c++)
                pixels[((size_t)y * W + x + y % 3) * channels + c] = (uint8_t)(x * 5 + y);
    if (end > 0)
        memset(pixels + ((size_t)(H - 1) * W + end - 1) * channels, 254, (size_t)channels);
    return (View){W, H, channels, pixels};
}

static int
rows_at(const Model *m, int end, int channels)
{
    View v = view(end, channels);
    int rows = vision_rows(m, &v);

    free((void *)v.pixels);
    return rows;
}

/* step < 0: without the key. */
static Model *
open_model(Device *d, int step)
{
    Model *m = NULL;
    DsError err = {0};

    mini_config(dir, "view_step", step < 0 ? NULL : json_integer(step));
    if (model_open(dir, d, &m, &err))
        exit(promise(err.message, false));
    return m;
}

static void
test_rows(Device *d)
{
    Model *m = open_model(d, 16);
    View v = view(20, 1);

    promise("a view has the rows that its ink reaches",
            rows_at(m, 1, 1) == 1 && rows_at(m, 16, 1) == 1 && rows_at(m, 17, 1) == 2 &&
                rows_at(m, 160, 1) == 10 && rows_at(m, 161, 1) == 11 && rows_at(m, 240, 1) == 15 &&
                rows_at(m, 241, 1) == WHOLE && rows_at(m, W, 1) == WHOLE);
    promise("a white one has one", rows_at(m, 0, 1) == 1);
    promise("one in colours is whole", rows_at(m, 20, 3) == WHOLE);
    promise("and the whole's rows are known without looking",
            vision_whole_rows(m, &(View){W, H, 1, NULL}) == WHOLE);
    model_close(m);
    m = open_model(d, 48);
    promise("steps of several rows are whole steps",
            rows_at(m, 1, 1) == 3 && rows_at(m, 49, 1) == 6 && rows_at(m, 240, 1) == 15 &&
                rows_at(m, 241, 1) == WHOLE);
    model_close(m);
    m = open_model(d, -1);
    promise("without a step all of a view is seen",
            rows_at(m, 1, 1) == WHOLE && vision_rows(m, &v) == WHOLE);
    model_close(m);
    free((void *)v.pixels);
}

/* Views of all widths, the last two as wide as the first two. */
static void
test_company(const char *backend, int threads)
{
    View views[VIEWS];
    float *all, *one, *at;
    bool same = true, early = true;
    char what[128];
    size_t hidden;
    Device *d;
    Model *m;
    DsError err;

    if (device_open(backend, threads, NULL, NULL, &d, &err))
    {
        skipped(backend, err.detail);
        return;
    }
    m = open_model(d, 16);
    hidden = (size_t)model_facts(m)->hidden;
    at = all = calloc(VIEWS * WHOLE, hidden * sizeof *all);
    one = calloc(WHOLE, hidden * sizeof *one);
    for (int i = 0; i < VIEWS; i++)
        views[i] = view(i % WHOLE * 16 + 7 + i % 5, 1);
    promise("views of all widths are encoded in one call",
            vision_encode(m, d, views, VIEWS, all, NULL, NULL, &err) == DS_OK);
    for (int i = 0; i < VIEWS; i++)
    {
        size_t rows = (size_t)vision_rows(m, &views[i]);

        early &= rows == (size_t)(i % WHOLE + 1);
        same &= vision_encode(m, d, &views[i], 1, one, NULL, NULL, &err) == DS_OK &&
                memcmp(one, at, rows * hidden * sizeof *one) == 0;
        at += rows * hidden;
        free((void *)views[i].pixels);
    }
    snprintf(what, sizeof what,
             "P8, %s, %d threads: each gives the bits it gives alone, in the order of the views",
             backend, threads);
    promise(what, same && early);
    model_close(m);
    device_close(d);
    free(all);
    free(one);
}

static void
test_refused(Device *d)
{
    static const int wrong[] = {10, 8, 24};
    Model *m;
    DsError err;

    for (int i = 0; i < 3; i++)
    {
        mini_config(dir, "view_step", json_integer(wrong[i]));
        promise("a step that is no whole row is refused",
                model_open(dir, d, &m, &err) == DS_NOT_READY &&
                    strstr(err.message, "dsocr.view_step is not a multiple of four patches"));
    }
}

/* ---- a page ---- */

/* The decoder, given all that was read of a line at once, behind a view that ends where its ink does, says the same. */
static bool
said_alone(const DsEngine *e, const DsPage *p, const Sequence *s, int gap)
{
    int vocab = model_facts(e->model)->vocab, written = s->n - s->prompt;
    float *logits = calloc((size_t)written + 1, (size_t)vocab * sizeof *logits);
    DecoderInput in = {.n = s->n, .ids = s->ids, .image = s->rows, .earlier = written, .gap = gap};
    bool ok;
    DsError err;

    for (int i = 0; i < s->prompt; i++)
        if (s->ids[i] < 0)
            in.behind = i; /* the last row is the separator's */
    ok = decoder_run(e->decoder, &in, 1, logits, &err) == DS_OK;
    for (int i = 0; ok && i < written; i++)
    {
        int at = s->prompt + i;
        Choice c = choose_next(logits + (size_t)i * vocab, vocab, s->ids, at, s->prompt, &p->rule);

        ok = c.id == s->ids[at] && memcmp(&c.probability, &s->probs[at], sizeof(float)) == 0;
    }
    free(logits);
    return ok;
}

static void
test_page(void)
{
    DsSettings settings = {.model_dir = dir, .backend = "generic", .threads = 2};
    DsEngine *e;
    DsRequest request;
    DsPage *p;
    Image page;
    bool worked = true, same = true, differs = false;
    int shorter = 0;
    DsError err = {0};

    mini_config(dir, "second_look", NULL);
    if (!half_receipt(&page) || ds_open(&settings, &e, &err) ||
        request_parse("{}", 2, 1000, &request, &err) ||
        ds_page_begin(e, &page, 1, &request.options, NULL, NULL, &p, &err))
        exit(promise(err.message, false));
    while (worked)
        if (ds_step(e, &p, 1, &worked, &err))
            exit(promise(err.message, false));
    for (int i = 0; i < p->nsequences; i++)
    {
        const Sequence *s = &p->sequences[i];
        const View *v = &p->views[s->first_view];
        int gap = vision_whole_rows(e->model, v) - vision_rows(e->model, v);

        shorter += gap > 0;
        same &= said_alone(e, p, s, gap);
        differs |= gap > 0 && !said_alone(e, p, s, 0);
    }
    promise("a page has lines that end early", shorter > 3);
    promise("what is written behind them stands where it would behind whole views", same);
    promise("and elsewhere would be other chances", differs);
    ds_page_end(e, p);
    ds_close(e);
    free(page.pixels);
}

int
main(void)
{
    static const char *const backends[] = {"generic", "avx2", "avx2-int8", "avx512-int8"};
    Device *d;
    DsError err;

    mini_copy("mini-early", dir, sizeof dir);
    if (!promise("the device opens", device_open("generic", 1, NULL, NULL, &d, &err) == DS_OK))
        return report();
    test_rows(d);
    test_refused(d);
    device_close(d);
    test_page();
    for (int i = 0; i < 4; i++)
        for (int threads = 1; threads <= 2; threads++)
            test_company(backends[i], threads);
    return report();
}

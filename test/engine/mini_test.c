/* mini_test.c - dsocr-mini reads its golden views (test/golden/mini.json): stage values, texts and ids, on the
 * plain loops exactly, on the variants up to near-ties; and a sequence is the same bits in any company (P8). */
#include "../../src/engine/decoder.h"
#include "../../src/engine/vision.h"

#include <jansson.h>

#include "../../src/engine/choose.h"
#include "check.h"
#include "golden.h"
#include "image_files.h"

#define VIEWS 24
#define ROWS  17 /* of a whole view, with the separator */
#define LONG  64

/* With sanitizers each kind of pass is made once: they look for faults, not for other values. */
#ifdef __SANITIZE_ADDRESS__
#define MOST_THREADS 1
#define COMPANIES    1
#else
#define MOST_THREADS 3
#define COMPANIES    3
#endif

typedef struct Mini
{
    json_t *golden;
    Image images[VIEWS];
    View views[VIEWS];
} Mini;

static Mini mini;

static bool
read_image(const char *path, Image *image)
{
    File f = read_file(path);
    size_t room = 32 * 256 * 3;
    uint8_t *pixels = malloc(room);
    DsError err;
    bool ok = f.data && image_decode(f.data, f.n, 0, &image_default_limits, pixels, room, image,
                                     &err) == DS_OK;

    free(f.data);
    return ok;
}

static void
load_views(void)
{
    json_t *segments = json_object_get(mini.golden, "segments");
    char path[256];

    for (int i = 0; i < VIEWS; i++)
    {
        const char *file =
            json_string_value(json_object_get(json_array_get(segments, (size_t)i), "file"));

        snprintf(path, sizeof path, "test/golden/%s", file);
        if (!read_image(path, &mini.images[i]))
            exit(promise(path, false) ? 0 : 1);
        mini.views[i] = (View){mini.images[i].width, mini.images[i].height, mini.images[i].channels,
                               mini.images[i].pixels};
    }
}

/* ---- one backend ---- */

typedef struct Run
{
    Device *d;
    Model *m;
    Decoder *dec;
    float *rows;      /* [VIEWS, ROWS, hidden] */
    int nrows[VIEWS]; /* of these, with the separator: a view that ends early has fewer */
    VisionTrace traces[VIEWS];
} Run;

static void
encode(Run *r)
{
    const ModelFacts *f = model_facts(r->m);
    size_t hidden = (size_t)f->hidden;
    float *rows = calloc(VIEWS * ROWS, hidden * sizeof *rows), *at = rows;
    DsError err = {0};
    DsStatus st = vision_encode(r->m, r->d, mini.views, VIEWS, rows, NULL, r->traces, &err);

    promise("the views are encoded", st == DS_OK);
    if (st)
        printf("     %s\n", err.message);
    r->rows = calloc(VIEWS * ROWS, hidden * sizeof *rows);
    for (int i = 0; i < VIEWS; i++)
    {
        int n = vision_rows(r->m, &mini.views[i]);

        r->nrows[i] = vision_append(r->m, r->rows + (size_t)i * ROWS * hidden, 0, at, n, true);
        at += (size_t)n * hidden;
    }
    free(rows);
}

static Run
open_run(const char *backend, int threads)
{
    Run r = {0};
    DsError err = {0};

    if (device_open(backend, threads, NULL, NULL, &r.d, &err) ||
        model_open("model/mini", r.d, &r.m, &err) ||
        decoder_open(r.m, r.d, VIEWS, 128, VIEWS * (ROWS + 1), &r.dec, &err))
    {
        promise("the mini opens", false);
        printf("     %s: %s\n", err.message, err.detail);
        exit(1);
    }
    encode(&r);
    return r;
}

static void
close_run(Run *r)
{
    for (int i = 0; i < VIEWS; i++)
    {
        free(r->traces[i].sam);
        free(r->traces[i].encoder);
    }
    free(r->rows);
    decoder_close(r->dec);
    model_close(r->m);
    device_close(r->d);
}

/* n ids or rows of a view from `start` on. */
static DecoderInput
input(const Run *r, int view, int slot, int start, int n, const int32_t *ids, const float *image)
{
    return (DecoderInput){.slot = slot,
                          .start = start,
                          .n = n,
                          .ids = ids,
                          .image = image,
                          .gap = ROWS - r->nrows[view],
                          .behind = r->nrows[view]};
}

/* Prefills the views [first, first + n) in slots 0.., all in one pass; logits: [n, vocab]. */
static bool
prefill(Run *r, int first, int n, float *logits)
{
    const ModelFacts *f = model_facts(r->m);
    DecoderInput in[VIEWS];
    int32_t ids[ROWS + 1];
    DsError err = {0};

    for (int i = 0; i <= ROWS; i++)
        ids[i] = i == 0 ? f->bos : -1;
    for (int i = 0; i < n; i++)
        in[i] = input(r, first + i, i, 0, r->nrows[first + i] + 1, ids,
                      r->rows + (size_t)(first + i) * ROWS * (size_t)f->hidden);
    return decoder_run(r->dec, in, n, logits, &err) == DS_OK;
}

typedef struct Reading
{
    int view;
    int32_t ids[LONG];
    int n;
    float gaps[LONG];
    uint64_t hash; /* of all logits */
} Reading;

static uint64_t
hash_logits(uint64_t h, const float *logits, int n)
{
    const uint8_t *bytes = (const uint8_t *)logits;

    for (size_t i = 0; i < sizeof *logits * (size_t)n; i++)
        h = (h ^ bytes[i]) * 0x100000001b3u;
    return h;
}

/* Takes every live sequence one token on; returns how many still live. */
static int
step(Run *r, Reading *readings, float *logits, int *owner, int live)
{
    const ModelFacts *f = model_facts(r->m);
    DecoderInput in[VIEWS];
    DsError err = {0};
    int next = 0;

    for (int i = 0; i < live; i++)
    {
        Reading *read = &readings[owner[i]];
        Choice c = choose_next(logits + (size_t)i * (size_t)f->vocab, f->vocab, NULL, 0, 0, NULL);

        read->hash = hash_logits(read->hash, logits + (size_t)i * (size_t)f->vocab, f->vocab);
        read->gaps[read->n] = c.gap;
        if (c.id == f->eos || read->n == f->max_new_tokens)
            continue;
        read->ids[read->n++] = c.id;
        owner[next] = owner[i];
        in[next++] = input(r, read->view, owner[i], r->nrows[read->view] + read->n, 1,
                           &read->ids[read->n - 1], NULL);
    }
    if (next && decoder_run(r->dec, in, next, logits, &err))
        return 0;
    return next;
}

static void
read_views(Run *r, int first, int n, Reading *readings)
{
    float *logits = calloc((size_t)n * (size_t)model_facts(r->m)->vocab, sizeof *logits);
    int owner[VIEWS], live = n;

    memset(readings, 0, (size_t)n * sizeof *readings);
    for (int i = 0; i < n; i++)
    {
        owner[i] = i;
        readings[i].view = first + i;
    }
    if (!prefill(r, first, n, logits))
        live = 0;
    while (live)
        live = step(r, readings, logits, owner, live);
    free(logits);
}

/* ---- the promises ---- */

/* share: how far a value may be off, of its stage's deviation; slope: of itself, all in one direction */
static void
test_stages(Run *r, const char *backend, double share, double slope)
{
    json_t *segments = json_object_get(mini.golden, "segments");
    const ModelFacts *f = model_facts(r->m);
    float *logits = calloc((size_t)f->vocab, sizeof *logits);
    char what[128];

    for (int i = 0; i < VIEWS; i++)
    {
        json_t *want = json_array_get(segments, (size_t)i);
        bool ok;

        if (json_object_get(want, "global_sam") == NULL)
            continue;
        int values = (r->nrows[i] - 1) * 192;

        ok = golden_stage(want, "global_sam", r->traces[i].sam, values, share, share, slope, 0) &&
             golden_stage(want, "global_encoder", r->traces[i].encoder, values, share, share, slope,
                          0) &&
             golden_stage(want, "image_rows", r->rows + (size_t)i * ROWS * (size_t)f->hidden,
                          r->nrows[i] * f->hidden, share, share, slope, 0);
        prefill(r, i, 1, logits);
        /* what is added to all logits is nothing to the chances; those at both ends are of ids that no text has and no
         * training moves, and feel 8-bit products most */
        ok &= golden_stage(want, "logits", logits, f->vocab, slope > 0 ? share * 5 / 3 : share,
                           share, slope, slope / 2);
        snprintf(what, sizeof what, "%s: stages of view %d within %.0e of their deviation", backend,
                 i, share);
        promise(what, ok);
    }
    free(logits);
}

/* A difference is forgiven where the best two logits are closer than `tie`. */
static void
test_texts(Run *r, const char *backend, float tie)
{
    json_t *segments = json_object_get(mini.golden, "segments");
    Reading readings[VIEWS];
    int wrong = 0, ties = 0;
    char what[128];

    read_views(r, 0, VIEWS, readings);
    for (int i = 0; i < VIEWS; i++)
    {
        json_t *want = json_object_get(json_array_get(segments, (size_t)i), "tokens");
        int n = (int)json_array_size(want), at = 0;

        while (at < n && at < readings[i].n &&
               readings[i].ids[at] == json_integer_value(json_array_get(want, (size_t)at)))
            at++;
        if (at == n && at == readings[i].n)
            continue;
        if (readings[i].gaps[at] < tie)
            ties++;
        else
            wrong++;
    }
    snprintf(what, sizeof what, "%s: ids of %d views are the golden ones%s", backend, VIEWS,
             tie == 0 ? "" : " up to near-ties");
    promise(what, wrong == 0);
    printf("     near-ties: %d\n", ties);
}

static void
test_company(Run *r, const Reading *alone, const char *backend, int threads)
{
    static const int sizes[] = {2, 7, 16};
    Reading together[VIEWS];
    char what[128];

    for (int s = 0; s < COMPANIES; s++)
    {
        bool same = true;

        read_views(r, 0, sizes[s], together);
        for (int i = 0; i < sizes[s]; i++)
            same &= together[i].hash == alone[i].hash && together[i].n == alone[i].n;
        snprintf(what, sizeof what,
                 "P8, %s: all logits are the same bits alone and among %d, %d threads", backend,
                 sizes[s], threads);
        promise(what, same);
    }
}

/* Encoding one view alone gives the bits it had among 24. */
static bool
same_rows_alone(Run *r, int view)
{
    const ModelFacts *f = model_facts(r->m);
    float *rows = calloc((ROWS - 1) * (size_t)f->hidden, sizeof *rows);
    DsError err = {0};
    bool same = vision_encode(r->m, r->d, &mini.views[view], 1, rows, NULL, NULL, &err) == DS_OK &&
                memcmp(rows, r->rows + (size_t)view * ROWS * (size_t)f->hidden,
                       (size_t)(r->nrows[view] - 1) * (size_t)f->hidden * sizeof *rows) == 0;

    free(rows);
    return same;
}

/* Returns a mark of all logits. */
static uint64_t
test_backend(const char *backend, float tie, double share, double slope)
{
    Reading alone[16];
    uint64_t mark = 0;
    char what[128];

    for (int threads = 1; threads <= MOST_THREADS; threads++)
    {
        Run r = open_run(backend, threads);

        if (threads == 1)
        {
            test_stages(&r, backend, share, slope);
            test_texts(&r, backend, tie);
            for (int i = 0; i < (COMPANIES > 1 ? 16 : 2); i++)
                read_views(&r, i, 1, &alone[i]);
        }
        snprintf(what, sizeof what, "P8, %s: a view's rows are the same bits alone, %d threads",
                 backend, threads);
        promise(what, same_rows_alone(&r, 0) && same_rows_alone(&r, 23));
        test_company(&r, alone, backend, threads);
        close_run(&r);
    }
    for (int i = 0; i < (COMPANIES > 1 ? 16 : 2); i++)
        mark = mark * 31 + alone[i].hash;
    return mark;
}

static int
stop_at_once(void *calls)
{
    return ++*(int *)calls > 0;
}

static void
test_cancel(void)
{
    int calls = 0;
    Run r = {0};
    DsError err = {0};
    float *rows;
    DsStatus st;

    promise("the mini opens with a tick",
            device_open("generic", 2, NULL, NULL, &r.d, &err) == DS_OK &&
                model_open("model/mini", r.d, &r.m, &err) == DS_OK);
    r.d->tick = stop_at_once;
    r.d->tick_arg = &calls;
    rows = calloc(VIEWS * ROWS, (size_t)model_facts(r.m)->hidden * sizeof *rows);
    st = vision_encode(r.m, r.d, mini.views, VIEWS, rows, NULL, NULL, &err);
    promise("a tick that says stop cancels the encoding at its first call",
            st == DS_CANCELLED && calls == 1);
    r.d->tick = NULL;
    promise("and the next one works",
            vision_encode(r.m, r.d, mini.views, 1, rows, NULL, NULL, &err) == DS_OK);
    free(rows);
    model_close(r.m);
    device_close(r.d);
}

static bool
has(const char *backend)
{
    Device *d;
    DsError err;

    if (device_open(backend, 1, NULL, NULL, &d, &err) != DS_OK)
        return false;
    device_close(d);
    return true;
}

/* The mini's pages are tested with 8-bit integers, so they are what it gets where nothing else was asked for. */
static void
test_choice(void)
{
    const char *asked[] = {"auto", "avx2"},
               *got[] = {has("avx512") ? "avx512-int8" : "avx2-int8", "avx2"};

    unsetenv("DSOCR_CPU");
    for (int i = 0; i < 2; i++)
    {
        Device *d = NULL;
        Model *m = NULL;
        DsError err;
        char what[96];

        snprintf(what, sizeof what, "asked for %s, the mini has %s", asked[i], got[i]);
        promise(what, device_open(asked[i], 1, NULL, NULL, &d, &err) == DS_OK &&
                          model_open("model/mini", d, &m, &err) == DS_OK &&
                          strcmp(device_name(d), got[i]) == 0);
        model_close(m);
        device_close(d);
    }
}

int
main(void)
{
    uint64_t avx2 = 0, avx2_int8 = 0;

    mini.golden = json_load_file("test/golden/mini.json", 0, NULL);
    if (mini.golden == NULL)
        return promise("test/golden/mini.json is there", false) ? 0 : 1;
    load_views();
    test_backend("generic", 0, 1e-4, 0);
    if (has("avx2"))
    {
        avx2 = test_backend("avx2", 1e-3f, 1e-4, 0);
        avx2_int8 = test_backend("avx2-int8", 0.25f, 0.3, 4e-2);
        test_choice();
    }
    else
        skipped("the avx2 variants", "this processor has no AVX2");
    if (has("avx512"))
        promise("avx512 gives avx2's logits, to the bit, with integers and without",
                test_backend("avx512", 1e-3f, 1e-4, 0) == avx2 &&
                    test_backend("avx512-int8", 0.25f, 0.3, 4e-2) == avx2_int8);
    else
        skipped("the avx512 variants", "this processor has no AVX-512 with VNNI");
    test_cancel();
    for (int i = 0; i < VIEWS; i++)
        free(mini.images[i].pixels);
    json_decref(mini.golden);
    return report();
}

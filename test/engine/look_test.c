/* look_test.c - what is read with doubt is read once more, from half a patch further right as well: which lines, how many,
 * what becomes of them, that it is what a plain loop over both views gives, and that none of it depends on company. Reads with the shipped dsocr-mini; what it reads is made wrong
 * or doubtful here, whatever its weights make of the page. */
#include "../../src/engine/reading.h"

#include "check.h"
#include "image_files.h"
#include "mini_copy.h"
#include "toy.h"

#define ARENA_BLOCK ((size_t)256 << 10) /* the least that an arena takes at once */

static Image page;
static char dir[300];

/* ---- the mini with another config ---- */

/* sure < 0: without the key. */
static void
put_config(double sure)
{
    mini_config(dir, "second_look", sure < 0 ? NULL : json_real(sure));
}

static DsEngine *
open_engine(double sure, int threads, int max_batch)
{
    DsSettings s = {.model_dir = dir, .threads = threads, .max_batch = max_batch};
    DsEngine *e = NULL;
    DsError err = {0};

    put_config(sure);
    if (ds_open(&s, &e, &err))
        exit(promise(err.message, false));
    return e;
}

/* ---- pages ---- */

static DsPage *
begin(const DsEngine *e)
{
    DsRequest request;
    DsError err = {0};
    DsPage *p = NULL;

    if (request_parse("{}", 2, 1000, &request, &err) ||
        ds_page_begin(e, &page, 1, &request.options, NULL, NULL, &p, &err))
        exit(promise(err.message, false));
    return p;
}

static void
finish(DsEngine *e, DsPage *const *pages, int n)
{
    DsError err = {0};
    bool worked = true;

    while (worked)
        if (ds_step(e, pages, n, &worked, &err))
            exit(promise(err.message, false));
}

static DsPage *
read_page(DsEngine *e)
{
    DsPage *p = begin(e);

    finish(e, &p, 1);
    return p;
}

static bool
same(const DsPage *a, const DsPage *b)
{
    bool ok = a->nsequences == b->nsequences && a->nagain == b->nagain &&
              strcmp(a->reading.text, b->reading.text) == 0 &&
              memcmp(&a->reading.confidence, &b->reading.confidence, sizeof(float)) == 0;

    for (int i = 0; ok && i < a->nsequences; i++)
    {
        const Sequence *s = &a->sequences[i], *t = &b->sequences[i];
        size_t n = (size_t)(s->n - s->prompt);

        ok = s->n == t->n && s->first_view == t->first_view &&
             memcmp(s->ids + s->prompt, t->ids + t->prompt, n * sizeof *s->ids) == 0 &&
             memcmp(s->probs + s->prompt, t->probs + t->prompt, n * sizeof *s->probs) == 0;
    }
    return ok;
}

/* Reads the page without a second look, and says that it was: `sure` of every id of a line, the rest certain. */
static DsPage *
read_once(DsEngine *plain)
{
    DsPage *p = read_page(plain);

    for (int i = 0; i < p->nsequences; i++)
    {
        Sequence *s = &p->sequences[i];

        for (int k = s->prompt; k < s->n; k++)
            s->probs[k] = 1;
        s->ending = 1;
    }
    p->laid_out = false;
    return p;
}

static void
doubt(Sequence *s, float probability)
{
    for (int k = s->prompt; k < s->n; k++)
        s->probs[k] = probability;
    s->ending = probability;
}

static float
mean(const Sequence *s)
{
    double logs = 0;

    for (int k = s->prompt; k < s->n; k++)
        logs += log(s->probs[k]);
    return (float)exp(logs / (s->n - s->prompt));
}

static void
begin_look(const DsEngine *e, DsPage *p)
{
    DsError err = {0};

    if (look_begin(e, p, &err))
        exit(promise(err.message, false));
}

/* The longest line, which is read with certainty. */
static int
longest(const DsPage *p)
{
    int best = 0;

    for (int i = 1; i < p->nsequences; i++)
        if (p->sequences[i].n > p->sequences[best].n)
            best = i;
    return best;
}

static void
test_which(DsEngine *e, DsEngine *plain)
{
    DsPage *p = read_once(plain);
    int line = longest(p), other = line ? 0 : 1;

    begin_look(e, p);
    promise("what is sure is not read again", p->nagain == 0 && p->ndone == p->nsequences);
    doubt(&p->sequences[line], .9f);
    doubt(&p->sequences[other], .3f);
    begin_look(e, p);
    promise("what is doubtful is, and what is hopeless is not",
            p->nagain == 1 && p->sequences[line].look && p->sequences[other].look == NULL);
    ds_page_end(plain, p);
}

static void
test_bound(DsEngine *e, DsEngine *plain)
{
    DsPage *p = read_once(plain);
    int most = (p->nsequences + 1) / 2;

    for (int i = 0; i < p->nsequences; i++)
        doubt(&p->sequences[i], .5f);
    begin_look(e, p);
    promise("half of a page at most is read again", p->nsequences > 4 && p->nagain == most);
    ds_page_end(plain, p);
}

/* Where pixel x of the second view's row y came from. */
static bool
is_moved(const View *a, const View *b, int by)
{
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < a->width; x++)
        {
            int from = x - by,
                v = from < 0 || from >= a->width ? 255 : a->pixels[y * a->width + from];

            if (b->pixels[y * a->width + x] != v)
                return false;
        }
    return true;
}

static void
test_view(DsEngine *e, DsEngine *plain)
{
    DsPage *p = read_once(plain);
    int line = longest(p), first = p->sequences[line].first_view;
    View was = p->views[first];
    uint8_t *pixels = malloc((size_t)was.width * was.height);

    memcpy(pixels, was.pixels, (size_t)was.width * was.height);
    for (int y = 0; y < was.height; y++)
        pixels[(y + 1) * was.width - 1] = pixels[(y + 1) * was.width - 2] = 255;
    ((View *)p->views)[first].pixels = pixels;
    doubt(&p->sequences[line], .9f);
    begin_look(e, p);
    promise("the view is moved half a patch to the right",
            is_moved(&p->views[first], &p->views[p->sequences[line].first_view], 2));
    p->sequences[line] = p->sequences[line].look->first;
    p->nagain = 0;
    pixels[5 * was.width - 1] = 254;
    begin_look(e, p);
    promise("and to the left where ink would be pushed out",
            is_moved(&p->views[first], &p->views[p->sequences[line].first_view], -2));
    ds_page_end(plain, p);
    free(pixels);
}

/* A view whose ink ends where a step does: moved, it has a row more. */
static void
test_longer(DsEngine *e)
{
    DsPage *p = read_page(e);
    Sequence *s = &p->sequences[0];
    View *v;
    uint8_t *pixels;

    while (s->gap == 0 && s < p->sequences + p->nsequences - 1)
        s++;
    v = &p->views[s->first_view];
    pixels = malloc((size_t)v->width * v->height);
    memcpy(pixels, v->pixels, (size_t)v->width * v->height);
    pixels[(s->nrows - 1) * 16 - 1] = 254;
    v->pixels = pixels;
    p->looked = p->laid_out = false;
    p->nagain = 0;
    doubt(s, .9f);
    begin_look(e, p);
    promise("what ends a row later has a prompt of its own",
            s->look && s->nrows == s->look->first.nrows + 1 && s->gap == s->look->first.gap - 1 &&
                s->look->beside.nrows == s->nrows - 1);
    finish(e, &p, 1);
    promise("and is read", p->laid_out && s->finish != NULL);
    ds_page_end(e, p);
    free(pixels);
}

/* ---- the plain loop ---- */

#define ROWS 17 /* of a whole view, with the separator */
#define LONG 64

/* Runs begin, the view's rows and the ids through the decoder from the first on; logits: [vocab] of what is next. */
static void
say(DsEngine *e, const Sequence *s, const float *rows, const int32_t *ids, int n, float *logits)
{
    int32_t all[1 + ROWS + LONG] = {model_facts(e->model)->bos};
    DsError err = {0};

    for (int i = 1; i <= s->nrows; i++)
        all[i] = -1;
    memcpy(all + 1 + s->nrows, ids, (size_t)n * sizeof *ids);
    if (decoder_run(e->decoder,
                    &(DecoderInput){.n = 1 + s->nrows + n,
                                    .ids = all,
                                    .image = rows,
                                    .gap = ROWS - s->nrows,
                                    .behind = s->nrows},
                    1, logits, &err))
        exit(promise(err.message, false));
}

/* Each next id is the best in the mean of what both views say -> how many; ids, probs: [LONG] */
static int
read_both(DsEngine *e, const Sequence *s, const Sequence *beside, int32_t *ids, float *probs)
{
    const ModelFacts *f = model_facts(e->model);
    float *one = malloc((size_t)f->vocab * sizeof *one),
          *other = malloc((size_t)f->vocab * sizeof *other);
    int n = 0;

    for (;; n++)
    {
        Choice c;

        say(e, s, s->rows, ids, n, one);
        say(e, beside, beside->rows, ids, n, other);
        choose_mix(one, other, f->vocab);
        c = choose_next(one, f->vocab, NULL, 0, 0, NULL);
        if (c.id == f->eos || n == f->max_new_tokens)
            break;
        ids[n] = c.id;
        probs[n] = c.probability;
    }
    free(one);
    free(other);
    return n;
}

/* What the steps make of all that may be looked at again. */
static void
test_plain(DsEngine *plain, DsEngine *e)
{
    DsPage *p = read_page(plain);
    int same = 0, pairs = 0;
    Look **looks = calloc((size_t)p->nsequences, sizeof *looks);

    for (int i = 0; i < p->nsequences; i++)
        doubt(&p->sequences[i], .9f);
    p->looked = p->laid_out = false;
    begin_look(e, p);
    for (int i = 0; i < p->nsequences; i++)
        looks[i] = p->sequences[i].look;
    finish(e, &p, 1);
    for (int i = 0; i < p->nsequences; i++)
    {
        const Sequence *s = &p->sequences[i];
        int32_t ids[LONG];
        float probs[LONG];
        double then = 0, now = 0;
        bool ok;
        int n;

        if (looks[i] == NULL)
            continue;
        pairs++;
        n = read_both(e, s, &looks[i]->beside, ids, probs);
        ok = n == s->n - s->prompt && memcmp(ids, s->ids + s->prompt, (size_t)n * sizeof *ids) == 0;
        for (int k = 0; k < n; k++)
        {
            now += log(probs[k]);
            then += log(.9);
        }
        for (int k = 0; ok && k < n; k++)
            ok = fabs(s->probs[s->prompt + k] - fmin(1, probs[k] * exp(then / n - now / n))) < 1e-6;
        same += ok;
    }
    promise("what two views are read as is what a plain loop makes of them",
            pairs > 4 && same == pairs);
    if (same < pairs)
        printf("     %d of %d\n", same, pairs);
    free(looks);
    ds_page_end(plain, p);
}

/* A line whose letters were read wrongly, and with doubt. */
static void
test_mends(DsEngine *e, DsEngine *plain)
{
    DsPage *right = read_once(plain), *p = read_once(plain);
    int line = longest(p);
    Sequence *s = &p->sequences[line];

    finish(plain, &right, 1); /* all of it, since it is sure of all */
    s->ids[s->prompt + 1] = s->ids[s->prompt + 1] == 50 ? 51 : 50;
    doubt(s, .6f);
    finish(e, &p, 1);
    promise("a line that was misread is mended",
            p->nagain == 1 && strcmp(p->reading.text, right->reading.text) == 0);
    promise("and is as doubtful as before", fabsf(mean(&p->sequences[line]) - .6f) < 1e-3f);
    ds_page_end(plain, p);

    p = read_once(plain);
    s = &p->sequences[line];
    doubt(s, .9f);
    begin_look(e, p);
    s->n = s->prompt;
    s->ending = 1;
    look_decide(p);
    promise("a reading that sees nothing does not count", s->n > s->prompt && s->look == NULL);
    ds_page_end(plain, p);
    ds_page_end(plain, right);
}

/* 300 ids behind a view: two of these do not go through one pass. */
static void
test_long(void)
{
    DsSettings s = {.model_dir = dir, .threads = 1};
    DsEngine *e = NULL;
    DsError err = {0};
    char path[400];
    json_t *config;

    mini_config(dir, "max_new_tokens", json_integer(300));
    snprintf(path, sizeof path, "%.300s/config.json", dir);
    config = json_load_file(path, 0, NULL);
    json_object_set_new(json_object_get(config, "language_config"), "max_position_embeddings",
                        json_integer(1000));
    json_dump_file(config, path, 0);
    json_decref(config);
    promise("views with too many positions are refused",
            ds_open(&s, &e, &err) == DS_NOT_READY && strstr(err.message, "dsocr.second_look") &&
                err.hint[0]);
    if (e)
        ds_close(e);
}

/* The page has so many bytes left when all of it is doubtful. */
static bool
fails_with(DsEngine *e, DsEngine *plain, size_t left)
{
    DsPage *p = read_once(plain);
    Arena rest = p->arena;
    bool ok;

    for (int i = 0; i < p->nsequences; i++)
        doubt(&p->sequences[i], .5f);
    p->reading.output_tokens = 0;              /* of what is laid out */
    arena_init(&p->arena, ARENA_BLOCK + 1000); /* one block, and no other */
    ok = arena_alloc(&p->arena, ARENA_BLOCK - left) != NULL;
    finish(e, &p, 1);
    ok &= ds_page_done(p) && strcmp(p->reading.status, "error") == 0 &&
          strcmp(p->reading.error_code, "limit") == 0 && p->reading.output_tokens == 0;
    for (int i = 0; i < e->slots; i++)
        ok &= e->in_slot[i] == NULL;
    arena_free(&p->arena);
    p->arena = rest;
    ds_page_end(plain, p);
    return ok;
}

static void
test_room(DsEngine *e, DsEngine *plain)
{
    promise("a page without room for a second look fails", fails_with(e, plain, 64));
    promise("and one that has some for the views alone", fails_with(e, plain, 8 << 10));
    promise("or for a few of its sequences", fails_with(e, plain, 30 << 10));
}

static void
test_company(void)
{
    DsEngine *e = open_engine(1, 1, 1);
    DsPage *alone = read_page(e);
    char text[100];

    promise("every line is doubtful where certainty is asked for",
            alone->nagain == (alone->nsequences + 1) / 2);
    ds_close(e);
    for (int batch = 2; batch <= 64; batch *= 4)
    {
        DsPage *pages[3];
        bool ok = true, worked;
        DsError err;

        e = open_engine(1, 2, batch);
        for (int i = 0; i < 3; i++)
            pages[i] = begin(e);
        for (int i = 0; i < 5; i++)
            ok &= ds_step(e, pages, 1, &worked, &err) == DS_OK; /* one is ahead */
        finish(e, pages, 3);
        for (int i = 0; i < 3; i++)
        {
            ok &= same(pages[i], alone);
            ds_page_end(e, pages[i]);
        }
        snprintf(text, sizeof text, "the same in company, %d lines at once", batch);
        promise(text, ok);
        ds_close(e);
    }
    ds_page_end(NULL, alone);
}

int
main(void)
{
    DsEngine *e, *plain;
    Device *d;
    DsError err;

    if (!promise("the page is there", half_receipt(&page)))
        return report();
    mini_copy("mini-look", dir, sizeof dir);
    plain = open_engine(-1, 1, 0);
    e = open_engine(.95, 1, 0);
    test_which(e, plain);
    test_bound(e, plain);
    test_longer(e);
    test_view(e, plain);
    test_plain(plain, e);
    test_mends(e, plain);
    test_room(e, plain);
    ds_close(e);
    ds_close(plain);
    test_company();
    test_long();
    put_config(1.5);
    if (promise("a device", device_open("auto", 1, NULL, NULL, &d, &err) == DS_OK))
    {
        Model *m = NULL;

        promise("more than certainty is refused",
                model_open_adapted(dir, NULL, d, &m, &err) == DS_NOT_READY &&
                    strstr(err.message, "dsocr.second_look is more than certainty"));
        model_close(m);
        device_close(d);
    }
    free(page.pixels);
    return report();
}

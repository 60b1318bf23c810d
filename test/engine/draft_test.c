/* draft_test.c - a draft may be right, wrong or nonsense: what is read is the same, to the bit; a right one takes fewer
 * passes. Reads with the shipped dsocr-mini, with drafts made here, whether or not the mini has a draft head, and without
 * its second look, which drafts anew. */
#include "../../src/engine/cpu/cpu.h"
#include "../../src/engine/reading.h"

#include "check.h"
#include "image_files.h"
#include "mini_copy.h"
#include "toy.h"

#if defined __SANITIZE_ADDRESS__
#define PLACES 2 /* of each line that are made wrong, one after the other */
#else
#define PLACES 12
#endif
#define GIVEN_UP 12 /* times */

static char mini[300]; /* the mini, without a second look */

/* ---- the head's logits -> a draft ---- */

#define VOCAB 5

/* A head of two slots a token, blank but where `set` says: token, slot, id, logits above the blank. */
typedef struct Letter
{
    int token, slot, id;
    float sure;
} Letter;

static bool
makes(const Letter *letters, int n, const char *want)
{
    float logits[4][2][VOCAB] = {{{0}}};
    char got[16] = "";
    Draft d;

    for (int t = 0; t < 4; t++)
        for (int s = 0; s < 2; s++)
            logits[t][s][0] = 9;
    for (int i = 0; i < n; i++)
        logits[letters[i].token][letters[i].slot][letters[i].id] = 9 + letters[i].sure;
    draft_make(&d, &logits[0][0][0], 4, 2, VOCAB);
    for (int i = 0; i < d.n; i++)
        got[i] = (char)('0' + d.ids[i]);
    got[d.n] = '\0';
    if (strcmp(got, want) != 0)
        printf("     %s\n", got);
    return strcmp(got, want) == 0;
}

static void
test_make(void)
{
    float nan[VOCAB] = {NAN, NAN, NAN, NAN, NAN};
    Draft d;

    promise("a blank head drafts nothing", makes(NULL, 0, ""));
    promise("letters come by token and slot, and doubtful ones not at all",
            makes((Letter[]){{3, 0, 4, 5}, {0, 0, 1, 5}, {0, 1, 2, 5}, {2, 0, 3, .5f}}, 4, "124"));
    promise("a letter on a border comes once",
            makes((Letter[]){{0, 0, 1, 5}, {1, 0, 1, 1.5f}, {2, 0, 2, 5}}, 3, "12"));
    promise("twice when both are sure", makes((Letter[]){{0, 0, 1, 5}, {1, 0, 1, 5}}, 2, "11"));
    promise("twice inside of a token, and a token apart",
            makes((Letter[]){{0, 0, 1, 2}, {0, 1, 1, 2}, {2, 0, 1, 2}}, 3, "111"));
    draft_make(&d, nan, 1, 1, VOCAB);
    promise("no numbers, no draft", d.n == 0);
}

static void
test_pass(void)
{
    Draft d = {.n = 4, .ids = {1, 2, 3, 4}};

    draft_pass(&d, 1);
    promise("the right id is passed", d.at == 1);
    draft_pass(&d, 9);
    promise("another one leaves the draft where it is", d.at == 1);
    draft_pass(&d, 3);
    promise("one too many is passed with the right one", d.at == 3);
    draft_pass(&d, 4);
    draft_pass(&d, 4);
    promise("its end is its end", d.at == 4);
    d.at = 1;
    draft_judge(&d, 0);
    draft_judge(&d, 0);
    draft_judge(&d, 1);
    draft_judge(&d, 0);
    draft_judge(&d, 0);
    promise("two failures are forgiven", d.at == 1);
    draft_judge(&d, 0);
    promise("after three running it is given up", d.at == d.n);
}

/* ---- a page read with drafts ---- */

typedef struct Read
{
    DsPage *page;
    long passes;
} Read;

/* What is drafted for a sequence of which the truth is known. */
typedef int (*Make)(int32_t *ids, const int32_t *truth, int n, int place);

static Image page;
static long ticks, cancel_at; /* 0: never */

static int
cancels(void *arg)
{
    (void)arg;
    return ++ticks == cancel_at;
}

static DsEngine *
open_engine(const char *dir, const char *backend, bool no_draft, int threads, int max_batch)
{
    DsSettings s = {.model_dir = dir,
                    .backend = backend,
                    .threads = threads,
                    .max_batch = max_batch,
                    .no_draft = no_draft,
                    .tick = cancels};
    DsEngine *e = NULL;
    DsError err = {0};

    if (ds_open(&s, &e, &err))
    {
        promise("the engine opens", false);
        printf("     %s (%s)\n", err.message, err.detail);
        exit(1);
    }
    return e;
}

static void
plant(DsPage *p, const DsPage *truth, Make make, int place)
{
    for (int i = 0; i < p->nsequences; i++)
    {
        const Sequence *is = &truth->sequences[i];
        Draft *d = p->sequences[i].draft = arena_alloc(&p->arena, sizeof *d);

        *d = (Draft){0};
        d->n = make(d->ids, is->ids + is->prompt, is->n - is->prompt, place);
    }
}

static Read
read_page(DsEngine *e, const DsPage *truth, Make make, int place, int ngram)
{
    long before = ds_facts(e).passes;
    DsRequest request;
    bool worked;
    DsError err = {0};
    Read r = {0};

    if (request_parse("{}", 2, 1000, &request, &err))
        exit(promise(err.message, false));
    request.options.ngram_size = ngram;
    if (ds_page_begin(e, &page, 1, &request.options, NULL, NULL, &r.page, &err))
        exit(promise(err.message, false));
    if (make)
        plant(r.page, truth, make, place);
    while (!ds_page_done(r.page))
    {
        DsStatus st = ds_step(e, &r.page, 1, &worked, &err);

        if (st && st != DS_CANCELLED)
            exit(promise(err.message, false));
    }
    r.passes = ds_facts(e).passes - before;
    return r;
}

static bool
same(const DsPage *a, const DsPage *b)
{
    bool ok = a->nsequences == b->nsequences && strcmp(a->reading.text, b->reading.text) == 0 &&
              memcmp(&a->reading.confidence, &b->reading.confidence, sizeof(double)) == 0;

    for (int i = 0; ok && i < a->nsequences; i++)
    {
        const Sequence *s = &a->sequences[i], *t = &b->sequences[i];
        size_t n = (size_t)(s->n - s->prompt);

        ok = s->n == t->n && strcmp(s->finish, t->finish) == 0 &&
             memcmp(s->ids + s->prompt, t->ids + t->prompt, n * sizeof *s->ids) == 0 &&
             memcmp(s->probs + s->prompt, t->probs + t->prompt, n * sizeof *s->probs) == 0;
    }
    return ok;
}

static int
right(int32_t *ids, const int32_t *truth, int n, int place)
{
    (void)place;
    memcpy(ids, truth, (size_t)n * sizeof *ids);
    return n;
}

static int
wrong(int32_t *ids, const int32_t *truth, int n, int place)
{
    right(ids, truth, n, place);
    if (place < n)
        ids[place] = ids[place] == 50 ? 51 : 50;
    return n;
}

static int
one_more(int32_t *ids, const int32_t *truth, int n, int place)
{
    place = place < n ? place : n;
    right(ids, truth, place, 0);
    ids[place] = 50;
    right(ids + place + 1, truth + place, n - place, 0);
    return n + 1;
}

static int
one_less(int32_t *ids, const int32_t *truth, int n, int place)
{
    if (place >= n)
        return right(ids, truth, n, 0);
    right(ids, truth, place, 0);
    right(ids + place, truth + place + 1, n - place - 1, 0);
    return n - 1;
}

static int
too_short(int32_t *ids, const int32_t *truth, int n, int place)
{
    return right(ids, truth, n < place ? n : place, 0);
}

static int
too_long(int32_t *ids, const int32_t *truth, int n, int place)
{
    right(ids, truth, n, 0);
    for (; n < DRAFT_MOST; n++)
        ids[n] = (n + place) % 300 + 3;
    return n;
}

static int
nonsense(int32_t *ids, const int32_t *truth, int n, int place)
{
    (void)truth;
    for (int i = 0; i < n + place; i++)
        ids[i] = (i * 37 + place * 11) % 306;
    return n + place;
}

static int
same_letter(int32_t *ids, const int32_t *truth, int n, int place)
{
    for (int i = 0; i < 60; i++)
        ids[i] = n ? truth[place % n] : 5;
    return 60;
}

static void
try_kind(DsEngine *e, const char *what, Make make, const Read *plain, int ngram, long most)
{
    bool ok = true;
    long passes = 0;
    char text[200];

    for (int place = 0; place < (make == right ? 1 : PLACES); place++)
    {
        Read r = read_page(e, plain->page, make, place, ngram);

        ok &= same(r.page, plain->page);
        passes = r.passes > passes ? r.passes : passes;
        ds_page_end(e, r.page);
    }
    snprintf(text, sizeof text, "%s: the same ids, chances, text and confidence", what);
    promise(text, ok);
    snprintf(text, sizeof text, "%s: %ld passes at most, without a draft %ld", what, passes,
             plain->passes);
    promise(text, passes <= most);
}

static void
test_drafts(int threads, int max_batch)
{
    DsEngine *e = open_engine(mini, "auto", true, threads, max_batch);
    Read plain = read_page(e, NULL, NULL, 0, 0), ruled = read_page(e, NULL, NULL, 0, 2);
    long all = plain.passes + 3 * plain.page->nsequences;

    printf("     %d threads, %d at once, %d lines\n", threads, e->slots, plain.page->nsequences);
    promise("the page has text", strlen(plain.page->reading.text) > 50);
    promise("the rule against repeats changes the page", !same(ruled.page, plain.page));
    try_kind(e, "right drafts", right, &plain, 0, plain.passes / 2);
    try_kind(e, "one letter wrong", wrong, &plain, 0, all);
    try_kind(e, "one letter too many", one_more, &plain, 0, all);
    try_kind(e, "one letter missing", one_less, &plain, 0, all);
    try_kind(e, "too short", too_short, &plain, 0, all);
    try_kind(e, "too long", too_long, &plain, 0, all);
    try_kind(e, "nonsense", nonsense, &plain, 0, all);
    try_kind(e, "one letter all along", same_letter, &plain, 0, all);
    try_kind(e, "right drafts, repeats banned", right, &ruled, 2, all);
    try_kind(e, "wrong drafts, repeats banned", wrong, &ruled, 2, all);
    ds_page_end(e, plain.page);
    ds_page_end(e, ruled.page);
    ds_close(e);
}

/* A page is read again and again, and each time stopped once, at another place. */
static void
test_given_up(void)
{
    DsEngine *e = open_engine(mini, "generic", true, 1, 0);
    uint64_t usual = cpu_tick_every;
    char text[100];
    int height = page.height;
    Read plain, once;
    long all, given_up = 0;
    bool ok;

    page.height /= 4;
    plain = read_page(e, NULL, NULL, 0, 0);
    cpu_tick_every = 0;
    ticks = 0;
    once = read_page(e, plain.page, wrong, 2, 0);
    ok = same(once.page, plain.page);
    all = ticks;
    for (int i = 1; i <= GIVEN_UP; i++)
    {
        Read r;

        ticks = 0;
        cancel_at = all * i / (GIVEN_UP + 1);
        r = read_page(e, plain.page, wrong, 2, 0);
        ok &= same(r.page, plain.page);
        given_up += r.passes - once.passes;
        ds_page_end(e, r.page);
    }
    cancel_at = 0;
    cpu_tick_every = usual;
    page.height = height;
    promise("a pass with drafts that is given up gives the same when it is made again", ok);
    snprintf(text, sizeof text, "%ld passes were given up, of %d times", given_up, GIVEN_UP);
    promise(text, given_up > 0);
    ds_page_end(e, plain.page);
    ds_page_end(e, once.page);
    ds_close(e);
}

/* ---- a model with a head ---- */

static char dir[300];

static void
put(const char *name, const void *bytes, size_t n)
{
    char path[400];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "wb");
    if (f == NULL || fwrite(bytes, 1, n, f) != n || fclose(f))
        exit(promise("a file is written", false));
}

/* A head of 306 ids and `slots` slots that says the ids 40, 41, ... of every token, beside the mini's own weights. */
static void
put_head(int slots, int rows)
{
    size_t n = (size_t)rows * 306, bytes = n * 193 * sizeof(float);
    char *file = calloc(1, bytes + 600);
    float *bias;
    int at;

    at = snprintf(
        file + 8, 500,
        "{\"draft.weight\":{\"dtype\":\"F32\",\"shape\":[%zu,192],\"data_offsets\":[0,%zu]},"
        "\"draft.bias\":{\"dtype\":\"F32\",\"shape\":[%zu],\"data_offsets\":[%zu,%zu]}}",
        n, n * 768, n, n * 768, n * 772);
    while (at % 8)
        file[8 + at++] = ' ';
    memcpy(file, &(uint64_t){(uint64_t)at}, 8);
    bias = (float *)(file + 8 + at) + n * 192;
    for (int s = 0; s < rows; s++)
        bias[s * 306 + 40 + s] = 9;
    put("head.safetensors", file, 8 + (size_t)at + bytes);
    free(file);
    mini_configs(dir, json_pack("{s:i,s:n}", "draft_slots", slots, "second_look"));
}

/* The mini's weights without its own head, the others moved together. */
static void
put_weights(void)
{
    File f = read_file("model/mini/model.safetensors");
    uint64_t length, at = 0;
    uint8_t *out = calloc(1, f.n + 8), *data = malloc(f.n);
    json_t *header, *tensor;
    const char *name;
    size_t n;

    memcpy(&length, f.data, 8);
    header = json_loadb((const char *)f.data + 8, length, 0, NULL);
    json_object_del(header, "draft.weight");
    json_object_del(header, "draft.bias");
    json_object_foreach(header, name, tensor)
    {
        json_t *place = json_object_get(tensor, "data_offsets");
        uint64_t from = (uint64_t)json_integer_value(json_array_get(place, 0)),
                 to = (uint64_t)json_integer_value(json_array_get(place, 1));

        if (place == NULL) /* __metadata__ */
            continue;
        memcpy(data + at, f.data + 8 + length + from, to - from);
        json_array_set_new(place, 0, json_integer((json_int_t)at));
        at += to - from;
        json_array_set_new(place, 1, json_integer((json_int_t)at));
    }
    n = json_dumpb(header, (char *)out + 8, f.n - 8 - at, JSON_COMPACT);
    for (; n % 8; n++)
        out[8 + n] = ' ';
    memcpy(out, &(uint64_t){n}, 8);
    memcpy(out + 8 + n, data, at);
    put("model.safetensors", out, 8 + n + at);
    json_decref(header);
    free(data);
    free(out);
    free(f.data);
}

static void
copy_mini(void)
{
    const char *build = getenv("DSOCR_BUILD");
    File f = read_file("model/mini/tokenizer.json");

    snprintf(dir, sizeof dir, "%s/test/mini-draft", build ? build : "build");
    mkdir(dir, 0777);
    put("tokenizer.json", f.data, f.n);
    free(f.data);
    put_weights();
}

static void
read_with_head(const char *model, const char *what, bool good)
{
    DsEngine *with = open_engine(model, "auto", false, 1, 0),
             *without = open_engine(model, "auto", true, 1, 0);
    Read a = read_page(with, NULL, NULL, 0, -1), b = read_page(without, NULL, NULL, 0, -1);
    char text[200];
    int drafts = 0;

    for (int i = 0; i < a.page->nsequences; i++)
        drafts += a.page->sequences[i].draft != NULL;
    snprintf(text, sizeof text, "%s: every line has a draft", what);
    promise(text, drafts == a.page->nsequences);
    snprintf(text, sizeof text, "%s: the same with it and without", what);
    promise(text, same(a.page, b.page));
    snprintf(text, sizeof text, "%s: %ld passes with it, %ld without", what, a.passes, b.passes);
    promise(text, good ? a.passes * 2 < b.passes : a.passes >= b.passes);
    ds_page_end(with, a.page);
    ds_page_end(without, b.page);
    ds_close(with);
    ds_close(without);
}

static void
test_head(void)
{
    Device *d;
    DsError err;

    if (!promise("a device", device_open("auto", 1, NULL, NULL, &d, &err) == DS_OK))
        return;
    read_with_head(mini, "the mini's own head", true);
    copy_mini();
    put_head(2, 2);
    read_with_head(dir, "a head that talks nonsense", false);
    put_head(3, 2);
    model_refused(d, dir, NULL, "a head of another shape", "\"draft.weight\" has the wrong shape",
                  "[612, 192], and must be [918, 192]");
    put_head(17, 2);
    model_refused(d, dir, NULL, "a head of too many slots", "draft_slots of config.json is 17",
                  "16 tokens");
    put_head(0, 2);
    model_refused(d, dir, NULL, "a head that the config does not name",
                  "\"draft.bias\" has no place in this model", "");
    device_close(d);
}

int
main(void)
{
    test_make();
    test_pass();
    if (!promise("the page is there", half_receipt(&page)))
        return report();
    mini_copy("mini-plain", mini, sizeof mini);
    mini_config(mini, "second_look", NULL);
    test_drafts(1, 0);
    test_drafts(2, 3);
    test_given_up();
    test_head();
    free(page.pixels);
    return report();
}

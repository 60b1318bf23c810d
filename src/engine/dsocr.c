/* dsocr.c - the pipeline on one screen.
 *
 * image bytes -> pixels -> views -> vision tokens -> prompt -> decoder tokens -> text + layout -> JSON
 * image.c        lines.c  views.c   vision.c         prompt.c  decoder.c         layout.c        json.c
 *
 * A page begins here (ds_page_begin: lines or views), is carried on piece by piece together with the other
 * pages (ds_step; reading.c knows the pieces), and ends as a PageReading. */
#include "reading.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_PAGE_MEMORY  ((uint64_t)1 << 30)
#define MOST_SLOTS           64
#define MOST_TOKENIZER_BYTES (256L << 20)

double
ds_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* Positions one sequence may need: a line reader's are known, a page reader's are the model's longest. */
static int
positions_needed(const Model *m)
{
    const ModelFacts *f = model_facts(m);
    int positions = f->max_positions;

    if (f->reads_lines)
    {
        View view = {.width = f->line.view_w, .height = f->line.view_h, .channels = 1};
        int need =
            vision_whole_rows(m, &view) + 64 + f->max_new_tokens; /* 64: a config's own prompt */

        positions = need < positions ? need : positions;
    }
    return positions;
}

/* What a sequence takes of the decoder's slots: a second look reads from two views at once. */
static int
looks_of(const Model *m)
{
    return model_facts(m)->second_look > 0 ? 2 : 1;
}

/* As many sequences as fit into an eighth of the memory or 2 GiB of keys and values, at most MOST_SLOTS. */
static int
auto_slots(const Model *m, int positions)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 8;
    uint64_t each = decoder_slot_bytes(m, positions) * (uint64_t)looks_of(m), slots;

    if (memory > (uint64_t)2 << 30)
        memory = (uint64_t)2 << 30;
    slots = each ? memory / each : MOST_SLOTS;
    return slots < 1 ? 1 : slots > MOST_SLOTS ? MOST_SLOTS : (int)slots;
}

/* The whole of a small file, malloc'd. */
static DsStatus
read_file(const char *path, char **bytes, size_t *n, DsError *err)
{
    FILE *f = fopen(path, "rb");
    long size = f && fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    bool whole = false;

    *bytes = size >= 0 && size <= MOST_TOKENIZER_BYTES ? malloc((size_t)size + 1) : NULL;
    if (*bytes && fseek(f, 0, SEEK_SET) == 0)
        whole = fread(*bytes, 1, (size_t)size, f) == (size_t)size;
    if (f)
        fclose(f);
    *n = whole ? (size_t)size : 0;
    if (whole)
        return DS_OK;
    free(*bytes);
    ds_fail(err, DS_NOT_READY, "the model's tokenizer cannot be read");
    return ds_detail(err, "%s: %s", path, f ? "unreadable, or over 256 MB" : strerror(errno));
}

static DsStatus
open_tokenizer(DsEngine *e, DsError *err)
{
    char path[4096];
    char *json;
    size_t n;
    DsStatus st;

    snprintf(path, sizeof path, "%s/tokenizer.json", e->settings.model_dir);
    if (e->settings.tokenizer_optional && access(path, F_OK) != 0)
        return DS_OK;
    if ((st = read_file(path, &json, &n, err)))
        return st;
    st = tokenizer_open(json, n, &e->tokenizer, err);
    free(json);
    if (st)
        return st;
    for (int i = 0; i < 2; i++)
    {
        int32_t id = tokenizer_added(e->tokenizer, i ? "</td>" : "<td>");

        if (id >= 0)
            e->whitelist[e->nwhitelist++] = id;
    }
    return DS_OK;
}

static DsStatus
open_parts(DsEngine *e, DsError *err)
{
    const DsSettings *s = &e->settings;
    const ModelFacts *f;
    int rows, looks;
    DsStatus st;

    if ((st = device_open(s->backend, s->threads, s->tick, s->tick_arg, &e->device, err)) ||
        (st = model_open_adapted(s->model_dir, s->adapter_dir, e->device, &e->model, err)) ||
        (st = open_tokenizer(e, err)))
        return st;
    e->positions = positions_needed(e->model);
    f = model_facts(e->model);
    looks = looks_of(e->model);
    if (looks > 1 && looks * e->positions > PASS_ROWS)
    {
        ds_fail(err, DS_NOT_READY,
                "dsocr.second_look is for views of at most %d positions, these have %d",
                PASS_ROWS / looks, e->positions);
        return ds_hint(err,
                       "Leave it out of the model's config.json: each view is then read once.");
    }
    e->slots = s->max_batch > 0 ? s->max_batch : auto_slots(e->model, e->positions);
    e->in_slot = calloc((size_t)e->slots, sizeof *e->in_slot);
    rows = f->reads_lines && e->slots < PASS_ROWS ? PASS_ROWS : e->slots;
    e->logits = calloc((size_t)rows * (size_t)f->vocab, sizeof *e->logits);
    if (e->in_slot == NULL || e->logits == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory for %d sequences", e->slots);
    return decoder_open(e->model, e->device, looks * e->slots, e->positions, PASS_ROWS, &e->decoder,
                        err);
}

DsStatus
ds_open(const DsSettings *s, DsEngine **out, DsError *err)
{
    DsEngine *e = calloc(1, sizeof *e);
    DsStatus st;

    if (e == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory");
    e->settings = *s;
    if (e->settings.page_memory == 0)
        e->settings.page_memory = DEFAULT_PAGE_MEMORY;
    if ((st = open_parts(e, err)))
    {
        ds_close(e);
        return st;
    }
    snprintf(e->device_name, sizeof e->device_name, "%s", device_name(e->device));
    *out = e;
    return DS_OK;
}

void
ds_close(DsEngine *e)
{
    if (e == NULL)
        return;
    decoder_close(e->decoder);
    tokenizer_close(e->tokenizer);
    model_close(e->model);
    device_close(e->device);
    free(e->in_slot);
    free(e->logits);
    free(e);
}

DsStatus
ds_hash_weights(DsEngine *e, DsError *err)
{
    return model_hash(e->model, err);
}

DsEngineFacts
ds_facts(const DsEngine *e)
{
    const ModelFacts *f = model_facts(e->model);

    return (DsEngineFacts){
        .model = f->name,
        .dtype = f->dtype,
        .device = e->device_name,
        .weights_sha256 = f->sha256,
        .adapter = f->adapter.name[0] ? &f->adapter : NULL,
        .reads_lines = f->reads_lines,
        .slots = e->slots,
        .passes = e->passes,
        .threads = e->device->threads,
        .weight_bytes = f->weight_bytes,
        .parameters = f->parameters,
    };
}

static DsPage *
new_page(const DsEngine *e, int number)
{
    DsPage *p = calloc(1, sizeof *p);

    if (p == NULL)
        return NULL;
    arena_init(&p->arena, e ? e->settings.page_memory : 0);
    p->engine = e;
    p->number = number;
    p->reading = (PageReading){.page = number,
                               .status = "ok",
                               .finish_reason = "none",
                               .text = "",
                               .markdown = "",
                               .confidence = -1,
                               .confidence_low = -1,
                               .attempts = 1};
    return p;
}

static DsStatus
find_lines(const DsEngine *e, DsPage *p, const Image *image, int (*tick)(void *), void *tick_arg,
           DsError *err)
{
    const LineShape *shape = &model_facts(e->model)->line;
    PageLines found;
    LinesSeen *seen;
    DsStatus st;

    if (p->options.rotate != -1)
        st = lines_find(image, shape, p->options.rotate, tick, tick_arg, &p->arena, &found, err);
    else if ((st = lines_find_seen(image, shape, tick, tick_arg, &p->arena, &found, &seen, err)) ==
             DS_OK)
        st = turn_begin(p, seen, err);
    return st ? st : reading_take_lines(p, &found, err);
}

/* A page reader is given the page as it lies; only an asked-for rotation turns it. */
static DsStatus
cut_views(const DsEngine *e, DsPage *p, const Image *image, DsError *err)
{
    ViewSizes sizes = model_facts(e->model)->views;
    Image upright = *image;
    Views cut;
    DsStatus st;

    if (p->options.max_crops >= 0 && p->options.max_crops < sizes.max_crops)
        sizes.max_crops = p->options.max_crops;
    if ((p->options.rotate > 0 &&
         (st = image_rotate(image, p->options.rotate, &p->arena, &upright, err))) ||
        (st = views_cut(&upright, &sizes, &p->arena, &cut, err)))
        return st;
    p->reading.width = upright.width;
    p->reading.height = upright.height;
    p->reading.rotation = p->options.rotate > 0 ? p->options.rotate : 0;
    p->views = cut.views;
    p->nviews = cut.n;
    p->columns = cut.columns;
    p->rows = cut.rows;
    return DS_OK;
}

/* What has its views, or why it has none -> a page to be read, or nothing is left of it. */
static DsStatus
prepared(const DsEngine *e, DsPage *p, DsStatus st, DsError *err)
{
    if (st == DS_OK && (st = reading_prepare(e, p, err)) == DS_OK)
        return DS_OK;
    turn_end(p);
    arena_free(&p->arena);
    free(p);
    return st;
}

DsStatus
ds_can(const DsEngine *e, const DsOptions *options, DsError *err)
{
    return prompt_can(model_facts(e->model), options->mode, err);
}

DsStatus
ds_page_begin(const DsEngine *e, const Image *image, int page_no, const DsOptions *options,
              int (*tick)(void *), void *tick_arg, DsPage **out, DsError *err)
{
    double start = ds_now_ms();
    DsPage *p;
    DsStatus st;

    if ((st = ds_can(e, options, err)))
        return st;
    if ((p = new_page(e, page_no)) == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory");
    p->options = *options;
    p->reading.dpi = image->dpi;
    p->reading.want_lines = options->want_lines || model_facts(e->model)->reads_lines;
    st = model_facts(e->model)->reads_lines ? find_lines(e, p, image, tick, tick_arg, err)
                                            : cut_views(e, p, image, err);
    if ((st = prepared(e, p, st, err)))
        return st;
    p->reading.ms_decode = (int)lrint(ds_now_ms() - start);
    *out = p;
    return DS_OK;
}

DsStatus
page_begin_view(const DsEngine *e, const View *view, const DsOptions *options, DsPage **out,
                DsError *err)
{
    LineView one = {.view = *view, .box = {0, 0, view->width, view->height}};
    PageLines lines = {.width = view->width, .height = view->height, .nviews = 1, .views = &one};
    DsPage *p = new_page(e, 1);
    DsStatus st;

    if (p == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory");
    p->options = *options;
    if ((st = prepared(e, p, reading_take_lines(p, &lines, err), err)))
        return st;
    p->lines = (PageLines){0};
    *out = p;
    return DS_OK;
}

DsStatus
ds_page_failed(int page_no, const DsError *why, DsPage **out, DsError *err)
{
    DsPage *p = new_page(NULL, page_no);

    if (p == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory");
    p->reading.status = "error";
    p->reading.error_code = ds_status_name(why->status);
    p->reading.error_message = arena_strdup(&p->arena, why->message);
    p->laid_out = true;
    *out = p;
    return DS_OK;
}

/* What the steps have made of a page, looked at once. */
static DsStatus
look_after(DsEngine *e, DsPage *p, bool *worked, DsError *err)
{
    DsStatus st;

    if (p->turn && (st = turn_go_on(e, p, worked, err)))
    {
        if (st == DS_BROKEN || st == DS_CANCELLED)
            return st;
        turn_end(p);
        reading_free_slots(e, p);
        reading_fail(p, err);
    }
    if (p->laid_out || p->turn || p->ndone < p->nsequences)
        return DS_OK;
    *worked = true;
    return reading_finish(e, p, err);
}

/* A newcomer's views go before the next token of the others: a full batch is the cheap one. */
DsStatus
ds_step(DsEngine *e, DsPage *const *pages, int n, bool *worked, DsError *err)
{
    DsStatus st;

    *worked = false;
    reading_admit(e, pages, n);
    if ((st = reading_see(e, pages, n, worked, err)) ||
        (st = reading_prefill(e, pages, n, worked, err)) ||
        (*worked == false && (st = reading_write(e, pages, n, worked, err))))
        return st;
    for (int i = 0; i < n; i++)
        if ((st = look_after(e, pages[i], worked, err)))
            return st;
    return DS_OK;
}

bool
ds_page_done(const DsPage *p)
{
    return p->laid_out;
}

const PageReading *
ds_page_reading(DsPage *p)
{
    p->reading.ms_encode = (int)lrint(p->ms_encode);
    p->reading.ms_generate = (int)lrint(p->ms_generate);
    return &p->reading;
}

/* Line readers count views, page readers the views and then the tokens written so far. A page that is begun again
 * (turned, or when it looped), or has more to do than was known, stays where it was until it is as far once more. */
void
ds_page_progress(DsPage *p, int *done, int *all)
{
    *done = p->ndone + p->nagain;
    *all = p->nsequences + p->nagain;
    if (p->nsequences == 1 && p->nviews > 0)
    {
        *done = p->sequences[0].seen + (p->sequences[0].n - p->sequences[0].prompt);
        *all = p->laid_out ? *done : p->nviews + p->sequences[0].limit;
    }
    if (*done < p->told_done)
        *done = p->told_done;
    if (*all < *done)
        *all = *done;
    if ((int64_t)*done * p->told_all < (int64_t)p->told_done * *all)
        *done = (int)(((int64_t)p->told_done * *all + p->told_all - 1) / p->told_all);
    p->told_done = *done;
    p->told_all = *all;
}

void
ds_page_end(DsEngine *e, DsPage *p)
{
    if (p == NULL)
        return;
    if (e && p->engine)
        reading_free_slots(e, p);
    turn_end(p);
    arena_free(&p->arena);
    free(p);
}

void
ds_page_gives_way(DsPage *p)
{
    p->gives_way = true;
}

void
ds_page_add_decode_ms(DsPage *p, int ms)
{
    p->reading.ms_decode += ms;
}

/* dump.c - the values between the stages, for checks against other implementations (dsocr dump).
 *
 * Greedy without any rule against repeats: another implementation's greedy choice must give the same ids. What a page
 * makes of a view, with a second look where there is need, stands beside that. */
#include "reading.h"

#include <float.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TOKENS 8

typedef struct Dump
{
    DsEngine *e;
    const DsDumpOptions *o;
    Arena arena;
    json_t *out;
    int gap, separator; /* of the views at hand, as in a Sequence */
} Dump;

static DsStatus
no_memory(DsError *err)
{
    return ds_fail(err, DS_BROKEN, "out of memory");
}

/* {shape, first (4 values), last (2), sum, sumsq} */
static json_t *
summary(const float *x, const int *shape, int dims)
{
    json_t *o = json_object(), *s = json_array(), *first = json_array(), *last = json_array();
    double sum = 0, sumsq = 0;
    size_t n = 1;

    for (int i = 0; i < dims; i++)
    {
        n *= (size_t)shape[i];
        json_array_append_new(s, json_integer(shape[i]));
    }
    for (size_t i = 0; i < n; i++)
    {
        sum += x[i];
        sumsq += (double)x[i] * x[i];
    }
    for (size_t i = 0; i < 4 && i < n; i++)
        json_array_append_new(first, json_real(x[i]));
    for (size_t i = n < 2 ? 0 : n - 2; i < n; i++)
        json_array_append_new(last, json_real(x[i]));
    json_object_set_new(o, "shape", s);
    json_object_set_new(o, "first", first);
    json_object_set_new(o, "last", last);
    json_object_set_new(o, "sum", json_real(sum));
    json_object_set_new(o, "sumsq", json_real(sumsq));
    return o;
}

/* Vision of some views, with the stages of each; the last view is the whole one. rows: [n, hidden] with the
 * separator, from the arena. */
static DsStatus
dump_vision(Dump *d, json_t *out, const View *views, int n, float **rows, int *nrows, DsError *err)
{
    const Model *m = d->e->model;
    int hidden = model_facts(m)->hidden, filled = 0;
    float *seen;
    VisionTrace *trace = arena_array(&d->arena, (size_t)n, sizeof *trace);
    json_t *tile_sam = json_array(), *tile_encoder = json_array();
    DsStatus st;

    *nrows = vision_all_rows(m, views, n, &d->gap);
    *rows = arena_array(&d->arena, (size_t)*nrows * (size_t)hidden, sizeof **rows);
    seen = arena_array(&d->arena, (size_t)*nrows * (size_t)hidden, sizeof *seen);
    if (trace == NULL || *rows == NULL || seen == NULL)
        return no_memory(err);
    st = vision_encode(m, d->e->device, views, n, seen, NULL, trace, err);
    for (int i = 0; i < n; i++)
    {
        if (!st && i == n - 1)
        {
            json_object_set_new(out, "global_sam", summary(trace[i].sam, trace[i].sam_shape, 3));
            json_object_set_new(out, "global_encoder",
                                summary(trace[i].encoder, trace[i].encoder_shape, 2));
        }
        else if (!st)
        {
            json_array_append_new(tile_sam, summary(trace[i].sam, trace[i].sam_shape, 3));
            json_array_append_new(tile_encoder,
                                  summary(trace[i].encoder, trace[i].encoder_shape, 2));
        }
        free(trace[i].sam);
        free(trace[i].encoder);
    }
    json_object_set_new(out, "tile_sam", tile_sam);
    json_object_set_new(out, "tile_encoder", tile_encoder);
    if (st)
        return st;
    for (int i = 0; i < n; i++)
        filled = vision_append(m, *rows, filled, seen + (size_t)filled * (size_t)hidden,
                               vision_rows(m, &views[i]), i == n - 1);
    json_object_set_new(out, "image_rows", summary(*rows, (int[]){*nrows, hidden}, 2));
    return DS_OK;
}

/* The prompt: ids as given with -2 for the image rows, or built from text. */
static DsStatus
dump_prompt(Dump *d, int nrows, int32_t **ids, int *n, DsError *err)
{
    const DsDumpOptions *o = d->o;
    const ModelFacts *f = model_facts(d->e->model);
    const char *text = o->prompt        ? o->prompt
                       : f->reads_lines ? f->prompt
                                        : prompt_for_mode(DS_MODE_LAYOUT);

    if (o->prompt_ids == NULL && d->e->tokenizer == NULL)
    {
        ds_fail(err, DS_BAD_REQUEST, "the model directory has no tokenizer.json");
        return ds_hint(err, "Give the prompt as --prompt-ids.");
    }
    if (o->prompt_ids == NULL)
        return prompt_build(d->e->tokenizer, text, "", f->bos, nrows, &d->arena, ids, n, err);
    if ((*ids = arena_array(&d->arena, (size_t)(o->nprompt_ids + nrows), sizeof **ids)) == NULL)
        return no_memory(err);
    *n = 0;
    for (int i = 0; i < o->nprompt_ids; i++)
        for (int k = 0; k < (o->prompt_ids[i] == -2 ? nrows : 1); k++)
            (*ids)[(*n)++] = o->prompt_ids[i] == -2 ? -1 : o->prompt_ids[i];
    for (int i = 0; i < *n; i++)
        if ((*ids)[i] < -1 || (*ids)[i] >= f->vocab)
            return ds_fail(err, DS_BAD_REQUEST, "prompt id %d is outside of the vocabulary of %d",
                           (*ids)[i], f->vocab);
    return DS_OK;
}

/* Prefill in passes of at most PASS_ROWS; the logits after the last row are in e->logits. */
static DsStatus
prefill(Dump *d, const int32_t *ids, int n, const float *rows, DsError *err)
{
    DsEngine *e = d->e;
    size_t hidden = (size_t)model_facts(e->model)->hidden;
    DsStatus st = DS_OK;
    int seen = 0;

    d->separator = prompt_separator(ids, n);
    for (int at = 0; at < n && !st; at += PASS_ROWS)
    {
        DecoderInput in = {.slot = 0,
                           .start = at,
                           .n = n - at < PASS_ROWS ? n - at : PASS_ROWS,
                           .ids = ids + at,
                           .image = rows + (size_t)seen * hidden,
                           .gap = d->gap,
                           .behind = d->separator};

        st = decoder_run(e->decoder, &in, 1, e->logits, err);
        for (int i = 0; i < in.n; i++)
            seen += in.ids[i] == -1;
    }
    return st;
}

static DsStatus
dump_tokens(Dump *d, json_t *out, int position, DsError *err)
{
    const ModelFacts *f = model_facts(d->e->model);
    int most = d->o->max_tokens ? d->o->max_tokens
               : f->reads_lines ? f->max_new_tokens
                                : DEFAULT_TOKENS;
    NgramRule none = {.size = 0};
    int32_t *ids = arena_array(&d->arena, (size_t)most + 1, sizeof *ids);
    float gap = FLT_MAX;
    char *text;
    size_t length;
    DsStatus st = DS_OK;
    json_t *tokens = json_array();
    int n = 0;

    json_object_set_new(out, "tokens", tokens);
    if (ids == NULL)
        return no_memory(err);
    while (n < most && !st)
    {
        Choice c = choose_next(d->e->logits, f->vocab, ids, n, 0, &none);
        DecoderInput in = {.slot = 0,
                           .start = position + n,
                           .n = 1,
                           .ids = &ids[n],
                           .gap = d->gap,
                           .behind = d->separator};

        gap = c.gap < gap ? c.gap : gap;
        if (c.id == f->eos && !d->o->no_eos)
            break;
        ids[n] = c.id;
        json_array_append_new(tokens, json_integer(c.id));
        if (++n < most)
            st = decoder_run(d->e->decoder, &in, 1, d->e->logits, err);
    }
    json_object_set_new(out, "min_gap", json_real(gap));
    if (st || d->e->tokenizer == NULL)
        return st;
    if ((st = tokenizer_decode(d->e->tokenizer, ids, n, &d->arena, &text, &length, NULL, err)) ==
        DS_OK)
        json_object_set_new(out, "text", json_stringn_nocheck(text, length));
    return st;
}

static DsStatus
dump_views(Dump *d, json_t *out, const View *views, int n, DsError *err)
{
    int32_t *ids;
    float *rows;
    int nrows, nids;
    DsStatus st;

    if ((st = dump_vision(d, out, views, n, &rows, &nrows, err)) ||
        (st = dump_prompt(d, nrows, &ids, &nids, err)) || (st = prefill(d, ids, nids, rows, err)))
        return st;
    json_object_set_new(out, "logits", summary(d->e->logits, &model_facts(d->e->model)->vocab, 1));
    return dump_tokens(d, out, nids, err);
}

static DsStatus
dump_page_reader(Dump *d, const Image *image, DsError *err)
{
    Views views;
    DsStatus st;

    if ((st = views_cut(image, &model_facts(d->e->model)->views, &d->arena, &views, err)))
        return st;
    json_object_set_new(d->out, "grid", json_pack("[ii]", views.columns, views.rows));
    return dump_views(d, d->out, views.views, views.n, err);
}

/* {ids, finish, text} */
static json_t *
sequence_json(const DsEngine *e, const Sequence *s)
{
    json_t *ids = json_array(), *one;
    Arena arena;
    char *text;
    size_t n;

    arena_init(&arena, 0);
    for (int k = s->prompt; k < s->n; k++)
        json_array_append_new(ids, json_integer(s->ids[k]));
    one = json_pack("{so ss}", "ids", ids, "finish", s->finish);
    if (tokenizer_decode(e->tokenizer, s->ids + s->prompt, s->n - s->prompt, &arena, &text, &n,
                         NULL, NULL) == DS_OK)
        json_object_set_new(one, "text", json_stringn(text, n));
    arena_free(&arena);
    return one;
}

static bool
as_served(const DsDumpOptions *o)
{
    return o->prompt == NULL && o->prompt_ids == NULL && !o->max_tokens && !o->no_eos;
}

/* "read": the text that the view has on a page, and after how many looks. */
static DsStatus
dump_reading(Dump *d, json_t *out, const View *view, DsError *err)
{
    DsRequest r;
    DsPage *p = NULL;
    bool worked;
    DsStatus st;

    if ((st = request_parse("{}", 2, 0, &r, err)) ||
        (st = page_begin_view(d->e, view, &r.options, &p, err)))
        return st;
    while (!ds_page_done(p) && !st)
        st = ds_step(d->e, &p, 1, &worked, err);
    if (!st)
    {
        json_t *read = sequence_json(d->e, &p->sequences[0]);

        json_object_set_new(read, "looks", json_integer(1 + p->nagain));
        json_object_set_new(out, "read", read);
    }
    ds_page_end(d->e, p);
    return st;
}

static DsStatus
dump_line_reader(Dump *d, const Image *image, DsError *err)
{
    const LineShape *shape = &model_facts(d->e->model)->line;
    View whole = {image->width, image->height, image->channels, image->pixels};
    PageLines lines = {.nviews = 1};
    json_t *all = json_array();
    bool one = image->width == shape->view_w && image->height == shape->view_h;
    DsStatus st = DS_OK;

    json_object_set_new(d->out, "grid", json_pack("[ii]", 1, 1));
    json_object_set_new(d->out, "views", all);
    if (!one)
        st = lines_find(image, shape, -1, NULL, NULL, &d->arena, &lines, err);
    for (int i = 0; i < lines.nviews && !st; i++)
    {
        const View *view = one ? &whole : &lines.views[i].view;
        json_t *o = json_object();

        json_array_append_new(all, o);
        st = dump_views(d, o, view, 1, err);
        if (!st && as_served(d->o))
            st = dump_reading(d, o, view, err);
    }
    return st;
}

DsStatus
ds_dump(DsEngine *e, const Image *image, const DsDumpOptions *o, char **text, DsError *err)
{
    Dump d = {.e = e, .o = o, .out = json_object()};
    DsStatus st;

    arena_init(&d.arena, 0);
    st = model_facts(e->model)->reads_lines ? dump_line_reader(&d, image, err)
                                            : dump_page_reader(&d, image, err);
    if (!st && (*text = json_dumps(d.out, JSON_INDENT(1) | JSON_REAL_PRECISION(9))) == NULL)
        st = ds_fail(err, DS_BROKEN, "the dump cannot be written as JSON");
    json_decref(d.out);
    arena_free(&d.arena);
    return st;
}

/* --- dsocr read --stage ---------------------------------------------------------------------------------- */

static json_t *
box_json(const Box *b)
{
    return json_pack("[iiii]", b->x0, b->y0, b->x1, b->y1);
}

/* Where each view of a line was cut from: trainers learn from it what a view shows. */
static json_t *
view_boxes_json(const PageLines *l, const TextLine *line)
{
    json_t *boxes = json_array();

    for (int i = 0; i < line->nviews; i++)
        json_array_append_new(boxes, box_json(&l->views[line->first_view + i].box));
    return boxes;
}

static json_t *
lines_json(const PageLines *l)
{
    json_t *blocks = json_array(), *lines = json_array(), *pictures = json_array();

    for (int i = 0; i < l->nblocks; i++)
        json_array_append_new(blocks,
                              json_pack("{ss so si si}", "type", l->blocks[i].type, "bbox",
                                        box_json(&l->blocks[i].box), "first_line",
                                        l->blocks[i].first_line, "lines", l->blocks[i].nlines));
    for (int i = 0; i < l->nlines; i++)
        json_array_append_new(lines, json_pack("{si so sf sf so}", "block", l->lines[i].block,
                                               "bbox", box_json(&l->lines[i].box), "baseline",
                                               (double)l->lines[i].baseline, "x_height",
                                               (double)l->lines[i].x_height, "views",
                                               view_boxes_json(l, &l->lines[i])));
    for (int i = 0; i < l->npictures; i++)
        json_array_append_new(pictures, box_json(&l->pictures[i].box));
    return json_pack("{si si si sf so so so}", "width", l->width, "height", l->height, "rotation",
                     l->rotation, "skew", (double)l->skew, "blocks", blocks, "lines", lines,
                     "pictures", pictures);
}

static DsStatus
write_views(const DsPage *p, DsImageWriter write, DsError *err)
{
    DsStatus st = DS_OK;

    for (int i = 0; i < p->nviews && !st; i++)
    {
        char name[32];
        Image image = {p->views[i].width, p->views[i].height, p->views[i].channels, 0,
                       (uint8_t *)p->views[i].pixels};

        snprintf(name, sizeof name, "view-%03d.png", i);
        st = write(&image, name, err);
    }
    return st;
}

static json_t *
tokens_json(const DsEngine *e, const DsPage *p)
{
    json_t *all = json_array();

    for (int i = 0; i < p->nsequences; i++)
        json_array_append_new(all, json_null());
    for (int i = 0; i < p->nsequences; i++)
        json_array_set_new(all, (size_t)p->sequences[i].first_view,
                           sequence_json(e, &p->sequences[i]));
    return all;
}

static DsStatus
layout_text(const DsPage *p, char **text, DsError *err)
{
    JsonOut out = {0};
    size_t n;

    json_page(&out, &p->reading);
    return json_text(&out, text, &n, err);
}

DsStatus
ds_page_stage(DsEngine *e, DsPage *p, const char *stage, DsImageWriter write, char **text,
              DsError *err)
{
    json_t *out;
    bool worked, found;
    DsStatus st = DS_OK;

    if (strcmp(stage, "views") == 0 && (st = write_views(p, write, err)))
        return st;
    if (strcmp(stage, "views") && strcmp(stage, "lines") && strcmp(stage, "tokens") &&
        strcmp(stage, "layout"))
        return ds_fail(err, DS_BAD_REQUEST, "no stage \"%s\": image, lines, views, tokens, layout",
                       stage);
    found = strcmp(stage, "lines") == 0 || strcmp(stage, "views") == 0;
    while (!found && !ds_page_done(p) && !st)
        st = ds_step(e, &p, 1, &worked, err);
    if (st || strcmp(stage, "layout") == 0)
        return st ? st : layout_text(p, text, err);
    out = found ? lines_json(&p->lines) : tokens_json(e, p);
    *text = json_dumps(out, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    json_decref(out);
    return *text ? DS_OK : no_memory(err);
}

/* reading.c - a page on its way: which views are encoded next, which rows go through the decoder, and when a
 * sequence has ended.
 *
 * Sharp edge: everything here may be repeated. A pass that was given up leaves its sequences at row 0 with the
 * ids they have; running them again gives the same logits to the bit, since no operation's result depends on
 * how many rows go through it at once (P8). So, too, a draft's ids may go through with the ids that are known, and
 * one look at the logits of each tells which of them would have come anyway. */
#include "reading.h"

#include <math.h>
#include <string.h>

#define LOOP_REPEATS 3
#define LOOP_LEAST   24

/* The retry ladder of a page that looped: as asked, then a rule that bans earlier, then plain text where it is read. */
#define LADDER_NGRAM  10
#define LADDER_WINDOW 400

DsStatus
reading_no_room(DsError *err)
{
    ds_fail(err, DS_LIMIT, "page needs more than its working memory");
    return ds_hint(err, "Scale the image down.");
}

static const char *
prompt_of(const DsEngine *e, const DsPage *p)
{
    const ModelFacts *f = model_facts(e->model);

    return f->reads_lines ? f->prompt : prompt_for_mode(p->options.mode);
}

DsStatus
reading_begin_sequence(const DsEngine *e, DsPage *p, Sequence *s, DsError *err)
{
    const ModelFacts *f = model_facts(e->model);
    int32_t *prompt;
    DsStatus st;

    s->nrows = vision_all_rows(e->model, p->views + s->first_view, s->nviews, &s->gap);
    if ((st = prompt_build(e->tokenizer, prompt_of(e, p), p->options.question, f->bos, s->nrows,
                           &p->arena, &prompt, &s->prompt, err)))
        return st;
    s->limit = p->options.max_tokens >= 0 && p->options.max_tokens < f->max_new_tokens
                   ? p->options.max_tokens
                   : f->max_new_tokens;
    if (s->prompt + s->gap >= e->positions)
        return ds_fail(err, DS_LIMIT, "page needs %d positions, the model has %d",
                       s->prompt + s->gap, e->positions);
    if (s->limit > e->positions - s->prompt - s->gap)
        s->limit = e->positions - s->prompt - s->gap;
    s->room = s->prompt + s->limit;
    s->ids = arena_array(&p->arena, (size_t)s->room, sizeof *s->ids);
    s->probs = arena_array(&p->arena, (size_t)s->room, sizeof *s->probs);
    if (s->ids == NULL || s->probs == NULL)
        return reading_no_room(err);
    memcpy(s->ids, prompt, (size_t)s->prompt * sizeof *s->ids);
    s->separator = prompt_separator(s->ids, s->prompt);
    s->n = s->prompt;
    s->slot = -1;
    return DS_OK;
}

DsStatus
reading_take_lines(DsPage *p, const PageLines *lines, DsError *err)
{
    View *views = arena_array(&p->arena, (size_t)lines->nviews + TURN_VIEWS + 1, sizeof *views);

    if (views == NULL)
        return reading_no_room(err);
    for (int i = 0; i < lines->nviews; i++)
        views[i] = lines->views[i].view;
    p->lines = *lines;
    p->views = views;
    p->nviews = lines->nviews;
    p->reading.width = lines->width;
    p->reading.height = lines->height;
    p->reading.rotation = lines->rotation;
    p->reading.skew = lines->skew;
    return DS_OK;
}

DsStatus
reading_prepare(const DsEngine *e, DsPage *p, DsError *err)
{
    const ModelFacts *f = model_facts(e->model);
    DsStatus st;

    p->nsequences = f->reads_lines ? p->nviews : 1;
    p->sequences =
        arena_array(&p->arena, (size_t)p->nsequences + TURN_VIEWS + 1, sizeof *p->sequences);
    if (p->sequences == NULL)
        return reading_no_room(err);
    for (int i = 0; i < p->nsequences; i++)
    {
        p->sequences[i].first_view = i;
        p->sequences[i].nviews = f->reads_lines ? 1 : p->nviews;
        if ((st = reading_begin_sequence(e, p, &p->sequences[i], err)))
            return st;
        p->reading.vision_tokens += p->sequences[i].nrows;
        p->reading.prompt_tokens += p->sequences[i].prompt;
    }
    if (p->turn)
        turn_first(p);
    p->rule = (NgramRule){
        .size = p->options.ngram_size >= 0 ? p->options.ngram_size : f->ngram_size,
        .window = p->options.ngram_window >= 0 ? p->options.ngram_window : f->ngram_window,
        .whitelist = e->whitelist,
        .nwhitelist = e->nwhitelist,
    };
    return DS_OK;
}

DsStatus
reading_try_view(const DsEngine *e, DsPage *p, const View *view, DsError *err)
{
    Sequence *s = &p->sequences[p->nsequences];
    DsStatus st;

    p->views[p->nviews] = *view;
    *s = (Sequence){.first_view = p->nviews, .nviews = 1};
    if ((st = reading_begin_sequence(e, p, s, err)))
        return st;
    p->nviews++;
    p->nsequences++;
    return DS_OK;
}

void
reading_free_slots(DsEngine *e, DsPage *p)
{
    for (int i = 0; i < p->nsequences; i++)
        if (p->sequences[i].slot >= 0)
        {
            e->in_slot[p->sequences[i].slot] = NULL;
            p->sequences[i].slot = -1;
        }
}

void
reading_admit(DsEngine *e, DsPage *const *pages, int n)
{
    int slot = 0, free = 0, kept = e->slots < 4 ? e->slots > 1 : e->slots / 4;

    for (int i = 0; i < e->slots; i++)
        free += e->in_slot[i] == NULL;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < pages[i]->nsequences; k++)
        {
            Sequence *s = &pages[i]->sequences[k];

            if (s->state != SEQUENCE_WAITS)
                continue;
            if (free == 0 || (pages[i]->gives_way && free <= kept))
                break;
            while (e->in_slot[slot])
                slot++;
            free--;
            e->in_slot[slot] = s;
            s->slot = slot;
            s->state = s->seen == s->nviews ? SEQUENCE_PREFILLS : SEQUENCE_SEES;
        }
}

/* --- views -> vision rows ------------------------------------------------------------------------------- */

typedef struct Group
{
    DsPage *page[GROUP_VIEWS];
    Sequence *sequence[GROUP_VIEWS];
    View views[GROUP_VIEWS];
    int nrows[GROUP_VIEWS];
    Draft drafts[GROUP_VIEWS];
    int n, rows;
} Group;

/* The rows of the view that a sequence is to be seen next; 0: it does not wait for that. */
static int
rows_to_see(const DsEngine *e, const DsPage *p, const Sequence *s)
{
    return s->state != SEQUENCE_SEES ? 0
           : s->nviews == 1          ? s->nrows - 1
                                     : vision_rows(e->model, &p->views[s->first_view + s->seen]);
}

static bool
has_alike(const Group *g, int rows)
{
    for (int i = 0; i < g->n; i++)
        if (g->nrows[i] == rows)
            return true;
    return false;
}

/* The next view's rows, of views with other rows than those that were gathered; 0: there are none. */
static int
next_rows(const DsEngine *e, DsPage *const *pages, int n, const Group *g)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < pages[i]->nsequences; k++)
        {
            int rows = rows_to_see(e, pages[i], &pages[i]->sequences[k]);

            if (rows && !has_alike(g, rows))
                return rows;
        }
    return 0;
}

static void
gather_alike(const DsEngine *e, DsPage *const *pages, int n, Group *g, int rows, int most)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < pages[i]->nsequences; k++)
        {
            Sequence *s = &pages[i]->sequences[k];

            if (rows_to_see(e, pages[i], s) != rows)
                continue;
            if (g->n == GROUP_VIEWS || g->rows + rows > most)
                return;
            g->page[g->n] = pages[i];
            g->sequence[g->n] = s;
            g->views[g->n] = pages[i]->views[s->first_view + s->seen];
            g->nrows[g->n++] = rows;
            g->rows += rows;
        }
}

/* The next views of admitted sequences, those of as many rows together: as much as WHOLE_VIEWS whole ones. A page
 * reader's view is work enough for one step. */
static void
gather_views(const DsEngine *e, DsPage *const *pages, int n, Group *g)
{
    const ModelFacts *f = model_facts(e->model);
    View whole = {.width = f->line.view_w, .height = f->line.view_h};
    int rows, most = f->reads_lines ? WHOLE_VIEWS * vision_whole_rows(e->model, &whole) : 0;

    while ((rows = next_rows(e, pages, n, g)) > 0)
    {
        int before = g->n;

        gather_alike(e, pages, n, g, rows, most > rows ? most : rows);
        if (g->n == before)
            return;
    }
}

static void
keep_rows(const DsEngine *e, Sequence *s, const float *rows, int n)
{
    bool last = ++s->seen == s->nviews;

    s->rows_filled = vision_append(e->model, s->rows, s->rows_filled, rows, n, last);
    if (last)
        s->state = SEQUENCE_PREFILLS;
}

/* A page without memory for drafts goes on without them; a second look has its own. */
static void
keep_draft(DsPage *p, Sequence *s, const Draft *draft)
{
    if (s->look == NULL && draft->n &&
        (s->draft = arena_alloc(&p->arena, sizeof *s->draft)) != NULL)
        *s->draft = *draft;
}

DsStatus
reading_see(DsEngine *e, DsPage *const *pages, int n, bool *worked, DsError *err)
{
    size_t hidden = (size_t)model_facts(e->model)->hidden;
    bool drafts = model_facts(e->model)->drafts && !e->settings.no_draft;
    double start = ds_now_ms(), ms;
    Group g;
    Arena arena;
    float *rows;
    DsStatus st = DS_OK;

    g.n = g.rows = 0;
    gather_views(e, pages, n, &g);
    if (g.n == 0)
        return DS_OK;
    *worked = true;
    arena_init(&arena, 0);
    if ((rows = arena_alloc(&arena, (size_t)g.rows * hidden * sizeof *rows)) == NULL)
        st = ds_fail(err, DS_BROKEN, "out of memory for %d vision rows", g.rows);
    for (int i = 0; i < g.n && !st; i++)
        if (g.sequence[i]->rows == NULL &&
            (g.sequence[i]->rows = arena_array(
                 &g.page[i]->arena, (size_t)g.sequence[i]->nrows * hidden, sizeof *rows)) == NULL)
            st = reading_no_room(err);
    if (!st && !(st = vision_encode(e->model, e->device, g.views, g.n, rows,
                                    drafts ? g.drafts : NULL, NULL, err)))
    {
        const float *at = rows;

        ms = (ds_now_ms() - start) / g.n;
        for (int i = 0; i < g.n; at += (size_t)g.nrows[i++] * hidden)
        {
            keep_rows(e, g.sequence[i], at, g.nrows[i]);
            if (drafts)
                keep_draft(g.page[i], g.sequence[i], &g.drafts[i]);
            g.page[i]->ms_encode += ms;
        }
    }
    arena_free(&arena);
    return st;
}

/* --- rows -> logits -> ids ------------------------------------------------------------------------------ */

typedef struct Pass
{
    DsPage *page[PASS_ROWS];
    Sequence *sequence[PASS_ROWS];
    DecoderInput inputs[PASS_ROWS];
    int n, rows;
} Pass;

/* The vision rows that precede row `from` in a prompt: where its image pointer stands. */
static int
image_rows_before(const Sequence *s, int from)
{
    int n = 0;

    for (int i = 0; i < from; i++)
        n += s->ids[i] == -1;
    return n;
}

/* Puts the draft's next ids behind those that are known, up to `most`; returns how many. */
static int
offer_draft(Sequence *s, int most)
{
    const Draft *d = s->draft;
    int n = d ? d->n - d->at : 0;

    if (n > s->room - s->n)
        n = s->room - s->n;
    if (n > most)
        n = most;
    if (n <= 0)
        return 0;
    memcpy(s->ids + s->n, d->ids + d->at, (size_t)n * sizeof *s->ids);
    return n;
}

/* The next n of its known ids, and what is offered. */
static void
add_input(const DsEngine *e, Pass *pass, DsPage *p, Sequence *s, int slot, int n)
{
    size_t hidden = (size_t)model_facts(e->model)->hidden;

    n += s->offered;
    pass->page[pass->n] = p;
    pass->sequence[pass->n] = s;
    pass->inputs[pass->n++] = (DecoderInput){
        .slot = slot,
        .start = s->cached,
        .n = n,
        .ids = s->ids + s->cached,
        .image = s->cached < s->prompt ? s->rows + image_rows_before(s, s->cached) * hidden : NULL,
        .earlier = s->offered,
        .gap = s->gap,
        .behind = s->separator,
    };
    pass->rows += n;
}

/* As much of a sequence as there is room for; of one that is read from two views all of both or nothing, since the
 * next id is said by both. */
static void
add_sequence(const DsEngine *e, Pass *pass, DsPage *p, Sequence *s)
{
    Sequence *beside = look_beside(s);
    int room = PASS_ROWS - pass->rows, n = s->n - s->cached,
        also = beside ? beside->n - beside->cached : 0;

    if (beside && n + also > room)
        return;
    if (n > room)
        n = room;
    if (n == 0)
        return;
    s->offered = s->cached + n == s->n ? offer_draft(s, (room - n - also) / (beside ? 2 : 1)) : 0;
    add_input(e, pass, p, s, s->slot, n);
    if (beside == NULL)
        return;
    beside->offered = s->offered;
    memcpy(beside->ids + beside->n, s->ids + s->n, (size_t)s->offered * sizeof *s->ids);
    add_input(e, pass, p, beside, e->slots + s->slot, also);
}

static void
gather_inputs(const DsEngine *e, DsPage *const *pages, int n, SequenceState state, Pass *pass)
{
    pass->n = pass->rows = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < pages[i]->nsequences && pass->rows < PASS_ROWS; k++)
            if (pages[i]->sequences[k].state == state)
                add_sequence(e, pass, pages[i], &pages[i]->sequences[k]);
}

static void
end_sequence(DsEngine *e, DsPage *p, Sequence *s, const char *finish)
{
    s->finish = finish;
    s->state = SEQUENCE_DONE;
    e->in_slot[s->slot] = NULL;
    s->slot = -1;
    p->ndone++;
}

/* Takes the next id of a sequence whose ids are all cached. A line of leader dots is no loop: line readers are
 * bounded by their few tokens instead. */
static void
take_next(DsEngine *e, DsPage *p, Sequence *s, const float *logits)
{
    const ModelFacts *f = model_facts(e->model);
    Choice c = choose_next(logits, f->vocab, s->ids, s->n, s->prompt, &p->rule);
    int keep;

    if (c.id == f->eos)
    {
        s->ending = c.probability;
        end_sequence(e, p, s, "eos");
    }
    else if (s->n - s->prompt == s->limit)
        end_sequence(e, p, s, "length");
    else
    {
        s->probs[s->n] = c.probability;
        s->ids[s->n++] = c.id;
        s->state = SEQUENCE_WRITES;
        if (f->reads_lines ||
            !choose_looping(s->ids + s->prompt, s->n - s->prompt, LOOP_REPEATS, LOOP_LEAST, &keep))
            return;
        s->n = s->prompt + keep;
        end_sequence(e, p, s, "repeat");
    }
}

/* Takes the id after the known ones, and the next as long as it was offered. logits: [1 + offered, vocab]. */
static void
take_offered(DsEngine *e, DsPage *p, Sequence *s, const float *logits)
{
    int vocab = model_facts(e->model)->vocab, right = 0;
    int32_t offered;

    for (bool as_offered = true; as_offered && s->state != SEQUENCE_DONE; logits += vocab)
    {
        offered = right < s->offered ? s->ids[s->n] : -1;
        take_next(e, p, s, logits);
        as_offered = s->state != SEQUENCE_DONE && s->ids[s->n - 1] == offered;
        right += as_offered;
        if (s->draft && s->state != SEQUENCE_DONE)
            draft_pass(s->draft, s->ids[s->n - 1]);
    }
    if (s->offered)
        draft_judge(s->draft, right);
    s->cached = s->n - 1; /* the rows behind are made again */
}

/* The same of one that is read from two views, of which each has logits: its own come first. */
static void
take_both(DsEngine *e, DsPage *p, Sequence *s, float *logits)
{
    int vocab = model_facts(e->model)->vocab, n = 1 + s->offered;

    for (int i = 0; i < n; i++)
        choose_mix(logits + (size_t)i * vocab, logits + (size_t)(n + i) * vocab, vocab);
    take_offered(e, p, s, logits);
    look_follow(s);
}

static DsStatus
run_pass(DsEngine *e, Pass *pass, bool *worked, DsError *err)
{
    size_t vocab = (size_t)model_facts(e->model)->vocab;
    float *logits = e->logits;
    double start = ds_now_ms(), ms;
    DsStatus st;

    if (pass->n == 0)
        return DS_OK;
    *worked = true;
    e->passes++;
    if ((st = decoder_run(e->decoder, pass->inputs, pass->n, e->logits, err)))
    {
        for (int i = 0; i < pass->n; i++)
        {
            pass->sequence[i]->cached = 0;
            pass->sequence[i]->state = SEQUENCE_PREFILLS;
        }
        return st;
    }
    ms = (ds_now_ms() - start) / pass->n;
    for (int i = 0, inputs; i < pass->n; i += inputs)
    {
        Sequence *s = pass->sequence[i];

        inputs = s->look ? 2 : 1;
        pass->page[i]->ms_generate += inputs * ms;
        s->cached += pass->inputs[i].n;
        if (s->look)
            take_both(e, pass->page[i], s, logits);
        else if (s->cached >= s->n)
            take_offered(e, pass->page[i], s, logits);
        logits += (size_t)(inputs * (1 + pass->inputs[i].earlier)) * vocab;
    }
    return DS_OK;
}

DsStatus
reading_prefill(DsEngine *e, DsPage *const *pages, int n, bool *worked, DsError *err)
{
    Pass pass;

    gather_inputs(e, pages, n, SEQUENCE_PREFILLS, &pass);
    return run_pass(e, &pass, worked, err);
}

DsStatus
reading_write(DsEngine *e, DsPage *const *pages, int n, bool *worked, DsError *err)
{
    Pass pass;

    gather_inputs(e, pages, n, SEQUENCE_WRITES, &pass);
    return run_pass(e, &pass, worked, err);
}

/* --- ids -> text and layout ----------------------------------------------------------------------------- */

/* Begins the next rung of the ladder on the vision rows that are there. */
static DsStatus
try_again(DsEngine *e, DsPage *p, DsError *err)
{
    Sequence *s = &p->sequences[0], old = *s;
    DsStatus st;

    p->attempt++;
    p->reading.attempts++;
    p->ndone = 0;
    p->rule.size = LADDER_NGRAM;
    p->rule.window = LADDER_WINDOW;
    if (p->attempt >= 2 && p->options.mode == DS_MODE_LAYOUT)
        p->options.mode = DS_MODE_TEXT;
    *s = (Sequence){
        .first_view = old.first_view, .nviews = old.nviews, .seen = old.seen, .rows = old.rows};
    if ((st = reading_begin_sequence(e, p, s, err)))
        return st;
    s->rows_filled = s->nrows;
    p->reading.prompt_tokens += s->prompt;
    return DS_OK;
}

static DsStatus
keep_raw(const DsEngine *e, DsPage *p, const Generated *g, DsError *err)
{
    int total = 0, at = 0;
    size_t n;
    char *raw;
    DsStatus st;

    for (int i = 0; i < p->nsequences; i++)
        total += g[i].n;
    if ((p->reading.ids = arena_array(&p->arena, (size_t)total + 1, sizeof(int32_t))) == NULL)
        return reading_no_room(err);
    for (int i = 0; i < p->nsequences; at += g[i++].n)
        memcpy(p->reading.ids + at, g[i].ids, (size_t)g[i].n * sizeof(int32_t));
    if (p->options.want_raw)
    {
        if ((st = tokenizer_decode(e->tokenizer, p->reading.ids, total, &p->arena, &raw, &n, NULL,
                                   err)))
            return st;
        p->reading.raw = raw;
    }
    if (p->options.want_tokens)
        p->reading.nids = total;
    else
        p->reading.ids = NULL;
    return DS_OK;
}

static DsStatus
lay_out(DsEngine *e, DsPage *p, DsError *err)
{
    Generated *g = arena_array(&p->arena, (size_t)p->nsequences + 1, sizeof *g);
    DsStatus st;

    if (g == NULL)
        return reading_no_room(err);
    for (int i = 0; i < p->nsequences; i++)
    {
        Sequence *s = &p->sequences[i];

        g[s->first_view] = (Generated){.ids = s->ids + s->prompt,
                                       .probabilities = s->probs + s->prompt,
                                       .n = s->n - s->prompt,
                                       .finish_reason = s->finish};
        p->reading.output_tokens += s->n - s->prompt;
    }
    if ((p->options.want_raw || p->options.want_tokens) && (st = keep_raw(e, p, g, err)))
        return st;
    if (model_facts(e->model)->reads_lines)
        return layout_from_lines(e->tokenizer, &p->lines, g, &p->arena, &p->reading, err);
    return p->options.mode > DS_MODE_TEXT
               ? layout_from_answer(e->tokenizer, g, &p->arena, &p->reading, err)
               : layout_from_markup(e->tokenizer, g, &p->arena, &p->reading, err);
}

void
reading_fail(DsPage *p, const DsError *why)
{
    char *message = arena_strdup(&p->arena, why->message);

    p->reading.status = "error";
    p->reading.error_code = ds_status_name(why->status);
    p->reading.error_message = message ? message : "out of memory";
    p->nsequences = p->ndone = 0; /* nothing of it goes on */
    p->laid_out = true;
}

/* What comes after the last sequence's end: a second look, another attempt, or the layout. */
static DsStatus
go_on(DsEngine *e, DsPage *p, DsError *err)
{
    const ModelFacts *f = model_facts(e->model);
    bool looped =
        p->nsequences == 1 && !f->reads_lines && strcmp(p->sequences[0].finish, "repeat") == 0;
    DsStatus st;

    if (f->second_look > 0 && !p->looked && (st = look_begin(e, p, err)))
        return st;
    if (p->nagain && p->ndone < p->nsequences)
        return DS_OK;
    look_decide(p);
    if (looped && p->attempt < p->options.retries)
        return try_again(e, p, err);
    p->laid_out = true;
    return lay_out(e, p, err);
}

DsStatus
reading_finish(DsEngine *e, DsPage *p, DsError *err)
{
    DsStatus st = go_on(e, p, err);

    if (st && st != DS_BROKEN)
    {
        reading_fail(p, err);
        return DS_OK;
    }
    return st;
}

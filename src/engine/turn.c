/* turn.c - which way up a page of a line reader stands, when its letters are wrong about it: where capitals and
 * figures are many, rules run through the lines or print is broken.
 *
 * Some views are read first. When they are read with certainty, the page stands as its letters say, and nothing was
 * lost. Else the same views are read on their heads, as they are, which costs no other look at the page; only when that
 * does about as well is the page itself turned, and some views of it decide. All of it depends on these views
 * alone, not on what else has been read by then (P8). */
#include "reading.h"

#include "layout_parts.h"

#include <string.h>

#define LEAST  4    /* views that tell anything */
#define SURE   0.75 /* nobody need look any further */
#define NEAR   0.1  /* so much less sure on their heads, and the page turned is looked at */
#define BETTER 0.05 /* so much surer it has to be */
#define BAND   0.4  /* of the ink in a view's fullest row: a row of letters' bodies */

/* FOUND -unsure-> HEADS -about as sure-> TURNED, and from each of them to the end. */
typedef enum TurnStage
{
    TURN_FOUND,  /* some views of the page as it was found are being read */
    TURN_HEADS,  /* the same on their heads */
    TURN_TURNED, /* views of the page turned */
} TurnStage;

struct Turn
{
    TurnStage stage;
    LinesSeen *seen;
    int n;        /* views that are read of the page as it was found */
    int tried;    /* that are read beside the page's own */
    double found; /* certainty */
    PageLines turned;
};

DsStatus
turn_begin(DsPage *p, LinesSeen *seen, DsError *err)
{
    if ((p->turn = arena_zalloc(&p->arena, sizeof *p->turn)) == NULL)
    {
        lines_seen_free(seen);
        return reading_no_room(err);
    }
    p->turn->seen = seen;
    return DS_OK;
}

void
turn_end(DsPage *p)
{
    if (p->turn)
        lines_seen_free(p->turn->seen);
    p->turn = NULL;
}

/* View i of the n that speak for a page with so many: they lie all over it. */
static int
speaker(int i, int n, int nviews)
{
    return (int)((int64_t)i * nviews / n);
}

void
turn_first(DsPage *p)
{
    Turn *t = p->turn;

    t->n = p->nviews < TURN_VIEWS ? p->nviews : TURN_VIEWS;
    if (t->n < LEAST)
    {
        turn_end(p);
        return;
    }
    for (int i = 0; i < t->n; i++)
    {
        int k = speaker(i, t->n, p->nviews);
        Sequence s = p->sequences[i];

        p->sequences[i] = p->sequences[k];
        p->sequences[k] = s;
    }
}

/* The mean certainty of some sequences; one that is read as nothing has none. */
static double
certainty(const Sequence *s, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
    {
        Mean mean = {0, 0};

        mean_add_all(&mean, s[i].probs + s[i].prompt, s[i].n - s[i].prompt);
        sum += mean.n ? mean_value(&mean) : 0;
    }
    return n ? sum / n : 0;
}

/* --- a view on its head --------------------------------------------------------------------------------- */

/* The first row of the bodies of letters: on its head, their feet. */
static int
first_of_band(const View *v)
{
    int most = 0, y = 0;

    for (int pass = 0; pass < 2; pass++)
        for (y = 0; y < v->height; y++)
        {
            int ink = 0;

            for (int x = 0; x < v->width; x++)
                ink += 255 - v->pixels[y * v->width + x];
            if (pass == 0 && ink > most)
                most = ink;
            else if (pass == 1 && ink >= BAND * most)
                return y;
        }
    return 0;
}

static int
ink_width(const View *v)
{
    for (int x = v->width - 1; x >= 0; x--)
        for (int y = 0; y < v->height; y++)
            if (v->pixels[y * v->width + x] < 200)
                return x + 1;
    return 0;
}

/* Turned by 180 degrees, its letters' feet on the baseline and its ink at the left, as in any view. */
static bool
on_its_head(const View *v, const LineShape *shape, Arena *arena, View *out)
{
    int w = v->width, width = ink_width(v);
    int feet = (int)shape->baseline - 1 + first_of_band(v);
    uint8_t *px = arena_alloc(arena, (size_t)w * v->height);

    if (px == NULL)
        return false;
    memset(px, 255, (size_t)w * v->height);
    for (int y = 0; y < v->height; y++)
        if (feet - y >= 0 && feet - y < v->height)
            for (int x = 0; x < width; x++)
                px[(feet - y) * w + width - 1 - x] = v->pixels[y * w + x];
    *out = *v;
    out->pixels = px;
    return true;
}

/* --- the stages ----------------------------------------------------------------------------------------- */

static DsStatus
try_heads(const DsEngine *e, DsPage *p, DsError *err)
{
    Turn *t = p->turn;
    DsStatus st;

    for (int i = 0; i < t->n; i++)
    {
        View view;

        if (!on_its_head(&p->views[p->sequences[i].first_view], &model_facts(e->model)->line,
                         &p->arena, &view))
            return reading_no_room(err);
        if ((st = reading_try_view(e, p, &view, err)))
            return st;
    }
    t->tried = t->n;
    t->stage = TURN_HEADS;
    return DS_OK;
}

static void
forget_tried(DsPage *p)
{
    int n = p->turn->tried;

    p->nsequences -= n;
    p->nviews -= n;
    p->ndone -= n;
    p->turn->tried = 0;
}

static DsStatus
try_turned(const DsEngine *e, DsPage *p, DsError *err)
{
    Turn *t = p->turn;
    int n;
    DsStatus st;

    if ((st = lines_turned(t->seen, &model_facts(e->model)->line, e->settings.tick,
                           e->settings.tick_arg, &p->arena, &t->turned, err)))
        return st;
    forget_tried(p);
    n = t->turned.nviews < TURN_VIEWS ? t->turned.nviews : TURN_VIEWS;
    for (int i = 0; i < n; i++)
    {
        if ((st = reading_try_view(e, p, &t->turned.views[speaker(i, n, t->turned.nviews)].view,
                                   err)))
            return st;
    }
    t->tried = n;
    t->stage = TURN_TURNED;
    return DS_OK;
}

/* The page is begun again, as it stands turned. */
static DsStatus
take_turned(DsEngine *e, DsPage *p, DsError *err)
{
    PageLines turned = p->turn->turned;
    DsStatus st;

    turn_end(p);
    reading_free_slots(e, p);
    p->ndone = 0;
    p->reading.vision_tokens = p->reading.prompt_tokens = 0;
    if ((st = reading_take_lines(p, &turned, err)))
        return st;
    return reading_prepare(e, p, err);
}

/* Whether all sequences that the stage waits for are done, and how sure they were. */
static bool
stage_done(const DsPage *p, double *sure)
{
    const Turn *t = p->turn;
    const Sequence *s =
        t->stage == TURN_FOUND ? p->sequences : p->sequences + p->nsequences - t->tried;
    int n = t->stage == TURN_FOUND ? t->n : t->tried;

    for (int i = 0; i < n; i++)
        if (s[i].state != SEQUENCE_DONE)
            return false;
    *sure = certainty(s, n);
    return true;
}

DsStatus
turn_go_on(DsEngine *e, DsPage *p, bool *worked, DsError *err)
{
    Turn *t = p->turn;
    double sure;

    if (!stage_done(p, &sure))
        return DS_OK;
    *worked = true;
    if (t->stage == TURN_FOUND)
    {
        t->found = sure;
        if (sure < SURE)
            return try_heads(e, p, err);
    }
    else if (t->stage == TURN_HEADS && sure > t->found - NEAR)
        return try_turned(e, p, err);
    else if (t->stage == TURN_TURNED && sure > t->found + BETTER)
        return take_turned(e, p, err);
    forget_tried(p);
    turn_end(p);
    return DS_OK;
}

/* look.c - a second look at what was read with doubt on a page of a line reader. MODEL.md, "The second look".
 *
 * A letter on the border of two patches is seen by halves; half a patch further to the side it is seen whole. So a
 * view in doubt is read once more from there and from where it was, both together: each next id is the one that
 * has the best chance in the mean of the two.
 * Sharp edge: the confidence stays the first reading's. What is no print would be surer in the better of several
 * readings than print has to be, and would come back as words (layout_lines.c). */
#include "reading.h"

#include <math.h>
#include <string.h>

#include "layout_parts.h"

#define HOPELESS 0.35f /* less sure it is no print, and most pages leave it out */
#define PART     2     /* one view in so many is read again, at most */

/* The end counts: a reading that ends too early is less sure of that than of its letters. */
static float
certainty(const Sequence *s)
{
    Mean mean = {0, 0};

    mean_add_all(&mean, s->probs + s->prompt, s->n - s->prompt);
    mean_add(&mean, s->ending);
    return mean_value(&mean);
}

static bool
in_doubt(const Sequence *s, float sure)
{
    float c = certainty(s);

    return s->n > s->prompt && c < sure && c >= HOPELESS;
}

/* The view moved to the right; where that would push ink out, to the left: there is white before the first letter. */
static bool
move_view(const View *v, int by, Arena *arena, View *out)
{
    size_t w = (size_t)v->width, left = (size_t)by;
    uint8_t *pixels = arena_alloc(arena, w * v->height);
    bool full = false;

    if (pixels == NULL)
        return false;
    for (int y = 0; y < v->height; y++)
        for (size_t x = w - left; x < w; x++)
            full = full || v->pixels[y * w + x] < 255;
    memset(pixels, 255, w * v->height);
    for (int y = 0; y < v->height; y++)
        memcpy(pixels + y * w + (full ? 0 : left), v->pixels + y * w + (full ? left : 0), w - left);
    *out = *v;
    out->pixels = pixels;
    return true;
}

/* The first reading is the draft of the second. A page without memory for it goes on without. */
static Draft *
draft_of(const Sequence *s, Arena *arena)
{
    Draft *d = arena_alloc(arena, sizeof *d);

    if (d == NULL)
        return NULL;
    d->at = d->misses = 0;
    d->n = s->n - s->prompt < DRAFT_MOST ? s->n - s->prompt : DRAFT_MOST;
    memcpy(d->ids, s->ids + s->prompt, (size_t)d->n * sizeof *d->ids);
    return d;
}

/* Begins sequence i anew with the moved view, and beside it with the view and the rows that it has. */
static DsStatus
begin_again(const DsEngine *e, DsPage *p, int i, DsError *err)
{
    Sequence *s = &p->sequences[i];
    Look *look = arena_alloc(&p->arena, sizeof *look);
    DsStatus st;

    if (look == NULL || !move_view(&p->views[s->first_view], model_facts(e->model)->look_shift,
                                   &p->arena, &p->views[p->nviews]))
        return reading_no_room(err);
    look->first = *s;
    look->beside = (Sequence){.first_view = s->first_view, .nviews = 1, .rows = s->rows};
    *s = (Sequence){.first_view = p->nviews, .nviews = 1, .look = look};
    if ((st = reading_begin_sequence(e, p, &look->beside, err)) ||
        (st = reading_begin_sequence(e, p, s, err)))
        return st;
    s->draft = e->settings.no_draft ? NULL : draft_of(&look->first, &p->arena);
    p->nviews++;
    p->nagain++;
    p->ndone--;
    p->reading.vision_tokens += s->nrows;
    p->reading.prompt_tokens += s->prompt;
    return DS_OK;
}

DsStatus
look_begin(const DsEngine *e, DsPage *p, DsError *err)
{
    float sure = model_facts(e->model)->second_look;
    int most = (p->nsequences + PART - 1) / PART;
    View *views = arena_array(&p->arena, (size_t)(p->nviews + most), sizeof *views);
    DsStatus st = DS_OK;

    p->looked = true;
    if (views == NULL)
        return reading_no_room(err);
    p->views = memcpy(views, p->views, (size_t)p->nviews * sizeof *views);
    for (int i = 0; i < p->nsequences && p->nagain < most && st == DS_OK; i++)
        if (in_doubt(&p->sequences[i], sure))
            st = begin_again(e, p, i, err);
    return st;
}

Sequence *
look_beside(const Sequence *s)
{
    return s->look ? &s->look->beside : NULL;
}

void
look_follow(const Sequence *s)
{
    Sequence *b = look_beside(s);
    int n = s->n - s->prompt;

    memcpy(b->ids + b->prompt, s->ids + s->prompt, (size_t)n * sizeof *s->ids);
    b->n = b->prompt + n;
    b->cached = b->n - (s->n - s->cached);
}

/* Makes the text's confidence the first reading's. */
static void
temper(Sequence *s, const Sequence *first)
{
    Mean now = {0, 0}, then = {0, 0};
    double by;

    mean_add_all(&now, s->probs + s->prompt, s->n - s->prompt);
    mean_add_all(&then, first->probs + first->prompt, first->n - first->prompt);
    by = exp(then.logs / then.n - now.logs / now.n);
    for (int i = s->prompt; i < s->n; i++)
        s->probs[i] = (float)fmin(1, s->probs[i] * by);
}

void
look_decide(DsPage *p)
{
    for (int i = 0; i < p->nsequences; i++)
    {
        Sequence *s = &p->sequences[i];

        if (s->look == NULL)
            continue;
        if (s->n > s->prompt)
        {
            temper(s, &s->look->first);
            s->first_view = s->look->first.first_view; /* it is the text of the page's own */
            s->look = NULL;
        }
        else
            *s = s->look->first;
    }
}

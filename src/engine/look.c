/* look.c - a second look at what was read with doubt on a page of a line reader. MODEL.md, "The second look".
 *
 * A letter on the border of two patches is seen by halves; half a patch further to the side it is seen whole. So a
 * view in doubt is read once more from there, and the surer reading is the text.
 * Sharp edge: the confidence stays the first reading's. The surest of several readings of what is no print would be
 * surer than print has to be, and would come back as words (layout_lines.c). */
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

/* Begins sequence i anew with another view, on the rows it has. */
static DsStatus
begin_again(const DsEngine *e, DsPage *p, int i, DsError *err)
{
    Sequence *s = &p->sequences[i], *first = arena_alloc(&p->arena, sizeof *first);
    DsStatus st;

    if (first == NULL || !move_view(&p->views[s->first_view], model_facts(e->model)->look_shift,
                                    &p->arena, &p->views[p->nviews]))
        return reading_no_room(err);
    *first = *s;
    *s = (Sequence){.first_view = p->nviews, .nviews = 1, .rows = first->rows, .first = first};
    if ((st = reading_begin_sequence(e, p, s, err)))
        return st;
    if (s->nrows > first->nrows) /* moved, it ends later */
        s->rows = NULL;
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

        if (s->first == NULL)
            continue;
        if (s->n > s->prompt && certainty(s) > certainty(s->first))
        {
            temper(s, s->first);
            s->first_view =
                s->first->first_view; /* of the page's own views it is the text of that */
        }
        else
            *s = *s->first;
        s->first = NULL;
    }
}

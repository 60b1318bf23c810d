/* turn.c - which way up a page of a line reader stands, when its letters do not say: where capitals and figures are
 * many, rules run through the lines or print is broken. Some views of the page as it was found are read, and
 * some of it turned by 180 degrees; what is read with more certainty is the page. */
#include "reading.h"

#include "layout_parts.h"

#define TRIED 8 /* views of each */

struct Turn
{
    PageLines ways[2]; /* as found, and turned */
    int tried[2];      /* of their views, those of the first before those of the second */
};

/* Views of all parts of the page. */
static int
choose_views(const PageLines *lines, View *views)
{
    int n = lines->nviews < TRIED ? lines->nviews : TRIED;

    for (int i = 0; i < n; i++)
        views[i] = lines->views[(int64_t)i * lines->nviews / n].view;
    return n;
}

DsStatus
turn_begin(DsPage *p, const Image *image, const LineShape *shape, const PageLines *found,
           int (*tick)(void *), void *tick_arg, DsError *err)
{
    Turn *t = arena_alloc(&p->arena, sizeof *t);
    View *views = arena_array(&p->arena, 2 * TRIED, sizeof *views);
    DsStatus st;

    if (t == NULL || views == NULL)
        return reading_no_room(err);
    t->ways[0] = *found;
    if ((st = lines_find(image, shape, (found->rotation + 180) % 360, tick, tick_arg, &p->arena,
                         &t->ways[1], err)))
        return st;
    t->tried[0] = choose_views(&t->ways[0], views);
    t->tried[1] = choose_views(&t->ways[1], views + t->tried[0]);
    p->turn = t;
    p->views = views;
    p->nviews = t->tried[0] + t->tried[1];
    return DS_OK;
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

DsStatus
turn_decide(const DsEngine *e, DsPage *p, DsError *err)
{
    Turn *t = p->turn;
    double found = certainty(p->sequences, t->tried[0]),
           turned = certainty(p->sequences + t->tried[0], t->tried[1]);
    DsStatus st;

    p->turn = NULL;
    p->ndone = 0;
    p->reading.vision_tokens = p->reading.prompt_tokens = 0;
    if ((st = reading_take_lines(p, &t->ways[turned > found], err)))
        return st;
    return reading_prepare(e, p, err);
}

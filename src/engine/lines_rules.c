/* lines_rules.c - Sheet -> the pixels that are rules, so that letters which touch one are not part of it.
 *
 * A rule is a run of ink many letters long and thin. Where ink goes on to both sides of it a letter crosses,
 * and the letter keeps the pixels; where it goes on to one side a letter stands on the rule, and is parted
 * from it. Upright rules are found the same way. Sharp edge: a row of letters whose feet run together is
 * short of a rule by LONG alone. */
#include "lines_inner.h"

#define LONG      5.0f  /* letter heights; shorter than this is a dash or a stroke of a letter */
#define WALL      2.2f  /* the same of the uprights of a frame, */
#define TOOTH     1.8f  /* and of those of a row of boxes for one letter each */
#define THIN      0.35f /* letter heights and a pixel; thicker is no rule */
#define BREAK     2     /* pixels of paper that do not end a rule */
#define FRINGE    1     /* pixels of ink beside a rule that are its ragged edge */
#define HOLDS     0.5f  /* of its length a rule has paper on one side or the other of it */
#define MOST_THIN 32    /* pixels */
#define SAMPLES   256   /* columns that tell whether a run is thin */
#define TICK_ROWS 128
#define LEAST     16 /* pixels */

/* The sheet as seen along rules: x runs along them, y across. */
typedef struct Grain
{
    const Sheet *s;
    uint8_t *mask; /* [h, w] */
    int w, h;
    ptrdiff_t dx, dy;
    int least, thin; /* how long a rule is at least, how thick it may not be */
    bool any;
} Grain;

static bool
ink(const Grain *g, int x, int y)
{
    return y >= 0 && y < g->h && g->s->grey[x * g->dx + y * g->dy] <= g->s->threshold;
}

/* How much ink there is at x from y on, in direction dir, y left out; at most one more than a rule may have. */
static int
reach(const Grain *g, int x, int y, int dir)
{
    int n = 0;

    while (n <= g->thin && ink(g, x, y + (n + 1) * dir))
        n++;
    return n;
}

/* The rows of a rule over and under the one that is looked at, where nothing stands on it. */
typedef struct Bare
{
    int over, under;
} Bare;

/* The value that a quarter of n are not above. */
static int
low_quarter(const int *count, int n)
{
    int v = 0;

    for (int sum = count[0]; sum * 4 < n && v < MOST_THIN; sum += count[++v])
        ;
    return v;
}

static int
at_most(int v)
{
    return v < MOST_THIN ? v : MOST_THIN;
}

/* Whether the long run x0 .. x1 at y is that of a thin stroke, not of a dark area or of a line of letters. */
static bool
is_thin(const Grain *g, int x0, int x1, int y, Bare *out)
{
    int over[MOST_THIN + 1] = {0}, under[MOST_THIN + 1] = {0}, thin = 0, n = 0;
    int step = 1 + (x1 - x0) / SAMPLES;

    for (int x = x0; x < x1; x += step)
    {
        int a, b;

        if (!ink(g, x, y))
            continue;
        n++;
        a = reach(g, x, y, -1);
        b = a < g->thin ? reach(g, x, y, 1) : 0;
        if (a + b >= g->thin)
            continue;
        thin++;
        over[at_most(a)]++;
        under[at_most(b)]++;
    }
    if (thin <= HOLDS * n)
        return false;
    *out = (Bare){low_quarter(over, thin), low_quarter(under, thin)};
    return true;
}

/* Marks what of column x belongs to the rule: its ragged edge where it is bare, its own row where a letter stands on
 * one side of it, nothing where one crosses it. */
static void
mark_column(const Grain *g, int x, int y, const Bare *bare)
{
    int over, under;
    bool above, below;

    if (!ink(g, x, y))
        return;
    over = reach(g, x, y, -1);
    under = reach(g, x, y, 1);
    above = over > bare->over + FRINGE;
    below = under > bare->under + FRINGE;
    if (above && below)
        return;
    for (int v = y - (above ? 0 : over); v <= y + (below ? 0 : under); v++)
        g->mask[x * g->dx + v * g->dy] = 1;
}

static void
mark_run(Grain *g, int x0, int x1, int y)
{
    Bare bare;

    if (x1 - x0 < g->least || !is_thin(g, x0, x1, y, &bare))
        return;
    for (int x = x0; x < x1; x++)
        mark_column(g, x, y, &bare);
    g->any = true;
}

/* A part that is but a rule, or the scan's edge, stays whole. */
static bool
may_hold_both(const Part *part, float size)
{
    int w = part->box.x1 - part->box.x0, h = part->box.y1 - part->box.y0;

    return part->kind != PART_BORDER && (w < h ? w : h) >= 0.7f * size;
}

/* Runs of ink that follow each other in a row of pixels, as far as their parts are long enough. */
static void
mark_level(Grain *g, const Parts *p, Ticker *ticker)
{
    for (int y = 0; y < p->h && (y % TICK_ROWS || go_on(ticker)); y++)
    {
        int from = 0, to = -1;

        for (int i = p->row_start[y]; i < p->row_start[y + 1]; i++)
        {
            const Run *r = &p->runs[i];
            const Part *part = &p->parts[r->part];

            if (!may_hold_both(part, p->size) || part->box.x1 - part->box.x0 < g->least / 2)
                continue;
            if (to < 0 || r->x0 - to > BREAK)
            {
                mark_run(g, from, to, y);
                from = r->x0;
            }
            to = r->x1;
        }
        mark_run(g, from, to, y);
    }
}

/* Whose uprights are looked for: of a frame, of a row of boxes, of anything else. */
enum Kind
{
    FRAME,
    COMB,
    OTHER
};

static bool
is_of(const Part *part, enum Kind kind, float size)
{
    int w = part->box.x1 - part->box.x0, h = part->box.y1 - part->box.y0;
    bool framed = part->kind == PART_RULE || part->kind == PART_PICTURE;

    if (kind == COMB)
        return w > LONG * size && h < 4 * size;
    return framed == (kind == FRAME);
}

/* The same down the columns: from[x] .. to[x] is the run that is still growing. */
static void
mark_upright(Grain *g, const Parts *p, enum Kind kind, Ticker *ticker, int *from, int *to)
{
    for (int x = 0; x < p->w; x++)
        from[x] = to[x] = -BREAK - 1;
    for (int y = 0; y < p->h && (y % TICK_ROWS || go_on(ticker)); y++)
        for (int i = p->row_start[y]; i < p->row_start[y + 1]; i++)
        {
            const Run *r = &p->runs[i];
            const Part *part = &p->parts[r->part];

            if (!may_hold_both(part, p->size) || part->box.y1 - part->box.y0 < g->least / 2 ||
                !is_of(part, kind, p->size))
                continue;
            for (int x = r->x0; x < r->x1; x++)
            {
                if (y - to[x] > BREAK)
                {
                    mark_run(g, from[x], to[x], x);
                    from[x] = y;
                }
                to[x] = y + 1;
            }
        }
    for (int x = 0; x < p->w; x++)
        mark_run(g, from[x], to[x], x);
}

bool
rules_mark(const Sheet *s, const Parts *p, Ticker *ticker, Arena *arena, uint8_t **mask,
           Combs *combs)
{
    int least = (int)(LONG * p->size), thin = (int)(THIN * p->size) + 2;
    int *ends = arena_array(arena, 2 * (size_t)s->w, sizeof(int));
    Grain g = {s, NULL, s->w, s->h, 1, s->w, least < LEAST ? LEAST : least, at_most(thin), false};
    bool level;

    *mask = NULL;
    *combs = (Combs){0};
    if (p->size == 0)
        return true;
    g.mask = arena_array(arena, (size_t)s->w * s->h, 1);
    if (!ends || !g.mask)
        return false;
    mark_level(&g, p, ticker);
    level = g.any;
    g = (Grain){s, g.mask, s->h, s->w, s->w, 1, g.least, g.thin, false};
    mark_upright(&g, p, OTHER, ticker, ends, ends + s->w);
    g.least = WALL * p->size < LEAST ? LEAST : (int)(WALL * p->size);
    mark_upright(&g, p, FRAME, ticker, ends, ends + s->w);
    g.least = TOOTH * p->size < LEAST ? LEAST : (int)(TOOTH * p->size);
    mark_upright(&g, p, COMB, ticker, ends, ends + s->w);
    if (!combs_find(s, p, g.mask, arena, combs))
        return false;
    if (level || g.any || combs->n)
        *mask = g.mask;
    return go_on(ticker);
}

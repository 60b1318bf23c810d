/* lines_combs.c - combs: rows of boxes of one width, or teeth on a rule, for one letter each, as forms have them.
 *
 * A comb is one part of the sheet, or several boxes side by side that are alike. Its lower edge is straight and thin, and
 * ink goes up from it at both ends and at even steps between them, to one height. Its pixels are a rule's, so that letters
 * that touch them are not lost, and letters in neighbouring boxes are one word. Sharp edge: a table of figures has
 * such steps, too, but its uprights go on above or below the row, and its cells hold several figures or are wide. */
#include "lines_inner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define THIN        0.35f /* letter heights and two pixels; thicker is no edge */
#define STRAIGHT    0.93f /* of an edge lies on a straight line, */
#define OFF         1.5f  /* or so many pixels from it */
#define MOST_FALL   0.03f /* of its length it falls */
#define TOOTH       0.2f  /* letter heights, and so much of a comb's height a tooth is high */
#define HITS        0.9f  /* of the places for teeth have one */
#define STRAY       0.3f  /* of the columns between them have one at most */
#define HIGHEST     5     /* letter heights */
#define WIDEST      5     /* the same of a box */
#define NARROW      0.6f  /* and at least, */
#define NARROW_OPEN 1.0f  /* above which there is no edge: letters that touch have such feet */
#define TEETH       0.3f  /* of its columns such a one has teeth at most */
#define LOWEST      14    /* pixels: a single box */
#define SAME        0.12f /* of a box's size boxes of a comb may differ, */
#define NEAR        0.5f  /* and be apart */
#define LONG        5     /* letter heights: its edge may slope over several rows of pixels */
#define FULL        0.7f  /* of its box a comb is ink at most, */
#define LEVEL       0.9f  /* and of its width a row of pixels between its edges */
#define CORNER      2     /* pixels of ragged ink where tooth and edge meet */
#define ROOM        1.5f  /* pitches: how high letters may stand in an open one */
#define MOST        400   /* combs of a page */

/* Of each column of a part: its upper and lower end, and how far ink goes from there without a break. */
typedef struct Outline
{
    const Parts *p;
    const Part *part;
    int n;
    int *top, *down, *bottom, *up;
    int *tmp;
    int upper, lower; /* how thick its edges are; upper 0: it has none */
    float y0, slope;  /* of the lower one */
    float t0, tilt;   /* of the upper one */
} Outline;

/* What looks like a comb of one or more boxes. */
typedef struct Found
{
    Comb comb;
    int part, high; /* of its teeth, at least */
} Found;

static int
quantile(const int *v, int n, float q, int *tmp)
{
    memcpy(tmp, v, sizeof(int) * n);
    qsort(tmp, n, sizeof(int), by_int);
    return tmp[(int)(q * (n - 1))];
}

static bool
outline_new(const Parts *p, Arena *arena, Outline *o)
{
    int *store = arena_array(arena, 5 * ((size_t)p->w + 1), sizeof(int));

    *o = (Outline){.p = p, .top = store};
    o->down = store + p->w;
    o->bottom = o->down + p->w;
    o->up = o->bottom + p->w;
    o->tmp = o->up + p->w;
    return store != NULL;
}

static void
trace(Outline *o, int part)
{
    const Parts *p = o->p;
    const Box *b = &p->parts[part].box;

    o->part = &p->parts[part];
    o->n = b->x1 - b->x0;
    for (int x = 0; x < o->n; x++)
        o->top[x] = o->bottom[x] = -1;
    for (int y = b->y0; y < b->y1; y++)
        for (int i = runs_from(p, y, b->x0); i < p->row_start[y + 1] && p->runs[i].x0 < b->x1; i++)
            for (int x = p->runs[i].x0 - b->x0;
                 p->runs[i].part == part && x < p->runs[i].x1 - b->x0; x++)
            {
                if (o->top[x] < 0)
                {
                    o->top[x] = y;
                    o->down[x] = 0;
                }
                if (o->top[x] + o->down[x] == y)
                    o->down[x]++;
                o->up[x] = o->bottom[x] == y - 1 && y > b->y0 ? o->up[x] + 1 : 1;
                o->bottom[x] = y;
            }
}

static bool
is_near(const int *at, int x, float y0, float slope)
{
    return fabsf(at[x] - y0 - slope * x) <= OFF;
}

/* Whether the ends `at` are a straight and thin edge; *thick: how thick. */
static bool
is_edge(const Outline *o, const int *at, const int *reach, float *y0, float *slope, int *thick)
{
    int quarter = o->n / 4, on = 0;
    float left = (float)quantile(at, quarter, 0.5f, o->tmp);
    float right = (float)quantile(at + o->n - quarter, quarter, 0.5f, o->tmp);

    *slope = (right - left) / (o->n - quarter);
    *y0 = left - *slope * quarter / 2;
    *thick = quantile(reach, o->n, 0.25f, o->tmp);
    for (int x = 0; x < o->n; x++)
        on += is_near(at, x, *y0, *slope);
    return on >= STRAIGHT * o->n && *thick <= THIN * o->p->size + 2 &&
           fabsf(right - left) <= MOST_FALL * o->n + OFF;
}

/* A tooth stands on the lower edge at x or beside it. */
static bool
has_tooth(const Outline *o, float x, int high, float reach)
{
    for (int i = (int)floorf(x - reach + 0.5f); i <= x + reach; i++)
        if (i >= 0 && i < o->n && o->up[i] >= high && is_near(o->bottom, i, o->y0, o->slope))
            return true;
    return false;
}

/* The middle of the tooth at this end, of columns 0 .. n; -1: there is none. */
static float
end_tooth(const Outline *o, int high, int from, int step)
{
    int thin = (int)(THIN * o->p->size) + 2, a, b;

    for (a = 0; a <= thin / 2 && o->up[from + a * step] < high; a++)
        ;
    for (b = a; b < o->n && b - a <= thin && o->up[from + b * step] >= high; b++)
        ;
    return a > thin / 2 || b - a > thin ? -1 : from + step * (a + b - 1) / 2.0f;
}

/* Whether n boxes from left to right have teeth between them, and hardly any ink stands elsewhere on the edge. */
static bool
divides(const Outline *o, float left, float right, int n, int high)
{
    float pitch = (right - left) / n, reach = 1 + 0.03f * pitch + o->lower / 2.0f;
    int hits = 0, stray = 0, teeth = 0;

    for (int k = 1; k < n; k++)
        hits += has_tooth(o, left + k * pitch, high, reach);
    if (hits < HITS * (n - 1))
        return false;
    for (int x = 0; x < o->n; x++)
    {
        float k = roundf((x - left) / pitch);

        teeth += o->up[x] >= high;
        stray += fabsf(x - left - k * pitch) > reach + 1 && o->up[x] >= high;
    }
    return stray <= STRAY * o->n && (o->upper || teeth <= TEETH * o->n);
}

/* A level line crosses it between its edges: these are two rows of boxes, or a table. */
static bool
has_level(const Outline *o)
{
    const Parts *p = o->p;
    const Box *b = &o->part->box;
    int off = (int)(fabsf(o->slope) * o->n) + 2;

    for (int y = b->y0 + o->upper + off; y < b->y1 - o->lower - off; y++)
        if (row_ink(p, (int)(o->part - p->parts), y) > LEVEL * o->n)
            return true;
    return false;
}

static bool
may_be(const Part *part, float size)
{
    int w = part->box.x1 - part->box.x0, h = part->box.y1 - part->box.y0;

    return part->kind != PART_BORDER && !part->rule && h < HIGHEST * size && h >= TOOTH * size &&
           h > 5 && w > 0.8f * size && w > LOWEST && part->area < FULL * w * h;
}

/* One of four rows of pixels from y on is mostly ink. */
static bool
is_flat(const Parts *p, int part, int y, int dir)
{
    const Box *b = &p->parts[part].box;
    int least = (b->x1 - b->x0) * (b->x1 - b->x0 < LONG * p->size ? 3 : 1) / 4;

    for (int end = y + 4 * dir; y != end && y > b->y0 - 1 && y < b->y1; y += dir)
        if (row_ink(p, part, y) >= least)
            return true;
    return false;
}

/* Has the edges of a comb, which most letters have not. */
static bool
has_edges(const Parts *p, int part)
{
    const Box *b = &p->parts[part].box;

    return is_flat(p, part, b->y1 - 1, -1) &&
           (b->x1 - b->x0 > 3 * NARROW_OPEN * p->size || is_flat(p, part, b->y0, 1));
}

/* Fills *out when part is a comb, or a box as one might have. */
static bool
is_comb(Outline *o, int part, Found *out)
{
    const Box *b = &o->p->parts[part].box;
    int h = b->y1 - b->y0, high, most;
    float size = o->p->size, left, right, widest = WIDEST * size;
    bool closed;

    trace(o, part);
    if (!is_edge(o, o->bottom, o->up, &o->y0, &o->slope, &o->lower))
        return false;
    closed = is_edge(o, o->top, o->down, &o->t0, &o->tilt, &o->upper) && o->y0 - o->t0 > 0.6f * h;
    if (!closed)
        o->upper = 0;
    high = (int)((closed ? 0.8f : 0.6f) * (h - fabsf(o->slope) * o->n));
    if (high < TOOTH * size || high <= o->lower + 2 || (!closed && 3 * o->lower > h) ||
        (left = end_tooth(o, high, 0, 1)) < 0 || (right = end_tooth(o, high, o->n - 1, -1)) < 0 ||
        right - left < LOWEST || has_level(o))
        return false;
    if (closed && widest > 2 * h)
        widest = 2 * h;
    most = (int)((right - left) / fmaxf((closed ? NARROW : NARROW_OPEN) * size, 7));
    for (int n = most; n >= 1; n--)
    {
        Box room = *b;
        float pitch = (right - left) / n;

        if (pitch > widest || (n < 3 && !closed) || (n == 1 && h < LOWEST))
            return false;
        if (!divides(o, left, right, n, high))
            continue;
        room.y0 = closed ? room.y0 : (int)fminf(room.y0, room.y1 - ROOM * pitch);
        *out = (Found){{room, b->x0 + left + 0.5f, pitch, n}, part, high};
        return true;
    }
    return false;
}

/* --- the pixels of a comb ---------------------------------------------------------------------- */

static bool
ink(const Sheet *s, int x, int y)
{
    return x >= 0 && y >= 0 && x < s->w && y < s->h &&
           s->grey[(size_t)y * s->w + x] <= s->threshold;
}

/* `deep` pixels from an edge's end y on, and its ragged rim where nothing stands on it. */
static void
mark_edge_column(const Sheet *s, uint8_t *mask, int x, int y, int dir, int deep, int reach)
{
    int to = reach <= deep + 1 ? reach : deep;

    for (int k = 0; k < to; k++)
        if (y + k * dir >= 0 && y + k * dir < s->h)
            mask[(size_t)(y + k * dir) * s->w + x] = 1;
}

/* One row of a tooth that is columns a .. b: nothing where a letter crosses it, its own pixels where one touches it. */
static void
mark_tooth_row(const Sheet *s, uint8_t *mask, int a, int b, int y, bool corner)
{
    bool left = ink(s, a - 2, y) && ink(s, a - 1, y), right = ink(s, b + 1, y) && ink(s, b, y);

    if (left && right && !corner)
        return;
    for (int x = left ? a : a - 1; x < (right ? b : b + 1); x++)
        if (ink(s, x, y))
            mask[(size_t)y * s->w + x] = 1;
}

/* How wide the comb's teeth are: half of those that no letter touches are not wider. */
static int
tooth_width(const Outline *o, const Found *f)
{
    int thin = 2 * (int)(THIN * o->p->size) + 4, n = 0;

    for (int k = 0; k <= f->comb.n && n < o->n; k++)
    {
        int x = (int)(f->comb.first + k * f->comb.pitch) - o->part->box.x0, w = 0;

        for (int i = x - thin; i <= x + thin; i++)
            w += i >= 0 && i < o->n && o->up[i] >= f->high;
        if (w && w <= thin)
            o->tmp[n++] = w;
    }
    if (n == 0)
        return o->lower;
    qsort(o->tmp, n, sizeof(int), by_int);
    return o->tmp[n / 2];
}

/* The first column of tooth k, which may stand a little beside its place. */
static int
tooth_at(const Outline *o, const Found *f, int k, int wide)
{
    int x0 = o->part->box.x0, best = -1, found = 0;
    int a = (int)(f->comb.first + k * f->comb.pitch - wide / 2.0f + 0.5f) - x0;

    for (int d = 0; d <= 4; d++)
    {
        int at = a + (d & 1 ? -(d + 1) / 2 : d / 2), teeth = 0;

        for (int i = at; i < at + wide; i++)
            teeth += i >= 0 && i < o->n && o->up[i] >= f->high;
        if (teeth > best)
        {
            best = teeth;
            found = at;
        }
    }
    return x0 + found;
}

/* o: as is_comb left it. */
static void
mark_comb(const Sheet *s, uint8_t *mask, Outline *o, const Found *f)
{
    const Box *b = &o->part->box;
    int wide = tooth_width(o, f);

    for (int x = 0; x < o->n; x++)
    {
        if (is_near(o->bottom, x, o->y0, o->slope))
            mark_edge_column(s, mask, b->x0 + x, o->bottom[x], -1, o->lower, o->up[x]);
        if (o->upper && is_near(o->top, x, o->t0, o->tilt))
            mark_edge_column(s, mask, b->x0 + x, o->top[x], 1, o->upper, o->down[x]);
    }
    for (int k = 0; k <= f->comb.n; k++)
    {
        int a = tooth_at(o, f, k, wide);

        for (int y = b->y0; y < b->y1; y++)
            mark_tooth_row(s, mask, a, a + wide, y,
                           y < b->y0 + o->upper + CORNER || y >= b->y1 - o->lower - CORNER);
    }
}

/* --- boxes side by side ------------------------------------------------------------------------ */

static int
by_left_edge(const void *a, const void *b)
{
    const Found *p = a, *q = b;

    return p->comb.box.x0 != q->comb.box.x0
               ? (p->comb.box.x0 > q->comb.box.x0) - (p->comb.box.x0 < q->comb.box.x0)
               : (p->part > q->part) - (p->part < q->part);
}

static bool
alike(float a, float b, float of)
{
    return fabsf(a - b) <= SAME * of + 1;
}

/* The next box, or boxes, on the right of f that may be of one comb with it, `gap` away when that is known; -1: none. */
static int
next_boxes(const Found *found, int n, int f, float gap)
{
    const Comb *a = &found[f].comb;

    for (int i = f + 1; i < n; i++)
    {
        const Comb *b = &found[i].comb;
        float d = b->box.x0 - a->box.x1;

        if (d > NEAR * a->pitch)
            break;
        if (alike(a->pitch, b->pitch, a->pitch) &&
            alike(a->box.y0, b->box.y0, a->box.y1 - a->box.y0) &&
            alike(a->box.y1, b->box.y1, a->box.y1 - a->box.y0) && d > -2 &&
            (gap < 0 || alike(d, gap, a->pitch)))
            return i;
    }
    return -1;
}

/* Boxes that follow each other from found[i] on become one comb; returns whether it is one. */
static bool
join_boxes(Found *found, int n, int i, Comb *out, bool *used)
{
    int last = i, cells = found[i].comb.n, parts = 1;
    float gap = -1, space = 0;

    for (int k; (k = next_boxes(found, n, last, gap)) >= 0; last = k)
    {
        gap = found[k].comb.box.x0 - found[last].comb.box.x1;
        gap = gap < 0 ? 0 : gap;
        space += gap;
        cells += found[k].comb.n;
        parts++;
        used[k] = true;
    }
    used[i] = cells > 1;
    *out = found[i].comb;
    if (parts > 1)
    {
        out->box.x1 = found[last].comb.box.x1;
        space /= parts - 1;
        out->first = out->box.x0 - space / 2;
        out->pitch = (out->box.x1 - out->box.x0 + space) / cells;
        out->n = cells;
    }
    return cells > 1;
}

bool
combs_find(const Sheet *s, const Parts *p, uint8_t *mask, Arena *arena, Combs *out)
{
    Found *found = arena_array(arena, MOST, sizeof(Found));
    bool *used = arena_array(arena, MOST, sizeof(bool));
    Outline o;
    int n = 0;

    *out = (Combs){0, arena_array(arena, MOST, sizeof(Comb))};
    if (!found || !used || !out->combs || !outline_new(p, arena, &o))
        return false;
    for (int i = 0; i < p->nparts && n < MOST; i++)
        if (may_be(&p->parts[i], p->size) && has_edges(p, i) && is_comb(&o, i, &found[n]))
            n++;
    qsort(found, n, sizeof(Found), by_left_edge);
    for (int i = 0; i < n; i++)
        if (!used[i] && join_boxes(found, n, i, &out->combs[out->n], used))
            out->n++;
    for (int i = 0; i < n; i++)
        if (used[i] && is_comb(&o, found[i].part, &found[i]))
            mark_comb(s, mask, &o, &found[i]);
    return true;
}

/* --- letters in a comb ------------------------------------------------------------------------- */

/* What stands in a box. */
typedef struct Cell
{
    int left, right;
    bool any;
} Cell;

/* The row runs through the comb. */
static bool
runs_through(const Row *r, const Comb *c)
{
    float y = row_foot(r, (c->box.x0 + c->box.x1) / 2.0f) - r->x_height / 2;

    return c->box.x0 < r->box.x1 && r->box.x0 < c->box.x1 && y > c->box.y0 && y < c->box.y1;
}

/* Puts the row's letters into the comb's cells; false when it has not one letter to a box. */
static bool
fill_cells(const Parts *p, const Rows *rows, const Row *r, const Comb *c, Cell *cells)
{
    int filled = 0, many = 0;

    memset(cells, 0, sizeof(Cell) * c->n);
    for (int m = r->first; m < r->first + r->n; m++)
    {
        const Part *part = &p->parts[rows->members[m]];
        const Box *b = &part->box;
        int k = (int)floorf(((b->x0 + b->x1) / 2.0f - c->first) / c->pitch);

        if (k < 0 || k >= c->n)
            continue;
        filled += !cells[k].any;
        many += part->kind == PART_CORE &&
                ((cells[k].any && b->x0 >= cells[k].right) || b->x1 - b->x0 > 1.5f * c->pitch);
        cells[k].left = cells[k].any && cells[k].left < b->x0 ? cells[k].left : b->x0;
        cells[k].right = cells[k].any && cells[k].right > b->x1 ? cells[k].right : b->x1;
        cells[k].any = true;
    }
    return filled > 1 && many * 4 <= filled;
}

bool
combs_close(const Parts *p, const Rows *rows, const Row *r, Arena *arena, Gap **gaps, int *n)
{
    int most = 0;
    Cell *cells;

    *n = 0;
    *gaps = NULL;
    for (int i = 0; i < p->combs.n; i++)
        most += runs_through(r, &p->combs.combs[i]) ? p->combs.combs[i].n : 0;
    if (most == 0)
        return true;
    cells = arena_array(arena, (size_t)most, sizeof(Cell));
    *gaps = arena_array(arena, (size_t)most, sizeof(Gap));
    if (!cells || !*gaps)
        return false;
    for (int i = 0; i < p->combs.n; i++)
    {
        const Comb *c = &p->combs.combs[i];

        if (!runs_through(r, c) || !fill_cells(p, rows, r, c, cells))
            continue;
        for (int k = 0; k + 1 < c->n; k++)
            if (cells[k].any && cells[k + 1].any && cells[k].right < cells[k + 1].left)
                (*gaps)[(*n)++] = (Gap){cells[k].right, cells[k + 1].left};
    }
    return true;
}

bool
combs_hold(const Parts *p, const Box *a, const Box *b)
{
    for (int i = 0; i < p->combs.n; i++)
    {
        const Box *c = &p->combs.combs[i].box;
        int y = (a->y0 + a->y1) / 2;

        if (c->x0 < a->x1 && b->x0 < c->x1 && c->y0 < y && c->y1 > y)
            return true;
    }
    return false;
}

/* lines_orient.c - which way up a page is, and how far it leans: told by its letters.
 *
 * On its side: letters stand nearer to their neighbours in the line than to those of the next line.
 * Upside down: more letters rise above the x-height than hang below the baseline, and full stops and commas
 * stand low. Skew: the letters' feet, projected along the true direction, fall into few places. All three
 * say nothing when there are too few letters: then the page stays as it is. Of capitals and figures none rises or
 * hangs, so what the second says may be wrong; reading tells (turn.c). */
#include "lines_index.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FEW_LETTERS 24
#define MAX_SKEW    10.0f /* degrees */
#define COARSE      0.5f
#define FINE        0.05f
#define MAX_FEET    20000

static Box *
sorted_letters(const Parts *p, Arena *arena, int *n)
{
    Key *keys = arena_array(arena, (size_t)p->nparts + 1, sizeof(Key));
    Box *boxes = arena_array(arena, (size_t)p->nparts + 1, sizeof(Box));

    *n = 0;
    if (!keys || !boxes)
        return NULL;
    for (int i = 0; i < p->nparts; i++)
        if (p->parts[i].kind == PART_CORE)
            keys[(*n)++] = (Key){p->parts[i].box.x0, i};
    qsort(keys, *n, sizeof(Key), by_x0);
    for (int i = 0; i < *n; i++)
        boxes[i] = p->parts[keys[i].which].box;
    return boxes;
}

static int
shared(int a0, int a1, int b0, int b1)
{
    return (a1 < b1 ? a1 : b1) - (a0 > b0 ? a0 : b0);
}

/* Distances to the nearest letter on the right and to the nearest below; `reach` when there is none. */
static void
near_gaps(const Index *ix, int i, int reach, int *right, int *below)
{
    const Box *a = &ix->boxes[i];

    *right = *below = reach;
    for (int b = index_band(ix, a->y0); b <= index_band(ix, a->y1 + reach); b++)
        for (int k = index_from(ix, b, a->x0 - 2 * reach); k < ix->start[b + 1]; k++)
        {
            const Box *o = &ix->boxes[ix->items[k]];

            if (o->x0 > a->x1 + reach)
                break;
            if (o->x0 >= a->x1 && o->x0 - a->x1 < *right && shared(a->y0, a->y1, o->y0, o->y1) > 0)
                *right = o->x0 - a->x1;
            if (o->y0 >= a->y1 && o->y0 - a->y1 < *below && shared(a->x0, a->x1, o->x0, o->x1) > 0)
                *below = o->y0 - a->y1;
        }
}

bool
parts_sideways(const Parts *p, Arena *arena, bool *sideways)
{
    Index ix;
    int n, across = 0, down = 0;
    Box *boxes = sorted_letters(p, arena, &n);

    *sideways = false;
    if (!boxes)
        return false;
    if (n < FEW_LETTERS)
        return true;
    if (!index_make(boxes, n, p->h, p->size, arena, &ix))
        return false;
    for (int i = 0; i < n; i += 1 + n / MAX_FEET)
    {
        int right, below;

        near_gaps(&ix, i, (int)(2 * p->size), &right, &below);
        across += right < below;
        down += below < right;
    }
    *sideways = down > FEW_LETTERS && 4 * down > 5 * across;
    return true;
}

typedef struct Feet
{
    int n;
    float *x, *y;
    int *bins;
    int nbins;
} Feet;

/* How much the feet pile up when looked at along `degrees`: sum of squares over bins. */
static double
pile(const Feet *f, float degrees, float bin, int h)
{
    float t = tanf(degrees * (float)M_PI / 180);
    double sum = 0;

    memset(f->bins, 0, sizeof(int) * f->nbins);
    for (int i = 0; i < f->n; i++)
    {
        int b = (int)((f->y[i] - f->x[i] * t + h) / bin);

        if (b >= 0 && b < f->nbins)
            f->bins[b]++;
    }
    for (int b = 0; b + 1 < f->nbins; b++) /* two bins together: no luck with their edges */
    {
        double v = f->bins[b] + f->bins[b + 1];

        sum += v * v;
    }
    return sum;
}

static bool
gather_feet(const Parts *p, Arena *arena, Feet *f)
{
    int n = 0, step;

    for (int i = 0; i < p->nparts; i++)
        n += p->parts[i].kind == PART_CORE;
    step = 1 + n / MAX_FEET;
    f->x = arena_array(arena, (size_t)n + 1, sizeof(float));
    f->y = arena_array(arena, (size_t)n + 1, sizeof(float));
    f->nbins = (int)(3.0f * p->h / (0.12f * p->size)) + 2;
    f->bins = arena_array(arena, f->nbins, sizeof(int));
    f->n = 0;
    if (!f->x || !f->y || !f->bins)
        return false;
    for (int i = 0, k = 0; i < p->nparts; i++)
        if (p->parts[i].kind == PART_CORE && k++ % step == 0)
        {
            f->x[f->n] = (p->parts[i].box.x0 + p->parts[i].box.x1 - p->w) / 2.0f;
            f->y[f->n++] = p->parts[i].box.y1;
        }
    return true;
}

bool
parts_skew(const Parts *p, Arena *arena, float *degrees)
{
    Feet f;
    float at = 0;
    double best = -1, sum = 0;
    int n = 0;

    *degrees = 0;
    if (p->size == 0)
        return true;
    if (!gather_feet(p, arena, &f))
        return false;
    if (f.n < FEW_LETTERS)
        return true;
    for (float d = -MAX_SKEW; d <= MAX_SKEW; d += COARSE, n++)
    {
        double v = pile(&f, d, 0.25f * p->size, p->h);

        sum += v;
        if (v > best)
        {
            best = v;
            at = d;
        }
    }
    if (best < 1.25 * sum / n)
        return true;
    best = -1;
    for (float d = at - COARSE; d <= at + COARSE; d += FINE)
    {
        double v = pile(&f, d, 0.12f * p->size, p->h);

        if (v > best)
        {
            best = v;
            *degrees = d;
        }
    }
    return true;
}

typedef struct Votes
{
    int up, down;
} Votes;

/* A letter that sticks out of the x-height band on one side only. */
static void
letter_votes(const Part *part, float top, float bottom, float x, Votes *v)
{
    float over = top - part->box.y0, under = part->box.y1 - bottom;

    if (over > 0.25f * x && under < 0.12f * x)
        v->up++;
    else if (under > 0.2f * x && over < 0.12f * x)
        v->down++;
}

/* A mark with no letter over or under it: full stops stand low, quotes high. Dashes and leaders may be a rule's. */
static void
mark_votes(const Parts *p, const Rows *rows, const Row *r, int m, float top, float bottom, Votes *v)
{
    const Part *part = &p->parts[rows->members[r->first + m]];
    const Box *mark = &part->box;
    float middle = (mark->y0 + mark->y1) / 2.0f, third = (bottom - top) / 3;

    if (part->leader || 2 * (mark->x1 - mark->x0) > 3 * (mark->y1 - mark->y0))
        return;
    for (int k = m - 8 < 0 ? 0 : m - 8; k < r->n && k < m + 8; k++)
    {
        const Box *o = &p->parts[rows->members[r->first + k]].box;

        if (k != m && shared(o->x0, o->x1, mark->x0, mark->x1) > 0)
            return;
    }
    v->up += middle > bottom - third;
    v->down += middle < top + third;
}

bool
rows_upside_down(const Parts *p, const Rows *rows)
{
    Votes v = {0, 0};

    for (int i = 0; i < rows->n; i++)
    {
        const Row *r = &rows->rows[i];
        float band = r->caps ? r->x_height / 0.72f : r->x_height;

        if (r->ncore < 4)
            continue;
        for (int m = 0; m < r->n; m++)
        {
            const Part *part = &p->parts[rows->members[r->first + m]];
            float bottom = row_foot(r, (part->box.x0 + part->box.x1) / 2.0f);

            if (part->kind == PART_CORE)
                letter_votes(part, bottom - band, bottom, band, &v);
            else if (part->kind == PART_SMALL)
                mark_votes(p, rows, r, m, bottom - band, bottom, &v);
        }
    }
    return v.down >= FEW_LETTERS / 2 && v.down > 1.5 * v.up;
}

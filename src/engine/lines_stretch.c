/* lines_stretch.c - a row -> stretches of one size of letters.
 *
 * On a form a printed label and what was typed beside it make one row, but are of two sizes and often stand at two
 * heights. Read with one x-height, one of them comes out too small or too large for the reader. A row is taken
 * apart at its wide gaps where the letters on both sides clearly differ. */
#include "lines_inner.h"

#include <math.h>

#define GAP       1.0f /* letter heights between stretches at least */
#define MANY      24 /* letters; so many without one that rises or hangs are capitals or figures */
#define OUT       0.2f /* of their height, and half a pixel: a letter rises or hangs by more */
#define PIXEL     0.8f
#define FEW       3     /* letters; fewer tell nothing about their size */
#define SIZES     1.28f /* x-heights that differ by less, and a pixel, are one */
#define STANDING  0.2f  /* x-heights, and a pixel: the same of where they stand */
#define X_OF_CAPS 0.72f

static bool
alike(float a, float b)
{
    return a < SIZES * b + PIXEL && b < SIZES * a + PIXEL;
}

/* Nothing rises above its letters or hangs below them, and they are many: in running text some would. */
static bool
is_capitals(const Parts *p, const Rows *rows, const Row *r, float band)
{
    for (int i = r->first; i < r->first + r->n; i++)
    {
        const Part *part = &p->parts[rows->members[i]];
        float foot = row_foot(r, (part->box.x0 + part->box.x1) / 2.0f), out = OUT * band + 0.5f;

        if (part->kind == PART_CORE &&
            (foot - part->box.y0 > band + out || part->box.y1 - foot > out))
            return false;
    }
    return r->ncore >= MANY;
}

/* A stretch may go with the row as it is: its letters are as high as the row's, or as its capitals would be, and
 * they stand where the row does. */
static bool
fits(const Parts *p, const Rows *rows, const Row *r, const Row *of)
{
    float x = (r->box.x0 + r->box.x1) / 2.0f,
          band = r->caps ? r->x_height / X_OF_CAPS : r->x_height;

    if (r->ncore < FEW)
        return true;
    return (alike(r->x_height, of->x_height) ||
            (alike(band, of->x_height) && !is_capitals(p, rows, r, band))) &&
           fabsf(row_foot(r, x) - row_foot(of, x)) < STANDING * of->x_height + PIXEL;
}

Row
row_part(const Parts *p, const Rows *rows, const Row *r, int first, int n)
{
    Row s = *r;

    s.first = first;
    s.n = n;
    s.ncore = 0;
    for (int i = 0; i < n; i++)
    {
        const Part *part = &p->parts[rows->members[first + i]];
        const Box *b = &part->box;

        if (i == 0)
            s.box = *b;
        s.box.x0 = b->x0 < s.box.x0 ? b->x0 : s.box.x0;
        s.box.y0 = b->y0 < s.box.y0 ? b->y0 : s.box.y0;
        s.box.x1 = b->x1 > s.box.x1 ? b->x1 : s.box.x1;
        s.box.y1 = b->y1 > s.box.y1 ? b->y1 : s.box.y1;
        s.ncore += part->kind == PART_CORE;
    }
    return s;
}

/* Where the group of members that begins at i ends: before a wide gap. */
static int
group_end(const Parts *p, const Rows *rows, const Row *r, int i)
{
    int right = p->parts[rows->members[i]].box.x1, end = r->first + r->n;

    for (i++; i < end; i++)
    {
        const Box *b = &p->parts[rows->members[i]].box;

        if (b->x0 - right > GAP * r->size)
            break;
        right = b->x1 > right ? b->x1 : right;
    }
    return i;
}

/* Whether a group goes on the stretch before it: both belong to the row as it is, or are alike. */
static bool
goes_on(const Parts *p, const Rows *rows, const Row *group, bool fit, const Row *last,
        bool last_fit)
{
    return group->ncore < FEW || last->ncore < FEW || (fit && last_fit) ||
           (!fit && !last_fit && fits(p, rows, group, last));
}

bool
row_stretches(const Parts *p, const Rows *rows, int row, Arena *arena, Row **out, int *n)
{
    const Row *r = &rows->rows[row];
    bool last_fit = true;

    *n = 0;
    *out = arena_array(arena, (size_t)r->n + 1, sizeof(Row));
    if (!*out)
        return false;
    for (int i = r->first, end; i < r->first + r->n; i = end)
    {
        Row s = row_part(p, rows, r, i, (end = group_end(p, rows, r, i)) - i), *last = NULL;
        bool fit;

        if (s.ncore >= FEW && !row_measure(p, rows, row, &s, arena))
            return false;
        fit = fits(p, rows, &s, r);
        if (*n && goes_on(p, rows, &s, fit, last = *out + *n - 1, last_fit))
        {
            fit = last->ncore < FEW ? fit : last_fit;
            s = row_part(p, rows, r, last->first, last->n + end - i);
            --*n;
        }
        else if (fit)
            s = row_part(p, rows, r, i, end - i);
        if (!fit && !row_measure(p, rows, row, &s, arena))
            return false;
        (*out)[(*n)++] = s;
        last_fit = fit;
    }
    if (*n == 1 && last_fit)
        **out = *r;
    return true;
}

/* lines_sort.c - what each part is: letter, small mark, speck, rule, picture or dark edge of the scan.
 *
 * Sizes are told in units of the page's typical letter height, which the letters themselves vote for.
 * Sharp edge: a frame's box holds the whole page, so a box alone says nothing; how full it is does. */
#include "lines_inner.h"

#include <stdlib.h>

#define HEIGHTS     512
#define SOLID       0.72f /* of its box is a dot */
#define MOSTLY_DOTS 1.9f  /* so much higher than all parts are those that are no dots */
#define BOX_EDGE    0.85f /* of a box's width its edge is ink at least */

static int
width(const Part *p)
{
    return p->box.x1 - p->box.x0;
}

static int
height(const Part *p)
{
    return p->box.y1 - p->box.y0;
}

bool
part_is_dot(const Part *p)
{
    int w = width(p), h = height(p);

    return w <= h + h / 2 && h <= w + w / 2 && p->nruns == h && p->area > SOLID * w * h;
}

/* Median height, each part counting by its width, of those that could be letters. The rules of a page with combs are many
 * and of one height, and do not count; elsewhere they are few. */
static float
median_height(const Parts *p, bool dots)
{
    static const int least = 4;
    int64_t hist[HEIGHTS] = {0}, all = 0, sum = 0;

    for (int i = 0; i < p->nparts; i++)
    {
        int w = width(&p->parts[i]), h = height(&p->parts[i]);

        if ((p->combs.n && p->parts[i].rule) || h < least || h >= HEIGHTS || w * 8 < h ||
            w > 30 * h || h > p->h / 4 + 8 || (!dots && part_is_dot(&p->parts[i])))
            continue;
        hist[h] += w < 3 * h ? w : 3 * h;
        all += w < 3 * h ? w : 3 * h;
    }
    for (int h = 0; h < HEIGHTS; h++)
        if ((sum += hist[h]) * 2 > all)
            return all ? h : 0;
    return 0;
}

/* On a page of leaders dots may be the most: then the others vote alone. */
static float
letter_height(const Parts *p)
{
    float all = median_height(p, true), letters = median_height(p, false);

    return letters > MOSTLY_DOTS * all ? letters : all;
}

/* At the page's edge and bigger, or thinner, than a letter that was cut off there. */
static bool
is_border(const Part *part, const Parts *p)
{
    int near = (p->w > p->h ? p->w : p->h) / 200 + 1, w = width(part), h = height(part);
    int across = (part->box.x0 <= near) + (part->box.x1 >= p->w - near);
    int along = (part->box.y0 <= near) + (part->box.y1 >= p->h - near);

    if (across + along == 0)
        return false;
    if (w > 4 * p->size || h > 2.5f * p->size)
        return true;
    if (across && along && (w > p->size || h > p->size))
        return true;
    return (across && w < 0.2f * p->size) || (along && h < 0.2f * p->size);
}

/* Solid, roundish and bigger than a letter. A heavy capital is as solid, but has gaps in most of its rows. */
static bool
is_hole(const Part *part, float size)
{
    int w = width(part), h = height(part);

    return w > 1.3f * size && h > 1.3f * size && w < 5 * size && h < 5 * size && w < 2 * h &&
           h < 2 * w && part->area > 0.68f * w * h && part->nruns < 1.2f * h;
}

static bool
is_rule(const Part *part, float size)
{
    int w = width(part), h = height(part), thick = w < h ? w : h, along = w < h ? h : w;
    float mean = (float)part->area / along;

    if (along < 3.5f * size)
        return false;
    if (thick < 0.5f * size || along > 25 * thick)
        return true;
    return along > 8 * size && thick > 2.5f * size &&
           mean < 0.12f * thick; /* a frame's ink is thin */
}

/* How much of the part's width is inked within a few rows of pixels from y on. */
static int
edge_ink(const Parts *p, int part, int y)
{
    int deep = width(&p->parts[part]) / 16 + 2, best = 0;

    for (int v = y < 0 ? 0 : y; v < y + deep && v < p->h; v++)
    {
        int ink = row_ink(p, part, v);

        best = ink > best ? ink : best;
    }
    return best;
}

/* In how many of the part's rows of pixels there is ink within a few columns from x on. */
static int
side_ink(const Parts *p, int part, int x)
{
    const Box *b = &p->parts[part].box;
    int deep = width(&p->parts[part]) / 16 + 2, rows = 0;

    for (int y = b->y0; y < b->y1; y++)
    {
        bool ink = false;

        for (int i = runs_from(p, y, x);
             i < p->row_start[y + 1] && p->runs[i].x0 < x + deep && !ink; i++)
            ink = p->runs[i].part == part;
        rows += ink;
    }
    return rows;
}

/* An empty box, as for a letter or a tick: hollow, its four edges straight. An E with serifs has three of them. */
static bool
is_box(const Parts *p, int part)
{
    const Part *b = &p->parts[part];
    int w = width(b), h = height(b), most = 2 * h + 2 * w / 3;

    return w > 0.9f * p->size && h > 0.9f * p->size && w < 5 * p->size && h < 5 * p->size &&
           b->nruns > 1.6f * h && b->nruns < most && b->area < 0.4f * w * h &&
           edge_ink(p, part, b->box.y0) > BOX_EDGE * w &&
           edge_ink(p, part, b->box.y1 - w / 16 - 2) > BOX_EDGE * w &&
           side_ink(p, part, b->box.x0) > BOX_EDGE * h &&
           side_ink(p, part, b->box.x1 - w / 16 - 2) > BOX_EDGE * h;
}

static PartKind
kind_of(const Part *part, const Parts *p)
{
    float w = width(part), h = height(part), s = p->size;

    if (is_border(part, p) || (!part->rule && is_hole(part, s)))
        return PART_BORDER;
    if (part->rule || is_rule(part, s))
        return PART_RULE;
    if (h > 6 * s || (h > 3 * s && w > 12 * s))
        return part->area > 0.15f * w * h && w > 3 * s ? PART_PICTURE : PART_RULE;
    if (w > 60 * s)
        return PART_RULE;
    if (part->area < 0.012f * s * s || (w < 0.1f * s && h < 0.1f * s))
        return PART_SPECK;
    return h < 0.55f * s ? PART_SMALL : PART_CORE;
}

static bool
overlap(const Box *a, const Box *b)
{
    return a->x0 < b->x1 && b->x0 < a->x1 && a->y0 < b->y1 && b->y0 < a->y1;
}

/* Adds a box to the pictures, or to the one it overlaps. */
static int
add_picture(Picture *pictures, int n, int most, const Box *box)
{
    for (int i = 0; i < n; i++)
        if (overlap(&pictures[i].box, box))
        {
            box_grow(&pictures[i].box, box);
            return n;
        }
    if (n < most)
        pictures[n++].box = *box;
    return n;
}

/* Pictures that came to overlap while they grew become one. */
static int
unite(Picture *pictures, int n)
{
    for (int i = 0; i < n; i++)
        for (int k = i + 1; k < n; k++)
            if (overlap(&pictures[i].box, &pictures[k].box))
            {
                box_grow(&pictures[i].box, &pictures[k].box);
                pictures[k] = pictures[--n];
                k = i;
            }
    return n;
}

static bool
within(const Box *in, const Box *out)
{
    int x = (in->x0 + in->x1) / 2, y = (in->y0 + in->y1) / 2;

    return x >= out->x0 && x < out->x1 && y >= out->y0 && y < out->y1;
}

bool
parts_sort(Parts *p, Arena *arena, Picture **pictures, int *npictures)
{
    enum
    {
        MOST = 256
    };

    *npictures = 0;
    *pictures = arena_array(arena, MOST, sizeof(Picture));
    if (!*pictures)
        return false;
    p->size = letter_height(p);
    if (p->size == 0)
        return true;
    for (int i = 0; i < p->nparts; i++)
    {
        p->parts[i].kind = kind_of(&p->parts[i], p);
        if (p->parts[i].kind == PART_CORE && is_box(p, i))
            p->parts[i].kind = PART_RULE;
        if (p->parts[i].kind == PART_PICTURE)
            *npictures = add_picture(*pictures, *npictures, MOST, &p->parts[i].box);
    }
    *npictures = unite(*pictures, *npictures);
    for (int i = 0; i < p->nparts; i++)
        for (int k = 0; k < *npictures; k++)
            if (p->parts[i].kind != PART_BORDER && within(&p->parts[i].box, &(*pictures)[k].box))
                p->parts[i].kind = PART_PICTURE;
    return true;
}

/* lines_surround.c - what lies around the page: the table it was photographed on, the open lid of a scanner.
 *
 * It is looked for on the page reduced to cells, before paper is brought to white: dark cells that hang together with
 * the image's edge and end at a step. They are handed the brightness of the paper beside them and later made white, or
 * else the threshold of ink would part the table from the paper, and not paper from ink. Sharp edge: a book's gutter is
 * dark, too, and has text in it; it has no step. */
#include "lines_inner.h"

#include <string.h>

#define LEAST    16    /* cells: a smaller page has no surroundings */
#define DARK     0.55f /* of the page's bright cells: darker is the surroundings' outermost cell, */
#define RING     0.25f /* and so much of the image's edge is such */
#define REACH    5     /* cells around one that tell the darkest */
#define EVEN     1.6f  /* times the darkest near it: no brighter are the surroundings */
#define NOISE    6
#define STEP     3     /* cells over which the surroundings' end is a step, */
#define RISE     1.5f  /* at least so many times as bright, */
#define STEEP    0.5f  /* at so much of the end */
#define ISLAND   0.02f /* of the page: a smaller bright spot is no paper */
#define RIM_WIDE 2     /* cells */
#define PAPER    0.05f /* of the page is paper at least */

typedef struct Cells
{
    int w, h;
    uint8_t *level;  /* [h, w] */
    uint8_t *even;   /* [h, w] means of 3 x 3 */
    uint8_t *lowest; /* [h, w] the darkest of these near each */
    uint8_t *mask;   /* [h, w] of enum Place */
    int *stack;      /* [h * w] */
    int bright;
} Cells;

static void
smooth(Cells *c)
{
    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++)
        {
            int sum = 0, n = 0;

            for (int v = y ? y - 1 : 0; v <= y + 1 && v < c->h; v++)
                for (int u = x ? x - 1 : 0; u <= x + 1 && u < c->w; u++, n++)
                    sum += c->level[v * c->w + u];
            c->even[y * c->w + x] = (uint8_t)(sum / n);
        }
}

/* Minimum along one direction. */
static void
lowest_line(const uint8_t *from, uint8_t *to, int n, int step)
{
    for (int i = 0; i < n; i++)
    {
        uint8_t low = 255;

        for (int k = i < REACH ? 0 : i - REACH; k <= i + REACH && k < n; k++)
            low = from[k * step] < low ? from[k * step] : low;
        to[i * step] = low;
    }
}

/* What three in a hundred cells exceed. */
static int
bright_level(const Cells *c)
{
    int count[256] = {0}, n = c->w * c->h, level = 256;

    for (int i = 0; i < n; i++)
        count[c->level[i]]++;
    for (int sum = 0; level > 0 && sum * 100 <= 3 * n;)
        sum += count[--level];
    return level;
}

static bool
measure(Cells *c, Arena *arena)
{
    size_t n = (size_t)c->w * c->h;
    uint8_t *across = arena_alloc(arena, n);

    c->even = arena_alloc(arena, n);
    c->lowest = arena_alloc(arena, n);
    if (!across || !c->even || !c->lowest)
        return false;
    smooth(c);
    for (int y = 0; y < c->h; y++)
        lowest_line(c->even + y * c->w, across + y * c->w, c->w, 1);
    for (int x = 0; x < c->w; x++)
        lowest_line(across + x, c->lowest + x, c->h, c->w);
    return true;
}

static bool
is_even(const Cells *c, int i)
{
    return c->even[i] <= EVEN * c->lowest[i] + NOISE && c->even[i] < 0.7f * c->bright;
}

/* Gives `to` to the cells that hang together with those on the stack and were `from`; even: and are like their
 * neighbours. Returns how many, those on the stack included. */
static int
spread(Cells *c, int n, uint8_t from, uint8_t to, bool even)
{
    int all = n;

    while (n > 0)
    {
        int next[4];

        cells_beside(c->stack[--n], c->w, c->h, next);
        for (int k = 0; k < 4; k++)
            if (next[k] >= 0 && c->mask[next[k]] == from && (!even || is_even(c, next[k])))
            {
                c->mask[next[k]] = to;
                c->stack[n++] = next[k];
                all++;
            }
    }
    return all;
}

/* The dark cells at the image's edge are the first of the surroundings; false: they are too few. */
static bool
find_ring(Cells *c, int *n)
{
    int ring = 2 * (c->w + c->h) - 4;

    *n = 0;
    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x += y == 0 || y == c->h - 1 ? 1 : c->w - 1)
            if (c->level[y * c->w + x] < DARK * c->bright)
            {
                c->mask[y * c->w + x] = AROUND;
                c->stack[(*n)++] = y * c->w + x;
            }
    return *n > RING * ring;
}

/* Most of the surroundings' end is a step up to paper. */
static bool
ends_steeply(const Cells *c)
{
    static const int dirs[4][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};
    int ends = 0, steep = 0;

    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++)
            for (int k = 0; k < 4 && c->mask[y * c->w + x] == AROUND; k++)
            {
                int u = x + STEP * dirs[k][0], v = y + STEP * dirs[k][1];

                if (u < 0 || v < 0 || u >= c->w || v >= c->h ||
                    c->mask[(y + dirs[k][1]) * c->w + x + dirs[k][0]] == AROUND)
                    continue;
                ends++;
                steep += c->level[v * c->w + u] > RISE * c->level[y * c->w + x];
            }
    return ends && steep > STEEP * ends;
}

/* Bright spots that are too small for paper belong to the surroundings. Returns how many cells are left. */
static int
drop_islands(Cells *c)
{
    int n = c->w * c->h, kept = 0;
    uint8_t mark = RIM;

    for (int i = 0; i < n; i++)
    {
        int size;

        if (c->mask[i] != INSIDE)
            continue;
        mark = mark == 255 ? RIM + 1 : mark + 1;
        c->mask[i] = mark;
        c->stack[0] = i;
        size = spread(c, 1, INSIDE, mark, false);
        if (size >= ISLAND * n)
        {
            kept += size;
            continue;
        }
        c->stack[0] = i;
        c->mask[i] = AROUND;
        spread(c, 1, mark, AROUND, false);
    }
    for (int i = 0; i < n; i++)
        c->mask[i] = c->mask[i] == AROUND ? AROUND : INSIDE;
    return kept;
}

/* Cells of the page beside those of the surroundings become `to`. */
static void
widen(Cells *c, uint8_t to)
{
    int n = 0;

    for (int i = 0; i < c->w * c->h; i++)
        if (c->mask[i] != INSIDE)
            c->stack[n++] = i;
    for (int k = 0; k < n; k++)
    {
        int x = c->stack[k] % c->w, y = c->stack[k] / c->w;

        for (int v = y ? y - 1 : 0; v <= y + 1 && v < c->h; v++)
            for (int u = x ? x - 1 : 0; u <= x + 1 && u < c->w; u++)
                if (c->mask[v * c->w + u] == INSIDE)
                    c->mask[v * c->w + u] = to;
    }
}

/* Cells of the surroundings take the level of the paper nearest to them. */
static void
lift(Cells *c)
{
    int n = 0, from = 0;
    uint8_t *done = c->lowest; /* it is not needed any more */

    for (int i = 0; i < c->w * c->h; i++)
        if ((done[i] = c->mask[i] == INSIDE))
            c->stack[n++] = i;
    while (from < n)
    {
        int i = c->stack[from++], next[4];

        cells_beside(i, c->w, c->h, next);
        for (int k = 0; k < 4; k++)
            if (next[k] >= 0 && !done[next[k]])
            {
                done[next[k]] = 1;
                c->level[next[k]] = c->level[i];
                c->stack[n++] = next[k];
            }
    }
}

bool
surround_lift(uint8_t *level, int w, int h, Arena *arena, uint8_t **mask)
{
    Cells c = {.w = w, .h = h, .level = level};
    int n;

    *mask = NULL;
    if (w < LEAST || h < LEAST)
        return true;
    c.mask = arena_array(arena, (size_t)w * h, 1);
    c.stack = arena_array(arena, (size_t)w * h, sizeof(int));
    if (!c.mask || !c.stack)
        return false;
    c.bright = bright_level(&c);
    if (!find_ring(&c, &n))
        return true;
    if (!measure(&c, arena))
        return false;
    spread(&c, n, INSIDE, AROUND, true);
    if (!ends_steeply(&c) || drop_islands(&c) < PAPER * w * h)
        return true;
    widen(&c, AROUND);
    for (int i = 0; i < RIM_WIDE; i++)
        widen(&c, RIM);
    lift(&c);
    *mask = c.mask;
    return true;
}

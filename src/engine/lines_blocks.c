/* lines_blocks.c - Rows -> blocks in reading order.
 *
 * Rows that follow each other without a rival beside them are a block; blocks are read top to bottom within
 * a column and columns left to right, unless something spans both (after Breuel). Sharp edge: a block is a
 * chain, so a heading over two columns is a block of its own. */
#include "lines_inner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEADING                                                                                    \
    2.2f /* baseline distances over this many x-heights, and more than usual, part blocks */
#define X_OF_CAPS   0.72f
#define MANY_EDGES  100
#define MANY_BLOCKS 300 /* more than this are simply read from top to bottom */

static float
least(float a, float b)
{
    return a < b ? a : b;
}

static int
shared_x(const Box *a, const Box *b)
{
    return (a->x1 < b->x1 ? a->x1 : b->x1) - (a->x0 > b->x0 ? a->x0 : b->x0);
}

static int
shared_y(const Box *a, const Box *b)
{
    return (a->y1 < b->y1 ? a->y1 : b->y1) - (a->y0 > b->y0 ? a->y0 : b->y0);
}

/* The height of a row's letters when they were taken for capitals, its x-height else. */
static float
band_of(const Row *r)
{
    return r->caps ? r->x_height / X_OF_CAPS : r->x_height;
}

static bool
alike(float a, float b, float times)
{
    return a < times * b && b < times * a;
}

/* Rows may follow each other in a block: near, alike in size. A row without ascenders looks like capitals. */
static bool
may_follow(const Row *a, const Row *b)
{
    float x = least(a->x_height, b->x_height), d = b->baseline - a->baseline;

    if (d < 0.8f * x ||
        d > (LEADING + 1.8f) * (a->x_height > b->x_height ? a->x_height : b->x_height))
        return false;
    return alike(a->x_height, b->x_height, 1.4f) ||
           (a->caps != b->caps && alike(band_of(a), band_of(b), 1.15f));
}

/* The only row right below (dir 1) or above (-1); -1: none, or several side by side. */
static int
only_neighbour(const Rows *rows, const int *by_y, int at, int dir)
{
    const Row *a = &rows->rows[by_y[at]];
    int found = -1;

    for (int k = at + dir; k >= 0 && k < rows->n; k += dir)
    {
        const Row *b = &rows->rows[by_y[k]];
        float d = dir * (b->baseline - a->baseline);

        if (d > 6 * a->x_height && (found >= 0 || d > 12 * a->x_height))
            break;
        if (d < 0.5f * a->x_height || shared_x(&a->box, &b->box) <= 0)
            continue;
        if (found < 0)
            found = k;
        else if (shared_x(&b->box, &rows->rows[by_y[found]].box) <= 0 &&
                 shared_y(&b->box, &rows->rows[by_y[found]].box) > 0)
            return -1;
    }
    return found;
}

static int
by_baseline(const void *a, const void *b, void *arg)
{
    const Row *p = (const Row *)arg + *(const int *)a, *q = (const Row *)arg + *(const int *)b;

    if (p->baseline != q->baseline)
        return (p->baseline > q->baseline) - (p->baseline < q->baseline);
    return (p->box.x0 > q->box.x0) - (p->box.x0 < q->box.x0);
}

/* The edges of frames, then the rules that run across, as flat boxes. */
static bool
find_edges(const Parts *p, Arena *arena, Blocks *out)
{
    out->edges = arena_array(arena, MANY_EDGES, sizeof(Box));
    if (!out->edges)
        return false;
    for (int frames = 1; frames >= 0; frames--)
    {
        for (int i = 0; i < p->nparts && out->nedges + 2 <= MANY_EDGES; i++)
        {
            const Box *b = &p->parts[i].box;

            if (p->parts[i].kind != PART_RULE || b->x1 - b->x0 < 10 * p->size ||
                frames != (b->y1 - b->y0 > 2 * p->size))
                continue;
            out->edges[out->nedges++] = (Box){b->x0, b->y0, b->x1, b->y0 + 1};
            if (frames)
                out->edges[out->nedges++] = (Box){b->x0, b->y1 - 1, b->x1, b->y1};
        }
        if (frames)
            out->nframes = out->nedges;
    }
    return true;
}

/* A frame's edge lies between two rows. */
static bool
framed_apart(const Blocks *bl, const Row *a, const Row *b)
{
    for (int i = 0; i < bl->nframes; i++)
    {
        const Box *e = &bl->edges[i];

        if (shared_x(e, &a->box) > 0 && shared_x(e, &b->box) > 0 && e->y0 > a->baseline &&
            e->y0 < b->baseline - b->x_height)
            return true;
    }
    return false;
}

/* row.block for each row, rows numbered from the top; returns how many blocks. */
static int
chain_rows(Rows *rows, const Blocks *bl, const int *by_y, int *next)
{
    int n = 0;

    for (int i = 0; i < rows->n; i++)
    {
        next[i] = only_neighbour(rows, by_y, i, 1);
        rows->rows[by_y[i]].block = -1;
    }
    for (int i = 0; i < rows->n; i++)
    {
        Row *r = &rows->rows[by_y[i]];

        if (r->block < 0)
            r->block = n++;
        if (next[i] >= 0 && only_neighbour(rows, by_y, next[i], -1) == i &&
            may_follow(r, &rows->rows[by_y[next[i]]]) &&
            !framed_apart(bl, r, &rows->rows[by_y[next[i]]]))
            rows->rows[by_y[next[i]]].block = r->block;
    }
    return n;
}

/* Median x-height of the rows that have one, else of all. */
static float
block_x_height(const Rows *rows, int block, float *tmp)
{
    for (int caps = 0; caps < 2; caps++)
    {
        int n = 0;

        for (int i = 0; i < rows->n; i++)
            if (rows->rows[i].block == block &&
                (caps || (!rows->rows[i].caps && rows->rows[i].ncore > 3)))
                tmp[n++] = rows->rows[i].x_height;
        qsort(tmp, n, sizeof(float), by_float);
        if (n)
            return tmp[n / 2];
    }
    return 0;
}

/* A row taken for capitals whose letters are as high as the block's x, and no x of the block is as
 * its capitals would have: it has no ascenders. */
static void
settle_by_block(const Rows *rows, Row *r)
{
    bool as_x = false, as_caps = false;

    for (int i = 0; i < rows->n; i++)
    {
        const Row *o = &rows->rows[i];

        if (o->block != r->block || o->caps || o->ncore <= 3)
            continue;
        as_x |= alike(o->x_height, band_of(r), 1.12f);
        as_caps |= alike(o->x_height, r->x_height, 1.12f);
    }
    r->measured = as_x && !as_caps ? band_of(r) : r->x_height;
}

/* The median x-height of the block's rows like this one; of all its rows for one of few letters. */
static float
usual_x_height(const Rows *rows, const Row *r, float *tmp)
{
    float low = r->ncore < 4 ? 0.7f : 0.87f, high = r->ncore < 4 ? 1.4f : 1.15f;
    int n = 0;

    for (int i = 0; i < rows->n; i++)
    {
        const Row *o = &rows->rows[i];

        if (o->block == r->block && o->ncore > 3 && o->measured > low * r->measured &&
            o->measured < high * r->measured)
            tmp[n++] = o->measured;
    }
    qsort(tmp, n, sizeof(float), by_float);
    return n ? tmp[n / 2] : r->measured;
}

/* c lies across the columns of both, between upper and lower. */
static bool
parts_them(const Box *c, const Box *upper, const Box *lower)
{
    return shared_x(upper, c) > 0 && shared_x(lower, c) > 0 &&
           c->y0 >= upper->y1 - (upper->y1 - upper->y0) / 4 &&
           c->y1 <= lower->y0 + (lower->y1 - lower->y0) / 4;
}

static bool
parted(const Blocks *bl, const Box *upper, const Box *lower)
{
    for (int i = 0; i < bl->n; i++)
        if (parts_them(&bl->blocks[i].box, upper, lower))
            return true;
    for (int i = 0; i < bl->nedges; i++)
        if (parts_them(&bl->edges[i], upper, lower))
            return true;
    return false;
}

/* left goes on a column that begins beside right, which is further up: a column is read to its end. */
static bool
same_columns(const Blocks *bl, const Box *left, const Box *right)
{
    if (parted(bl, right, left))
        return false;
    for (int i = 0; i < bl->n; i++)
    {
        const Box *c = &bl->blocks[i].box;

        if (c->x1 <= right->x0 && shared_y(c, right) > 0 && shared_x(c, left) > 0 &&
            c->y0 < left->y0)
            return true;
    }
    return false;
}

/* a is read before b: above it; or left of it, beside it or in the column before. */
static bool
before(const Blocks *bl, const Box *a, const Box *b)
{
    bool a_left = a->x1 <= b->x0;
    const Box *left = a_left ? a : b, *right = a_left ? b : a;

    if (shared_x(a, b) > 0)
        return a->y0 + a->y1 < b->y0 + b->y1;
    if (shared_y(a, b) > 0 || left->y1 <= right->y0 || same_columns(bl, left, right))
        return a_left;
    return !a_left;
}

/* Repeatedly takes the topmost-leftmost block that no other left one precedes. */
static bool
reading_order(Blocks *bl, Arena *arena)
{
    int *waits = arena_array(arena, (size_t)bl->n + 1, sizeof(int));
    bool *done = arena_array(arena, (size_t)bl->n + 1, sizeof(bool));
    Block *sorted = arena_array(arena, (size_t)bl->n + 1, sizeof(Block));

    if (!waits || !done || !sorted)
        return false;
    for (int i = 0; i < bl->n; i++)
        for (int k = 0; k < bl->n; k++)
            waits[i] += k != i && before(bl, &bl->blocks[k].box, &bl->blocks[i].box);
    for (int n = 0; n < bl->n; n++)
    {
        int best = -1;

        for (int i = 0; i < bl->n; i++)
            if (!done[i] &&
                (best < 0 || waits[i] < waits[best] ||
                 (waits[i] == waits[best] && bl->blocks[i].box.y0 < bl->blocks[best].box.y0)))
                best = i;
        done[best] = true;
        sorted[n] = bl->blocks[best];
        for (int i = 0; i < bl->n; i++)
            waits[i] -= !done[i] && before(bl, &bl->blocks[best].box, &bl->blocks[i].box);
    }
    memcpy(bl->blocks, sorted, sizeof(Block) * bl->n);
    return true;
}

/* A page's usual x-height: the median over letters. */
static float
body_x_height(const Rows *rows)
{
    float best = 0;
    int most = -1;

    for (int i = 0; i < rows->n; i++)
    {
        int like = 0;

        for (int k = 0; k < rows->n; k++)
            if (fabsf(rows->rows[k].x_height - rows->rows[i].x_height) <
                0.1f * rows->rows[i].x_height)
                like += rows->rows[k].ncore;
        if (like > most)
        {
            most = like;
            best = rows->rows[i].x_height;
        }
    }
    return best;
}

static int
letters_of(const Rows *rows, const int *order, const Block *b)
{
    int n = 0;

    for (int i = 0; i < b->n; i++)
        n += rows->rows[order[b->first + i]].ncore;
    return n;
}

/* Alone at the upper or lower end of the page's text: nothing beyond it, and clear of what comes next. */
static bool
at_end(const Blocks *bl, const Block *b, float body, bool top)
{
    for (int i = 0; i < bl->n; i++)
    {
        const Box *o = &bl->blocks[i].box;
        int gap = top ? o->y0 - b->box.y1 : b->box.y0 - o->y1;

        if (&bl->blocks[i] != b && shared_y(o, &b->box) <= 0 && gap < 1.2f * body)
            return false;
    }
    return true;
}

static const char *
type_of(int page_h, const Rows *rows, const Blocks *bl, const Block *b, float body, float largest)
{
    int letters = letters_of(rows, bl->order, b);
    bool top = b->box.y1<page_h / 5, bottom = b->box.y0> page_h * 4 / 5;

    if (b->n == 1 && letters <= 4 && rows->n > 3 && b->x_height < 1.4f * body &&
        ((top && at_end(bl, b, body, true)) || (bottom && at_end(bl, b, body, false))))
        return "page_number";
    if (b->n == 1 && rows->n > 6 && b->x_height < 1.15f * body && bottom &&
        at_end(bl, b, body, false))
        return "page_footer";
    if (b->n == 1 && rows->n > 6 && b->x_height < 1.15f * body && top && at_end(bl, b, body, true))
        return "page_header";
    if (b->n <= 3 && letters > 1 && b->x_height > 1.5f * body && b->x_height > 0.95f * largest)
        return "title";
    if (b->n <= 3 && letters > 1 && b->x_height > 1.25f * body)
        return "section_header";
    return "text";
}

static void
name_types(int page_h, const Rows *rows, Blocks *bl)
{
    float body = body_x_height(rows), largest = 0;

    for (int i = 0; i < bl->n; i++)
        if (bl->blocks[i].x_height > largest && letters_of(rows, bl->order, &bl->blocks[i]) > 4)
            largest = bl->blocks[i].x_height;
    for (int i = 0; i < bl->n; i++)
        bl->blocks[i].type = type_of(page_h, rows, bl, &bl->blocks[i], body, largest);
}

/* The blocks' rows from top to bottom, as a list. */
static void
fill_blocks(const Rows *rows, const int *by_y, Blocks *bl, float *tmp)
{
    int n = 0;

    for (int b = 0; b < bl->n; b++)
    {
        Block *block = &bl->blocks[b];

        block->first = n;
        for (int i = 0; i < rows->n; i++)
        {
            const Row *r = &rows->rows[by_y[i]];

            if (r->block != b)
                continue;
            if (block->n++ == 0)
                block->box = r->box;
            box_grow(&block->box, &r->box);
            bl->order[n++] = by_y[i];
        }
        block->x_height = block_x_height(rows, b, tmp);
    }
}

bool
blocks_find(const Parts *p, Rows *rows, Arena *arena, Blocks *out)
{
    int *by_y = arena_array(arena, (size_t)rows->n + 1, sizeof(int));
    int *next = arena_array(arena, (size_t)rows->n + 1, sizeof(int));
    float *tmp = arena_array(arena, (size_t)rows->n + 1, sizeof(float));

    *out = (Blocks){.order = arena_array(arena, (size_t)rows->n + 1, sizeof(int))};
    if (!by_y || !next || !tmp || !out->order || !find_edges(p, arena, out))
        return false;
    for (int i = 0; i < rows->n; i++)
        by_y[i] = i;
    qsort_r(by_y, rows->n, sizeof(int), by_baseline, rows->rows);
    out->n = chain_rows(rows, out, by_y, next);
    out->blocks = arena_array(arena, (size_t)out->n + 1, sizeof(Block));
    if (!out->blocks)
        return false;
    fill_blocks(rows, by_y, out, tmp);
    for (int i = 0; i < rows->n; i++)
        settle_by_block(rows, &rows->rows[i]);
    for (int i = 0; i < rows->n; i++)
        rows->rows[i].x_height = usual_x_height(rows, &rows->rows[i], tmp);
    if (out->n <= MANY_BLOCKS && !reading_order(out, arena))
        return false;
    name_types(p->h, rows, out);
    return true;
}

/* lines_gaps.c - what the gap between two pieces of one height is: a row's own, or one between columns.
 *
 * A wide gap alone says nothing: in a price list it belongs to the row, between columns it does not. What tells is the
 * neighbourhood. On both sides of a gutter there is running text, several lines of it and wide ones, that keeps clear of
 * the gutter; beyond an upright rule it may stand further off. Cells of a table look the same: rules under the rows,
 * across the gap, tell them, and so do figures behind what is told of a name. Or the rows on one side keep no step with
 * those on the other, as a table's do, whatever they are. Where either is seen, a corridor goes up and down from it as far
 * as rows follow and nothing reaches over, and letters on both sides of it are tied to none on the other, however near. */
#include "lines_gaps.h"

#include <math.h>
#include <stdlib.h>

#define COLUMN_WIDTH 7.0f  /* letter heights; narrower stacks are figures or labels, not columns */
#define CHAIN        6     /* rows looked at above and below */
#define FEW_ROWS     5     /* so many between two that reach over a gap are no columns, */
#define MANY_ROWS    8     /* so many on each side have no space between words in one place */
#define LEADING      2.2f  /* letter heights: when they are no further apart */
#define RULED        3     /* so many of them with a rule under them are a table's */
#define SPOTS        64    /* where a rule across a gap is looked for; */
#define HOLE         1.5f  /* letter heights: it may be broken so far, */
#define UNDER        1.6f  /* and so far below the letters' feet */
#define DASH         0.45f /* letter heights, and a pixel of blur: a rule's dash is no higher */
#define PLAIN        2.5f  /* times a frame's edges are met from left to right: it has no cells */
#define WIDEST       8     /* letter heights; a gutter is no wider */
#define BEYOND       10 /* letter heights that it goes on beyond the rows that tell of it at least */
#define LONG         40   /* letter heights; a longer corridor goes on further, */
#define FOLLOWS      3    /* so far from a row to the next; */
#define GUTTER       0.8f /* letter heights; a corridor is no narrower */
#define MOST_FEET    64
#define SMALLER      0.6f /* times a row's letters are another's that is compared with it, at least */
#define FAR          20   /* letter heights up and down: rows that tell whether they keep step */
#define UPRIGHT      8    /* letter heights a rule between columns is high at least */
#define STEPS        5    /* rows on each side of a gap that tell whether they keep step: */
#define OFF_STEP     0.3f  /* letter heights between the feet of two that do not, */
#define FALL         0.01f /* and of the gap's width: what is far off may stand on a slant; */
#define PARTED       0.4f  /* and so many of them, on both sides, that are no table's; */
#define TABLE        5     /* rows over each other that tell a table without rules; */
#define MOST_ROWS    0.8f  /* so many of them do it, */
#define FLUSH        1.5f  /* and letter heights between the ends of two rows that are as long */
#define MOST_PIECES  4000  /* more are noise, and have no columns */

/* Where a rule is at (x, y), or -1. */
static int
rule_at(const Parts *p, int x, int y, float size)
{
    for (int i = runs_from(p, y, x - 1); i < p->row_start[y + 1] && p->runs[i].x0 <= x + 1; i++)
        if (p->parts[p->runs[i].part].kind == PART_RULE &&
            p->runs[i].x1 - p->runs[i].x0 < 0.5f * size)
            return (p->runs[i].x0 + p->runs[i].x1) / 2;
    return -1;
}

bool
upright_between(const Joiner *j, const Piece *l, const Piece *r)
{
    const Parts *p = j->parts;
    float size = least(l->size, r->size);
    int y = (int)((l->right_top + l->right_bottom + r->left_top + r->left_bottom) / 4);

    for (int i = runs_from(p, y, l->box.x1); i < p->row_start[y + 1]; i++)
    {
        int end[2] = {y, y}, x0 = p->runs[i].x0, x1 = p->runs[i].x1;

        if (x1 > r->box.x0)
            break;
        if (x0 < l->box.x1 || rule_at(p, (x0 + x1) / 2, y, size) < 0)
            continue;
        for (int dir = 0; dir < 2; dir++)
            for (int x = (x0 + x1) / 2, v = y;
                 x >= 0 && v >= 0 && v < p->h && abs(v - y) < UPRIGHT * size; v += dir ? 1 : -1)
            {
                x = rule_at(p, x, v, size);
                end[dir] = x < 0 ? end[dir] : v;
            }
        if (end[1] - end[0] >= UPRIGHT * size)
            return true;
    }
    return false;
}

/* How wide the words around piece i are together, away from the gap that it is on the left of, or on the right; with
 * ruled all that stands in its row up to an upright rule counts, and the widest of it. */
static int
width_beside(const Joiner *j, int i, bool left, bool ruled)
{
    Box b = j->pieces[i].box;
    int best = b.x1 - b.x0;

    for (int next = left ? j->left[i] : j->right[i]; next >= 0;
         next = left ? j->left[i] : j->right[i])
    {
        const Piece *l = &j->pieces[left ? next : i], *r = &j->pieces[left ? i : next];
        bool word = r->box.x0 - l->box.x1 < WORD_SPACE * most(l->size, r->size);

        if ((!ruled && !word) || upright_between(j, l, r))
            break;
        b = word ? (Box){least(b.x0, l->box.x0), 0, most(b.x1, r->box.x1), 0} : j->pieces[next].box;
        best = b.x1 - b.x0 > best ? b.x1 - b.x0 : best;
        i = next;
    }
    return best;
}

/* What a gap is: wider than spaces between words; not; or a rule stands in it, and numbers may stand beside that. */
typedef enum GapKind
{
    WIDE_GAP,
    WORD_GAP,
    RULED_GAP
} GapKind;

/* Whether running text lies on this side of the gap around piece i; counts its rows. */
static bool
column_beside(const Joiner *j, int i, float edge, bool left, GapKind gap, float size, int *rows)
{
    int n = 0, wide = 0;

    for (int dir = -1; dir <= 1; dir += 2)
    {
        int at = dir < 0 ? i : j->below[i];

        for (int k = 0; k <= CHAIN && at >= 0; k++)
        {
            const Box *b = gap == WIDE_GAP ? &j->spans[at] : &j->pieces[at].box;

            if (at != i && (left ? b->x1 > edge : b->x0 < edge))
                break;
            n++;
            wide +=
                (gap == WIDE_GAP ? b->x1 - b->x0 : width_beside(j, at, left, gap == RULED_GAP)) >
                COLUMN_WIDTH * size;
            at = dir > 0 ? j->below[at] : j->above[at];
        }
    }
    *rows = n;
    return wide >= 2 && wide * 5 >= n * 3;
}

static bool
of_a_rule(const Part *part, float size)
{
    int w = part->box.x1 - part->box.x0, h = part->box.y1 - part->box.y0;

    return part->kind == PART_RULE || (part->kind < PART_CORE && w >= 2 * h && h < DASH * size + 1);
}

/* A rule runs from x0 to x1 right under piece i. */
static bool
ruled_under(const Joiner *j, int i, int x0, int x1)
{
    const Piece *a = &j->pieces[i];
    const Parts *p = j->parts;
    bool seen[SPOTS] = {false};
    int from = (int)(a->bottom - 0.2f * a->size), to = (int)(a->bottom + UNDER * a->size);
    int missed = 0;
    float step = (x1 - x0) / (float)SPOTS;

    for (int y = from > 0 ? from : 0; y <= to && y < p->h; y++)
        for (int k = runs_from(p, y, x0); k < p->row_start[y + 1] && p->runs[k].x0 < x1; k++)
            if (of_a_rule(&p->parts[p->runs[k].part], a->size))
                for (int s = (int)most(0, (p->runs[k].x0 - x0) / step);
                     s < SPOTS && x0 + s * step < p->runs[k].x1; s++)
                    seen[s] = true;
    for (int s = 0; s < SPOTS && missed * step <= HOLE * a->size; s++)
        missed = seen[s] ? 0 : missed + 1;
    return missed * step <= HOLE * a->size;
}

/* Rules under the rows, across the gap: they are a table's, and what looks like columns of text are its cells. */
static bool
table_beside(const Joiner *j, const Pair *pair)
{
    const Piece *l = &j->pieces[pair->left], *r = &j->pieces[pair->right];
    int x0 = (int)(l->box.x1 - l->size), x1 = (int)(r->box.x0 + r->size), n = 0, ruled = 0;

    if (x1 <= x0)
        return false;
    for (int dir = -1; dir <= 1; dir += 2)
    {
        int at = dir < 0 ? pair->left : j->below[pair->left];

        for (int k = 0; k <= CHAIN && at >= 0; k++)
        {
            n++;
            ruled += ruled_under(j, at, x0, x1);
            at = dir > 0 ? j->below[at] : j->above[at];
        }
    }
    return ruled >= RULED && ruled * 3 >= n * 2;
}

/* The last piece of the words that piece i begins, to the right or left. */
static int
last_word(const Joiner *j, int i, bool left)
{
    for (;;)
    {
        int next = left ? j->left[i] : j->right[i];
        const Piece *a = &j->pieces[i], *b = &j->pieces[next < 0 ? i : next];
        int gap = left ? a->box.x0 - b->box.x1 : b->box.x0 - a->box.x1;

        if (next < 0 || gap >= WORD_SPACE * most(a->size, b->size))
            return i;
        i = next;
    }
}

/* What tells the rows of a table without rules from lines of columns that stand at the same heights. */
typedef struct Cells
{
    int n;
    int in_step; /* with what is beyond the gap, */
    int more[2]; /* that have further cells on the left of the gap, and narrow ones on its right */
    int reach;   /* how far the longest goes on the left, */
    int flush;   /* and how many as far */
} Cells;

static void
count_cells(const Joiner *j, int at, Cells *c)
{
    const Piece *a = &j->pieces[at];
    int r = j->right[at], end;

    c->n++;
    c->flush += a->box.x1 > c->reach - FLUSH * a->size;
    c->more[0] += j->left[last_word(j, at, true)] >= 0;
    if (r < 0)
        return;
    end = last_word(j, r, false);
    c->in_step += fabsf(a->right_bottom - j->pieces[r].left_bottom) < OFF_STEP * a->size;
    if (j->right[end] >= 0)
    {
        const Box *first = &j->pieces[j->right[end]].box,
                  *last = &j->pieces[last_word(j, j->right[end], false)].box;

        c->more[1] += last->x1 - first->x0 < COLUMN_WIDTH * a->size;
    }
}

/* On the right there are more cells in each row than on the left, figures or the like, which columns of text or of a list have
 * not, and rows on the left end anywhere: names, each with what is told of it. */
static bool
more_cells(const Joiner *j, const Pair *pair)
{
    Cells c = {.reach = 0};

    for (int count = 0; count < 2; count++)
        for (int dir = -1; dir <= 1; dir += 2)
        {
            int at = dir < 0 ? pair->left : j->below[pair->left];

            for (int k = 0; k <= CHAIN && at >= 0; k++)
            {
                const Piece *a = &j->pieces[at];

                if (a->box.x1 > j->pieces[pair->right].box.x0)
                    break;
                c.reach = a->box.x1 > c.reach ? a->box.x1 : c.reach;
                if (count)
                    count_cells(j, at, &c);
                at = dir > 0 ? j->below[at] : j->above[at];
            }
        }
    return c.n >= TABLE && c.in_step >= MOST_ROWS * c.n && c.more[1] >= MOST_ROWS * c.n &&
           c.more[0] <= (1 - MOST_ROWS) * c.n && c.flush < c.n / 2;
}

/* Letters beside piece i are at x. */
static bool
print_at(const Joiner *j, int i, float x)
{
    const Piece *a = &j->pieces[i];

    for (int b = index_band(&j->ix, (int)a->top); b <= index_band(&j->ix, (int)a->bottom); b++)
        for (int k = j->ix.start[b]; k < j->ix.start[b + 1]; k++)
        {
            const Piece *p = &j->pieces[j->ix.items[k]];

            if (p->box.x0 >= x)
                break;
            if (p->box.x1 > x && 2 * (least(a->bottom, p->bottom) - most(a->top, p->top)) > a->size)
                return true;
        }
    return false;
}

/* The piece above (dir -1) or below piece i whose row reaches over the gap, with print at x in it, or -1; *rows:
 * how many before it do not. */
static int
across(const Joiner *j, int i, float edge, float x, bool left, int dir, int *rows)
{
    int at = dir < 0 ? j->above[i] : j->below[i], last = i;

    for (int k = 0; k <= FEW_ROWS && at >= 0; k++)
    {
        const Piece *a = &j->pieces[last], *b = &j->pieces[at];

        if ((dir < 0 ? a->top - b->bottom : b->top - a->bottom) > LEADING * a->size)
            return -1;
        if (left ? j->spans[at].x1 > edge : j->spans[at].x0 < edge)
            return b->size < 1.5f * a->size && a->size < 1.5f * b->size && print_at(j, at, x) ? at
                                                                                              : -1;
        ++*rows;
        last = at;
        at = dir < 0 ? j->above[at] : j->below[at];
    }
    return -1;
}

/* A few lines of a justified paragraph have wide spaces over each other: the lines before and after them have not. */
static bool
in_paragraph(const Joiner *j, const Pair *pair, float left_edge, float right_edge)
{
    float x = (left_edge + right_edge) / 2;
    int rows[2] = {1, 1};
    bool same = false;

    for (int dir = -1; dir <= 1; dir += 2)
    {
        int l = across(j, pair->left, right_edge, x, true, dir, &rows[0]);
        int r = across(j, pair->right, left_edge, x, false, dir, &rows[1]);

        if (l < 0 || r < 0)
            return false;
        same |= j->spans[l].x0 == j->spans[r].x0 && j->spans[l].x1 == j->spans[r].x1;
    }
    return same && rows[0] <= FEW_ROWS && rows[1] <= FEW_ROWS;
}

/* What is beside the gap of a pair, as far as nothing reaches over it: the feet of the rows on the left and on the right. */
typedef struct Beside
{
    int x0, x1;
    float top, bottom; /* as far as the gap goes */
    float size;
    int n[2];
    float feet[2][MOST_FEET];
} Beside;

enum Side
{
    LEFT,
    RIGHT,
    BOTH, /* a piece that letters beside the gap were tied to over it */
    OVER, /* letters stand in the gap */
    AWAY
};

/* No ink of the piece is in the gap. */
static bool
is_clear(const Parts *p, const Piece *a, int x0, int x1)
{
    for (int y = (int)a->top > 0 ? (int)a->top : 0; y < a->bottom && y < p->h; y++)
    {
        int i = runs_from(p, y, x0);

        if (i < p->row_start[y + 1] && p->runs[i].x0 < x1)
            return false;
    }
    return true;
}

static enum Side
side_of(const Joiner *j, int i, const Beside *b)
{
    const Piece *p = &j->pieces[i];
    float x = b->x1 - 0.6f * b->size;
    bool left = p->box.x1 <= x;
    int next = left ? j->right[i] : j->left[i];

    if (p->bottom < b->top || p->top > b->bottom || p->size < SMALLER * b->size ||
        p->size * SMALLER > b->size)
        return AWAY;
    if (!left && p->box.x0 < x)
        return is_clear(j->parts, p, b->x0 + (int)(0.3f * b->size), b->x1) ? BOTH : OVER;
    if (next >= 0 && (left ? j->pieces[next].box.x0 < x : j->pieces[next].box.x1 > x))
        return AWAY;
    return left ? LEFT : RIGHT;
}

/* Looks from y up and down. */
static void
look_beside(const Joiner *j, float y, Beside *b)
{
    int from = index_band(&j->ix, (int)b->top), to = index_band(&j->ix, (int)b->bottom);

    for (int feet = 0; feet < 2; feet++)
        for (int band = from; band <= to; band++)
            for (int k = j->ix.start[band]; k < j->ix.start[band + 1]; k++)
            {
                const Piece *p = &j->pieces[j->ix.items[k]];
                enum Side side = side_of(j, j->ix.items[k], b);

                if (side == OVER && !feet && p->bottom < y)
                    b->top = most(b->top, p->bottom);
                if (side == OVER && !feet && p->top > y)
                    b->bottom = least(b->bottom, p->top);
                if (!feet || index_band(&j->ix, p->box.y0) != band)
                    continue;
                if ((side == LEFT || side == BOTH) && b->n[0] < MOST_FEET)
                    b->feet[0][b->n[0]++] = side == BOTH ? p->left_bottom : p->right_bottom;
                if ((side == RIGHT || side == BOTH) && b->n[1] < MOST_FEET)
                    b->feet[1][b->n[1]++] = side == BOTH ? p->right_bottom : p->left_bottom;
            }
}

/* Enough of the rows at these feet have none beside them, and not all for being off by the same. */
static bool
off_step(const float *feet, int n, const float *others, int nothers, float size, float far,
         float *first, float *last)
{
    float low = 1e9f, high = -1e9f;
    int seen = 0, off = 0;

    *first = 1e9f;
    *last = -1e9f;
    for (int k = 0; k < nothers; k++)
    {
        *first = least(*first, others[k]);
        *last = most(*last, others[k]);
    }
    for (int i = 0; i < n; i++)
    {
        float d = 1e9f;

        if (feet[i] < *first - size || feet[i] > *last + size)
            continue;
        for (int k = 0; k < nothers; k++)
            d = fabsf(feet[i] - others[k]) < fabsf(d) ? feet[i] - others[k] : d;
        seen++;
        off += fabsf(d) > far;
        low = least(low, d);
        high = most(high, d);
    }
    return seen >= STEPS && off >= PARTED * seen && high - low >= far + OFF_STEP * size;
}

/* The rows on both sides of the gap are not each other's: a table's would be, but those of columns keep no step. */
static bool
out_of_step(const Beside *b, float *first, float *last)
{
    float low[2], high[2], far = OFF_STEP * b->size + FALL * (b->x1 - b->x0);

    if (!off_step(b->feet[0], b->n[0], b->feet[1], b->n[1], b->size, far, &low[0], &high[0]) ||
        !off_step(b->feet[1], b->n[1], b->feet[0], b->n[0], b->size, far, &low[1], &high[1]))
        return false;
    *first = most(low[0], low[1]);
    *last = least(high[0], high[1]);
    return true;
}

/* Adds a corridor between columns, or grows the one that it goes on. */
static void
add_corridor(Corridors *out, const Box *b, float size)
{
    for (int i = 0; i < out->n; i++)
    {
        Box *c = &out->boxes[i];
        int x0 = c->x0 > b->x0 ? c->x0 : b->x0, x1 = c->x1 < b->x1 ? c->x1 : b->x1;

        if (x1 - x0 < GUTTER * size || b->y0 > c->y1 || b->y1 < c->y0)
            continue;
        *c = (Box){x0, b->y0 < c->y0 ? b->y0 : c->y0, x1, b->y1 > c->y1 ? b->y1 : c->y1};
        return;
    }
    if (out->n < CORRIDORS)
        out->boxes[out->n++] = *b;
}

/* A corridor between columns lies in the gap. */
static bool
in_corridor(const Joiner *j, const Pair *pair)
{
    const Piece *l = &j->pieces[pair->left], *r = &j->pieces[pair->right];
    float y = (r->left_top + r->left_bottom) / 2;

    for (int i = 0; i < j->corridors->n; i++)
    {
        const Box *c = &j->corridors->boxes[i];
        int x0 = c->x0 > l->box.x1 ? c->x0 : l->box.x1, x1 = c->x1 < r->box.x0 ? c->x1 : r->box.x0;

        if (y >= c->y0 && y <= c->y1 && x1 - x0 >= GUTTER * least(l->size, r->size))
            return true;
    }
    return false;
}

/* The gap of a pair and what is beside it. */
static void
look_at_gap(const Joiner *j, const Pair *pair, Beside *b)
{
    const Piece *l = &j->pieces[pair->left], *r = &j->pieces[pair->right];
    float size = least(l->size, r->size), y = (r->left_top + r->left_bottom) / 2;

    *b = (Beside){.x0 = l->box.x1,
                  .x1 = r->box.x0,
                  .top = y - FAR * size,
                  .bottom = y + FAR * size,
                  .size = size};
    look_beside(j, y, b);
}

/* Running text is on both sides. */
static bool
text_beside(const Joiner *j, const Pair *pair, GapKind kind)
{
    const Piece *l = &j->pieces[pair->left], *r = &j->pieces[pair->right];
    float size = least(l->size, r->size), beyond = 0.8f * size;
    int nl, nr;

    return column_beside(j, pair->left, r->box.x0 - beyond, true, kind, size, &nl) &&
           column_beside(j, pair->right, l->box.x1 + beyond, false, kind, size, &nr) &&
           nl + nr >= 5 &&
           (kind == RULED_GAP || !in_paragraph(j, pair, l->box.x1 + beyond, r->box.x0 - beyond)) &&
           !table_beside(j, pair) && !more_cells(j, pair);
}

static bool
gutter(const Joiner *j, const Pair *pair)
{
    return text_beside(
        j, pair,
        upright_between(j, &j->pieces[pair->left], &j->pieces[pair->right]) ? RULED_GAP : WIDE_GAP);
}

/* Many rows are clear of the gap, however narrow it is. */
static bool
long_gutter(const Joiner *j, const Pair *pair, const Beside *b)
{
    return b->n[0] >= MANY_ROWS && b->n[1] >= MANY_ROWS &&
           (gutter(j, pair) || text_beside(j, pair, WORD_GAP));
}

/* The gap of a pair between columns, as high as it goes on. */
static bool
corridor_of(const Joiner *j, const Pair *pair, Box *out)
{
    const Piece *r = &j->pieces[pair->right];
    float first, last;
    Beside b;

    look_at_gap(j, pair, &b);
    if (!out_of_step(&b, &first, &last))
    {
        if (!long_gutter(j, pair, &b))
            return false;
        first = last = (r->left_top + r->left_bottom) / 2;
    }
    *out = (Box){b.x0, (int)most(b.top, first - BEYOND * b.size), b.x1,
                 (int)least(b.bottom, last + BEYOND * b.size)};
    return true;
}

/* A corridor beside or within a piece becomes narrower where ink reaches into it; false: letters reach over. */
static bool
keeps_clear(const Parts *p, const Piece *a, Box *c)
{
    int x0 = c->x0, x1 = c->x1, middle = (x0 + x1) / 2;

    for (int y = (int)a->top > 0 ? (int)a->top : 0; y < a->bottom && y < p->h; y++)
        for (int i = runs_from(p, y, c->x0); i < p->row_start[y + 1] && p->runs[i].x0 < c->x1; i++)
        {
            const Run *run = &p->runs[i];

            if (run->x0 <= middle)
                x0 = run->x1 > x0 ? run->x1 : x0;
            else
                x1 = run->x0 < x1 ? run->x0 : x1;
        }
    if (x1 - x0 < GUTTER * most(a->size, p->size))
        return false;
    c->x0 = x0;
    c->x1 = x1;
    return true;
}

/* The next rule across the corridor from y on, downwards or upwards, before `to`; else that. */
static int
rule_across(const Parts *p, const Box *c, int y, int to, int dir)
{
    for (; y != to && y >= 0 && y < p->h; y += dir)
    {
        int i = runs_from(p, y, c->x0);

        if (i < p->row_start[y + 1] && p->runs[i].x0 <= c->x0 && p->runs[i].x1 >= c->x1)
            return y;
    }
    return to;
}

/* How far the corridor goes on below its end (dir 1), or above: by the rows beside it that follow within a few letter heights,
 * down to what reaches over. What is nearer to that is not the columns'. Returns that end when nothing follows. */
static int
next_end(const Joiner *j, Box *c, int dir)
{
    float size = j->parts->size;
    int end = dir > 0 ? c->y1 : c->y0, far = end;
    int over = rule_across(j->parts, c, end, end + dir * (int)(4 * FOLLOWS * size), dir);
    int from = index_band(&j->ix, dir > 0 ? end : over),
        to = index_band(&j->ix, dir > 0 ? over : end);

    for (int rows = 0; rows < 2; rows++)
        for (int band = from; band <= to; band++)
            for (int k = j->ix.start[band]; k < j->ix.start[band + 1]; k++)
            {
                const Piece *p = &j->pieces[j->ix.items[k]];
                int near = (int)(dir > 0 ? p->top : p->bottom),
                    last = (int)(dir > 0 ? p->bottom : p->top);
                int off = dir * (near - end);

                if (dir * (last - end) <= 0 || dir * (near - over) >= 0)
                    continue;
                if (!rows && !keeps_clear(j->parts, p, c))
                    over = near;
                if (rows && off < FOLLOWS * size && off < dir * (over - last) &&
                    dir * (last - far) > 0)
                    far = last;
            }
    return far;
}

/* Long columns go on as far as rows follow in one of them. */
static void
follow_columns(const Joiner *j, Box *c)
{
    for (int dir = -1; dir <= 1 && c->y1 - c->y0 > LONG * j->parts->size; dir += 2)
        for (;;)
        {
            int end = next_end(j, c, dir), *edge = dir > 0 ? &c->y1 : &c->y0;

            if (end == *edge)
                break;
            *edge = end;
        }
}

void
corridors_find(const Joiner *j, Corridors *out)
{
    for (int i = 0; i < j->n && j->n <= MOST_PIECES; i++)
    {
        Pair pair = {i, j->right[i], 0};
        float size = j->pieces[i].size;
        Box b;

        if (pair.right < 0)
            continue;
        pair.gap = j->pieces[pair.right].box.x0 - j->pieces[i].box.x1;
        if (pair.gap >= NO_GAP * most(size, j->pieces[pair.right].size) &&
            pair.gap < WIDEST * size && corridor_of(j, &pair, &b))
            add_corridor(out, &b, size);
    }
    for (int i = 0; i < out->n; i++)
        follow_columns(j, &out->boxes[i]);
}

/* A plain frame around many rows that has one of the pair inside, the other outside: what numbers a deposition's lines. */
static bool
frames_one(const Part *frame, const Piece *l, const Piece *r)
{
    const Box *b = &frame->box;
    bool left = l->box.x0 > b->x0, right = r->box.x1 < b->x1;

    return left != right && (left ? b->x1 <= r->box.x0 : b->x0 >= l->box.x1) &&
           frame->nruns < PLAIN * (b->y1 - b->y0);
}

/* The edge of a box on a form or of a frame stands in the gap. The lines of a table reach over many rows. */
static bool
walled(const Joiner *j, const Pair *pair)
{
    const Piece *l = &j->pieces[pair->left], *r = &j->pieces[pair->right];
    const Parts *p = j->parts;
    int y = (int)((l->right_top + l->right_bottom + r->left_top + r->left_bottom) / 4);

    for (int i = p->row_start[y]; i < p->row_start[y + 1]; i++)
    {
        const Part *part = &p->parts[p->runs[i].part];
        float high = part->box.y1 - part->box.y0;

        if (p->runs[i].x0 >= l->box.x1 && p->runs[i].x1 <= r->box.x0 && part->kind == PART_RULE &&
            high > 1.8f * p->size && (high < 8 * p->size || frames_one(part, l, r)))
            return true;
    }
    return false;
}

bool
gap_parts(const Joiner *j, const Pair *pair)
{
    return in_corridor(j, pair) || gutter(j, pair) || walled(j, pair);
}

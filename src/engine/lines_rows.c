/* lines_rows.c - Parts -> Rows: pieces on one height become one printed row, unless a gutter lies between (lines_gaps.c).
 *
 * Sharp edge: a lone row with a hole is two things (a running head and its page number). */
#include "lines_gaps.h"

#include <stdlib.h>
#include <string.h>

#define DOT          0.45f /* letter heights, and a pixel of blur: a leader's dot is no larger */
#define TINY         5     /* pixels: too small a letter to read; a dot need not be round */
#define LEADERS      6     /* dots in a row are leaders, */
#define LEADERS_KEPT 3     /* and so many of them stay */

static bool
sort_pieces(const Pieces *in, const Parts *p, Arena *arena, Joiner *j)
{
    Key *keys = arena_array(arena, (size_t)in->n + 1, sizeof(Key));
    Box *boxes = arena_array(arena, (size_t)in->n + 1, sizeof(Box));

    *j = (Joiner){.parts = p, .n = in->n};
    j->pieces = arena_array(arena, (size_t)in->n + 1, sizeof(Piece));
    j->old = arena_array(arena, (size_t)in->n + 1, sizeof(int));
    j->above = arena_array(arena, (size_t)in->n + 1, sizeof(int));
    j->below = arena_array(arena, (size_t)in->n + 1, sizeof(int));
    j->right = arena_array(arena, (size_t)in->n + 1, sizeof(int));
    j->left = arena_array(arena, (size_t)in->n + 1, sizeof(int));
    j->spans = arena_array(arena, (size_t)in->n + 1, sizeof(Box));
    if (!keys || !boxes || !j->pieces || !j->old || !j->above || !j->below || !j->right ||
        !j->left || !j->spans)
        return false;
    for (int i = 0; i < in->n; i++)
        keys[i] = (Key){in->pieces[i].box.x0, i};
    qsort(keys, in->n, sizeof(Key), by_x0);
    for (int i = 0; i < in->n; i++)
    {
        j->old[i] = keys[i].which;
        j->pieces[i] = in->pieces[keys[i].which];
        boxes[i] = j->pieces[i].box;
    }
    return index_make(boxes, in->n, p->h, 2 * p->size, arena, &j->ix);
}

/* The nearest piece below (dir 1) or above (-1), within 2.5 letter heights, that shares columns. */
static int
neighbour(const Joiner *j, int i, int dir)
{
    const Piece *a = &j->pieces[i];
    float reach = 2.5f * a->size, best = reach;
    int found = -1;
    int from = index_band(&j->ix, (int)(dir > 0 ? a->bottom : a->top - reach));
    int to = index_band(&j->ix, (int)(dir > 0 ? a->bottom + reach : a->top));

    for (int b = from; b <= to; b++)
        for (int k = j->ix.start[b]; k < j->ix.start[b + 1]; k++)
        {
            int o = j->ix.items[k];
            const Piece *p = &j->pieces[o];
            float gap = dir > 0 ? p->top - a->bottom : a->top - p->bottom;

            if (p->box.x0 >= a->box.x1)
                break;
            if (o == i || p->box.x1 <= a->box.x0 || gap < -0.5f * least(a->size, p->size) ||
                gap >= best)
                continue;
            best = gap;
            found = o;
        }
    return found;
}

/* The nearest piece on the right at the same height; with dir -1 on the left. */
static int
beside(const Joiner *j, int i, int dir)
{
    const Piece *a = &j->pieces[i];
    float top = dir > 0 ? a->right_top : a->left_top, best = 1e9f;
    float bottom = dir > 0 ? a->right_bottom : a->left_bottom;
    int found = -1;

    for (int b = index_band(&j->ix, (int)top); b <= index_band(&j->ix, (int)bottom); b++)
        for (int k = j->ix.start[b]; k < j->ix.start[b + 1]; k++)
        {
            int o = j->ix.items[k];
            const Piece *p = &j->pieces[o];
            float t = dir > 0 ? p->left_top : p->right_top;
            float u = dir > 0 ? p->left_bottom : p->right_bottom;
            float gap = dir > 0 ? p->box.x0 - a->box.x1 : a->box.x0 - p->box.x1;

            if (o == i || gap >= best || gap < -1.5f * least(a->size, p->size))
                continue;
            if ((dir > 0 ? p->box.x0 <= a->box.x0 : p->box.x0 >= a->box.x0) ||
                least(bottom, u) - most(top, t) < 0.5f * least(bottom - top, u - t))
                continue;
            best = gap;
            found = o;
        }
    return found;
}

/* Alone at the upper or lower end of the page: a running head or foot. */
static bool
at_end(const Joiner *j, int i)
{
    const Piece *a = &j->pieces[i];
    bool over = false, under = false;

    if (j->above[i] >= 0 || j->below[i] >= 0)
        return false;
    for (int k = 0; k < j->n && !(over && under); k++)
    {
        over |= j->pieces[k].ncore >= 4 && j->pieces[k].bottom < a->top;
        under |= j->pieces[k].ncore >= 4 && j->pieces[k].top > a->bottom;
    }
    return !over || !under;
}

static bool
one_row(const Joiner *j, const Pair *pair)
{
    const Piece *l = &j->pieces[pair->left], *r = &j->pieces[pair->right];
    float size = most(l->size, r->size);

    if (pair->gap < NO_GAP * size || combs_hold(j->parts, &l->box, &r->box))
        return true;
    if (size > 2.2f * least(l->size, r->size) || gap_parts(j, pair))
        return false;
    return pair->gap < 5 * size || !at_end(j, pair->left) || !at_end(j, pair->right);
}

static int
root_of(int *set, int i)
{
    while (set[i] != i)
        i = set[i] = set[set[i]];
    return i;
}

static void
grow(Box *a, const Box *b)
{
    a->x0 = b->x0 < a->x0 ? b->x0 : a->x0;
    a->y0 = b->y0 < a->y0 ? b->y0 : a->y0;
    a->x1 = b->x1 > a->x1 ? b->x1 : a->x1;
    a->y1 = b->y1 > a->y1 ? b->y1 : a->y1;
}

/* Finds each piece's neighbours, and how far the words around it reach: its span. */
static void
look_around(Joiner *j, int *set)
{
    for (int i = 0; i < j->n; i++)
    {
        int r = beside(j, i, 1);

        set[i] = i;
        j->above[i] = neighbour(j, i, -1);
        j->below[i] = neighbour(j, i, 1);
        j->right[i] = r >= 0 && beside(j, r, -1) == i ? r : -1;
        j->spans[i] = j->pieces[i].box;
    }
    for (int i = 0; i < j->n; i++)
        j->left[i] = -1;
    for (int i = 0; i < j->n; i++)
        if (j->right[i] >= 0)
            j->left[j->right[i]] = i;
    for (int i = 0; i < j->n; i++)
    {
        int r = j->right[i];

        if (r >= 0 &&
            j->pieces[r].box.x0 - j->pieces[i].box.x1 <
                WORD_SPACE * most(j->pieces[i].size, j->pieces[r].size) &&
            !upright_between(j, &j->pieces[i], &j->pieces[r]))
            set[root_of(set, r)] = root_of(set, i);
    }
    for (int i = 0; i < j->n; i++)
        grow(&j->spans[root_of(set, i)], &j->pieces[i].box);
    for (int i = 0; i < j->n; i++)
        j->spans[i] = j->spans[root_of(set, i)];
}

/* row[i]: the row piece i (in its old numbering) is in. Returns how many rows. */
static int
join_pieces(Joiner *j, int *set, int *row)
{
    int n = 0;

    for (int i = 0; i < j->n; i++)
        set[i] = i;
    for (int i = 0; i < j->n; i++)
    {
        Pair pair = {i, j->right[i], 0};

        if (pair.right < 0)
            continue;
        pair.gap = j->pieces[pair.right].box.x0 - j->pieces[i].box.x1;
        if (one_row(j, &pair))
            set[root_of(set, pair.right)] = root_of(set, i);
    }
    for (int i = 0; i < j->n; i++)
        row[j->old[i]] = -1;
    for (int i = 0; i < j->n; i++)
    {
        int r = root_of(set, i);

        if (row[j->old[r]] < 0)
            row[j->old[r]] = n++;
        row[j->old[i]] = row[j->old[r]];
    }
    return n;
}

/* The row a part that spans two of them mostly lies in; -1: none. */
static int
row_of_tall(const Rows *rows, const Box *b)
{
    int best = -1, most_shared = 0;

    for (int i = 0; i < rows->n; i++)
    {
        const Box *r = &rows->rows[i].box;
        int top = r->y0 > b->y0 ? r->y0 : b->y0, bottom = r->y1 < b->y1 ? r->y1 : b->y1;

        if (b->x0 > r->x1 + (b->y1 - b->y0) || b->x1 < r->x0 - (b->y1 - b->y0) ||
            bottom - top <= most_shared)
            continue;
        most_shared = bottom - top;
        best = i;
    }
    return best;
}

/* Parts learn their row; rows their boxes. */
static void
take_parts(Parts *p, const int *row_of_piece, Rows *rows)
{
    for (int i = 0; i < p->nparts; i++)
    {
        Part *part = &p->parts[i];

        if (part->row < 0)
            continue;
        part->row = row_of_piece[part->row];
        if (rows->rows[part->row].n++ == 0)
            rows->rows[part->row].box = part->box;
        grow(&rows->rows[part->row].box, &part->box);
    }
    for (int i = 0; i < p->nparts; i++)
        if (p->parts[i].kind == PART_TALL &&
            (p->parts[i].row = row_of_tall(rows, &p->parts[i].box)) >= 0)
            rows->rows[p->parts[i].row].n++;
}

static int
by_left_edge(const void *a, const void *b, void *arg)
{
    const Part *p = (const Part *)arg + *(const int *)a, *q = (const Part *)arg + *(const int *)b;

    return (p->box.x0 > q->box.x0) - (p->box.x0 < q->box.x0);
}

static bool
list_members(const Parts *p, Arena *arena, Rows *rows)
{
    int n = 0;

    for (int i = 0; i < rows->n; i++)
    {
        rows->rows[i].first = n;
        n += rows->rows[i].n;
        rows->rows[i].n = 0;
    }
    rows->members = arena_array(arena, (size_t)n + 1, sizeof(int));
    if (!rows->members)
        return false;
    for (int i = 0; i < p->nparts; i++)
        if (p->parts[i].row >= 0)
        {
            Row *r = &rows->rows[p->parts[i].row];

            rows->members[r->first + r->n++] = i;
            r->ncore += p->parts[i].kind == PART_CORE;
            if (p->parts[i].kind == PART_TALL)
            {
                r->box.x0 = p->parts[i].box.x0 < r->box.x0 ? p->parts[i].box.x0 : r->box.x0;
                r->box.x1 = p->parts[i].box.x1 > r->box.x1 ? p->parts[i].box.x1 : r->box.x1;
            }
        }
    for (int i = 0; i < rows->n; i++)
        qsort_r(rows->members + rows->rows[i].first, rows->rows[i].n, sizeof(int), by_left_edge,
                p->parts);
    return true;
}

/* A small mark, or what was taken for small print: rough dots in a row look like it. */
static bool
is_mark(const Part *part, float size)
{
    int w = part->box.x1 - part->box.x0, h = part->box.y1 - part->box.y0;
    bool dot = part->nruns <= h && (most(w, h) <= TINY || part_is_dot(part));

    return (part->kind == PART_SMALL || (part->kind == PART_CORE && dot)) && size > 0 &&
           most(w, h) < DOT * size + 1;
}

/* Such a mark, and how far its middle is from that of the one before it. */
static bool
dot_after(const Part *a, const Part *b, float size, float *step)
{
    *step = (b->box.x0 + b->box.x1 - a->box.x0 - a->box.x1) / 2.0f;
    return is_mark(b, size) && *step > 1.3f * (b->box.x1 - b->box.x0) && *step < 4 * size &&
           abs(a->box.y1 - b->box.y1) < DOT * size;
}

static void
no_letter(Part *part, Row *r)
{
    r->ncore -= part->kind == PART_CORE;
    part->kind = PART_SMALL;
}

/* Dots that follow each other at even steps are leaders, but for the first few. Their height is not letters'. */
static void
mark_leaders(Parts *p, const Rows *rows, Row *r)
{
    const int *member = rows->members + r->first;
    float size = r->ncore ? p->size : 0, usual = 0;
    int run = 0;

    for (int i = 1; i < r->n; i++)
    {
        Part *b = &p->parts[member[i]];
        float step;

        if (!dot_after(&p->parts[member[i - 1]], b, size, &step))
        {
            run = 0;
            continue;
        }
        if (run && (step > 1.6f * usual || usual > 1.6f * step))
            run = 0;
        usual = run++ ? usual : step;
        for (int k = 0; run == LEADERS && k <= run; k++)
        {
            Part *part = &p->parts[member[i - run + k]];

            if (k || is_mark(part, size))
                no_letter(part, r);
            part->leader |= k > LEADERS_KEPT;
        }
        b->leader = run >= LEADERS;
        if (b->leader)
            no_letter(b, r);
    }
}

/* Of too many pieces the ones with most letters stay. */
static void
keep_largest(Parts *p, Pieces *pieces)
{
    enum
    {
        MOST = 4 * LINES_MAX_ROWS
    };
    int limit = 1, n, left;

    do
    {
        n = 0;
        limit++;
        for (int i = 0; i < pieces->n; i++)
            n += pieces->pieces[i].ncore >= limit;
    } while (n > MOST);
    left = MOST - n;
    for (int i = 0; i < pieces->n; i++)
        if (pieces->pieces[i].ncore < limit - 1 ||
            (pieces->pieces[i].ncore == limit - 1 && left-- <= 0))
            pieces->pieces[i].ncore = 0;
    for (int i = 0; i < p->nparts; i++)
        if (p->parts[i].row >= 0 && pieces->pieces[p->parts[i].row].ncore == 0)
            p->parts[i].row = -1;
}

/* Renumbers what keep_largest left. */
static bool
drop_empty(Parts *p, Pieces *pieces, Arena *arena)
{
    int *to = arena_array(arena, (size_t)pieces->n + 1, sizeof(int)), n = 0;

    if (!to)
        return false;
    for (int i = 0; i < pieces->n; i++)
    {
        to[i] = n;
        if (pieces->pieces[i].ncore)
            pieces->pieces[n++] = pieces->pieces[i];
    }
    pieces->n = n;
    for (int i = 0; i < p->nparts; i++)
        if (p->parts[i].row >= 0)
            p->parts[i].row = to[p->parts[i].row];
    return true;
}

/* A piece reaches over one of the corridors. */
static bool
any_over(const Pieces *pieces, const Corridors *c)
{
    for (int k = 0; k < c->n; k++)
        for (int i = 0; i < pieces->n; i++)
            if (corridor_within(&c->boxes[k], &pieces->pieces[i].box))
                return true;
    return false;
}

bool
rows_find(Parts *p, Arena *arena, Rows *out)
{
    Pieces pieces;
    Joiner joiner;
    Corridors corridors = {0};
    int *set, *row;

    *out = (Rows){0};
    if (!pieces_find(p, NULL, arena, &pieces))
        return false;
    if (pieces.n > 4 * LINES_MAX_ROWS)
    {
        out->truncated = true;
        keep_largest(p, &pieces);
        if (!drop_empty(p, &pieces, arena))
            return false;
    }
    set = arena_array(arena, (size_t)pieces.n + 1, sizeof(int));
    row = arena_array(arena, (size_t)pieces.n + 1, sizeof(int));
    if (!set || !row)
        return false;
    if (pieces.n == 0)
        return true;
    if (!sort_pieces(&pieces, p, arena, &joiner))
        return false;
    look_around(&joiner, set);
    corridors_find(&joiner, &corridors);
    joiner.corridors = &corridors;
    if (!out->truncated && any_over(&pieces, &corridors))
    {
        if (!pieces_find(p, &corridors, arena, &pieces))
            return false;
        set = arena_array(arena, (size_t)pieces.n + 1, sizeof(int));
        row = arena_array(arena, (size_t)pieces.n + 1, sizeof(int));
        if (!set || !row || !sort_pieces(&pieces, p, arena, &joiner))
            return false;
        look_around(&joiner, set);
        joiner.corridors = &corridors;
    }
    out->n = join_pieces(&joiner, set, row);
    out->rows = arena_array(arena, (size_t)out->n + 1, sizeof(Row));
    if (!out->rows)
        return false;
    take_parts(p, row, out);
    if (!list_members(p, arena, out))
        return false;
    for (int i = 0; i < out->n; i++)
        mark_leaders(p, out, &out->rows[i]);
    return true;
}

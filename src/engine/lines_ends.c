/* lines_ends.c - what stands off at a row's end, beyond the others, and is paler than it: a row of its own.
 *
 * The paper's edge, its shadow, a gutter or a tick in pencil stand at some row's height, and nothing but a wide gap lies
 * between: so does a figure in the margin or the price of a list, but these are printed as dark as the row, or in a column
 * that most rows reach. What is cut off here is weighed alone: by lines_weed.c, and by how surely it is read. */
#include "lines_inner.h"

#define STANDS_OFF 2.2f  /* letter heights: wider than a space in a justified line */
#define FEW        4     /* letters at most: more are a word */
#define PALER      0.85f /* of the row's ink at most */
#define LETTERS    5     /* a row of so many tells where margins are, */
#define MARGIN     0.75f /* and beyond so many of them is one */

typedef struct End
{
    int first, n; /* of the row's members; n 0: none stands off */
    int edge;     /* where it begins, seen from the row */
} End;

/* The longest beginning (or end) of the row that stands off and is of few letters. */
static End
find_end(const Parts *p, const Rows *rows, const Row *r, bool right)
{
    End end = {0};
    int letters = 0, reach = 0;

    for (int i = 0; i < r->n; i++)
    {
        int m = right ? r->n - 1 - i : i;
        const Part *part = &p->parts[rows->members[r->first + m]];
        int gap = right ? reach - part->box.x1 : part->box.x0 - reach;

        if (i && gap > STANDS_OFF * r->size)
            end = (End){right ? m + 1 : 0, i, reach};
        if (i == 0 || (right ? part->box.x0 < reach : part->box.x1 > reach))
            reach = right ? part->box.x0 : part->box.x1;
        letters += part->kind == PART_CORE;
        if (letters > FEW || 2 * letters > r->ncore)
            break;
    }
    return end;
}

/* Most rows end before it. */
static bool
beyond_margin(const Rows *rows, int row, const End *end, bool right)
{
    int n = 0, beyond = 0;

    for (int i = 0; i < rows->n; i++)
    {
        const Row *o = &rows->rows[i];

        if (i == row || o->ncore < LETTERS)
            continue;
        n++;
        beyond += right ? o->box.x1 < end->edge : o->box.x0 > end->edge;
    }
    return beyond > 0 && beyond >= MARGIN * n;
}

/* Mean darkness of some of a row's members. */
static float
ink_of(const Sheet *s, const Parts *p, const int *members, int n)
{
    double sum = 0, area = 0;

    for (int i = 0; i < n; i++)
    {
        const Box *b = &p->parts[members[i]].box;

        for (int y = b->y0; y < b->y1; y++)
            for (int k = runs_from(p, y, b->x0); k < p->row_start[y + 1] && p->runs[k].x0 < b->x1;
                 k++)
            {
                const Run *run = &p->runs[k];

                if (run->part != members[i])
                    continue;
                sum += run_darkness(s, run, y);
                area += run->x1 - run->x0;
            }
    }
    return area > 0 ? (float)(sum / area) : 0;
}

/* Whether the end is paler than the row without it. */
static bool
is_paler(const Sheet *s, const Parts *p, const Rows *rows, const Row *r, const End *end)
{
    const int *members = rows->members + r->first;
    int first = end->first ? 0 : end->n;

    return ink_of(s, p, members + end->first, end->n) <
           PALER * ink_of(s, p, members + first, r->n - end->n);
}

/* The row's members first .. first + n, as rows[row]. */
static bool
make_row(Parts *p, Rows *rows, const Row *of, int first, int n, int row, Arena *arena)
{
    Row *r = &rows->rows[row];

    *r = row_part(p, rows, of, of->first + first, n);
    for (int i = 0; i < n; i++)
        p->parts[rows->members[r->first + i]].row = row;
    return row_measure(p, rows, row, r, arena);
}

static bool
cut_off(Parts *p, int row, const End *end, Arena *arena, Rows *rows)
{
    Row whole = rows->rows[row];

    return make_row(p, rows, &whole, end->first ? 0 : end->n, whole.n - end->n, row, arena) &&
           make_row(p, rows, &whole, end->first, end->n, rows->n++, arena);
}

bool
rows_cut_ends(const Sheet *s, Parts *p, Arena *arena, Rows *rows)
{
    int n = rows->n;
    Row *more = arena_array(arena, (size_t)n * 3 + 1, sizeof(Row));
    End *ends = arena_array(arena, (size_t)n * 2 + 1, sizeof(End));

    if (!more || !ends)
        return false;
    for (int i = 0; i < 2 * n; i++)
    {
        const Row *r = &rows->rows[i / 2];
        End end = find_end(p, rows, r, i & 1);

        if (end.n && beyond_margin(rows, i / 2, &end, i & 1) && is_paler(s, p, rows, r, &end))
            ends[i] = end;
    }
    for (int i = 0; i < n; i++)
        more[i] = rows->rows[i];
    rows->rows = more;
    for (int i = 2 * n - 1; i >= 0; i--) /* what is last first: members before it stay in place */
        if (ends[i].n && !cut_off(p, i / 2, &ends[i], arena, rows))
            return false;
    return true;
}

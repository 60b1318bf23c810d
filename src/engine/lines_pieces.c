/* lines_pieces.c - Parts -> pieces of rows.
 *
 * A letter is tied to the next one on its right when they stand beside each other and near. A letter that
 * touches one of the line above or below would tie the two lines together: it is set aside first. Small
 * marks (dots, accents, commas, leaders) then join the letter they are near; a comma the word that it ends, however near
 * the next line is. A dash may stand off at a line's end. Sharp edge: such commas and dashes learn their row, but no piece
 * grows by them, so that columns and gaps stay what they are without them. */
#include "lines_pieces.h"

#include <stdlib.h>
#include <string.h>

#define ENDS        5    /* letters that tell where a piece's end lies */
#define WORD        3    /* small letters side by side that are print */
#define WORD_WIDE   1.8f /* how much wider than high they are together */
#define SMALL_PRINT 0.3f /* letter heights: no letter is smaller */
#define LEAST       4    /* nor than so many pixels */
#define NEAR        1.2f /* letter heights between a letter and the next one in its word at most, */
#define OVERLAP     0.2f /* or what they overlap, in slanting type; */
#define DASH_WIDE   2.5f /* letter heights: a dash is no wider */
#define DASH_OFF    2.6f /* from the letter before it, or behind it, at most */
#define COMMA_WIDE  0.5f /* a comma is no wider, */
#define AFTER       0.8f /* and no further from its word */
#define ROW         5    /* and so many letters beside each other are a row */

typedef struct Letters
{
    Parts *p;
    int n;
    int *part; /* [n] part indices, by x0 */
    Box *box;  /* [n] */
    Index ix;
    const Corridors *corridors;
} Letters;

static int
height(const Box *b)
{
    return b->y1 - b->y0;
}

static int
shared_rows(const Box *a, const Box *b)
{
    int top = a->y0 > b->y0 ? a->y0 : b->y0, bottom = a->y1 < b->y1 ? a->y1 : b->y1;

    return bottom - top;
}

static int
gap_x(const Box *a, const Box *b)
{
    int d = a->x0 > b->x0 ? a->x0 - b->x1 : b->x0 - a->x1;

    return d > 0 ? d : 0;
}

static bool
letters_of_kind(Parts *p, int kind, const Corridors *corridors, Arena *arena, Letters *out)
{
    Key *keys = arena_array(arena, (size_t)p->nparts + 1, sizeof(Key));
    int n = 0;

    if (!keys)
        return false;
    for (int i = 0; i < p->nparts; i++)
        if (p->parts[i].kind == kind)
            keys[n++] = (Key){p->parts[i].box.x0, i};
    qsort(keys, n, sizeof(Key), by_x0);
    *out = (Letters){.p = p, .n = n, .corridors = corridors};
    out->part = arena_array(arena, (size_t)n + 1, sizeof(int));
    out->box = arena_array(arena, (size_t)n + 1, sizeof(Box));
    if (!out->part || !out->box)
        return false;
    for (int i = 0; i < n; i++)
    {
        out->part[i] = keys[i].which;
        out->box[i] = p->parts[keys[i].which].box;
    }
    return index_make(out->box, n, p->h, p->size, arena, &out->ix);
}

/* True when smaller letters of two different rows stand beside this one. */
static bool
spans_two_rows(const Letters *l, int i)
{
    const Box *a = &l->box[i];
    int near = (int)(1.5f * l->p->size), low_top = -1, high_bottom = l->p->h + 1;

    for (int b = index_band(&l->ix, a->y0); b <= index_band(&l->ix, a->y1 - 1); b++)
        for (int k = index_from(&l->ix, b, a->x0 - 4 * near); k < l->ix.start[b + 1]; k++)
        {
            const Box *o = &l->box[l->ix.items[k]];

            if (o->x0 > a->x1 + near)
                break;
            if (gap_x(a, o) > near || height(o) > 0.62f * height(a) ||
                shared_rows(a, o) < height(o) * 3 / 4)
                continue;
            low_top = o->y0 > low_top ? o->y0 : low_top;
            high_bottom = o->y1 < high_bottom ? o->y1 : high_bottom;
        }
    return low_top >= high_bottom;
}

static bool
set_tall_aside(Letters *l, Arena *arena)
{
    bool any = false;

    for (int i = 0; i < l->n; i++)
        if (height(&l->box[i]) > 1.8f * l->p->size && spans_two_rows(l, i))
        {
            l->p->parts[l->part[i]].kind = PART_TALL;
            any = true;
        }
    return !any || letters_of_kind(l->p, PART_CORE, l->corridors, arena, l);
}

static bool
beside(const Box *a, const Box *b)
{
    int small = height(a) < height(b) ? height(a) : height(b);

    return 2 * shared_rows(a, b) >= small && (height(a) + height(b)) < 5 * small;
}

static bool
over_corridor(const Letters *l, const Box *a, const Box *b)
{
    Box gap = {a->x1, a->y0, b->x0, a->y1};

    for (int i = 0; l->corridors && i < l->corridors->n; i++)
        if (corridor_within(&l->corridors->boxes[i], &gap))
            return true;
    return false;
}

/* The nearest letter on the right; -1: none near enough. */
static int
next_letter(const Letters *l, int i)
{
    const Box *a = &l->box[i];
    int best = -1, best_gap = 1 << 30;

    for (int b = index_band(&l->ix, a->y0); b <= index_band(&l->ix, a->y1 - 1); b++)
        for (int k = index_from(&l->ix, b, a->x0); k < l->ix.start[b + 1]; k++)
        {
            int j = l->ix.items[k];
            const Box *o = &l->box[j];
            int tall = height(a) > height(o) ? height(a) : height(o);

            if (o->x0 - a->x1 >= best_gap || o->x0 - a->x1 > 9 * l->p->size)
                break;
            if (j == i || o->x0 - a->x1 > 1.5f * tall || !beside(a, o) || over_corridor(l, a, o))
                continue;
            best = j;
            best_gap = o->x0 - a->x1;
        }
    return best;
}

static int
root_of(int *set, int i)
{
    while (set[i] != i)
        i = set[i] = set[set[i]];
    return i;
}

/* set[i]: the piece letter i is in, numbered by the first letter. Returns how many. */
static int
tie(const Letters *l, int *set)
{
    int n = 0;

    for (int i = 0; i < l->n; i++)
        set[i] = i;
    for (int i = 0; i < l->n; i++)
    {
        int j = next_letter(l, i), a, b;

        if (j < 0)
            continue;
        a = root_of(set, i);
        b = root_of(set, j);
        set[a > b ? a : b] = a > b ? b : a;
    }
    for (int i = 0; i < l->n; i++)
        set[i] = root_of(set, i);
    for (int i = 0; i < l->n; i++)
        set[i] = set[i] == i ? n++ : set[set[i]];
    return n;
}

static float
median(int *v, int n)
{
    qsort(v, n, sizeof(int), by_int);
    return n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2.0f;
}

enum Edge
{
    TOP,
    BOTTOM,
    HEIGHT
};

static float
median_of(const Letters *l, const int *letters, int n, enum Edge what, int *tmp)
{
    for (int i = 0; i < n; i++)
    {
        const Box *b = &l->box[letters[i]];

        tmp[i] = what == TOP ? b->y0 : what == BOTTOM ? b->y1 : height(b);
    }
    return median(tmp, n);
}

static void
grow_piece(Piece *piece, const Box *b)
{
    piece->box.x0 = b->x0 < piece->box.x0 ? b->x0 : piece->box.x0;
    piece->box.x1 = b->x1 > piece->box.x1 ? b->x1 : piece->box.x1;
    piece->box.y0 = b->y0 < piece->box.y0 ? b->y0 : piece->box.y0;
    piece->box.y1 = b->y1 > piece->box.y1 ? b->y1 : piece->box.y1;
}

/* The first (step 1) or last (-1) few letters, quotes and the like left out; returns how many. */
static int
end_letters(const Letters *l, const int *letters, int n, float size, int step, int *out)
{
    int found = 0;

    for (int k = 0, i = step > 0 ? 0 : n - 1; k < n && found < ENDS; k++, i += step)
        if (height(&l->box[letters[i]]) >= 0.7f * size)
            out[found++] = letters[i];
    return found;
}

static void
describe(const Letters *l, const int *letters, int n, int *tmp, Piece *out)
{
    int ends[ENDS], k;

    out->box = l->box[letters[0]];
    for (int i = 1; i < n; i++)
        grow_piece(out, &l->box[letters[i]]);
    out->ncore = n;
    out->size = median_of(l, letters, n, HEIGHT, tmp);
    out->top = median_of(l, letters, n, TOP, tmp);
    out->bottom = median_of(l, letters, n, BOTTOM, tmp);
    k = end_letters(l, letters, n, out->size, 1, ends);
    out->left_top = median_of(l, ends, k, TOP, tmp);
    out->left_bottom = median_of(l, ends, k, BOTTOM, tmp);
    k = end_letters(l, letters, n, out->size, -1, ends);
    out->right_top = median_of(l, ends, k, TOP, tmp);
    out->right_bottom = median_of(l, ends, k, BOTTOM, tmp);
}

static bool
describe_all(Letters *l, const int *set, int npieces, Arena *arena, Pieces *out)
{
    int *start = arena_array(arena, (size_t)npieces + 2, sizeof(int));
    int *list = arena_array(arena, (size_t)l->n + 1, sizeof(int));
    int *tmp = arena_array(arena, (size_t)l->n + 1, sizeof(int));

    *out = (Pieces){npieces, arena_array(arena, (size_t)npieces + 1, sizeof(Piece))};
    if (!start || !list || !tmp || !out->pieces)
        return false;
    for (int i = 0; i < l->n; i++)
        start[set[i] + 2]++;
    for (int i = 0; i < npieces; i++)
        start[i + 2] += start[i + 1];
    for (int i = 0; i < l->n; i++)
    {
        list[start[set[i] + 1]++] = i;
        l->p->parts[l->part[i]].row = set[i];
    }
    for (int i = 0; i < npieces; i++)
        describe(l, list + start[i], start[i + 1] - start[i], tmp, &out->pieces[i]);
    return true;
}

/* How far a mark is from a letter it may belong to; negative: it does not. */
static float
distance(const Box *mark, const Box *letter, float size)
{
    int dx = gap_x(mark, letter);
    int above = letter->y0 - mark->y1, below = mark->y0 - letter->y1;

    if (dx > (abs(mark->y1 - letter->y1) < 0.2f * size ? 2.0f : 1.3f) * size ||
        below > 0.2f * size || above > 0.55f * size)
        return -1;
    if (above > 0 && (dx > 0.3f * size || mark->x1 - mark->x0 > size))
        return -1;
    return dx + (above > 0 ? 1.5f * above : 0) + (below > 0 ? 2.0f * below : 0);
}

static int
letter_of_mark(const Letters *l, const Box *mark)
{
    float size = l->p->size, best = 2 * size;
    int found = -1;
    int from = index_band(&l->ix, mark->y0 - (int)size),
        to = index_band(&l->ix, mark->y1 + (int)size);

    for (int b = from; b <= to; b++)
        for (int k = index_from(&l->ix, b, mark->x0 - (int)(12 * size)); k < l->ix.start[b + 1];
             k++)
        {
            const Box *o = &l->box[l->ix.items[k]];
            float d;

            if (o->x0 > mark->x1 + 2 * size)
                break;
            d = distance(mark, o, size);
            if (d < 0 || d >= best)
                continue;
            best = d;
            found = l->ix.items[k];
        }
    return found;
}

/* Where the feet of the letters near this one are, in its piece of a row: the highest, since some have tails. */
static int
feet_near(const Letters *l, int i)
{
    float size = l->p->size;
    int row = l->p->parts[l->part[i]].row, foot = l->box[i].y1;

    for (int b = index_band(&l->ix, l->box[i].y0); b <= index_band(&l->ix, l->box[i].y1); b++)
        for (int k = index_from(&l->ix, b, l->box[i].x0 - (int)(3 * size)); k < l->ix.start[b + 1];
             k++)
        {
            const Box *o = &l->box[l->ix.items[k]];

            if (o->x0 > l->box[i].x1 + 3 * size)
                break;
            if (l->p->parts[l->part[l->ix.items[k]]].row == row && height(o) >= 0.7f * size &&
                o->y1 < foot)
                foot = o->y1;
        }
    return foot;
}

/* The letter that a mark follows as a comma follows a word: near, on its left, and at its foot; -1: none. */
static int
letter_before(const Letters *l, const Box *mark)
{
    float size = l->p->size;
    int found = -1, best = (int)(AFTER * size) + 1, foot;

    for (int b = index_band(&l->ix, mark->y0 - (int)size); b <= index_band(&l->ix, mark->y1); b++)
        for (int k = index_from(&l->ix, b, mark->x0 - (int)(12 * size)); k < l->ix.start[b + 1];
             k++)
        {
            int i = l->ix.items[k], gap = mark->x0 - l->box[i].x1;

            if (l->box[i].x0 >= mark->x0)
                break;
            if (gap >= best || gap < -size / 4 || height(&l->box[i]) < 0.7f * size ||
                mark->y0 >= l->box[i].y1 || mark->y0 < l->box[i].y1 - size)
                continue;
            best = gap;
            found = i;
        }
    if (found < 0 || mark->x1 - mark->x0 > COMMA_WIDE * size)
        return -1;
    foot = feet_near(l, found);
    return mark->y0 < foot && mark->y1 > foot - 0.2f * size ? found : -1;
}

/* Where rows stand close, a comma lies right above a letter of the next one, nearer to it than to its own word. But nothing of
 * that letter begins above the feet of this row. */
static int
letter_of_comma(const Letters *l, const Box *mark, int nearest)
{
    return mark->y0 < l->box[nearest].y0 ? letter_before(l, mark) : -1;
}

/* The row of the nearest mark on the left (or right) at the same height: leaders hand it on. */
static int
row_of_leader(const Letters *marks, int i, int to_right)
{
    const Box *m = &marks->box[i];
    float size = marks->p->size;
    int reach = (int)(2 * size), row = -1, best = reach + 1;
    int b = index_band(&marks->ix, (m->y0 + m->y1) / 2);

    for (int k = index_from(&marks->ix, b, m->x0 - 2 * reach); k < marks->ix.start[b + 1]; k++)
    {
        int j = marks->ix.items[k], gap;
        const Box *o = &marks->box[j];

        if (o->x0 > m->x1 + reach)
            break;
        gap = to_right ? o->x0 - m->x1 : m->x0 - o->x1;
        if (j == i || gap < 0 || gap >= best || abs(o->y1 + o->y0 - m->y1 - m->y0) > 0.5f * size)
            continue;
        best = gap;
        row = marks->p->parts[marks->part[j]].row;
    }
    return row;
}

/* A stroke as wide as a hyphen's or a dash's. */
static bool
is_dash(const Part *part, float size)
{
    int w = part->box.x1 - part->box.x0, h = height(&part->box);

    return w >= 0.35f * size && w < DASH_WIDE * size && h <= 0.35f * size && 2 * w >= 3 * h &&
           part->area >= 0.6f * w * h;
}

/* The letter a dash stands off from, at the height of its middle, with a space or a full stop between; -1: none. */
static int
letter_of_dash(const Letters *l, const Box *dash)
{
    float size = l->p->size, middle = (dash->y0 + dash->y1) / 2.0f;
    int found = -1, best = (int)(DASH_OFF * size);
    int b = index_band(&l->ix, (int)middle);

    for (int k = index_from(&l->ix, b, dash->x0 - (int)(12 * size)); k < l->ix.start[b + 1]; k++)
    {
        int i = l->ix.items[k], gap = gap_x(dash, &l->box[i]);
        float h = (float)height(&l->box[i]);

        if (l->box[i].x0 > dash->x1 + best)
            break;
        if (gap >= best || h < 0.7f * size || middle < l->box[i].y0 + 0.15f * h ||
            middle > l->box[i].y1 - 0.15f * h)
            continue;
        best = gap;
        found = i;
    }
    return found;
}

static void
attach(Letters *marks, int i, int row, Pieces *pieces)
{
    marks->p->parts[marks->part[i]].row = row;
    if (row >= 0)
        grow_piece(&pieces->pieces[row], &marks->box[i]);
}

static bool
attach_marks(Parts *p, const Letters *letters, Arena *arena, Pieces *pieces)
{
    Letters marks;

    if (!letters_of_kind(p, PART_SMALL, NULL, arena, &marks))
        return false;
    for (int i = 0; i < marks.n; i++)
    {
        int j = letter_of_mark(letters, &marks.box[i]);

        attach(&marks, i, j < 0 ? -1 : p->parts[letters->part[j]].row, pieces);
        if (j >= 0 && (j = letter_of_comma(letters, &marks.box[i], j)) >= 0)
            p->parts[marks.part[i]].row = p->parts[letters->part[j]].row;
    }
    for (int i = 0; i < marks.n; i++)
        if (p->parts[marks.part[i]].row < 0)
            attach(&marks, i, row_of_leader(&marks, i, 0), pieces);
    for (int i = marks.n - 1; i >= 0; i--)
        if (p->parts[marks.part[i]].row < 0)
            attach(&marks, i, row_of_leader(&marks, i, 1), pieces);
    for (int i = 0; i < marks.n; i++)
        if (p->parts[marks.part[i]].row < 0 && is_dash(&p->parts[marks.part[i]], p->size))
        {
            int j = letter_of_dash(letters, &marks.box[i]);

            if (j >= 0)
                p->parts[marks.part[i]].row = p->parts[letters->part[j]].row;
        }
    return true;
}

/* A low letter that is tied to none, or to one or two as low as a quote's, is a comma, quote or dash of a
 * larger kind: it is tried as a mark. */
static bool
set_loners_aside(Letters *l, const int *set, int npieces, Arena *arena, bool *any)
{
    int *count = arena_array(arena, (size_t)npieces + 1, sizeof(int));
    int *high = arena_array(arena, (size_t)npieces + 1, sizeof(int));

    *any = false;
    if (!count || !high)
        return false;
    for (int i = 0; i < l->n; i++)
    {
        count[set[i]]++;
        high[set[i]] = height(&l->box[i]) > high[set[i]] ? height(&l->box[i]) : high[set[i]];
    }
    for (int i = 0; i < l->n; i++)
        if ((count[set[i]] == 1 && high[set[i]] < 0.85f * l->p->size) ||
            (count[set[i]] <= 3 && high[set[i]] < 0.7f * l->p->size))
        {
            l->p->parts[l->part[i]].kind = PART_SMALL;
            *any = true;
        }
    return !*any || letters_of_kind(l->p, PART_CORE, l->corridors, arena, l);
}

/* The nearest letter on the right (dir 1) or left (-1) that stands in some of the same rows of pixels; -1: none near. */
static int
flank(const Letters *l, int i, int dir)
{
    const Box *a = &l->box[i];
    int near = (int)(NEAR * l->p->size), best = near + 1, found = -1;

    for (int b = index_band(&l->ix, a->y0); b <= index_band(&l->ix, a->y1 - 1); b++)
        for (int k = index_from(&l->ix, b, a->x0 - 8 * near); k < l->ix.start[b + 1]; k++)
        {
            int j = l->ix.items[k], gap;
            const Box *o = &l->box[j];

            if (o->x0 > a->x1 + near)
                break;
            gap = dir > 0 ? o->x0 - a->x1 : a->x0 - o->x1;
            if (j == i || gap < -OVERLAP * l->p->size || gap >= best || shared_rows(a, o) <= 0)
                continue;
            best = gap;
            found = j;
        }
    return found;
}

/* The piece in whose empty place a letter stands, too low or too high to be beside the letters next to it: a comma
 * that was typed below the line, a type that has slipped. -1: none. */
static int
piece_around(const Letters *l, int i, const int *set)
{
    int a = flank(l, i, -1), b = a < 0 ? -1 : flank(l, i, 1);

    return b >= 0 && set[a] == set[b] ? set[a] : -1;
}

/* Letters that are tied to none take their places in rows. Returns how many pieces are left; -1: no memory. */
static int
seat_loners(const Letters *l, int *set, int npieces, Arena *arena)
{
    int *count = arena_array(arena, (size_t)npieces + 1, sizeof(int));
    int n = 0;

    if (!count)
        return -1;
    for (int i = 0; i < l->n; i++)
        count[set[i]]++;
    for (int i = 0; i < l->n; i++)
    {
        int row = count[set[i]] > 1 ? -1 : piece_around(l, i, set);

        if (row < 0 || count[row] < ROW)
            continue;
        count[set[i]] = 0;
        set[i] = row;
    }
    for (int i = 0; i < npieces; i++)
        count[i] = count[i] ? n++ : -1;
    for (int i = 0; i < l->n; i++)
        set[i] = count[set[i]];
    return n;
}

/* Small marks that stand side by side. */
typedef struct Word
{
    int near, far; /* marks that could be letters, beside a letter and away from any */
    int dots;      /* of them: leaders are no print */
    int left, right, tallest;
} Word;

static void
add_to_word(const Letters *l, const Part *part, Word *w)
{
    const Box *mark = &part->box;

    if (height(mark) < SMALL_PRINT * l->p->size || height(mark) < LEAST)
        return;
    w->dots += part_is_dot(part);
    w->left = w->near + w->far == 0 || mark->x0 < w->left ? mark->x0 : w->left;
    w->right = mark->x1 > w->right ? mark->x1 : w->right;
    w->tallest = height(mark) > w->tallest ? height(mark) : w->tallest;
    if (letter_of_mark(l, mark) < 0)
        w->far++;
    else
        w->near++;
}

static bool
is_word(const Word *w)
{
    return w->far >= WORD && w->far > w->near && 3 * w->dots < 2 * (w->far + w->near) &&
           w->right - w->left > WORD_WIDE * w->tallest;
}

/* Letters of print much smaller than the page's own were taken for marks: where several stand side by side, away
 * from any letter, they are letters. */
static bool
find_small_print(Letters *l, Arena *arena, bool *any)
{
    Letters small;
    Word *words;
    int *set;

    *any = false;
    if (!letters_of_kind(l->p, PART_SMALL, l->corridors, arena, &small))
        return false;
    set = arena_array(arena, (size_t)small.n + 1, sizeof(int));
    words = arena_array(arena, (size_t)small.n + 1, sizeof(Word));
    if (!set || !words)
        return false;
    tie(&small, set);
    for (int i = 0; i < small.n; i++)
        add_to_word(l, &l->p->parts[small.part[i]], &words[set[i]]);
    for (int i = 0; i < small.n; i++)
        if (is_word(&words[set[i]]) && height(&small.box[i]) >= SMALL_PRINT * l->p->size)
        {
            l->p->parts[small.part[i]].kind = PART_CORE;
            *any = true;
        }
    return !*any || letters_of_kind(l->p, PART_CORE, l->corridors, arena, l);
}

bool
pieces_find(Parts *p, const Corridors *corridors, Arena *arena, Pieces *out)
{
    Letters letters;
    int *set, n;
    bool again, small;

    *out = (Pieces){0};
    for (int i = 0; i < p->nparts; i++)
        p->parts[i].row = -1;
    if (p->size == 0)
        return true;
    if (!letters_of_kind(p, PART_CORE, corridors, arena, &letters) ||
        !set_tall_aside(&letters, arena))
        return false;
    set = arena_array(arena, (size_t)letters.n + 1, sizeof(int));
    if (!set)
        return false;
    n = tie(&letters, set);
    if (!set_loners_aside(&letters, set, n, arena, &again))
        return false;
    if (!find_small_print(&letters, arena, &small))
        return false;
    if (small && !(set = arena_array(arena, (size_t)letters.n + 1, sizeof(int))))
        return false;
    if (again || small)
        n = tie(&letters, set);
    if ((n = seat_loners(&letters, set, n, arena)) < 0)
        return false;
    return describe_all(&letters, set, n, arena, out) && attach_marks(p, &letters, arena, out);
}

/* correct.c - a corrected text laid on the lines that were read, so that each line keeps its box.
 *
 * The old text and the new are aligned letter by letter, at the least cost; where an old line ended, the new text is cut,
 * at white space. So a text whose lines were run together, divided anew or made whole finds its lines too. What no old
 * line resembles becomes a line without a box; a line of which nothing is left goes. Sharp edge: a word that was divided
 * at a line's end and is whole now gets its hyphen back, since that is what the line's image shows. */
#include "compat.h"

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "letters.h"
#include "reading.h"

PG_FUNCTION_INFO_V1(dsocr_lay_text);

/* What one letter for another costs. A letter is never put for a space. */
#define COST_SPACE  1 /* a line end for a space */
#define COST_CHANGE 3
#define COST_GAP    2
#define MOST_CELLS  ((Size)256 << 20) /* one byte each */

/* Letters with runs of white space as one: a line end, or a space. */
typedef struct Letters
{
    uint32 *code;   /* [n] */
    int *from, *to; /* [n] bytes of the text they were made of */
    bool *blank;    /* [n] a line end with an empty line */
    int n;
} Letters;

/* A line that was read, or a row of an element that has no lines. */
typedef struct OldLine
{
    int element, line; /* from 1; line 0: the element has none */
    const char *text;
    int first, last; /* its letters: [first, last) */
} OldLine;

typedef struct OldText
{
    OldLine *lines; /* [nlines] */
    int nlines, room;
    StringInfoData text; /* of all, by line ends */
} OldText;

/* ---- letters ---- */

static Letters
letters_of(const char *s, int n)
{
    Letters l = {palloc(sizeof(uint32) * (n + 1)), palloc(sizeof(int) * (n + 1)),
                 palloc(sizeof(int) * (n + 1)), palloc0(sizeof(bool) * (n + 1)), 0};
    int ends = 0, length;
    bool gap = false;

    for (int at = 0; at < n; at += length)
    {
        uint32 c = letter_at(s + at, n - at, &length);

        if (!is_space(c))
            gap = false;
        else if (!gap)
        {
            gap = true;
            ends = 0;
        }
        else
            l.n--;
        ends += c == '\n';
        l.code[l.n] = !gap ? c : ends ? '\n' : ' ';
        l.blank[l.n] = gap && ends > 1;
        if (!gap || l.n == 0 || l.to[l.n - 1] == at)
            l.from[l.n] = at;
        l.to[l.n++] = at + length;
    }
    return l;
}

static bool
is_gap(const Letters *l, int i)
{
    return i >= 0 && i < l->n && (l->code[i] == ' ' || l->code[i] == '\n');
}

/* ---- alignment ---- */

static int
change_cost(uint32 a, uint32 b)
{
    bool gap_a = a == ' ' || a == '\n', gap_b = b == ' ' || b == '\n';

    if (a == b)
        return 0;
    return gap_a && gap_b ? COST_SPACE : gap_a || gap_b ? 3 * COST_GAP : COST_CHANGE;
}

enum
{
    STEP_BOTH,
    STEP_OLD,
    STEP_NEW
};

/* One row of the table: old letter i against new letters j on the diagonals low .. low + width - 1 of j - i. */
static void
fill_row(const Letters *a, const Letters *b, int i, int low, int width, int *cost, uint8 *step)
{
    int left = PG_INT32_MAX / 2;

    for (int d = 0; d < width; d++)
    {
        int j = i + low + d;
        int both = PG_INT32_MAX / 2, old = PG_INT32_MAX / 2, best;

        if (j < 0 || j > b->n)
        {
            cost[d] = PG_INT32_MAX / 2;
            continue;
        }
        if (i > 0 && j > 0)
            both = cost[d] + change_cost(a->code[i - 1], b->code[j - 1]);
        if (i > 0 && d + 1 < width)
            old = cost[d + 1] + COST_GAP;
        best = i == 0 && j == 0 ? 0 : Min(both, Min(old, left + COST_GAP));
        step[d] = best == both ? STEP_BOTH : best == old ? STEP_OLD : STEP_NEW;
        if (i == 0)
            step[d] = STEP_NEW;
        cost[d] = left = best;
    }
}

/* to[i]: how many new letters stand before old letter i, [a->n + 1]. False: a better way may lie outside the band. */
static bool
align_within(const Letters *a, const Letters *b, int band, int *to)
{
    int low = Min(0, b->n - a->n) - band, width = abs(b->n - a->n) + 2 * band + 1;
    int *cost = palloc0(sizeof(int) * width), end = b->n - a->n - low, i = a->n, j = b->n;
    uint8 *steps = MemoryContextAllocHuge(CurrentMemoryContext, (Size)(a->n + 1) * (Size)width + 1);
    bool sure;

    for (int row = 0; row <= a->n; row++)
    {
        CHECK_FOR_INTERRUPTS();
        fill_row(a, b, row, low, width, cost, steps + (Size)row * width);
    }
    sure = cost[end] <= COST_GAP * (abs(b->n - a->n) + 2 * (band + 1));
    for (to[i] = j; i > 0;)
    {
        uint8 step = steps[(Size)i * width + (j - i - low)];

        i -= step != STEP_NEW;
        j -= step != STEP_OLD;
        if (step != STEP_NEW)
            to[i] = j;
    }
    to[0] = 0;
    pfree(steps);
    pfree(cost);
    return sure;
}

static int *
align(const Letters *a, const Letters *b)
{
    int *to = palloc(sizeof(int) * (a->n + 1));
    int most = Max(a->n, b->n);

    for (int band = 32; !align_within(a, b, band, to) && band < most; band *= 4)
        if ((Size)(a->n + 1) * (abs(b->n - a->n) + (Size)8 * band + 1) > MOST_CELLS)
            break; /* the texts are long and have little in common: as good as it gets */
    return to;
}

/* ---- cutting ---- */

static bool
is_hyphen(uint32 c)
{
    return c == '-' || c == 0xad || c == 0xac || c == 0x2010 || c == '=';
}

/* Where the new text is cut for an old line end: letters before *end, and from *next on. */
static void
place_cut(const Letters *a, const Letters *b, int at, int q, int least, int *end, int *next)
{
    q = Max(q, least);
    if (!is_gap(b, q) && is_gap(b, q - 1) && q - 1 >= least)
        q--;
    else if (!is_gap(b, q) && q < b->n && q > least && !is_hyphen(a->code[at - 1]))
        for (int far = 1;; far++) /* inside a word: its nearer end */
        {
            if (q - far <= least || is_gap(b, q - far))
                q = Max(q - far, least);
            else if (q + far >= b->n || is_gap(b, q + far))
                q = Min(q + far, b->n);
            else
                continue;
            break;
        }
    *end = q;
    *next = is_gap(b, q) ? q + 1 : q;
}

/* ---- rows ---- */

typedef struct Laying
{
    ReturnSetInfo *rows;
    const char *text; /* the new one */
    Letters a, b;
    int new_elements;
} Laying;

static void
put_row(Laying *l, int element, int line, const char *text, bool changed)
{
    Datum values[4] = {Int32GetDatum(element), Int32GetDatum(line), (Datum)0,
                       BoolGetDatum(changed)};
    bool nulls[4] = {false, line == 0, text == NULL, false};

    if (text)
        values[2] = CStringGetTextDatum(text);
    tuplestore_putvalues(l->rows->setResult, l->rows->setDesc, values, nulls);
}

/* New letters [from, to), without white space at the ends; line ends inside become spaces. */
static char *
new_text(const Laying *l, int from, int to)
{
    StringInfoData s;

    initStringInfo(&s);
    while (from < to && is_gap(&l->b, from))
        from++;
    while (to > from && is_gap(&l->b, to - 1))
        to--;
    for (int i = from; i < to; i++)
        if (l->b.code[i] == '\n')
            appendStringInfoChar(&s, ' ');
        else
            appendBinaryStringInfo(&s, l->text + l->b.from[i], l->b.to[i] - l->b.from[i]);
    return s.data;
}

static int
difference(const char *a, const char *b)
{
    return varstr_levenshtein(a, strlen(a), b, strlen(b), 1, 1, 1, true);
}

/* Rows of new text that belong to no old line. After an empty line they are an element of their own. */
static void
put_loose(Laying *l, int from, int to, int element, bool apart)
{
    for (int i = from, end; i < to; i = end + 1)
    {
        char *text;

        for (end = i; end < to && l->b.code[end] != '\n'; end++)
            ;
        text = new_text(l, i, end);
        if (i > from && l->b.blank[i - 1])
            apart = true;
        if (apart && (i == from || l->b.blank[i - 1]))
            l->new_elements++;
        if (*text)
            put_row(l, apart ? -l->new_elements : element, 0, text, true);
    }
}

/* Of the rows in [from, to) those that together resemble the old line most: [*begin, *end). */
static void
best_rows(const Laying *l, const OldLine *old, int from, int to, int *begin, int *end)
{
    int least = PG_INT32_MAX;

    *begin = from;
    *end = to;
    for (int i = from; i < to; i++)
        for (int j = i + 1; j <= to && (i == from || l->b.code[i - 1] == '\n'); j++)
            if (j == to || l->b.code[j] == '\n')
            {
                int d = difference(new_text(l, i, j), old->text);

                if (d < least)
                {
                    least = d;
                    *begin = i;
                    *end = j;
                }
            }
}

static bool
is_same(const Laying *l, const OldLine *old, const char *text)
{
    Letters x = letters_of(text, strlen(text));

    return x.n == old->last - old->first &&
           memcmp(x.code, l->a.code + old->first, sizeof(uint32) * x.n) == 0;
}

/* The old line gets the new letters [from, to); hyphen: the word at its end goes on in the next. */
static void
put_line(Laying *l, const OldLine *old, int from, int to, bool hyphen)
{
    int begin = from, end = to;
    char *text;

    while (from < to && is_gap(&l->b, from))
        from++;
    while (to > from && is_gap(&l->b, to - 1))
        to--;
    if (from == to)
        return;
    best_rows(l, old, from, to, &begin, &end);
    put_loose(l, from, begin - 1, old->element, begin > from && l->b.blank[begin - 1]);
    text = new_text(l, begin, end);
    if (hyphen && end == to)
        text = psprintf("%s-", text);
    put_row(l, old->element, old->line, is_same(l, old, text) ? old->text : text,
            !is_same(l, old, text));
    put_loose(l, end + 1, to, old->element, end < to && l->b.blank[end]);
}

static void
lay(Laying *l, OldText *old, int first, int nlines)
{
    int *to = align(&l->a, &l->b), from = 0;

    for (int i = first; i < first + nlines; i++)
    {
        OldLine *o = &old->lines[i];
        bool last = i == first + nlines - 1, hyphen = false;
        int end = l->b.n, next = l->b.n;

        if (!last)
        {
            place_cut(&l->a, &l->b, o->last, to[o->last], from, &end, &next);
            hyphen = next == end && end > from && end < l->b.n &&
                     is_hyphen(l->a.code[o->last - 1]) && !is_hyphen(l->b.code[end - 1]);
        }
        put_line(l, o, from, end, hyphen);
        from = next;
    }
    if (nlines == 0)
        put_loose(l, 0, l->b.n, 0, true);
}

/* ---- the old text ---- */

static void
add_old(OldText *t, int element, int line, const char *text, int n)
{
    char *copy = pnstrdup(text, n);
    Letters l = letters_of(copy, n);
    bool any = false;

    for (int i = 0; i < l.n; i++)
        any |= !is_gap(&l, i);
    if (!any)
        return;
    if (t->nlines == t->room)
    {
        t->room = t->room ? 2 * t->room : 64;
        t->lines = t->lines ? repalloc(t->lines, sizeof(OldLine) * t->room)
                            : palloc(sizeof(OldLine) * t->room);
    }
    t->lines[t->nlines++] = (OldLine){.element = element, .line = line, .text = copy};
}

/* Its text without white space at the ends, and with a line end before it. */
static void
append_old(OldText *t, OldLine *o, Letters *all)
{
    Letters l = letters_of(o->text, strlen(o->text));
    int from = is_gap(&l, 0), to = l.n - is_gap(&l, l.n - 1);

    if (all->n > 0)
        all->code[all->n++] = '\n';
    o->first = all->n;
    for (int i = from; i < to; i++)
        all->code[all->n++] = l.code[i] == '\n' ? ' ' : l.code[i];
    o->last = all->n;
}

static void
collect(OldText *t, const ReadElement *e, int element)
{
    for (int i = 0; i < e->nlines; i++)
        add_old(t, element, i + 1, e->lines[i].text, strlen(e->lines[i].text));
    for (const char *s = e->text, *end; e->nlines == 0 && *s; s = *end ? end + 1 : end)
    {
        end = s + strcspn(s, "\n");
        add_old(t, element, 0, s, end - s);
    }
}

static Letters
old_letters(OldText *t)
{
    Size room = 1;
    Letters l = {0};

    for (int i = 0; i < t->nlines; i++)
        room += strlen(t->lines[i].text) + 1;
    l.code = palloc(sizeof(uint32) * room);
    for (int i = 0; i < t->nlines; i++)
        append_old(t, &t->lines[i], &l);
    return l;
}

/* ---- SQL ---- */

/* An element that keeps its text, or has none, is one row without text, at its place. */
static void
lay_elements(Laying *l, const ReadPage *page, int element)
{
    OldText old = {0};

    for (int i = 1; i <= page->nelements; i++)
        if (element == 0 || element == i)
            collect(&old, &page->elements[i - 1], i);
    l->a = old_letters(&old);
    for (int i = 1; element > 0 && i < element; i++)
        put_row(l, i, 0, NULL, false);
    if (element > 0 && old.nlines == 0)
        put_loose(l, 0, l->b.n, element, false);
    else
        lay(l, &old, 0, old.nlines);
    for (int i = 1; i <= page->nelements; i++)
        if (element > 0 ? i > element : *page->elements[i - 1].text == '\0')
            put_row(l, i, 0, NULL, false);
}

/* dsocr.lay_text(page jsonb, new_text text, element int) */
Datum
dsocr_lay_text(PG_FUNCTION_ARGS)
{
    const Reading *r = READING_ARGUMENT(0);
    Laying l = {.rows = (ReturnSetInfo *)fcinfo->resultinfo};
    int element = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);

    InitMaterializedSRF(fcinfo, 0);
    if (r == NULL || r->npages != 1 || PG_ARGISNULL(1))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("a correction needs the result of one page, and a text")));
    if (!PG_ARGISNULL(2) && (element < 1 || element > r->pages[0].nelements))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the page has no element %d", element),
                        errdetail("It has %d.", r->pages[0].nelements),
                        errhint("It is the seq of dsocr_elements.")));
    l.text = text_to_cstring(PG_GETARG_TEXT_PP(1));
    l.b = letters_of(l.text, strlen(l.text));
    lay_elements(&l, &r->pages[0], element);
    return (Datum)0;
}

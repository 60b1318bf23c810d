/* correct.c - a corrected text laid on the lines that were read, so that each line keeps its box.
 *
 * The old text and the new are aligned letter by letter, at the least cost; where an old line ended, the new text is cut,
 * at white space. So a text whose lines were run together, divided anew or made whole finds its lines too. What no old
 * line resembles becomes a line without a box; a line of which nothing is left goes. The cells of a table are lines too:
 * where the new text has the table's tabs and line ends these part them, else the alignment does. Sharp edge: a word that
 * was divided at a line's end and is whole now gets its hyphen back, since that is what the line's image shows. */
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
#include "table_fill.h"

PG_FUNCTION_INFO_V1(dsocr_lay_text);

/* What one letter for another costs. A letter is never put for a space. */
#define COST_SPACE  1 /* a line end or a tab for a space */
#define COST_CHANGE 3
#define COST_GAP    2
#define MOST_CELLS  ((Size)256 << 20) /* one byte each */
#define LEAST_BAND  32

/* Letters with runs of white space as one: a line end, a tab, or a space. */
typedef struct Letters
{
    uint32 *code;   /* [n] */
    int *from, *to; /* [n] bytes of the text they were made of */
    bool *blank;    /* [n] a line end with an empty line */
    int n;
} Letters;

/* The tables of one element. */
typedef struct OldTable
{
    TablePlace *places; /* [n] */
    int n;
} OldTable;

/* A line that was read, a place of a table, or a row of an element that has neither. */
typedef struct OldLine
{
    int element, line; /* from 1; line 0: the element has none */
    const OldTable *table;
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
    int ends = 0, tabs = 0, length;
    bool gap = false;

    for (int at = 0; at < n; at += length)
    {
        uint32 c = letter_at(s + at, n - at, &length);

        if (!is_space(c))
            gap = false;
        else if (!gap)
        {
            gap = true;
            ends = tabs = 0;
        }
        else
            l.n--;
        ends += c == '\n';
        tabs += c == '\t';
        l.code[l.n] = !gap ? c : ends ? '\n' : tabs ? '\t' : ' ';
        l.blank[l.n] = gap && ends > 1;
        if (!gap || l.n == 0 || l.to[l.n - 1] == at)
            l.from[l.n] = at;
        l.to[l.n++] = at + length;
    }
    return l;
}

static bool
is_gap_code(uint32 c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

static bool
is_gap(const Letters *l, int i)
{
    return i >= 0 && i < l->n && is_gap_code(l->code[i]);
}

/* ---- alignment ---- */

static int
change_cost(uint32 a, uint32 b)
{
    bool gap_a = is_gap_code(a), gap_b = is_gap_code(b);

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

/* Of the table for a band. */
static Size
cells(const Letters *a, const Letters *b, int band)
{
    return (Size)(a->n + 1) * (abs(b->n - a->n) + (Size)2 * band + 1);
}

static void
align_middle(const Letters *a, const Letters *b, int *to)
{
    int most = Max(a->n, b->n);

    if (cells(a, b, LEAST_BAND) > 4 * MOST_CELLS)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("the new text is too long to be laid on the old one"),
                        errdetail("Where they differ, it has %d characters, and the old one %d.",
                                  b->n, a->n),
                        errhint("Is it the text of this page?")));
    for (int band = LEAST_BAND; !align_within(a, b, band, to) && band < most; band *= 4)
        if (cells(a, b, 4 * band) > MOST_CELLS)
            break; /* the texts are long and have little in common: as good as it gets */
}

/* What is the same at both ends is taken to be the same, which costs no more; so the letters of a piece that was taken
 * out are not spread over others like them. */
static int *
align(const Letters *a, const Letters *b)
{
    int *to = palloc(sizeof(int) * (a->n + 1)), least = Min(a->n, b->n), head = 0, tail = 0;
    Letters x = *a, y = *b;

    while (head < least && a->code[head] == b->code[head])
        head++;
    while (tail < least - head && a->code[a->n - 1 - tail] == b->code[b->n - 1 - tail])
        tail++;
    x.code += head;
    y.code += head;
    x.n -= head + tail;
    y.n -= head + tail;
    align_middle(&x, &y, to + head);
    for (int i = 0; i <= a->n; i++)
        to[i] = i < head ? i : i <= head + x.n ? to[i] + head : i - a->n + b->n;
    return to;
}

/* ---- cutting ---- */

/* The old line, up to `at`, ends in a hyphen, and at q of the new text a word may be divided: between letters, or behind
 * its own hyphen. What was read as a hyphen may have been a full stop before a quotation mark. */
static bool
divides(const Letters *a, const Letters *b, int at, int q)
{
    return is_hyphen(a->code[at - 1]) && q > 0 && q < b->n &&
           (is_hyphen(b->code[q - 1]) || (is_letter(b->code[q - 1]) && is_letter(b->code[q])));
}

/* Where the new text is cut for an old line end: letters before *end, and from *next on. whole: not inside a word. */
static void
place_cut(const Letters *a, const Letters *b, int at, int q, int least, bool whole, int *end,
          int *next)
{
    q = Max(q, least);
    if (!is_gap(b, q) && is_gap(b, q - 1) && q - 1 >= least)
        q--;
    else if (!is_gap(b, q) && q < b->n && q > least && (whole || !divides(a, b, at, q)))
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
    bool in_table; /* rows are places of one */
} Laying;

static void
put_row(Laying *l, int element, int line, const char *text, bool changed)
{
    Datum values[5] = {Int32GetDatum(element), Int32GetDatum(line), (Datum)0, BoolGetDatum(changed),
                       BoolGetDatum(l->in_table)};
    bool nulls[5] = {false, line == 0, text == NULL, false, false};

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

/* Of the rows in [from, to) those that together resemble the old line most: [*begin, *end). Rows that are longer than it by
 * more than the least difference differ by more; a gap at either end does not count. */
static void
best_rows(const Laying *l, const OldLine *old, int from, int to, int *begin, int *end)
{
    int64 least = PG_INT32_MAX, length = pg_mbstrlen(old->text);

    *begin = from;
    *end = to;
    for (int i = from; i < to; i++)
        for (int j = i + 1;
             j <= to && (i == from || l->b.code[i - 1] == '\n') && j - i - 2 <= length + least; j++)
            if (j == to || l->b.code[j] == '\n')
            {
                char *text = new_text(l, i, j);
                int d = difference(text, old->text);

                CHECK_FOR_INTERRUPTS();
                pfree(text);
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

/* ---- tables ---- */

static void
put_place(Laying *l, int element, const OldTable *table, int i, const char *text)
{
    const char *was = table->places[i].text;
    Letters x = letters_of(text, strlen(text)), y = letters_of(was, strlen(was));
    bool same = x.n == y.n && memcmp(x.code, y.code, sizeof(uint32) * x.n) == 0;

    l->in_table = true;
    put_row(l, element, i + 1, same ? was : text, !same);
    l->in_table = false;
}

/* Bytes [*s, end) up to the next `stop`, without spaces at their ends. *s moves on, and is NULL when there was none. */
static char *
next_piece(const char **s, const char *end, char stop)
{
    const char *from = *s, *to = memchr(from, stop, end - from);

    *s = to ? to + 1 : NULL;
    to = to ? to : end;
    while (from < to && strchr(" \r", *from))
        from++;
    while (to > from && strchr(" \r", to[-1]))
        to--;
    return pnstrdup(from, to - from);
}

static bool
is_blank(const char *s)
{
    return s[strspn(s, " \t\r\n")] == '\0';
}

/* A row of new text for places [first, last). What it lacks at its end must have been empty. */
static bool
deal_row(const OldTable *t, int first, int last, const char *row, char **texts)
{
    const char *end = row + strlen(row);

    for (int i = first; i < last; i++)
    {
        if (row == NULL && *t->places[i].text)
            return false;
        texts[i] = row ? next_piece(&row, end, '\t') : "";
    }
    return row == NULL || is_blank(row);
}

/* Bytes [s, end) of the new text by rows and cells, [t->n], and what is left of it. NULL: there are not as many of them
 * as before. */
static char **
texts_by_tabs(const OldTable *t, const char *s, const char *end, const char **rest)
{
    char **texts = palloc0(sizeof(char *) * t->n);

    for (int i = 0, last; i < t->n; i = last)
    {
        bool empty = true;
        char *row = NULL;

        for (last = i; last < t->n && t->places[last].row == t->places[i].row; last++)
            empty &= *t->places[last].text == '\0';
        while (!empty && s && (row == NULL || is_blank(row)))
            row = next_piece(&s, end, '\n');
        if (!empty && (row == NULL || is_blank(row) || !deal_row(t, i, last, row, texts)))
            return NULL;
    }
    *rest = s && !is_blank(pnstrdup(s, end - s)) ? s : NULL;
    return texts;
}

static char *
without_tabs(char *s)
{
    for (char *c = s; *c; c++)
        if (*c == '\t')
            *c = ' ';
    return s;
}

/* The lines [0, n) are places of a table; the new letters [from[i], end[i]) stand where each of them stood. */
static void
put_table(Laying *l, const OldLine *lines, int n, const int *from, const int *end)
{
    const OldTable *t = lines[0].table;
    const char *s = l->text, *stop = l->text + strlen(l->text), *rest = NULL;
    int before = from[0], after = end[n - 1], more, i = 0;
    char **texts;

    while (is_gap(&l->b, before - 1))
        before--;
    while (is_gap(&l->b, after))
        after++;
    s = before > 0 ? l->text + l->b.to[before - 1] : s;
    s += strspn(s, " \r\n");
    stop = after < l->b.n ? l->text + l->b.from[after] : stop;
    if (s >= stop)
        return;
    texts = texts_by_tabs(t, s, stop, &rest);
    for (more = before; rest && l->text + l->b.from[more] < rest; more++)
        ;
    if (rest && !l->b.blank[more - 1])
        texts = NULL; /* more rows than there were */
    for (int k = 0; k < t->n; k++)
    {
        bool here = i < n && lines[i].line == k + 1;

        if (texts && texts[k])
            put_place(l, lines[0].element, t, k, texts[k]);
        else if (here)
            put_place(l, lines[0].element, t, k, without_tabs(new_text(l, from[i], end[i])));
        i += here;
    }
    if (texts && rest)
        put_loose(l, more, after, lines[0].element, true);
}

/* ---- all lines ---- */

static void
lay(Laying *l, const OldText *old)
{
    int *to = align(&l->a, &l->b), n = old->nlines, at = 0;
    int *from = palloc(sizeof(int) * (n + 1)), *end = palloc(sizeof(int) * (n + 1));

    for (int i = 0; i < n; i++)
    {
        const OldLine *o = &old->lines[i];

        from[i] = at;
        end[i] = at = l->b.n;
        if (i < n - 1)
            place_cut(&l->a, &l->b, o->last, to[o->last], from[i], o->table != NULL, &end[i], &at);
    }
    for (int i = 0, m; i < n; i += m)
    {
        const OldLine *o = &old->lines[i];
        bool divided = i < n - 1 && from[i + 1] == end[i] && end[i] > from[i] && end[i] < l->b.n &&
                       divides(&l->a, &l->b, o->last, end[i]) && !is_hyphen(l->b.code[end[i] - 1]);

        for (m = 1; o->table && i + m < n && old->lines[i + m].table == o->table; m++)
            ;
        if (o->table)
            put_table(l, o, m, from + i, end + i);
        else
            put_line(l, o, from[i], end[i], divided);
    }
    if (n == 0)
        put_loose(l, 0, l->b.n, 0, true);
}

/* ---- the old text ---- */

static void
add_old(OldText *t, int element, int line, const OldTable *table, const char *text, int n)
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
    t->lines[t->nlines++] =
        (OldLine){.element = element, .line = line, .table = table, .text = copy};
}

/* Its text without white space at the ends, and with a line end, or in a row of a table a tab, before it. */
static void
append_old(OldText *t, OldLine *o, Letters *all)
{
    Letters l = letters_of(o->text, strlen(o->text));
    int from = is_gap(&l, 0), to = l.n - is_gap(&l, l.n - 1);

    if (all->n > 0)
        all->code[all->n++] = o->table && o->table->places[o->line - 1].col > 1 ? '\t' : '\n';
    o->first = all->n;
    for (int i = from; i < to; i++)
        all->code[all->n++] = l.code[i] == '\n' ? ' ' : l.code[i];
    o->last = all->n;
}

/* NULL: it has none, or its lines were measured and say more. */
static OldTable *
table_of(const ReadElement *e)
{
    OldTable t = {0}, *out;

    if (e->content && e->nlines == 0 && strcmp(e->type, "code") != 0)
        t.places = table_places(e->content, &t.n);
    if (t.n == 0)
        return NULL;
    out = palloc(sizeof t);
    *out = t;
    return out;
}

static void
collect(OldText *t, const ReadElement *e, int element)
{
    const OldTable *table = table_of(e);

    for (int i = 0; table && i < table->n; i++)
        add_old(t, element, i + 1, table, table->places[i].text, strlen(table->places[i].text));
    for (int i = 0; i < e->nlines; i++)
        add_old(t, element, i + 1, NULL, e->lines[i].text, strlen(e->lines[i].text));
    for (const char *s = e->text, *end; !table && e->nlines == 0 && *s; s = *end ? end + 1 : end)
    {
        end = s + strcspn(s, "\n");
        add_old(t, element, 0, NULL, s, end - s);
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

/* Whether a text is HTML that begins with a table. */
static bool
is_table(const char *text)
{
    return pg_strncasecmp(text + strspn(text, " \t\r\n"), "<table", 6) == 0;
}

static void
put_new_table(Laying *l, int element)
{
    int n;

    table_places(l->text, &n);
    if (n == 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the new text begins like a table and has no cells"),
                        errhint("A cell is <td>...</td>; or give the text of the cells alone, "
                                "parted by tabs and line ends.")));
    l->in_table = true;
    put_row(l, element, 0, l->text + strspn(l->text, " \t\r\n"), true);
    l->in_table = false;
}

/* In an element that had no text. */
static void
put_new_text(Laying *l, int element, bool table)
{
    if (table && l->b.n > 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the cells of this table are empty, so the text has no place in it"),
                        errhint("Give the table as HTML: <table>...</table>.")));
    put_loose(l, 0, l->b.n, element, false);
}

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
    if (element > 0 && table_of(&page->elements[element - 1]) && is_table(l->text))
        put_new_table(l, element);
    else if (element > 0 && old.nlines == 0)
        put_new_text(l, element, table_of(&page->elements[element - 1]) != NULL);
    else
        lay(l, &old);
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

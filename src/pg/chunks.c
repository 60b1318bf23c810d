/* chunks.c - a result in pieces of a size, for embedding: each knows its headings, pages and boxes.
 *
 * The document is one flow over all its pages, without running heads and page numbers. A heading begins a new piece;
 * a longer section is cut at a paragraph, a sentence or a word, and the pieces overlap. Sharp edge: sizes are counted
 * in characters, places in bytes. */
#include "compat.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "flow.h"
#include "letters.h"

PG_FUNCTION_INFO_V1(dsocr_chunks);

#define MOST_LEVELS 6
#define COLUMNS     6

typedef struct Chunker
{
    ReturnSetInfo *rows;
    int size, overlap; /* characters */
    ReadPage all;      /* all elements that count */
    int *pages;        /* [all.nelements] */
    Flow *flow;
    char *headings[MOST_LEVELS]; /* above the place at hand; NULL: none on this level */
    int seq;
} Chunker;

/* ---- the flow of the document ---- */

static bool
counts(const ReadElement *e)
{
    return strcmp(e->type, "page_header") && strcmp(e->type, "page_footer") &&
           strcmp(e->type, "page_number");
}

static void
gather(Chunker *c, const Reading *r)
{
    int n = 0;

    for (int i = 0; i < r->npages; i++)
        n += r->pages[i].nelements;
    c->all.elements = palloc(sizeof(ReadElement) * (n + 1));
    c->pages = palloc(sizeof(int) * (n + 1));
    for (int i = 0; i < r->npages; i++)
        for (int j = 0; j < r->pages[i].nelements; j++)
            if (counts(&r->pages[i].elements[j]))
            {
                c->pages[c->all.nelements] = r->pages[i].number;
                c->all.elements[c->all.nelements++] = r->pages[i].elements[j];
            }
    c->flow = flow_of(&c->all);
}

/* Line ends inside a paragraph are spaces: the reader's lines are the page's, not the text's. */
static void
unfold(Chunker *c)
{
    for (int i = 1; i < c->flow->nspans; i++)
    {
        const FlowSpan *a = &c->flow->spans[i - 1], *b = &c->flow->spans[i];
        bool prose = strcmp(a->element->type, "table") && strcmp(a->element->type, "list") &&
                     strcmp(a->element->type, "code") && strcmp(a->element->type, "formula");

        if (a->element == b->element && prose && b->at == a->at + a->n + 1)
            c->flow->text.data[a->at + a->n] = ' ';
    }
}

/* 1 to MOST_LEVELS; 0: no heading. */
static int
level_of(const ReadElement *e)
{
    int marks = 0;

    if (strcmp(e->type, "title") && strcmp(e->type, "section_header"))
        return 0;
    while (e->content && e->content[marks] == '#')
        marks++;
    if (marks == 0)
        return strcmp(e->type, "title") == 0 ? 1 : 2;
    return Min(marks, MOST_LEVELS);
}

/* ---- one piece ---- */

static Datum
headings_column(const Chunker *c)
{
    Datum all[MOST_LEVELS];
    int n = 0;

    for (int i = 0; i < MOST_LEVELS; i++)
        if (c->headings[i])
            all[n++] = CStringGetTextDatum(c->headings[i]);
    return PointerGetDatum(construct_array(all, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
widen(BOX *box, const BOX *with)
{
    box->low.x = Min(box->low.x, with->low.x);
    box->low.y = Min(box->low.y, with->low.y);
    box->high.x = Max(box->high.x, with->high.x);
    box->high.y = Max(box->high.y, with->high.y);
}

/* The spans first..last, all of one element: what of it the piece holds. */
static bool
box_of_spans(const FlowSpan *first, const FlowSpan *last, BOX *box)
{
    bool any = false;

    for (const FlowSpan *s = first; s <= last; s++)
    {
        bool own = s->line && s->line->has_box;
        const BOX *b = own ? &s->line->box : s->element->has_box ? &s->element->box : NULL;

        if (b && any)
            widen(box, b);
        else if (b)
            *box = *b;
        any = any || b;
    }
    return any;
}

static Datum
boxes_column(const Chunker *c, int from, int to)
{
    StringInfoData s;
    const FlowSpan *spans = c->flow->spans;

    initStringInfo(&s);
    for (int i = flow_find(c->flow, from), next; i < c->flow->nspans && spans[i].at < to; i = next)
    {
        BOX box;

        for (next = i + 1; next < c->flow->nspans && spans[next].at < to &&
                           spans[next].element == spans[i].element;
             next++)
            ;
        if (box_of_spans(&spans[i], &spans[next - 1], &box))
            appendStringInfo(&s, "%s{\"page\": %d, \"bbox\": [%.0f, %.0f, %.0f, %.0f]}",
                             s.len ? ", " : "[", c->pages[spans[i].element - c->all.elements],
                             box.low.x, box.low.y, box.high.x, box.high.y);
    }
    appendStringInfoString(&s, s.len ? "]" : "[]");
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(s.data));
}

static int
page_at(const Chunker *c, int at)
{
    int i = Min(flow_find(c->flow, at), c->flow->nspans - 1);

    return c->pages[c->flow->spans[i].element - c->all.elements];
}

static void
put_chunk(Chunker *c, int from, int to)
{
    const char *s = c->flow->text.data;
    Datum values[COLUMNS];
    bool nulls[COLUMNS] = {false};

    while (from < to && isspace((unsigned char)s[from]))
        from++;
    while (to > from && isspace((unsigned char)s[to - 1]))
        to--;
    if (from == to)
        return;
    values[0] = Int32GetDatum(++c->seq);
    values[1] = headings_column(c);
    values[2] = Int32GetDatum(page_at(c, from));
    values[3] = Int32GetDatum(page_at(c, to - 1));
    values[4] = PointerGetDatum(cstring_to_text_with_len(s + from, to - from));
    values[5] = boxes_column(c, from, to);
    tuplestore_putvalues(c->rows->setResult, c->rows->setDesc, values, nulls);
}

/* ---- cutting ---- */

/* The byte n characters behind `at`, at most `end`. */
static int
forward(const char *s, int at, int end, int n)
{
    while (n-- > 0 && at < end)
        at += pg_mblen(s + at);
    return Min(at, end);
}

/* How good a place for a cut it is before s[at]: 3 a paragraph, 2 a sentence, 1 a word. */
static int
cut_quality(const char *s, int at)
{
    if (!isspace((unsigned char)s[at - 1]))
        return 0;
    if (at > 1 && s[at - 1] == '\n' && s[at - 2] == '\n')
        return 3;
    return at > 1 && strchr(".!?:;", s[at - 2]) ? 2 : 1;
}

/* The best place in the second half of from..to; to itself when there is none. */
static int
best_cut(const char *s, int from, int to)
{
    int best = to, quality = 0;

    for (int at = to; at > from + (to - from) / 2; at--)
        if (cut_quality(s, at) > quality)
        {
            quality = cut_quality(s, at);
            best = at;
        }
    return best;
}

/* Where the next piece begins: a word's beginning at most `overlap` characters before `cut`. */
static int
next_start(const Chunker *c, int from, int cut)
{
    const char *s = c->flow->text.data;
    int at = cut, length;

    for (int n = c->overlap; n > 0 && at > from; n--)
    {
        letter_before(s, at, &length);
        at -= length;
    }
    if (at <= from)
        return cut;
    while (at < cut && !isspace((unsigned char)s[at - 1]))
        at += pg_mblen(s + at);
    return at;
}

static void
cut_section(Chunker *c, int from, int end)
{
    const char *s = c->flow->text.data;

    while (from < end)
    {
        int to = forward(s, from, end, c->size);

        if (to < end)
            to = best_cut(s, from, to);
        put_chunk(c, from, to);
        from = to < end ? next_start(c, from, to) : end;
    }
}

static void
note_heading(Chunker *c, int level, const ReadElement *e)
{
    c->headings[level - 1] = pstrdup(e->text);
    for (char *s = c->headings[level - 1]; *s; s++)
        if (*s == '\n')
            *s = ' ';
    for (int i = level; i < MOST_LEVELS; i++)
        c->headings[i] = NULL;
}

/* Headings that follow each other begin one piece. */
static void
cut_document(Chunker *c)
{
    const FlowSpan *spans = c->flow->spans;
    int from = 0;
    bool body = false;

    for (int i = 0; i < c->flow->nspans; i++)
    {
        int level = level_of(spans[i].element);

        if (level == 0)
            body = true;
        if (level == 0 || (i > 0 && spans[i - 1].element == spans[i].element))
            continue;
        if (body)
        {
            cut_section(c, from, spans[i].at);
            from = spans[i].at;
            body = false;
        }
        note_heading(c, level, spans[i].element);
    }
    cut_section(c, from, c->flow->text.len);
}

static void
check_sizes(int size, int overlap)
{
    if (size < 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("size must be at least 1"),
                        errdetail("It is %d characters.", size)));
    if (overlap < 0 || overlap >= size)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("overlap must be at least 0 and less than size"),
                        errdetail("overlap is %d, size %d.", overlap, size)));
}

/* dsocr_chunks(result jsonb, size int, overlap int) */
Datum
dsocr_chunks(PG_FUNCTION_ARGS)
{
    Chunker c = {.rows = (ReturnSetInfo *)fcinfo->resultinfo};

    InitMaterializedSRF(fcinfo, 0);
    c.size = PG_GETARG_INT32(1);
    c.overlap = PG_GETARG_INT32(2);
    check_sizes(c.size, c.overlap);
    gather(&c, reading_of(PG_GETARG_JSONB_P(0)));
    unfold(&c);
    cut_document(&c);
    return (Datum)0;
}

/* table_fill.c - an element's content with tables as places for text: what stands in them, and other text put there.
 *
 * Tags stay where they are, so rows, columns and spans do; markup inside a cell goes with its old text. A model forgets
 * closing tags: a place ends where the next begins. A table inside a cell is text of that cell. */
#include "compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "markup.h"
#include "table_fill.h"

PG_FUNCTION_INFO_V1(dsocr_fill_table);

typedef struct Places
{
    TablePlace *list; /* [n] */
    int n, room;
    int ncells;
    int depth; /* of tables within tables */
    int row, col;
    bool open, in_row;
} Places;

/* ---- finding them ---- */

static char *
one_line(const char *from, const char *to)
{
    const char *at = pnstrdup(from, to - from);
    MarkupPiece piece;
    StringInfoData s;
    int n = 0;

    initStringInfo(&s);
    while (markup_next(&at, &piece))
        if (!piece.tag)
            markup_text(&s, piece.s, piece.end);
        else if (markup_one_of(piece.name,
                               (const char *const[]){"br", "td", "th", "tr", "p", NULL}))
            appendStringInfoChar(&s, ' ');
    for (int i = 0; i < s.len; i++)
        if (!isspace((unsigned char)s.data[i]))
            s.data[n++] = s.data[i];
        else if (n > 0 && s.data[n - 1] != ' ')
            s.data[n++] = ' ';
    s.data[n - (n > 0 && s.data[n - 1] == ' ')] = '\0';
    return s.data;
}

static void
begin_place(Places *p, const char *from, int col)
{
    if (p->n == p->room)
    {
        p->room = p->room ? 2 * p->room : 64;
        p->list = p->list ? repalloc_huge(p->list, sizeof(TablePlace) * p->room)
                          : palloc(sizeof(TablePlace) * p->room);
    }
    p->list[p->n++] = (TablePlace){.from = from, .to = from, .row = p->row, .col = col};
    p->ncells += col > 0;
    p->open = true;
}

static void
end_place(Places *p, const char *to)
{
    TablePlace *last = &p->list[p->n - 1];

    if (!p->open)
        return;
    if (last->col > 0)
        last->to = to;
    last->text = one_line(last->from, last->to);
    p->open = false;
}

static bool
in_cell(const Places *p)
{
    return p->open && p->list[p->n - 1].col > 0;
}

static void
begin_row(Places *p)
{
    p->row++;
    p->col = 0;
    p->in_row = true;
}

/* begin, end: of the tag itself. */
static void
pass_tag(Places *p, const MarkupPiece *tag, const char *begin, const char *end)
{
    bool table = strcmp(tag->name, "table") == 0, row = strcmp(tag->name, "tr") == 0;
    bool cell = strcmp(tag->name, "td") == 0 || strcmp(tag->name, "th") == 0;

    if (table)
        p->depth = Max(0, p->depth + (tag->closing ? -1 : 1));
    if (table ? p->depth == !tag->closing : p->depth == 1 && (row || cell))
    {
        end_place(p, begin);
        if (table)
            p->in_row = false;
        else if (!tag->closing && (row || !p->in_row))
            begin_row(p);
        if (cell && !tag->closing)
            begin_place(p, end, ++p->col);
    }
    else if (!in_cell(p) &&
             markup_one_of(tag->name, (const char *const[]){"br", "p", "div", "li", "center",
                                                            "caption", NULL}))
        end_place(p, begin);
}

/* Text beside the tables: a place for each line. */
static void
pass_text(Places *p, const char *s, const char *end)
{
    for (; s < end; s++)
        if (*s == '\n')
            end_place(p, s);
        else if (!isspace((unsigned char)*s))
        {
            if (!p->open)
            {
                p->row++;
                p->in_row = false;
                begin_place(p, s, 0);
            }
            p->list[p->n - 1].to = s + 1;
        }
}

TablePlace *
table_places(const char *content, int *n)
{
    Places p = {0};
    const char *at = content;
    MarkupPiece piece;

    for (const char *begin = at; markup_next(&at, &piece); begin = at)
        if (piece.tag)
            pass_tag(&p, &piece, begin, at);
        else if (!in_cell(&p))
            pass_text(&p, piece.s, piece.end);
    end_place(&p, at);
    *n = p.ncells ? p.n : 0;
    return p.list;
}

/* ---- other text in them ---- */

/* Content is markdown too, in which quotes stay as they are: markup_escape is for attributes as well. */
static void
put_escaped(StringInfo to, const char *s)
{
    for (; *s; s++)
        if (*s == '<')
            appendStringInfoString(to, "&lt;");
        else if (*s == '>')
            appendStringInfoString(to, "&gt;");
        else if (*s == '&')
            appendStringInfoString(to, "&amp;");
        else
            appendStringInfoChar(to, *s);
}

char *
table_fill(const char *content, const TablePlace *places, int n, const char *const *texts)
{
    StringInfoData s;

    initStringInfo(&s);
    for (int i = 0; i < n; i++)
    {
        if (texts[i] == NULL || strcmp(texts[i], places[i].text) == 0)
            continue;
        appendBinaryStringInfo(&s, content, places[i].from - content);
        put_escaped(&s, texts[i]);
        content = places[i].to;
    }
    appendStringInfoString(&s, content);
    return s.data;
}

char *
table_text(const TablePlace *places, int n)
{
    StringInfoData s;

    initStringInfo(&s);
    for (int i = 0; i < n; i++)
    {
        for (int row = i ? places[i - 1].row : places[i].row; row < places[i].row; row++)
            appendStringInfoChar(&s, '\n');
        if (places[i].col > 1)
            appendStringInfoChar(&s, '\t');
        appendStringInfoString(&s, places[i].text);
    }
    return s.data;
}

/* dsocr.fill_table(content text, numbers int[], texts text[], OUT content text, OUT text text) */
Datum
dsocr_fill_table(PG_FUNCTION_ARGS)
{
    const char *content = text_to_cstring(PG_GETARG_TEXT_PP(0));
    Datum *numbers, *new_texts, values[2];
    const char **texts;
    TablePlace *places;
    TupleDesc row;
    bool nulls[2] = {false};
    int n, nnumbers, ntexts;

    deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), INT4OID, sizeof(int32), true, TYPALIGN_INT,
                      &numbers, NULL, &nnumbers);
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false, TYPALIGN_INT, &new_texts, NULL,
                      &ntexts);
    places = table_places(content, &n);
    texts = palloc0(sizeof(char *) * (n + 1));
    for (int i = 0; i < Min(nnumbers, ntexts); i++)
        if (DatumGetInt32(numbers[i]) >= 1 && DatumGetInt32(numbers[i]) <= n)
            texts[DatumGetInt32(numbers[i]) - 1] = TextDatumGetCString(new_texts[i]);
    content = table_fill(content, places, n, texts);
    places = table_places(content, &n);
    values[0] = CStringGetTextDatum(content);
    values[1] = CStringGetTextDatum(table_text(places, n));
    if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls)));
}

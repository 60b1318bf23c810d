/* table_cells.c - the HTML tables of a result as cells in a grid, spans resolved.
 *
 * A model forgets closing tags: a cell ends where the next begins. A table inside a cell is text of that cell. Sharp
 * edge: a cell that spans rows pushes the cells of later rows to the right. */
#include "compat.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "markup.h"
#include "reading.h"
#include "table_cells.h"

PG_FUNCTION_INFO_V1(dsocr_tables);

#define MOST_SPAN    1000 /* HTML's own bound for columns */
#define MOST_COLUMNS 10000

typedef struct Grid
{
    TableCell *cells; /* [ncells] */
    int ncells, room;
    int table, depth; /* depth of tables within tables */
    int row, col;
    bool in_cell, in_head;
    StringInfoData text; /* of the open cell */
    int *taken;          /* [columns] rows that are still covered from above, this one included */
    int columns;
} Grid;

static void
need_columns(Grid *g, int n)
{
    if (n <= g->columns)
        return;
    g->taken = g->taken ? repalloc(g->taken, sizeof(int) * n * 2) : palloc(sizeof(int) * n * 2);
    memset(g->taken + g->columns, 0, sizeof(int) * (n * 2 - g->columns));
    g->columns = n * 2;
}

static void
close_cell(Grid *g)
{
    if (!g->in_cell)
        return;
    while (g->text.len > 0 && isspace((unsigned char)g->text.data[g->text.len - 1]))
        g->text.data[--g->text.len] = '\0';
    g->cells[g->ncells - 1].text = pstrdup(g->text.data);
    g->in_cell = false;
}

static void
open_row(Grid *g)
{
    close_cell(g);
    for (int i = 0; g->row > 0 && i < g->columns; i++)
        g->taken[i] = Max(0, g->taken[i] - 1);
    g->row++;
    g->col = 1;
}

static void
open_cell(Grid *g, const MarkupPiece *tag)
{
    TableCell c = {.table = g->table,
                   .rowspan = markup_number(tag, "rowspan", 1, 1, MOST_SPAN),
                   .colspan = markup_number(tag, "colspan", 1, 1, MOST_SPAN),
                   .header = g->in_head || strcmp(tag->name, "th") == 0};

    close_cell(g);
    if (g->row == 0)
        open_row(g);
    if (g->ncells == g->room)
    {
        g->room = g->room ? g->room * 2 : 64;
        g->cells = g->cells ? repalloc_huge(g->cells, sizeof(TableCell) * g->room)
                            : palloc(sizeof(TableCell) * g->room);
    }
    while (g->col <= g->columns && g->taken[g->col - 1] > 0)
        g->col++;
    if (g->col + c.colspan > MOST_COLUMNS)
        c.colspan = 1;
    c.row = g->row;
    c.col = g->col;
    need_columns(g, Min(g->col + c.colspan, MOST_COLUMNS));
    for (int i = 0; i < c.colspan && g->col - 1 + i < g->columns; i++)
        g->taken[g->col - 1 + i] = c.rowspan;
    g->col += c.colspan;
    g->cells[g->ncells++] = c;
    g->in_cell = true;
    resetStringInfo(&g->text);
}

static void
open_table(Grid *g)
{
    if (g->depth++ > 0)
        return;
    g->table++;
    g->row = g->col = 0;
    g->in_head = false;
    if (g->columns > 0)
        memset(g->taken, 0, sizeof(int) * g->columns);
}

static void
take_tag(Grid *g, const MarkupPiece *tag)
{
    bool cell = strcmp(tag->name, "td") == 0 || strcmp(tag->name, "th") == 0;

    if (strcmp(tag->name, "table") == 0)
    {
        if (!tag->closing)
            open_table(g);
        else if (g->depth > 0 && --g->depth == 0)
            close_cell(g);
    }
    else if (g->depth == 1 && cell)
    {
        if (tag->closing)
            close_cell(g);
        else
            open_cell(g, tag);
    }
    else if (g->depth == 1 && strcmp(tag->name, "tr") == 0 && !tag->closing)
        open_row(g);
    else if (g->depth == 1 && strcmp(tag->name, "thead") == 0)
        g->in_head = !tag->closing;
    else if (g->in_cell && (strcmp(tag->name, "br") == 0 || cell) && g->text.len > 0 &&
             !isspace((unsigned char)g->text.data[g->text.len - 1]))
        appendStringInfoChar(&g->text, cell ? ' ' : '\n');
}

TableCell *
table_cells(const char *content, int *n)
{
    Grid g = {0};
    MarkupPiece piece;

    initStringInfo(&g.text);
    while (markup_next(&content, &piece))
        if (piece.tag)
            take_tag(&g, &piece);
        else if (g.in_cell)
        {
            while (g.text.len == 0 && piece.s < piece.end && isspace((unsigned char)*piece.s))
                piece.s++;
            markup_text(&g.text, piece.s, piece.end);
        }
    close_cell(&g);
    *n = g.ncells;
    return g.cells;
}

/* ---- SQL ---- */

#define CELL_COLUMNS 8

static int
put_tables(ReturnSetInfo *rows, int page, const char *content, int before)
{
    int n, tables = 0;
    TableCell *cells = table_cells(content, &n);

    for (int i = 0; i < n; i++)
    {
        TableCell *c = &cells[i];
        Datum values[CELL_COLUMNS] = {Int32GetDatum(page),       Int32GetDatum(before + c->table),
                                      Int32GetDatum(c->row),     Int32GetDatum(c->col),
                                      Int32GetDatum(c->rowspan), Int32GetDatum(c->colspan),
                                      BoolGetDatum(c->header),   CStringGetTextDatum(c->text)};
        bool nulls[CELL_COLUMNS] = {false};

        tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
        tables = c->table;
    }
    return tables;
}

Datum
dsocr_tables(PG_FUNCTION_ARGS)
{
    const Reading *r = READING_ARGUMENT(0);

    InitMaterializedSRF(fcinfo, 0);
    for (int p = 0; r && p < r->npages; p++)
    {
        const ReadPage *page = &r->pages[p];
        int tables = 0;

        for (int i = 0; i < page->nelements; i++)
            if (page->elements[i].content)
                tables += put_tables((ReturnSetInfo *)fcinfo->resultinfo, page->number,
                                     page->elements[i].content, tables);
    }
    return (Datum)0;
}

/* export_html.c - a result as a document for people: headings, paragraphs, lists and tables, without the page's look.
 *
 * The model's own HTML is never passed on: its tables are taken apart into cells and written anew. */
#include "compat.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "flow.h"
#include "markup.h"
#include "reading.h"
#include "table_cells.h"

PG_FUNCTION_INFO_V1(dsocr_to_html);

/* The element's text, divided words whole. */
static const char *
text_of(const ReadElement *e)
{
    ReadPage alone = {.elements = (ReadElement *)e, .nelements = 1};

    return flow_of(&alone)->text.data;
}

static void
put_text(StringInfo out, const char *tag, const ReadElement *e)
{
    const char *s = text_of(e);

    if (*s == '\0')
        return;
    appendStringInfo(out, "<%s>", tag);
    markup_escape(out, s, strlen(s));
    appendStringInfo(out, "</%s>\n", tag);
}

static void
put_cell(StringInfo out, const TableCell *c)
{
    const char *tag = c->header ? "th" : "td";

    appendStringInfo(out, "<%s", tag);
    if (c->rowspan > 1)
        appendStringInfo(out, " rowspan=\"%d\"", c->rowspan);
    if (c->colspan > 1)
        appendStringInfo(out, " colspan=\"%d\"", c->colspan);
    appendStringInfoChar(out, '>');
    markup_escape(out, c->text, strlen(c->text));
    appendStringInfo(out, "</%s>", tag);
}

/* False: there is no table in the content. */
static bool
put_tables(StringInfo out, const ReadElement *e)
{
    int n = 0, table = 0, row = 0;
    TableCell *cells = e->content ? table_cells(e->content, &n) : NULL;

    for (int i = 0; i < n; i++)
    {
        if (cells[i].table != table)
            appendStringInfo(out, "%s<table>\n<tr>", table ? "</tr>\n</table>\n" : "");
        else if (cells[i].row != row)
            appendStringInfoString(out, "</tr>\n<tr>");
        table = cells[i].table;
        row = cells[i].row;
        put_cell(out, &cells[i]);
    }
    if (n > 0)
        appendStringInfoString(out, "</tr>\n</table>\n");
    return n > 0;
}

static void
put_list(StringInfo out, const ReadElement *e)
{
    const char *s = text_of(e);

    appendStringInfoString(out, "<ul>");
    for (const char *end; *s; s = *end ? end + 1 : end)
    {
        end = s + strcspn(s, "\n");
        appendStringInfoString(out, "<li>");
        markup_escape(out, s, end - s);
        appendStringInfoString(out, "</li>");
    }
    appendStringInfoString(out, "</ul>\n");
}

static void
put_element(StringInfo out, const ReadElement *e)
{
    static const char *const tags[][2] = {{"title", "h1"},           {"section_header", "h2"},
                                          {"code", "pre"},           {"formula", "pre"},
                                          {"page_header", "header"}, {"page_footer", "footer"},
                                          {"page_number", "footer"}, {"footnote", "small"}};
    const char *tag = "p";

    if (strcmp(e->type, "list") == 0 && *text_of(e))
    {
        put_list(out, e);
        return;
    }
    if (put_tables(out, e))
        return;
    for (int i = 0; i < lengthof(tags); i++)
        if (strcmp(e->type, tags[i][0]) == 0)
            tag = tags[i][1];
    put_text(out, strcmp(e->type, "table") == 0 ? "pre" : tag, e);
}

Datum
dsocr_to_html(PG_FUNCTION_ARGS)
{
    const Reading *r = reading_of(PG_GETARG_JSONB_P(0));
    StringInfoData s;

    initStringInfo(&s);
    appendStringInfoString(
        &s, "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\"/>\n<title>dsocr</title>\n"
            "</head>\n<body>\n");
    for (int i = 0; i < r->npages; i++)
    {
        appendStringInfo(&s, "<section id=\"page-%d\">\n", r->pages[i].number);
        for (int j = 0; j < r->pages[i].nelements; j++)
            put_element(&s, &r->pages[i].elements[j]);
        appendStringInfoString(&s, "</section>\n");
    }
    appendStringInfoString(&s, "</body>\n</html>\n");
    PG_RETURN_TEXT_P(cstring_to_text_with_len(s.data, s.len));
}

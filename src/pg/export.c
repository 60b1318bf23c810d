/* export.c - a result in the forms that other programs read; this file walks, the formats write.
 *
 * Lines keep their own boxes. Boxes of words are estimates within their line (place.c); an element whose lines are not
 * known lends its box to all its lines and words. Sharp edge: these functions are IMMUTABLE, so no time of day. */
#include "compat.h"

#include <math.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "export.h"
#include "place.h"

PG_FUNCTION_INFO_V1(dsocr_to_tsv);
PG_FUNCTION_INFO_V1(dsocr_to_hocr);
PG_FUNCTION_INFO_V1(dsocr_to_alto);
PG_FUNCTION_INFO_V1(dsocr_to_page);

typedef struct Walk
{
    const ExportFormat *f;
    StringInfo out;
    ExportPlace at;
} Walk;

static void
set_box(ExportPlace *p, const BOX *box)
{
    p->x0 = (int)Max(0, rint(box->low.x));
    p->y0 = (int)Max(0, rint(box->low.y));
    p->x1 = (int)Max(p->x0, rint(box->high.x));
    p->y1 = (int)Max(p->y0, rint(box->high.y));
}

static void
call(Walk *w, void (*write)(StringInfo, const ExportPlace *))
{
    if (write)
        write(w->out, &w->at);
}

static void
append(StringInfo out, const char *tail)
{
    if (tail)
        appendStringInfoString(out, tail);
}

static BOX
box_of_page(const ReadPage *p)
{
    return (BOX){.high = {p->width, p->height}};
}

/* ---- lines ---- */

/* whole: [n], of which `box` is the box; divide: words have their own part of it. */
static void
walk_words(Walk *w, const char *whole, const BOX *box, bool divide)
{
    int at = 0, from, n;

    w->at.word = 0;
    while ((n = place_next_word(whole, &at, &from)) > 0)
    {
        BOX part = divide ? place_in_line(whole, box, from, n) : *box;

        w->at.word++;
        w->at.text = whole + from;
        w->at.n = n;
        set_box(&w->at, &part);
        call(w, w->f->word);
    }
}

static void
walk_line(Walk *w, const char *text, const BOX *box, double confidence, bool divide)
{
    int at = 0, from;

    if (place_next_word(text, &at, &from) == 0)
        return;
    w->at.line++;
    w->at.confidence = confidence;
    w->at.text = text;
    w->at.n = strlen(text);
    set_box(&w->at, box);
    call(w, w->f->line);
    walk_words(w, text, box, divide);
    w->at.text = text;
    w->at.n = strlen(text);
    set_box(&w->at, box);
    call(w, w->f->line_end);
    append(w->out, w->f->line_tail);
}

static void
walk_lines(Walk *w, const ReadElement *e, const BOX *box)
{
    w->at.line = 0;
    for (int i = 0; i < e->nlines; i++)
    {
        const ReadLine *l = &e->lines[i];

        walk_line(w, l->text, l->has_box ? &l->box : box, l->confidence, l->has_box);
    }
    if (e->nlines > 0)
        return;
    for (const char *s = e->text, *end; *s; s = *end ? end + 1 : end)
    {
        end = s + strcspn(s, "\n");
        walk_line(w, pnstrdup(s, end - s), box, e->confidence, false);
    }
}

/* ---- elements and pages ---- */

static bool
has_text(const ReadElement *e)
{
    int at = 0, from;

    if (place_next_word(e->text, &at, &from) > 0)
        return true;
    for (int i = 0; i < e->nlines; i++)
    {
        at = 0;
        if (place_next_word(e->lines[i].text, &at, &from) > 0)
            return true;
    }
    return false;
}

static void
walk_element(Walk *w, const ReadElement *e, const BOX *page)
{
    BOX box = e->has_box ? e->box : *page;

    CHECK_FOR_INTERRUPTS();
    w->at.element = e;
    w->at.block++;
    w->at.confidence = e->confidence;
    set_box(&w->at, &box);
    if (!has_text(e))
    {
        call(w, w->f->figure);
        return;
    }
    call(w, w->f->block);
    walk_lines(w, e, &box);
    set_box(&w->at, &box);
    w->at.confidence = e->confidence;
    call(w, w->f->block_end);
    append(w->out, w->f->block_tail);
}

static void
walk_page(Walk *w, const ReadPage *page)
{
    BOX box = box_of_page(page);

    w->at.page = page;
    w->at.nth_page++;
    w->at.block = 0;
    w->at.confidence = page->confidence;
    set_box(&w->at, &box);
    call(w, w->f->page);
    for (int i = 0; i < page->nelements; i++)
        walk_element(w, &page->elements[i], &box);
    append(w->out, w->f->page_tail);
}

void
export_walk(const ExportFormat *f, const Reading *r, StringInfo out)
{
    Walk w = {.f = f, .out = out, .at = {.reading = r}};

    if (f->begin)
        f->begin(out, r);
    for (int i = 0; i < r->npages; i++)
        walk_page(&w, &r->pages[i]);
    append(out, f->tail);
}

/* ---- SQL ---- */

static Datum
exported(const ExportFormat *f, const Reading *r)
{
    StringInfoData s;

    initStringInfo(&s);
    export_walk(f, r, &s);
    return PointerGetDatum(cstring_to_text_with_len(s.data, s.len));
}

Datum
dsocr_to_tsv(PG_FUNCTION_ARGS)
{
    return exported(&export_tsv, READING_ARGUMENT(0));
}

Datum
dsocr_to_hocr(PG_FUNCTION_ARGS)
{
    return exported(&export_hocr, READING_ARGUMENT(0));
}

Datum
dsocr_to_alto(PG_FUNCTION_ARGS)
{
    return exported(&export_alto, READING_ARGUMENT(0));
}

/* A file of this format is one page. */
Datum
dsocr_to_page(PG_FUNCTION_ARGS)
{
    const Reading *r = READING_ARGUMENT(0);

    if (r->npages != 1)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a PAGE file holds one page"),
                 errdetail("This result has %d pages.", r->npages),
                 errhint("Give the pages one by one, as the result column of dsocr_pages, or "
                         "result->'document'->'pages'->0.")));
    return exported(&export_page, r);
}

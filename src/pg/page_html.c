/* page_html.c - one self-contained HTML page to look at: the scan, boxes over it, the text beside it, hits marked.
 *
 * Everything that came out of an image is escaped, and a policy in the head forbids the page to fetch anything: the
 * scan is in it as a data: URI. Boxes are placed in per cent of the page, so they fit at any width. A box and its text
 * point at each other; Tab goes from one to the next, Enter or a click from one to the other, n and p from hit to hit.
 * Sharp edge: the stored file is shown only where a browser shows it upright, as the reader saw it; else the engine
 * makes a PNG. */
#include "compat.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "tsearch/ts_type.h"
#include "utils/builtins.h"

#include "client.h"
#include "hits.h"
#include "markup.h"
#include "pictures.h"

PG_FUNCTION_INFO_V1(dsocr_page_html);

static const char head[] =
    "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
    "style-src "
    "'unsafe-inline'; script-src 'unsafe-inline'\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<link rel=\"icon\" href=\"data:,\">\n<title>dsocr</title>\n<style>\n"
    ":root { color-scheme: light dark }\n"
    "body { margin: 0; font: 16px/1.5 system-ui, sans-serif }\n"
    "header { position: sticky; top: 0; z-index: 2; padding: .5em 1em; background: Canvas; "
    "border-bottom: 1px solid "
    "GrayText }\n"
    "header button { font: inherit; min-width: 2.5em; min-height: 2em }\n"
    "h2 { margin: 0; padding: .5em .6em 0; font-size: 1.1em }\n"
    "section { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 1em; "
    "padding: 1em }\n"
    ".scan { position: relative; align-self: start }\n"
    ".scan img { display: block; width: 100%; height: auto }\n"
    ".scan a, .scan i { position: absolute; box-sizing: border-box; display: block }\n"
    ".scan a { border: 1px solid rgba(0, 90, 200, .35) }\n"
    ".scan a.on, .scan a:focus, .scan a:hover { outline: 2px solid #05c; background: rgba(0, 90, "
    "200, .12) }\n"
    ".scan i { background: #ffe34d; mix-blend-mode: multiply; border: 1px solid #e25800; "
    "pointer-events: none }\n"
    ".scan a, .text [id] { scroll-margin: 4em }\n"
    ".scan i.on { outline: 3px solid #e25800 }\n"
    ".text p { margin: 0 0 .8em; white-space: pre-wrap; overflow-wrap: anywhere }\n"
    ".text p span { display: block; padding-left: 1em; text-indent: -1em }\n"
    ".text table { display: block; overflow-x: auto; margin: 0 0 .8em; border-collapse: collapse "
    "}\n"
    ".text td { padding: .1em .5em; border: 1px solid GrayText; vertical-align: top }\n"
    ".text .title { font-size: 1.5em; font-weight: bold } .text .section_header { font-size: "
    "1.2em; font-weight: bold }\n"
    ".text .page_header, .text .page_footer, .text .page_number, .text .footnote { font-size: "
    ".85em }\n"
    ".text .on, .text [tabindex]:focus { outline: 2px solid #05c }\n"
    "mark { background: #ffd600; color: #000 } mark.on { outline: 3px solid #e25800 }\n"
    "@media (max-width: 50em) { section { grid-template-columns: minmax(0, 1fr); padding: .5em } "
    "header small { display: none } }\n"
    "</style>\n</head>\n<body>\n";

static const char script[] =
    "<script>\n"
    "const marks = [...document.querySelectorAll('mark[id]')];\n"
    "let at = -1;\n"
    "function twin(e) { return document.getElementById((e.id[0] === 'b' ? 't' : 'b') + "
    "e.id.slice(1)); }\n"
    "function light(e, on) { for (const x of [e, twin(e)]) if (x) x.classList.toggle('on', on); }\n"
    "for (const e of document.querySelectorAll('[id^=\"b\"], [id^=\"t\"]')) {\n"
    "  for (const [event, on] of [['focus', 1], ['mouseenter', 1], ['blur', 0], ['mouseleave', "
    "0]])\n"
    "    e.addEventListener(event, () => light(e, !!on));\n"
    "  for (const event of ['click', 'keydown'])\n"
    "    e.addEventListener(event, v => cross(v, twin(e)));\n"
    "}\n"
    "function cross(v, to) {\n"
    "  if (!to || (v.type === 'keydown' && v.key !== 'Enter') || String(getSelection())) return;\n"
    "  v.preventDefault();\n"
    "  to.focus({ preventScroll: true });\n"
    "  to.scrollIntoView({ block: 'nearest' });\n"
    "}\n"
    "function go(step) {\n"
    "  if (!marks.length) return;\n"
    "  for (const x of document.querySelectorAll('mark.on, i.on')) x.classList.remove('on');\n"
    "  at = (at + step + marks.length) % marks.length;\n"
    "  const mark = marks[at], box = document.getElementById('h' + mark.id.slice(1));\n"
    "  mark.classList.add('on');\n"
    "  mark.scrollIntoView({ block: 'center' });\n"
    "  if (box) { box.classList.add('on'); box.scrollIntoView({ block: 'center' }); }\n"
    "  document.getElementById('at').textContent = (at + 1) + ' / ' + marks.length;\n"
    "}\n"
    "for (const [id, step] of [['next', 1], ['previous', -1]]) {\n"
    "  const button = document.getElementById(id);\n"
    "  if (button) button.addEventListener('click', () => go(step));\n"
    "}\n"
    "document.addEventListener('keydown', e => {\n"
    "  if (e.ctrlKey || e.altKey || e.metaKey) return;\n"
    "  if (e.key === 'n') go(1); else if (e.key === 'p') go(at < 0 ? 0 : -1);\n"
    "});\n"
    "</script>\n</body>\n</html>\n";

typedef struct Page
{
    StringInfo out;
    const ReadPage *page;
    Hit *hits; /* [nhits], in reading order */
    int nhits;
    int first_hit; /* number of the first on this page, in the document */
} Page;

/* ---- the scan ---- */

static bool
begins(const struct varlena *doc, const char *magic, int at, int n)
{
    return (int)VARSIZE_ANY_EXHDR(doc) >= at + n && memcmp(VARDATA_ANY(doc) + at, magic, n) == 0;
}

/* What a browser shows as the reader saw it, or NULL. A PNG's own orientation, in an eXIf chunk, browsers overlook. */
static const char *
shown_as(const struct varlena *doc, const ReadPage *page)
{
    int n = (int)Min(VARSIZE_ANY_EXHDR(doc), 1 << 20);

    if (page->rotation != 0 || page->number != 1)
        return NULL;
    if (begins(doc, "\377\330\377", 0, 3))
        return "image/jpeg";
    if (begins(doc, "\211PNG\r\n\032\n", 0, 8) && memmem(VARDATA_ANY(doc), n, "eXIf", 4) == NULL)
        return "image/png";
    return NULL;
}

static void
put_image(StringInfo out, struct varlena *doc, const ReadPage *page)
{
    struct varlena *whole = PG_DETOAST_DATUM_PACKED(PointerGetDatum(doc));
    const char *type = shown_as(whole, page);
    Datum image = type ? PointerGetDatum(whole)
                       : PointerGetDatum(picture_of(doc, psprintf("{\"page\": %d, \"rotate\": %d}",
                                                                  page->number, page->rotation)));
    text *base64 =
        DatumGetTextPP(DirectFunctionCall2(binary_encode, image, CStringGetTextDatum("base64")));

    appendStringInfo(out, "<img alt=\"page %d as it was scanned\" src=\"data:%s;base64,",
                     page->number, type ? type : "image/png");
    appendBinaryStringInfo(out, VARDATA_ANY(base64), VARSIZE_ANY_EXHDR(base64));
    appendStringInfoString(out, "\">\n");
    pfree(base64);
}

/* ---- boxes ---- */

static void
put_place(Page *p, const BOX *b)
{
    double w = Max(1, p->page->width), h = Max(1, p->page->height);

    appendStringInfo(p->out,
                     " data-bbox=\"%.0f %.0f %.0f %.0f\" "
                     "style=\"left:%.4f%%;top:%.4f%%;width:%.4f%%;height:%.4f%%\"",
                     b->low.x, b->low.y, b->high.x, b->high.y, b->low.x / w * 100,
                     b->low.y / h * 100, (b->high.x - b->low.x) / w * 100,
                     (b->high.y - b->low.y) / h * 100);
}

/* line: of the element, from 1; 0: the element as a whole. */
static void
put_name(Page *p, char kind, int element, int line)
{
    appendStringInfo(p->out, "id=\"%c%d-%d-%d\"", kind, p->page->number, element + 1, line);
}

static void
put_box(Page *p, int element, int line, const BOX *box, const char *type)
{
    appendStringInfoString(p->out, "<a tabindex=\"0\" ");
    put_name(p, 'b', element, line);
    appendStringInfoString(p->out, " href=\"#");
    appendStringInfo(p->out, "t%d-%d-%d\" title=\"", p->page->number, element + 1, line);
    markup_escape(p->out, type, strlen(type));
    appendStringInfoChar(p->out, '"');
    put_place(p, box);
    appendStringInfoString(p->out, "></a>\n");
}

static void
put_boxes(Page *p)
{
    for (int i = 0; i < p->page->nelements; i++)
    {
        const ReadElement *e = &p->page->elements[i];

        if (e->nlines == 0 && e->has_box)
            put_box(p, i, 0, &e->box, e->type);
        for (int j = 0; j < e->nlines; j++)
            if (e->lines[j].has_box)
                put_box(p, i, j + 1, &e->lines[j].box, e->type);
    }
    for (int i = 0; i < p->nhits; i++)
        if (p->hits[i].has_box)
        {
            appendStringInfo(p->out, "<i id=\"h%d\"", p->first_hit + i);
            put_place(p, &p->hits[i].box);
            appendStringInfoString(p->out, "></i>\n");
        }
}

/* ---- text ---- */

/* Bytes [at, end) of a line's text or, without one, the element's. A hit that began before goes on in a mark without
 * a name. */
static void
put_marked(Page *p, const ReadElement *e, const ReadLine *l, int at, int end)
{
    const char *text = l ? l->text : e->text;
    int begin = at;

    for (int i = 0; i < p->nhits; i++)
    {
        const Hit *h = &p->hits[i];
        int from = Max(h->from, begin), to = Min(h->from + h->n, end);

        if (h->element != e || h->line != l || from < at || from >= to)
            continue;
        markup_escape(p->out, text + at, from - at);
        if (from == h->from)
            appendStringInfo(p->out, "<mark id=\"m%d\">", p->first_hit + i);
        else
            appendStringInfoString(p->out, "<mark>");
        markup_escape(p->out, text + from, to - from);
        appendStringInfoString(p->out, "</mark>");
        at = to;
    }
    markup_escape(p->out, text + at, end - at);
}

static void
put_text(Page *p, int element, int line, const ReadElement *e, const ReadLine *l)
{
    appendStringInfoString(p->out, "<span tabindex=\"0\" ");
    put_name(p, 't', element, line);
    appendStringInfoChar(p->out, '>');
    put_marked(p, e, l, 0, strlen(l ? l->text : e->text));
    appendStringInfoString(p->out, "</span>");
}

/* Its text, in which line ends part rows and tabs part cells. */
static void
put_table(Page *p, int element, const ReadElement *e)
{
    appendStringInfoString(p->out, "<table tabindex=\"0\" ");
    put_name(p, 't', element, 0);
    appendStringInfoString(p->out, ">\n<tr><td>");
    for (int at = 0, end;; at = end + 1)
    {
        end = at + strcspn(e->text + at, "\t\n");
        put_marked(p, e, NULL, at, end);
        if (e->text[end] == '\0')
            break;
        appendStringInfoString(p->out, e->text[end] == '\t' ? "</td><td>" : "</td></tr>\n<tr><td>");
    }
    appendStringInfoString(p->out, "</td></tr>\n</table>\n");
}

static void
put_element(Page *p, int i)
{
    const ReadElement *e = &p->page->elements[i];

    if (*e->text == '\0' && e->nlines == 0)
        return;
    if (e->nlines == 0 && strcmp(e->type, "table") == 0)
    {
        put_table(p, i, e);
        return;
    }
    appendStringInfoString(p->out, "<p class=\"");
    markup_escape(p->out, e->type, strlen(e->type));
    appendStringInfoString(p->out, "\">");
    if (e->nlines == 0)
        put_text(p, i, 0, e, NULL);
    for (int j = 0; j < e->nlines; j++)
        put_text(p, i, j + 1, e, &e->lines[j]);
    appendStringInfoString(p->out, "</p>\n");
}

/* Which of several pages this is, and what is the matter with it. */
static void
put_heading(Page *p, bool several)
{
    const char *status = p->page->status ? p->page->status : "ok";
    bool well = strcmp(status, "ok") == 0;

    if (well && !several)
        return;
    appendStringInfo(p->out, "<h2>Page %d%s", p->page->number, well ? "" : ": ");
    markup_escape(p->out, status, well ? 0 : strlen(status));
    appendStringInfoString(p->out, "</h2>\n");
}

static void
put_page(Page *p, struct varlena *doc, bool several)
{
    put_heading(p, several);
    appendStringInfo(p->out, "<section aria-label=\"page %d\">\n<div class=\"scan\">\n",
                     p->page->number);
    put_image(p->out, doc, p->page);
    put_boxes(p);
    appendStringInfoString(p->out, "</div>\n<div class=\"text\">\n");
    for (int i = 0; i < p->page->nelements; i++)
        put_element(p, i);
    if (p->page->nelements == 0 && p->page->text)
    {
        appendStringInfoString(p->out, "<p>");
        markup_escape(p->out, p->page->text, strlen(p->page->text));
        appendStringInfoString(p->out, "</p>\n");
    }
    appendStringInfoString(p->out, "</div>\n</section>\n");
}

static void
put_header(StringInfo out, int hits, bool asked)
{
    appendStringInfoString(out, "<header>");
    if (asked && hits > 0)
        appendStringInfo(
            out,
            "<button id=\"previous\" aria-label=\"previous hit\" title=\"key p\">&#8592;</button> "
            "<button id=\"next\" aria-label=\"next hit\" title=\"key n\">&#8594;</button> "
            "<span id=\"at\" aria-live=\"polite\">%d hit%s</span> <small>(keys p and n)</small>",
            hits, hits == 1 ? "" : "s");
    else
        appendStringInfoString(out, asked ? "no hit" : "scan and text");
    appendStringInfoString(out, "</header>\n<main>\n");
}

/* dsocr_page_html(doc bytea, result jsonb, query tsquery, config regconfig) */
Datum
dsocr_page_html(PG_FUNCTION_ARGS)
{
    bool asked = !PG_ARGISNULL(2) && !PG_ARGISNULL(3);
    const Reading *r;
    StringInfoData out;
    Page *pages;
    int hits = 0;

    if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
        PG_RETURN_NULL();
    r = reading_of(PG_GETARG_JSONB_P(1));
    initStringInfo(&out);
    pages = palloc0(sizeof(Page) * (r->npages + 1));
    for (int i = 0; i < r->npages; i++)
    {
        pages[i] = (Page){.out = &out, .page = &r->pages[i], .first_hit = hits + 1};
        if (asked)
            pages[i].hits =
                hits_on_page(&r->pages[i], PG_GETARG_TSQUERY(2), PG_GETARG_OID(3), &pages[i].nhits);
        hits += pages[i].nhits;
    }
    appendStringInfoString(&out, head);
    put_header(&out, hits, asked);
    for (int i = 0; i < r->npages; i++)
        put_page(&pages[i], DOCUMENT(), r->npages > 1);
    appendStringInfoString(&out, "</main>\n");
    appendStringInfoString(&out, script);
    PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

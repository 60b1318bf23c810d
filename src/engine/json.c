/* json.c - stage 7 of 7: blocks -> JSON text; the only writer of the answer's form (api.md section 2).
 *
 * Written straight to text, no tree: a page of a thousand lines takes well under a millisecond. Sharp edges:
 * printf's decimal point follows the locale, so numbers are made from whole numbers here; and a key is never
 * left out because a value is missing, it is null, except those that were not asked for (lines, raw, token_ids). */
#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

/* --- text --- */

static bool
room_for(JsonOut *out, size_t more)
{
    size_t room = out->room ? out->room : 4096;
    char *text;

    if (out->failed || out->room - out->n >= more)
        return !out->failed;
    while (room - out->n < more)
        room *= 2;
    if ((text = realloc(out->text, room)) == NULL)
        out->failed = true;
    else
    {
        out->text = text;
        out->room = room;
    }
    return !out->failed;
}

static void
raw_bytes(JsonOut *out, const char *s, size_t n)
{
    if (!room_for(out, n + 1))
        return;
    memcpy(out->text + out->n, s, n);
    out->n += n;
    out->text[out->n] = '\0';
}

static void
raw(JsonOut *out, const char *s)
{
    raw_bytes(out, s, strlen(s));
}

/* A comma unless this is the first of its kind. */
static void
comma(JsonOut *out)
{
    char last = out->n ? out->text[out->n - 1] : '{';

    if (!out->failed && last != '{' && last != '[')
        raw(out, ",");
}

/* --- values --- */

static void
escaped(JsonOut *out, unsigned char c)
{
    static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    char text[8];

    for (const char *s = short_forms; *s; s += 2)
        if ((unsigned char)*s == c)
        {
            raw_bytes(out, (char[]){'\\', s[1]}, 2);
            return;
        }
    snprintf(text, sizeof text, "\\u%04x", c);
    raw(out, text);
}

/* Runs of plain characters go at once; broken UTF-8 becomes U+FFFD. */
static void
string_value(JsonOut *out, const char *s)
{
    size_t n, begin = 0, i = 0;
    int32_t cp;

    if (s == NULL)
    {
        raw(out, "null");
        return;
    }
    n = strlen(s);
    raw(out, "\"");
    while (i < n)
    {
        size_t step = utf8_next(s + i, n - i, &cp);
        bool plain = cp >= 32 && cp != '"' && cp != '\\';

        if (!plain)
        {
            raw_bytes(out, s + begin, i - begin);
            begin = i + step;
        }
        if (cp < 0)
            raw(out, UTF8_REPLACEMENT);
        else if (!plain)
            escaped(out, (unsigned char)cp);
        i += step;
    }
    raw_bytes(out, s + begin, n - begin);
    raw(out, "\"");
}

static void
whole_value(JsonOut *out, long long v)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", v);
    raw(out, text);
}

/* Rounded to `digits` places, trailing zeros left off; what is no number is null. */
static void
decimal_value(JsonOut *out, double v, int digits)
{
    long long scale = 1, scaled, fraction;
    char text[40];
    int n;

    if (!isfinite(v) || fabs(v) > 1e12)
    {
        raw(out, "null");
        return;
    }
    for (int i = 0; i < digits; i++)
        scale *= 10;
    scaled = llround(fabs(v) * (double)scale);
    fraction = scaled % scale;
    n = snprintf(text, sizeof text, "%s%lld", v < 0 && scaled ? "-" : "", scaled / scale);
    if (fraction)
        n += snprintf(text + n, sizeof text - (size_t)n, ".%0*lld", digits, fraction);
    while (fraction && text[n - 1] == '0')
        text[--n] = '\0';
    raw(out, text);
}

/* --- members --- */

static void
key(JsonOut *out, const char *name)
{
    comma(out);
    raw(out, "\"");
    raw(out, name);
    raw(out, "\":");
}

static void
string(JsonOut *out, const char *name, const char *value)
{
    key(out, name);
    string_value(out, value);
}

static void
whole(JsonOut *out, const char *name, long long value)
{
    key(out, name);
    whole_value(out, value);
}

/* A probability: below nought there is none. */
static void
confidence(JsonOut *out, const char *name, float value)
{
    key(out, name);
    decimal_value(out, value < 0 ? NAN : (double)value, 4);
}

static void
box(JsonOut *out, const char *name, const int v[4])
{
    char text[64];

    key(out, name);
    snprintf(text, sizeof text, "[%d,%d,%d,%d]", v[0], v[1], v[2], v[3]);
    raw(out, text);
}

static void
pixel_box(JsonOut *out, bool has, Box b)
{
    if (has)
        box(out, "bbox", (int[]){b.x0, b.y0, b.x1, b.y1});
    else
        string(out, "bbox", NULL);
}

static void
open_key(JsonOut *out, const char *name, const char *bracket)
{
    key(out, name);
    raw(out, bracket);
}

static void
open_item(JsonOut *out)
{
    comma(out);
    raw(out, "{");
}

/* --- a page --- */

static void
line(JsonOut *out, const ElementLine *l)
{
    open_item(out);
    string(out, "text", l->text);
    pixel_box(out, true, l->box);
    string(out, "geometry", l->geometry);
    confidence(out, "confidence", l->confidence);
    raw(out, "}");
}

static void
element(JsonOut *out, int id, const Element *e, bool lines)
{
    open_item(out);
    whole(out, "id", id);
    string(out, "type", e->type);
    string(out, "label", e->label);
    string(out, "content", e->content);
    string(out, "text", e->text);
    pixel_box(out, e->has_box, e->box);
    if (e->has_999)
        box(out, "bbox_999", e->box_999);
    string(out, "geometry", e->has_box ? e->geometry : NULL);
    confidence(out, "confidence", e->confidence);
    whole(out, "char_start", e->char_start);
    whole(out, "char_end", e->char_end);
    if (lines)
    {
        open_key(out, "lines", "[");
        for (int i = 0; i < e->nlines; i++)
            line(out, &e->lines[i]);
        raw(out, "]");
    }
    raw(out, "}");
}

static void
page_counts(JsonOut *out, const PageReading *p)
{
    open_key(out, "tokens", "{");
    whole(out, "vision", p->vision_tokens);
    whole(out, "prompt", p->prompt_tokens);
    whole(out, "output", p->output_tokens);
    raw(out, "}");
    open_key(out, "ms", "{");
    whole(out, "decode", p->ms_decode);
    whole(out, "encode", p->ms_encode);
    whole(out, "generate", p->ms_generate);
    raw(out, "}");
}

static void
page_extras(JsonOut *out, const PageReading *p)
{
    if (p->raw)
        string(out, "raw", p->raw);
    if (p->ids == NULL)
        return;
    open_key(out, "token_ids", "[");
    for (int i = 0; i < p->nids; i++)
    {
        comma(out);
        whole_value(out, p->ids[i]);
    }
    raw(out, "]");
}

/* 0: the file does not say. */
static void
dots_per_inch(JsonOut *out, int dpi)
{
    key(out, "dpi");
    if (dpi > 0)
        whole_value(out, dpi);
    else
        raw(out, "null");
}

static void
page_place(JsonOut *out, const PageReading *p)
{
    whole(out, "width", p->width);
    whole(out, "height", p->height);
    dots_per_inch(out, p->dpi);
    whole(out, "rotation", p->rotation);
    key(out, "skew");
    decimal_value(out, (double)p->skew, 2);
}

void
json_page(JsonOut *out, const PageReading *page)
{
    open_item(out);
    whole(out, "page", page->page);
    string(out, "status", page->status);
    string(out, "finish_reason", page->finish_reason);
    page_place(out, page);
    string(out, "text", page->text ? page->text : "");
    string(out, "markdown", page->markdown ? page->markdown : "");
    confidence(out, "confidence", page->confidence);
    confidence(out, "confidence_low", page->confidence_low);
    whole(out, "attempts", page->attempts);
    page_counts(out, page);
    open_key(out, "elements", "[");
    for (int i = 0; i < page->nelements; i++)
        element(out, i, &page->elements[i], page->want_lines);
    raw(out, "]");
    page_extras(out, page);
    raw(out, "}");
}

/* --- the document --- */

/* The pages' texts with an empty line between two; pages without text leave no gap. */
static void
document_text(JsonOut *out, const DocumentPage *pages, int n)
{
    size_t room = 1, used = 0;
    char *text;

    for (int i = 0; i < n; i++)
        room += strlen(pages[i].text ? pages[i].text : "") + 2;
    if ((text = malloc(room)) == NULL)
    {
        out->failed = true;
        return;
    }
    for (int i = 0; i < n; i++)
    {
        size_t one = strlen(pages[i].text ? pages[i].text : "");

        if (one && used)
            text[used++] = '\n', text[used++] = '\n';
        if (one)
            memcpy(text + used, pages[i].text, one);
        used += one;
    }
    text[used] = '\0';
    string(out, "text", text);
    free(text);
}

static void
error_status(JsonOut *out, const DocumentPage *pages, int n)
{
    open_key(out, "error_status", "[");
    for (int i = 0; i < n; i++)
    {
        if (pages[i].error_code == NULL)
            continue;
        open_item(out);
        whole(out, "page", pages[i].page);
        string(out, "error_code", pages[i].error_code);
        string(out, "error_message", pages[i].error_message);
        raw(out, "}");
    }
    raw(out, "]");
}

static void
metadata(JsonOut *out, const DocumentMeta *m, const DocumentPage *pages, int n)
{
    long long vision = 0, output = 0;

    for (int i = 0; i < n; i++)
    {
        vision += pages[i].vision_tokens;
        output += pages[i].output_tokens;
    }
    open_key(out, "metadata", "{");
    string(out, "model", m->model);
    string(out, "weights_sha256", m->weights_sha256);
    string(out, "dtype", m->dtype);
    string(out, "mode", m->mode);
    string(out, "options_hash", m->options_hash);
    string(out, "extension", m->extension);
    key(out, "cached");
    raw(out, m->cached ? "true" : "false");
    string(out, "device", m->device);
    string(out, "started_at", m->started_at);
    key(out, "duration_ms");
    decimal_value(out, m->duration_ms, 0);
    open_key(out, "tokens", "{");
    whole(out, "vision", vision);
    whole(out, "output", output);
    raw(out, "}}");
}

void
json_document(JsonOut *out, const DocumentMeta *meta, const DocumentPage *pages, int n)
{
    open_item(out);
    string(out, "version", "1.0");
    open_key(out, "document", "{");
    string(out, "sha256", meta->sha256);
    string(out, "format", meta->format);
    whole(out, "page_count", meta->page_count);
    document_text(out, pages, n);
    open_key(out, "pages", "[");
    for (int i = 0; i < n; i++)
    {
        comma(out);
        raw(out, pages[i].json);
    }
    raw(out, "]}");
    error_status(out, pages, n);
    metadata(out, meta, pages, n);
    raw(out, "}");
}

/* --- other answers --- */

static void
info_page(JsonOut *out, int number, const ImagePage *p)
{
    open_item(out);
    whole(out, "page", number);
    whole(out, "width", p->width);
    whole(out, "height", p->height);
    dots_per_inch(out, p->dpi);
    whole(out, "orientation", p->orientation);
    if (p->status != DS_OK)
    {
        string(out, "error_code", ds_status_name(p->status));
        string(out, "error_message", p->message);
    }
    raw(out, "}");
}

void
json_info(JsonOut *out, const ImageInfo *info, size_t bytes, const char *sha256)
{
    open_item(out);
    string(out, "format", image_format_name(info->format));
    whole(out, "page_count", info->page_count);
    string(out, "sha256", sha256);
    whole(out, "bytes", (long long)bytes);
    open_key(out, "pages", "[");
    for (int i = 0; i < info->page_count; i++)
        info_page(out, i + 1, &info->pages[i]);
    raw(out, "]}");
}

void
json_error(JsonOut *out, const DsError *err)
{
    open_item(out);
    string(out, "status", ds_status_name(err->status));
    string(out, "message", err->message);
    string(out, "detail", err->detail);
    string(out, "hint", err->hint);
    raw(out, "}");
}

DsStatus
json_text(JsonOut *out, char **text, size_t *n, DsError *err)
{
    if (!out->failed)
        raw(out, "");
    *text = out->failed ? NULL : out->text;
    *n = out->failed ? 0 : out->n;
    if (out->failed)
        free(out->text);
    out->text = NULL;
    out->n = out->room = 0;
    if (!out->failed)
        return DS_OK;
    out->failed = false;
    return ds_fail(err, DS_BROKEN, "out of memory for an answer");
}

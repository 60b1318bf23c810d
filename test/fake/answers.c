/* answers.c - documents, infos and errors of the fake engine. */
#include "answers.h"
#include "sha256.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *
format_of(const char *body, size_t n)
{
    if (n >= 4 && memcmp(body, "\x89PNG", 4) == 0)
        return "png";
    if (n >= 2 && memcmp(body, "\xff\xd8", 2) == 0)
        return "jpeg";
    return "tiff";
}

/* Malloc'd; without a zero byte inside. */
static char *
text_of(const Faults *f, const char *body, size_t n, int page)
{
    unsigned long long mark = 0xcbf29ce484222325ull;
    char *text = NULL, *end;
    size_t length;

    if (n >= 5 && memcmp(body, "TEXT:", 5) == 0)
    {
        text = strndup(body + 5, n - 5);
        if ((end = strstr(text, "FAKE:")) != NULL)
            *end = '\0';
        return text;
    }
    for (size_t i = 0; i < n; i++)
        mark = (mark ^ (unsigned char)body[i]) * 0x100000001b3ull;
    if (asprintf(&text, "page %d of %zu bytes, mark %016llx", page, n, mark) < 0)
        abort();
    length = strlen(text);
    if (f->big > (int)length)
    {
        text = realloc(text, (size_t)f->big + 1);
        memset(text + length, 'x', (size_t)f->big - length);
        text[f->big] = '\0';
    }
    return text;
}

/* The same, of who asks a question. */
static char *
answer_of(const Faults *f, const char *options, const char *body, size_t n, int page)
{
    json_t *asked = json_loads(options, 0, NULL);
    const char *question = json_string_value(json_object_get(asked, "question"));
    char *text = NULL;

    if (question == NULL)
        text = text_of(f, body, n, page);
    else if (asprintf(&text, "%d: %s", page, question) < 0)
        abort();
    json_decref(asked);
    return text;
}

static json_t *
element_of(const char *text)
{
    int length = (int)strlen(text);

    return json_pack("{s:i, s:s, s:n, s:s, s:s, s:[i,i,i,i], s:s, s:f, s:i, s:i,"
                     " s:[{s:s, s:[i,i,i,i], s:s, s:f}]}",
                     "id", 0, "type", "text", "label", "content", text, "text", text, "bbox", 100,
                     200, 900, 240, "geometry", "measured", "confidence", 0.9, "char_start", 0,
                     "char_end", length, "lines", "text", text, "bbox", 100, 200, 900, 240,
                     "geometry", "measured", "confidence", 0.9);
}

static json_t *
page_of(const Faults *f, const char *text, int page)
{
    bool bad = page == f->bad_page;
    json_t *elements = json_array();

    if (!bad)
        json_array_append_new(elements, element_of(text));
    return json_pack("{s:i, s:s, s:s, s:i, s:i, s:i, s:i, s:s, s:s, s:f, s:f, s:i,"
                     " s:{s:i,s:i,s:i}, s:{s:i,s:i,s:i}, s:o}",
                     "page", page, "status", bad ? "error" : "ok", "finish_reason",
                     bad ? "none" : "eos", "width", 1000, "height", 1400, "dpi", 144, "rotation", 0,
                     "text", bad ? "" : text, "markdown", bad ? "" : text, "confidence", 0.9,
                     "confidence_low", 0.7, "attempts", f->attempts > 0 ? f->attempts : 1, "tokens",
                     "vision", 16, "prompt", 20, "output", 12, "ms", "decode", 1, "encode", 2,
                     "generate", 3, "elements", elements);
}

static json_t *
metadata_of(const char *options)
{
    json_t *asked = json_loads(options, 0, NULL);
    const char *mode = json_string_value(json_object_get(asked, "mode"));
    json_t *metadata;

    metadata = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:i, s:{s:i,s:i}}", "model",
                         "fake", "weights_sha256", "0", "dtype", "f32", "mode",
                         mode ? mode : "layout", "options_hash", "0", "extension", "0", "cached", 0,
                         "device", "none", "started_at", "2000-01-01T00:00:00.000Z", "duration_ms",
                         6, "tokens", "vision", 16, "output", 12);
    json_decref(asked);
    return metadata;
}

static const char *
sick_text(const Faults *f)
{
    return f->bad_utf8 ? "broken \xff\xc3( end" : "zero \\u0000 end";
}

/* Puts text that no JSON library would write in place of the word SICK. */
static char *
make_sick(char *json, const char *text)
{
    char *at, *whole;
    size_t before;

    while ((at = strstr(json, "SICK")) != NULL)
    {
        before = (size_t)(at - json);
        if (asprintf(&whole, "%.*s%s%s", (int)before, json, text, at + 4) < 0)
            abort();
        free(json);
        json = whole;
    }
    return json;
}

int
fake_pages(const Faults *f, const char *options, int *pages)
{
    json_t *asked = json_loads(options, 0, NULL);
    const char *s = json_string_value(json_object_get(asked, "pages"));
    int count = f->pages > 0 ? f->pages : 1, n = 0, first, last, used;

    if (s == NULL || strcmp(s, "all") == 0)
        for (int page = 1; page <= count && n < FAKE_PAGES; page++)
            pages[n++] = page;
    for (; n == 0 || (s && *s == ','); s += used)
    {
        s += *s == ',';
        used = 0;
        if (sscanf(s, "%d%n-%d%n", &first, &used, &last, &used) < 2)
            last = first;
        if (used == 0)
            break;
        for (int page = first; page <= last && page <= count && n < FAKE_PAGES; page++)
            pages[n++] = page;
    }
    if (n == 0)
        pages[n++] = 1;
    json_decref(asked);
    return n;
}

char *
fake_reading(const Faults *f, const char *options, const char *body, size_t n, const int *asked,
             int nasked)
{
    bool sick = f->bad_utf8 || f->nul;
    json_t *pages = json_array(), *errors = json_array(), *all;
    int count = f->pages > 0 ? f->pages : 1;
    char hex[65], *json, *first = sick ? strdup("SICK") : answer_of(f, options, body, n, 1);

    for (int i = 0; i < nasked; i++)
    {
        int page = asked[i];
        char *text = sick ? strdup("SICK") : answer_of(f, options, body, n, page);

        json_array_append_new(pages, page_of(f, text, page));
        if (page == f->bad_page)
            json_array_append_new(errors, json_pack("{s:i, s:s, s:s}", "page", page, "error_code",
                                                    "bad_input", "error_message",
                                                    "this page was asked to be bad"));
        free(text);
    }
    sha256_name(body, n, hex);
    all = json_pack("{s:s, s:{s:s, s:s, s:i, s:s, s:o}, s:o, s:o}", "version", "1.0", "document",
                    "sha256", hex, "format", format_of(body, n), "page_count", count, "text", first,
                    "pages", pages, "error_status", errors, "metadata", metadata_of(options));
    json = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    free(first);
    return sick ? make_sick(json, sick_text(f)) : json;
}

char *
fake_info(const Faults *f, const char *body, size_t n)
{
    int count = f->pages > 0 ? f->pages : 1;
    json_t *pages = json_array(), *all;
    char hex[65], *json;

    for (int page = 1; page <= count; page++)
        json_array_append_new(pages, json_pack("{s:i, s:i, s:i, s:i, s:i}", "page", page, "width",
                                               1000, "height", 1400, "dpi", 144, "orientation", 1));
    sha256_name(body, n, hex);
    all = json_pack("{s:s, s:i, s:s, s:I, s:o}", "format", format_of(body, n), "page_count", count,
                    "sha256", hex, "bytes", (json_int_t)n, "pages", pages);
    json = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return json;
}

char *
fake_status(const WirePong *pong)
{
    static const char *const states[] = {"", "starting", "ready", "failed"};
    json_t *all =
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:I}", "model", pong->model, "device",
                  pong->device, "state", states[pong->state & 3], "slots", (int)pong->slots,
                  "slots_used", (int)pong->slots_used, "active", (int)pong->active, "waiting",
                  (int)pong->waiting, "pages", (json_int_t)pong->pages);
    char *json = json_dumps(all, JSON_COMPACT);

    json_decref(all);
    return json;
}

char *
fake_error(const char *status, const char *message)
{
    json_t *all =
        json_pack("{s:s, s:s, s:s, s:s}", "status", status, "message", message, "detail",
                  "The fake engine was told to say so.", "hint", "Look at test/fake/faults.h.");
    char *json = json_dumps(all, JSON_COMPACT);

    json_decref(all);
    return json;
}

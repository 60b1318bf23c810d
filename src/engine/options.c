/* options.c - what a caller may ask of a reading: parsed once, unknown keys refused with the known ones listed.
 *
 * One table says each option's name, kind and range. Sharp edge: an option of api.md that is not built yet is
 * refused by name, never ignored: who asks for 300 dpi must not get 144 without a word. */
#include "options.h"

#include <jansson.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

typedef enum Kind
{
    WHOLE,   /* a whole number from low to high */
    ROTATE,  /* "auto", 0, 90, 180, 270 */
    INCLUDE, /* an array of words */
    MODEL,   /* a model's name */
    UNBUILT, /* known, and refused */
} Kind;

typedef struct Rule
{
    const char *name;
    Kind kind;
    size_t offset; /* WHOLE: of the int in DsOptions */
    int low, high;
} Rule;

#define PLACE(field) offsetof(DsOptions, field)

static const Rule rules[] = {
    {"dpi", UNBUILT, 0, 0, 0},
    {"rotate", ROTATE, 0, 0, 0},
    {"max_crops", WHOLE, PLACE(max_crops), 0, 9},
    {"max_tokens", WHOLE, PLACE(max_tokens), 1, 1 << 20},
    {"ngram_size", WHOLE, PLACE(ngram_size), 0, 1000},
    {"ngram_window", WHOLE, PLACE(ngram_window), 0, 100000},
    {"retries", WHOLE, PLACE(retries), 0, 10},
    {"include", INCLUDE, 0, 0, 0},
    {"model", MODEL, 0, 0, 0},
    {"language", UNBUILT, 0, 0, 0},
    {"timeout_ms", WHOLE, PLACE(timeout_ms), 0, 86400000},
    {"password", UNBUILT, 0, 0, 0},
    {"text_layer", UNBUILT, 0, 0, 0},
};

static const char *const words[DS_MODES] = {"layout", "text",   "describe",
                                            "figure", "locate", "ask"};

static const DsOptions defaults = {
    .mode = DS_MODE_LAYOUT,
    .rotate = -1,
    .max_crops = -1,
    .max_tokens = -1,
    .ngram_size = -1,
    .ngram_window = -1,
    .retries = 1,
};

static DsStatus
bad_value(DsError *err, const char *name, const json_t *value, const char *wanted)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

    ds_fail(err, DS_BAD_REQUEST, "option \"%s\" must be %s", name, wanted);
    ds_detail(err, "It is %.200s.", text ? text : "something else");
    free(text);
    return DS_BAD_REQUEST;
}

static DsStatus
set_whole(DsOptions *o, const Rule *rule, const json_t *value, DsError *err)
{
    char wanted[80];

    if (!json_is_integer(value) || json_integer_value(value) < rule->low ||
        json_integer_value(value) > rule->high)
    {
        snprintf(wanted, sizeof wanted, "a whole number from %d to %d", rule->low, rule->high);
        return bad_value(err, rule->name, value, wanted);
    }
    *(int *)((char *)o + rule->offset) = (int)json_integer_value(value);
    return DS_OK;
}

static DsStatus
set_rotate(DsOptions *o, const json_t *value, DsError *err)
{
    json_int_t degrees = json_is_integer(value) ? json_integer_value(value) : -1;

    if (json_is_string(value) && strcmp(json_string_value(value), "auto") == 0)
        o->rotate = -1;
    else if (degrees == 0 || degrees == 90 || degrees == 180 || degrees == 270)
        o->rotate = (int)degrees;
    else
        return bad_value(err, "rotate", value, "\"auto\", 0, 90, 180 or 270");
    return DS_OK;
}

static DsStatus
set_include(DsOptions *o, const json_t *value, DsError *err)
{
    const char *wanted = "an array of \"raw\", \"tokens\" and \"lines\"";

    if (!json_is_array(value))
        return bad_value(err, "include", value, wanted);
    for (size_t i = 0; i < json_array_size(value); i++)
    {
        const char *word = json_string_value(json_array_get(value, i));

        if (word && strcmp(word, "raw") == 0)
            o->want_raw = true;
        else if (word && strcmp(word, "tokens") == 0)
            o->want_tokens = true;
        else if (word && strcmp(word, "lines") == 0)
            o->want_lines = true;
        else
            return bad_value(err, "include", value, wanted);
    }
    return DS_OK;
}

static DsStatus
set_model(DsOptions *o, const json_t *value, DsError *err)
{
    size_t n = json_string_length(value);

    if (!json_is_string(value) || n == 0 || n >= sizeof o->model)
        return bad_value(err, "model", value, "a model's name");
    memcpy(o->model, json_string_value(value), n + 1);
    return DS_OK;
}

static DsStatus
refuse_unbuilt(const char *name, DsError *err)
{
    ds_fail(err, DS_UNSUPPORTED, "option \"%s\" is not supported yet", name);
    ds_detail(err, "It is known, but this version cannot act on it.");
    ds_hint(err, "Leave it out.");
    return DS_UNSUPPORTED;
}

static DsStatus
unknown_option(const char *name, DsError *err)
{
    char list[256] = "";
    size_t n = 0;

    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].kind != UNBUILT)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", rules[i].name);
    ds_fail(err, DS_BAD_REQUEST, "unknown option \"%.60s\"", name);
    ds_detail(err, "Known options are %s.", list);
    ds_hint(err, "Correct its name, or leave it out.");
    return DS_BAD_REQUEST;
}

static DsStatus
set_option(DsOptions *o, const char *name, const json_t *value, DsError *err)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    {
        if (strcmp(rules[i].name, name) != 0)
            continue;
        switch (rules[i].kind)
        {
            case WHOLE:
                return set_whole(o, &rules[i], value, err);
            case ROTATE:
                return set_rotate(o, value, err);
            case INCLUDE:
                return set_include(o, value, err);
            case MODEL:
                return set_model(o, value, err);
            case UNBUILT:
                return refuse_unbuilt(name, err);
        }
    }
    return unknown_option(name, err);
}

static DsStatus
set_options(DsOptions *o, json_t *options, int limit_tokens, DsError *err)
{
    const char *name;
    json_t *value;
    DsStatus st;

    if (!json_is_object(options))
        return ds_fail(err, DS_BAD_REQUEST, "options must be a JSON object");
    json_object_foreach(options, name, value)
    {
        if ((st = set_option(o, name, value, err)) != DS_OK)
            return st;
    }
    if (o->max_tokens > limit_tokens)
    {
        ds_fail(err, DS_LIMIT, "option \"max_tokens\" is over the limit");
        ds_detail(err, "It is %d, and dsocr.max_tokens is %d.", o->max_tokens, limit_tokens);
        ds_hint(err, "Ask for fewer tokens or raise dsocr.max_tokens.");
        return DS_LIMIT;
    }
    return DS_OK;
}

/* --- modes, and what is asked --- */

const char *
mode_word(DsMode mode)
{
    return words[mode];
}

int
mode_of_word(const char *word)
{
    int mode = DS_MODES - 1;

    while (mode >= 0 && strcmp(words[mode], word) != 0)
        mode--;
    return mode;
}

static DsStatus
set_mode(DsOptions *o, const json_t *value, DsError *err)
{
    const char *word = json_string_value(value);
    int mode = word ? mode_of_word(word) : -1;

    if (mode < 0)
    {
        ds_fail(err, DS_BAD_REQUEST, "unknown mode \"%.60s\"", word ? word : "");
        ds_detail(err, "Modes are \"layout\" and \"text\", and where the model can, \"describe\" "
                       "and \"figure\".");
        return ds_hint(err, "Ask for one of these, or leave the mode out.");
    }
    o->mode = (DsMode)mode;
    return DS_OK;
}

static DsStatus
set_question(DsOptions *o, const json_t *value, DsError *err)
{
    const char *text = json_string_value(value);
    size_t n = json_string_length(value);

    if (text == NULL)
        return ds_fail(err, DS_BAD_REQUEST, "the question must be text");
    utf8_strip(&text, &n);
    if (n > QUESTION_MOST)
    {
        ds_fail(err, DS_LIMIT, "the question is too long");
        ds_detail(err, "It has %zu bytes; %d are possible.", n, QUESTION_MOST);
        return ds_hint(err, "Ask more briefly.");
    }
    memcpy(o->question, text, n);
    o->question[n] = '\0';
    return DS_OK;
}

/* Both parts are known. */
static DsStatus
check_question(const DsOptions *o, DsError *err)
{
    bool needs = o->mode == DS_MODE_LOCATE || o->mode == DS_MODE_ASK;

    if (needs == (o->question[0] != '\0'))
        return DS_OK;
    if (!needs)
        return ds_fail(err, DS_BAD_REQUEST, "mode \"%s\" takes no question", words[o->mode]);
    ds_fail(err, DS_BAD_REQUEST,
            o->mode == DS_MODE_ASK ? "there is no question" : "there is no phrase to look for");
    ds_detail(err, "It is empty.");
    return ds_hint(err, o->mode == DS_MODE_ASK
                            ? "Say what is to be known of the page."
                            : "Say what is to be found, such as \"the signature\".");
}

/* --- pages --- */

#define ANY_COUNT INT_MAX /* the document has not been looked into */

static void
detail_count(int page_count, DsError *err)
{
    if (page_count == ANY_COUNT)
        ds_detail(err, "Pages are counted from 1.");
    else
        ds_detail(err, "The document has %d page%s.", page_count, page_count == 1 ? "" : "s");
}

static DsStatus
bad_pages(const char *spec, int page_count, DsError *err)
{
    ds_fail(err, DS_BAD_REQUEST, "\"%.100s\" is not a list of pages", spec);
    detail_count(page_count, err);
    ds_hint(err, "Write \"all\", or numbers and ranges counted from 1, such as \"1-3,7\".");
    return DS_BAD_REQUEST;
}

static DsStatus
no_such_page(long page, int page_count, DsError *err)
{
    ds_fail(err, DS_BAD_REQUEST, "there is no page %ld", page);
    detail_count(page_count, err);
    return ds_hint(err, "Pages are counted from 1; \"all\" asks for every one.");
}

static void
skip_spaces(const char **s)
{
    *s += strspn(*s, " ");
}

/* Digits only; -1 when there are none, and a number too large to be a page when there are too many. */
static long
number(const char **s)
{
    long n = -1;

    skip_spaces(s);
    for (; **s >= '0' && **s <= '9'; ++*s)
        n = (n < 0 ? 0 : n) < 100000000 ? (n < 0 ? 0 : n) * 10 + (**s - '0') : n;
    skip_spaces(s);
    return n;
}

/* "7" or "1-3" -> marks in wanted[page - 1]; NULL: it is only looked whether that is a list. */
static DsStatus
mark_range(const char **s, const char *spec, int page_count, bool *wanted, DsError *err)
{
    long first = number(s), last = first;

    if (**s == '-')
    {
        ++*s;
        last = number(s);
    }
    if (first < 0 || last < first)
        return bad_pages(spec, page_count, err);
    if (first < 1 || last > page_count)
        return no_such_page(first < 1 || first > page_count ? first : last, page_count, err);
    for (long p = first; wanted && p <= last; p++)
        wanted[p - 1] = true;
    return DS_OK;
}

static DsStatus
mark_pages(const char *spec, int page_count, bool *wanted, DsError *err)
{
    const char *s = spec;
    DsStatus st;

    skip_spaces(&s);
    if (strncmp(s, "all", 3) == 0 && strspn(s + 3, " ") == strlen(s + 3))
    {
        if (wanted)
            memset(wanted, true, (size_t)page_count * sizeof *wanted);
        return DS_OK;
    }
    for (;; s++)
    {
        if ((st = mark_range(&s, spec, page_count, wanted, err)) != DS_OK)
            return st;
        if (*s == '\0')
            return DS_OK;
        if (*s != ',')
            return bad_pages(spec, page_count, err);
    }
}

/* --- a request --- */

static DsStatus
set_pages(DsRequest *r, const json_t *value, DsError *err)
{
    const char *pages = json_string_value(value);

    if (pages == NULL)
        return ds_fail(err, DS_BAD_REQUEST, "pages must be text, such as \"all\" or \"1-3,7\"");
    if (strlen(pages) >= sizeof r->pages)
    {
        ds_fail(err, DS_BAD_REQUEST, "the list of pages is too long");
        ds_detail(err, "It has %zu characters; %zu are possible.", strlen(pages),
                  sizeof r->pages - 1);
        ds_hint(err, "Write ranges, such as \"1-300\".");
        return DS_BAD_REQUEST;
    }
    strcpy(r->pages, pages);
    return mark_pages(pages, ANY_COUNT, NULL, err);
}

/* A part that is null is as one that is missing: SQL arguments default to NULL. */
static DsStatus
set_parts(DsRequest *r, json_t *request, int limit_tokens, DsError *err)
{
    const char *name;
    json_t *value;
    DsStatus st = DS_OK;

    json_object_foreach(request, name, value)
    {
        if (json_is_null(value))
            continue;
        if (strcmp(name, "mode") == 0)
            st = set_mode(&r->options, value, err);
        else if (strcmp(name, "pages") == 0)
            st = set_pages(r, value, err);
        else if (strcmp(name, "question") == 0)
            st = set_question(&r->options, value, err);
        else if (strcmp(name, "options") == 0)
            st = set_options(&r->options, value, limit_tokens, err);
        else
            st = ds_fail(err, DS_BAD_REQUEST, "unknown part \"%.60s\" of a request", name);
        if (st != DS_OK)
            return st;
    }
    return check_question(&r->options, err);
}

DsStatus
request_parse(const char *json, size_t n, int limit_tokens, DsRequest *out, DsError *err)
{
    json_error_t why;
    json_t *request = json_loadb(json, n, JSON_REJECT_DUPLICATES, &why);
    DsStatus st;

    *out = (DsRequest){.options = defaults, .pages = "all"};
    if (request == NULL)
    {
        ds_fail(err, DS_BAD_REQUEST, "the request is not valid JSON");
        ds_detail(err, "%.300s.", why.text);
        return DS_BAD_REQUEST;
    }
    if (json_is_object(request))
        st = set_parts(out, request, limit_tokens, err);
    else
        st = ds_fail(err, DS_BAD_REQUEST, "the request must be a JSON object");
    json_decref(request);
    return st;
}

/* The time limit is not in it: it decides whether there is an answer, not what it says. The question comes last, since
 * it may have anything in it. */
char *
request_canonical(const DsRequest *r, Arena *arena)
{
    const DsOptions *o = &r->options;

    return arena_printf(
        arena,
        "mode=%s pages=%s rotate=%d max_crops=%d max_tokens=%d ngram=%d/%d retries=%d "
        "include=%s%s%s model=%s%s%s",
        words[o->mode], r->pages, o->rotate, o->max_crops, o->max_tokens, o->ngram_size,
        o->ngram_window, o->retries, o->want_raw ? "r" : "", o->want_tokens ? "t" : "",
        o->want_lines ? "l" : "", o->model, o->question[0] ? " question=" : "", o->question);
}

DsStatus
pages_parse(const char *spec, int page_count, Arena *arena, int **pages, int *n, DsError *err)
{
    bool *wanted = arena_array(arena, (size_t)page_count + 1, sizeof *wanted);
    DsStatus st;

    *n = 0;
    if (wanted == NULL ||
        (*pages = arena_array(arena, (size_t)page_count + 1, sizeof **pages)) == NULL)
        return ds_fail(err, DS_LIMIT, "the list of pages needs more memory than a page may take");
    if ((st = mark_pages(spec, page_count, wanted, err)) != DS_OK)
        return st;
    for (int p = 0; p < page_count; p++)
        if (wanted[p])
            (*pages)[(*n)++] = p + 1;
    return DS_OK;
}

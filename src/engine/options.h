/* options.h - what a caller may ask of a reading: parsed once, unknown keys refused with the known ones listed. */
#ifndef DS_OPTIONS_H
#define DS_OPTIONS_H

#include "arena.h"
#include "status.h"

typedef enum DsMode
{
    DS_MODE_LAYOUT, /* grounded markdown */
    DS_MODE_TEXT,   /* plain reading */
    /* what some models can besides reading: */
    DS_MODE_DESCRIBE, /* the image in words */
    DS_MODE_FIGURE,   /* a chart or a drawing as data */
    DS_MODE_LOCATE,   /* where the thing is that the question names */
    DS_MODE_ASK,      /* whatever the question is */
    DS_MODES
} DsMode;

#define QUESTION_MOST 2000 /* bytes */

typedef struct DsOptions
{
    DsMode mode;
    int rotate;       /* -1 auto, 0, 90, 180, 270 */
    int max_crops;    /* -1: the model's */
    int max_tokens;   /* per page (line readers: per view, the model's) ; -1: the limit */
    int ngram_size;   /* -1: the model's, 0: none */
    int ngram_window; /* -1: the model's */
    int retries;      /* further attempts when a page loops */
    bool want_raw, want_tokens, want_lines;
    int timeout_ms; /* 0: none */
    char model[64]; /* "": the served one; another is DS_UNSUPPORTED */
    char question[QUESTION_MOST +
                  1]; /* of the last two modes, never empty there; "" in the others */
} DsOptions;

typedef struct DsRequest /* everything but the document */
{
    DsOptions options;
    char pages[256]; /* as asked: "all", "1-3,7" */
} DsRequest;

/* "layout", "text", "describe" ...; -1: a word that is none of them. */
const char *mode_word(DsMode mode);
int mode_of_word(const char *word);

/* json: {"mode": "layout", "pages": "all", "question": "...", "options": {...}}; missing parts take the defaults. A
 * question has no white space at its ends; without one where a mode needs it, and with one elsewhere, it is
 * DS_BAD_REQUEST. Whether the model has the mode is not looked at. Keys of options: api.md section 1. Known but unbuilt ones (dpi, language, password, text_layer: for PDF and later)
 * are DS_UNSUPPORTED, never ignored. max_tokens over limit_tokens is DS_LIMIT naming dsocr.max_tokens.
 * pages must be a list; whether the document has them pages_parse says. */
DsStatus request_parse(const char *json, size_t n, int limit_tokens, DsRequest *out, DsError *err);

/* A canonical text of everything that changes the answer: the cache's key and, hashed, options_hash. */
char *request_canonical(const DsRequest *r, Arena *arena);

/* "all", "3", "1-3,7" -> page numbers from 1, ascending, without doubles. DS_BAD_REQUEST for anything else and
 * for pages the document does not have (detail: it has N pages). */
DsStatus pages_parse(const char *spec, int page_count, Arena *arena, int **pages, int *n,
                     DsError *err);

#endif

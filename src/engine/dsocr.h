/* dsocr.h - all that src/cli and src/serve may include of the engine: open, read a page in steps, close.
 *
 * image bytes -> pixels -> views -> vision tokens -> prompt -> decoder tokens -> text + layout -> JSON
 *
 * One thread calls ds_step. ds_page_begin may run on another thread meanwhile: it touches nothing that a step
 * changes. Pages of several callers share a step's batch; a page's result does not depend on that (P8). */
#ifndef DS_DSOCR_H
#define DS_DSOCR_H

#include "adapter.h"
#include "image.h"
#include "json.h"
#include "options.h"

typedef struct DsEngine DsEngine;
typedef struct DsPage DsPage;

typedef struct DsSettings
{
    const char *model_dir;
    const char *adapter_dir; /* merged into the model at load; NULL or "": none */
    const char *backend;     /* of backend.h's device_open; NULL or "auto": DSOCR_CPU or the best */
    int threads;             /* 0: all processors */
    int max_batch;           /* sequences at once; 0: auto */
    uint64_t page_memory;    /* bytes a page's working memory may take; 0: 1 GiB */
    bool tokenizer_optional; /* dsocr dump of a directory without tokenizer.json */
    bool no_draft;           /* reads without the model's draft head: the same text, more slowly */
    /* Called at least every 100 ms of work, from the thread that works; non-zero gives up the piece of work at
     * hand with DS_CANCELLED. May be NULL. */
    int (*tick)(void *arg);
    void *tick_arg;
} DsSettings;

typedef struct DsEngineFacts
{
    const char *model, *dtype, *device, *weights_sha256;
    const AdapterFacts *adapter; /* NULL: none */
    bool reads_lines;
    int slots, threads;
    long passes; /* of the decoder, since it was opened */
    uint64_t weight_bytes, parameters;
} DsEngineFacts;

/* DS_NOT_READY with the reason when the model cannot be loaded. */
DsStatus ds_open(const DsSettings *s, DsEngine **e, DsError *err);
void ds_close(DsEngine *e);
DsEngineFacts ds_facts(const DsEngine *e);

/* Fills weights_sha256; reads every weight byte once, so it is asked for apart from ds_open. */
DsStatus ds_hash_weights(DsEngine *e, DsError *err);

/* DS_UNSUPPORTED, with the models that can, when this one has no prompt for such a request. */
DsStatus ds_can(const DsEngine *e, const DsOptions *options, DsError *err);

/* Stages 1b and 2: finds lines or cuts views of a decoded page image. The image may be released afterwards.
 * page_no counts from 1. What ds_can refuses is refused. tick as in DsSettings, for this call alone. */
DsStatus ds_page_begin(const DsEngine *e, const Image *image, int page_no, const DsOptions *options,
                       int (*tick)(void *), void *tick_arg, DsPage **page, DsError *err);

/* A page that could not be decoded is a page all the same (P5): status error, with the reason. */
DsStatus ds_page_failed(int page_no, const DsError *why, DsPage **page, DsError *err);

/* One piece of work on behalf of the pages, in their order of precedence: gives free slots to the views and
 * prompts that wait, encodes a group of views, or takes every live sequence one token further. *worked is false when no page
 * wanted anything. DS_CANCELLED: the tick said so; the pages go on with the next step as if nothing had been begun.
 * DS_BROKEN: the process must be remade. A fault of one page alone becomes that page's status. */
DsStatus ds_step(DsEngine *e, DsPage *const *pages, int n, bool *worked, DsError *err);

bool ds_page_done(const DsPage *p);
const PageReading *ds_page_reading(DsPage *p); /* of a done page; lives as long as it */

/* Views or tokens. From one time to the next neither *done nor its share of *all gets less. */
void ds_page_progress(DsPage *p, int *done, int *all);

/* Before its first step: it leaves a quarter of the slots to pages that do not give way. */
void ds_page_gives_way(DsPage *p);

/* Frees, at any time; gives the page's slots back. The caller is the thread of ds_step. */
void ds_page_end(DsEngine *e, DsPage *p);

/* ms spent, so that serve can add decoding time before json. */
void ds_page_add_decode_ms(DsPage *p, int ms);

/* For outside checks (dsocr dump): one JSON object of a page's stages; see README. prompt_ids: NULL or [n], -2 for
 * "the image rows here". */
typedef struct DsDumpOptions
{
    const char *prompt; /* NULL: the mode's or the model's */
    const int32_t *prompt_ids;
    int nprompt_ids;
    int max_tokens; /* 0: the model's */
    bool no_eos;
} DsDumpOptions;

/* *text: malloc'd. */
DsStatus ds_dump(DsEngine *e, const Image *image, const DsDumpOptions *o, char **text,
                 DsError *err);

/* For a look at a page between its stages (dsocr read --stage): "views" calls `write` for each and gives what "lines" does;
 * "lines", "tokens" and "layout" give JSON in *text, malloc'd. */
typedef DsStatus (*DsImageWriter)(const Image *image, const char *name, DsError *err);

DsStatus ds_page_stage(DsEngine *e, DsPage *p, const char *stage, DsImageWriter write, char **text,
                       DsError *err);

#endif

/* stub_engine.h - ds_* without a model, for serve's tests: the image says how its reading goes.
 *
 * The first pixels of a grey image: [0] units of work, [1] ms per unit, [2] a Trick. A step gives one unit to each
 * of the first four pages in order. The reading's text is "sum S of page P", S being the sum of the pixels, and its
 * vision tokens are the most pages that shared a step with it. Included once, by the test itself: its ds_* stand
 * before those of the archive. */
#ifndef DS_STUB_ENGINE_H
#define DS_STUB_ENGINE_H

#include "../../src/engine/dsocr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STUB_SLOTS   4
#define STUB_LOAD_MS 3000 /* of a model whose name has "slow" in it */

typedef enum Trick
{
    TRICK_NONE = 0,
    TRICK_WEDGE,    /* a step that never ends, without a tick */
    TRICK_BROKEN,   /* DS_BROKEN */
    TRICK_NO_BEGIN, /* the page's lines cannot be found */
    TRICK_BIG,      /* a text of 3 MB */
} Trick;

struct DsEngine
{
    DsSettings settings;
};

struct DsPage
{
    PageReading reading;
    char text[256];
    char *big;
    int units, done, ms, trick;
};

DsStatus
ds_open(const DsSettings *s, DsEngine **e, DsError *err)
{
    if (strstr(s->model_dir, "slow"))
        usleep(STUB_LOAD_MS * 1000);
    if (strstr(s->model_dir, "missing"))
    {
        ds_fail(err, DS_NOT_READY, "the model cannot be loaded");
        return ds_detail(err, "There is no \"%s\".", s->model_dir);
    }
    *e = calloc(1, sizeof **e);
    (*e)->settings = *s;
    return DS_OK;
}

void
ds_close(DsEngine *e)
{
    free(e);
}

DsStatus
ds_hash_weights(DsEngine *e, DsError *err)
{
    (void)e, (void)err;
    return DS_OK;
}

DsEngineFacts
ds_facts(const DsEngine *e)
{
    (void)e;
    return (DsEngineFacts){.model = "stub",
                           .dtype = "f32",
                           .device = "none",
                           .weights_sha256 = "0000",
                           .slots = STUB_SLOTS,
                           .threads = 1};
}

DsStatus
ds_can(const DsEngine *e, const DsOptions *options, DsError *err)
{
    (void)e;
    return options->mode == DS_MODE_FIGURE ? ds_fail(err, DS_UNSUPPORTED, "the stub draws nothing")
                                           : DS_OK;
}

static DsPage *
stub_page(int page_no, const char *status, const char *finish)
{
    DsPage *p = calloc(1, sizeof *p);

    p->reading = (PageReading){.page = page_no,
                               .status = status,
                               .finish_reason = finish,
                               .text = "",
                               .markdown = "",
                               .attempts = 1,
                               .confidence = 1,
                               .confidence_low = 1};
    return p;
}

DsStatus
ds_page_begin(const DsEngine *e, const Image *image, int page_no, const DsOptions *options,
              int (*tick)(void *), void *tick_arg, DsPage **page, DsError *err)
{
    DsPage *p;
    size_t sum = 0;

    (void)e, (void)options;
    if (tick(tick_arg))
        return ds_fail(err, DS_CANCELLED, "cancelled");
    if (image->pixels[2] == TRICK_NO_BEGIN)
        return ds_fail(err, DS_LIMIT, "too many lines");
    p = stub_page(page_no, "ok", "eos");
    for (size_t i = 0; i < (size_t)image->width * (size_t)image->height * (size_t)image->channels;
         i++)
        sum += image->pixels[i];
    snprintf(p->text, sizeof p->text, "sum %zu of page %d", sum, page_no);
    p->reading.text = p->reading.markdown = p->text;
    p->reading.width = image->width, p->reading.height = image->height;
    p->units = image->pixels[0], p->ms = image->pixels[1], p->trick = image->pixels[2];
    *page = p;
    return DS_OK;
}

DsStatus
ds_page_failed(int page_no, const DsError *why, DsPage **page, DsError *err)
{
    (void)err;
    *page = stub_page(page_no, "error", "none");
    snprintf((*page)->text, sizeof(*page)->text, "%s", why->message);
    (*page)->reading.error_code = ds_status_name(why->status);
    (*page)->reading.error_message = (*page)->text;
    return DS_OK;
}

static DsStatus
stub_tricks(DsPage *p, DsError *err)
{
    while (p->trick == TRICK_WEDGE)
        pause();
    if (p->trick == TRICK_BROKEN)
        return ds_fail(err, DS_BROKEN, "the device is on fire");
    if (p->trick == TRICK_BIG && p->big == NULL)
    {
        p->big = malloc(3000001);
        memset(p->big, 'b', 3000000);
        p->big[3000000] = 0;
        p->reading.text = p->big;
    }
    return DS_OK;
}

DsStatus
ds_step(DsEngine *e, DsPage *const *pages, int n, bool *worked, DsError *err)
{
    DsPage *live[STUB_SLOTS];
    int nlive = 0, ms = 0;
    DsStatus st;

    for (int i = 0; i < n && nlive < STUB_SLOTS; i++)
        if (pages[i]->done < pages[i]->units)
            live[nlive++] = pages[i];
    for (int i = 0; i < nlive; i++)
    {
        if ((st = stub_tricks(live[i], err)))
            return st;
        ms = live[i]->ms > ms ? live[i]->ms : ms;
    }
    for (; ms > 0; ms -= 10)
    {
        usleep(10000);
        if (e->settings.tick(e->settings.tick_arg))
            return ds_fail(err, DS_CANCELLED, "cancelled");
    }
    for (int i = 0; i < nlive; i++)
    {
        live[i]->done++;
        if (live[i]->reading.vision_tokens < nlive)
            live[i]->reading.vision_tokens = nlive;
    }
    *worked = nlive > 0;
    return DS_OK;
}

bool
ds_page_done(const DsPage *p)
{
    return p->done >= p->units;
}

const PageReading *
ds_page_reading(DsPage *p)
{
    return &p->reading;
}

void
ds_page_progress(DsPage *p, int *done, int *all)
{
    *done = p->done;
    *all = p->units;
}

void
ds_page_end(DsEngine *e, DsPage *p)
{
    (void)e;
    free(p->big);
    free(p);
}

void
ds_page_add_decode_ms(DsPage *p, int ms)
{
    p->reading.ms_decode += ms;
}

void
ds_page_gives_way(DsPage *p)
{
    (void)p;
}

#endif

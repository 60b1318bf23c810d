/* serve_step.c - the compute thread: opens the model, then takes the pages at hand one step further, for ever.
 *
 * Continuous batching is the engine's: all living pages of all callers of a class go into each ds_step, in the order
 * they were taken out in. This file says which class that is, and drops the pages nobody waits for any more between
 * two steps.
 * Sharp edge: the progress counter must stop when a step hangs, so it is moved here and by the engine's tick only. */
#include "serve_inner.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IDLE_MS       250
#define COMING_MS     10   /* how long interactive pages are waited for before it is asked again */
#define STALLED_STEPS 2000 /* steps in a row in which no page wanted anything and none was done */

/* ---- progress ---- */

/* The engine's, at least every 100 ms: gives up a piece of work that nobody wants any more. */
static int
step_tick(void *arg)
{
    Server *s = arg;

    s->progress++;
    if (s->stopping)
        return 1;
    for (int i = 0; i < s->npages; i++)
        if (s->pages[i]->stepped && !s->pages[i]->job->cancelled)
            return 0;
    return s->npages > 0;
}

void
page_to_engine(Server *s, PageJob *p)
{
    p->next = NULL;
    *(s->prepared_last ? &s->prepared_last->next : &s->prepared_first) = p;
    s->prepared_last = p;
    pthread_cond_signal(&s->compute);
}

/* ---- pages that are done ---- */

static char *
copy_of(const char *text)
{
    return text ? strdup(text) : NULL;
}

/* False without memory. */
static bool
keep(DonePage *done, const PageReading *r)
{
    JsonOut out = {0};
    size_t n;

    json_page(&out, r);
    if (json_text(&out, &done->json, &n, NULL) != DS_OK)
        return false;
    done->text = strdup(r->text ? r->text : "");
    done->error_code = copy_of(r->error_code);
    done->error_message = copy_of(r->error_message);
    done->vision_tokens = r->vision_tokens;
    done->output_tokens = r->output_tokens;
    return done->text != NULL;
}

static void
count(Statistics *t, const PageReading *r)
{
    t->pages++;
    t->tokens += (uint64_t)r->output_tokens;
    t->ms_decode += (uint64_t)r->ms_decode;
    t->ms_encode += (uint64_t)r->ms_encode;
    t->ms_generate += (uint64_t)r->ms_generate;
}

/* Gives the page back to its job: kept, or dropped. */
static void
release_page(Server *s, PageJob *p, bool kept)
{
    Job *job = p->job;
    bool last;

    ds_page_end(s->engine, p->page);
    pthread_mutex_lock(&s->lock);
    schedule_page_end(&s->schedule, job->ask.class_, p->charged, false);
    job->pages_done += kept;
    last = kept && job->pages_done == job->npages;
    pthread_cond_broadcast(&s->prepare);
    pthread_mutex_unlock(&s->lock);
    if (last)
        job_document(s, job);
    else if (kept && job->pagewise)
        job_part(s, job, p->index);
    pthread_mutex_lock(&s->lock);
    job->users--;
    serve_wake(s);
    pthread_mutex_unlock(&s->lock);
    free(p);
}

static void
finish_page(Server *s, PageJob *p)
{
    const PageReading *r = ds_page_reading(p->page);
    Job *job = p->job;
    DsError err = {0};
    bool kept = keep(&job->done[p->index], r);

    pthread_mutex_lock(&s->lock);
    count(&s->statistics, r);
    if (!kept)
    {
        ds_no_room(&err, "a page's result");
        job_fail(s, job, &err);
    }
    pthread_mutex_unlock(&s->lock);
    release_page(s, p, kept);
}

/* ---- time ---- */

/* 10 s and four times what its share of the work should be by the speed measured so far; or what the setting says,
 * on the clock. */
static bool
took_too_long(const Server *s, const PageJob *p)
{
    int limit = p->job->settings.page_timeout_ms;

    if (limit > 0)
        return serve_now() - p->began > limit;
    return s->ms_per_unit > 0 &&
           p->worked_ms > 10000 + 4 * s->ms_per_unit * (p->units > 0 ? p->units : 1);
}

static void
fail_slow_page(Server *s, PageJob *p)
{
    DsError why = {0}, err;
    DsPage *failed;

    ds_fail(&why, DS_CANCELLED, "the page took longer than its time");
    ds_detail(&why, "It was at %d of %d pieces after %d ms.", p->units_done, p->units,
              (int)(serve_now() - p->began));
    ds_hint(&why, "Raise dsocr.page_timeout.");
    if (ds_page_failed(p->job->pages[p->index], &why, &failed, &err) != DS_OK)
        return; /* no memory now: it goes on, and is looked at again */
    ds_page_end(s->engine, p->page);
    p->page = failed;
}

static void
learn_speed(Server *s, const PageJob *p)
{
    double speed = p->worked_ms / (p->units > 0 ? p->units : 1);

    if (p->worked_ms > 0)
        s->ms_per_unit = s->ms_per_unit > 0 ? 0.9 * s->ms_per_unit + 0.1 * speed : speed;
}

/* After a step of `ms` for n pages of a class: who got further, and so whose time it was. */
static void
account(Server *s, int class_, int n, double ms)
{
    int moved[LIVING_MOST], nmoved = 0, left[2] = {0, 0}, used = 0;

    for (int i = 0; i < s->npages; i++)
    {
        PageJob *p = s->pages[i];
        int done = p->units_done;

        ds_page_progress(p->page, &p->units_done, &p->units);
        moved[i] = p->units_done > done ? p->units_done - done : 0;
        nmoved += moved[i] > 0;
        left[p->job->ask.class_] += p->units - p->units_done;
        used += p->units - p->units_done;
        p->job->part_done = p->units_done;
        p->job->part = p->units;
    }
    for (int i = 0; i < s->npages; i++)
        if (moved[i] > 0 || (nmoved == 0 && s->pages[i]->stepped))
            s->pages[i]->worked_ms += ms / (nmoved ? nmoved : n);
    pthread_mutex_lock(&s->lock);
    schedule_worked(&s->schedule, class_, ms);
    s->schedule.units_left[0] = left[0];
    s->schedule.units_left[1] = left[1];
    s->slots_used = s->facts.reads_lines ? used : s->npages;
    if (s->slots_used > s->facts.slots)
        s->slots_used = s->facts.slots;
    s->statistics.steps++;
    pthread_cond_broadcast(&s->prepare);
    pthread_mutex_unlock(&s->lock);
}

/* ---- steps ---- */

/* Drops, finishes and gives up; returns whether any page left. */
static bool
sweep(Server *s)
{
    int kept = 0, n = s->npages;

    s->npages = 0; /* nothing for a tick to look at meanwhile */
    for (int i = 0; i < n; i++)
    {
        PageJob *p = s->pages[i];

        if (!p->job->cancelled && !ds_page_done(p->page) && took_too_long(s, p))
            fail_slow_page(s, p);
        if (p->job->cancelled)
            release_page(s, p, false);
        else if (ds_page_done(p->page))
        {
            learn_speed(s, p);
            finish_page(s, p);
        }
        else
            s->pages[kept++] = p;
    }
    s->npages = kept;
    return kept < n;
}

static double
precise_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Takes over what is prepared; waits a moment when there is nothing at all. */
static void
gather(Server *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->prepared_first == NULL && s->npages == 0)
    {
        s->slots_used = s->schedule.units_left[0] = s->schedule.units_left[1] = 0;
        serve_wait(s, &s->compute, IDLE_MS);
        if (workers_well(s))
            s->progress++;
    }
    while (s->prepared_first && s->npages < LIVING_MOST)
    {
        s->pages[s->npages++] = s->prepared_first;
        s->prepared_first = s->prepared_first->next;
    }
    if (s->prepared_first == NULL)
        s->prepared_last = NULL;
    pthread_mutex_unlock(&s->lock);
}

/* Under the lock: whether an interactive page will come to the engine by our own work alone. */
static bool
interactive_coming(const Server *s)
{
    if (s->schedule.preparing[WIRE_INTERACTIVE] > 0)
        return true;
    for (const Job *job = s->jobs; job; job = job->next)
        if (job->state == JOB_OPEN && job->kind == WIRE_READ && !job->cancelled &&
            job->ask.class_ == WIRE_INTERACTIVE)
            return true;
    return false;
}

/* The class of the next step. -1: a moment was waited instead. */
static int
choose_class(Server *s)
{
    bool has[2] = {false, false};
    double start = precise_ms();
    int class_;

    for (int i = 0; i < s->npages; i++)
        has[s->pages[i]->job->ask.class_] = true;
    pthread_mutex_lock(&s->lock);
    class_ = schedule_step_class(&s->schedule, has, interactive_coming(s));
    if (class_ < 0)
    {
        serve_wait(s, &s->compute, COMING_MS);
        schedule_worked(&s->schedule, WIRE_INTERACTIVE, precise_ms() - start);
    }
    pthread_mutex_unlock(&s->lock);
    return class_;
}

/* The pages of a class; while the other has some too, no more of bulk's than make a short step. */
static int
take_class(Server *s, int class_, DsPage **pages)
{
    bool both = false;
    int n = 0;

    for (int i = 0; i < s->npages; i++)
        both = both || s->pages[i]->job->ask.class_ != class_;
    for (int i = 0; i < s->npages; i++)
    {
        PageJob *p = s->pages[i];

        p->stepped = p->job->ask.class_ == class_ && (class_ == WIRE_INTERACTIVE || !both || n < 1);
        if (p->stepped)
            pages[n++] = p->page;
    }
    return n;
}

static DsStatus
step_class(Server *s, int class_, bool *worked, DsError *err)
{
    DsPage *pages[LIVING_MOST];
    double start = precise_ms();
    int n = take_class(s, class_, pages);
    DsStatus st = n > 0 ? ds_step(s->engine, pages, n, worked, err) : DS_OK;

    account(s, class_, n, precise_ms() - start);
    return st;
}

/* Where the class that is due cannot go on, since the other has all slots, the other does. */
static void
step(Server *s, int *stalled)
{
    DsError err = {0};
    bool worked = false;
    int class_ = choose_class(s);
    DsStatus st;

    if (class_ < 0)
        return;
    st = step_class(s, class_, &worked, &err);
    if (st == DS_OK && !worked)
        st = step_class(s, !class_, &worked, &err);
    if (st != DS_OK && st != DS_CANCELLED)
        serve_die(s, SERVE_EXIT_BROKEN, "%s: %s", err.message, err.detail);
    *stalled = worked || st == DS_CANCELLED ? 0 : *stalled + 1;
    if (*stalled > STALLED_STEPS)
        serve_die(s, SERVE_EXIT_BROKEN, "the engine leaves its pages alone");
}

/* ---- the thread ---- */

static void
open_engine(Server *s)
{
    DsSettings settings = {.model_dir = s->model_dir,
                           .adapter_dir = s->adapter_dir,
                           .threads = s->threads,
                           .max_batch = s->max_batch,
                           .tick = step_tick,
                           .tick_arg = s};
    DsError err = {0};
    DsStatus st = s->model_dir ? ds_open(&settings, &s->engine, &err)
                               : ds_fail(&err, DS_NOT_READY, "no model was named");

    if (st == DS_OK)
        st = ds_hash_weights(s->engine, &err);
    pthread_mutex_lock(&s->lock);
    if (st == DS_OK)
    {
        s->facts = ds_facts(s->engine);
        set_schedule_limits(s);
        s->schedule.ready = true;
        s->state = WIRE_READY;
    }
    else
    {
        err.status = DS_NOT_READY;
        s->failure = err;
        s->state = WIRE_FAILED;
        serve_log("no model: %s. %s", err.message, err.detail);
    }
    serve_wake(s);
    pthread_mutex_unlock(&s->lock);
}

static void *
computer_main(void *arg)
{
    Server *s = arg;
    int stalled = 0;

    open_engine(s);
    while (!s->stopping)
    {
        gather(s);
        if (sweep(s))
            stalled = 0;
        if (s->npages > 0)
            step(s, &stalled);
        s->progress++;
    }
    return NULL;
}

bool
computer_start(Server *s)
{
    return pthread_create(&s->computer, NULL, computer_main, s) == 0;
}

/* serve_work.c - the preparation threads: a document's sizes, then page after page to pixels and views.
 *
 * Pixels live from the decoder child until ds_page_begin has cut its views, so a document of 500 pages holds the
 * pixels of two. A page that cannot be decoded is a page with a status (P5), unless it is the whole document. What
 * needs no model (sizes, page images) is answered from here. */
#include "serve_inner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define WEDGED_MS 120000
#define IDLE_MS   1000
#define BULK_NICE 10 /* of the thread, and of the decoder children it orders */

/* ---- looking into documents ---- */

static uint64_t
pixel_bytes(const Job *job, int i)
{
    const ImagePage *p;

    if (i >= job->npages)
        return 0;
    p = &job->info.pages[job->pages[i] - 1];
    if (p->status != DS_OK)
        return 0;
    return (uint64_t)p->width * (uint64_t)p->height * (uint64_t)p->channels;
}

typedef struct Choice /* what becomes the job's, under the lock */
{
    int *pages, n;
    DonePage *done;
} Choice;

/* Under the lock: its pages may be taken from now on. */
static void
begin_reading(Job *job, const Choice *choice)
{
    job->pages = choice->pages;
    job->npages = choice->n;
    job->done = choice->done;
    if (job->state != JOB_OPEN)
        return;
    job->state = JOB_READING;
    job->ask.pages_left = job->npages;
    job->ask.page_bytes = pixel_bytes(job, 0);
}

static DsStatus
choose_pages(Job *job, Choice *choice, DsError *err)
{
    DsStatus st = pages_parse(job->request.pages, job->info.page_count, &job->arena, &choice->pages,
                              &choice->n, err);

    if (st != DS_OK)
        return st;
    choice->done = calloc((size_t)choice->n + 1, sizeof *choice->done);
    if (choice->done == NULL)
        return ds_no_room(err, "%d pages", choice->n);
    return DS_OK;
}

static DsStatus
info_text(Job *job, char **text, size_t *n, DsError *err)
{
    JsonOut out = {0};

    json_info(&out, &job->info, job->body_length, job->sha256);
    return json_text(&out, text, n, err);
}

static int
render_tick(void *arg)
{
    Worker *w = arg;

    w->busy_since = serve_now();
    return w->job->cancelled || w->server->stopping;
}

/* The page's PNG, or those of its lines, as the answer. */
static DsStatus
render_page(Worker *w, char **answer, size_t *n, DsError *err)
{
    Job *job = w->job;
    const RenderRequest *r = &job->render;
    Image image = {0};
    uint8_t *png = NULL;
    DsStatus st;

    if (r->page > job->info.page_count)
    {
        ds_fail(err, DS_BAD_REQUEST, "page %d does not exist", r->page);
        return ds_detail(err, "The document has %d page%s.", job->info.page_count,
                         job->info.page_count == 1 ? "" : "s");
    }
    if ((st = job->info.pages[r->page - 1].status))
        return ds_fail(err, st, "%s", job->info.pages[r->page - 1].message);
    st = sandbox_decode(w->server->sandbox, job->body, job->body_length, r->page - 1,
                        &job->settings.image, &image, job->settings.page_timeout_ms, render_tick, w,
                        err);
    if (st == DS_OK && r->nlines > 0)
        st = render_lines(&image, r, render_tick, w, &png, n, err);
    else if (st == DS_OK)
        st = render_png(&image, r, &job->settings.image, &png, n, err);
    sandbox_release(&image);
    if (st == DS_OK && *n > WIRE_MAX_REPLY)
    {
        free(png);
        st = ds_fail(err, DS_LIMIT, "the image is longer than %u MB", WIRE_MAX_REPLY >> 20);
        return ds_hint(err, "Ask for a part of the page, or for fewer dpi.");
    }
    *answer = (char *)png;
    return st;
}

static void
look_into(Worker *w, Job *job)
{
    Server *s = w->server;
    DsError err = {0};
    Choice choice = {0};
    char *text = NULL;
    size_t n = 0;
    DsStatus st = sandbox_info(s->sandbox, job->body, job->body_length, &job->settings.image,
                               &job->arena, &job->info, &err);

    if (st == DS_OK && job->kind == WIRE_INFO)
        st = info_text(job, &text, &n, &err);
    else if (st == DS_OK && job->kind == WIRE_RENDER)
        st = render_page(w, &text, &n, &err);
    else if (st == DS_OK)
        st = choose_pages(job, &choice, &err);
    pthread_mutex_lock(&s->lock);
    if (st != DS_OK)
        job_fail(s, job, &err);
    else if (job->kind != WIRE_READ)
        job_answer(s, job, WIRE_RESULT, text, n);
    else
        begin_reading(job, &choice);
    pthread_mutex_unlock(&s->lock);
}

/* ---- pages ---- */

static int
page_tick(void *arg)
{
    Worker *w = arg;

    w->busy_since = serve_now();
    return w->page->job->cancelled || w->server->stopping;
}

/* Decodes and cuts. DS_OK, or why this page has no views. */
static DsStatus
cut_page(Worker *w, PageJob *p, bool *decoded, DsError *err)
{
    Job *job = p->job;
    const ImagePage *known = &job->info.pages[job->pages[p->index] - 1];
    Image image = {0};
    int64_t start = serve_now();
    DsStatus st;

    *decoded = false;
    if (known->status != DS_OK)
        return ds_fail(err, known->status, "%s", known->message);
    st = sandbox_decode(w->server->sandbox, job->body, job->body_length, job->pages[p->index] - 1,
                        &job->settings.image, &image, job->settings.page_timeout_ms, page_tick, w,
                        err);
    if (st != DS_OK)
        return st;
    *decoded = true;
    st = ds_page_begin(w->server->engine, &image, job->pages[p->index], &job->request.options,
                       page_tick, w, &p->page, err);
    sandbox_release(&image);
    if (st != DS_OK)
        return st;
    ds_page_add_decode_ms(p->page, (int)(serve_now() - start));
    if (job->ask.class_ == WIRE_BULK)
        ds_page_gives_way(p->page);
    return DS_OK;
}

/* Whether the document has failed, and not a page of it. */
static bool
ends_document(const Job *job, bool decoded, DsStatus st)
{
    return (!decoded && job->info.page_count == 1) || st == DS_UNSUPPORTED ||
           st == DS_BAD_REQUEST || st == DS_BUSY || st == DS_BROKEN;
}

static DsStatus
prepare_page(Worker *w, PageJob *p, DsError *err)
{
    Job *job = p->job;
    DsError why = {0};
    bool decoded;
    DsStatus st = cut_page(w, p, &decoded, &why);

    *err = why;
    if (st == DS_OK || st == DS_CANCELLED || ends_document(job, decoded, st))
        return st;
    return ds_page_failed(job->pages[p->index], &why, &p->page, err);
}

/* Under the lock: nobody needs the document's bytes once its last page is decoded. */
static void
end_preparation(Server *s, Job *job)
{
    if (--job->preparing == 0 && job->ask.pages_left == 0 && job->state == JOB_READING)
        job_free_body(s, job);
}

static void
work_at_page(Worker *w, PageJob *p)
{
    Server *s = w->server;
    Job *job = p->job;
    DsError err = {0};
    DsStatus st = prepare_page(w, p, &err);

    pthread_mutex_lock(&s->lock);
    end_preparation(s, job);
    if (st == DS_OK)
    {
        p->charged = schedule_prepared(&s->schedule, job->ask.class_, p->charged);
        page_to_engine(s, p);
    }
    else
    {
        if (st != DS_CANCELLED)
            job_fail(s, job, &err);
        schedule_page_end(&s->schedule, job->ask.class_, p->charged, true);
        free(p);
        job->users--;
        serve_wake(s);
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- the threads ---- */

/* A worker for bulk takes interactive work too when no other is free. */
static bool
may_take(const Worker *w, int class_)
{
    const Server *s = w->server;

    if (class_ == WIRE_BULK || !w->for_bulk)
        return w->for_bulk == (class_ == WIRE_BULK);
    for (int i = 0; i < s->nworkers; i++)
        if (!s->workers[i].for_bulk && s->workers[i].busy_since == 0)
            return false;
    return true;
}

static Job *
next_open(const Worker *w)
{
    Job *best = NULL;

    for (Job *job = w->server->jobs; job; job = job->next)
        if (job->state == JOB_OPEN && job->users == 0 && !job->cancelled &&
            may_take(w, job->ask.class_) && (best == NULL || job->ask.class_ < best->ask.class_))
            best = job;
    return best;
}

static PageJob *
next_page(const Worker *w)
{
    Server *s = w->server;
    bool may[2] = {may_take(w, 0), may_take(w, 1)};
    Ask *a = s->state == WIRE_READY ? schedule_next_page(&s->schedule, may) : NULL;
    PageJob *p;
    Job *job;

    if (a == NULL)
        return NULL;
    job = (Job *)((char *)a - offsetof(Job, ask));
    if ((p = calloc(1, sizeof *p)) == NULL)
        serve_die(s, SERVE_EXIT_BROKEN, "out of memory");
    p->job = job;
    p->index = job->next_page++;
    p->charged = a->page_bytes;
    p->began = serve_now();
    a->page_bytes = pixel_bytes(job, job->next_page);
    job->users++;
    job->preparing++;
    return p;
}

/* Under the lock on entry and on return. False: nothing to do. */
static bool
work_once(Worker *w)
{
    Server *s = w->server;
    Job *job = next_open(w);
    PageJob *p = job ? NULL : next_page(w);

    if (job == NULL && p == NULL)
        return false;
    w->busy_since = serve_now();
    w->page = p;
    w->job = job;
    if (job)
        job->users++;
    if (!w->for_bulk) /* who left this to us may look again */
        pthread_cond_broadcast(&s->prepare);
    pthread_mutex_unlock(&s->lock);
    if (job)
        look_into(w, job);
    else
        work_at_page(w, p);
    pthread_mutex_lock(&s->lock);
    w->busy_since = 0;
    if (job)
        job->users--;
    pthread_cond_broadcast(&s->prepare);
    serve_wake(s);
    return true;
}

static void *
worker_main(void *arg)
{
    Worker *w = arg;
    Server *s = w->server;

    if (w->for_bulk)
        setpriority(PRIO_PROCESS, (id_t)gettid(), getpriority(PRIO_PROCESS, 0) + BULK_NICE);
    pthread_mutex_lock(&s->lock);
    while (!s->stopping)
        if (!work_once(w))
            serve_wait(s, &s->prepare, IDLE_MS);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

bool
workers_start(Server *s)
{
    for (int i = 0; i < s->nworkers; i++)
    {
        s->workers[i].server = s;
        s->workers[i].for_bulk = i >= (s->nworkers + 3) / 4;
        if (pthread_create(&s->workers[i].thread, NULL, worker_main, &s->workers[i]) != 0)
            return false;
    }
    return true;
}

bool
workers_well(const Server *s)
{
    int64_t now = serve_now();

    for (int i = 0; i < s->nworkers; i++)
    {
        int64_t busy = s->workers[i].busy_since;

        if (busy != 0 && now - busy > WEDGED_MS)
            return false;
    }
    return true;
}

/* serve_job.c - a job from its header to its answer. */
#include "serve_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static void
note_time(char text[32])
{
    struct timespec now;
    struct tm tm;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    n = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, 32 - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

Job *
job_new(const WireHeader *h, int64_t now)
{
    Job *job = calloc(1, sizeof *job);

    if (job == NULL)
        return NULL;
    job->id = h->id;
    job->kind = (WireKind)h->kind;
    job->arrived = now;
    job->deadline = INT64_MAX;
    job->body_length = h->body_length;
    job->ask = (Ask){.class_ = h->class_,
                     .role = h->role,
                     .database = h->database,
                     .alone = h->flags & WIRE_ALONE,
                     .many = h->flags & WIRE_MANY,
                     .reads = h->kind == WIRE_READ,
                     .bytes = h->body_length};
    job->pagewise = h->flags & WIRE_PAGEWISE;
    arena_init(&job->arena, 64u << 20);
    sha256_init(&job->hash);
    note_time(job->started_at);
    return job;
}

static void
free_page(DonePage *page)
{
    free(page->json);
    free(page->text);
    free(page->error_code);
    free(page->error_message);
    *page = (DonePage){0};
}

static void
free_pages(Job *job)
{
    for (int i = 0; job->done && i < job->npages; i++)
        free_page(&job->done[i]);
    free(job->done);
    job->done = NULL;
}

static void
free_parts(Job *job)
{
    while (job->parts)
    {
        Part *part = job->parts;

        job->parts = part->next;
        free(part->text);
        free(part);
    }
}

void
job_free(Job *job)
{
    if (job->body)
        munmap(job->body, job->body_length);
    free_pages(job);
    free_parts(job);
    arena_free(&job->arena);
    free(job->canonical);
    free(job->answer);
    free(job);
}

void
job_free_body(Server *s, Job *job)
{
    if (job->body == NULL)
        return;
    munmap(job->body, job->body_length);
    job->body = NULL;
    schedule_hold(&s->schedule, &job->ask, 0);
}

void
job_answer(Server *s, Job *job, WireType type, char *text, size_t n)
{
    if (job->state == JOB_ANSWERED)
    {
        free(text);
        return;
    }
    job->state = JOB_ANSWERED;
    job->answer_type = type;
    job->answer = text;
    job->answer_n = n;
    job->ask.pages_left = 0;
    job->cancelled = type == WIRE_ERROR; /* whoever is still at it may stop */
    serve_wake(s);
}

char *
error_text(const DsError *why, size_t *n)
{
    JsonOut out = {0};
    char *text;

    json_error(&out, why);
    (void)json_text(&out, &text, n, NULL);
    return text;
}

void
job_fail(Server *s, Job *job, const DsError *why)
{
    size_t n;
    char *text = error_text(why, &n);

    job_answer(s, job, WIRE_ERROR, text, n);
}

static DocumentMeta
meta_of(Server *s, const Job *job, char options_hash[65])
{
    Sha256 hash;
    uint8_t digest[32];

    sha256_init(&hash);
    sha256_add(&hash, job->canonical, strlen(job->canonical));
    sha256_end(&hash, digest);
    sha256_hex(digest, options_hash);
    options_hash[16] = '\0'; /* enough to tell options apart */
    return (DocumentMeta){
        .sha256 = job->sha256,
        .format = image_format_name(job->info.format),
        .page_count = job->info.page_count,
        .model = s->facts.model,
        .weights_sha256 = s->facts.weights_sha256,
        .dtype = s->facts.dtype,
        .mode = mode_word(job->request.options.mode),
        .options_hash = options_hash,
        .extension = s->extension,
        .device = s->facts.device,
        .started_at = job->started_at,
        .duration_ms = (double)(serve_now() - (job->told ? job->told : job->admitted)),
    };
}

/* only: an index, or -1 for all pages that were not told before. */
static DsStatus
write_document(const DocumentMeta *meta, const Job *job, int only, char **text, size_t *n,
               DsError *err)
{
    DocumentPage *pages = calloc((size_t)job->npages + 1, sizeof *pages);
    JsonOut out = {0};
    int npages = 0;

    for (int i = 0; pages && i < job->npages; i++)
    {
        const DonePage *done = &job->done[i];

        if ((only >= 0 && i != only) || done->json == NULL)
            continue;
        pages[npages++] = (DocumentPage){
            .json = done->json,
            .page = job->pages[i],
            .text = done->text,
            .error_code = done->error_code,
            .error_message = done->error_message,
            .vision_tokens = done->vision_tokens,
            .output_tokens = done->output_tokens,
        };
    }
    if (pages)
        json_document(&out, meta, pages, npages);
    else
        out.failed = true;
    free(pages);
    return json_text(&out, text, n, err);
}

/* The cache holds the answer as it will be given then: "cached": true. */
static void
remember(Server *s, DocumentMeta meta, const Job *job)
{
    CacheKey key = cache_key(job->digest, s->facts.weights_sha256, job->canonical);
    char *text;
    size_t n;

    meta.cached = true;
    if (write_document(&meta, job, -1, &text, &n, NULL) != DS_OK)
        return;
    pthread_mutex_lock(&s->lock);
    cache_put(s->cache, &key, text, n);
    pthread_mutex_unlock(&s->lock);
    free(text);
}

void
job_document(Server *s, Job *job)
{
    char options_hash[65], *text = NULL;
    DocumentMeta meta = meta_of(s, job, options_hash);
    DsError err = {0};
    size_t n = 0;
    DsStatus st = write_document(&meta, job, -1, &text, &n, &err);

    if (st == DS_OK && n > WIRE_MAX_REPLY)
    {
        free(text);
        st = ds_fail(&err, DS_LIMIT, "the result is longer than %u MB", WIRE_MAX_REPLY >> 20);
        ds_hint(&err, "Read fewer pages at once.");
    }
    if (st == DS_OK && job->settings.cache_bytes > 0 && job->told == 0)
        remember(s, meta, job);
    pthread_mutex_lock(&s->lock);
    if (st == DS_OK)
        job_answer(s, job, WIRE_RESULT, text, n);
    else
        job_fail(s, job, &err);
    free_pages(job);
    pthread_mutex_unlock(&s->lock);
}

/* Without memory it is told with the rest, in the end. */
void
job_part(Server *s, Job *job, int index)
{
    char options_hash[65];
    DocumentMeta meta = meta_of(s, job, options_hash);
    Part *part = calloc(1, sizeof *part);

    if (part == NULL || write_document(&meta, job, index, &part->text, &part->n, NULL) != DS_OK)
    {
        free(part);
        return;
    }
    job->told = serve_now();
    pthread_mutex_lock(&s->lock);
    free_page(&job->done[index]);
    *(job->parts ? &job->parts_last->next : &job->parts) = part;
    job->parts_last = part;
    serve_wake(s);
    pthread_mutex_unlock(&s->lock);
}

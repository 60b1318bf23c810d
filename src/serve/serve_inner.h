/* serve_inner.h - what the files of serve share: the server, its connections, its jobs.
 *
 *   socket thread (serve.c, serve_conn.c)     headers, admission, bodies, deadlines, cancels, answers; never waits
 *   preparation threads (serve_work.c)        document -> its pages' sizes; page -> pixels (a child) -> views
 *   compute thread (serve_step.c)             the model: ds_open, then ds_step over the pages at hand
 *
 * A job goes from the first thread to the second to the third and back. A thread at work on it counts in `users`;
 * the socket thread alone frees it, when nobody does and its asker has the answer or is gone.
 *
 *   WAITING -GO-> SENDING -body-> OPEN -sizes-> READING -last page-> ANSWERED     (an error: -> ANSWERED, from any) */
#ifndef DS_SERVE_INNER_H
#define DS_SERVE_INNER_H

#include "../engine/dsocr.h"
#include "../engine/sha256.h"
#include "cache.h"
#include "render.h"
#include "sandbox.h"
#include "schedule.h"
#include "wire.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

typedef struct Settings /* of CONFIG */
{
    ImageLimits image;
    int max_tokens, page_timeout_ms, max_waiting, retries;
    uint64_t max_inflight_bytes, cache_bytes;
} Settings;

typedef enum JobState
{
    JOB_WAITING,
    JOB_SENDING,
    JOB_OPEN,
    JOB_READING,
    JOB_ANSWERED,
} JobState;

typedef struct DonePage
{
    char *json, *text, *error_code, *error_message;
    int vision_tokens, output_tokens;
} DonePage;

/* A page that is read and not yet told. */
typedef struct Part
{
    struct Part *next;
    char *text; /* [n] JSON, ours */
    size_t n;
} Part;

typedef struct Conn Conn;

typedef struct Job
{
    /* the socket thread's, constant once the document is here */
    uint64_t id;
    WireKind kind;
    DsRequest request;    /* of a READ */
    RenderRequest render; /* of a RENDER; its marks are in the arena */
    char *canonical;
    Settings settings; /* as they were at GO */
    uint8_t digest[32];
    char sha256[65];
    int64_t arrived, admitted, deadline; /* monotonic ms; deadline INT64_MAX: none */
    int timeout_ms;
    bool pagewise; /* pages are told as they are read */
    char started_at[32];
    Sha256 hash;
    uint64_t received;
    Conn *conn; /* NULL: nobody waits for it any more */
    /* under the server's lock */
    Ask ask;
    JobState state;
    uint8_t *body;
    uint64_t body_length;
    int users, preparing;
    Arena arena; /* info, pages */
    ImageInfo info;
    int *pages; /* [npages] numbers asked for */
    int npages, next_page, pages_done;
    DonePage *done;           /* [npages] */
    Part *parts, *parts_last; /* in the order they were read */
    WireType answer_type;
    char *answer;
    size_t answer_n;
    struct Job *next;
    /* the compute thread's */
    int64_t told; /* the newest part; 0: none */
    /* anyone's */
    atomic_bool cancelled;
    atomic_int part_done, part; /* of the page at hand, for PROGRESS */
} Job;

typedef struct PageJob /* one page on its way through preparation and the engine */
{
    Job *job;
    int index;        /* in job->pages */
    uint64_t charged; /* pixels, in the schedule */
    DsPage *page;
    int64_t began;
    double worked_ms; /* its share of the steps */
    int units_done, units;
    bool stepped; /* in the step at hand */
    struct PageJob *next;
} PageJob;

typedef struct Worker /* a preparation thread */
{
    struct Server *server;
    pthread_t thread;
    PageJob *page;           /* at hand, or */
    Job *job;                /* what is looked into */
    bool for_bulk;           /* of low priority; the others leave bulk work alone */
    atomic_llong busy_since; /* last sign of life while busy; 0: idle */
} Worker;

enum
{
    WORKERS_MOST = 8,
    LIVING_MOST = 1024, /* pages with the engine at once; the schedule stays far below */
};

typedef struct Statistics /* under the lock */
{
    uint64_t pages, tokens, steps;
    uint64_t ms_decode, ms_encode, ms_generate;
} Statistics;

typedef struct Server
{
    /* constant after start */
    const char *socket_path, *model_dir, *adapter_dir, *lock_path, *extension;
    int threads, max_batch, control;
    Sandbox *sandbox;
    int epoll, listener, wake, signals;
    int64_t started;
    /* the socket thread's */
    Conn *conns;
    int nconns, most_conns;
    bool accepting;
    int64_t deaf_until; /* out of descriptors */
    /* under the lock */
    pthread_mutex_t lock;
    pthread_cond_t prepare, compute;
    Settings settings;
    Schedule schedule;
    Cache *cache;
    Job *jobs;
    WireState state;
    DsError failure;
    DsEngineFacts facts; /* once READY */
    PageJob *prepared_first, *prepared_last;
    int living, slots_used;
    Statistics statistics;
    /* the compute thread's */
    DsEngine *engine;
    PageJob *pages[LIVING_MOST]; /* in the order they were taken out */
    int npages;
    double ms_per_unit; /* measured; 0: not yet */
    pthread_t computer;
    /* anyone's */
    Worker workers[WORKERS_MOST];
    int nworkers; /* constant: half the processors, at least two */
    atomic_uint_fast64_t progress;
    atomic_bool stopping;
} Server;

/* serve.c */
int64_t serve_now(void); /* monotonic ms, never 0 */
void serve_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void serve_die(Server *s, int status, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
void serve_wake(Server *s);                               /* the socket thread; from any */
void serve_wait(Server *s, pthread_cond_t *cond, int ms); /* under the lock; at most so long */

extern int
    serve_stall_ms; /* how long a connection may stand still in the middle of something; tests shorten it */

/* serve_conn.c: called by the socket thread alone, without the lock */
Conn *conn_open(Server *s, int fd);
void conn_event(Server *s, Conn *c, uint32_t events);
void conn_tick(Server *s); /* admission, deadlines, answers, progress, stalled ones */

/* serve_job.c */
Job *job_new(const WireHeader *h, int64_t now);
void job_free(Job *job);
/* Takes text [n] over. Under the lock. Nothing happens when there is an answer already. */
void job_answer(Server *s, Job *job, WireType type, char *text, size_t n);
/* An error as it goes over the wire, malloc'd [n]; NULL and 0 without memory. */
char *error_text(const DsError *why, size_t *n);
void job_fail(Server *s, Job *job, const DsError *why); /* under the lock */
void job_free_body(Server *s, Job *job);                /* under the lock; when nobody reads it */
void job_document(Server *s, Job *job); /* all pages done; without the lock, by a user of the job */
void job_part(Server *s, Job *job, int index); /* one is, of a job that wants it; as job_document */

/* serve_work.c */
bool workers_start(Server *s);
bool
workers_well(const Server *s); /* no preparation thread has been at one thing for two minutes */

/* serve_step.c */
bool computer_start(Server *s);
void page_to_engine(Server *s, PageJob *p); /* under the lock */

/* serve_config.c */
extern const Settings default_settings;
DsStatus settings_parse(const char *json, size_t n, Settings *settings, DsError *err);
DsStatus request_of(const char *json, size_t n, const Settings *settings, DsRequest *out,
                    DsError *err);
void set_schedule_limits(Server *s); /* by settings and facts; under the lock */

/* serve_status.c: under the lock */
void status_pong(Server *s, WirePong *pong);
char *status_json(Server *s, size_t *n);

#endif

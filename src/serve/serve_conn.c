/* serve_conn.c - connections: headers in, GO out, documents in, answers out. The socket thread's.
 *
 *   HEADER -whole-> OPTIONS -whole-> WAITING -GO-> BODY -whole-> WORK -answer-> HEADER
 *
 * Nothing here waits, and nobody is trusted: every length is judged before memory is taken, and a connection that
 * stands still in the middle of something, reading or writing, is closed after serve_stall_ms. A closed connection is a
 * cancelled request. Sharp edge: while an answer is on its way out nothing more is read, or a client that only
 * writes would fill the memory with answers. */
#include "serve_inner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROGRESS_MS   1000
#define SLOWEST_BYTES 256 /* per ms: a body comes at 256 kB/s at least, on average */

typedef struct Out
{
    struct Out *next;
    WireHeader header;
    char *text; /* [n], ours */
    size_t n, sent;
} Out;

typedef enum ConnState
{
    CONN_HEADER,
    CONN_OPTIONS,
    CONN_WAITING,
    CONN_BODY,
    CONN_WORK,
} ConnState;

struct Conn
{
    int fd;
    ConnState state;
    bool closing; /* once all is sent */
    bool broken;  /* now */
    uint32_t interest;
    int64_t moved, began, progressed; /* last byte; first byte of this state; last PROGRESS */
    WireHeader in;
    size_t nin;
    char *options;
    size_t noptions;
    Job *job;
    Out *out, *out_last;
    Conn *next, *prev;
};

int serve_stall_ms = 30000;

/* ---- sending ---- */

static void
drop_out(Server *s, Conn *c)
{
    Out *o = c->out;

    s->schedule.replies -= o->n;
    c->out = o->next;
    if (c->out == NULL)
        c->out_last = NULL;
    free(o->text);
    free(o);
}

static void
send_out(Server *s, Conn *c)
{
    while (c->out && !c->broken)
    {
        Out *o = c->out;
        size_t head = sizeof o->header, gone = o->sent > head ? o->sent - head : 0;
        struct iovec parts[2] = {{(char *)&o->header + (head < o->sent ? head : o->sent),
                                  head < o->sent ? 0 : head - o->sent},
                                 {o->text ? o->text + gone : NULL, o->n - gone}};
        struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return;
        if (n < 0)
            c->broken = true;
        else
        {
            o->sent += (size_t)n;
            c->moved = serve_now();
            if (o->sent == head + o->n)
                drop_out(s, c);
        }
    }
}

/* Takes text over. Under the lock, as is all that follows up to "receiving". */
static void
say(Server *s, Conn *c, WireType type, uint64_t id, char *text, size_t n)
{
    Out *o = calloc(1, sizeof *o);

    if (o == NULL)
    {
        free(text);
        c->broken = true;
        return;
    }
    wire_header(&o->header, type, id);
    o->header.body_length = n;
    o->text = text;
    o->n = n;
    s->schedule.replies += n;
    if (c->out == NULL)
        c->moved = serve_now();
    *(c->out_last ? &c->out_last->next : &c->out) = o;
    c->out_last = o;
    send_out(s, c);
}

static void
say_error(Server *s, Conn *c, uint64_t id, const DsError *why)
{
    size_t n;
    char *text = error_text(why, &n);

    say(s, c, WIRE_ERROR, id, text, n);
}

/* ---- the life of a connection ---- */

static void
enter(Conn *c, ConnState state)
{
    c->state = state;
    c->began = c->moved = c->progressed = serve_now();
    if (state == CONN_HEADER)
        c->nin = 0;
}

static void
set_interest(Server *s, Conn *c)
{
    bool reads = c->state != CONN_WAITING && c->state != CONN_WORK && !c->closing;
    struct epoll_event e = {.data.ptr = c};

    e.events = EPOLLRDHUP | (c->out ? EPOLLOUT : reads ? EPOLLIN : 0);
    if (e.events != c->interest && epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &e) == 0)
        c->interest = e.events;
}

Conn *
conn_open(Server *s, int fd)
{
    Conn *c = calloc(1, sizeof *c);
    struct epoll_event e = {.events = EPOLLRDHUP | EPOLLIN, .data.ptr = c};

    if (c == NULL || epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) != 0)
    {
        free(c);
        close(fd);
        return NULL;
    }
    c->fd = fd;
    c->interest = e.events;
    enter(c, CONN_HEADER);
    c->next = s->conns;
    if (s->conns)
        s->conns->prev = c;
    s->conns = c;
    s->nconns++;
    return c;
}

static void
forget_job(Server *s, Job *job)
{
    Job **at = &s->jobs;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    job_free(job);
}

/* The asker has its answer, or is gone. */
static void
detach(Server *s, Conn *c)
{
    Job *job = c->job;

    if (job == NULL)
        return;
    c->job = NULL;
    job->conn = NULL;
    job->cancelled = true;
    schedule_leave(&s->schedule, &job->ask);
    if (job->users == 0)
        forget_job(s, job);
    pthread_cond_broadcast(&s->prepare);
}

static void
conn_close(Server *s, Conn *c)
{
    detach(s, c);
    while (c->out)
        drop_out(s, c);
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->nconns--;
    close(c->fd);
    free(c->options);
    free(c);
}

/* ---- requests ---- */

static DsStatus
check_size(const WireHeader *h, const Settings *settings, DsError *err)
{
    if (h->body_length == 0)
    {
        ds_fail(err, DS_BAD_INPUT, "the document is empty");
        ds_detail(err, "It has 0 bytes.");
        return ds_hint(err, "PNG, JPEG, TIFF and WebP images can be read.");
    }
    if (h->body_length <= settings->image.max_bytes)
        return DS_OK;
    ds_fail(err, DS_LIMIT, "the document has %llu bytes", (unsigned long long)h->body_length);
    ds_detail(err, "dsocr.max_image_bytes is %llu.", (unsigned long long)settings->image.max_bytes);
    return ds_hint(err, "Use a smaller file or raise the limit.");
}

/* All that can be said before a byte of the document is sent. */
static DsStatus
check_request(Server *s, Conn *c, Job *job, DsError *err)
{
    DsStatus st;

    if ((st = check_size(&c->in, &s->settings, err)))
        return st;
    if (job->kind == WIRE_RENDER)
        return render_parse(c->options, c->noptions, &job->arena, &job->render, err);
    if (job->kind != WIRE_READ)
        return DS_OK;
    if ((st = request_of(c->options, c->noptions, &s->settings, &job->request, err)))
        return st;
    job->canonical = request_canonical(&job->request, &job->arena);
    job->canonical = job->canonical ? strdup(job->canonical) : NULL;
    if (job->canonical == NULL)
        return ds_no_room(err, "a request");
    if (s->state != WIRE_FAILED)
        return DS_OK;
    *err = s->failure;
    return err->status;
}

static void
set_deadline(Job *job, uint32_t timeout_ms)
{
    uint32_t own = (uint32_t)job->request.options.timeout_ms;

    if (own && (timeout_ms == 0 || own < timeout_ms))
        timeout_ms = own;
    if (timeout_ms)
        job->deadline = job->arrived + timeout_ms;
    job->timeout_ms = (int)timeout_ms;
}

static DsStatus
queue(Server *s, Conn *c, Job *job, DsError *err)
{
    DsStatus st = check_request(s, c, job, err);

    if (st != DS_OK)
        return st;
    set_deadline(job, c->in.timeout_ms);
    job->settings = s->settings;
    if (!schedule_enter(&s->schedule, &job->ask))
    {
        ds_fail(err, DS_BUSY, "too many documents wait to be read");
        ds_detail(err, "%d wait; dsocr.max_waiting is %d.", s->schedule.waiting,
                  s->settings.max_waiting);
        return ds_hint(err, "Try again later or raise the limit.");
    }
    job->conn = c;
    c->job = job;
    job->next = s->jobs;
    s->jobs = job;
    return DS_OK;
}

static void
tell_status(Server *s, Conn *c)
{
    size_t n;
    char *text = status_json(s, &n);

    say(s, c, WIRE_GO, c->in.id, NULL, 0);
    say(s, c, WIRE_RESULT, c->in.id, text, n);
    enter(c, CONN_HEADER);
}

static void
start_request(Server *s, Conn *c)
{
    DsError err = {0};
    Job *job;

    if (c->in.kind == WIRE_STATUS)
    {
        tell_status(s, c);
        return;
    }
    job = job_new(&c->in, c->began);
    enter(c, CONN_WAITING);
    if (job == NULL)
        ds_no_room(&err, "a request");
    else if (queue(s, c, job, &err) == DS_OK)
        return;
    if (job)
        job_free(job);
    say_error(s, c, c->in.id, &err);
    enter(c, CONN_HEADER);
}

/* A stranger, or one of another version: told so once, then closed. */
static void
refuse(Server *s, Conn *c, const char *why, bool other_version)
{
    DsError err = {0};

    if (c->in.magic != WIRE_MAGIC)
    {
        c->broken = true;
        return;
    }
    ds_fail(&err, other_version ? DS_NOT_READY : DS_BAD_REQUEST, "the engine got %s", why);
    if (other_version)
    {
        ds_detail(&err, "It came in version %d; the engine speaks version %d.", c->in.version,
                  WIRE_VERSION);
        ds_hint(&err, "Restart the server after an upgrade of dsocr.");
    }
    say_error(s, c, c->in.id, &err);
    c->closing = true;
}

static void
take_header(Server *s, Conn *c)
{
    bool other = false;
    const char *wrong = wire_check(&c->in, WIRE_MAX_BODY, &other);

    if (wrong == NULL && c->in.type != WIRE_REQUEST)
        wrong = "a message that is no request";
    if (wrong == NULL && c->in.kind == WIRE_STATUS && c->in.body_length)
        wrong = "a body where none belongs";
    free(c->options);
    c->options = NULL;
    c->noptions = 0;
    if (wrong)
        refuse(s, c, wrong, other);
    else if (c->in.options_length == 0)
        start_request(s, c);
    else if ((c->options = malloc(c->in.options_length)) == NULL)
        c->broken = true;
    else
        c->state = CONN_OPTIONS;
}

/* ---- documents ---- */

/* The same document was read before: its answer. */
static char *
answer_from_cache(Server *s, const Job *job, size_t *n)
{
    CacheKey key;

    if (job->kind != WIRE_READ || s->state != WIRE_READY || s->settings.cache_bytes == 0)
        return NULL;
    key = cache_key(job->digest, s->facts.weights_sha256, job->canonical);
    return cache_get(s->cache, &key, n);
}

static void
take_document(Server *s, Conn *c)
{
    Job *job = c->job;
    size_t n;
    char *text;

    sha256_end(&job->hash, job->digest);
    sha256_hex(job->digest, job->sha256);
    enter(c, CONN_WORK);
    if ((text = answer_from_cache(s, job, &n)) != NULL)
    {
        job_answer(s, job, WIRE_RESULT, text, n);
        return;
    }
    job->state = JOB_OPEN;
    pthread_cond_broadcast(&s->prepare); /* one alone may be for bulk, and leave it to who sleeps */
}

/* ---- receiving: without the lock ---- */

/* As recv(2); false when there is nothing now or never. */
static bool
receive(Conn *c, void *to, size_t n, size_t *done)
{
    ssize_t got = recv(c->fd, to, n, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return false;
    if (got <= 0)
    {
        c->broken = true;
        return false;
    }
    *done += (size_t)got;
    c->moved = serve_now();
    return true;
}

static void
receive_header(Server *s, Conn *c)
{
    if (c->nin == 0)
        c->began = serve_now();
    if (!receive(c, (char *)&c->in + c->nin, sizeof c->in - c->nin, &c->nin) ||
        c->nin < sizeof c->in)
        return;
    pthread_mutex_lock(&s->lock);
    take_header(s, c);
    pthread_mutex_unlock(&s->lock);
}

static void
receive_options(Server *s, Conn *c)
{
    if (!receive(c, c->options + c->noptions, c->in.options_length - c->noptions, &c->noptions) ||
        c->noptions < c->in.options_length)
        return;
    pthread_mutex_lock(&s->lock);
    start_request(s, c);
    pthread_mutex_unlock(&s->lock);
}

/* One slice, hashed on the way. Nobody else touches the body before it is whole. */
static void
receive_body(Server *s, Conn *c)
{
    Job *job = c->job;
    size_t want = job->body_length - job->received, got = 0;

    if (!receive(c, job->body + job->received, want < WIRE_SLICE ? want : WIRE_SLICE, &got))
        return;
    sha256_add(&job->hash, job->body + job->received, got);
    job->received += got;
    if (job->received < job->body_length)
        return;
    pthread_mutex_lock(&s->lock);
    take_document(s, c);
    pthread_mutex_unlock(&s->lock);
}

static void
receive_any(Server *s, Conn *c)
{
    if (c->state == CONN_HEADER)
        receive_header(s, c);
    else if (c->state == CONN_OPTIONS)
        receive_options(s, c);
    else if (c->state == CONN_BODY && c->job)
        receive_body(s, c);
}

void
conn_event(Server *s, Conn *c, uint32_t events)
{
    if (events & EPOLLIN && !c->closing && c->out == NULL)
        receive_any(s, c);
    else if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        c->broken = true; /* nothing more to read, or nobody who reads */
    pthread_mutex_lock(&s->lock);
    if (events & EPOLLOUT)
        send_out(s, c);
    if (c->broken || (c->closing && c->out == NULL))
        conn_close(s, c);
    else
        set_interest(s, c);
    pthread_mutex_unlock(&s->lock);
}

/* ---- from time to time: under the lock ---- */

static DsStatus
check_model(const Server *s, const Job *job, DsError *err)
{
    const char *asked = job->request.options.model;

    if (job->kind != WIRE_READ)
        return DS_OK;
    if (asked[0] == '\0' || strcmp(asked, s->facts.model) == 0)
        return ds_can(s->engine, &job->request.options, err);
    ds_fail(err, DS_UNSUPPORTED, "the engine has no model \"%s\"", asked);
    ds_detail(err, "It serves \"%s\".", s->facts.model);
    return ds_hint(err, "Leave the option \"model\" out, or change dsocr.model.");
}

static void
give_go(Server *s, Job *job)
{
    Conn *c = job->conn;
    DsError err = {0};

    job->admitted = serve_now();
    if (check_model(s, job, &err) != DS_OK)
    {
        job_fail(s, job, &err);
        return;
    }
    job->body =
        mmap(NULL, job->body_length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (job->body == MAP_FAILED)
    {
        job->body = NULL;
        ds_no_room(&err, "a document of %llu bytes", (unsigned long long)job->body_length);
        job_fail(s, job, &err);
        return;
    }
    job->state = JOB_SENDING;
    enter(c, CONN_BODY);
    say(s, c, WIRE_GO, job->id, NULL, 0);
}

static void
admit(Server *s)
{
    Ask *a;

    while ((a = schedule_admit(&s->schedule)) != NULL)
        give_go(s, (Job *)((char *)a - offsetof(Job, ask)));
}

static void
check_job(Server *s, Conn *c, int64_t now)
{
    Job *job = c->job;
    DsError err = {0};

    if (job->state == JOB_ANSWERED)
        return;
    if (now >= job->deadline)
    {
        ds_fail(&err, DS_CANCELLED, "the document was not read in time");
        ds_detail(&err, "The limit was %d ms.", job->timeout_ms);
        ds_hint(&err, "Allow more time, or read fewer pages at once.");
        job_fail(s, job, &err);
    }
    else if (job->state == JOB_WAITING && job->kind == WIRE_READ && s->state == WIRE_FAILED)
        job_fail(s, job, &s->failure);
}

static void
tell_parts(Server *s, Conn *c)
{
    while (c->job->parts)
    {
        Part *part = c->job->parts;

        c->job->parts = part->next;
        say(s, c, WIRE_PAGE, c->job->id, part->text, part->n);
        free(part);
    }
}

static void
hand_over(Server *s, Conn *c)
{
    Job *job = c->job;

    tell_parts(s, c);
    if (job->state != JOB_ANSWERED)
        return;
    c->closing = c->state ==
                 CONN_BODY; /* what is still to come of the document would be taken for a header */
    say(s, c, job->answer_type, job->id, job->answer, job->answer_n);
    job->answer = NULL;
    detach(s, c);
    enter(c, CONN_HEADER);
}

static void
tell_progress(Server *s, Conn *c, int64_t now)
{
    Job *job = c->job;
    WireProgress p = {(uint32_t)job->pages_done, (uint32_t)job->npages, (uint32_t)job->part_done,
                      (uint32_t)job->part};
    char *text;

    if (c->state != CONN_WORK || c->out || now - c->progressed < PROGRESS_MS ||
        (text = malloc(sizeof p)) == NULL)
        return;
    memcpy(text, &p, sizeof p);
    c->progressed = now;
    say(s, c, WIRE_PROGRESS, job->id, text, sizeof p);
}

/* In the middle of something that the other side should go on with. */
static bool
stalled(const Conn *c, int64_t now)
{
    bool middle = c->out || (c->state == CONN_HEADER && c->nin > 0) || c->state == CONN_OPTIONS ||
                  c->state == CONN_BODY;
    uint64_t most = serve_stall_ms + (c->job ? c->job->body_length / SLOWEST_BYTES : 0);

    return middle && (now - c->moved > serve_stall_ms ||
                      (c->state == CONN_BODY && now - c->began > (int64_t)most));
}

static void
reap(Server *s)
{
    for (Job *job = s->jobs, *next; job; job = next)
    {
        next = job->next;
        if (job->conn == NULL && job->users == 0)
            forget_job(s, job);
    }
}

void
conn_tick(Server *s)
{
    int64_t now = serve_now();

    pthread_mutex_lock(&s->lock);
    admit(s);
    for (Conn *c = s->conns, *next; c; c = next)
    {
        next = c->next;
        if (c->job)
            check_job(s, c, now);
        if (c->job)
            hand_over(s, c);
        if (c->job)
            tell_progress(s, c, now);
        if (c->broken || stalled(c, now) || (c->closing && c->out == NULL))
            conn_close(s, c);
        else
            set_interest(s, c);
    }
    reap(s);
    admit(s); /* what answers have given free */
    pthread_mutex_unlock(&s->lock);
}

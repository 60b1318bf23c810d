/* sandbox.c - the engine's side of decoder children: orders out, answers in, nothing believed.
 *
 * Blob and pixels travel in memory files; the blob's is closed here as soon as it is handed over. The file
 * for pixels is as large as the limits allow and costs only what is written; it cannot be shrunk (seals), or
 * a child could make this process fault. Only what a believable answer says is mapped. */
#include "sandbox_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLICE_MS        10 /* how often a caller's wish to stop is looked at */
#define INFO_TIMEOUT_MS 60000
#define MOST_MS         60000

struct Sandbox
{
    int control; /* thread-safe: one message is one order */
    pid_t zygote;
    _Atomic uint_fast64_t last_id;
};

/* ---- life ---- */

static DsStatus
cannot_start(DsError *err, const char *why)
{
    ds_fail(err, DS_BROKEN, "cannot start the image decoder");
    return ds_detail(err, "%s", why);
}

/* The zygote says one word when it has tried a confined child. */
static bool
zygote_ready(int control)
{
    struct pollfd p = {.fd = control, .events = POLLIN};
    Answer a;

    return poll(&p, 1, 10000) == 1 &&
           recv(control, &a, sizeof a, MSG_DONTWAIT) == (ssize_t)sizeof a;
}

DsStatus
sandbox_start(Sandbox **sandbox, DsError *err)
{
    Sandbox *s = calloc(1, sizeof *s);
    int pair[2];

    if (s == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
    {
        free(s);
        return cannot_start(err, strerror(errno));
    }
    if ((s->zygote = fork()) == 0)
    {
        close(pair[0]);
        sandbox_zygote(pair[1]);
    }
    close(pair[1]);
    s->control = pair[0];
    if (s->zygote < 0 || !zygote_ready(s->control))
    {
        sandbox_stop(s);
        return cannot_start(
            err, "This machine does not let a process be forked or confined with seccomp.");
    }
    *sandbox = s;
    return DS_OK;
}

void
sandbox_stop(Sandbox *s)
{
    close(s->control);
    if (s->zygote > 0)
    {
        kill(s->zygote, SIGKILL);
        while (waitpid(s->zygote, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    free(s);
}

bool
sandbox_alive(const Sandbox *s)
{
    char byte;
    ssize_t n = recv(s->control, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

int
sandbox_fd(const Sandbox *s)
{
    return s->control;
}

/* ---- one image ---- */

typedef struct Job
{
    Sandbox *sandbox;
    Order order;
    int socket, out; /* descriptors, -1: none */
    int timeout_ms;
    int (*cancelled)(void *);
    void *arg;
    Answer answer; /* kind 0: none came */
} Job;

static DsStatus
zygote_gone(DsError *err)
{
    ds_fail(err, DS_BROKEN, "the image decoder is gone");
    return ds_hint(err, "The engine will be restarted.");
}

static DsStatus
no_descriptors(DsError *err)
{
    ds_fail(err, DS_BUSY, "no memory or descriptors for an image decoder");
    ds_detail(err, "%s.", strerror(errno));
    return ds_hint(err, "Try again when fewer pages are being read.");
}

static bool
write_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0)
    {
        ssize_t put = write(fd, p, n);

        if (put < 0 && errno != EINTR)
            return false;
        p += put > 0 ? put : 0;
        n -= put > 0 ? (size_t)put : 0;
    }
    return true;
}

static int
blob_file(const uint8_t *blob, size_t n)
{
    int fd = memfd_create("dsocr-blob", MFD_CLOEXEC);

    if (fd >= 0 && !write_all(fd, blob, n))
    {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int
out_file(uint64_t n)
{
    int fd = memfd_create("dsocr-pixels", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd >= 0 && (ftruncate(fd, (off_t)n) ||
                    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)))
    {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool
send_order(int control, const Order *o, const int *fds, size_t nfds)
{
    union
    {
        struct cmsghdr header;
        char room[CMSG_SPACE(3 * sizeof(int))];
    } buffer = {0};
    struct iovec part = {(void *)o, sizeof *o};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t n;

    if (nfds)
    {
        message.msg_control = &buffer;
        message.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        buffer.header = (struct cmsghdr){CMSG_LEN(nfds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&buffer.header), fds, nfds * sizeof(int));
    }
    do
        n = sendmsg(control, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *o;
}

static void
close_job(Job *j)
{
    if (j->socket >= 0)
        close(j->socket);
    if (j->out >= 0)
        close(j->out);
}

static DsStatus
order_child(Job *j, const uint8_t *blob, DsError *err)
{
    int pair[2] = {-1, -1}, blob_fd = blob_file(blob, j->order.blob_bytes);
    DsStatus st = DS_OK;

    j->out = out_file(j->order.out_bytes);
    if (blob_fd < 0 || j->out < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        st = no_descriptors(err);
    else if (!send_order(j->sandbox->control, &j->order, (int[3]){pair[1], blob_fd, j->out}, 3))
        st = zygote_gone(err);
    j->socket = pair[0];
    if (pair[1] >= 0)
        close(pair[1]);
    if (blob_fd >= 0)
        close(blob_fd);
    return st;
}

static int64_t
now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
kill_job(Job *j)
{
    Order o = {.kind = ORDER_KILL, .id = j->order.id};

    send_order(j->sandbox->control, &o, NULL, 0);
}

static DsStatus
out_of_time(Job *j, DsError *err)
{
    ds_fail(err, DS_LIMIT, "decoding the image took longer than %d ms", j->timeout_ms);
    ds_hint(err, "Scale the image down or raise dsocr.page_timeout.");
    kill_job(j);
    return DS_LIMIT;
}

/* How a child ended that gave no answer. */
static DsStatus
child_failed(int status, DsError *err)
{
    int s = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    ds_fail(err, DS_BAD_INPUT, "image decoder failed");
    if (s == SIGSYS)
        ds_detail(err, "It tried what it is not allowed to do and was stopped.");
    else if (s == SIGXCPU || s == SIGKILL)
        ds_detail(err, "It ran out of %s and was stopped.", s == SIGXCPU ? "time" : "memory");
    else if (s)
        ds_detail(err, "It was ended by signal %d.", s);
    else
        ds_detail(err, "It ended with status %d.", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return ds_hint(err, "The image may be damaged, or made to do harm.");
}

/* One message: DS_OK and *ended when it was the last. */
static DsStatus
take_message(Job *j, bool *ended, DsError *err)
{
    Answer a;
    ssize_t n = recv(j->socket, &a, sizeof a, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return DS_OK;
    if (n == 0)
        return zygote_gone(err);
    if (n != (ssize_t)sizeof a)
        return child_failed(0, err);
    if (a.kind == ANSWER_RESULT)
        j->answer = a;
    else if (a.kind == ANSWER_BUSY)
        return ds_fail(err, DS_BUSY, "%d images are being decoded already", SANDBOX_MOST_CHILDREN);
    else
        *ended = true;
    if (*ended && (j->answer.kind != ANSWER_RESULT || a.wait_status))
        return child_failed(a.wait_status, err);
    return DS_OK;
}

/* Until the child is gone: only then are the pixels nobody's but ours. */
static DsStatus
await(Job *j, DsError *err)
{
    int64_t deadline = now_ms() + j->timeout_ms;
    bool ended = false;
    DsStatus st = DS_OK;

    while (!ended && st == DS_OK)
    {
        struct pollfd p = {.fd = j->socket, .events = POLLIN};

        if (poll(&p, 1, SLICE_MS) > 0)
            st = take_message(j, &ended, err);
        else if (j->cancelled && j->cancelled(j->arg))
        {
            ds_fail(err, DS_CANCELLED, "decoding was cancelled");
            kill_job(j);
            return DS_CANCELLED;
        }
        else if (now_ms() > deadline)
            return out_of_time(j, err);
    }
    return st;
}

/* ---- what a child says ---- */

static void
clean(char *text, size_t room)
{
    text[room - 1] = '\0';
    for (char *p = text; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
}

/* The child's own error, if it is one that a child may have. */
static DsStatus
childs_error(Job *j, DsError *err)
{
    DsError *e = &j->answer.error;

    switch (e->status)
    {
        case DS_OK:
            return DS_OK;
        case DS_BAD_INPUT:
        case DS_BAD_REQUEST:
        case DS_LIMIT:
        case DS_UNSUPPORTED:
            clean(e->message, sizeof e->message);
            clean(e->detail, sizeof e->detail);
            clean(e->hint, sizeof e->hint);
            if (err)
                *err = *e;
            return e->status;
        default:
            return child_failed(0, err);
    }
}

static bool
sizes_believable(int width, int height, int channels, int dpi, const ImageLimits *limits)
{
    return width >= 1 && height >= 1 && width <= limits->max_side && height <= limits->max_side &&
           (uint64_t)width * (uint64_t)height <= limits->max_pixels &&
           (channels == 1 || channels == 3) && dpi >= 0 && dpi <= 10000;
}

static DsStatus
run(Job *j, const uint8_t *blob, DsError *err)
{
    DsStatus st;

    j->order.id = atomic_fetch_add(&j->sandbox->last_id, 1) + 1;
    j->order.seconds = j->timeout_ms / 1000 + 1;
    if ((st = order_child(j, blob, err)) || (st = await(j, err)))
        return st;
    return childs_error(j, err);
}

static DsStatus
take_pixels(Job *j, Image *out, DsError *err)
{
    const Answer *a = &j->answer;
    size_t bytes;
    void *pixels;

    if (!sizes_believable(a->width, a->height, a->channels, a->dpi, &j->order.limits))
        return child_failed(0, err);
    bytes = (size_t)a->width * (size_t)a->height * (size_t)a->channels;
    if (bytes > j->order.out_bytes)
        return child_failed(0, err);
    pixels = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, j->out, 0);
    if (pixels == MAP_FAILED)
        return no_descriptors(err);
    *out = (Image){a->width, a->height, a->channels, a->dpi, pixels};
    return DS_OK;
}

static bool
page_believable(const ImagePage *p, const ImageLimits *limits)
{
    if (p->orientation < 1 || p->orientation > 8)
        return false;
    if (p->status == DS_OK)
        return sizes_believable(p->width, p->height, p->channels, p->dpi, limits);
    return (p->status == DS_BAD_INPUT || p->status == DS_LIMIT || p->status == DS_UNSUPPORTED) &&
           p->width >= 0 && p->height >= 0 && p->dpi >= 0;
}

static DsStatus
take_pages(Job *j, Arena *arena, ImageInfo *info, DsError *err)
{
    const Answer *a = &j->answer;
    size_t bytes;

    if (a->page_count < 1 || a->page_count > j->order.limits.max_pages || a->format < IMAGE_PNG ||
        a->format > IMAGE_WEBP)
        return child_failed(0, err);
    bytes = (size_t)a->page_count * sizeof(ImagePage);
    *info = (ImageInfo){a->format, a->page_count, arena_alloc(arena, bytes)};
    if (info->pages == NULL || pread(j->out, info->pages, bytes, 0) != (ssize_t)bytes)
        return ds_fail(err, DS_LIMIT, "out of memory for %d pages", a->page_count);
    for (int i = 0; i < a->page_count; i++)
    {
        if (!page_believable(&info->pages[i], &j->order.limits))
            return child_failed(0, err);
        clean(info->pages[i].message, sizeof info->pages[i].message);
    }
    return DS_OK;
}

/* ---- the entries ---- */

/* What can be told from size and magic number needs no child: image_info stops there by itself. */
static bool
needs_no_child(const uint8_t *blob, size_t n, const ImageLimits *limits)
{
    ImageFormat format = n ? image_format(blob, n) : IMAGE_UNKNOWN;

    return n > limits->max_bytes || format == IMAGE_UNKNOWN || format == IMAGE_PDF;
}

static Job
new_job(Sandbox *s, OrderKind kind, size_t n, const ImageLimits *limits, uint64_t out_bytes)
{
    return (Job){
        .sandbox = s,
        .order = {.kind = kind,
                  .nice = getpriority(PRIO_PROCESS, 0),
                  .blob_bytes = n,
                  .out_bytes = out_bytes,
                  .limits = *limits},
        .socket = -1,
        .out = -1,
    };
}

DsStatus
sandbox_info(Sandbox *s, const uint8_t *blob, size_t n, const ImageLimits *limits, Arena *arena,
             ImageInfo *info, DsError *err)
{
    Job j;
    DsStatus st;

    if (needs_no_child(blob, n, limits) || limits->max_pages < 1)
        return image_info(blob, n, limits, arena, info, err);
    j = new_job(s, ORDER_INFO, n, limits, (uint64_t)limits->max_pages * sizeof(ImagePage));
    j.timeout_ms = INFO_TIMEOUT_MS;
    if ((st = run(&j, blob, err)) == DS_OK)
        st = take_pages(&j, arena, info, err);
    close_job(&j);
    return st;
}

DsStatus
sandbox_decode(Sandbox *s, const uint8_t *blob, size_t n, int page, const ImageLimits *limits,
               Image *out, int timeout_ms, int (*cancelled)(void *), void *arg, DsError *err)
{
    uint64_t room;
    Job j;
    DsStatus st;

    *out = (Image){0};
    if (needs_no_child(blob, n, limits))
        return image_decode(blob, n, page, limits, NULL, 0, out, err);
    if (ds_mul(&room, limits->max_pixels, 3) || room == 0 || room > INT64_MAX)
        return ds_fail(err, DS_LIMIT, "dsocr.max_pixels is out of range");
    j = new_job(s, ORDER_DECODE, n, limits, room);
    j.order.page = page;
    j.timeout_ms = timeout_ms > 0 ? timeout_ms : MOST_MS;
    j.cancelled = cancelled;
    j.arg = arg;
    if ((st = run(&j, blob, err)) == DS_OK)
        st = take_pixels(&j, out, err);
    close_job(&j);
    return st;
}

void
sandbox_release(Image *image)
{
    if (image->pixels)
        munmap(image->pixels,
               (size_t)image->width * (size_t)image->height * (size_t)image->channels);
    image->pixels = NULL;
}

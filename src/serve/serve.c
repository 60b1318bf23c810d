/* serve.c - dsocr serve: the process, its hardening, and the loop of the socket thread.
 *
 * Order matters at the start: the zygote of the decoder children is forked before any thread, model or open file
 * exists; then the process is confined; then the lock, the socket, the threads. The model is loaded while the
 * socket is up already. */
#include "serve.h"
#include "serve_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LOADING_MS (10 * 60 * 1000) /* how long a model may load without a sign of life */
#define BUSY_TICK  25
#define IDLE_TICK  1000
#define EVENTS     64
#define DEAF_MS    100

/* The owner's connection: whole messages are few and small. */
typedef struct Control
{
    WireHeader in;
    size_t nin, noptions;
    char options[WIRE_MAX_OPTIONS];
} Control;

/* ---- helpers ---- */

int64_t
serve_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + 1;
}

void
serve_log(const char *fmt, ...)
{
    char line[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    fprintf(stderr, "dsocr serve: %s\n", line);
}

void
serve_die(Server *s, int status, const char *fmt, ...)
{
    char line[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    serve_log("ends with status %d: %s", status, line);
    s->stopping = true;
    _exit(status);
}

void
serve_wake(Server *s)
{
    uint64_t one = 1;

    if (write(s->wake, &one, sizeof one) < 0)
        return; /* the counter is full: it is awake */
}

void
serve_wait(Server *s, pthread_cond_t *cond, int ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms % 1000 * 1000000l;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(cond, &s->lock, &until);
}

/* ---- the command line ---- */

static int
usage(void)
{
    fprintf(stderr, "usage: dsocr serve --socket PATH [--model DIR] [--adapter DIR]\n"
                    "                   [--control FD] [--lock FILE]\n"
                    "                   [--threads N] [--max-batch N] [--extension VERSION]\n");
    return SERVE_EXIT_USAGE;
}

static bool
number(const char *text, int *n)
{
    char *end;
    long v = strtol(text, &end, 10);

    *n = (int)v;
    return *text != '\0' && *end == '\0' && v >= 0 && v <= 1 << 20;
}

static bool
take_argument(Server *s, const char *name, const char *value)
{
    if (strcmp(name, "--socket") == 0)
        s->socket_path = value;
    else if (strcmp(name, "--model") == 0)
        s->model_dir = value;
    else if (strcmp(name, "--adapter") == 0)
        s->adapter_dir = value;
    else if (strcmp(name, "--lock") == 0)
        s->lock_path = value;
    else if (strcmp(name, "--extension") == 0)
        s->extension = value;
    else if (strcmp(name, "--control") == 0)
        return number(value, &s->control);
    else if (strcmp(name, "--threads") == 0)
        return number(value, &s->threads);
    else if (strcmp(name, "--max-batch") == 0)
        return number(value, &s->max_batch);
    else
        return false;
    return true;
}

static bool
take_arguments(Server *s, int argc, char **argv)
{
    s->control = -1;
    s->extension = "";
    for (int i = 1; i < argc; i += 2)
        if (i + 1 == argc || !take_argument(s, argv[i], argv[i + 1]))
            return false;
    return s->socket_path != NULL &&
           strlen(s->socket_path) < sizeof((struct sockaddr_un *)0)->sun_path;
}

/* ---- the process ---- */

/* The first to be killed when memory is short, before the database. */
static void
offer_to_oom(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, "500", 3) != 3)
        serve_log("cannot raise oom_score_adj");
    close(fd);
}

/* False: the owner is gone already. */
static bool
harden(const Server *s)
{
    struct rlimit none = {0, 0}, files;
    pid_t parent = getppid();

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &none);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
    {
        files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    offer_to_oom();
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    /* Large blocks go back to the system when they are freed; few arenas, or each thread keeps its own hoard. */
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
    mallopt(M_ARENA_MAX, 4);
    if (s->control < 0)
        return true;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return getppid() == parent && parent != 1;
}

/* Held until the process ends, however it does. */
static bool
take_lock(const Server *s)
{
    int fd = open(s->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        serve_log("cannot open the lock file \"%s\": %s", s->lock_path, strerror(errno));
    else if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    else
        serve_log("another engine holds the lock file \"%s\"", s->lock_path);
    return false;
}

static bool
watch(Server *s, int fd, void *what)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = what};

    return fd >= 0 && epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

static bool
open_socket(Server *s)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    strcpy(a.sun_path, s->socket_path);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(s->socket_path);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&a, sizeof a) != 0 ||
        listen(s->listener, 1024) != 0)
    {
        serve_log("cannot listen at \"%s\": %s", s->socket_path, strerror(errno));
        return false;
    }
    s->accepting = true;
    return true;
}

/* Blocked everywhere, read by the loop. */
static int
open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int
worker_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN) / 2;

    return n < 2 ? 2 : n > WORKERS_MOST ? WORKERS_MOST : (int)n;
}

static bool
open_server(Server *s)
{
    pthread_condattr_t monotonic;
    struct rlimit files;
    ScheduleLimits none = {0};

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->prepare, &monotonic);
    pthread_cond_init(&s->compute, &monotonic);
    s->settings = default_settings;
    s->state = WIRE_STARTING;
    s->nworkers = worker_count();
    schedule_init(&s->schedule, &none);
    set_schedule_limits(s);
    s->cache = cache_open(s->settings.cache_bytes);
    s->started = serve_now();
    getrlimit(RLIMIT_NOFILE, &files);
    s->most_conns = files.rlim_cur > 128 ? (int)files.rlim_cur - 64 : 64;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->signals = open_signals();
    return s->cache && s->epoll >= 0 && open_socket(s) && watch(s, s->wake, &s->wake) &&
           watch(s, s->signals, &s->signals) && watch(s, s->listener, &s->listener) &&
           watch(s, sandbox_fd(s->sandbox), &s->sandbox) &&
           (s->control < 0 || watch(s, s->control, &s->control));
}

/* ---- the owner ---- */

static void
take_config(Server *s, const Control *control)
{
    DsError err = {0};

    pthread_mutex_lock(&s->lock);
    if (settings_parse(control->options, control->noptions, &s->settings, &err) != DS_OK)
        serve_log("settings refused: %s", err.message);
    set_schedule_limits(s);
    cache_resize(s->cache, s->settings.cache_bytes);
    pthread_mutex_unlock(&s->lock);
}

static void
pong(Server *s, uint64_t id)
{
    struct
    {
        WireHeader header;
        WirePong body;
    } m;

    wire_header(&m.header, WIRE_PONG, id);
    m.header.body_length = sizeof m.body;
    pthread_mutex_lock(&s->lock);
    status_pong(s, &m.body);
    pthread_mutex_unlock(&s->lock);
    if (send(s->control, &m, sizeof m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return; /* its owner does not read now, and will ask again */
}

/* False: the end, or nonsense. */
static bool
control_event(Server *s, Control *c)
{
    bool in_header = c->nin < sizeof c->in, other;
    char *to = in_header ? (char *)&c->in + c->nin : c->options + c->noptions;
    size_t want = in_header ? sizeof c->in - c->nin : c->in.options_length - c->noptions;
    ssize_t n = recv(s->control, to, want, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    *(in_header ? &c->nin : &c->noptions) += (size_t)n;
    if (c->nin < sizeof c->in)
        return true;
    if (in_header && wire_check(&c->in, 0, &other) != NULL)
        return false;
    if (c->noptions < c->in.options_length)
        return true;
    if (c->in.type == WIRE_CONFIG)
        take_config(s, c);
    else if (c->in.type == WIRE_PING)
        pong(s, c->in.id);
    c->nin = c->noptions = 0;
    return true;
}

/* ---- the loop ---- */

static void
listen_on(Server *s, bool on)
{
    struct epoll_event e = {.events = on ? EPOLLIN : 0, .data.ptr = &s->listener};

    if (s->accepting != on && epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->listener, &e) == 0)
        s->accepting = on;
}

static void
accept_all(Server *s)
{
    int fd;

    while (s->nconns < s->most_conns)
    {
        fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            conn_open(s, fd);
        else if (errno != EINTR && errno != ECONNABORTED)
            break;
    }
    /* Out of descriptors: those outside wait until somebody leaves, and the loop does not spin. */
    if (s->nconns >= s->most_conns || (errno != EAGAIN && errno != EWOULDBLOCK))
    {
        listen_on(s, false);
        s->deaf_until = serve_now() + DEAF_MS;
    }
}

static void
drain(int fd)
{
    uint64_t count;

    if (read(fd, &count, sizeof count) < 0)
        return; /* somebody was quicker */
}

/* False: the process is to end. */
static bool
take_event(Server *s, Control *control, const struct epoll_event *e)
{
    void *what = e->data.ptr;

    if (what == &s->listener)
        accept_all(s);
    else if (what == &s->wake)
        drain(s->wake);
    else if (what == &s->signals)
        return false;
    else if (what == &s->control)
        return control_event(s, control);
    else if (what == &s->sandbox)
    {
        if (!sandbox_alive(s->sandbox))
            serve_die(s, SERVE_EXIT_ZYGOTE, "the process that forks image decoders is gone");
    }
    else
        conn_event(s, what, e->events);
    return true;
}

/* A model that is being loaded gives few signs of life. */
static void
show_loading(Server *s)
{
    bool loading;

    pthread_mutex_lock(&s->lock);
    loading = s->state == WIRE_STARTING;
    pthread_mutex_unlock(&s->lock);
    if (loading && serve_now() - s->started < LOADING_MS)
        s->progress++;
}

static void
loop(Server *s, Control *control)
{
    struct epoll_event events[EVENTS];

    while (true)
    {
        int n = epoll_wait(s->epoll, events, EVENTS, s->jobs ? BUSY_TICK : IDLE_TICK);

        for (int i = 0; i < n; i++)
            if (!take_event(s, control, &events[i]))
                return;
        show_loading(s);
        conn_tick(s);
        if (s->nconns < s->most_conns && serve_now() >= s->deaf_until)
            listen_on(s, true);
    }
}

int
serve_main(int argc, char **argv)
{
    static Server server;
    static Control control;
    Server *s = &server;
    DsError err = {0};

    if (!take_arguments(s, argc, argv))
        return usage();
    if (sandbox_start(&s->sandbox, &err) != DS_OK)
    {
        serve_log("%s: %s", err.message, err.detail);
        return SERVE_EXIT_ZYGOTE;
    }
    if (!harden(s))
        return SERVE_EXIT_OK;
    if (s->lock_path && !take_lock(s))
        return SERVE_EXIT_LOCKED;
    if (!open_server(s) || !computer_start(s) || !workers_start(s))
    {
        serve_log("cannot start: %s", strerror(errno));
        return SERVE_EXIT_USAGE;
    }
    loop(s, &control);
    unlink(s->socket_path);
    /* Threads may be in the middle of work that nobody waits for any more: their memory goes with the process. */
    s->stopping = true;
    _exit(SERVE_EXIT_OK);
}

/* fake_engine.c - dsocr-fake: speaks dsocr's protocol, takes dsocr's command line, reads nothing, fails on demand.
 *
 *   dsocr-fake [serve] --socket PATH [--control FD] [--fault WORDS] [--model DIR ...]
 *
 * For every test of what a server does when its engine is slow, silent, mad or gone (faults.h has the words). One
 * thread per connection; a body is taken at once, whatever its size below the wire's limit. */
#include "answers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static Faults base; /* of environment and command line */
static const char *socket_path;
static int control = -1;
static atomic_int active, pages_read;
static atomic_bool hanging;
static pthread_mutex_t door = PTHREAD_MUTEX_INITIALIZER;
static int inside, alone_waiting; /* readings; those who want to be the only one */
static bool alone_inside;

static Faults
faults_now(void)
{
    Faults f = base;
    char path[256];

    snprintf(path, sizeof path, "%s.faults", socket_path);
    faults_add_file(&f, path);
    if (f.hang)
        hanging = true;
    return f;
}

static void
die(const Faults *f)
{
    if (f->kill || f->segv)
        raise(f->kill ? SIGKILL : SIGSEGV);
    _exit(f->status ? f->status : 1);
}

static void
die_at(const Faults *f, const char *where)
{
    char path[256];

    if (strcmp(f->exit, where) != 0)
        return;
    snprintf(path, sizeof path, "%s.faults", socket_path);
    if (f->once)
        unlink(path);
    die(f);
}

static bool
say(int fd, const Faults *f, WireType type, uint64_t id, const void *body, size_t n)
{
    WireHeader h;

    wire_header(&h, type, id);
    h.body_length = n;
    if (f->version)
        h.version = (uint16_t)f->version;
    return wire_write_all(fd, &h, sizeof h) && wire_write_all(fd, body, n);
}

static bool
say_error(int fd, const Faults *f, uint64_t id, const char *status, const char *message)
{
    char *json = fake_error(status, message);
    bool ok = say(fd, f, WIRE_ERROR, id, json, strlen(json));

    free(json);
    return ok;
}

static WirePong
pong_now(const Faults *f)
{
    static uint64_t progress;
    WirePong p = {.slots = 4, .rss_bytes = 1 << 20, .state = WIRE_READY};

    if (!f->stuck)
        progress++;
    p.progress = progress;
    p.pages = (uint64_t)pages_read;
    p.active = p.slots_used = (uint32_t)active;
    if (strcmp(f->state, "starting") == 0)
        p.state = WIRE_STARTING;
    else if (strcmp(f->state, "failed") == 0)
    {
        p.state = WIRE_FAILED;
        strcpy(p.error, "the model cannot be loaded\nThe fake engine was told to say so.\n");
    }
    strcpy(p.model, "fake");
    strcpy(p.device, "none");
    memset(p.weights_sha256, '0', 64);
    return p;
}

/* True when the other side has closed: the cancel. */
static bool
gone(int fd, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};

    return poll(&p, 1, wait_ms) > 0;
}

/* While the file of faults holds readings before this page. False: the asker has gone. */
static bool
held(int fd, int page)
{
    while (faults_now().hold == page)
        if (gone(fd, 20))
            return false;
    return true;
}

/* Before GO. Who is to be read alone waits until all have left, and nobody comes in beside him, as in the engine. False: the
 * asker has gone. */
static bool
come_in(int fd, bool alone)
{
    bool in = false, left = false;

    for (bool first = true; !in && !left; first = false)
    {
        left = !first && gone(fd, 5);
        pthread_mutex_lock(&door);
        alone_waiting += alone && first;
        in = !left && !alone_inside && (alone ? inside == 0 : alone_waiting == 0);
        inside += in;
        alone_inside |= in && alone;
        alone_waiting -= alone && (in || left);
        pthread_mutex_unlock(&door);
    }
    return in;
}

static void
go_out(bool alone)
{
    pthread_mutex_lock(&door);
    inside--;
    alone_inside &= !alone;
    pthread_mutex_unlock(&door);
}

static bool
linger(int fd, const Faults *f, uint64_t id)
{
    WireProgress p = {.pages = f->pages > 0 ? (uint32_t)f->pages : 1, .part = 4};

    if (f->silent || hanging)
    {
        while (!gone(fd, 1000))
            ;
        return false;
    }
    for (; f->slow > 0 && p.part_done < 4; p.part_done++)
        if (gone(fd, f->slow / 4) || !say(fd, f, WIRE_PROGRESS, id, &p, sizeof p))
            return false;
    return true;
}

static bool
answer(int fd, const Faults *f, uint64_t id, const char *json)
{
    WireHeader h;
    size_t n = strlen(json);

    wire_header(&h, WIRE_RESULT, id);
    h.body_length = f->oversize ? 1ull << 40 : n;
    if (f->garbage)
        return wire_write_all(
            fd, "This is no header; it is sixty and some bytes of prose, for sure.", 65);
    if (strcmp(f->exit, "mid_reply") == 0 || f->short_)
    {
        wire_write_all(fd, &h, sizeof h);
        wire_write_all(fd, json, n / 2);
        die_at(f, "mid_reply");
        return false;
    }
    if (f->oversize)
        return wire_write_all(fd, &h, sizeof h) && wire_write_all(fd, json, n) && false;
    if (f->not_json)
        return say(fd, f, WIRE_RESULT, id, "{\"version\": ", 12);
    return say(fd, f, WIRE_RESULT, id, json, n);
}

/* "begun" or "read", the document, the page; whole lines, whoever else writes. */
static void
count_page(const Faults *f, const char *what, const char *body, size_t n, int page)
{
    unsigned long long mark = 0xcbf29ce484222325ull;
    char path[256];
    int fd;

    if (!f->count)
        return;
    for (size_t i = 0; i < n; i++)
        mark = (mark ^ (unsigned char)body[i]) * 0x100000001b3ull;
    snprintf(path, sizeof path, "%s.pages", socket_path);
    if ((fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)) < 0)
        return;
    dprintf(fd, "%s %016llx %d\n", what, mark, page);
    close(fd);
}

/* The pages one after the other; all but the last are told at once when the asker wants that. */
static bool
read_pages(int fd, const Faults *f, const WireHeader *h, const char *options, const char *body)
{
    int pages[FAKE_PAGES], n = fake_pages(f, options, pages), first = 0;
    char *json;
    bool ok = true;

    for (int i = 0; i < n && ok; i++)
    {
        if (i > 0)
            count_page(f, "begun", body, h->body_length, pages[i]);
        if (f->exit_page && pages[i] == f->exit_page)
            die(f);
        if ((f->page_slow && gone(fd, f->page_slow)) || !held(fd, pages[i]))
            return false;
        count_page(f, "read", body, h->body_length, pages[i]);
        pages_read++;
        if (i == n - 1 || !(h->flags & WIRE_PAGEWISE))
            continue;
        json = fake_reading(f, options, body, h->body_length, &pages[i], 1);
        ok = say(fd, f, WIRE_PAGE, h->id, json, strlen(json));
        free(json);
        first = i + 1;
    }
    if (!ok)
        return false;
    json = fake_reading(f, options, body, h->body_length, pages + first, n - first);
    ok = answer(fd, f, h->id, json);
    free(json);
    return ok;
}

static bool
read_document(int fd, Faults *f, const WireHeader *h, const char *options, const char *body)
{
    int pages[FAKE_PAGES];
    char *json;
    bool ok;

    faults_add_body(f, body, h->body_length);
    die_at(f, "after_body");
    if (h->kind == WIRE_READ && fake_pages(f, options, pages) > 0)
        count_page(f, "begun", body, h->body_length, pages[0]);
    if (!linger(fd, f, h->id))
        return false;
    if (strcmp(f->state, "failed") == 0 && h->kind == WIRE_READ)
        return say_error(fd, f, h->id, "not_ready", "the model cannot be loaded");
    if (f->error[0])
        return say_error(fd, f, h->id, f->error, "the fake engine fails");
    if (h->body_length == 0)
        return say_error(fd, f, h->id, "bad_input", "the document is empty");
    if (h->kind == WIRE_READ)
        return read_pages(fd, f, h, options, body);
    json = fake_info(f, body, h->body_length);
    ok = answer(fd, f, h->id, json);
    free(json);
    return ok;
}

static bool
answer_status(int fd, const Faults *f, uint64_t id)
{
    WirePong pong = pong_now(f);
    char *json = fake_status(&pong);
    bool ok = say(fd, f, WIRE_RESULT, id, json, strlen(json));

    free(json);
    return ok;
}

static void
forget_once(const Faults *f)
{
    char path[256];

    snprintf(path, sizeof path, "%s.faults", socket_path);
    if (f->once)
        unlink(path);
}

/* From GO on. */
static bool
serve_document(int fd, Faults *f, const WireHeader *h, const char *options)
{
    char *body;
    bool ok;

    if (!say(fd, f, WIRE_GO, h->id, NULL, 0))
        return false;
    die_at(f, "after_go");
    body = malloc(h->body_length + 1);
    active++;
    ok = body && wire_read_all(fd, body, h->body_length) && read_document(fd, f, h, options, body);
    active--;
    free(body);
    return ok;
}

/* After header and options. */
static bool
serve_request(int fd, const WireHeader *h, const char *options)
{
    Faults f = faults_now();
    bool alone = h->flags & WIRE_ALONE, ok;

    if (h->kind == WIRE_STATUS)
        return answer_status(fd, &f, h->id);
    if (h->kind == WIRE_RENDER)
        return say_error(fd, &f, h->id, "unsupported", "the fake engine draws nothing");
    die_at(&f, "before_go");
    forget_once(&f);
    if (f.refuse[0])
        return say_error(fd, &f, h->id, f.refuse, "the fake engine refuses");
    if (!come_in(fd, alone))
        return false;
    ok = serve_document(fd, &f, h, options);
    go_out(alone);
    return ok;
}

static void *
serve_connection(void *arg)
{
    int fd = (int)(intptr_t)arg;
    WireHeader h;
    char *options = malloc(WIRE_MAX_OPTIONS + 1);
    bool other, ok = true;

    while (ok && options && wire_read_all(fd, &h, sizeof h))
    {
        const char *wrong = wire_check(&h, WIRE_MAX_BODY, &other);

        if (wrong || h.type != WIRE_REQUEST || !wire_read_all(fd, options, h.options_length))
            break;
        options[h.options_length] = '\0';
        ok = serve_request(fd, &h, options);
    }
    free(options);
    close(fd);
    return NULL;
}

/* The supervisor's connection; its end is ours. */
static void *
serve_control(void *unused)
{
    static char options[WIRE_MAX_OPTIONS];
    WireHeader h;
    bool other;

    while (wire_read_all(control, &h, sizeof h) && wire_check(&h, 0, &other) == NULL &&
           wire_read_all(control, options, h.options_length))
    {
        Faults f = faults_now();
        WirePong pong = pong_now(&f);

        if (h.type == WIRE_PING && !hanging &&
            !say(control, &f, WIRE_PONG, h.id, &pong, sizeof pong))
            break;
    }
    _exit(0);
    return unused;
}

static void
start(void *(*work)(void *), void *arg)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, work, arg) == 0)
        pthread_detach(thread);
}

static int
listen_at(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof a.sun_path)
        return -1;
    strcpy(a.sun_path, path);
    unlink(path);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 128) != 0)
        return -1;
    return fd;
}

static void
take_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
    {
        if (strcmp(argv[i], "serve") == 0)
            continue;
        if (strncmp(argv[i], "--", 2) != 0 || i + 1 == argc)
            exit(2);
        if (strcmp(argv[i], "--socket") == 0)
            socket_path = argv[i + 1];
        else if (strcmp(argv[i], "--control") == 0)
            control = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--fault") == 0)
            faults_add(&base, argv[i + 1], strlen(argv[i + 1]));
        i++;
    }
}

int
main(int argc, char **argv)
{
    const char *words = getenv("DSOCR_FAKE");
    Faults f;
    int listener, fd;

    if (words)
        faults_add(&base, words, strlen(words));
    take_arguments(argc, argv);
    if (socket_path == NULL || (listener = listen_at(socket_path)) < 0)
    {
        fprintf(stderr, "usage: dsocr-fake serve --socket PATH [--control FD] [--fault WORDS]\n");
        return 2;
    }
    f = faults_now();
    die_at(&f, "start");
    if (control >= 0)
    {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        start(serve_control, NULL);
    }
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0 || errno == EINTR)
        if (fd >= 0)
            start(serve_connection, (void *)(intptr_t)fd);
    return 1;
}

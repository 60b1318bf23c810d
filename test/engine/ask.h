/* ask.h - the asking side of the wire for tests, blocking; and a server as a child. */
#ifndef DS_ASK_H
#define DS_ASK_H

#include "../../src/serve/serve.h"
#include "../../src/serve/wire.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

/* What has to happen happens within this time on any machine; only what hangs takes longer. */
#define PATIENCE_MS 60000

/* ---- time ---- */

UNUSED static double
now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

UNUSED static void
pause_ms(int ms)
{
    usleep((useconds_t)ms * 1000);
}

/* Looks again and again until the condition holds, and gives up after PATIENCE_MS. */
#define eventually(condition)                                                                      \
    ({                                                                                             \
        double begun_ = now_ms();                                                                  \
        bool holds_;                                                                               \
        while (!(holds_ = (condition)) && now_ms() - begun_ < PATIENCE_MS)                         \
            pause_ms(5);                                                                           \
        holds_;                                                                                    \
    })

/* ---- asking ---- */

typedef struct Question
{
    WireKind kind;
    int class_, timeout_ms, flags;
    const char *options; /* NULL: none */
    const void *body;
    uint64_t n;
} Question;

typedef struct Reply
{
    WireType type; /* 0: the connection ended */
    bool go;       /* came before */
    int progresses;
    char *text; /* malloc'd, closed by a zero byte */
    uint64_t n;
} Reply;

UNUSED static int
ask_connect(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval t = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    if (eventually(connect(fd, (struct sockaddr *)&a, sizeof a) == 0))
        return fd;
    close(fd);
    return -1;
}

UNUSED static bool
ask_header(int fd, const Question *q)
{
    WireHeader h;

    wire_header(&h, WIRE_REQUEST, 42);
    h.kind = (uint16_t)q->kind;
    h.class_ = (uint16_t)q->class_;
    h.timeout_ms = (uint32_t)q->timeout_ms;
    h.flags = (uint32_t)q->flags;
    h.body_length = q->n;
    h.options_length = q->options ? (uint32_t)strlen(q->options) : 0;
    return wire_write_all(fd, &h, sizeof h) &&
           wire_write_all(fd, q->options ? q->options : "", h.options_length);
}

/* One message. False: the end, or an answer to somebody else. */
UNUSED static bool
ask_message(int fd, Reply *r)
{
    WireHeader h;
    bool other;

    if (!wire_read_all(fd, &h, sizeof h) || wire_check(&h, WIRE_MAX_REPLY, &other) || h.id != 42)
        return false;
    free(r->text);
    r->type = (WireType)h.type;
    r->n = h.body_length;
    r->text = calloc(1, h.body_length + 1);
    return wire_read_all(fd, r->text, h.body_length);
}

/* Up to GO, or the answer that came instead. */
UNUSED static Reply
ask_go(int fd, const Question *q)
{
    Reply r = {0};

    if (!ask_header(fd, q) || !ask_message(fd, &r))
        r.type = 0;
    r.go = r.type == WIRE_GO;
    return r;
}

UNUSED static Reply
ask_answer(int fd)
{
    Reply r = {.go = true};

    do
    {
        r.progresses += r.type == WIRE_PROGRESS;
        r.type = 0;
        if (!ask_message(fd, &r))
        {
            r.type = 0;
            break;
        }
    } while (r.type == WIRE_PROGRESS);
    return r;
}

UNUSED static Reply
ask_on(int fd, const Question *q)
{
    Reply r = ask_go(fd, q);

    if (!r.go)
        return r;
    free(r.text);
    if (!wire_write_all(fd, q->body, q->n))
        return (Reply){.go = true};
    return ask_answer(fd);
}

UNUSED static Reply
ask(const char *path, const Question *q)
{
    int fd = ask_connect(path);
    Reply r = ask_on(fd, q);

    close(fd);
    return r;
}

UNUSED static bool
says(const Reply *r, WireType type, const char *part)
{
    bool right = r->type == type && r->text && strstr(r->text, part);

    if (!right)
        printf("#    got type %d: %.300s\n", r->type, r->text ? r->text : "");
    return right;
}

/* The same, and forgets the answer. */
UNUSED static bool
said(Reply r, WireType type, const char *part)
{
    bool right = says(&r, type, part);

    free(r.text);
    return right;
}

/* The number behind "name": in a JSON text, or -1. */
UNUSED static long
number_of(const char *text, const char *name)
{
    char quoted[64];
    const char *at;

    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    at = text ? strstr(text, quoted) : NULL;
    return at ? atol(at + strlen(quoted)) : -1;
}

UNUSED static long
status_number(const char *path, const char *name)
{
    Reply r = ask(path, &(Question){.kind = WIRE_STATUS});
    long n = number_of(r.text, name);

    free(r.text);
    return n;
}

/* ---- a server ---- */

typedef struct TestServer
{
    pid_t pid;
    int control;
    char socket[64];
} TestServer;

UNUSED static void
tell_config(const TestServer *t, const char *json)
{
    WireHeader h;

    wire_header(&h, WIRE_CONFIG, 0);
    h.options_length = (uint32_t)strlen(json);
    if (!wire_write_all(t->control, &h, sizeof h) ||
        !wire_write_all(t->control, json, strlen(json)))
        printf("#    the server does not take its settings\n");
}

UNUSED static bool
ping(const TestServer *t, WirePong *pong)
{
    WireHeader h;

    wire_header(&h, WIRE_PING, 1);
    return wire_write_all(t->control, &h, sizeof h) && wire_read_all(t->control, &h, sizeof h) &&
           h.type == WIRE_PONG && h.body_length == sizeof *pong &&
           wire_read_all(t->control, pong, sizeof *pong);
}

/* Forks serve_main; config may be NULL. The caller must have no threads now. */
UNUSED static TestServer
server_start(const char *name, const char *model, const char *config)
{
    TestServer t;
    int pair[2];
    char control[16];
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};

    snprintf(t.socket, sizeof t.socket, "/tmp/dsocr-test-%d-%s", (int)getpid(), name);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        exit(1);
    fflush(stdout);
    if ((t.pid = fork()) == 0)
    {
        char *argv[] = {"serve", "--socket",    t.socket, "--model",   (char *)model, "--control",
                        control, "--extension", "9.9",    "--threads", "2",           NULL};

        close(pair[0]);
        snprintf(control, sizeof control, "%d", pair[1]);
        _exit(serve_main(11, argv));
    }
    close(pair[1]);
    t.control = pair[0];
    setsockopt(t.control, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (config)
        tell_config(&t, config);
    return t;
}

/* Its exit status, 128 + signal when it was killed, or -1 when it lives on and on: then it is killed. */
UNUSED static int
server_wait(TestServer *t)
{
    int status;
    bool ended = eventually(waitpid(t->pid, &status, WNOHANG) != 0);

    if (!ended)
    {
        kill(t->pid, SIGKILL);
        waitpid(t->pid, &status, 0);
    }
    close(t->control);
    unlink(t->socket);
    return !ended ? -1 : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

UNUSED static int
server_stop(TestServer *t)
{
    shutdown(t->control, SHUT_RDWR);
    return server_wait(t);
}

#endif

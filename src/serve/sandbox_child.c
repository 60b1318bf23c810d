/* sandbox_child.c - the zygote, and the children in which image libraries run.
 *
 * This code runs in processes forked from the engine's first moment: one thread, no model, no device. The
 * system call filter is compiled once by the zygote; a child only hands it to the kernel. Sharp edge: what
 * a child needs (blob, room for pixels, socket) is in place before it is confined, since afterwards it can
 * open, map or send to nothing new. */
#include "sandbox_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/filter.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_FD 0 /* a child's only descriptor */

typedef struct Child
{
    pid_t pid;
    uint64_t id;
    int socket; /* kept to tell the engine how the child ended */
} Child;

typedef struct Zygote
{
    int control;
    pid_t pid;
    struct sock_fprog filter;
    rlim_t address_space; /* what an empty child has */
    int nchildren;
    Child children[SANDBOX_MOST_CHILDREN];
} Zygote;

/* ---- the filter ---- */

static int
allow_memory(scmp_filter_ctx f)
{
    struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    struct scmp_arg_cmp no_file = SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS);

    return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, no_exec, no_file) ||
           seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_exec);
}

static int
allow_rules(scmp_filter_ctx f)
{
    static const int
        plain[] =
            {
                SCMP_SYS(exit_group),    SCMP_SYS(exit),    SCMP_SYS(rt_sigreturn),
                SCMP_SYS(brk),           SCMP_SYS(munmap),  SCMP_SYS(mremap),
                SCMP_SYS(madvise),       SCMP_SYS(futex),   SCMP_SYS(getrandom),
                SCMP_SYS(clock_gettime), SCMP_SYS(sysinfo), /* qsort asks how much memory there is */
            };
    struct scmp_arg_cmp answer = SCMP_A0(SCMP_CMP_EQ, ANSWER_FD, 0);
    int bad = allow_memory(f);

    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        bad |= seccomp_rule_add(f, SCMP_ACT_ALLOW, plain[i], 0);
    return bad | seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 1, answer);
}

/* libseccomp writes a program to a descriptor only. */
static bool
load_program(scmp_filter_ctx f, struct sock_fprog *program)
{
    int fd = memfd_create("filter", MFD_CLOEXEC);
    off_t n = fd >= 0 && seccomp_export_bpf(f, fd) == 0 ? lseek(fd, 0, SEEK_END) : -1;
    ssize_t got = -1;

    if (n > 0 && (program->filter = malloc((size_t)n)) != NULL)
        got = pread(fd, program->filter, (size_t)n, 0);
    if (fd >= 0)
        close(fd);
    program->len = (unsigned short)((size_t)(n > 0 ? n : 0) / sizeof(struct sock_filter));
    return got == n && n > 0;
}

static bool
make_filter(struct sock_fprog *program)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
    bool ok = f && allow_rules(f) == 0 && load_program(f, program);

    if (f)
        seccomp_release(f);
    return ok;
}

/* ---- a child ---- */

static void
limit(int what, rlim_t to)
{
    setrlimit(what, &(struct rlimit){to, to});
}

/* Ten bytes a pixel: coefficients of a progressive JPEG (6), a copy to turn (3), and some. */
static rlim_t
address_space(const Zygote *z, const Order *o)
{
    return z->address_space + o->blob_bytes + o->out_bytes + o->limits.max_pixels * 10 +
           ((rlim_t)64 << 20);
}

static bool
confine(const Zygote *z, const Order *o)
{
    rlim_t seconds = o->seconds > 0 ? (rlim_t)o->seconds : 1;

    if (!SANDBOX_SANITIZED)
        limit(RLIMIT_AS, address_space(z, o));
    setrlimit(RLIMIT_CPU,
              &(struct rlimit){seconds, seconds + 1}); /* SIGXCPU first, so that it can be told */
    setpriority(PRIO_PROCESS, 0, o->nice);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NOFILE, 0);
    limit(RLIMIT_NPROC, 0);
    limit(RLIMIT_CORE, 0);
    prctl(PR_SET_DUMPABLE, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return false;
    return SANDBOX_SANITIZED || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &z->filter) == 0;
}

/* The first to go when memory is short. */
static void
offer_to_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd >= 0 && write(fd, "1000", 4) != 4)
        errno = 0; /* then it is not; nothing depends on it */
    if (fd >= 0)
        close(fd);
}

static void
detach_from_zygote(const Zygote *z)
{
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != z->pid)
        _exit(1);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_NAME, "dsocr-decoder");
    offer_to_oom_killer();
}

static void
look(const Order *o, const uint8_t *blob, ImagePage *pages, Answer *a)
{
    ImageInfo info;
    Arena arena;

    arena_init(&arena, 0);
    if (image_info(blob, o->blob_bytes, &o->limits, &arena, &info, &a->error) == DS_OK)
    {
        a->format = info.format;
        a->page_count = info.page_count;
        memcpy(pages, info.pages, (size_t)info.page_count * sizeof *pages);
    }
}

static void
decode(const Order *o, const uint8_t *blob, uint8_t *pixels, Answer *a)
{
    Image im = {0};

    if (image_decode(blob, o->blob_bytes, o->page, &o->limits, pixels, o->out_bytes, &im,
                     &a->error) == DS_OK)
    {
        a->width = im.width;
        a->height = im.height;
        a->channels = im.channels;
        a->dpi = im.dpi;
    }
}

static void __attribute__((noreturn)) child(const Zygote *z, const Order *o, const int fds[3])
{
    static Answer a = {.kind = ANSWER_RESULT};
    void *blob = mmap(NULL, o->blob_bytes, PROT_READ, MAP_PRIVATE, fds[1], 0);
    void *out =
        mmap(NULL, o->out_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fds[2], 0);

    detach_from_zygote(z);
    if (blob == MAP_FAILED || out == MAP_FAILED || dup2(fds[0], ANSWER_FD) < 0 ||
        close_range(1, ~0u, 0) || !confine(z, o))
        _exit(1);
    if (sandbox_test_hook)
        sandbox_test_hook(blob, o->blob_bytes);
    if (o->kind == ORDER_INFO)
        look(o, blob, out, &a);
    else
        decode(o, blob, out, &a);
    _exit(send(ANSWER_FD, &a, sizeof a, MSG_NOSIGNAL) == (ssize_t)sizeof a ? 0 : 1);
}

/* ---- the zygote ---- */

static void
tell(int socket, AnswerKind kind, int wait_status)
{
    Answer a = {.kind = kind, .wait_status = wait_status};

    send(socket, &a, sizeof a, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
reap(Zygote *z)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < z->nchildren; i++)
            if (z->children[i].pid == pid)
            {
                tell(z->children[i].socket, ANSWER_ENDED, status);
                close(z->children[i].socket);
                z->children[i] = z->children[--z->nchildren];
                break;
            }
}

static void
kill_child(const Zygote *z, uint64_t id)
{
    for (int i = 0; i < z->nchildren; i++)
        if (z->children[i].id == id)
            kill(z->children[i].pid, SIGKILL);
}

static void
spawn(Zygote *z, const Order *o, const int fds[3])
{
    pid_t pid = z->nchildren < SANDBOX_MOST_CHILDREN ? fork() : -1;

    if (pid == 0)
        child(z, o, fds);
    if (pid < 0)
    {
        tell(fds[0], ANSWER_BUSY, 0);
        close(fds[0]);
    }
    else
        z->children[z->nchildren++] = (Child){pid, o->id, fds[0]};
    close(fds[1]);
    close(fds[2]);
}

/* One order with its descriptors: the order's length, 0 at the end of the engine, -1 to try again. */
static ssize_t
receive(int control, Order *o, int fds[3], int *nfds)
{
    union
    {
        struct cmsghdr header;
        char room[CMSG_SPACE(3 * sizeof(int))];
    } buffer;
    struct iovec part = {o, sizeof *o};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &buffer, .msg_controllen = sizeof buffer};
    ssize_t n = recvmsg(control, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

    *nfds = 0;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
    {
        *nfds = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), (size_t)*nfds * sizeof(int));
    }
    return n;
}

static void
obey(Zygote *z)
{
    Order o;
    int fds[3], nfds;
    ssize_t n = receive(z->control, &o, fds, &nfds);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        _exit(0); /* the engine is gone; children follow by their death signal */
    if (n < 0)
        return;
    if (o.kind == ORDER_KILL)
        kill_child(z, o.id);
    else if (nfds == 3)
        spawn(z, &o, fds);
    else
        while (nfds-- > 0) /* this process has no room for descriptors */
            close(fds[nfds]);
}

/* A child that does nothing, to know that confining works here. */
static bool
try_confinement(const Zygote *z)
{
    Order o = {.seconds = 1};
    int status = -1;
    pid_t pid = fork();

    if (pid == 0)
        _exit(confine(z, &o) ? 0 : 1);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && status == 0;
}

static void
on_child(int signal_number)
{
    (void)signal_number; /* only to wake ppoll */
}

/* Signals meant for the engine's group end the engine; the zygote follows its socket. */
static void
settle(Zygote *z, sigset_t *awake)
{
    struct sigaction wake = {.sa_handler = on_child};
    sigset_t asleep;
    int null = open("/dev/null", O_RDWR);

    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigaction(SIGCHLD, &wake, NULL);
    sigemptyset(awake);
    asleep = *awake;
    sigaddset(&asleep, SIGCHLD);
    sigprocmask(SIG_SETMASK, &asleep, NULL);
    z->control = fcntl(z->control, F_DUPFD_CLOEXEC, 10);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    dup2(z->control, 3);
    z->control = 3;
    close_range(4, ~0u, 0);
    prctl(PR_SET_NAME, "dsocr-zygote");
}

static rlim_t
own_address_space(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f && fscanf(f, "%lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (rlim_t)(pages ? pages : 1 << 16) * (rlim_t)sysconf(_SC_PAGESIZE);
}

void
sandbox_zygote(int control)
{
    static Zygote z;
    sigset_t awake;
    struct pollfd p = {.events = POLLIN};

    z.control = control;
    z.pid = getpid();
    z.address_space = own_address_space();
    settle(&z, &awake);
    if (!make_filter(&z.filter) || !try_confinement(&z))
        _exit(1);
    tell(z.control, ANSWER_RESULT, 0);
    for (p.fd = z.control;;)
    {
        if (ppoll(&p, 1, NULL, &awake) > 0)
            obey(&z);
        reap(&z);
    }
}

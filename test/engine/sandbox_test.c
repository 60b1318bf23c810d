/* sandbox_test.c - what sandbox.h promises: the same pixels from a confined child, and whatever a child does,
 * one image fails and nothing else.
 *
 * A good image with "hostile:WORD" behind its end makes the child misbehave: sandbox_test_hook runs in it,
 * confined, in the place of a library that has been taken over. */
#include "../../src/serve/sandbox_wire.h"

#include "check.h"
#include "image_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 120000 /* ms that a child has which is stopped by something else */

static Sandbox *sandbox;

/* ---- the taken-over library ---- */

static bool
word_is(const uint8_t *blob, size_t n, const char *word)
{
    char whole[64];
    size_t length;

    snprintf(whole, sizeof whole, "hostile:%s.", word);
    length = strlen(whole);
    return n > length && memcmp(blob + n - length, whole, length) == 0;
}

static void
answer(Answer a)
{
    a.kind = ANSWER_RESULT;
    send(0, &a, sizeof a, 0);
    _exit(0);
}

static void
tell_lies(const uint8_t *blob, size_t n)
{
    Answer unended = {.error.status = DS_BAD_INPUT};

    if (word_is(blob, n, "wide"))
        answer((Answer){.width = INT_MAX, .height = 1, .channels = 1});
    if (word_is(blob, n, "negative"))
        answer((Answer){.width = -1, .height = -1, .channels = 1});
    if (word_is(blob, n, "big"))
        answer((Answer){.width = 19999, .height = 19999, .channels = 3});
    if (word_is(blob, n, "deep"))
        answer((Answer){.width = 16, .height = 16, .channels = 400});
    if (word_is(blob, n, "pages"))
        answer((Answer){.format = IMAGE_PNG, .page_count = INT_MAX});
    if (word_is(blob, n, "broken"))
        answer((Answer){.error.status = DS_BROKEN});
    if (word_is(blob, n, "status"))
        answer((Answer){.error.status = (DsStatus)12345});
    memset(unended.error.message, 0xff, sizeof unended.error.message);
    memset(unended.error.detail, 0xff, sizeof unended.error.detail);
    memset(unended.error.hint, 0xff, sizeof unended.error.hint);
    if (word_is(blob, n, "text"))
        answer(unended);
    if (word_is(blob, n, "short"))
    {
        send(0, "x", 1, 0);
        _exit(0);
    }
    if (word_is(blob, n, "silent"))
        _exit(0);
}

static void
misbehave(const uint8_t *blob, size_t n)
{
    static int never;
    char *const none[] = {NULL};

    if (word_is(blob, n, "open"))
        open("/etc/passwd", O_RDONLY);
    if (word_is(blob, n, "socket"))
        socket(AF_INET, SOCK_STREAM, 0);
    if (word_is(blob, n, "fork"))
        fork();
    if (word_is(blob, n, "exec"))
        execve("/bin/true", none, none);
    if (word_is(blob, n, "kill"))
        kill(getppid(), SIGKILL);
    if (word_is(blob, n, "send"))
        send(1, "x", 1, 0);
    if (word_is(blob, n, "code"))
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (word_is(blob, n, "segv"))
        *(volatile int *)(uintptr_t)(n / INT_MAX) = 1;
    if (word_is(blob, n, "memory"))
        ((volatile char *)malloc((size_t)8 << 30))[n] = 1; /* malloc gives NULL */
    while (word_is(blob, n, "spin"))
        ;
    while (word_is(blob, n, "hang"))
        syscall(SYS_futex, &never, FUTEX_WAIT, 0, NULL, NULL, 0);
}

void
sandbox_test_hook(const uint8_t *blob, size_t n)
{
    misbehave(blob, n);
    tell_lies(blob, n);
}

static File
hostile(const char *word)
{
    File f = golden_file("rgb420.jpg");
    size_t room = f.n + strlen(word) + 16;

    f.data = realloc(f.data, room);
    f.n += (size_t)snprintf((char *)f.data + f.n, room - f.n, "hostile:%s.", word);
    return f;
}

/* ---- the same as without ---- */

static int64_t
now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static bool
good_page_is_read(void)
{
    File f = golden_file("rgb8.png");
    Image im;
    DsStatus st =
        sandbox_decode(sandbox, f.data, f.n, 0, &image_default_limits, &im, 0, NULL, NULL, NULL);
    bool ok = st == DS_OK && im.width == 61 && im.height == 43;

    sandbox_release(&im);
    free(f.data);
    return ok;
}

static bool
same_pages(File f)
{
    ImageInfo a, b;
    Arena arena;
    bool ok;

    arena_init(&arena, 0);
    ok = image_info(f.data, f.n, &image_default_limits, &arena, &a, NULL) == DS_OK &&
         sandbox_info(sandbox, f.data, f.n, &image_default_limits, &arena, &b, NULL) == DS_OK &&
         a.format == b.format && a.page_count == b.page_count &&
         memcmp(a.pages, b.pages, (size_t)a.page_count * sizeof *a.pages) == 0;
    arena_free(&arena);
    return ok;
}

static void
test_golden(void)
{
    FILE *list = fopen("test/golden/images.tsv", "r");
    Golden g;
    int pixels = 0, pages = 0, n = 0;

    for (; list && next_golden(list, &g); n++)
    {
        File f = golden_file(g.name);
        Image im;

        if (sandbox_decode(sandbox, f.data, f.n, g.page, &image_default_limits, &im, 0, NULL, NULL,
                           NULL) == DS_OK)
            pixels += fnv1a(im.pixels, (size_t)im.width * im.height * im.channels) == g.hash &&
                      im.dpi == g.dpi;
        pages += same_pages(f);
        sandbox_release(&im);
        free(f.data);
    }
    if (list)
        fclose(list);
    promise("every golden page has its pixels through a child", n > 80 && pixels == n);
    promise("every golden file has its pages through a child", n > 80 && pages == n);
}

/* Large enough for every way in which memory is asked for, and for the cost of real pages to be seen. */
static void
test_large(void)
{
    Image page = {.width = 3000, .height = 4000, .channels = 3}, im = {0};
    size_t n = (size_t)page.width * page.height * page.channels;
    File f = {0};
    int64_t start;
    bool ok;

    page.pixels = malloc(n);
    for (size_t i = 0; i < n; i++)
        page.pixels[i] = (uint8_t)(i * i >> 16);
    ok = image_write_png(&page, &f.data, &f.n, NULL) == DS_OK;
    start = now_us();
    ok = ok && sandbox_decode(sandbox, f.data, f.n, 0, &image_default_limits, &im, 0, NULL, NULL,
                              NULL) == DS_OK;
    start = now_us() - start;
    promise("12 megapixels come through whole", ok && memcmp(im.pixels, page.pixels, n) == 0);
    sandbox_release(&im);
    printf("     a PNG of 12 megapixels, %zu kB: %.0f ms through a child\n", f.n >> 10,
           (double)start / 1e3);
    free(page.pixels);
    free(f.data);
}

static void
test_errors_come_through(void)
{
    File f = golden_file("rgb420.jpg");
    Image im;
    ImageInfo info;
    Arena arena;
    DsError err = {0};

    arena_init(&arena, 0);
    promise("a truncated file is told as by image_decode",
            sandbox_decode(sandbox, f.data, f.n / 2, 0, &image_default_limits, &im, 0, NULL, NULL,
                           &err) == DS_BAD_INPUT &&
                strcmp(err.message, "JPEG image is truncated") == 0 && err.hint[0]);
    promise("a page that does not exist is DS_BAD_REQUEST",
            sandbox_decode(sandbox, f.data, f.n, 1, &image_default_limits, &im, 0, NULL, NULL,
                           &err) == DS_BAD_REQUEST);
    promise("nothing at all is told without a child",
            sandbox_info(sandbox, f.data, 0, &image_default_limits, &arena, &info, &err) ==
                DS_BAD_INPUT);
    promise("PDF is DS_UNSUPPORTED",
            sandbox_decode(sandbox, (const uint8_t *)"%PDF-1.4", 8, 0, &image_default_limits, &im,
                           0, NULL, NULL, &err) == DS_UNSUPPORTED);
    arena_free(&arena);
    free(f.data);
}

/* ---- misbehaviour ---- */

static void
test_hostile(const char *word, const char *detail)
{
    File f = hostile(word);
    Image im;
    ImageInfo info;
    Arena arena;
    DsError err = {0}, err2 = {0};
    DsStatus st =
        sandbox_decode(sandbox, f.data, f.n, 0, &image_default_limits, &im, 3000, NULL, NULL, &err);
    char what[96];

    arena_init(&arena, 0);
    snprintf(what, sizeof what, "a child taken over to try \"%s\" fails its image and nothing else",
             word);
    if (!promise(what, st == DS_BAD_INPUT && strstr(err.detail, detail) && im.pixels == NULL &&
                           sandbox_info(sandbox, f.data, f.n, &image_default_limits, &arena, &info,
                                        &err2) == DS_BAD_INPUT &&
                           sandbox_alive(sandbox) && good_page_is_read()))
        printf("     status %d: %s | %s\n", (int)st, err.message, err.detail);
    arena_free(&arena);
    free(f.data);
}

static void
test_misbehaviour(void)
{
    static const char *const calls[] = {"open", "socket", "fork", "exec", "kill", "send", "code"};
    static const char *const lies[] = {"wide",   "negative", "big",   "deep",  "broken",
                                       "status", "text",     "short", "silent"};

    if (SANDBOX_SANITIZED)
        skipped("forbidden system calls and memory",
                "a sanitizer is built in, children have no filter");
    for (size_t i = 0; !SANDBOX_SANITIZED && i < sizeof calls / sizeof *calls; i++)
        test_hostile(calls[i], "not allowed");
    if (!SANDBOX_SANITIZED)
    {
        test_hostile("segv", "signal 11");
        test_hostile("memory", "signal 11");
    }
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        test_hostile(lies[i], "");
}

static void
test_lie_about_pages(void)
{
    File f = hostile("pages");
    ImageInfo info;
    Arena arena;

    arena_init(&arena, 0);
    promise("a child that counts two billion pages is not believed",
            sandbox_info(sandbox, f.data, f.n, &image_default_limits, &arena, &info, NULL) ==
                DS_BAD_INPUT);
    arena_free(&arena);
    free(f.data);
}

/* ---- time ---- */

static int
stop_at(void *arg)
{
    return now_us() >= *(int64_t *)arg;
}

static void
test_time(const char *word)
{
    File f = hostile(word);
    Image im;
    int64_t stop = now_us() + 100000;
    char what[96];
    DsStatus st = sandbox_decode(sandbox, f.data, f.n, 0, &image_default_limits, &im, PATIENCE,
                                 stop_at, &stop, NULL);

    snprintf(what, sizeof what,
             "a child that does \"%s\" is stopped long before its time by a cancel", word);
    promise(what, st == DS_CANCELLED && now_us() - stop < PATIENCE * 500ll);
    st = sandbox_decode(sandbox, f.data, f.n, 0, &image_default_limits, &im, 200, NULL, NULL, NULL);
    snprintf(what, sizeof what, "a child that does \"%s\" ends with its time", word);
    promise(what, st == DS_LIMIT);
    free(f.data);
}

/* ---- many at once ---- */

static void *
read_twenty(void *arg)
{
    for (int i = 0; i < 20; i++)
        *(int *)arg += good_page_is_read();
    return NULL;
}

static void
test_threads(void)
{
    pthread_t threads[8];
    int good[8] = {0}, sum = 0;

    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, read_twenty, &good[i]);
    for (int i = 0; i < 8; i++)
    {
        pthread_join(threads[i], NULL);
        sum += good[i];
    }
    promise("8 threads decode 20 images each at the same time", sum == 160);
}

static atomic_int refusals; /* DS_BUSY */

static int
enough_refused(void *wanted)
{
    return refusals >= *(int *)wanted;
}

/* Until as many as `wanted` were refused. */
static DsStatus
hang_until(int wanted)
{
    File f = hostile("hang");
    Image im;
    DsStatus st = sandbox_decode(sandbox, f.data, f.n, 0, &image_default_limits, &im, PATIENCE,
                                 enough_refused, &wanted, NULL);

    refusals += st == DS_BUSY;
    free(f.data);
    return st;
}

static void *
hang_till_six(void *st)
{
    *(DsStatus *)st = hang_until(6);
    return NULL;
}

static void *
hang_long(void *st)
{
    *(DsStatus *)st = hang_until(SANDBOX_MOST_CHILDREN);
    return NULL;
}

static void
test_too_many(void)
{
    enum
    {
        N = SANDBOX_MOST_CHILDREN + 6
    };
    pthread_t threads[N];
    DsStatus st[N];
    int busy = 0, stopped = 0;

    for (int i = 0; i < N; i++)
        pthread_create(&threads[i], NULL, hang_till_six, &st[i]);
    for (int i = 0; i < N; i++)
    {
        pthread_join(threads[i], NULL);
        busy += st[i] == DS_BUSY;
        stopped += st[i] == DS_CANCELLED;
    }
    promise("more children than there may be are DS_BUSY, the others go on",
            busy == 6 && stopped == N - 6);
    promise("and then a good page is read", good_page_is_read());
}

static int
open_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

/* ---- deaths ---- */

/* A process that starts a sandbox, has a child hang in it, and dies without a word. */
static void
die_with_a_child(void)
{
    pthread_t thread;
    DsStatus st;

    if (sandbox_start(&sandbox, NULL) != DS_OK || !good_page_is_read())
        _exit(1);
    pthread_create(&thread, NULL, hang_long, &st);
    usleep(100000);
    kill(getpid(), SIGKILL);
}

static void
test_engine_dies(void)
{
    pid_t pid;
    int ended = 0;

    prctl(PR_SET_CHILD_SUBREAPER, 1); /* orphans come to us */
    if ((pid = fork()) == 0)
        die_with_a_child();
    for (int i = 0; i < 3000 && ended < 3; i++)
    {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ended++;
        usleep(10000);
    }
    promise("when the engine dies its zygote and a hanging child die too",
            ended >= 2 && waitpid(-1, NULL, WNOHANG) <= 0);
}

static pid_t
zygote_of(pid_t engine)
{
    char path[64];
    FILE *f;
    int pid = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)engine, (int)engine);
    f = fopen(path, "r");
    if (f && fscanf(f, "%d", &pid) != 1)
        pid = 0;
    if (f)
        fclose(f);
    return pid;
}

static void
test_zygote_dies(void)
{
    pid_t zygote = zygote_of(getpid());
    pthread_t thread;
    DsStatus st = DS_OK;

    if (!promise("there is one zygote", zygote > 0))
        return;
    pthread_create(&thread, NULL, hang_long, &st);
    usleep(100000);
    kill(zygote, SIGKILL);
    pthread_join(thread, NULL);
    promise("a zygote that dies ends the decoding in progress with DS_BROKEN", st == DS_BROKEN);
    promise("and is known to be dead", !sandbox_alive(sandbox) && !good_page_is_read());
}

/* Not a promise: numbers to look at. */
static void
show_cost(void)
{
    File f = golden_file("grey8.png");
    Image im;
    int64_t t = now_us(), direct;
    uint8_t pixels[61 * 43];

    for (int i = 0; i < 200; i++)
        image_decode(f.data, f.n, 0, &image_default_limits, pixels, sizeof pixels, &im, NULL);
    direct = now_us() - t;
    t = now_us();
    for (int i = 0; i < 200; i++)
    {
        sandbox_decode(sandbox, f.data, f.n, 0, &image_default_limits, &im, 0, NULL, NULL, NULL);
        sandbox_release(&im);
    }
    printf("     a child costs %.2f ms for an image of %.2f ms\n",
           (double)(now_us() - t - direct) / 200e3, (double)direct / 200e3);
    free(f.data);
}

int
main(void)
{
    DsError err = {0};
    int before;

    test_engine_dies();
    if (!promise("a sandbox starts", sandbox_start(&sandbox, &err) == DS_OK))
    {
        printf("     %s: %s\n", err.message, err.detail);
        return report();
    }
    good_page_is_read();
    before = open_descriptors();
    test_golden();
    test_large();
    test_errors_come_through();
    test_misbehaviour();
    test_lie_about_pages();
    test_time("spin");
    test_time("hang");
    test_threads();
    test_too_many();
    show_cost();
    promise("no descriptor was left open", open_descriptors() == before);
    test_zygote_dies();
    sandbox_stop(sandbox);
    return report();
}

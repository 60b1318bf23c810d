/* serve_test.c - what dsocr serve promises to many callers at once, the bad ones among them; with a stub of the
 * engine (stub_engine.h), real sockets, real decoder children. */
#include "ask.h"
#include "check.h"
#include "stub_engine.h"

#include "../../src/serve/serve_inner.h"

#include <math.h>
#include <pthread.h>
#include <tiffio.h>

typedef struct Document
{
    uint8_t *bytes;
    size_t n;
} Document;

/* A grey PNG of 40 x 30 with `shade` all over; the stub does the rest. */
static Document
picture(int units, int ms, Trick trick, int shade)
{
    static uint8_t pixels[40 * 30];
    Image image = {40, 30, 1, 0, pixels};
    Document p = {0};

    memset(pixels, shade, sizeof pixels);
    pixels[0] = (uint8_t)units, pixels[1] = (uint8_t)ms, pixels[2] = (uint8_t)trick;
    if (image_write_png(&image, &p.bytes, &p.n, NULL) != DS_OK)
        exit(1);
    return p;
}

static Question
reading(Document p)
{
    return (Question){.kind = WIRE_READ, .options = "{}", .body = p.bytes, .n = p.n};
}

static Reply
read_picture(const TestServer *t, int units, int ms, Trick trick, int shade)
{
    Document p = picture(units, ms, trick, shade);
    Question q = reading(p);
    Reply r = ask(t->socket, &q);

    free(p.bytes);
    return r;
}

static bool
good_page(const TestServer *t, int shade)
{
    char want[40];

    snprintf(want, sizeof want, "sum %d of page 1", shade * (40 * 30 - 3) + 1);
    return said(read_picture(t, 1, 0, TRICK_NONE, shade), WIRE_RESULT, want);
}

/* Sends a reading up to its last byte, and waits for nothing. */
static int
begin_on(const TestServer *t, Question q)
{
    int fd = ask_connect(t->socket);
    Reply r = ask_go(fd, &q);

    if (r.go)
        wire_write_all(fd, q.body, q.n);
    free(r.text);
    return fd;
}

static void
answers(void)
{
    TestServer t = server_start("answers", "stub", NULL);
    Document p = picture(3, 0, TRICK_NONE, 7);
    Question q = reading(p);
    Reply r = ask(t.socket, &q);
    int fd;

    promise("a document is read", says(&r, WIRE_RESULT, "\"text\":\"sum 8382 of page 1\""));
    promise("the result names model and extension",
            says(&r, WIRE_RESULT, "\"model\":\"stub\"") &&
                says(&r, WIRE_RESULT, "\"extension\":\"9.9\""));
    promise("it was read now", says(&r, WIRE_RESULT, "\"cached\":false"));
    free(r.text);
    promise("asked again, it comes from the cache",
            said(ask(t.socket, &q), WIRE_RESULT, "\"cached\":true"));
    q.options = "{\"mode\":\"text\"}";
    promise("asked in another way, it is read",
            said(ask(t.socket, &q), WIRE_RESULT, "\"cached\":false"));
    q.options = "{\"mode\":\"ask\",\"question\":\"one\"}";
    promise("asked a question, it is read, and the mode is told",
            said(ask(t.socket, &q), WIRE_RESULT, "\"mode\":\"ask\"") &&
                said(ask(t.socket, &q), WIRE_RESULT, "\"cached\":true"));
    q.options = "{\"mode\":\"ask\",\"question\":\"two\"}";
    promise("asked another, too", said(ask(t.socket, &q), WIRE_RESULT, "\"cached\":false"));
    q.options = "{\"mode\":\"figure\"}";
    r = ask_go(fd = ask_connect(t.socket), &q);
    promise("what the model cannot is refused before the document is sent",
            !r.go && says(&r, WIRE_ERROR, "\"unsupported\"") &&
                says(&r, WIRE_ERROR, "draws nothing"));
    free(r.text);
    close(fd);
    q.kind = WIRE_INFO, q.options = NULL;
    promise("info tells the size", said(ask(t.socket, &q), WIRE_RESULT, "\"width\":40"));
    r = ask(t.socket, &(Question){.kind = WIRE_STATUS});
    promise("status counts pages", says(&r, WIRE_RESULT, "\"state\":\"ready\"") &&
                                       number_of(r.text, "pages") == 4 &&
                                       number_of(r.text, "hits") == 2);
    free(r.text);
    free(p.bytes);
    promise("the end of its owner's connection ends it with status 0", server_stop(&t) == 0);
}

#define ROW 40

/* The longest of some calls in a row, ms; none is answered from the cache. */
static double
longest(const TestServer *t, int row)
{
    double most = 0;

    for (int i = 0; i < ROW; i++)
    {
        double begun = now_ms();

        if (!good_page(t, row * ROW + i))
            return INFINITY;
        most = fmax(most, now_ms() - begun);
    }
    return most;
}

/* Workers that are told of nothing look once a second. The machine may be busy, so one of six rows of calls has to show it. */
static void
at_once(void)
{
    TestServer t = server_start("at_once", "stub", NULL);
    bool shown = false;

    for (int row = 0; row < 6 && !shown; row++)
        shown = longest(&t, row) < 900;
    promise("a document that comes to an idle engine is looked into at once, whoever sleeps there",
            shown);
    server_stop(&t);
}

static void
one_connection(void)
{
    TestServer t = server_start("one", "stub", NULL);
    Document p = picture(1, 0, TRICK_NONE, 1);
    Question q = reading(p),
             bad = {.kind = WIRE_READ, .options = "{\"mode\":\"poem\"}", .body = "x", .n = 1};
    int fd = ask_connect(t.socket);
    bool all = true;

    for (int i = 0; i < 20; i++)
        all = all &&
              said(ask_on(fd, i % 3 == 1 ? &bad : &q), i % 3 == 1 ? WIRE_ERROR : WIRE_RESULT, "");
    promise("a connection serves one request after the other, refused ones between", all);
    close(fd);
    free(p.bytes);
    kill(t.pid, SIGTERM);
    promise("SIGTERM ends it with status 0", server_wait(&t) == 0);
}

static bool
refused(const TestServer *t, Question q, const char *status, bool before_go)
{
    char part[64];
    Reply r = ask(t->socket, &q);
    bool right;

    snprintf(part, sizeof part, "\"status\":\"%s\"", status);
    right = says(&r, WIRE_ERROR, part) && r.go == !before_go;
    free(r.text);
    return right;
}

static void
bad_requests(void)
{
    TestServer t = server_start("bad", "stub", "{\"max_image_bytes\":100000}");
    Document p = picture(1, 0, TRICK_NONE, 1);
    Question q = reading(p);

    q.options = "{\"options\":{\"colour\":1}}";
    promise("an unknown option is refused before the document is sent",
            refused(&t, q, "bad_request", true));
    q.options = "{\"options\":{\"model\":\"other\"}}";
    promise("so is a model that is not served", refused(&t, q, "unsupported", true));
    q.options = "not json";
    promise("so are options that are no JSON", refused(&t, q, "bad_request", true));
    q.options = "{}", q.n = 100001;
    promise("so is a document over max_image_bytes", refused(&t, q, "limit", true));
    q.n = 0;
    promise("so is an empty one", refused(&t, q, "bad_input", true));
    q = reading(p), q.options = "{\"pages\":\"2\"}";
    promise("a page that the document does not have is refused",
            refused(&t, q, "bad_request", false));
    q = (Question){.kind = WIRE_READ, .body = "no image at all", .n = 15};
    promise("what is no image is refused", refused(&t, q, "bad_input", false));
    q = reading(p), q.n = p.n / 2;
    promise("half a PNG is refused", refused(&t, q, "bad_input", false));
    promise("a good page is read after all that", good_page(&t, 3));
    free(p.bytes);
    server_stop(&t);
}

static bool
drops(const TestServer *t, const void *bytes, size_t n)
{
    int fd = ask_connect(t->socket);
    char byte;
    bool gone;

    wire_write_all(fd, bytes, n);
    gone = recv(fd, &byte, 1, 0) == 0;
    close(fd);
    return gone;
}

static void
strangers(void)
{
    TestServer t = server_start("strange", "stub", NULL);
    WireHeader h;
    Reply r = {0};
    int fd = ask_connect(t.socket);

    promise("who sends no header is dropped",
            drops(&t, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n and then some more", 48));
    wire_header(&h, WIRE_REQUEST, 42);
    h.version = 9;
    wire_write_all(fd, &h, sizeof h);
    promise("another version is told so, and dropped",
            ask_message(fd, &r) && says(&r, WIRE_ERROR, "version 9") && !ask_message(fd, &r));
    free(r.text);
    close(fd);
    r = (Reply){0};
    fd = ask_connect(t.socket);
    wire_header(&h, WIRE_REQUEST, 42);
    h.kind = WIRE_READ, h.body_length = 1ull << 62;
    wire_write_all(fd, &h, sizeof h);
    promise("a body of 2^62 bytes is refused",
            ask_message(fd, &r) && says(&r, WIRE_ERROR, "over the limit"));
    free(r.text);
    close(fd);
    wire_header(&h, WIRE_RESULT, 42);
    fd = ask_connect(t.socket), r = (Reply){0};
    wire_write_all(fd, &h, sizeof h);
    promise("a message that is no request is refused",
            ask_message(fd, &r) && says(&r, WIRE_ERROR, "no request"));
    free(r.text);
    close(fd);
    wire_header(&h, WIRE_REQUEST, 42);
    h.kind = WIRE_READ, h.body_length = 100, h.options_length = 1000;
    for (size_t n = 1; n < sizeof h; n += 9)
    {
        fd = ask_connect(t.socket);
        wire_write_all(fd, &h, n);
        close(fd);
    }
    fd = ask_connect(t.socket);
    wire_write_all(fd, &h, sizeof h);
    close(fd);
    promise("callers who leave in the middle of a header or of options harm nobody",
            good_page(&t, 4));
    server_stop(&t);
}

static bool
closed(int fd)
{
    char byte;

    return eventually(recv(fd, &byte, 1, MSG_DONTWAIT) == 0);
}

static void
slow_ones(void)
{
    TestServer t;
    Document big = picture(1, 0, TRICK_BIG, 1);
    Question q = reading(big);
    WireHeader h;
    Reply r;
    int fd;

    serve_stall_ms = 2000;
    t = server_start("stall", "stub", NULL);
    wire_header(&h, WIRE_REQUEST, 42);
    fd = ask_connect(t.socket);
    wire_write_all(fd, &h, 20);
    promise("who stops in the middle of a header is dropped", closed(fd));
    close(fd);
    fd = ask_connect(t.socket);
    r = ask_go(fd, &q);
    promise("so is who never sends the document after GO", r.go && closed(fd));
    free(r.text);
    close(fd);
    fd = begin_on(&t, q);
    promise("an answer that nobody takes is held",
            eventually(status_number(t.socket, "inflight_bytes") > 3000000));
    promise("and dropped after a while",
            eventually(status_number(t.socket, "inflight_bytes") == 0));
    close(fd);
    fd = ask_connect(t.socket);
    pause_ms(serve_stall_ms * 3 / 2);
    promise("a connection that is idle stays", said(ask_on(fd, &q), WIRE_RESULT, "bbb"));
    close(fd);
    free(big.bytes);
    server_stop(&t);
    serve_stall_ms = 30000;
}

static bool
nothing_left(const TestServer *t)
{
    return status_number(t->socket, "active") == 0 && status_number(t->socket, "waiting") == 0 &&
           status_number(t->socket, "pages_in_hand") == 0 &&
           status_number(t->socket, "slots_used") == 0 &&
           status_number(t->socket, "inflight_bytes") == 0;
}

static void
full_queue(void)
{
    TestServer t = server_start("full", "stub", "{\"max_waiting\":2}");
    Document slow = picture(200, 200, TRICK_NONE, 1);
    Question q = reading(slow);
    int fds[STUB_SLOTS + 4], waiting[2];
    double start;

    q.class_ = WIRE_BULK;
    for (int i = 0; i < STUB_SLOTS + 4; i++)
        fds[i] = begin_on(&t, q);
    for (int i = 0; i < 2; i++)
    {
        waiting[i] = ask_connect(t.socket);
        ask_header(waiting[i], &q);
    }
    promise("two wait", eventually(status_number(t.socket, "waiting") == 2));
    promise("one more than max_waiting is told busy", refused(&t, q, "busy", true));
    promise("every slot is used", eventually(status_number(t.socket, "slots_used") == STUB_SLOTS));
    for (int i = 0; i < STUB_SLOTS + 4; i++)
        close(fds[i]);
    close(waiting[0]), close(waiting[1]);
    start = now_ms();
    promise("closing is the cancel: a good page is read at once", good_page(&t, 5));
    printf("#    %.0f ms after eight cancels; each page takes 40 s\n", now_ms() - start);
    promise("and waits for none of them", now_ms() - start < 20000);
    promise("nothing is left of the cancelled", eventually(nothing_left(&t)));
    free(slow.bytes);
    server_stop(&t);
}

static void
deadlines(void)
{
    TestServer t = server_start("late", "stub", NULL);
    Document slow = picture(200, 200, TRICK_NONE, 1); /* takes 40 s */
    Question q = reading(slow);
    double start = now_ms();
    int fd;
    Reply r;

    q.timeout_ms = 1500;
    promise("a reading that is not done in time is cancelled", refused(&t, q, "cancelled", false));
    promise("at its deadline", now_ms() - start >= 1500 && now_ms() - start < 20000);
    q.timeout_ms = 0, q.options = "{\"options\":{\"timeout_ms\":1000}}";
    promise("so is one whose options say so", refused(&t, q, "cancelled", false));
    q.options = "{}", q.timeout_ms = 1500;
    fd = ask_connect(t.socket);
    r = ask_go(fd, &q);
    free(r.text);
    r = ask_answer(fd);
    promise("one whose document does not come is told so, and its connection closed",
            says(&r, WIRE_ERROR, "not read in time") && !ask_message(fd, &r));
    free(r.text);
    close(fd);
    q.timeout_ms = 4500;
    r = ask(t.socket, &q);
    promise("a long reading tells how far it is, once a second",
            r.progresses >= 2 && r.progresses <= 4);
    free(r.text);
    free(slow.bytes);
    server_stop(&t);
}

static void
page_time(void)
{
    TestServer t = server_start("page", "stub", "{\"page_timeout\":300}");
    double start = now_ms();

    promise("a page over page_timeout is a page with status error",
            said(read_picture(&t, 200, 200, TRICK_NONE, 1), WIRE_RESULT, "longer than its time"));
    promise("long before its 40 s are over", now_ms() - start < 20000);
    promise("a page whose lines cannot be found is one too",
            said(read_picture(&t, 1, 0, TRICK_NO_BEGIN, 1), WIRE_RESULT, "too many lines"));
    server_stop(&t);
}

static void
fairness(void)
{
    TestServer t = server_start("fair", "stub", "{\"cache_bytes\":0}");
    int fds[8];
    long before;

    for (int i = 0; i < 8; i++)
    {
        Document slow = picture(40, 40, TRICK_NONE, i);
        Question q = reading(slow);

        q.class_ = WIRE_BULK;
        fds[i] = begin_on(&t, q);
        free(slow.bytes);
    }
    before = status_number(t.socket, "pages");
    promise("an interactive page passes eight bulk pages",
            good_page(&t, 9) && status_number(t.socket, "pages") == before + 1);
    for (int i = 0; i < 8; i++)
    {
        Reply r = ask_answer(fds[i]);

        if (!says(&r, WIRE_RESULT, "sum"))
            promise("bulk pages are read too", false);
        if (i == 0)
            promise("pages of different callers share a step",
                    says(&r, WIRE_RESULT, "\"vision\":4"));
        free(r.text);
        close(fds[i]);
    }
    server_stop(&t);
}

/* Pages that take for ever: whoever gets GO beside them has a place of another's. */
static void
one_of_many(void)
{
    TestServer t = server_start("many", "stub", "{\"cache_bytes\":0}");
    Document slow = picture(100000, 20, TRICK_NONE, 1);
    Question q = reading(slow);
    int fds[STUB_SLOTS + 6];
    bool answered = false;
    Reply r;

    q.flags = WIRE_MANY;
    for (int i = 0; i < STUB_SLOTS + 4; i++)
        fds[i] = begin_on(&t, q);
    fds[STUB_SLOTS + 4] = ask_connect(t.socket);
    ask_header(fds[STUB_SLOTS + 4], &q);
    pause_ms(150);
    promise("who has many documents gets places enough to keep the engine busy, and no more",
            recv(fds[STUB_SLOTS + 4], &(char){0}, 1, MSG_DONTWAIT) < 0);
    q.flags = 0;
    fds[STUB_SLOTS + 5] = ask_connect(t.socket);
    r = ask_go(fds[STUB_SLOTS + 5], &q);
    for (int i = 0; i < STUB_SLOTS + 4; i++)
        answered = answered || recv(fds[i], &(char){0}, 1, MSG_DONTWAIT) >= 0;
    promise("who has one gets another before any of these is done", r.go && !answered);
    free(r.text);
    for (int i = 0; i < STUB_SLOTS + 6; i++)
        close(fds[i]);
    promise("and all of them can go", good_page(&t, 9));
    free(slow.bytes);
    server_stop(&t);
}

static void
alone(void)
{
    TestServer t = server_start("alone", "stub", "{\"cache_bytes\":0}");
    Document slow = picture(20, 150, TRICK_NONE, 1);
    Question q = reading(slow);
    int first = begin_on(&t, q), third;
    Reply r;

    q.flags = WIRE_ALONE;
    r = ask(t.socket, &q);
    promise("a suspect is read after those before it",
            recv(first, &(char){0}, 1, MSG_DONTWAIT) == 1 && says(&r, WIRE_RESULT, "\"vision\":1"));
    free(r.text);
    close(first);
    first = begin_on(&t, q);
    q.flags = 0;
    third = ask_connect(t.socket);
    ask_header(third, &q);
    pause_ms(150);
    promise("nobody gets GO beside it", recv(third, &(char){0}, 1, MSG_DONTWAIT) < 0);
    r = ask_answer(first);
    promise("it is read", says(&r, WIRE_RESULT, "\"vision\":1"));
    free(r.text);
    r = (Reply){0};
    promise("then the others get it", ask_message(third, &r) && r.type == WIRE_GO);
    free(r.text);
    close(first), close(third);
    free(slow.bytes);
    server_stop(&t);
}

/* A TIFF whose second page is 5 pixels wide. */
static Document
booklet(int pages)
{
    char path[64];
    uint8_t row[40] = {1, 0, 0};
    Document p = {0};
    FILE *f;
    TIFF *tiff;

    snprintf(path, sizeof path, "/tmp/dsocr-test-%d.tif", (int)getpid());
    tiff = TIFFOpen(path, "w");
    for (int i = 0; i < pages; i++)
    {
        TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, i == 1 ? 5 : 40);
        TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, 30);
        TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8);
        TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
        TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
        for (int y = 0; y < 30; y++)
            TIFFWriteScanline(tiff, row, (uint32_t)y, 0);
        TIFFWriteDirectory(tiff);
    }
    TIFFClose(tiff);
    p.bytes = malloc(1 << 20);
    f = fopen(path, "rb");
    p.n = fread(p.bytes, 1, 1 << 20, f);
    fclose(f);
    unlink(path);
    return p;
}

/* Told as they are read; the last one is the result. */
static void
page_by_page(const TestServer *t, Document p)
{
    Question q = reading(p);
    int fd = ask_connect(t->socket), parts = 0;
    bool single = true;
    Reply r;

    q.flags = WIRE_PAGEWISE;
    q.options = "{\"pages\":\"1-59\"}"; /* the whole document is in the cache by now */
    r = ask_on(fd, &q);
    for (; r.type == WIRE_PAGE; parts++)
    {
        const char *first = strstr(r.text, "\"page\":");

        single = single && first && strstr(first + 1, "\"status\":") &&
                 says(&r, WIRE_PAGE, "\"page_count\":60");
        free(r.text);
        r = ask_answer(fd);
    }
    promise("asked page by page, 58 of 59 pages come before the result", parts == 58 && single);
    promise("and the result has the one that is left",
            says(&r, WIRE_RESULT, "\"page_count\":60") && strlen(r.text) < 4000);
    free(r.text);
    q.options = "{\"pages\":\"60\"}";
    r = ask_on(fd, &q);
    promise("one page is one result", says(&r, WIRE_RESULT, "of page 60"));
    free(r.text);
    close(fd);
}

static void
many_pages(void)
{
    TestServer t = server_start("pages", "stub", NULL);
    Document p = booklet(60);
    Question q = reading(p);
    Reply r = ask(t.socket, &q);

    promise("60 pages come back, the bad one among them with its status",
            says(&r, WIRE_RESULT, "\"page\":2,\"status\":\"error\"") &&
                says(&r, WIRE_RESULT, "of page 60") && says(&r, WIRE_RESULT, "\"page_count\":60"));
    free(r.text);
    q.options = "{\"pages\":\"59-60,3\"}";
    r = ask(t.socket, &q);
    promise("only the pages asked for",
            says(&r, WIRE_RESULT, "sum 30 of page 3\\n") ||
                (says(&r, WIRE_RESULT, "of page 59") && !strstr(r.text, "of page 4\"")));
    free(r.text);
    page_by_page(&t, p);
    free(p.bytes);
    server_stop(&t);
}

/* ---- many callers with big documents ---- */

typedef struct Caller
{
    pthread_t thread;
    const char *socket;
    uint8_t *bytes;
    size_t n;
    bool answered;
} Caller;

static void *
call(void *arg)
{
    Caller *c = arg;
    Question q = {.kind = WIRE_READ, .body = c->bytes, .n = c->n};
    Reply r = ask(c->socket, &q);

    c->answered = says(&r, WIRE_RESULT, "sum");
    free(r.text);
    return NULL;
}

static void
memory(void)
{
    enum
    {
        CALLERS = 40,
        BYTES = 8 << 20
    };
    TestServer t =
        server_start("memory", "stub", "{\"max_inflight_bytes\":33554432,\"cache_bytes\":0}");
    Document p = picture(2, 10, TRICK_NONE, 1);
    uint8_t *big = calloc(1, BYTES);
    Caller callers[CALLERS];
    WirePong pong = {0};
    uint64_t before, most = 0;
    int answered = 0;

    memcpy(big, p.bytes, p.n); /* a PNG may be followed by anything */
    promise("it is up", good_page(&t, 1) && ping(&t, &pong));
    before = pong.rss_bytes;
    for (int i = 0; i < CALLERS; i++)
    {
        callers[i] = (Caller){.socket = t.socket, .bytes = big, .n = BYTES};
        pthread_create(&callers[i].thread, NULL, call, &callers[i]);
    }
    for (int i = 0; i < 200 && (i < 20 || pong.active + pong.waiting > 0); i++)
    {
        ping(&t, &pong);
        most = pong.rss_bytes > most ? pong.rss_bytes : most;
        pause_ms(20);
    }
    for (int i = 0; i < CALLERS; i++)
    {
        pthread_join(callers[i].thread, NULL);
        answered += callers[i].answered;
    }
    printf("#    RSS %.1f MB before, at most %.1f MB with 40 callers of 8 MB and 32 MB in flight\n",
           (double)before / 1e6, (double)most / 1e6);
    promise("40 callers with 8 MB each are all answered", answered == CALLERS);
#ifdef __SANITIZE_THREAD__
    skipped("memory stays under max_inflight_bytes", "ThreadSanitizer keeps a shadow of it");
#else
    promise("memory stays under max_inflight_bytes and a little", most < before + (40u << 20));
#endif
    free(big), free(p.bytes);
    server_stop(&t);
}

/* ---- life and death ---- */

static void
model_states(void)
{
    TestServer t = server_start("missing", "/no/model/missing", NULL);
    Document p = picture(1, 0, TRICK_NONE, 1);
    Question q = reading(p);
    WirePong pong;
    double start;

    promise("without a model readings are not_ready with the reason",
            refused(&t, q, "not_ready", true) &&
                said(ask(t.socket, &q), WIRE_ERROR, "/no/model/missing"));
    q.kind = WIRE_INFO, q.options = NULL;
    promise("info works all the same", said(ask(t.socket, &q), WIRE_RESULT, "\"width\":40"));
    promise("the supervisor is told why",
            ping(&t, &pong) && pong.state == WIRE_FAILED && strstr(pong.error, "cannot be loaded"));
    server_stop(&t);
    start = now_ms();
    t = server_start("slow", "slow", NULL);
    promise("info does not wait for the model",
            said(ask(t.socket, &q), WIRE_RESULT, "\"width\":40"));
    promise("pings are answered while it loads", ping(&t, &pong) && pong.state == WIRE_STARTING);
    q.kind = WIRE_READ, q.options = "{}", q.timeout_ms = 100;
    promise("a reading waits for it within its deadline", refused(&t, q, "cancelled", true));
    q.timeout_ms = 0;
    promise("and is read once it is there",
            said(ask(t.socket, &q), WIRE_RESULT, "sum") && now_ms() - start > STUB_LOAD_MS);
    free(p.bytes);
    server_stop(&t);
}

/* How far the server's counter moves in a second. */
static uint64_t
moves(const TestServer *t)
{
    WirePong a, b;

    if (!ping(t, &a))
        return UINT64_MAX;
    pause_ms(1000);
    return ping(t, &b) ? b.progress - a.progress : UINT64_MAX;
}

static void
progress(void)
{
    TestServer t = server_start("progress", "stub", NULL);
    Document slow = picture(200, 200, TRICK_NONE, 1), wedged = picture(1, 1, TRICK_WEDGE, 1);
    int fd;

    promise("the counter moves while there is nothing to do", eventually(moves(&t) > 0));
    fd = begin_on(&t, reading(slow));
    promise("and with slow work", eventually(moves(&t) >= 10));
    close(fd);
    fd = begin_on(&t, reading(wedged));
    promise("and stands still when the work hangs, though pings are answered",
            eventually(moves(&t) == 0));
    close(fd);
    free(slow.bytes), free(wedged.bytes);
    server_stop(&t);
}

static pid_t
child_of(pid_t pid)
{
    char path[64];
    int child = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    if ((f = fopen(path, "r")) != NULL)
    {
        if (fscanf(f, "%d", &child) != 1)
            child = 0;
        fclose(f);
    }
    return child;
}

static void
deaths(void)
{
    TestServer t = server_start("broken", "stub", NULL);
    Reply r = read_picture(&t, 1, 0, TRICK_BROKEN, 1);
    pid_t zygote;

    promise("a broken device ends the process with a status of its own",
            r.type == 0 && server_wait(&t) == SERVE_EXIT_BROKEN);
    free(r.text);
    t = server_start("zygote", "stub", NULL);
    good_page(&t, 1);
    if ((zygote = child_of(t.pid)) > 0)
    {
        kill(zygote, SIGKILL);
        promise("so does the end of the zygote", server_wait(&t) == SERVE_EXIT_ZYGOTE);
        return;
    }
    skipped("the end of the zygote", "this kernel does not list children");
    server_stop(&t);
}

static TestServer
start_locked(const char *name, const char *lock)
{
    TestServer t = {.control = -1};

    snprintf(t.socket, sizeof t.socket, "/tmp/dsocr-test-%d-%s", (int)getpid(), name);
    fflush(stdout);
    if ((t.pid = fork()) == 0)
    {
        char *argv[] = {"serve", "--socket", t.socket,     "--model",
                        "stub",  "--lock",   (char *)lock, NULL};

        _exit(serve_main(7, argv));
    }
    return t;
}

static void
locks(void)
{
    char lock[64];
    TestServer first, second;

    snprintf(lock, sizeof lock, "/tmp/dsocr-test-%d.lock", (int)getpid());
    first = start_locked("first", lock);
    promise("an engine with a lock of its own serves", good_page(&first, 1));
    second = start_locked("second", lock);
    promise("a second engine of the same lock ends with a status of its own",
            server_wait(&second) == SERVE_EXIT_LOCKED);
    kill(first.pid, SIGTERM);
    promise("while the first one lives", server_wait(&first) == 0);
    unlink(lock);
    promise("a wrong command line is told by another",
            serve_main(1, (char *[]){"serve", NULL}) == SERVE_EXIT_USAGE);
}

int
main(void)
{
    signal(SIGPIPE, SIG_IGN);
    answers();
    at_once();
    one_connection();
    bad_requests();
    strangers();
    slow_ones();
    full_queue();
    deadlines();
    page_time();
    fairness();
    one_of_many();
    alone();
    many_pages();
    memory();
    model_states();
    progress();
    deaths();
    locks();
    return report();
}

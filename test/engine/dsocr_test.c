/* dsocr_test.c - what the engine promises of a page on its way: the same bytes give the same answer, whoever else is
 * being read, however often the work is given up and begun anew. Reads with the shipped dsocr-mini. */
#include <dirent.h>

#include "check.h"
#include "dsocr.h"
#include "../../src/engine/lines.h"
#include "toy.h"

#if defined(__SANITIZE_ADDRESS__)
#define FEW_PAGES 1
#define MOST      5
#else
#define FEW_PAGES 0
#define MOST      16
#endif

typedef struct Scan
{
    uint8_t *blob;
    size_t n;
    Image image;
} Scan;

static Scan scans[MOST];
static int nscans;

static uint8_t *
whole_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes;

    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    bytes = malloc(*n);
    *n = fread(bytes, 1, *n, f);
    fclose(f);
    return bytes;
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int
is_scan(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');

    return dot &&
           (strcmp(dot, ".jpg") == 0 || strcmp(dot, ".tif") == 0 || strcmp(dot, ".png") == 0);
}

static Scan
load_scan(const char *path)
{
    Scan s;
    ImageInfo info;
    Arena arena;
    DsError err;
    size_t bytes;

    arena_init(&arena, 0);
    s.blob = whole_file(path, &s.n);
    if (image_info(s.blob, s.n, &image_default_limits, &arena, &info, &err))
        exit(1);
    bytes =
        (size_t)info.pages[0].width * (size_t)info.pages[0].height * (size_t)info.pages[0].channels;
    if (image_decode(s.blob, s.n, 0, &image_default_limits, malloc(bytes), bytes, &s.image, &err))
        exit(1);
    arena_free(&arena);
    return s;
}

static void
load_scans(void)
{
    struct dirent **names;
    int n = scandir("test/pages", &names, is_scan, by_name);

    for (int i = 0; i < n && nscans < MOST; i++)
    {
        char path[300];

        snprintf(path, sizeof path, "test/pages/%s", names[i]->d_name);
        scans[nscans++] = load_scan(path);
    }
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

/* Sixteen different pages: the upper thirds of some make up the number. They share the pixels. Sanitizers make a
 * page take many times as long: they look at few, and at the thirds alone. */
static void
add_thirds(void)
{
    int whole = nscans;

    for (int i = 0; FEW_PAGES && i < whole; i++)
        scans[i].image.height /= 3;

    for (int i = 0; i < whole && nscans < MOST; i++)
    {
        scans[nscans] = (Scan){.image = scans[i].image};
        scans[nscans++].image.height /= 3;
    }
}

static DsEngine *
engine(int threads, int max_batch, int (*tick)(void *), void *arg)
{
    DsSettings s = {.model_dir = "model/mini",
                    .threads = threads,
                    .max_batch = max_batch,
                    .tick = tick,
                    .tick_arg = arg};
    DsEngine *e = NULL;
    DsError err;

    if (ds_open(&s, &e, &err))
    {
        printf("%s\n%s\n", err.message, err.detail);
        exit(1);
    }
    return e;
}

static DsOptions
default_options(void)
{
    DsRequest r;
    DsError err;

    if (request_parse("{}", 2, 8192, &r, &err))
        exit(1);
    return r.options;
}

/* The page's JSON but for the times. */
static char *
answer(DsPage *p)
{
    PageReading r = *ds_page_reading(p);
    JsonOut out = {0};
    char *text;
    size_t n;
    DsError err;

    r.ms_decode = r.ms_encode = r.ms_generate = 0;
    json_page(&out, &r);
    return json_text(&out, &text, &n, &err) ? NULL : text;
}

/* Reads scans order[0..n-1] together; gives the answer of `which`. */
static char *
read_together(DsEngine *e, const int *order, int n, int which)
{
    DsOptions o = default_options();
    DsPage *pages[MOST];
    DsError err;
    DsStatus st = DS_OK;
    char *text = NULL;
    bool worked = true;

    o.want_tokens = true;
    for (int i = 0; i < n; i++)
        if (ds_page_begin(e, &scans[order[i]].image, 1, &o, NULL, NULL, &pages[i], &err))
            exit(1);
    while (worked && (st == DS_OK || st == DS_CANCELLED))
        st = ds_step(e, pages, n, &worked, &err);
    for (int i = 0; i < n; i++)
    {
        if (order[i] == which && ds_page_done(pages[i]))
            text = answer(pages[i]);
        ds_page_end(e, pages[i]);
    }
    return text;
}

static bool
same(char *a, char *b)
{
    bool equal = a && b && strcmp(a, b) == 0;

    free(b);
    return equal;
}

static char *alone;

static void
company(void)
{
    int one[] = {4}, up[MOST], down[MOST], mixed[MOST];
    DsEngine *e = engine(2, 0, NULL, NULL);

    for (int i = 0; i < nscans; i++)
    {
        up[i] = i;
        down[i] = nscans - 1 - i;
        mixed[i] = (i * 3 + 1) % nscans; /* 3 divides neither number of pages */
    }
    alone = read_together(e, one, 1, 4);
    promise("a page alone has an answer", alone && strstr(alone, "\"status\":\"ok\""));
    promise("first to last with all others: the same answer",
            same(alone, read_together(e, up, nscans, 4)));
    promise("last to first: the same", same(alone, read_together(e, down, nscans, 4)));
    promise("in a third order: the same", same(alone, read_together(e, mixed, nscans, 4)));
    ds_close(e);
}

static void
threads_and_slots(void)
{
    int one[] = {4};

    for (int threads = 1; threads <= 3; threads += 2)
    {
        DsEngine *e = engine(threads, threads == 1 ? 3 : 17, NULL, NULL);

        promise(threads == 1 ? "one thread, three slots: the same answer"
                             : "three threads, 17 slots: the same",
                same(alone, read_together(e, one, 1, 4)));
        ds_close(e);
    }
}

/* Gives up at the 1st, 2nd, 4th, 8th ... look: often, and yet every page comes to its end. */
static int
now_and_then(void *arg)
{
    int *n = arg;

    if (*n < 0) /* the engine is being opened */
        return 0;
    ++*n;
    return (*n & (*n - 1)) == 0;
}

static void
given_up(void)
{
    int ticks = -1, one[] = {4};
    DsEngine *e = engine(2, 0, now_and_then, &ticks);

    ticks = 0;
    promise("work given up and begun anew: the same answer",
            same(alone, read_together(e, one, 1, 4)));
    promise("and work was given up", ticks > 0);
    ds_close(e);
}

static int
at_once(void *arg)
{
    (void)arg;
    return 1;
}

static void
dropped(void)
{
    DsEngine *e = engine(2, 4, NULL, NULL);
    DsOptions o = default_options();
    DsPage *page, *failed;
    DsError err, why;
    bool worked;
    int one[] = {4};

    promise("a page can be dropped half way",
            ds_page_begin(e, &scans[0].image, 1, &o, NULL, NULL, &page, &err) == DS_OK &&
                ds_step(e, &page, 1, &worked, &err) == DS_OK && !ds_page_done(page));
    ds_page_end(e, page);
    promise("and its slots serve the next", same(alone, read_together(e, one, 1, 4)));
    promise("line finding can be given up",
            ds_page_begin(e, &scans[0].image, 1, &o, at_once, NULL, &page, &err) == DS_CANCELLED);

    ds_fail(&why, DS_BAD_INPUT, "JPEG ends early");
    promise("a page that cannot be decoded is a page",
            ds_page_failed(7, &why, &failed, &err) == DS_OK && ds_page_done(failed));
    promise("with its number, status and reason",
            ds_page_reading(failed)->page == 7 &&
                strcmp(ds_page_reading(failed)->status, "error") == 0 &&
                strcmp(ds_page_reading(failed)->error_message, "JPEG ends early") == 0);
    ds_page_end(e, failed);
    ds_close(e);
}

static void
blank(void)
{
    DsEngine *e = engine(1, 4, NULL, NULL);
    DsOptions o = default_options();
    uint8_t *white = malloc(600 * 800);
    Image image = {.width = 600, .height = 800, .channels = 1, .pixels = white};
    DsPage *page;
    DsError err;
    bool worked;

    memset(white, 250, 600 * 800);
    if (ds_page_begin(e, &image, 1, &o, NULL, NULL, &page, &err))
        exit(1);
    while (!ds_page_done(page) && ds_step(e, &page, 1, &worked, &err) == DS_OK && worked)
        ;
    promise("an empty page is done, and blank",
            ds_page_done(page) && strcmp(ds_page_reading(page)->status, "blank") == 0);
    ds_page_end(e, page);
    ds_close(e);
    free(white);
}

typedef struct WayRead
{
    char *answer; /* the page's JSON, malloc'd */
    int rotation;
    float confidence;
    bool forward; /* its progress never went back, in pieces or as a share */
} WayRead;

/* Reads the page, beside a scan if `company`. */
static WayRead
way_read(DsEngine *e, const Image *image, bool company)
{
    DsOptions o = default_options();
    DsPage *pages[2];
    DsError err;
    DsStatus st = DS_OK;
    WayRead r = {.forward = true};
    bool worked = true;
    int done = 0, all = 1;

    if (ds_page_begin(e, image, 1, &o, NULL, NULL, &pages[0], &err) ||
        ds_page_begin(e, &scans[4].image, 1, &o, NULL, NULL, &pages[1], &err))
        exit(1);
    while (!ds_page_done(pages[0]) && worked)
    {
        int now, of;

        st = ds_step(e, pages, 1 + company, &worked, &err);
        if (st != DS_OK && st != DS_CANCELLED)
            exit(1);
        worked = worked || st == DS_CANCELLED;
        ds_page_progress(pages[0], &now, &of);
        r.forward = r.forward && now >= done && (long)now * all >= (long)done * of && now <= of;
        done = now;
        all = of;
    }
    r.answer = answer(pages[0]);
    r.confidence = ds_page_reading(pages[0])->confidence;
    r.rotation = ds_page_reading(pages[0])->rotation;
    r.forward = r.forward && done == all;
    ds_page_end(e, pages[0]);
    ds_page_end(e, pages[1]);
    return r;
}

/* What its letters say. */
static int
rotation_found(const Image *image)
{
    LineShape shape = {.view_w = 256, .view_h = 32, .x_height = 11, .baseline = 23};
    PageLines lines;
    Arena arena;
    DsError err;

    arena_init(&arena, 0);
    if (lines_find(image, &shape, -1, NULL, NULL, &arena, &lines, &err))
        exit(1);
    arena_free(&arena);
    return lines.rotation;
}

/* A page of capitals and rules, the letters of which are wrong about it whichever way it stands; and an ordinary scan. */
static void
which_way_up(void)
{
    int ticks = -1;
    DsEngine *e = engine(1, 4, NULL, NULL), *hasty = engine(1, 4, now_and_then, &ticks);
    Scan s = load_scan("test/golden/turned.png");
    Image heads[2];
    Arena arena;
    DsError err;
    WayRead up, down, beside, anew, scan;

    arena_init(&arena, 0);
    if (image_rotate(&s.image, 180, &arena, &heads[0], &err) ||
        image_rotate(&scans[4].image, 180, &arena, &heads[1], &err))
        exit(1);
    promise("letters have this page stand on its head, and upright when it does",
            rotation_found(&s.image) == 180 && rotation_found(&heads[0]) == 0);
    up = way_read(e, &s.image, false);
    promise("reading tells that it stands upright", up.rotation == 0 && up.confidence > 0.8f);
    down = way_read(e, &heads[0], false);
    promise("and that it does not, turned", down.rotation == 180 && down.confidence > 0.8f);
    promise("its progress never goes back, though it is begun anew", up.forward && down.forward);
    beside = way_read(e, &s.image, true);
    promise("in company the same bytes, upright", same(up.answer, beside.answer));
    beside = way_read(e, &heads[0], true);
    promise("and turned", same(down.answer, beside.answer));
    ticks = 0;
    anew = way_read(hasty, &heads[0], false);
    promise("and given up and begun anew", same(down.answer, anew.answer) && ticks > 0);
    scan = way_read(e, &heads[1], false);
    promise("an ordinary scan stands as its letters say",
            scan.rotation == 180 && rotation_found(&heads[1]) == 180 && scan.confidence > 0.8f &&
                scan.forward);
    free(up.answer);
    free(down.answer);
    free(scan.answer);
    arena_free(&arena);
    free(s.image.pixels);
    free(s.blob);
    ds_close(e);
    ds_close(hasty);
}

/* What a page reader that says anything at all says in this mode, malloc'd; *prompt: its prompt's tokens but for the image. */
static char *
said(DsEngine *e, DsMode mode, const char *question, int *prompt)
{
    DsOptions o = default_options();
    Image image = toy_page(300, 220);
    DsPage *page;
    const PageReading *r;
    DsError err;
    bool worked = true;
    char *text;

    o.mode = mode;
    o.max_tokens = 20;
    o.want_raw = true;
    snprintf(o.question, sizeof o.question, "%s", question);
    if (ds_page_begin(e, &image, 1, &o, NULL, NULL, &page, &err))
        exit(1);
    free(image.pixels);
    while (worked && ds_step(e, &page, 1, &worked, &err) == DS_OK)
        ;
    r = ds_page_reading(page);
    *prompt = r->prompt_tokens - r->vision_tokens;
    text = strdup(r->raw);
    ds_page_end(e, page);
    return text;
}

static void
asking(void)
{
    DsSettings s = {.threads = 2, .max_batch = 2};
    DsEngine *e;
    DsError err;
    char dir[256], *text, *other;
    int n, more;

    if (!promise("a toy that reads pages is made", make_toy("toy-asked", "", dir, sizeof dir)))
        return;
    s.model_dir = dir;
    if (!promise("and opens", ds_open(&s, &e, &err) == DS_OK))
        return;
    text = said(e, DS_MODE_LAYOUT, "", &n);
    other = said(e, DS_MODE_FIGURE, "", &more);
    promise("asked for a figure it says something else", strcmp(text, other) != 0);
    free(text);
    free(other);
    text = said(e, DS_MODE_LOCATE, "x", &n);
    other = said(e, DS_MODE_LOCATE, "<|end|>", &more);
    promise(
        "a phrase stands in its prompt, as text whatever it is", /* of seven bytes two are one token */
        more == n + 5 && strcmp(text, other) != 0);
    free(text);
    free(other);
    ds_close(e);
}

static void
refusals(void)
{
    DsSettings s = {.model_dir = "test/pages"};
    DsOptions o = default_options();
    DsEngine *e = engine(1, 4, NULL, NULL);
    DsPage *page;
    DsError err;

    o.mode = DS_MODE_DESCRIBE;
    promise("a page is not begun in a mode that the model has no prompt for",
            ds_page_begin(e, &scans[4].image, 1, &o, NULL, NULL, &page, &err) == DS_UNSUPPORTED &&
                strstr(err.detail, "\"dsocr-mini\""));
    ds_close(e);

    promise("a folder that is no model is not_ready, with the reason",
            ds_open(&s, &e, &err) == DS_NOT_READY && err.message[0] && err.detail[0]);
    s = (DsSettings){.model_dir = "model/mini", .backend = "abacus"};
    promise("an unknown backend is refused", ds_open(&s, &e, &err) == DS_UNSUPPORTED);
}

int
main(void)
{
    load_scans();
    add_thirds();
    promise("there are enough different pages", nscans == MOST);
    company();
    threads_and_slots();
    given_up();
    dropped();
    blank();
    which_way_up();
    asking();
    refusals();
    free(alone);
    for (int i = 0; i < nscans && scans[i].blob; i++)
    {
        free(scans[i].blob);
        free(scans[i].image.pixels);
    }
    return report();
}

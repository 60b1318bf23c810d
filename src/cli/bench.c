/* bench.c - dsocr bench: pages, views and tokens a second of the engine alone, and a mark of what was read.
 *
 * All pages of all files are in the engine at once, as under a backfill. Figures are wall clock on this machine:
 * compare them only within one run. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "sha256.h"

typedef struct Bench
{
    DsPage **pages;
    int n, room;
    double decode_s, begin_s;
} Bench;

static double
wall_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
cpu_s(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static DsStatus
begin_page(Bench *b, DsEngine *e, const Image *image, int number, const DsOptions *o, DsError *err)
{
    DsStatus st;

    if (b->n == b->room)
    {
        DsPage **more = realloc(b->pages, (size_t)(b->room * 2 + 64) * sizeof *more);

        if (more == NULL)
            return ds_fail(err, DS_BROKEN, "out of memory");
        b->pages = more;
        b->room = b->room * 2 + 64;
    }
    if ((st = ds_page_begin(e, image, number, o, NULL, NULL, &b->pages[b->n], err)) == DS_OK)
        b->n++;
    return st;
}

static DsStatus
begin_file(Bench *b, DsEngine *e, const char *path, const DsOptions *o, DsError *err)
{
    Arena arena;
    ImageInfo info;
    uint8_t *blob;
    size_t n;
    DsStatus st;

    if ((st = slurp(path, &blob, &n, err)))
        return st;
    arena_init(&arena, 0);
    st = image_info(blob, n, &image_default_limits, &arena, &info, err);
    for (int i = 0; !st && i < info.page_count; i++)
    {
        double start = wall_s(), decoded;
        Image image;

        if ((st = decode_page(blob, n, &info, i, &image, err)))
            break;
        decoded = wall_s();
        st = begin_page(b, e, &image, i + 1, o, err);
        b->decode_s += decoded - start;
        b->begin_s += wall_s() - decoded;
        free(image.pixels);
    }
    arena_free(&arena);
    free(blob);
    return st;
}

static bool
all_done(const Bench *b)
{
    for (int i = 0; i < b->n; i++)
        if (!ds_page_done(b->pages[i]))
            return false;
    return true;
}

static void
print_figures(const Bench *b, double wall, double cpu, long passes)
{
    double encode = 0, generate = 0;
    long vision = 0, tokens = 0;
    Sha256 mark;
    uint8_t digest[32];
    char hex[65];

    sha256_init(&mark);
    for (int i = 0; i < b->n; i++)
    {
        const PageReading *p = ds_page_reading(b->pages[i]);

        encode += p->ms_encode;
        generate += p->ms_generate;
        vision += p->vision_tokens;
        tokens += p->output_tokens;
        sha256_add(&mark, p->text, strlen(p->text));
    }
    sha256_end(&mark, digest);
    sha256_hex(digest, hex);
    printf("%d pages in %.3f s, %.2f pages/s, %.0f vision tokens/s, %.0f tokens/s, %.3f CPU s\n",
           b->n, wall, b->n / wall, (double)vision / wall, (double)tokens / wall, cpu);
    printf("image %.3f s, lines or views %.3f s, vision %.3f s, decoder %.3f s, %ld passes; mark "
           "%.12s\n",
           b->decode_s, b->begin_s, encode / 1e3, generate / 1e3, passes, hex);
}

static DsStatus
bench_once(const Cli *c, DsEngine *e, const DsOptions *o, DsError *err)
{
    Bench b = {0};
    double wall = wall_s(), cpu = cpu_s();
    long passes = ds_facts(e).passes;
    bool worked;
    DsStatus st = DS_OK;

    for (int i = 0; i < c->nfiles && !st; i++)
        st = begin_file(&b, e, c->files[i], o, err);
    while (!st && !all_done(&b))
        st = ds_step(e, b.pages, b.n, &worked, err);
    if (!st)
        print_figures(&b, wall_s() - wall, cpu_s() - cpu, ds_facts(e).passes - passes);
    for (int i = 0; i < b.n; i++)
        ds_page_end(e, b.pages[i]);
    free(b.pages);
    return st;
}

int
command_bench(const Cli *c)
{
    DsRequest r;
    DsEngine *e = NULL;
    DsError err;
    DsStatus st;

    if (c->sandbox)
        return bench_sandbox(c);
    if ((st = cli_request(c, &r, &err)) || (st = open_engine(c, false, &e, &err)))
        return complain("bench", &err);
    for (int k = 0; k < c->repeat && !st; k++)
        st = bench_once(c, e, &r.options, &err);
    ds_close(e);
    return st ? complain("bench", &err) : 0;
}

/* sandbox_cost.c - dsocr bench --sandbox: what a decoder child costs beside a model that is resident.
 *
 * The first page is decoded here and through a child, in turns; the difference is the child's price: fork,
 * confinement, mapping, death. On a machine that does other work only the best tells something: a child has to wait for
 * its turn. As in serve, the zygote is forked before the model is opened. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sandbox.h"

#define TURNS 201

static double
wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static long
resident_mb(void)
{
    long all, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f && fscanf(f, "%ld %ld", &all, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024) / 1024;
}

/* direct, child: [TURNS] ms. */
static DsStatus
take_turns(Sandbox *s, const uint8_t *blob, size_t n, const ImageInfo *info, double *direct,
           double *child, DsError *err)
{
    DsStatus st = DS_OK;

    for (int i = 0; i < TURNS && !st; i++)
    {
        double start = wall_ms();
        Image image;

        if ((st = decode_page(blob, n, info, 0, &image, err)))
            break;
        free(image.pixels);
        direct[i] = wall_ms() - start;
        start = wall_ms();
        if ((st = sandbox_decode(s, blob, n, 0, &image_default_limits, &image, 0, NULL, NULL, err)))
            break;
        sandbox_release(&image);
        child[i] = wall_ms() - start;
    }
    qsort(direct, TURNS, sizeof *direct, by_size);
    qsort(child, TURNS, sizeof *child, by_size);
    return st;
}

static DsStatus
measure(Sandbox *s, const char *path, DsError *err)
{
    double direct[TURNS] = {0}, child[TURNS] = {0};
    Arena arena;
    ImageInfo info;
    uint8_t *blob;
    size_t n;
    DsStatus st;

    if ((st = slurp(path, &blob, &n, err)))
        return st;
    arena_init(&arena, 0);
    if (!(st = image_info(blob, n, &image_default_limits, &arena, &info, err)) &&
        !(st = take_turns(s, blob, n, &info, direct, child, err)))
        printf(
            "%s: %.2f ms here; a child costs %.2f ms at best, %.2f in the median of %d, beside a "
            "process of %ld MB\n",
            path, direct[TURNS / 2], child[0] - direct[0], child[TURNS / 2] - direct[TURNS / 2],
            TURNS, resident_mb());
    arena_free(&arena);
    free(blob);
    return st;
}

int
bench_sandbox(const Cli *c)
{
    Sandbox *s = NULL;
    DsEngine *e = NULL;
    DsError err;
    DsStatus st;

    if (!(st = sandbox_start(&s, &err)))
        st = open_engine(c, false, &e, &err);
    for (int i = 0; i < c->nfiles && !st; i++)
        st = measure(s, c->files[i], &err);
    ds_close(e);
    if (s)
        sandbox_stop(s);
    return st ? complain("bench", &err) : 0;
}

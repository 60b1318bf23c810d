/* check.h - what every engine test is written with.
 *
 * One line per promise: `promise("text", condition)`. A test's main ends with `return report();`. */
#ifndef DS_CHECK_H
#define DS_CHECK_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int checks_passed, checks_failed, checks_skipped;

#define promise(what, ok) promise_at(__FILE__, __LINE__, what, (ok))

__attribute__((unused)) static bool
promise_at(const char *file, int line, const char *what, bool ok)
{
    if (ok)
        checks_passed++;
    else
        checks_failed++;
    if (ok)
        printf("ok   %s\n", what);
    else
        printf("FAIL %s (%s:%d)\n", what, file, line);
    return ok;
}

/* NaN fails: !(difference <= tolerance). */
__attribute__((unused)) static bool
close_to(double got, double want, double tolerance)
{
    return fabs(got - want) <= tolerance;
}

__attribute__((unused)) static void
skipped(const char *what, const char *why)
{
    checks_skipped++;
    printf("skip %s: %s\n", what, why);
}

/* The folder with the samples, golden values and tokenizer that are not part of the repository, or NULL. */
__attribute__((unused)) static const char *
shared_folder(void)
{
    const char *dir = getenv("DSOCR_SHARED");
    FILE *f;
    char path[512];

    if (dir == NULL)
        dir = "../shared";
    snprintf(path, sizeof path, "%s/samples/boxes.tsv", dir);
    f = fopen(path, "r");
    if (f)
        fclose(f);
    return f ? dir : NULL;
}

/* Of the processor, of three times: so that others who are at work beside it do not count. */
__attribute__((unused)) static double
least_seconds(void (*work)(void *arg, int n), void *arg, int n)
{
    struct timespec a, b;
    double least = INFINITY, took;

    for (int i = 0; i < 3; i++)
    {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        work(arg, n);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        took = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
        least = took < least ? took : least;
    }
    return least;
}

/* Sixteen times the work takes some sixteen times the time; by its square it would be 256. */
__attribute__((unused)) static void
promise_no_square(const char *what, void (*work)(void *arg, int n), void *arg, int n)
{
    double small = least_seconds(work, arg, n / 16), large = least_seconds(work, arg, n);

    if (!promise(what, large < 16 * 6 * small))
        printf("     %d in %.3f s, %d in %.3f s\n", n / 16, small, n, large);
}

/* Writes folder/name. */
__attribute__((unused)) static void
put_file(const char *folder, const char *name, const void *bytes, size_t n)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "wb");
    fwrite(bytes, 1, n, f);
    fclose(f);
}

__attribute__((unused)) static int
report(void)
{
    printf("# %d passed, %d failed, %d skipped\n", checks_passed, checks_failed, checks_skipped);
    return checks_failed ? 1 : 0;
}

#endif

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

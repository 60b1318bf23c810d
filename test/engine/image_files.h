/* image_files.h - what the image tests share: files, hashes, and the list of golden pages. */
#ifndef DS_IMAGE_FILES_H
#define DS_IMAGE_FILES_H

#include "../../src/engine/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct File
{
    uint8_t *data; /* malloc'd, [n] */
    size_t n;
} File;

__attribute__((unused)) static File
read_file(const char *path)
{
    File f = {0};
    FILE *in = fopen(path, "rb");

    if (in == NULL)
        return f;
    fseek(in, 0, SEEK_END);
    f.n = (size_t)ftell(in);
    rewind(in);
    f.data = malloc(f.n + 1);
    f.n = fread(f.data, 1, f.n, in);
    fclose(in);
    return f;
}

__attribute__((unused)) static File
golden_file(const char *name)
{
    char path[256];

    snprintf(path, sizeof path, "test/golden/images/%s", name);
    return read_file(path);
}

/* The upper half of a drawn receipt: some ten lines. Its pixels live as long as the test. */
__attribute__((unused)) static bool
half_receipt(Image *page)
{
    File f = read_file("test/pages/receipt_en.jpg");
    size_t room = 64 << 20;
    uint8_t *pixels = malloc(room);
    DsError err;

    if (f.n == 0 || image_decode(f.data, f.n, 0, &image_default_limits, pixels, room, page, &err))
        return false;
    free(f.data);
    page->height /= 2;
    return true;
}

__attribute__((unused)) static uint64_t
fnv1a(const uint8_t *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

/* One line of test/golden/images.tsv. */
typedef struct Golden
{
    char name[64];
    int page, width, height, channels, dpi, orientation;
    unsigned long long hash;
} Golden;

__attribute__((unused)) static bool
next_golden(FILE *list, Golden *g)
{
    return fscanf(list, "%63s %d %d %d %d %d %d %llx", g->name, &g->page, &g->width, &g->height,
                  &g->channels, &g->dpi, &g->orientation, &g->hash) == 8;
}

#endif

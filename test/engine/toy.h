/* toy.h - the toy of spec 14.1 for tests: its directory, made by mktoy, and its page. */
#ifndef DS_TOY_H
#define DS_TOY_H

#include "../../src/engine/model.h"
#include "../../src/engine/views.h"

#include "check.h"

/* Runs mktoy with these settings; the directory lies in the build folder. True when it is there. */
__attribute__((unused)) static bool
make_toy(const char *name, const char *toy_settings, char *dir, size_t n)
{
    const char *build = getenv("DSOCR_BUILD");
    char command[1024];

    build = build ? build : "build";
    snprintf(dir, n, "%s/test/%s", build, name);
    snprintf(command, sizeof command, "mkdir -p %s/test && %s/mktoy %s %s >/dev/null", build, build,
             dir, toy_settings);
    return system(command) == 0;
}

/* value(x, y, c) = (7x + 13y + 50c + 3 ((x y) mod 31)) & 255; the toy's page is 300 x 220. */
__attribute__((unused)) static Image
toy_page(int width, int height)
{
    Image image = {width, height, 3, 0, malloc((size_t)width * height * 3)};

    for (int y = 0, i = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                image.pixels[i++] = (uint8_t)(7 * x + 13 * y + 50 * c + 3 * (x * y % 31));
    return image;
}

/* A model in dir, with this adapter (NULL: none), does not open; message and detail have these words, and there is a hint. */
__attribute__((unused)) static void
model_refused(Device *d, const char *dir, const char *adapter, const char *what, const char *says,
              const char *detail)
{
    Model *m = NULL;
    DsError err = {0};
    DsStatus st = model_open_adapted(dir, adapter, d, &m, &err);
    bool ok = st == DS_NOT_READY && m == NULL && strstr(err.message, says) &&
              strstr(err.detail, detail) && err.hint[0];

    if (!promise(what, ok))
        printf("     %d: %s (%s) [%s]\n", (int)st, err.message, err.detail, err.hint);
    model_close(m);
}

#endif

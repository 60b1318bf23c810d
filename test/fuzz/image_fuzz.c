/* image_fuzz.c - any bytes as an image: headers, pixels, views; nothing is believed and nothing is lost.
 *
 *     make fuzz                                        (build-fuzz/image_fuzz, with the golden images as corpus)
 *
 * What it demands beyond not crashing: pixels have the size that the header gave, and what image_info calls
 * good or bad, image_decode does not see otherwise (a good header may still have bad data behind it). */
#include "../../src/engine/views.h"

#include <stdlib.h>

#define ROOM (1 << 18)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const ImageLimits limits = {1 << 20, ROOM / 3, 2048, 1, 4};
static const ViewSizes sizes = {64, 64, 48, 48, 2, 6, 127};

static void
demand(bool ok)
{
    if (!ok)
        abort();
}

static void
decode_page(const uint8_t *data, size_t n, int page, const ImagePage *said)
{
    static uint8_t pixels[ROOM];
    DsError err = {0};
    Image im, turned;
    Views views;
    Arena arena;
    DsStatus st = image_decode(data, n, page, &limits, pixels, sizeof pixels, &im, &err);

    demand(st == DS_OK || (err.status == st && err.message[0]));
    demand(said->status == DS_OK || st != DS_OK);
    if (st)
        return;
    demand(im.width == said->width && im.height == said->height && im.channels == said->channels);
    arena_init(&arena, 8 << 20);
    if (image_rotate(&im, 90, &arena, &turned, &err) == DS_OK)
        (void)views_cut(&turned, &sizes, &arena, &views, &err);
    arena_free(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    DsError err = {0};
    ImageInfo info;
    Arena arena;

    arena_init(&arena, 1 << 20);
    if (image_info(data, n, &limits, &arena, &info, &err) == DS_OK)
        for (int i = 0; i < info.page_count; i++)
            decode_page(data, n, i, &info.pages[i]);
    else
        demand(err.status != DS_OK && err.message[0]);
    arena_free(&arena);
    return 0;
}

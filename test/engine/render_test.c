/* render_test.c - what render.h promises of page images: turned, cut, scaled and marked where it was asked. */
#include "../../src/serve/render.h"
#include "check.h"

static const ImageLimits *limits = &image_default_limits;

/* 60 x 40 of paper with one dark pixel at (10, 20). */
static Image
page(uint8_t *pixels, int channels)
{
    memset(pixels, 200, (size_t)(60 * 40 * channels));
    memset(pixels + (20 * 60 + 10) * channels, 7, (size_t)channels);
    return (Image){60, 40, channels, 100, pixels};
}

/* The PNG of a request, read back. False: the status is not `want`. */
static bool
rendered(const char *json, int channels, DsStatus want, Image *out, DsError *err)
{
    static uint8_t paper[60 * 40 * 3], back[600 * 600 * 3];
    Image im = page(paper, channels);
    RenderRequest r;
    Arena arena;
    uint8_t *png = NULL;
    size_t n;
    DsStatus st;

    *err = (DsError){0};
    arena_init(&arena, 0);
    st = render_parse(json, strlen(json), &arena, &r, err);
    if (st == DS_OK)
        st = render_png(&im, &r, limits, &png, &n, err);
    arena_free(&arena);
    if (st == DS_OK)
    {
        ImageLimits small = image_default_limits;

        small.min_side = 1;
        st = image_decode(png, n, 0, &small, back, sizeof back, out, err);
        free(png);
    }
    return st == want;
}

static int
at(const Image *im, int x, int y, int c)
{
    return im->pixels[(y * im->width + x) * im->channels + c];
}

static bool
sized(const Image *im, int w, int h)
{
    return im->width == w && im->height == h;
}

static void
whole_pages(void)
{
    Image im;
    DsError err;

    promise("nothing asked: the page as it is", rendered("{}", 1, DS_OK, &im, &err) &&
                                                    sized(&im, 60, 40) && im.channels == 1 &&
                                                    at(&im, 10, 20, 0) == 7);
    promise("it says its dpi", im.dpi == 100);
    promise("half the dpi, half the size", rendered("{\"dpi\": 50}", 3, DS_OK, &im, &err) &&
                                               sized(&im, 30, 20) && im.channels == 3 &&
                                               im.dpi == 50);
    promise("a quarter turn clockwise", rendered("{\"rotate\": 90}", 1, DS_OK, &im, &err) &&
                                            sized(&im, 40, 60) && at(&im, 40 - 1 - 20, 10, 0) == 7);
}

static void
regions(void)
{
    Image im;
    DsError err;

    promise("a region is cut out",
            rendered("{\"region\": [10, 20, 15, 22]}", 1, DS_OK, &im, &err) && sized(&im, 5, 2) &&
                at(&im, 0, 0, 0) == 7);
    promise("its corners in any order",
            rendered("{\"region\": [15, 22, 10, 20]}", 1, DS_OK, &im, &err) && sized(&im, 5, 2));
    promise("parts of pixels are kept whole",
            rendered("{\"region\": [9.5, 19.5, 10.5, 20.5]}", 1, DS_OK, &im, &err) &&
                sized(&im, 2, 2) && at(&im, 1, 1, 0) == 7);
    promise("it ends at the page's edges",
            rendered("{\"region\": [-5, -5, 1000, 1000]}", 1, DS_OK, &im, &err) &&
                sized(&im, 60, 40));
    promise("outside the page there is none",
            rendered("{\"region\": [60, 0, 70, 10]}", 1, DS_BAD_REQUEST, &im, &err) &&
                strcmp(err.message, "the region lies outside the page") == 0);
    promise("nor of no size", rendered("{\"region\": [5, 5, 5, 9]}", 1, DS_BAD_REQUEST, &im, &err));
}

/* Lines of a page without any: cut as it lies, one PNG behind the other. */
static void
lines(void)
{
    static uint8_t paper[60 * 40];
    Image im = page(paper, 1);
    const char *json = "{\"lines\": [[10, 20, 15, 22], [9, 19, 12, 24]]}";
    RenderRequest r;
    Arena arena;
    DsError err = {0};
    uint8_t *pngs = NULL, *one = NULL;
    size_t n, none;

    arena_init(&arena, 0);
    promise("lines are asked for", render_parse(json, strlen(json), &arena, &r, &err) == DS_OK &&
                                       r.nlines == 2 && r.lines[1].y1 == 24);
    promise("and come as PNGs in a row",
            render_lines(&im, &r, NULL, NULL, &pngs, &n, &err) == DS_OK);
    r.has_region = true;
    r.region = r.lines[0];
    promise("one that is none is that part of the page",
            render_png(&im, &r, limits, &one, &none, &err) == DS_OK && none < n &&
                memcmp(one, pngs, none) == 0 && memcmp(one, pngs + none, 8) == 0);
    free(one);
    free(pngs);
    r.lines[1] = (RenderBox){60, 0, 70, 10};
    promise("outside the page there is none",
            render_lines(&im, &r, NULL, NULL, &pngs, &n, &err) == DS_BAD_REQUEST && pngs == NULL);
    arena_free(&arena);
}

static void
marks(void)
{
    Image im;
    DsError err;

    promise("a mark makes paper yellow and leaves ink dark",
            rendered("{\"marks\": [[5, 15, 20, 25]]}", 1, DS_OK, &im, &err) && im.channels == 3 &&
                at(&im, 8, 18, 0) == 200 && at(&im, 8, 18, 2) < 80 && at(&im, 10, 20, 0) == 7);
    promise("its edge is the box, to the pixel",
            at(&im, 5, 15, 2) == 0 && at(&im, 4, 15, 2) == 200 && at(&im, 19, 24, 2) == 0 &&
                at(&im, 20, 24, 2) == 200);
    promise("marks move with a region",
            rendered("{\"region\": [4, 14, 40, 40], \"marks\": [[5, 15, 20, 25]]}", 3, DS_OK, &im,
                     &err) &&
                at(&im, 0, 0, 2) == 200 && at(&im, 1, 1, 2) == 0);
    promise("and with the dpi",
            rendered("{\"dpi\": 200, \"marks\": [[5, 15, 20, 25]]}", 1, DS_OK, &im, &err) &&
                sized(&im, 120, 80) && at(&im, 10, 30, 2) == 0 && at(&im, 9, 29, 2) > 190);
    promise("marks outside are nowhere",
            rendered("{\"marks\": [[-9, -9, -1, -1], [70, 70, 80, 80]]}", 1, DS_OK, &im, &err) &&
                at(&im, 0, 0, 2) == 200);
}

static void
refusals(void)
{
    static const char *const bad[] = {"[]",
                                      "{\"page\": 0}",
                                      "{\"page\": \"1\"}",
                                      "{\"dpi\": -1}",
                                      "{\"dpi\": 99999}",
                                      "{\"rotate\": 45}",
                                      "{\"region\": [1, 2, 3]}",
                                      "{\"region\": [1, 2, 3, \"4\"]}",
                                      "{\"region\": [1, 2, 3, 1e300]}",
                                      "{\"marks\": 1}",
                                      "{\"marks\": [1]}",
                                      "{\"lines\": 1}",
                                      "{\"lines\": [[1, 2, 3]]}",
                                      "{",
                                      "nothing"};
    Image im;
    DsError err;
    bool all = true;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        all = all && rendered(bad[i], 1, DS_BAD_REQUEST, &im, &err) && err.detail[0];
    promise("requests that are not as agreed are refused, with what is wrong", all);
    promise("too many dpi are a limit", (limits = &(ImageLimits){.max_bytes = 1 << 20,
                                                                 .max_pixels = 5000,
                                                                 .max_side = 20000,
                                                                 .min_side = 1,
                                                                 .max_pages = 1}) &&
                                            rendered("{\"dpi\": 200}", 1, DS_LIMIT, &im, &err) &&
                                            strstr(err.detail, "dsocr.max_pixels"));
}

int
main(void)
{
    whole_pages();
    regions();
    lines();
    marks();
    refusals();
    return report();
}

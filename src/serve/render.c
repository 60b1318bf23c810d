/* render.c - a page's image as PNG: turned, cut, scaled, with marks; or its lines, straightened.
 *
 * In this order, so that as little as possible is scaled and compressed. A mark is a highlighter's: it darkens paper
 * to yellow and leaves ink as it is, and has a thin edge, to be seen on dark pages too. */
#include "render.h"

#include "wire.h"

#include "../engine/lines.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DPI 2400

/* ---- the request ---- */

static DsStatus
bad(DsError *err, const char *what)
{
    ds_fail(err, DS_BAD_REQUEST, "a page image cannot be made like this");
    return ds_detail(err, "%s.", what);
}

static bool
box_of(const json_t *v, RenderBox *box)
{
    double side[4];

    if (!json_is_array(v) || json_array_size(v) != 4)
        return false;
    for (size_t i = 0; i < 4; i++)
    {
        if (!json_is_number(json_array_get(v, i)))
            return false;
        side[i] = json_number_value(json_array_get(v, i));
        if (!(fabs(side[i]) <= 1e7))
            return false;
    }
    *box = (RenderBox){fmin(side[0], side[2]), fmin(side[1], side[3]), fmax(side[0], side[2]),
                       fmax(side[1], side[3])};
    return true;
}

/* A whole number, or what it is when it is not there. */
static bool
number_of(const json_t *all, const char *key, int low, int high, int *value)
{
    const json_t *v = json_object_get(all, key);

    if (v == NULL || json_is_null(v))
        return true;
    *value = (int)json_integer_value(v);
    return json_is_integer(v) && json_integer_value(v) >= low && json_integer_value(v) <= high;
}

static DsStatus
boxes_of(const json_t *v, Arena *arena, RenderBox **boxes, int *n, DsError *err)
{
    if (v == NULL || json_is_null(v))
        return DS_OK;
    if (!json_is_array(v))
        return bad(err, "Marks or lines are not an array");
    *boxes = arena_array(arena, json_array_size(v) + 1, sizeof **boxes);
    if (*boxes == NULL)
        return ds_no_room(err, "a request");
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!box_of(json_array_get(v, i), &(*boxes)[(*n)++]))
            return bad(err, "A mark or a line is not an array of four numbers");
    return DS_OK;
}

static DsStatus
request_of(const json_t *all, Arena *arena, RenderRequest *out, DsError *err)
{
    const json_t *region = json_object_get(all, "region");
    DsStatus st;

    *out = (RenderRequest){.page = 1};
    if (!json_is_object(all))
        return bad(err, "The options are not a JSON object");
    if (!number_of(all, "page", 1, 1 << 20, &out->page))
        return bad(err, "The page is not a number from 1");
    if (!number_of(all, "dpi", 0, MOST_DPI, &out->dpi))
        return bad(err, "dpi is not within 1 and 2400");
    if (!number_of(all, "rotate", 0, 270, &out->rotate) || out->rotate % 90)
        return bad(err, "A page can be turned by 0, 90, 180 and 270 degrees");
    out->has_region = region && !json_is_null(region);
    if (out->has_region && !box_of(region, &out->region))
        return bad(err, "The region is not an array of four numbers");
    if ((st = boxes_of(json_object_get(all, "marks"), arena, &out->marks, &out->nmarks, err)))
        return st;
    if (json_array_size(json_object_get(all, "lines")) > WIRE_LINES)
        return bad(err, "There are too many lines");
    return boxes_of(json_object_get(all, "lines"), arena, &out->lines, &out->nlines, err);
}

DsStatus
render_parse(const char *json, size_t n, Arena *arena, RenderRequest *out, DsError *err)
{
    json_t *all = json_loadb(n ? json : "{}", n ? n : 2, JSON_REJECT_DUPLICATES, NULL);
    DsStatus st = request_of(all, arena, out, err);

    json_decref(all);
    return st;
}

/* ---- the steps ---- */

static DsStatus
no_room(const Image *im, DsError *err)
{
    return ds_no_room(err, "an image of %d x %d pixels", im->width, im->height);
}

static DsStatus
alloc_pixels(Image *im, Arena *arena, DsError *err)
{
    im->pixels = arena_alloc(arena, (size_t)im->width * (size_t)im->height * (size_t)im->channels);
    return im->pixels ? DS_OK : no_room(im, err);
}

static int
clamped(double v, int most)
{
    return v <= 0 ? 0 : v >= most ? most : (int)v;
}

/* Whole pixels that the box touches, inside the image: [x0, x1) and [y0, y1). False: none. */
static bool
touched(const Image *im, const RenderBox *b, int x[2], int y[2])
{
    x[0] = clamped(floor(b->x0), im->width);
    x[1] = clamped(ceil(b->x1), im->width);
    y[0] = clamped(floor(b->y0), im->height);
    y[1] = clamped(ceil(b->y1), im->height);
    return x[0] < x[1] && y[0] < y[1];
}

static DsStatus
cut(const Image *in, const RenderBox *region, Arena *arena, Image *out, DsError *err)
{
    int x[2], y[2];
    size_t row;
    DsStatus st;

    if (!touched(in, region, x, y))
    {
        ds_fail(err, DS_BAD_REQUEST, "the region lies outside the page");
        return ds_detail(err, "The page has %d x %d pixels.", in->width, in->height);
    }
    *out = (Image){x[1] - x[0], y[1] - y[0], in->channels, in->dpi, NULL};
    if ((st = alloc_pixels(out, arena, err)))
        return st;
    row = (size_t)out->width * (size_t)out->channels;
    for (int i = 0; i < out->height; i++)
        memcpy(out->pixels + (size_t)i * row,
               in->pixels +
                   ((size_t)(y[0] + i) * (size_t)in->width + (size_t)x[0]) * (size_t)in->channels,
               row);
    return DS_OK;
}

static DsStatus
scale(const Image *in, int dpi, const ImageLimits *limits, Arena *arena, Image *out, DsError *err)
{
    double by = (double)dpi / in->dpi;
    double w = fmax(1, rint(in->width * by)), h = fmax(1, rint(in->height * by));
    DsStatus st;

    if (w > limits->max_side || h > limits->max_side || w * h > (double)limits->max_pixels)
    {
        ds_fail(err, DS_LIMIT, "at %d dpi the image is %.0f x %.0f pixels", dpi, w, h);
        ds_detail(err, "dsocr.max_side is %d, dsocr.max_pixels %llu.", limits->max_side,
                  (unsigned long long)limits->max_pixels);
        return ds_hint(err, "Ask for fewer dpi, or raise the limit.");
    }
    *out = (Image){(int)w, (int)h, in->channels, dpi, NULL};
    if ((st = alloc_pixels(out, arena, err)))
        return st;
    return resize_bicubic(in->pixels, in->width, in->height, in->channels, out->pixels, out->width,
                          out->height, arena, err);
}

/* Three channels, in memory that may be written to. */
static DsStatus
coloured(const Image *in, Arena *arena, Image *out, DsError *err)
{
    size_t n = (size_t)in->width * (size_t)in->height;
    DsStatus st;

    *out = *in;
    out->channels = 3;
    if ((st = alloc_pixels(out, arena, err)))
        return st;
    if (in->channels == 3)
        memcpy(out->pixels, in->pixels, n * 3);
    else
        for (size_t i = 0; i < n; i++)
            memset(out->pixels + i * 3, in->pixels[i], 3);
    return DS_OK;
}

static const uint8_t marker[3] = {255, 232, 80}, edge[3] = {226, 88, 0};

static void
draw_mark(Image *im, const RenderBox *box, int thick)
{
    int x[2], y[2];

    if (!touched(im, box, x, y))
        return;
    for (int i = y[0]; i < y[1]; i++)
    {
        uint8_t *p = im->pixels + ((size_t)i * (size_t)im->width + (size_t)x[0]) * 3;
        bool whole_row = i < y[0] + thick || i >= y[1] - thick;

        for (int j = x[0]; j < x[1]; j++, p += 3)
            for (int c = 0; c < 3; c++)
                if (whole_row || j < x[0] + thick || j >= x[1] - thick)
                    p[c] = edge[c];
                else
                    p[c] = (uint8_t)(p[c] * marker[c] / 255);
    }
}

/* im: what is left of a page of which region.x0, y0 was the corner, `by` times as large. */
static void
draw_marks(Image *im, const RenderRequest *r, double by)
{
    double x = r->has_region ? floor(fmax(0, r->region.x0)) : 0,
           y = r->has_region ? floor(fmax(0, r->region.y0)) : 0;
    int thick = im->height >= 1600 ? 3 : im->height >= 600 ? 2 : 1;

    for (int i = 0; i < r->nmarks; i++)
    {
        const RenderBox *m = &r->marks[i];
        RenderBox placed = {(m->x0 - x) * by, (m->y0 - y) * by, (m->x1 - x) * by, (m->y1 - y) * by};

        draw_mark(im, &placed, thick);
    }
}

/* ---- the picture ---- */

static DsStatus
prepare(Image *im, const RenderRequest *r, const ImageLimits *limits, Arena *arena, DsError *err)
{
    Image next;
    double by = 1;
    DsStatus st = DS_OK;

    if (r->rotate && (st = image_rotate(im, r->rotate, arena, &next, err)) == DS_OK)
        *im = next;
    if (st == DS_OK && r->has_region && (st = cut(im, &r->region, arena, &next, err)) == DS_OK)
        *im = next;
    if (st == DS_OK && r->dpi && im->dpi > 0 && r->dpi != im->dpi)
    {
        by = (double)r->dpi / im->dpi;
        if ((st = scale(im, r->dpi, limits, arena, &next, err)) == DS_OK)
            *im = next;
    }
    if (st == DS_OK && r->nmarks > 0 && (st = coloured(im, arena, &next, err)) == DS_OK)
    {
        *im = next;
        draw_marks(im, r, by);
    }
    return st;
}

DsStatus
render_png(const Image *page, const RenderRequest *r, const ImageLimits *limits, uint8_t **png,
           size_t *n, DsError *err)
{
    Image im = *page;
    Arena arena;
    DsStatus st;

    arena_init(&arena, 0);
    if ((st = prepare(&im, r, limits, &arena, err)) == DS_OK)
        st = image_write_png(&im, png, n, err);
    arena_free(&arena);
    return st;
}

/* ---- lines ---- */

static DsStatus
append_png(const Image *im, uint8_t **all, size_t *n, DsError *err)
{
    uint8_t *png, *more;
    size_t length;
    DsStatus st = image_write_png(im, &png, &length, err);

    if (st)
        return st;
    if ((more = realloc(*all, *n + length)) == NULL)
        st = no_room(im, err);
    else
    {
        memcpy(more + *n, png, length);
        *all = more;
        *n += length;
    }
    free(png);
    return st;
}

static DsStatus
line_images(const Image *page, const RenderRequest *r, int (*tick)(void *), void *tick_arg,
            Arena *arena, uint8_t **pngs, size_t *n, DsError *err)
{
    Box *boxes = arena_array(arena, (size_t)r->nlines + 1, sizeof *boxes);
    Image *lines = arena_array(arena, (size_t)r->nlines + 1, sizeof *lines), upright = *page;
    DsStatus st = DS_OK;

    if (boxes == NULL || lines == NULL)
        return no_room(page, err);
    if (r->rotate && (st = image_rotate(page, r->rotate, arena, &upright, err)))
        return st;
    for (int i = 0; i < r->nlines; i++)
        boxes[i] = (Box){(int)r->lines[i].x0, (int)r->lines[i].y0, (int)r->lines[i].x1,
                         (int)r->lines[i].y1};
    st = lines_straighten(&upright, boxes, r->nlines, tick, tick_arg, arena, lines, err);
    for (int i = 0; st == DS_OK && i < r->nlines; i++)
        if (lines[i].pixels || (st = cut(&upright, &r->lines[i], arena, &lines[i], err)) == DS_OK)
            st = append_png(&lines[i], pngs, n, err);
    return st;
}

DsStatus
render_lines(const Image *page, const RenderRequest *r, int (*tick)(void *), void *tick_arg,
             uint8_t **pngs, size_t *n, DsError *err)
{
    Arena arena;
    DsStatus st;

    *pngs = NULL;
    *n = 0;
    arena_init(&arena, 0);
    st = line_images(page, r, tick, tick_arg, &arena, pngs, n, err);
    arena_free(&arena);
    if (st != DS_OK)
    {
        free(*pngs);
        *pngs = NULL;
    }
    return st;
}

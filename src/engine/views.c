/* views.c - stage 2 of 7: pixels -> views.
 *
 * One view of the whole page, fitted into the base size and padded with grey; and, when a side is longer
 * than a crop, a grid of crops of the page stretched to that grid (spec 3.2 to 3.4).
 * Sharp edges: in the decoder's order the crops come before the whole view; sizes are rounded half to
 * even after dividing first and multiplying then; the crops do not keep the page's proportions. */
#include "views.h"

#include <math.h>
#include <string.h>

#include "plant.h"

/* ---- the grid ---- */

typedef struct Best
{
    int columns, rows;
    double distance;
} Best;

static void
consider(Best *best, int columns, int rows, int width, int height, const ViewSizes *sizes)
{
    double wanted = (double)width / height;
    double distance = fabs(wanted - (double)columns / rows);
    double area = (double)width * height;

    if (distance < best->distance)
        *best = (Best){columns, rows, distance};
    else if (distance == best->distance &&
             area > 0.5 * sizes->tile_w * sizes->tile_h * columns * rows)
        *best = (Best){columns, rows, distance};
}

void
views_grid(int width, int height, const ViewSizes *sizes, int *columns, int *rows)
{
    Best best = {1, 1, INFINITY};

    if (width > sizes->tile_w || height > sizes->tile_h)
        for (int n = sizes->min_crops; n <= sizes->max_crops; n++)
            for (int c = 1; c <= n; c++)
                if (n % c == 0)
                    consider(&best, c, n / c, width, height, sizes);
    *columns = best.columns;
    *rows = best.rows;
}

/* ---- the whole page ---- */

static DsStatus
too_thin(const Image *image, DsError *err)
{
    ds_fail(err, DS_BAD_INPUT, "image is too long and thin to be shown to the model");
    ds_detail(err, "It is %d x %d pixels.", image->width, image->height);
    return ds_hint(err, "Cut it into pages.");
}

/* The largest size of the page's proportions that fits. Divide first, then multiply. */
static void
fit(int w, int h, int into_w, int into_h, int *out_w, int *out_h)
{
    double wanted = (double)w / h, given = (double)into_w / into_h;

    *out_w = into_w;
    *out_h = into_h;
    if (wanted > given)
        *out_h = (int)nearbyint((double)h / w * into_w);
    else if (wanted < given)
        *out_w = (int)nearbyint((double)w / h * into_h);
}

static DsStatus
no_room(const Image *image, DsError *err)
{
    return ds_fail(err, DS_LIMIT, "out of memory for the views of an image of %d x %d pixels",
                   image->width, image->height);
}

static DsStatus
whole_view(const Image *image, const ViewSizes *sizes, Arena *arena, View *view, DsError *err)
{
    int w, h, x, y;
    size_t ch = (size_t)image->channels, stride = sizes->base_w * ch;
    uint8_t *canvas = arena_alloc(arena, stride * sizes->base_h), *page;
    DsStatus st;

    fit(image->width, image->height, sizes->base_w, sizes->base_h, &w, &h);
    if (w < 1 || h < 1)
        return too_thin(image, err);
    page = arena_alloc(arena, (size_t)w * h * ch);
    if (canvas == NULL || page == NULL)
        return no_room(image, err);
    if ((st = resize_bicubic(image->pixels, image->width, image->height, image->channels, page, w,
                             h, arena, err)))
        return st;
    memset(canvas, sizes->pad, stride * sizes->base_h);
    x = (int)nearbyint((sizes->base_w - w) * 0.5);
    y = (int)nearbyint((sizes->base_h - h) * 0.5);
    for (int r = 0; r < h; r++)
        memcpy(canvas + (size_t)(y + r) * stride + x * ch, page + (size_t)r * w * ch, w * ch);
    *view = (View){sizes->base_w, sizes->base_h, image->channels, canvas};
    return DS_OK;
}

/* ---- the crops ---- */

/* crop: [tile_h, tile_w, channels], cut out of the stretched page at (x, y). */
static void
cut(const uint8_t *page, size_t page_stride, size_t at, size_t crop_stride, int rows, uint8_t *crop)
{
    for (int r = 0; r < rows; r++)
        memcpy(crop + r * crop_stride, page + at + r * page_stride, crop_stride);
}

static DsStatus
crop_views(const Image *image, const ViewSizes *sizes, Arena *arena, Views *views, DsError *err)
{
    int w = sizes->tile_w * views->columns, h = sizes->tile_h * views->rows;
    size_t crop_stride = (size_t)sizes->tile_w * image->channels,
           stride = crop_stride * views->columns;
    size_t crop_bytes = crop_stride * sizes->tile_h;
    uint8_t *page = arena_alloc(arena, stride * h), *crops = arena_alloc(arena, stride * h);
    DsStatus st;

    if (page == NULL || crops == NULL)
        return no_room(image, err);
    if ((st = resize_bicubic(image->pixels, image->width, image->height, image->channels, page, w,
                             h, arena, err)))
        return st;
    for (int t = 0; t < views->columns * views->rows; t++, crops += crop_bytes)
    {
        size_t column = (size_t)(t % views->columns), row = (size_t)(t / views->columns);

        if (PLANTED(PLANT_TILES_COLUMNS))
        {
            column = (size_t)(t / views->rows);
            row = (size_t)(t % views->rows);
        }
        cut(page, stride, row * sizes->tile_h * stride + column * crop_stride, crop_stride,
            sizes->tile_h, crops);
        views->views[t + PLANTED(PLANT_WHOLE_FIRST)] =
            (View){sizes->tile_w, sizes->tile_h, image->channels, crops};
    }
    return DS_OK;
}

DsStatus
views_cut(const Image *image, const ViewSizes *sizes, Arena *arena, Views *views, DsError *err)
{
    int crops;
    DsStatus st = DS_OK;

    views_grid(image->width, image->height, sizes, &views->columns, &views->rows);
    crops = views->columns * views->rows;
    crops = crops == 1 ? 0 : crops;
    views->n = crops + 1;
    views->views = arena_array(arena, (size_t)views->n, sizeof(View));
    if (views->views == NULL)
        return no_room(image, err);
    if (crops)
        st = crop_views(image, sizes, arena, views, err);
    return st ? st
              : whole_view(image, sizes, arena,
                           &views->views[PLANTED(PLANT_WHOLE_FIRST) ? 0 : crops], err);
}

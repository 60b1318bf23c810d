/* views.h - stage 2 of 7: pixels -> views.
 *
 * A view is what the encoder sees at once: bytes, not yet normalised (spec 3.6 is a 256-entry table that
 * patches.c applies). Page readers: the crops, row by row, then one view of the whole page padded with
 * grey (spec 3.2 to 3.5). Line readers: one view per piece of a text line (lines.h makes them).
 * Sharp edge: in the decoder's order the crops come before the whole view. */
#ifndef DS_VIEWS_H
#define DS_VIEWS_H

#include "image.h"

typedef struct View
{
    int width, height;
    int channels;          /* 1 (copied to three by the patch embedding) or 3 */
    const uint8_t *pixels; /* [height, width, channels] */
} View;

typedef struct ViewSizes /* from the model's config */
{
    int base_h, base_w; /* the whole view: 1024 x 1024 */
    int tile_h, tile_w; /* a crop: 768 x 768; also the threshold above which there are crops */
    int min_crops, max_crops;
    int pad; /* grey of the padding: 127 = int(mean * 255) */
} ViewSizes;

typedef struct Views
{
    int columns, rows; /* the grid of crops; 1 x 1: none */
    int n;             /* columns * rows (0 when 1 x 1) crops, then the whole view */
    View *views;       /* [n], from the arena */
} Views;

/* The grid of crops, spec 3.2. */
void views_grid(int width, int height, const ViewSizes *sizes, int *columns, int *rows);

DsStatus views_cut(const Image *image, const ViewSizes *sizes, Arena *arena, Views *views,
                   DsError *err);

/* Pillow's bicubic with antialias on bytes, to the last bit (spec 3.5).
 * in: [h, w, channels], out: [out_h, out_w, channels], caller's. */
DsStatus resize_bicubic(const uint8_t *in, int w, int h, int channels, uint8_t *out, int out_w,
                        int out_h, Arena *arena, DsError *err);

#endif

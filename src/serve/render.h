/* render.h - a page's image as PNG: turned, cut, scaled, with marks. No model is needed. */
#ifndef DS_RENDER_H
#define DS_RENDER_H

#include "../engine/image.h"

typedef struct RenderBox
{
    double x0, y0, x1, y1; /* pixels of the upright page */
} RenderBox;

typedef struct RenderRequest
{
    int page; /* from 1 */
    int dpi;  /* 0: as it is; also when the file does not say what it has */
    int rotate; /* degrees clockwise, after the file's own orientation; boxes are of the turned page */
    bool has_region; /* else all of it */
    RenderBox region;
    RenderBox *marks; /* [nmarks], from the arena */
    int nmarks;
    RenderBox *lines; /* [nlines], at most WIRE_LINES: boxes of lines, each wanted as an image */
    int nlines;
} RenderRequest;

/* The options of a RENDER. DS_BAD_REQUEST names what is wrong. */
DsStatus render_parse(const char *json, size_t n, Arena *arena, RenderRequest *out, DsError *err);

/* PNG bytes, malloc'd into *png, [*n]. A region is cut at the page's edges; one that lies outside is DS_BAD_REQUEST;
 * a result over the limits is DS_LIMIT. page is left as it is. */
DsStatus render_png(const Image *page, const RenderRequest *r, const ImageLimits *limits,
                    uint8_t **png, size_t *n, DsError *err);

/* r->lines, one PNG behind the other: straightened; one that is no line of this page as it lies there. tick, which may
 * stop it, as that of lines_find. */
DsStatus render_lines(const Image *page, const RenderRequest *r, int (*tick)(void *),
                      void *tick_arg, uint8_t **pngs, size_t *n, DsError *err);

#endif

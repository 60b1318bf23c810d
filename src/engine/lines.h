/* lines.h - between stages 1 and 2, for line readers: page -> blocks and lines in reading order, and the
 * views cut from each line.
 *
 * All boxes are integer pixels [x0, y0, x1, y1) of the upright page image: after `rotation`, before
 * deskewing. Sharp edge: the page is straightened inside, so a line's box on a skewed page is the
 * bounding box of its slanted rectangle. */
#ifndef DS_LINES_H
#define DS_LINES_H

#include "views.h"

#define LINES_MAX_PIXELS (16 << 20) /* of a page's sheet: a bigger page is looked at reduced */

typedef struct Box
{
    int x0, y0, x1, y1;
} Box;

typedef struct LineView
{
    View view;  /* [view_h, view_w] grey: ink dark on white 255 */
    Box box;    /* the piece of the page it shows */
    bool glued; /* the word goes on from the view before: join without a space */
} LineView;

typedef struct TextLine
{
    Box box;
    int block;      /* index into blocks */
    float baseline; /* y in the upright page at the line's middle, pixels */
    float x_height; /* pixels; all lines of a block share one unless they clearly differ */
    float ink;      /* how dark it is beside the page's writing: 1: as dark; 0: not known */
    int first_view, nviews;
} TextLine;

typedef struct TextBlock
{
    Box box;
    const char *
        type; /* of api.md's closed list: "text", "title", "section_header", "page_number", ... told by size and place */
    int first_line, nlines;
} TextBlock;

typedef struct Picture
{
    Box box; /* a figure: a halftone, drawing, seal or photograph that was left out of the text */
} Picture;

typedef struct LineShape /* from the model's config: dsocr.{x_height, baseline}, image_size */
{
    int view_w, view_h; /* 256 x 32 */
    float x_height;     /* 11 */
    float baseline;     /* 23 */
} LineShape;

typedef struct PageLines
{
    int width, height; /* upright */
    int rotation; /* degrees clockwise the given image was turned by to be upright: 0, 90, 180, 270 */
    float skew;   /* degrees that were straightened */
    int nblocks, nlines, nviews, npictures;
    TextBlock *blocks; /* in reading order */
    TextLine *lines;   /* in reading order, each block's together */
    LineView *views;   /* in reading order, each line's together */
    Picture *pictures;
    bool
        truncated; /* more lines or views than a page may have (4000, 8000): the rest was left out */
} PageLines;

/* rotate: 0, 90, 180, 270, or -1 to find out. A blank page gives nlines = 0. Re-entrant: several pages may
 * be looked at by several threads. tick (may be NULL) is called at least every 100 ms; non-zero cancels. */
DsStatus lines_find(const Image *page, const LineShape *shape, int rotate, int (*tick)(void *),
                    void *tick_arg, Arena *arena, PageLines *out, DsError *err);

/* What was seen of a page: its sheet (LINES_MAX_PIXELS bytes at most), so that it can be turned without its pixels. */
typedef struct LinesSeen LinesSeen;

/* lines_find with rotate = -1. *seen: for lines_seen_free. */
DsStatus lines_find_seen(const Image *page, const LineShape *shape, int (*tick)(void *),
                         void *tick_arg, Arena *arena, PageLines *out, LinesSeen **seen,
                         DsError *err);

/* The lines of the page upside down from how it was found. DS_CANCELLED: it can be asked for again. */
DsStatus lines_turned(LinesSeen *seen, const LineShape *shape, int (*tick)(void *), void *tick_arg,
                      Arena *arena, PageLines *out, DsError *err);

void lines_seen_free(LinesSeen *seen);

/* Cuts one line whose place is known, on a page that is already upright and straight: x0, x1 horizontal
 * extent, baseline row, x-height, all in page pixels. The golden views of the mini are compared with this.
 * views: [*nviews] from the arena. */
DsStatus lines_cut(const Image *page, const LineShape *shape, float x0, float x1, float baseline,
                   float x_height, Arena *arena, LineView **views, int *nviews, DsError *err);

/* Each of the lines that lines_find has found at these boxes as one image, as large as it is on the page: straightened,
 * grey, the paper white, without ink of its neighbours. out: [n]; one without pixels has no line of that box. */
DsStatus lines_straighten(const Image *page, const Box *boxes, int n, int (*tick)(void *),
                          void *tick_arg, Arena *arena, Image *out, DsError *err);

#endif

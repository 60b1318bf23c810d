/* lines_index.h - boxes by where they lie: bands of the page, each with its boxes from left to right. */
#ifndef DS_LINES_INDEX_H
#define DS_LINES_INDEX_H

#include "lines_inner.h"

typedef struct Index
{
    const Box *boxes; /* sorted by x0 */
    int n, nbands;
    float step; /* height of a band */
    int *start; /* [nbands + 1] into items */
    int *items; /* indices of boxes, ascending */
} Index;

/* False without memory. The boxes must outlive the index. */
bool index_make(const Box *boxes, int n, int page_h, float step, Arena *arena, Index *out);

static inline int
index_band(const Index *ix, int y)
{
    int b = (int)(y / ix->step);

    return b < 0 ? 0 : b >= ix->nbands ? ix->nbands - 1 : b;
}

/* The first item of a band whose x0 is at least x. */
int index_from(const Index *ix, int band, int x);

#endif

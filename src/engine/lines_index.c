/* lines_index.c - boxes by where they lie, so that a neighbour is found without looking at every box. */
#include "lines_index.h"

bool
index_make(const Box *boxes, int n, int page_h, float step, Arena *arena, Index *out)
{
    int *fill;

    *out = (Index){.boxes = boxes, .n = n, .nbands = (int)(page_h / step) + 1, .step = step};
    out->start = arena_array(arena, (size_t)out->nbands + 1, sizeof(int));
    fill = arena_array(arena, out->nbands, sizeof(int));
    if (!out->start || !fill)
        return false;
    for (int i = 0; i < n; i++)
        for (int b = index_band(out, boxes[i].y0); b <= index_band(out, boxes[i].y1 - 1); b++)
            out->start[b + 1]++;
    for (int b = 0; b < out->nbands; b++)
        out->start[b + 1] += out->start[b];
    out->items = arena_array(arena, (size_t)out->start[out->nbands] + 1, sizeof(int));
    if (!out->items)
        return false;
    for (int i = 0; i < n; i++)
        for (int b = index_band(out, boxes[i].y0); b <= index_band(out, boxes[i].y1 - 1); b++)
            out->items[out->start[b] + fill[b]++] = i;
    return true;
}

int
index_from(const Index *ix, int band, int x)
{
    int lo = ix->start[band], hi = ix->start[band + 1];

    while (lo < hi)
    {
        int mid = (lo + hi) / 2;

        if (ix->boxes[ix->items[mid]].x0 < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

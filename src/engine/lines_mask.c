/* lines_mask.c - the surroundings of one row, without what belongs to other rows.
 *
 * Ink of other rows, rules and pictures becomes paper, with the grey seam around it; the row's own ink
 * keeps its seam. Sharp edge: marks that belong to no row stay when they lie at letters' height: they may
 * be pieces of worn letters. */
#include "lines_inner.h"

#include <string.h>

#define SEAM 1

static bool
is_foreign(const Part *part, int row, const Row *r)
{
    if (part->row == row || part->kind == PART_TALL)
        return false;
    if (part->row >= 0 || (part->kind != PART_SPECK && part->kind != PART_SMALL))
        return true;
    return part->box.y1 < r->baseline - 1.5f * r->x_height ||
           part->box.y0 > r->baseline + 0.4f * r->x_height;
}

/* Copies (or, with from NULL, whitens) the pixels of a run and its seam. */
static void
paint(Sheet *patch, const Sheet *from, int px, int py, const Run *run, int y)
{
    for (int v = y - SEAM; v <= y + SEAM; v++)
    {
        int a = run->x0 - SEAM, b = run->x1 + SEAM;

        a = a < px ? px : a;
        b = b > px + patch->w ? px + patch->w : b;
        if (from)
        {
            a = a < 0 ? 0 : a;
            b = b > from->w ? from->w : b;
        }
        if (v < py || v >= py + patch->h || a >= b || (from && (v < 0 || v >= from->h)))
            continue;
        if (from)
            memcpy(patch->grey + (size_t)(v - py) * patch->w + a - px,
                   from->grey + (size_t)v * from->w + a, b - a);
        else
            memset(patch->grey + (size_t)(v - py) * patch->w + a - px, 255, b - a);
    }
}

static void
paint_runs(Sheet *patch, const Sheet *from, const Parts *p, int px, int py, int row, const Row *r)
{
    int top = py - SEAM < 0 ? 0 : py - SEAM, bottom = py + patch->h + SEAM;

    for (int y = top; y < bottom && y < p->h; y++)
        for (int i = runs_from(p, y, px - SEAM); i < p->row_start[y + 1]; i++)
        {
            const Run *run = &p->runs[i];
            const Part *part = &p->parts[run->part];

            if (run->x0 - SEAM >= px + patch->w)
                break;
            if (from ? part->row == row || part->kind == PART_TALL : is_foreign(part, row, r))
                paint(patch, from, px, py, run, y);
        }
}

bool
row_patch(const Sheet *s, const Parts *p, const Row *rows, int row, const Box *want, Arena *arena,
          Sheet *out)
{
    int a = want->x0 < 0 ? 0 : want->x0, b = want->x1 > s->w ? s->w : want->x1;

    *out = (Sheet){want->x1 - want->x0, want->y1 - want->y0, NULL, s->threshold, s->otsu};
    out->grey = arena_alloc(arena, (size_t)out->w * out->h);
    if (!out->grey)
        return false;
    memset(out->grey, 255, (size_t)out->w * out->h);
    for (int y = want->y0 < 0 ? 0 : want->y0; y < want->y1 && y < s->h && a < b; y++)
        memcpy(out->grey + (size_t)(y - want->y0) * out->w + a - want->x0,
               s->grey + (size_t)y * s->w + a, b - a);
    paint_runs(out, NULL, p, want->x0, want->y0, row, &rows[row]);
    paint_runs(out, s, p, want->x0, want->y0, row, &rows[row]);
    return true;
}

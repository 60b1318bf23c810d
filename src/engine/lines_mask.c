/* lines_mask.c - the surroundings of one row, without what belongs to other rows.
 *
 * Ink of other rows, rules and pictures becomes paper, with the grey seam around it; the row's own ink
 * keeps its seam. Of leaders the beginning stays: dots are no text, and readers lose count of them. Sharp
 * edge: marks that belong to no row stay when they lie at letters' height: they may be pieces of worn letters. */
#include "lines_inner.h"

#include <string.h>

#define SEAM  1
#define FOOT  0.25f /* x-heights: a foot's part that lies in a rule */
#define SPACE 0.6f  /* x-heights: between words */

static bool
is_foreign(const Part *part, int row, const Row *r)
{
    float foot = row_foot(r, (part->box.x0 + part->box.x1) / 2.0f);

    if (part->leader)
        return true;
    if (part->row == row || part->kind == PART_TALL)
        return false;
    if (part->row >= 0 || (part->kind != PART_SPECK && part->kind != PART_SMALL))
        return true;
    return part->box.y1 < foot - 1.5f * r->x_height || part->box.y0 > foot + 0.4f * r->x_height;
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
            if (from ? (part->row == row || part->kind == PART_TALL) && !part->leader
                     : is_foreign(part, row, r))
                paint(patch, from, px, py, run, y);
        }
}

/* What of a rule's pixels in the box is on the patch. */
static void
give_back(Sheet *patch, const Sheet *from, const Parts *p, int px, int py, const Box *box)
{
    for (int y = box->y0 > py ? box->y0 : py; y < box->y1 && y < p->h && y < py + patch->h; y++)
        for (int i = runs_from(p, y, box->x0); i < p->row_start[y + 1]; i++)
        {
            const Run *run = &p->runs[i];
            int a = run->x0 > box->x0 ? run->x0 : box->x0;
            int b = run->x1 < box->x1 ? run->x1 : box->x1;

            if (a >= b)
                break;
            if (run->rule && a >= px && b <= px + patch->w)
                memcpy(patch->grey + (size_t)(y - py) * patch->w + a - px,
                       from->grey + (size_t)y * from->w + a, b - a);
        }
}

/* A rule's pixel lies right under the letter. */
static bool
on_rule(const Parts *p, const Box *b)
{
    for (int i = b->y1 < p->h ? runs_from(p, b->y1, b->x0) : p->nruns;
         i < p->nruns && i < p->row_start[b->y1 + 1] && p->runs[i].x0 < b->x1; i++)
        if (p->runs[i].rule)
            return true;
    return false;
}

/* Words that stand in a rule lost their feet with it: they get them back, and are underlined then. */
static void
keep_feet(Sheet *patch, const Sheet *from, const Parts *p, const Rows *rows, int px, int py,
          const Row *r)
{
    int deep = (int)(FOOT * r->x_height) + 1, n = 0, on = 0;
    Box word = {0, 0, 0, 0};

    for (int m = 0; m <= r->n; m++)
    {
        const Part *part = m < r->n ? &p->parts[rows->members[r->first + m]] : NULL;

        if (part && part->kind != PART_CORE)
            continue;
        if (n && (!part || part->box.x0 - word.x1 > SPACE * r->x_height))
        {
            if (2 * on >= n)
                give_back(patch, from, p, px, py, &word);
            n = on = 0;
        }
        if (!part)
            break;
        if (n++ == 0)
            word = (Box){part->box.x0, (int)(row_foot(r, part->box.x0) - deep), part->box.x1, 0};
        word.x1 = part->box.x1 > word.x1 ? part->box.x1 : word.x1;
        word.y1 = (int)row_foot(r, part->box.x1) + deep + 1;
        on += on_rule(p, &part->box);
    }
}

bool
row_patch(const Sheet *s, const Parts *p, const Rows *rows, int row, const Box *want, Arena *arena,
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
    paint_runs(out, NULL, p, want->x0, want->y0, row, &rows->rows[row]);
    paint_runs(out, s, p, want->x0, want->y0, row, &rows->rows[row]);
    keep_feet(out, s, p, rows, want->x0, want->y0, &rows->rows[row]);
    return true;
}

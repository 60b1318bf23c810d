/* lines_weed.c - rows that are not writing: print shining through, blots, ornaments, dashes of a rule.
 *
 * Each test compares a row with the page's own writing, never with a fixed darkness or size. */
#include "lines_inner.h"

#include <stdlib.h>

static float
median_contrast(const Rows *rows, float *tmp)
{
    int n = 0, letters = 0;

    for (int i = 0; i < rows->n; i++)
        letters = rows->rows[i].ncore > letters ? rows->rows[i].ncore : letters;
    for (int i = 0; i < rows->n; i++)
        if (rows->rows[i].ncore * 4 > letters)
            tmp[n++] = rows->rows[i].contrast;
    qsort(tmp, n, sizeof(float), by_float);
    return n ? tmp[n / 2] : 0;
}

/* Without structure: one run of ink in nearly each row of pixels, and not a stroke like I or 1, unless it is far too
 * long for one. */
static bool
is_blot(const Part *part, float size)
{
    int w = part->box.x1 - part->box.x0, h = part->box.y1 - part->box.y0;

    if (part->nruns > 1.15f * h)
        return false;
    return (part->area > 0.45f * w * h && (w * 5 > h * 2 || h < 0.9f * size)) ||
           (h > 2.2f * size && w * 6 < h);
}

/* An upright stroke and nothing else: many of them side by side are a bar code. */
static bool
is_bar(const Part *part)
{
    int w = part->box.x1 - part->box.x0, h = part->box.y1 - part->box.y0;

    return part->nruns < 1.1f * h && part->area > 0.75f * w * h && h > 2 * w;
}

/* A flat stroke and nothing else: many of them side by side are a rule made of dashes. */
static bool
is_dash(const Part *part)
{
    int w = part->box.x1 - part->box.x0, h = part->box.y1 - part->box.y0;

    return part->nruns < 1.1f * h && part->area > 0.6f * w * h && w > 1.3f * h;
}

/* The same of pale or rough ink: too low for any letter of the page, and no part of it hangs over another. */
static bool
is_low_dash(const Part *part, float size)
{
    int w = part->box.x1 - part->box.x0, h = part->box.y1 - part->box.y0;

    return h < 0.45f * size && part->nruns <= h + 2 && part->area > 0.55f * w * h && w > 1.1f * h;
}

/* Far taller than the page's letters, and so narrow: bars that have run into each other. */
static bool
is_high_bar(const Part *part, float size)
{
    int w = part->box.x1 - part->box.x0, h = part->box.y1 - part->box.y0;

    return h > 2.2f * size && h * 10 > w * 28;
}

/* The rule's end is at the part's side: the part is the ornament of a frame. */
static bool
at_end_of(const Box *part, const Box *rule, float reach)
{
    int w = rule->x1 - rule->x0, h = rule->y1 - rule->y0;
    int x = (part->x0 + part->x1) / 2, y = (part->y0 + part->y1) / 2, high = part->y1 - part->y0;
    bool above = abs(rule->y0 - part->y1) < reach, below = abs(part->y0 - rule->y1) < reach;
    bool left = abs(part->x0 - rule->x1) < reach, right = abs(rule->x0 - part->x1) < reach;

    if (h > w)
        return x > rule->x0 - reach && x < rule->x1 + reach && (above || below);
    return rule->y0 > y - 0.8f * high && rule->y1 < y + 0.35f * high && (left || right);
}

typedef struct Rules
{
    int n;
    Box *box; /* [n] the long ones */
} Rules;

static bool
find_rules(const Parts *p, Arena *arena, Rules *out)
{
    enum
    {
        MOST = 200
    };

    *out = (Rules){0, arena_array(arena, MOST, sizeof(Box))};
    if (!out->box)
        return false;
    for (int i = 0; i < p->nparts && out->n < MOST; i++)
    {
        const Box *b = &p->parts[i].box;

        if (p->parts[i].kind == PART_RULE &&
            (b->x1 - b->x0 > 10 * p->size || b->y1 - b->y0 > 10 * p->size))
            out->box[out->n++] = *b;
    }
    return true;
}

/* A rule of dots or dashes, though some of them are as big as small letters: nearly all its marks are low, and those that
 * are not are no word. A heading that dots lead away from has its letters; small print is letters, not dots. */
static bool
is_dotted_rule(const Parts *p, const Rows *rows, const Row *r)
{
    int low = 0, dashes = 0, dots = 0;

    for (int m = 0; m < r->n; m++)
    {
        const Part *part = &p->parts[rows->members[r->first + m]];
        int w = part->box.x1 - part->box.x0, h = part->box.y1 - part->box.y0;

        low += h < 0.45f * p->size;
        dashes += is_low_dash(part, p->size);
        dots += w < 0.25f * p->size && h < 0.25f * p->size && part->nruns <= h;
    }
    return r->n >= 12 && r->n - low <= 2 && (dashes * 10 >= r->n * 8 || dots * 10 >= r->n * 8);
}

static bool
is_writing(const Parts *p, const Rows *rows, const Row *r, float contrast, const Rules *rules)
{
    int blots = 0, letters = 0, ornaments = 0, bars = 0, high = 0, dashes = 0, cut = 0;

    int near =
        (p->w > p->h ? p->w : p->h) / 400 + 1; /* to the scan's edge, which cut such letters off */

    if (r->contrast < 0.5f * contrast || r->x_height < 3 || is_dotted_rule(p, rows, r))
        return false;
    for (int m = 0; m < r->n; m++)
    {
        const Part *part = &p->parts[rows->members[r->first + m]];
        bool ornament = false;

        if (part->kind != PART_CORE)
            continue;
        letters++;
        blots += is_blot(part, p->size);
        bars += is_bar(part);
        high += is_high_bar(part, p->size);
        dashes += is_dash(part);
        cut += part->box.x0 <= near || part->box.x1 >= p->w - near;
        for (int i = 0; i < rules->n && r->ncore <= 8 && !ornament; i++)
            ornament = at_end_of(&part->box, &rules->box[i], 0.8f * p->size);
        ornaments += ornament;
    }
    if (letters >= 6 && (bars * 10 >= letters * 7 || dashes * 10 >= letters * 7))
        return false;
    if (letters >= 5 && high == letters)
        return false;
    return letters > cut && ornaments * 2 < letters && (letters > 2 || blots < letters);
}

/* Far more dust than letters, and hardly a row of several: grain of the paper, or noise. */
static bool
is_noise(const Parts *p, const Rows *rows)
{
    int letters = 0, in_rows = 0, dust = 0;

    for (int i = 0; i < rows->n; i++)
    {
        letters += rows->rows[i].ncore;
        in_rows += rows->rows[i].ncore >= 8 ? rows->rows[i].ncore : 0;
    }
    for (int i = 0; i < p->nparts; i++)
        dust += p->parts[i].row < 0 && p->parts[i].kind <= PART_CORE;
    return dust > 5 * letters && in_rows * 3 < letters * 2;
}

bool
rows_weed(Parts *p, Arena *arena, Rows *rows)
{
    Rules rules;
    float *tmp = arena_array(arena, (size_t)rows->n + 1, sizeof(float)), contrast;
    int *to = arena_array(arena, (size_t)rows->n + 1, sizeof(int)), n = 0;

    if (!tmp || !to || !find_rules(p, arena, &rules))
        return false;
    rows->contrast = contrast = median_contrast(rows, tmp);
    if (is_noise(p, rows))
        contrast = 1e9f; /* which none reaches */
    for (int i = 0; i < rows->n; i++)
    {
        bool keep = n < LINES_MAX_ROWS && is_writing(p, rows, &rows->rows[i], contrast, &rules);

        rows->truncated |= n == LINES_MAX_ROWS;
        to[i] = keep ? n : -1;
        if (keep)
            rows->rows[n++] = rows->rows[i];
    }
    rows->n = n;
    for (int i = 0; i < p->nparts; i++)
        if (p->parts[i].row >= 0)
            p->parts[i].row = to[p->parts[i].row];
    return true;
}

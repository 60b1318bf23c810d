/* lines_pale.c - pale ink becomes as dark as ink usually is: a worn ribbon, thermal paper that faded, a carbon copy.
 *
 * How dark ink is, is asked around each tile of the sheet; where it is pale, differences from paper are multiplied, by a
 * factor that changes evenly from tile to tile. A sheet with ink of the usual darkness stays as it is, to the bit.
 * Sharp edge: what shines through from the other side is pale, too; it is told by being far paler than the page's ink. */
#include "lines_inner.h"

#include <stdlib.h>

#define TILE   32  /* pixels; a tile is judged with its eight neighbours */
#define STEP   2   /* every second pixel of every second row tells */
#define LEVELS 64  /* of darkness, four grey levels each */
#define STEPS  32  /* between pixels, in grey levels */
#define APART  4   /* so many pixels */
#define DARK   200 /* one pixel in so many is ink, where there is writing */
#define FAINT  20  /* grey levels from paper: what is nearer is no ink, */
#define GRAIN  6   /* nor is what is nearer than so many times the usual step from pixel to pixel */
#define GOAL   170 /* as far from paper ink shall be, */
#define ENOUGH 125 /* or may be as it is, */
#define PALE   100 /* and is too near for sure */
#define MOST   4   /* times */
#define LOW    0.27f /* of the page's own contrast: what is paler shines through, */
#define HIGH   0.45f /* and what is darker is surely ink */
#define UNIT   256   /* a factor of 1 */
#define LEAST  1.1f  /* a smaller factor is not worth it */

typedef struct Tiles
{
    int w, h;
    uint16_t *count;   /* [h, w, LEVELS] pixels by darkness */
    uint16_t *step;    /* [h, w, STEPS] pixels by how far they are from another's darkness */
    uint8_t *contrast; /* [h, w] */
    int *factor;       /* [h, w] in units */
} Tiles;

static bool
tiles_new(const Sheet *s, Arena *arena, Tiles *t)
{
    size_t n;

    t->w = (s->w + TILE - 1) / TILE;
    t->h = (s->h + TILE - 1) / TILE;
    n = (size_t)t->w * t->h;
    t->count = arena_array(arena, n * LEVELS, sizeof(uint16_t));
    t->step = arena_array(arena, n * STEPS, sizeof(uint16_t));
    t->contrast = arena_array(arena, n, 1);
    t->factor = arena_array(arena, n, sizeof(int));
    return t->count && t->step && t->contrast && t->factor;
}

static void
count_pixels(const Sheet *s, Tiles *t)
{
    for (int y = 0; y < s->h; y += STEP)
        for (int tx = 0; tx < t->w; tx++)
        {
            size_t tile = (size_t)(y / TILE) * t->w + tx;
            const uint8_t *row = s->grey + (size_t)y * s->w;
            uint16_t *count = t->count + tile * LEVELS, *steps = t->step + tile * STEPS;
            int to = (tx + 1) * TILE < s->w - APART ? (tx + 1) * TILE : s->w - APART;

            for (int x = tx * TILE; x < to; x += STEP)
            {
                int step = abs(row[x] - row[x + APART]);

                count[(255 - row[x]) * LEVELS / 256]++;
                steps[step < STEPS ? step : STEPS - 1]++;
            }
        }
}

/* The value that one in `part` of the pixels of a tile and its neighbours exceed; counts: [h, w, n] */
static int
exceeded(const Tiles *t, const uint16_t *counts, int n, int tx, int ty, int part)
{
    int sum[LEVELS] = {0}, all = 0, over = 0;

    for (int y = ty > 0 ? ty - 1 : 0; y <= ty + 1 && y < t->h; y++)
        for (int x = tx > 0 ? tx - 1 : 0; x <= tx + 1 && x < t->w; x++)
            for (int k = 0; k < n; k++)
                sum[k] += counts[((size_t)y * t->w + x) * n + k];
    for (int k = 0; k < n; k++)
        all += sum[k];
    while (n > 0 && over * part <= all)
        over += sum[--n];
    return n;
}

/* Darkness of the ink around a tile; 0: it has none. */
static uint8_t
contrast_around(const Tiles *t, int tx, int ty)
{
    int ink = exceeded(t, t->count, LEVELS, tx, ty, DARK) * 256 / LEVELS;

    if (ink < FAINT || ink < GRAIN * exceeded(t, t->step, STEPS, tx, ty, 2))
        return 0;
    return (uint8_t)ink;
}

/* What a quarter of the tiles with ink exceed: the page's own contrast. 0: there is no ink. */
static int
usual_contrast(const Tiles *t)
{
    int count[256] = {0}, all = 0, sum = 0, level = 256;

    for (int i = 0; i < t->w * t->h; i++)
        count[t->contrast[i]]++;
    for (int k = FAINT; k < 256; k++)
        all += count[k];
    while (level > FAINT && sum * 4 <= all)
        sum += count[--level];
    return all ? level : 0;
}

static int
factor_of(int contrast, int usual)
{
    float ink = ((float)contrast / usual - LOW) / (HIGH - LOW);
    float pale = (float)(ENOUGH - contrast) / (ENOUGH - PALE), f;

    if (contrast < FAINT || ink <= 0 || pale <= 0)
        return UNIT;
    f = (float)GOAL / contrast;
    f = f > MOST ? MOST : f;
    f = 1 + (f - 1) * (ink < 1 ? ink : 1) * (pale < 1 ? pale : 1);
    return f < LEAST ? UNIT : (int)(f * UNIT);
}

/* One row of pixels; factor: [w] of the tiles at this height. */
static void
darken_row(uint8_t *row, int n, const int *factor, int w)
{
    for (int i = 0; i <= w; i++)
    {
        int from = i * TILE - TILE / 2, to = from + TILE < n ? from + TILE : n;
        int a = factor[i > 0 ? i - 1 : 0], b = factor[i < w ? i : w - 1];

        if (a == UNIT && b == UNIT)
            continue;
        for (int x = from < 0 ? 0 : from; x < to; x++)
        {
            int v = 255 - (((255 - row[x]) * (a + (b - a) * (x - from) / TILE)) >> 8);

            row[x] = v < 0 ? 0 : (uint8_t)v;
        }
    }
}

static void
darken(Sheet *s, const Tiles *t, int *factor)
{
    for (int y = 0; y < s->h; y++)
    {
        int at = (y + TILE / 2) / TILE, f = (y + TILE / 2) % TILE;
        const int *above = t->factor + (size_t)(at > 0 ? at - 1 : 0) * t->w;
        const int *below = t->factor + (size_t)(at < t->h ? at : t->h - 1) * t->w;

        for (int i = 0; i < t->w; i++)
            factor[i] = above[i] + (below[i] - above[i]) * f / TILE;
        darken_row(s->grey + (size_t)y * s->w, s->w, factor, t->w);
    }
}

bool
pale_darken(Sheet *s, Arena *arena)
{
    Tiles t;
    int usual, *factor;
    bool any = false;

    if (!tiles_new(s, arena, &t) || !(factor = arena_array(arena, t.w, sizeof(int))))
        return false;
    count_pixels(s, &t);
    for (int y = 0; y < t.h; y++)
        for (int x = 0; x < t.w; x++)
            t.contrast[y * t.w + x] = contrast_around(&t, x, y);
    usual = usual_contrast(&t);
    for (int i = 0; i < t.w * t.h; i++)
        any |= (t.factor[i] = usual ? factor_of(t.contrast[i], usual) : UNIT) != UNIT;
    if (!any)
        return true;
    darken(s, &t, factor);
    sheet_threshold(s);
    return true;
}

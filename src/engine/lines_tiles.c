/* lines_tiles.c - white letters on dark tiles, as heads of forms and tables have them, become dark on white.
 *
 * A tile is one part of the sheet: wide, a few letters high, mostly ink, with holes in it. A photograph is
 * higher, a bar without holes is a redaction, and touching letters have paper at their edges. */
#include "lines_inner.h"

#define FULL   0.55f /* of its box a tile is ink at least, */
#define SOLID  0.97f /* and at most */
#define RIM    0.96f /* of its rim a tile is ink */
#define EDGE   2     /* pixels: the tile's soft edge */
#define DARKER 60    /* than paper, a tile is at least */

static bool
is_tile(const Part *part, float size)
{
    int w = part->box.x1 - part->box.x0, h = part->box.y1 - part->box.y0;
    float full = (float)part->area / w / h;

    return part->kind != PART_BORDER && h > 1.6f * size && h < 6 * size && w > 6 * size &&
           w * 2 > h * 5 && full > FULL && full < SOLID && part->nruns > 2 * h;
}

/* Dark all along its rim, which letters that touch are not. */
static bool
has_rim(const Sheet *s, const Box *b)
{
    int ink = 0, n = 0;

    for (int x = b->x0 + EDGE; x < b->x1 - EDGE; x++, n += 2)
        ink += (s->grey[(size_t)(b->y0 + EDGE) * s->w + x] <= s->threshold) +
               (s->grey[(size_t)(b->y1 - 1 - EDGE) * s->w + x] <= s->threshold);
    for (int y = b->y0 + EDGE; y < b->y1 - EDGE; y++, n += 2)
        ink += (s->grey[(size_t)y * s->w + b->x0 + EDGE] <= s->threshold) +
               (s->grey[(size_t)y * s->w + b->x1 - 1 - EDGE] <= s->threshold);
    return ink > RIM * n;
}

/* The mean of the tile's dark pixels; 255 when there are none. */
static int
dark_level(const Sheet *s, const Box *b)
{
    int64_t sum = 0, n = 0;

    for (int y = b->y0; y < b->y1; y++)
        for (int x = b->x0; x < b->x1; x++)
        {
            int v = s->grey[(size_t)y * s->w + x];

            sum += v <= s->threshold ? v : 0;
            n += v <= s->threshold;
        }
    return n ? (int)(sum / n) : 255;
}

static void
turn_tile(Sheet *s, const Box *b, int dark)
{
    for (int y = b->y0; y < b->y1; y++)
        for (int x = b->x0; x < b->x1; x++)
        {
            uint8_t *v = s->grey + (size_t)y * s->w + x;
            int to = (255 - *v) * 255 / (255 - dark);
            bool edge =
                y < b->y0 + EDGE || y >= b->y1 - EDGE || x < b->x0 + EDGE || x >= b->x1 - EDGE;

            *v = edge || to > 255 ? 255 : (uint8_t)to;
        }
}

bool
tiles_turn(Sheet *s, const Parts *p)
{
    bool any = false;

    for (int i = 0; i < p->nparts && p->size > 0; i++)
    {
        int dark;

        if (!is_tile(&p->parts[i], p->size) || !has_rim(s, &p->parts[i].box))
            continue;
        dark = dark_level(s, &p->parts[i].box);
        if (dark > 255 - DARKER)
            continue;
        turn_tile(s, &p->parts[i].box, dark);
        any = true;
    }
    return any;
}

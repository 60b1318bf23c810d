/* lines_screens.c - printed screens become paper: fields of fine dots under print, as forms and tables have them.
 *
 * A dot is darker than what is two pixels away from it on all four sides. Cells with many are of a screen; those that
 * hang together and are of one darkness are a field, which a photograph is not. In a field a pixel keeps the darkness
 * that it has along a line of more than a dot's length in some direction, as a pen's or a letter's stroke has. This comes
 * before tints, which the rest of the dots is. On a dark screen letters may be white: there the dots are smoothed, and
 * what is brighter than they are together is ink. Sharp edge: full stops and the like go with the dots. */
#include "lines_inner.h"

#include <stdlib.h>
#include <string.h>

#define CELL    16    /* pixels */
#define DARKER  12    /* grey levels a dot is than what is beside it, */
#define DEEP    24    /* and most of a screen's are: */
#define ALIKE   0.67f /* so many of them; the noise of a JPEG has many that are faint */
#define DOTS    5     /* seen in four rows of a cell: it may be of a screen; */
#define MANY    8     /* so many are hardly print */
#define LEAST   24    /* cells of a field, */
#define DENSE   0.72f /* of whose quarters have dots: print has rows without any */
#define EVEN    24    /* grey levels between which half of a field's cells are in the mean; */
#define FULL    0.45f /* or so many are full of dots, */
#define LEVEL   3     /* and a quarter of these, next to the median, is within so many */
#define QUARTER 6     /* dots in a quarter of a cell beside it: it is of the field */
#define REST    3 /* so many on its left or right are its own, where a rule or its end cut it off */
#define CLEAR   0.9f  /* of the level between dots is paper */
#define DARK    160   /* grey levels: on a darker field letters may be white, */
#define PAPER   230   /* on no darker paper */
#define BRIGHT  0.5f  /* of the way from the field to white such letters are at least, */
#define FAINT   0.15f /* and what is less than this is the dots', */
#define LETTERS 0.01f /* of the field's pixels are theirs at least, */
#define CROWDED 0.4f  /* and at most, */
#define FEWER   4     /* and so many times fewer are darker than the dots */
#define STROKE  5     /* pixels; longer than dots are apart */
#define HALF    (STROKE / 2)

typedef uint8_t Bytes __attribute__((vector_size(16)));

/* What is known of a quarter of a cell. */
enum
{
    SEEN = 1,
    DOTTED = 2,
    FEW_DOTS = 4,
    FILLED = 8
};

typedef struct Field
{
    int w, h;      /* cells of the page */
    uint8_t flip;  /* 255: dots are those brighter than what is beside them */
    uint8_t *dots; /* [h, w] that were seen */
    int *list;     /* [h * w] cells of the field that is looked at, n of them */
    int n;
    uint8_t *mean;  /* [h * w] of these */
    int ground;     /* the median of these, or of those that dots fill */
    uint8_t *mine;  /* [2 * h, 2 * w] quarters of cells that are of the field */
    uint8_t *level; /* [h, w] of the paper between dots in cells of the field; 0: it is none */
} Field;

static Bytes
load(const uint8_t *p, uint8_t flip)
{
    Bytes b;

    memcpy(&b, p, 16);
    return b ^ flip;
}

static Bytes
higher(Bytes a, Bytes b)
{
    Bytes m = (Bytes)(a > b);

    return (a & m) | (b & ~m);
}

static Bytes
lower(Bytes a, Bytes b)
{
    Bytes m = (Bytes)(a < b);

    return (a & m) | (b & ~m);
}

/* How many of the 16 pixels at p, or of the left or right half of them, are the middle of dots so much darker; with flip 255, brighter. */
static int
count_dots(const uint8_t *p, ptrdiff_t w, uint8_t flip, int darker, bool left, bool right)
{
    const uint64_t ones = 0x0101010101010101u;
    Bytes here = load(p, flip), down, dot;
    Bytes across = lower(higher(load(p - 1, flip), load(p - 2, flip)),
                         higher(load(p + 1, flip), load(p + 2, flip)));
    uint64_t half[2];

    dot = (Bytes)(across > here) & (Bytes)(across - here > (uint8_t)darker);
    memcpy(half, &dot, 16);
    if ((half[0] | half[1]) == 0)
        return 0;
    down = lower(higher(load(p - w, flip), load(p - 2 * w, flip)),
                 higher(load(p + w, flip), load(p + 2 * w, flip)));
    dot &= (Bytes)(down > here) & (Bytes)(down - here > (uint8_t)darker);
    memcpy(half, &dot, 16);
    half[0] &= left ? ones : 0;
    half[1] &= right ? ones : 0;
    return (int)(((half[0] + half[1]) * ones) >> 56);
}

/* Returns whether any cell may be of a screen. */
static bool
find_dots(const uint8_t *grey, int w, Field *f)
{
    static const int rows[4] = {2, 9, 7, 12}; /* which dots that are 3 to 5 apart cannot all miss */
    int any = 0;

    for (int y = 1; y < f->h - 1; y++)
        for (int x = 1; x < f->w - 1; x++)
        {
            const uint8_t *p = grey + (size_t)y * CELL * w + x * CELL;
            int n = 0;

            for (int i = 0; i < 4 && (i < 2 || n); i++)
                n += count_dots(p + (size_t)rows[i] * w, w, f->flip, DARKER, true, true);
            f->dots[y * f->w + x] = n < DOTS ? 0 : (uint8_t)n;
            any += n >= MANY;
        }
    return any >= LEAST / 2;
}

static uint8_t
mean_of(const uint8_t *grey, int w, const Field *f, int cell)
{
    const uint8_t *p = grey + (size_t)(cell / f->w) * CELL * w + cell % f->w * CELL;
    int sum = 0;

    for (int y = 0; y < CELL; y++)
        for (int x = 0; x < CELL; x++)
            sum += p[(size_t)y * w + x];
    return (uint8_t)(sum / (CELL * CELL));
}

static int
by_value(const void *a, const void *b)
{
    return *(const uint8_t *)a - *(const uint8_t *)b;
}

/* How many dots are in the quarter of a cell; x, y: of quarters. */
static int
dots_in(const uint8_t *grey, int w, const Field *f, int x, int y)
{
    const uint8_t *p = grey + (size_t)y * CELL / 2 * w + x / 2 * CELL;
    int n = 0;

    if (x < 2 || y < 2 || x >= 2 * f->w - 2 || y >= 2 * f->h - 2)
        return 0;
    for (int v = 0; v < CELL / 2; v++)
        n += count_dots(p + (size_t)v * w, w, f->flip, DARKER, x % 2 == 0, x % 2 != 0);
    return n;
}

/* Most dots of the field are alike in being dark. */
static bool
is_deep(const uint8_t *grey, int w, const Field *f)
{
    int all = 0, deep = 0;

    for (int k = 0; k < f->n; k++)
    {
        const uint8_t *p = grey + (size_t)(f->list[k] / f->w) * CELL * w + f->list[k] % f->w * CELL;

        for (int v = 0; v < CELL; v++)
        {
            all += count_dots(p + (size_t)v * w, w, f->flip, DARKER, true, true);
            deep += count_dots(p + (size_t)v * w, w, f->flip, DEEP, true, true);
        }
    }
    return deep >= ALIKE * all;
}

/* How many quarters of the field's cells have dots; *full: how many cells have them in all four, which are the first of
 * f->mean. Of others some is print, or beside the field. */
static int
measure_field(const uint8_t *grey, int w, Field *f, int *full)
{
    int dotted = 0;

    *full = 0;
    for (int k = 0; k < f->n; k++)
    {
        int mine = 0;

        for (int q = 0; q < 4; q++)
            mine += dots_in(grey, w, f, f->list[k] % f->w * 2 + q % 2,
                            f->list[k] / f->w * 2 + q / 2) >= QUARTER;
        f->mean[k] = mean_of(grey, w, f, f->list[k]);
        if (mine == 4)
        {
            uint8_t mean = f->mean[k];

            f->mean[k] = f->mean[*full];
            f->mean[(*full)++] = mean;
        }
        dotted += mine;
    }
    return dotted;
}

/* Most of the field is of one darkness; those of its cells are that dots fill, in a strip with print on it or along its edges.
 * There the print makes cells darker or brighter, but not both. */
static bool
is_even(Field *f, int full)
{
    const uint8_t *m = f->mean;
    int below, above;

    qsort(f->mean, full, 1, by_value);
    below = m[full / 2] - m[full / 4];
    above = m[full * 3 / 4] - m[full / 2];
    f->ground = m[full / 2];
    if (full >= FULL * f->n && (below <= LEVEL || above <= LEVEL))
        return true;
    qsort(f->mean, f->n, 1, by_value);
    f->ground = m[f->n / 2];
    return m[f->n * 3 / 4] - m[f->n / 4] <= EVEN;
}

/* Lists the field of cell i; returns whether it is a screen: large, deep and even. */
static bool
find_field(const uint8_t *grey, int w, Field *f, int i)
{
    int next[4], full;

    f->n = 1;
    f->list[0] = i;
    f->dots[i] = 0;
    for (int from = 0; from < f->n; from++)
    {
        cells_beside(f->list[from], f->w, f->h, next);
        for (int k = 0; k < 4; k++)
            if (next[k] >= 0 && f->dots[next[k]])
            {
                f->dots[next[k]] = 0;
                f->list[f->n++] = next[k];
            }
    }
    return f->n >= LEAST && measure_field(grey, w, f, &full) >= DENSE * 4 * f->n &&
           is_deep(grey, w, f) && is_even(f, full);
}

/* Quarters with dots are near on both sides of this one: letters stand on it. */
static bool
between(const Field *f, int at, int step)
{
    bool before = f->mine[at - step] & DOTTED, after = f->mine[at + step] & DOTTED;

    return (before && (after || f->mine[at + 2 * step] & DOTTED)) ||
           (after && f->mine[at - 2 * step] & DOTTED);
}

/* The box of the field and the cells beside it in pixels; what of these is the field's is marked. */
static Box
mark_field(const uint8_t *grey, int w, int h, Field *f)
{
    Box b = {w, h, 0, 0};
    int n = 2 * f->w;

    memset(f->mine, 0, 4 * (size_t)f->w * f->h);
    memset(f->level, 0, (size_t)f->w * f->h);
    for (int i = 0; i < f->n; i++)
    {
        int x = f->list[i] % f->w, y = f->list[i] / f->w;

        f->level[f->list[i]] = 1;
        for (int v = 2 * y - 2; v < 2 * y + 4; v++)
            for (int u = 2 * x - 2; u < 2 * x + 4; u++)
                if (f->mine[v * n + u] == 0)
                {
                    int dots = dots_in(grey, w, f, u, v);

                    f->mine[v * n + u] = SEEN | (dots >= QUARTER ? DOTTED
                                                 : dots >= REST  ? FEW_DOTS
                                                                 : 0);
                }
        b.x0 = (x - 1) * CELL < b.x0 ? (x - 1) * CELL : b.x0;
        b.y0 = (y - 1) * CELL < b.y0 ? (y - 1) * CELL : b.y0;
        b.x1 = (x + 2) * CELL > b.x1 ? (x + 2) * CELL : b.x1;
        b.y1 = (y + 2) * CELL > b.y1 ? (y + 2) * CELL : b.y1;
    }
    for (int y = b.y0 / CELL * 2 + 2; y < b.y1 / CELL * 2 - 2; y++)
        for (int x = b.x0 / CELL * 2 + 2; x < b.x1 / CELL * 2 - 2; x++)
            if ((f->mine[y * n + x] & (SEEN | DOTTED)) == SEEN &&
                (between(f, y * n + x, 1) || between(f, y * n + x, n) ||
                 (f->mine[y * n + x] & FEW_DOTS &&
                  (f->mine[y * n + x - 1] | f->mine[y * n + x + 1]) & DOTTED)))
                f->mine[y * n + x] |= FILLED;
    return b;
}

/* out: the brightest, or with dark the darkest, of the STROKE pixels of in around each along a direction. in, out: [h, w] */
static void
along(const uint8_t *in, int w, int h, int dx, int dy, bool dark, uint8_t *out)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
        {
            int best = in[(size_t)y * w + x];

            for (int k = -HALF; k <= HALF; k++)
            {
                int u = x + k * dx, v = y + k * dy, p;

                if (u < 0 || v < 0 || u >= w || v >= h)
                    continue;
                p = in[(size_t)v * w + u];
                best = (p < best) == dark ? p : best;
            }
            out[(size_t)y * w + x] = (uint8_t)best;
        }
}

/* A cell's level: most of its pixels are not brighter. */
static uint8_t
level_of(const uint8_t *p, int w, uint8_t *tmp)
{
    for (int y = 0; y < CELL; y++)
        memcpy(tmp + y * CELL, p + (size_t)y * w, CELL);
    qsort(tmp, CELL * CELL, 1, by_value);
    return tmp[CELL * CELL * 6 / 10];
}

/* The median level of the field's cells around one, or 0. */
static int
level_around(const Field *f, int x, int y)
{
    uint8_t v[25];
    int n = 0;

    for (int b = y - 2; b <= y + 2; b++)
        for (int a = x - 2; a <= x + 2; a++)
            if (a >= 0 && b >= 0 && a < f->w && b < f->h && f->level[b * f->w + a])
                v[n++] = f->level[b * f->w + a];
    qsort(v, n, 1, by_value);
    return n ? v[n / 2] : 0;
}

/* Puts what is left of the field, in: the box's pixels, on the page: paper where it is as bright as paper between dots. */
static void
put_back(uint8_t *grey, int w, const Field *f, const Box *b, const uint8_t *in, int paper)
{
    for (int y = b->y0; y < b->y1; y += CELL / 2)
        for (int x = b->x0; x < b->x1; x += CELL / 2)
        {
            int low;

            if (!(f->mine[y / (CELL / 2) * 2 * f->w + x / (CELL / 2)] & (DOTTED | FILLED)))
                continue;
            low = (int)(CLEAR * level_around(f, x / CELL, y / CELL));
            for (int v = y; v < y + CELL / 2; v++)
                for (int u = x; u < x + CELL / 2; u++)
                {
                    int p = in[(size_t)(v - b->y0) * (b->x1 - b->x0) + u - b->x0];

                    grey[(size_t)v * w + u] = (uint8_t)(p >= low ? paper : p * paper / low);
                }
        }
}

/* out: the mean of k x k pixels of in around each. in, out: [h, w] */
static void
smooth(const uint8_t *in, int w, int h, int k, uint8_t *out)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
        {
            int sum = 0, n = 0;

            for (int v = y - k / 2; v < y - k / 2 + k; v++)
                for (int u = x - k / 2; u < x - k / 2 + k; u++)
                    if (u >= 0 && v >= 0 && u < w && v < h)
                    {
                        sum += in[(size_t)v * w + u];
                        n++;
                    }
            out[(size_t)y * w + x] = (uint8_t)(sum / n);
        }
}

/* The quarter of a cell at (x, y) of the box is of the field. */
static bool
is_mine(const Field *f, const Box *b, int x, int y)
{
    int half = CELL / 2;

    return f->mine[(y + b->y0) / half * 2 * f->w + (x + b->x0) / half] & (DOTTED | FILLED);
}

/* The quarter of a cell at (x, y) of the box is at the field's edge: beside it is nothing but paper. */
static bool
at_edge(const Field *f, const Box *b, const uint8_t *in, int x, int y)
{
    int w = b->x1 - b->x0, h = b->y1 - b->y0, half = CELL / 2;

    for (int k = 0; k < 9; k++)
    {
        int u = x + (k % 3 - 1) * half, v = y + (k / 3 - 1) * half, sum = 0;

        if (u < 0 || v < 0 || u >= w || v >= h)
            return true;
        if (is_mine(f, b, u, v))
            continue;
        for (int i = 0; i < half * half; i++)
            sum += in[(size_t)(v + i / half) * w + u + i % half];
        if (sum > PAPER * half * half)
            return true;
    }
    return false;
}

/* How far from the field to white a pixel is. */
static float
whiteness(const Field *f, int p)
{
    return p <= f->ground ? 0 : (float)(p - f->ground) / (255 - f->ground);
}

/* The field is dark and has white letters. in: the box's pixels; even: the same smoothed. */
static bool
is_turned(const Field *f, const Box *b, const uint8_t *in, const uint8_t *even)
{
    int w = b->x1 - b->x0, h = b->y1 - b->y0, half = CELL / 2;
    int64_t all = 0, bright = 0, dark = 0;

    for (int y = 0; y < h; y += half)
        for (int x = 0; x < w; x += half)
        {
            if (!is_mine(f, b, x, y) || at_edge(f, b, in, x, y))
                continue;
            for (int i = 0; i < half * half; i++)
            {
                int p = even[(size_t)(y + i / half) * w + x + i % half];

                bright += whiteness(f, p) > BRIGHT;
                dark += p * 2 < f->ground;
            }
            all += half * half;
        }
    return bright > LETTERS * all && bright < CROWDED * all && dark * FEWER < bright;
}

/* White letters become dark ones on paper. */
static void
turn(uint8_t *grey, int w, const Field *f, const Box *b, const uint8_t *in, const uint8_t *even)
{
    int n = b->x1 - b->x0, h = b->y1 - b->y0, half = CELL / 2;

    for (int y = 0; y < h; y += half)
        for (int x = 0; x < n; x += half)
        {
            bool edge;

            if (!is_mine(f, b, x, y))
                continue;
            edge = at_edge(f, b, in, x, y);
            for (int i = 0; i < half * half; i++)
            {
                int v = y + i / half, u = x + i % half;
                float white = whiteness(f, even[(size_t)v * n + u]);

                grey[(size_t)(v + b->y0) * w + u + b->x0] =
                    edge || white < FAINT ? 255
                                          : (uint8_t)(255 - 255 * (white - FAINT) / (1 - FAINT));
            }
        }
}

static bool
lift(uint8_t *grey, int w, Field *f, const Box *b, Arena *arena)
{
    static const int dirs[4][2] = {{1, 0}, {0, 1}, {1, 1}, {1, -1}};
    int n = b->x1 - b->x0, h = b->y1 - b->y0, paper = 0;
    size_t size = (size_t)n * h;
    uint8_t *in = arena_alloc(arena, size), *wide = arena_alloc(arena, size);
    uint8_t *thin = arena_alloc(arena, size), *out = arena_alloc(arena, size);
    uint8_t tmp[CELL * CELL];

    if (!in || !wide || !thin || !out)
        return false;
    for (int y = 0; y < h; y++)
        memcpy(in + (size_t)y * n, grey + (size_t)(y + b->y0) * w + b->x0, n);
    if (f->ground < DARK)
    {
        smooth(in, n, h, 4, wide);
        smooth(wide, n, h, 3, thin);
        if (is_turned(f, b, in, thin))
        {
            turn(grey, w, f, b, in, thin);
            return true;
        }
    }
    if (f->flip)
        return true;
    memset(out, 255, size);
    for (int k = 0; k < 4; k++)
    {
        along(in, n, h, dirs[k][0], dirs[k][1], false, wide);
        along(wide, n, h, dirs[k][0], dirs[k][1], true, thin);
        for (size_t i = 0; i < size; i++)
            out[i] = thin[i] < out[i] ? thin[i] : out[i];
    }
    for (int y = 0; y < h; y += CELL)
        for (int x = 0; x < n; x += CELL)
        {
            uint8_t *level = &f->level[(y + b->y0) / CELL * f->w + (x + b->x0) / CELL];
            int v = level_of(out + (size_t)y * n + x, n, tmp);

            *level = *level ? (uint8_t)(v ? v : 1) : 0;
            paper = v > paper ? v : paper;
        }
    put_back(grey, w, f, b, out, paper);
    return true;
}

static bool
make_room(Field *f, Arena *arena)
{
    size_t n = (size_t)f->w * f->h;

    if (f->list)
        return true;
    f->list = arena_array(arena, n, sizeof(int));
    f->mean = arena_array(arena, n, 1);
    f->mine = arena_array(arena, 4 * n, 1);
    f->level = arena_array(arena, n, 1);
    return f->list && f->mean && f->mine && f->level;
}

/* Of screens that are more black than white the white dots are seen: only what is white on them is looked for. */
bool
screens_lift(uint8_t *grey, int w, int h, Arena *arena)
{
    Field f = {.w = w / CELL, .h = h / CELL};

    f.dots = arena_array(arena, (size_t)f.w * f.h, 1);
    if (!f.dots)
        return false;
    for (int flip = 0; flip <= 255; flip += 255)
    {
        f.flip = (uint8_t)flip;
        if (!find_dots(grey, w, &f))
            continue;
        if (!make_room(&f, arena))
            return false;
        for (int i = 0; i < f.w * f.h; i++)
            if (f.dots[i] && find_field(grey, w, &f, i))
            {
                Box b = mark_field(grey, w, h, &f);

                if (!lift(grey, w, &f, &b, arena))
                    return false;
            }
    }
    return true;
}

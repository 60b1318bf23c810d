/* lines_tints.c - tinted fields become paper: every second row of a table, a shaded part of a form.
 *
 * The page is seen as cells of which the brightest pixel counts, so that letters are not seen. Cells that hang together
 * and change but slowly are a field; one with brighter cells nearly all around it is a tint, and its pixels are
 * multiplied by what it lacks. A dark one is a tint if its print is darker yet, and else a tile with white letters. This
 * comes before paper is brought to white, which knows no edges. Sharp edge: a cell at the tint's edge is of the paper by
 * its brightest pixel, and has some of the tint all the same. */
#include "lines_inner.h"

#include <stdlib.h>
#include <string.h>

#define CELL     8     /* pixels */
#define SLOWLY   0.04f /* from cell to cell in a field, */
#define NOISE    4     /* and so many grey levels */
#define LEAST    24    /* cells of a tint */
#define AROUND   0.8f  /* of its edge is brighter */
#define PALEST   1.07f /* times brighter */
#define DARK     1.8f  /* a darker one may be a tile, with white letters; */
#define DARKEST  2.8f  /* this is too dark for any print */
#define INK      0.6f  /* of the tint's level dark print is at most, */
#define PRINTED  0.01f /* and so many of its cells have some */
#define HUNDREDS 301   /* factors in hundredths */

typedef struct Cells
{
    int w, h;
    uint8_t *level; /* [h, w] */
    int *field;     /* [h, w] */
    int *list;      /* [h * w] cells of the field that is looked at */
    uint8_t *edge;  /* [h, w] beside a cell of this field */
} Cells;

/* The brightest pixel of each cell in a row of them, every second row of pixels being looked at; line: [w] */
static void
find_row(const uint8_t *grey, int w, uint8_t *line, uint8_t *level, int n)
{
    memcpy(line, grey, w);
    for (int y = 2; y < CELL; y += 2)
        for (int x = 0; x < w; x++)
            line[x] = grey[(size_t)y * w + x] > line[x] ? grey[(size_t)y * w + x] : line[x];
    for (int i = 0; i < n; i++)
        for (int k = 0; k < CELL; k++)
            level[i] = line[i * CELL + k] > level[i] ? line[i * CELL + k] : level[i];
}

static bool
find_levels(const uint8_t *grey, int w, int h, Arena *arena, Cells *c)
{
    size_t n;
    uint8_t *line = arena_alloc(arena, w);

    c->w = w / CELL;
    c->h = h / CELL;
    n = (size_t)c->w * c->h;
    c->level = arena_array(arena, n, 1);
    c->field = arena_array(arena, n, sizeof(int));
    c->list = arena_array(arena, n, sizeof(int));
    c->edge = arena_array(arena, n, 1);
    if (!line || !c->level || !c->field || !c->list || !c->edge)
        return false;
    for (int y = 0; y < c->h; y++)
        find_row(grey + (size_t)y * CELL * w, w, line, c->level + (size_t)y * c->w, c->w);
    return true;
}

static bool
alike(int a, int b)
{
    int high = a > b ? a : b;

    return abs(a - b) <= SLOWLY * high + NOISE;
}

/* All cells around it are alike: it is not at the edge of a field, where brightest pixels say little. */
static bool
is_inner(const Cells *c, int i)
{
    int x = i % c->w, y = i / c->w;

    for (int v = y ? y - 1 : 0; v <= y + 1 && v < c->h; v++)
        for (int u = x ? x - 1 : 0; u <= x + 1 && u < c->w; u++)
            if (!alike(c->level[v * c->w + u], c->level[i]))
                return false;
    return true;
}

/* Lists the field of the inner cell i, which goes on from inner cells, and gives it a number; returns how many cells. */
static int
find_field(Cells *c, int i, int number)
{
    int n = 1, next[4];

    c->list[0] = i;
    c->field[i] = number;
    for (int from = 0; from < n; from++)
    {
        if (!is_inner(c, c->list[from]))
            continue;
        cells_beside(c->list[from], c->w, c->h, next);
        for (int k = 0; k < 4; k++)
            if (next[k] >= 0 && c->field[next[k]] == 0)
            {
                c->field[next[k]] = number;
                c->list[n++] = next[k];
            }
    }
    return n;
}

/* How much brighter it is beyond the field, in hundredths; 0: it is not, or the image ends. */
static int
brighter_beyond(const Cells *c, int i, int dx, int dy)
{
    int x = i % c->w + 2 * dx, y = i / c->w + 2 * dy;
    float times;

    if (x < 0 || y < 0 || x >= c->w || y >= c->h)
        return 0;
    times = (float)c->level[y * c->w + x] / (c->level[i] + 1);
    return times < PALEST ? 0 : times < DARKEST ? (int)(100 * times) : HUNDREDS - 1;
}

/* Beyond the field's edge it goes on, and what lies between is darker: print on it. */
static bool
goes_on(const Cells *c, int i, int dx, int dy, int number)
{
    int x = i % c->w + dx, y = i / c->w + dy;

    while (x >= 0 && y >= 0 && x < c->w && y < c->h && c->field[y * c->w + x] != number &&
           c->level[y * c->w + x] <= c->level[i])
    {
        x += dx;
        y += dy;
    }
    return x >= 0 && y >= 0 && x < c->w && y < c->h && c->field[y * c->w + x] == number;
}

/* How much brighter it is around the listed field, in the median; 1: it is no tint. */
static float
lack(const Cells *c, int n, int number)
{
    static const int dirs[4][2] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}};
    int count[HUNDREDS] = {0}, brighter, all = 0, at = 1, next[4];

    for (int i = 0; i < n; i++)
    {
        cells_beside(c->list[i], c->w, c->h, next);
        for (int k = 0; k < 4; k++)
            if ((next[k] < 0 || c->field[next[k]] != number) &&
                !goes_on(c, c->list[i], dirs[k][0], dirs[k][1], number))
            {
                count[brighter_beyond(c, c->list[i], dirs[k][0], dirs[k][1])]++;
                all++;
            }
    }
    brighter = all - count[0];
    if (brighter < AROUND * all)
        return 1;
    for (int sum = count[1]; sum * 2 < brighter; sum += count[++at])
        ;
    return at == HUNDREDS - 1 ? 1 : at / 100.0f;
}

/* Some pixel of the cell is print on the tint. */
static bool
has_ink(const uint8_t *grey, int w, const Cells *c, int cell)
{
    const uint8_t *p = grey + (size_t)(cell / c->w) * CELL * w + cell % c->w * CELL;

    for (int y = 0; y < CELL; y++)
        for (int x = 0; x < CELL; x++)
            if (p[(size_t)y * w + x] < INK * c->level[cell])
                return true;
    return false;
}

/* The listed field has dark print rather than white: cells that are brighter, between its own. */
static bool
is_printed(const uint8_t *grey, int w, const Cells *c, int n, int number)
{
    int dark = 0, white = 0;

    for (int i = 0; i < n; i++)
    {
        int cell = c->list[i], end = cell / c->w * c->w + c->w, next = cell + 1;

        dark += has_ink(grey, w, c, cell);
        while (next < end && c->field[next] != number && c->level[next] > c->level[cell])
            next++;
        white += next < end && c->field[next] == number ? next - cell - 1 : 0;
    }
    return dark > white && dark >= PRINTED * n;
}

static void
lift_cell(uint8_t *grey, int w, int h, const Cells *c, int cell, const uint8_t *table)
{
    int x0 = cell % c->w * CELL, y0 = cell / c->w * CELL;

    for (int y = y0; y < y0 + CELL && y < h; y++)
        for (int x = x0; x < x0 + CELL && x < w; x++)
            grey[(size_t)y * w + x] = table[grey[(size_t)y * w + x]];
}

/* Multiplies the listed cells and those beside them, nothing to brighter than the paper is. */
static void
lift_field(uint8_t *grey, int w, int h, Cells *c, int n, int number, float times)
{
    uint8_t table[256];
    int paper = 0;

    for (int i = 0; i < n; i++)
        paper = c->level[c->list[i]] > paper ? c->level[c->list[i]] : paper;
    paper = times * paper < 255 ? (int)(times * paper) : 255;
    for (int v = 0; v < 256; v++)
    {
        int to = (int)(v * times);

        table[v] = (uint8_t)(v > paper ? v : to > paper ? paper : to);
    }
    for (int i = 0; i < n; i++)
    {
        int x = c->list[i] % c->w, y = c->list[i] / c->w;

        lift_cell(grey, w, h, c, c->list[i], table);
        for (int v = y - 1; v <= y + 1; v++)
            for (int u = x - 1; u <= x + 1; u++)
            {
                int o = v * c->w + u;

                if (u < 0 || v < 0 || u >= c->w || v >= c->h || c->field[o] == number || c->edge[o])
                    continue;
                c->edge[o] = 1;
                lift_cell(grey, w, h, c, o, table);
            }
    }
}

bool
tints_lift(uint8_t *grey, int w, int h, Arena *arena)
{
    Cells c;
    int number = 0;

    if (!find_levels(grey, w, h, arena, &c))
        return false;
    for (int i = 0; i < c.w * c.h; i++)
    {
        int n;
        float times;

        if (c.field[i] || !is_inner(&c, i))
            continue;
        n = find_field(&c, i, ++number);
        if (n < LEAST || (times = lack(&c, n, number)) <= 1 ||
            (times > DARK && !is_printed(grey, w, &c, n, number)))
            continue;
        lift_field(grey, w, h, &c, n, number, times);
    }
    return true;
}

/* lines_sheet.c - Image -> Sheet: grey, the paper brought to white, turned and straightened.
 *
 * Every reader of lines was trained on pages that went through exactly this: a maximum filter over 5 x 5
 * pixels of the page reduced 8 times, a Gaussian blur of 4, a bilinear enlargement, and a division. The
 * steps follow Pillow's arithmetic (fixed point, a rounding to bytes after each pass), so that views cut
 * here and views cut for training are the same to a grey level or two. */
#include "lines_inner.h"

#include <math.h>
#include <string.h>

#define REDUCE     8   /* the bright level is looked for on a page this much smaller */
#define MAX_FILTER 2   /* 5 x 5 */
#define DARKEST    40  /* paper is never taken to be darker */
#define PALEST     180 /* ink is never taken to be paler, unless Otsu says so */
#define BRIGHT     235 /* paper is */
#define TICK_ROWS  256
#define BLUR_RUNS  3

typedef struct Plane
{
    int w, h;
    uint8_t *px; /* [h, w] */
} Plane;

static bool
plane_new(Plane *p, int w, int h, Arena *arena)
{
    *p = (Plane){w, h, arena_alloc(arena, (size_t)w * h)};
    return p->px != NULL;
}

/* ITU-R 601 as Pillow rounds it. */
static void
grey_row(const Image *page, int y, uint8_t *out)
{
    const uint8_t *in = page->pixels + (size_t)y * page->width * page->channels;

    if (page->channels == 1)
    {
        memcpy(out, in, page->width);
        return;
    }
    for (int x = 0; x < page->width; x++, in += 3)
        out[x] = (in[0] * 19595u + in[1] * 38470u + in[2] * 7471u + 0x8000u) >> 16;
}

/* Mean of `reduce` x `reduce` pixels; a remainder at the right and lower edge is left out. */
static bool
grey_plane(const Image *page, int reduce, Ticker *ticker, Arena *arena, Plane *out)
{
    int w = page->width / reduce, h = page->height / reduce;
    uint8_t *line = arena_alloc(arena, page->width);
    uint32_t *sum = arena_alloc(arena, sizeof(uint32_t) * (w + 1));

    if (w < 1 || h < 1 || !line || !sum || !plane_new(out, w, h, arena))
        return false;
    for (int y = 0; y < h; y++)
    {
        uint8_t *to = out->px + (size_t)y * w;

        if (y % TICK_ROWS == 0 && !go_on(ticker))
            return false;
        if (reduce == 1)
        {
            grey_row(page, y, to);
            continue;
        }
        memset(sum, 0, sizeof(uint32_t) * w);
        for (int k = 0; k < reduce; k++)
        {
            grey_row(page, y * reduce + k, line);
            for (int x = 0; x < w; x++)
                for (int i = 0; i < reduce; i++)
                    sum[x] += line[x * reduce + i];
        }
        for (int x = 0; x < w; x++)
            to[x] = (sum[x] + reduce * reduce / 2) / (reduce * reduce);
    }
    return true;
}

/* The source pixels that an output averages. */
typedef struct Window
{
    int from, n;
    uint32_t weight; /* of each, in 1 / 2^22 */
} Window;

static Window
box_window(int i, int from, int to)
{
    double scale = (double)from / to, middle = (i + 0.5) * scale;
    int a = (int)(middle - scale / 2 + 0.5), b = (int)(middle + scale / 2 + 0.5);

    if (b > from)
        b = from;
    if (a >= b)
        a = b - 1;
    return (Window){a, b - a, (uint32_t)(0.5 + (1.0 / (b - a)) * (1 << 22))};
}

/* Area mean along rows (step 1) or columns (step = width), rounded to bytes. */
static inline uint8_t
box_mean(const uint8_t *px, const Window *win, int step)
{
    uint32_t sum = 0;

    px += (size_t)win->from * step;
    for (int i = 0; i < win->n; i++)
        sum += px[(size_t)i * step];
    return (uint8_t)(((uint64_t)sum * win->weight + (1 << 21)) >> 22);
}

static bool
reduce_plane(const Plane *in, int w, int h, Ticker *ticker, Arena *arena, Plane *out)
{
    Window *columns = arena_array(arena, (size_t)w, sizeof *columns), row;
    Plane wide;

    if (!columns || !plane_new(&wide, w, in->h, arena) || !plane_new(out, w, h, arena))
        return false;
    for (int x = 0; x < w; x++)
        columns[x] = box_window(x, in->w, w);
    for (int y = 0; y < in->h; y++)
    {
        if (y % TICK_ROWS == 0 && !go_on(ticker))
            return false;
        for (int x = 0; x < w; x++)
            wide.px[(size_t)y * w + x] = box_mean(in->px + (size_t)y * in->w, &columns[x], 1);
    }
    for (int y = 0; y < h; y++)
    {
        row = box_window(y, in->h, h);
        for (int x = 0; x < w; x++)
            out->px[(size_t)y * w + x] = box_mean(wide.px + x, &row, w);
    }
    return true;
}

/* Maximum over 2 * MAX_FILTER + 1 values along one direction, edges repeated. */
static void
max_line(uint8_t *px, int n, int step, uint8_t *tmp)
{
    for (int i = 0; i < n; i++)
        tmp[i] = px[(size_t)i * step];
    for (int i = 0; i < n; i++)
    {
        int a = i < MAX_FILTER ? 0 : i - MAX_FILTER;
        int b = i + MAX_FILTER >= n ? n - 1 : i + MAX_FILTER;
        uint8_t m = 0;

        for (int k = a; k <= b; k++)
            m = tmp[k] > m ? tmp[k] : m;
        px[(size_t)i * step] = m;
    }
}

/* One box of radius 3.4375: three of them make Pillow's Gaussian of 4. Edges repeated. */
static void
blur_line(uint8_t *px, int n, int step, uint8_t *tmp)
{
    const int r = 3;
    const uint32_t whole = (uint32_t)((1 << 24) / (3.4375 * 2 + 1));
    const uint32_t edge = ((1 << 24) - (2 * r + 1) * whole) / 2;
    uint32_t sum = 0; /* from i - r to i + r */

    for (int i = 0; i < n; i++)
        tmp[i] = px[(size_t)i * step];
    for (int k = -r; k <= r; k++)
        sum += tmp[k < 0 ? 0 : k >= n ? n - 1 : k];
    for (int i = 0; i < n; i++)
    {
        int far_a = i - r - 1 < 0 ? 0 : i - r - 1, far_b = i + r + 1 >= n ? n - 1 : i + r + 1;

        px[(size_t)i * step] = (sum * whole + (tmp[far_a] + tmp[far_b]) * edge + (1 << 23)) >> 24;
        sum += tmp[far_b] - tmp[i < r ? 0 : i - r];
    }
}

static bool
bright_level(Plane *p, Arena *arena)
{
    uint8_t *tmp = arena_alloc(arena, p->w > p->h ? p->w : p->h);

    if (!tmp)
        return false;
    for (int y = 0; y < p->h; y++)
        max_line(p->px + (size_t)y * p->w, p->w, 1, tmp);
    for (int x = 0; x < p->w; x++)
        max_line(p->px + x, p->h, p->w, tmp);
    for (int k = 0; k < BLUR_RUNS; k++)
        for (int y = 0; y < p->h; y++)
            blur_line(p->px + (size_t)y * p->w, p->w, 1, tmp);
    for (int k = 0; k < BLUR_RUNS; k++)
        for (int x = 0; x < p->w; x++)
            blur_line(p->px + x, p->h, p->w, tmp);
    return true;
}

/* Position i of `to` on a line of `from` values: the value before it, and 8 bits of weight of the next. */
static void
between(int i, int from, int to, int *at, int *weight)
{
    double v = (i + 0.5) * from / to - 0.5;

    if (v < 0)
        v = 0;
    if (v > from - 1)
        v = from - 1;
    *at = (int)v < from - 1 ? (int)v : from - 2;
    if (*at < 0)
        *at = 0;
    *weight = from > 1 ? (int)lrint((v - *at) * 256) : 0;
}

static bool
widen(const Plane *level, int w, Arena *arena, Plane *out)
{
    int at, f;

    if (!plane_new(out, w, level->h, arena))
        return false;
    for (int x = 0; x < w; x++)
    {
        between(x, level->w, w, &at, &f);
        for (int y = 0; y < level->h; y++)
        {
            const uint8_t *p = level->px + (size_t)y * level->w + at;

            out->px[(size_t)y * w + x] = (p[0] * (256 - f) + p[f > 0] * f + 128) >> 8;
        }
    }
    return true;
}

/* One row by the level between the rows a and b, f / 256 of the way, which runs in whole numbers of 16 bits. */
static void
divide_row(uint8_t *g, int n, const uint8_t *a, const uint8_t *b, int f, const uint8_t *table)
{
    uint16_t near = (uint16_t)(256 - f), far = (uint16_t)f, level[16];
    int x = 0;

    for (; x + 16 <= n; x += 16)
    {
        for (int i = 0; i < 16; i++)
            level[i] = (uint16_t)(a[x + i] * near + b[x + i] * far + 128) >> 8;
        for (int i = 0; i < 16; i++)
            g[x + i] = table[level[i] << 8 | g[x + i]];
    }
    for (; x < n; x++)
        g[x] = table[((a[x] * (256 - f) + b[x] * f + 128) >> 8) << 8 | g[x]];
}

/* grey = grey / level * 255, row by row, the level interpolated on the way. */
static bool
divide(Plane *grey, const Plane *level, Ticker *ticker, Arena *arena)
{
    uint8_t *table = arena_alloc(arena, 256 * 256);
    Plane wide;

    if (!table || !widen(level, grey->w, arena, &wide))
        return false;
    for (int l = 0; l < 256; l++)
        for (int g = 0; g < 256; g++)
        {
            int v = g * 255 / (l < DARKEST ? DARKEST : l);

            table[l << 8 | g] = v > 255 ? 255 : v;
        }
    for (int y = 0; y < grey->h; y++)
    {
        int at, f;
        const uint8_t *a;

        if (y % TICK_ROWS == 0 && !go_on(ticker))
            return false;
        between(y, wide.h, grey->h, &at, &f);
        a = wide.px + (size_t)at * wide.w;
        divide_row(grey->px + (size_t)y * grey->w, grey->w, a, f ? a + wide.w : a, f, table);
    }
    return true;
}

static int
otsu(const uint8_t *px, size_t n)
{
    uint32_t part[4][256] = {{0}}, *hist = part[0]; /* four: pixels in a row are mostly the same */
    double mean = 0, w = 0, m = 0, best = -1;
    size_t i = 0;
    int at = 0;

    for (; n - i >= 8; i += 8)
    {
        uint64_t eight;

        memcpy(&eight, px + i, 8);
        if (eight == UINT64_MAX) /* paper, mostly */
            hist[255] += 8;
        else
            for (size_t k = i; k < i + 8; k++)
                part[k % 4][px[k]]++;
    }
    for (; i < n; i++)
        hist[px[i]]++;
    for (int k = 0; k < 256; k++)
        hist[k] += part[1][k] + part[2][k] + part[3][k];
    for (int k = 0; k < 256; k++)
        mean += (double)hist[k] / n * k;
    for (int k = 0; k < 256; k++)
    {
        double p = (double)hist[k] / n, v;

        w += p;
        m += p * k;
        v = (mean * w - m) * (mean * w - m) / (w * (1 - w) + 1e-9);
        if (v > best + 1e-9)
        {
            best = v;
            at = k;
        }
    }
    return at;
}

/* Pale writing beside black: a third of the way from Otsu's threshold to paper, if that is not too pale. */
static int
pale(int otsu)
{
    int t = otsu + (255 - otsu) * 3 / 10;

    if (t > PALEST)
        t = PALEST;
    return t > otsu ? t : otsu;
}

/* One cell's pixels of one row on the page's rim: what is dark and joins on to what was wiped before is wiped, too. */
static bool
wipe_rim(uint8_t *row, bool *above, int from, int to, bool back, bool beside)
{
    for (int n = 0; n < to - from; n++)
    {
        int x = back ? to - 1 - n : from + n;

        beside = row[x] < BRIGHT && (beside || above[x]);
        above[x] = beside;
        row[x] = beside ? 255 : row[x];
    }
    return beside;
}

/* Makes white what is around the page and, on its rim, what is dark and joins on to that. mask: [h, w]; above:
 * [grey->w]. From the upper left corner on, or back from the lower right one. */
static void
wipe_around(Plane *grey, const uint8_t *mask, int w, int h, bool back, bool *above)
{
    memset(above, 0, sizeof(bool) * grey->w);
    for (int i = 0; i < grey->h; i++)
    {
        int y = back ? grey->h - 1 - i : i;
        const uint8_t *cells = mask + (size_t)((int64_t)y * h / grey->h) * w;
        uint8_t *row = grey->px + (size_t)y * grey->w;
        bool beside = false;

        for (int k = 0; k < w; k++)
        {
            int cell = back ? w - 1 - k : k;
            int from = (int)((int64_t)cell * grey->w / w);
            int to = (int)((int64_t)(cell + 1) * grey->w / w);

            if (cells[cell] == RIM)
                beside = wipe_rim(row, above, from, to, back, beside);
            else
            {
                beside = cells[cell] == AROUND;
                memset(above + from, beside, to - from);
                if (beside)
                    memset(row + from, 255, to - from);
            }
        }
    }
}

void
sheet_threshold(Sheet *s)
{
    s->otsu = otsu(s->grey, (size_t)s->w * s->h);
    s->threshold = pale(s->otsu);
}

bool
sheet_make(const Image *page, int reduce, bool clear, Ticker *ticker, Arena *arena, Sheet *out)
{
    Plane grey, level;
    uint8_t *around = NULL;
    bool *above;
    int w, h;

    if (!grey_plane(page, reduce, ticker, arena, &grey) ||
        (clear && !screens_lift(grey.px, grey.w, grey.h, arena)) ||
        (clear && !tints_lift(grey.px, grey.w, grey.h, arena)))
        return false;
    w = grey.w / REDUCE > 1 ? grey.w / REDUCE : 1;
    h = grey.h / REDUCE > 1 ? grey.h / REDUCE : 1;
    above = arena_array(arena, grey.w, sizeof(bool));
    if (!above || !reduce_plane(&grey, w, h, ticker, arena, &level) ||
        (clear && !surround_lift(level.px, w, h, arena, &around)) || !bright_level(&level, arena) ||
        !divide(&grey, &level, ticker, arena))
        return false;
    for (int back = 0; around && back < 2; back++)
        wipe_around(&grey, around, w, h, back, above);
    *out = (Sheet){grey.w, grey.h, grey.px, 0, 0};
    sheet_threshold(out);
    return true;
}

bool
sheet_turn(const Sheet *in, int degrees, Arena *arena, Sheet *out)
{
    bool across = degrees == 90 || degrees == 270;
    Plane p;

    if (degrees == 0)
    {
        *out = *in;
        return true;
    }
    if (!plane_new(&p, across ? in->h : in->w, across ? in->w : in->h, arena))
        return false;
    for (int y = 0; y < p.h; y++)
    {
        uint8_t *to = p.px + (size_t)y * p.w;
        const uint8_t *from = degrees == 90    ? in->grey + (size_t)(in->h - 1) * in->w + y
                              : degrees == 180 ? in->grey + (size_t)(in->h - y) * in->w - 1
                                               : in->grey + (in->w - 1 - y);
        ptrdiff_t step = degrees == 90 ? -(ptrdiff_t)in->w : degrees == 180 ? -1 : in->w;

        for (int x = 0; x < p.w; x++, from += step)
            to[x] = *from;
    }
    *out = (Sheet){p.w, p.h, p.px, in->threshold, in->otsu};
    return true;
}

/* Four neighbours, weights of 8 bits. x, y in 1/256 pixels. */
static inline uint8_t
sample_inside(const Sheet *s, int x, int y)
{
    int fx = x & 255, fy = y & 255;
    const uint8_t *p = s->grey + (size_t)(y >> 8) * s->w + (x >> 8), *q = p + s->w;

    return ((p[0] * (256 - fx) + p[1] * fx) * (256 - fy) + (q[0] * (256 - fx) + q[1] * fx) * fy +
            32768) >>
           16;
}

/* White outside. */
static inline uint8_t
sample(const Sheet *s, int x, int y)
{
    int ix = x >> 8, iy = y >> 8;

    return ix < 0 || iy < 0 || ix >= s->w - 1 || iy >= s->h - 1 ? 255 : sample_inside(s, x, y);
}

/* 16 samples between the rows p and q, each a column further on than the one before: a compiler takes them at once, where
 * all are in whole numbers of 16 bits. x, y: of the first, the places after its column and row, in 1/65536 pixels. */
static void
between_rows(const uint8_t *p, const uint8_t *q, uint16_t x, uint16_t y, uint16_t dx, uint16_t dy,
             uint8_t *to)
{
    uint8_t out[16];

    for (int i = 0; i < 16; i++)
    {
        uint16_t fx = (uint16_t)(x + i * dx) >> 8, fy = (uint16_t)(y + i * dy) >> 8;
        uint16_t rest = (uint16_t)(256 - fy);
        uint16_t above = (uint16_t)(p[i] * (256 - fx) + p[i + 1] * fx);
        uint16_t below = (uint16_t)(q[i] * (256 - fx) + q[i + 1] * fx);

        out[i] = (uint8_t)(((uint32_t)above * rest + (uint32_t)below * fy + 32768) >> 16);
    }
    memcpy(to, out, 16);
}

/* 16 samples from (x, y) on, in 1/65536 pixels, if all they see lies in the sheet; dx is a pixel or less, so that they
 * see 17 columns. Most see nothing but paper. */
static bool
sample_16(const Sheet *s, int64_t x, int64_t y, int64_t dx, int64_t dy, uint8_t *to)
{
    int64_t last = y + 15 * dy, left = x >> 16;
    int64_t top = (y < last ? y : last) >> 16, bottom = ((y < last ? last : y) >> 16) + 1;
    uint64_t all = ~(uint64_t)0;

    if (dx < 0 || left < 0 || top < 0 || left + 17 > s->w || bottom >= s->h)
        return false;
    for (int64_t v = top; v <= bottom; v++)
    {
        const uint8_t *p = s->grey + (size_t)v * s->w + left;
        uint64_t eight[3];

        memcpy(eight, p, 16);
        memcpy(eight + 2, p + 9, 8);
        all &= eight[0] & eight[1] & eight[2];
    }
    if (all == ~(uint64_t)0)
        memset(to, 255, 16);
    else if (bottom == top + 1 && (x + 15 * dx) >> 16 == left + 15)
    {
        const uint8_t *p = s->grey + (size_t)top * s->w + left;

        between_rows(p, p + s->w, (uint16_t)x, (uint16_t)y, (uint16_t)(dx - 65536), (uint16_t)dy,
                     to);
    }
    else
        for (int i = 0; i < 16; i++, x += dx, y += dy)
            to[i] = sample_inside(s, (int)(x >> 8), (int)(y >> 8));
    return true;
}

bool
sheet_straighten(const Sheet *in, float degrees, Ticker *ticker, Arena *arena, Sheet *out)
{
    double a = degrees * M_PI / 180, c = cos(a), s = sin(a);
    int w = (int)ceil(in->w * c + in->h * fabs(s)), h = (int)ceil(in->h * c + in->w * fabs(s));
    Plane p;

    if (!plane_new(&p, w, h, arena))
        return false;
    for (int y = 0; y < h; y++)
    {
        double u = 0.5 - w / 2.0, v = y + 0.5 - h / 2.0;
        int64_t x0 = (int64_t)((c * u + s * v + in->w / 2.0 - 0.5) * 65536);
        int64_t y0 = (int64_t)((c * v - s * u + in->h / 2.0 - 0.5) * 65536);
        int64_t dx = (int64_t)(c * 65536), dy = (int64_t)(-s * 65536);
        uint8_t *to = p.px + (size_t)y * w;

        if (y % TICK_ROWS == 0 && !go_on(ticker))
            return false;
        for (int x = 0, n; x < w; x += n, x0 += n * dx, y0 += n * dy)
        {
            n = w - x < 16 ? w - x : 16;
            if (n == 16 && sample_16(in, x0, y0, dx, dy, to + x))
                continue;
            for (int i = 0; i < n; i++)
                to[x + i] = sample(in, (int)((x0 + i * dx) >> 8), (int)((y0 + i * dy) >> 8));
        }
    }
    *out = (Sheet){w, h, p.px, in->threshold, in->otsu};
    return true;
}

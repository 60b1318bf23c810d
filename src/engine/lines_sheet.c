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
#define PALEST     190 /* ink is never taken to be paler, unless Otsu says so */
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

/* The window of source pixels that output i averages. */
static void
box_window(int i, int from, int to, int *a, int *b)
{
    double scale = (double)from / to, middle = (i + 0.5) * scale;

    *a = (int)(middle - scale / 2 + 0.5);
    *b = (int)(middle + scale / 2 + 0.5);
    if (*b > from)
        *b = from;
    if (*a >= *b)
        *a = *b - 1;
}

/* Area mean along rows (step 1) or columns (step = width), rounded to bytes. */
static uint8_t
box_mean(const uint8_t *px, int n, int step)
{
    uint32_t weight = (uint32_t)(0.5 + (1.0 / n) * (1 << 22)), sum = 0;

    for (int i = 0; i < n; i++)
        sum += px[(size_t)i * step];
    return (uint8_t)(((uint64_t)sum * weight + (1 << 21)) >> 22);
}

static bool
reduce_plane(const Plane *in, int w, int h, Ticker *ticker, Arena *arena, Plane *out)
{
    Plane wide;
    int a, b;

    if (!plane_new(&wide, w, in->h, arena) || !plane_new(out, w, h, arena))
        return false;
    for (int y = 0; y < in->h; y++)
    {
        if (y % TICK_ROWS == 0 && !go_on(ticker))
            return false;
        for (int x = 0; x < w; x++)
        {
            box_window(x, in->w, w, &a, &b);
            wide.px[(size_t)y * w + x] = box_mean(in->px + (size_t)y * in->w + a, b - a, 1);
        }
    }
    for (int y = 0; y < h; y++)
    {
        box_window(y, in->h, h, &a, &b);
        for (int x = 0; x < w; x++)
            out->px[(size_t)y * w + x] = box_mean(wide.px + (size_t)a * w + x, b - a, w);
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

    for (int i = 0; i < n; i++)
        tmp[i] = px[(size_t)i * step];
    for (int i = 0; i < n; i++)
    {
        uint32_t sum = 0;
        int far_a = i - r - 1 < 0 ? 0 : i - r - 1, far_b = i + r + 1 >= n ? n - 1 : i + r + 1;

        for (int k = i - r; k <= i + r; k++)
            sum += tmp[k < 0 ? 0 : k >= n ? n - 1 : k];
        px[(size_t)i * step] = (sum * whole + (tmp[far_a] + tmp[far_b]) * edge + (1 << 23)) >> 24;
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
        const uint8_t *a, *b;
        uint8_t *g = grey->px + (size_t)y * grey->w;

        if (y % TICK_ROWS == 0 && !go_on(ticker))
            return false;
        between(y, wide.h, grey->h, &at, &f);
        a = wide.px + (size_t)at * wide.w;
        b = f ? a + wide.w : a;
        for (int x = 0; x < grey->w; x++)
            g[x] = table[((a[x] * (256 - f) + b[x] * f + 128) >> 8) << 8 | g[x]];
    }
    return true;
}

static int
otsu(const uint8_t *px, size_t n)
{
    uint32_t hist[256] = {0};
    double mean = 0, w = 0, m = 0, best = -1;
    int at = 0;

    for (size_t i = 0; i < n; i++)
        hist[px[i]]++;
    for (int i = 0; i < 256; i++)
        mean += (double)hist[i] / n * i;
    for (int i = 0; i < 256; i++)
    {
        double p = (double)hist[i] / n, v;

        w += p;
        m += p * i;
        v = (mean * w - m) * (mean * w - m) / (w * (1 - w) + 1e-9);
        if (v > best + 1e-9)
        {
            best = v;
            at = i;
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

bool
sheet_make(const Image *page, int reduce, Ticker *ticker, Arena *arena, Sheet *out)
{
    Plane grey, level;
    int w, h;

    if (!grey_plane(page, reduce, ticker, arena, &grey))
        return false;
    w = grey.w / REDUCE > 1 ? grey.w / REDUCE : 1;
    h = grey.h / REDUCE > 1 ? grey.h / REDUCE : 1;
    if (!reduce_plane(&grey, w, h, ticker, arena, &level) || !bright_level(&level, arena) ||
        !divide(&grey, &level, ticker, arena))
        return false;
    *out = (Sheet){grey.w, grey.h, grey.px, 0, otsu(grey.px, (size_t)grey.w * grey.h)};
    out->threshold = pale(out->otsu);
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

/* Four neighbours, weights of 8 bits; white outside. x, y in 1/256 pixels. */
static inline uint8_t
sample(const Sheet *s, int x, int y)
{
    int ix = x >> 8, iy = y >> 8, fx = x & 255, fy = y & 255;
    const uint8_t *p;

    if (ix < 0 || iy < 0 || ix >= s->w - 1 || iy >= s->h - 1)
        return 255;
    p = s->grey + (size_t)iy * s->w + ix;
    if ((p[0] & p[1] & p[s->w] & p[s->w + 1]) == 255) /* paper, nearly always */
        return 255;
    return ((p[0] * (256 - fx) + p[1] * fx) * (256 - fy) +
            (p[s->w] * (256 - fx) + p[s->w + 1] * fx) * fy + 32768) >>
           16;
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
        for (int x = 0; x < w; x++, x0 += dx, y0 += dy)
            to[x] = sample(in, (int)(x0 >> 8), (int)(y0 >> 8));
    }
    *out = (Sheet){w, h, p.px, in->threshold, in->otsu};
    return true;
}

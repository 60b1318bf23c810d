/* lines_pixels_test.c - the line finder's loops over pixels give what their plain definitions give, to the byte: the
 * sheet, its runs of ink, the straightened sheet, and the views of a leaning, bent line. */
#include "check.h"

#include "lines_inner.h"

static Arena arena;
static uint32_t seed = 1;

static int
draw(int n)
{
    seed = seed * 1664525 + 1013904223;
    return (int)((seed >> 8) % (uint32_t)n);
}

/* Shaded paper with noise, or clean, and marks on it. */
static Image
page(int w, int h, int channels, bool clean)
{
    Image p = {.width = w, .height = h, .channels = channels};
    size_t row = (size_t)w * channels;

    p.pixels = arena_alloc(&arena, row * h);
    for (size_t i = 0; i < row * h; i++)
        p.pixels[i] = clean ? 255 : (uint8_t)(150 + i % row * 90 / row + draw(14));
    for (int k = 0; k < w * h / 300; k++)
    {
        int x = draw(w), y = draw(h), length = 1 + draw(w / 3 < 9 ? w / 3 + 1 : 9);

        for (int i = 0; i < length * channels && x * channels + i < (int)row; i++)
            p.pixels[y * row + (size_t)x * channels + i] = (uint8_t)draw(200);
    }
    return p;
}

/* ---- the sheet ---- */

typedef struct Map
{
    int w, h;
    uint8_t *px;
} Map;

static Map
map(int w, int h)
{
    return (Map){w, h, arena_alloc(&arena, (size_t)w * h)};
}

static Map
plain_grey(const Image *p)
{
    Map m = map(p->width, p->height);

    for (int i = 0; i < m.w * m.h; i++)
    {
        const uint8_t *in = p->pixels + (size_t)i * p->channels;

        m.px[i] = p->channels == 1
                      ? in[0]
                      : (in[0] * 19595u + in[1] * 38470u + in[2] * 7471u + 0x8000u) >> 16;
    }
    return m;
}

/* Output i of `to`: the mean of its share of `from` pixels that are `step` apart. */
static uint8_t
plain_mean(const uint8_t *px, int step, int i, int from, int to)
{
    double scale = (double)from / to, middle = (i + 0.5) * scale;
    int a = (int)(middle - scale / 2 + 0.5), b = (int)(middle + scale / 2 + 0.5);
    uint64_t sum = 0;

    b = b > from ? from : b;
    a = a >= b ? b - 1 : a;
    for (int k = a; k < b; k++)
        sum += px[(size_t)k * step];
    return (uint8_t)((sum * (uint32_t)(0.5 + (1.0 / (b - a)) * (1 << 22)) + (1 << 21)) >> 22);
}

static Map
plain_reduced(const Map *grey)
{
    int w = grey->w / 8 > 1 ? grey->w / 8 : 1, h = grey->h / 8 > 1 ? grey->h / 8 : 1;
    Map wide = map(w, grey->h), out = map(w, h);

    for (int y = 0; y < grey->h; y++)
        for (int x = 0; x < w; x++)
            wide.px[y * w + x] = plain_mean(grey->px + (size_t)y * grey->w, 1, x, grey->w, w);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            out.px[y * w + x] = plain_mean(wide.px + x, w, y, grey->h, h);
    return out;
}

static int
at_edge(int i, int n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

/* The maximum of five (blur false) or a box of radius 3.4375 along one direction. */
static void
plain_filter(Map *m, bool down, bool blur)
{
    int n = down ? m->h : m->w, step = down ? m->w : 1;
    uint32_t whole = (uint32_t)((1 << 24) / 7.875), edge = ((1 << 24) - 7 * whole) / 2;
    uint8_t *old = arena_alloc(&arena, (size_t)m->w * m->h);

    memcpy(old, m->px, (size_t)m->w * m->h);
    for (int line = 0; line < (down ? m->w : m->h); line++)
        for (int i = 0; i < n; i++)
        {
            const uint8_t *px = old + (size_t)line * (down ? 1 : m->w);
            uint32_t sum = 0, most = 0;

            for (int k = i - 3; k <= i + 3; k++)
                sum += px[(size_t)at_edge(k, n) * step];
            for (int k = i - 2; k <= i + 2; k++)
                most = px[(size_t)at_edge(k, n) * step] > most ? px[(size_t)at_edge(k, n) * step]
                                                               : most;
            sum = sum * whole + (1 << 23) +
                  (px[(size_t)at_edge(i - 4, n) * step] + px[(size_t)at_edge(i + 4, n) * step]) *
                      edge;
            m->px[(size_t)line * (down ? 1 : m->w) + (size_t)i * step] =
                (uint8_t)(blur ? sum >> 24 : most);
        }
}

static void
plain_between(int i, int from, int to, int *at, int *weight)
{
    double v = fmin(fmax((i + 0.5) * from / to - 0.5, 0), from - 1);

    *at = (int)v < from - 1 ? (int)v : from - 2;
    *at = *at < 0 ? 0 : *at;
    *weight = from > 1 ? (int)lrint((v - *at) * 256) : 0;
}

static uint8_t
plain_level(const Map *level, int x, int y, int w, int h)
{
    int at, down, f, g, mixed[2];

    plain_between(x, level->w, w, &at, &f);
    plain_between(y, level->h, h, &down, &g);
    for (int i = 0; i < 2; i++)
    {
        const uint8_t *p = level->px + (size_t)(down + (g && i)) * level->w + at;

        mixed[i] = (p[0] * (256 - f) + p[f > 0] * f + 128) >> 8;
    }
    return (uint8_t)((mixed[0] * (256 - g) + mixed[1] * g + 128) >> 8);
}

static Map
plain_sheet(const Image *p)
{
    Map grey = plain_grey(p), level = plain_reduced(&grey);

    plain_filter(&level, false, false);
    plain_filter(&level, true, false);
    for (int k = 0; k < 6; k++)
        plain_filter(&level, k >= 3, true);
    for (int y = 0; y < grey.h; y++)
        for (int x = 0; x < grey.w; x++)
        {
            int l = plain_level(&level, x, y, grey.w, grey.h), at = y * grey.w + x;
            int v = grey.px[at] * 255 / (l < 40 ? 40 : l);

            grey.px[at] = (uint8_t)(v > 255 ? 255 : v);
        }
    return grey;
}

static void
sheets(void)
{
    static const int sizes[][2] = {{1, 1},   {5, 70},  {17, 9},    {16, 33},
                                   {63, 40}, {130, 7}, {333, 251}, {640, 480}};
    int same = 0;

    for (int i = 0; i < 8; i++)
        for (int clean = 0; clean < 2; clean++)
        {
            Image p = page(sizes[i][0], sizes[i][1], i % 2 ? 3 : 1, clean);
            Map want = plain_sheet(&p);
            Sheet s;

            same += sheet_make(&p, 1, false, NULL, &arena, &s) && s.w == want.w && s.h == want.h &&
                    memcmp(s.grey, want.px, (size_t)s.w * s.h) == 0;
        }
    promise("sheets are what filter, blur and division give, pixel by pixel", same == 16);
}

/* ---- runs ---- */

static bool
same_runs(const Sheet *s, const uint8_t *rules)
{
    Parts p;
    int n = sheet_count_runs(s, rules), at = 0;

    if (!parts_find(s, rules, n, &arena, &p) || p.nruns != n)
        return false;
    for (int y = 0; y < s->h; y++)
        for (int x = 0, from; x < s->w;)
        {
            const uint8_t *row = s->grey + (size_t)y * s->w, *rule = rules ? rules + y * s->w : row;

            for (from = x++; x < s->w && (row[x] <= s->threshold) == (row[from] <= s->threshold);)
                if (rules && !rule[x] != !rule[from])
                    break;
                else
                    x++;
            if (row[from] > s->threshold)
                continue;
            if (at >= n || p.runs[at].x0 != from || p.runs[at].x1 != x ||
                p.runs[at].rule != (rules && rule[from]))
                return false;
            at++;
        }
    return at == n;
}

/* Pixels of rules, in stretches and alone. */
static uint8_t *
some_rules(int w, int h)
{
    Map m = map(w, h);

    for (int i = 0; i < w * h; i++)
        m.px[i] = i % 2 || i % w == 0 ? (uint8_t)(draw(3) * 127) : m.px[i - 1];
    return m.px;
}

static void
runs(void)
{
    int same = 0, all = 0, ruled = 0;

    for (int w = 1; w <= 70; w++)
        for (int k = 0; k < 4; k++, all++)
        {
            Image p = page(w, 9, 1, k < 2);
            Sheet s = {w, 9, p.pixels, k % 2 ? 199 : draw(256), 0};

            same += same_runs(&s, NULL);
            ruled += same_runs(&s, some_rules(w, 9));
        }
    promise("runs of ink are those found pixel by pixel", same == all);
    promise("runs of ink, where rules are known, too", ruled == all);
}

/* ---- straightened ---- */

static uint8_t
plain_turned(const Sheet *s, int x, int y)
{
    int ix = x >> 8, iy = y >> 8, fx = x & 255, fy = y & 255;
    const uint8_t *p = s->grey + (ptrdiff_t)iy * s->w + ix;

    if (ix < 0 || iy < 0 || ix >= s->w - 1 || iy >= s->h - 1)
        return 255;
    return (uint8_t)(((p[0] * (256 - fx) + p[1] * fx) * (256 - fy) +
                      (p[s->w] * (256 - fx) + p[s->w + 1] * fx) * fy + 32768) >>
                     16);
}

static bool
same_straightened(const Sheet *in, float degrees)
{
    double a = degrees * M_PI / 180, c = cos(a), s = sin(a);
    int64_t dx = (int64_t)(c * 65536), dy = (int64_t)(-s * 65536);
    Sheet out;

    if (!sheet_straighten(in, degrees, NULL, &arena, &out))
        return false;
    for (int y = 0; y < out.h; y++)
    {
        double u = 0.5 - out.w / 2.0, v = y + 0.5 - out.h / 2.0;
        int64_t x0 = (int64_t)((c * u + s * v + in->w / 2.0 - 0.5) * 65536);
        int64_t y0 = (int64_t)((c * v - s * u + in->h / 2.0 - 0.5) * 65536);

        for (int x = 0; x < out.w; x++)
            if (out.grey[(size_t)y * out.w + x] !=
                plain_turned(in, (int)((x0 + x * dx) >> 8), (int)((y0 + x * dy) >> 8)))
                return false;
    }
    return true;
}

static void
straightened(void)
{
    static const float angles[] = {0, 0.05f, -0.3f, 2, -7.5f, 10, 45, -80, 100};
    int same = 0;

    for (int i = 0; i < 9; i++)
        for (int clean = 0; clean < 2; clean++)
        {
            Image p = page(150 + draw(40), 90 + draw(30), 1, clean);
            Sheet s = {p.width, p.height, p.pixels, 128, 128};

            same += same_straightened(&s, angles[i]);
        }
    promise("a straightened sheet is what its pixels are one by one", same == 18);
}

/* ---- views ---- */

static const LineShape shape = {256, 32, 11, 23};

static uint8_t
plain_sample(const Sheet *s, double x, double y)
{
    const uint8_t *p, *q;
    double a, b;
    int ix, iy, jx;

    if (!(x >= 0 && y >= 0 && x < s->w && y < s->h))
        return 255;
    ix = (int)floor(x - 0.5);
    iy = (int)floor(y - 0.5);
    jx = at_edge(ix + 1, s->w);
    p = s->grey + (size_t)at_edge(iy, s->h) * s->w;
    q = s->grey + (size_t)at_edge(iy + 1, s->h) * s->w;
    a = p[at_edge(ix, s->w)] + (p[jx] - p[at_edge(ix, s->w)]) * (x - 0.5 - ix);
    b = q[at_edge(ix, s->w)] + (q[jx] - q[at_edge(ix, s->w)]) * (x - 0.5 - ix);
    return (uint8_t)(a + (b - a) * (y - 0.5 - iy));
}

/* The strip in the reader's scale, [32, *n]. */
static uint8_t *
plain_strip(const Sheet *s, const Strip *t, int *n)
{
    double k = (double)shape.x_height / t->x_height, top = t->baseline - shape.baseline / k;
    int m = (int)(6 / k) + 1, fine = (int)fmax(1, (int)(1 / k)), half = fine / 2;
    int left = (int)fmax(0, fmin(s->w, floor(t->x0) - m));
    int right = (int)fmax(left, fmin(s->w, ceil(t->x1) + m));
    double ax, ay = (top + shape.view_h / k - top) / (shape.view_h * fine);
    uint8_t *strip;

    *n = (int)fmax(8, (int)((right - left) * k));
    ax = (double)(right - left) / (*n * fine);
    strip = arena_alloc(&arena, (size_t)shape.view_h * *n);
    for (int i = 0; i < shape.view_h * *n; i++)
    {
        uint32_t sum = 0;

        for (int down = 0; down < fine; down++)
        {
            uint32_t row = 0;

            for (int across = 0; across < fine; across++)
            {
                double u = (i % *n * fine + across + 0.5) * ax, from = u - (t->middle - left);
                double b = fmax(-1, fmin(1, from / fmax(1, t->half)));
                double bend = (t->bend[0] + t->bend[1] * b) * b * b;

                row += plain_sample(s, left + u,
                                    top + (i / *n * fine + down + 0.5) * ay +
                                        (t->slope * from + bend));
            }
            sum += (row + half) / fine;
        }
        strip[i] = (uint8_t)((sum + half) / fine);
    }
    return strip;
}

/* Whether the view is the strip's columns from some one on, and white after its end. */
static bool
shows(const View *v, const uint8_t *strip, int n)
{
    for (int from = 0; from < n; from++)
    {
        bool same = true;

        for (int y = 0; y < v->height && same; y++)
            for (int x = 0; x < v->width && same; x++)
                same = v->pixels[y * v->width + x] ==
                       (from + x < n ? strip[(size_t)y * n + from + x] : 255);
        if (same)
            return true;
    }
    return false;
}

static void
views(void)
{
    int same = 0;

    for (int i = 0; i < 24; i++)
    {
        float x_height = 6 + (float)draw(400) / 10; /* up to four samples for a pixel */
        Image p = page((int)(x_height * 18), (int)(x_height * 5), 1, i % 2);
        Sheet s = {p.width, p.height, p.pixels, 128, 254}; /* all is ink that is not white */
        Strip t = {.x0 = i % 3 ? x_height * 2 : 0,
                   .x1 = i % 5 ? x_height * 16 : p.width,
                   .x_height = x_height,
                   .middle = x_height * 9,
                   .half = x_height * 8,
                   .baseline = x_height * 3,
                   .slope = (float)(draw(100) - 50) / 1000,
                   .bend = {(float)(draw(9) - 4), (float)(draw(9) - 4)}};
        int n;
        uint8_t *strip = plain_strip(&s, &t, &n);
        Cut cut;

        same += strip_cut(&s, &t, &shape, &arena, &cut) && cut.n == 1 &&
                shows(&cut.views[0].view, strip, n);
    }
    promise("views of leaning, bent lines are what their pixels are one by one", same == 24);
}

int
main(void)
{
    sheets();
    runs();
    straightened();
    views();
    arena_free(&arena);
    return report();
}

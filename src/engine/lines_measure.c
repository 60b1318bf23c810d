/* lines_measure.c - where a row's baseline is, how tall its x is, and whether it is writing at all.
 *
 * The x-height band is where a row of pixels crosses most strokes: the profile of dark-light changes, not
 * of darkness. Sharp edge: a row of capitals or figures has a band, too; it is told by nothing rising
 * above it, and its x-height is reckoned from its height. */
#include "lines_inner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL      0.45f /* of the profile's high level: where the band ends */
#define X_OF_CAPS  0.72f
#define BENT       20 /* so many feet show that a baseline is bent, */
#define BENT_WIDE  8  /* over twice so many letter heights, */
#define BENT_ENDS  3  /* with so many in its first and last sixth */
#define MOST_SLOPE 0.08f
#define LEAST_X    0.57f /* of the height of a letter that rises or hangs far is x's */
#define NEAR       3     /* so many members before or after it a letter's other half is */
#define EDGE                                                                                       \
    0.35f /* from the crossing of LEVEL to the edge, the profile being a mean of three rows */

static float
quantile(float *v, int n, float q)
{
    qsort(v, n, sizeof(float), by_float);
    return n ? v[(int)(q * (n - 1) + 0.5f)] : 0;
}

/* Letters of a row that stand on its baseline as far as one can tell: middle x and lower edge. */
typedef struct Feet
{
    int n;
    float *x, *y;
} Feet;

static void
fit(const Feet *f, const bool *use, float *slope, float *at0)
{
    double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0, d;

    for (int i = 0; i < f->n; i++)
        if (use[i])
        {
            n++;
            sx += f->x[i];
            sy += f->y[i];
            sxx += (double)f->x[i] * f->x[i];
            sxy += (double)f->x[i] * f->y[i];
        }
    d = n * sxx - sx * sx;
    *slope = d > 0 ? (float)((n * sxy - sx * sy) / d) : 0;
    *at0 = n > 0 ? (float)((sy - *slope * sx) / n) : 0;
}

/* A line through the letters' feet; descenders, being below it, are left out step by step. */
static float
slope_of(const Feet *f, float size, bool *use, float *tmp)
{
    float slope = 0, at0, left = 1e9f, right = -1e9f;
    int used = f->n;

    for (int i = 0; i < f->n; i++)
    {
        left = f->x[i] < left ? f->x[i] : left;
        right = f->x[i] > right ? f->x[i] : right;
    }
    if (f->n < 6 || right - left < 6 * size)
        return 0;
    memcpy(tmp, f->y, sizeof(float) * f->n);
    at0 = quantile(tmp, f->n, 0.5f);
    for (int round = 0; round < 4; round++)
    {
        float limit = round < 2 ? 0.35f * size : 0.12f * size + 0.7f;

        used = 0;
        for (int i = 0; i < f->n; i++)
            used += use[i] = fabsf(f->y[i] - at0 - slope * f->x[i]) <=
                             limit + (round == 0 ? 0.02f * (right - left) : 0);
        if (used < 5)
            return 0;
        fit(f, use, &slope, &at0);
    }
    return fabsf(slope) < 0.05f ? slope : 0;
}

/* Solves the 4 x 4 equations m x = v by elimination; false when they say nothing. */
static bool
solve(double m[4][5], double *x)
{
    for (int k = 0; k < 4; k++)
    {
        int at = k;

        for (int i = k + 1; i < 4; i++)
            at = fabs(m[i][k]) > fabs(m[at][k]) ? i : at;
        if (fabs(m[at][k]) < 1e-6)
            return false;
        for (int j = 0; j < 5; j++)
        {
            double v = m[k][j];

            m[k][j] = m[at][j];
            m[at][j] = v;
        }
        for (int i = 0; i < 4; i++)
            for (int j = 4; i != k && j >= k; j--)
                m[i][j] -= m[i][k] / m[k][k] * m[k][j];
    }
    for (int k = 0; k < 4; k++)
        x[k] = m[k][4] / m[k][k];
    return true;
}

static double
curve_at(const double *c, double t)
{
    return c[0] + t * (c[1] + t * (c[2] + t * c[3]));
}

/* A cubic through the feet that are in use; c: [4] by powers of (x - middle) / half. */
static bool
fit_curve(const Feet *f, const bool *use, float middle, float half, double *c)
{
    double m[4][5] = {{0}};

    for (int i = 0; i < f->n; i++)
    {
        double power[7] = {1}, t = (f->x[i] - middle) / half;

        for (int k = 1; k < 7; k++)
            power[k] = power[k - 1] * t;
        for (int k = 0; use[i] && k < 4; k++)
        {
            for (int j = 0; j < 4; j++)
                m[k][j] += power[k + j];
            m[k][4] += power[k] * f->y[i];
        }
    }
    return solve(m, c);
}

/* Whether enough of the feet in use are at both ends, where a curve would else go anywhere. */
static bool
both_ends(const Feet *f, const bool *use, float middle, float half)
{
    int left = 0, right = 0;

    for (int i = 0; i < f->n; i++)
    {
        left += use[i] && f->x[i] < middle - 0.67f * half;
        right += use[i] && f->x[i] > middle + 0.67f * half;
    }
    return left >= BENT_ENDS && right >= BENT_ENDS;
}

static int
feet_on(const Feet *f, const double *c, float middle, float half, float limit, bool *use)
{
    int n = 0;

    for (int i = 0; i < f->n; i++)
        n += use[i] = fabs(f->y[i] - curve_at(c, (f->x[i] - middle) / half)) <= limit;
    return n;
}

/* The straight line of the row's slope with half of the feet over it. */
static void
straight_curve(const Feet *f, const Row *r, float middle, float half, float *tmp, double *c)
{
    for (int i = 0; i < f->n; i++)
        tmp[i] = f->y[i] - r->slope * (f->x[i] - middle);
    c[0] = quantile(tmp, f->n, 0.5f);
    c[1] = r->slope * half;
    c[2] = c[3] = 0;
}

/* Slope and bend of a baseline that is not straight, as near a book's gutter; not when the letters' feet lie as well
 * on a straight one. */
static void
bend(const Feet *f, Row *r, float size, bool *use, float *tmp)
{
    float middle = r->middle, half = r->half, close = 0.12f * size + 0.7f;
    double c[4];
    int straight, n = 0;

    if (f->n < BENT || half < BENT_WIDE * size)
        return;
    straight_curve(f, r, middle, half, tmp, c);
    straight = feet_on(f, c, middle, half, close, use);
    feet_on(f, c, middle, half, 0.8f * size, use);
    for (int round = 0; round < 6; round++)
    {
        if (!fit_curve(f, use, middle, half, c))
            return;
        n = feet_on(f, c, middle, half, round < 2 ? 0.35f * size : close, use);
        if (n < BENT || n * 2 < f->n || !both_ends(f, use, middle, half))
            return;
    }
    if (n < 1.15f * straight || fabs(c[1]) > MOST_SLOPE * half ||
        fabs(c[2]) + fabs(c[3]) > 2 * size)
        return;
    r->slope = (float)(c[1] / half);
    r->bend[0] = (float)c[2];
    r->bend[1] = (float)c[3];
}

/* How much lower the baseline is at x than in the middle. */
static float
fall(const Row *r, float x)
{
    float t = r->half > 0 ? (x - r->middle) / r->half : 0;

    t = t < -1 ? -1 : t > 1 ? 1 : t;
    return r->slope * (x - r->middle) + (r->bend[0] + r->bend[1] * t) * t * t;
}

float
row_foot(const Row *r, float x)
{
    return r->baseline + fall(r, x);
}

float
row_reach(const Row *r)
{
    return fabsf(r->slope) * r->half + fabsf(r->bend[0]) + fabsf(r->bend[1]);
}

typedef struct Profile
{
    int y0, n;
    float *p; /* [n] changes per pixel row of the straightened line */
} Profile;

static void
count_changes(const Parts *p, const Row *r, int row, Profile *out)
{
    int top = r->box.y0 > 0 ? r->box.y0 : 0, bottom = r->box.y1;

    memset(out->p, 0, sizeof(float) * out->n);
    for (int y = top; y < bottom; y++)
        for (int i = runs_from(p, y, r->box.x0); i < p->row_start[y + 1]; i++)
        {
            const Run *run = &p->runs[i];
            int a, b;

            if (run->x0 >= r->box.x1)
                break;
            if (p->parts[run->part].row != row || p->parts[run->part].kind == PART_TALL ||
                p->parts[run->part].leader)
                continue;
            a = (int)floorf(y - fall(r, run->x0) + 0.5f) - out->y0;
            b = (int)floorf(y - fall(r, run->x1) + 0.5f) - out->y0;
            if (a >= 0 && a < out->n)
                out->p[a]++;
            if (b >= 0 && b < out->n)
                out->p[b]++;
        }
}

static void
smooth(float *p, int n)
{
    float before = 0;

    for (int i = 0; i < n; i++)
    {
        float here = p[i], after = i + 1 < n ? p[i + 1] : 0;

        p[i] = (before + here + after) / 3;
        before = here;
    }
}

static float
mean(const float *p, int a, int b)
{
    float sum = 0;

    for (int i = a; i < b; i++)
        sum += p[i];
    return b > a ? sum / (b - a) : 0;
}

/* The run over the level with the largest sum. */
static bool
find_band(const Profile *f, float level, int *top, int *bottom)
{
    float best = 0;

    *top = *bottom = 0;
    for (int i = 0; i < f->n; i++)
    {
        int from = i;
        float sum = 0;

        while (i < f->n && f->p[i] > level)
            sum += f->p[i++];
        if (sum > best)
        {
            best = sum;
            *top = from;
            *bottom = i;
        }
    }
    return best > 0;
}

/* Where exactly the profile falls through the level between rows inside and outside. */
static float
crossing(const Profile *f, int inside, int outside, float level)
{
    float a = f->p[inside], b = outside < 0 || outside >= f->n ? 0 : f->p[outside];

    return a > b ? (a - level) / (a - b) : 0.5f;
}

/* True when next to nothing rises above the band. */
static bool
nothing_above(const Profile *f, int top, int bottom)
{
    int a = top - (bottom - top) / 2 > 0 ? top - (bottom - top) / 2 : 0, b = top - 2;

    return b <= a || mean(f->p, a, b) < 0.10f * mean(f->p, top, bottom);
}

static void
measure_band(Profile *f, float *tmp, Row *r)
{
    float level, above;
    int top, bottom;

    smooth(f->p, f->n);
    memcpy(tmp, f->p, sizeof(float) * f->n);
    level = LEVEL * quantile(tmp, f->n, 0.95f);
    if (!find_band(f, level, &top, &bottom))
        return;
    above = f->y0 + top + EDGE - crossing(f, top, top - 1, level);
    r->baseline = f->y0 + bottom - EDGE + crossing(f, bottom - 1, bottom, level) + 2 * EDGE - 1;
    r->x_height = r->baseline - (above + 1 - 2 * EDGE);
    r->caps = nothing_above(f, top, bottom);
}

/* The band is a part of the letters' height that no x is of any letter's: the bar of an H or the waist of an 8 ended it. It is
 * the letters' own, and that of capitals. heights: ascending. */
static void
mend_band(const Feet *f, const float *heights, float *tmp, Row *r)
{
    if (r->x_height >= LEAST_X * heights[0])
        return;
    for (int i = 0; i < f->n; i++)
        tmp[i] = f->y[i] - fall(r, f->x[i]);
    r->baseline = quantile(tmp, f->n, 0.5f);
    r->x_height = r->size;
    r->caps = true;
}

static int
gather_feet(const Parts *p, const Rows *rows, const Row *r, Feet *f, float *heights)
{
    f->n = 0;
    for (int i = 0; i < r->n; i++)
    {
        const Part *part = &p->parts[rows->members[r->first + i]];

        if (part->kind != PART_CORE)
            continue;
        f->x[f->n] = (part->box.x0 + part->box.x1) / 2.0f;
        f->y[f->n] = part->box.y1;
        heights[f->n++] = part->box.y1 - part->box.y0;
    }
    return f->n;
}

/* Upper and lower half of a letter that worn type or a faint ribbon broke in two: no paper to speak of lies between, and
 * the upper one is higher than an accent. */
static bool
are_halves(const Box *upper, const Box *lower)
{
    int left = upper->x0 > lower->x0 ? upper->x0 : lower->x0;
    int right = upper->x1 < lower->x1 ? upper->x1 : lower->x1;

    return upper->y0 < lower->y0 && upper->y1 >= lower->y0 - 1 && upper->y1 < lower->y1 &&
           2 * (right - left) > lower->x1 - lower->x0 &&
           2 * (right - left) > upper->x1 - upper->x0 &&
           2 * (upper->y1 - upper->y0) > lower->y1 - lower->y0;
}

/* Upper edge of the letter that member i is, or is the lower half of. */
static int
letter_top(const Parts *p, const int *members, int n, int i)
{
    const Box *b = &p->parts[members[i]].box;
    int top = b->y0;

    for (int k = i < NEAR ? 0 : i - NEAR; k < n && k <= i + NEAR; k++)
        if (are_halves(&p->parts[members[k]].box, b) && p->parts[members[k]].box.y0 < top)
            top = p->parts[members[k]].box.y0;
    return top;
}

/* Heights over the baseline of the letters that stand on it, ascending; returns how many. */
static int
heights_over(const Parts *p, const Rows *rows, const Row *r, float *out)
{
    int n = 0;

    for (int i = 0; i < r->n; i++)
    {
        const Part *part = &p->parts[rows->members[r->first + i]];
        float foot = row_foot(r, (part->box.x0 + part->box.x1) / 2.0f);

        if (part->kind == PART_CORE && fabsf(part->box.y1 - foot) < 0.2f * r->x_height + 0.5f)
            out[n++] = foot - letter_top(p, rows->members + r->first, r->n, i);
    }
    qsort(out, n, sizeof(float), by_float);
    return n;
}

/* Where letters come in two heights, those of x and of capitals: that of x. 0: they do not. */
static float
height_of_x(const float *h, int n)
{
    int few = n / 8 > 2 ? n / 8 : 2;
    float best = 1.08f, low = 0;

    for (int k = few; k + few <= n; k++)
    {
        float a = h[k / 2], b = h[(k + n) / 2];

        if (h[k] > best * h[k - 1] && h[k] - h[k - 1] > 1 && a > 0.55f * b && a < 0.86f * b)
        {
            best = h[k] / h[k - 1];
            low = a;
        }
    }
    return low;
}

/* The band is that of x or of capitals: letters of two heights tell which, else what rises above it. */
static void
settle_caps(const Parts *p, const Rows *rows, float *tmp, Row *r)
{
    int n = heights_over(p, rows, r, tmp), rising = 0;
    float x = height_of_x(tmp, n);

    if (x > 0.55f * r->x_height && x < 1.15f * r->x_height)
    {
        r->caps = false;
        if (x < 0.86f * r->x_height)
            r->x_height = x;
        return;
    }
    for (int i = 0; i < n; i++)
        rising += tmp[i] > 1.2f * r->x_height + 0.5f;
    r->caps = r->caps && rising * 8 <= r->ncore;
    if (r->caps)
        r->x_height *= X_OF_CAPS;
}

bool
row_measure(const Parts *p, const Rows *rows, int row, Row *r, Arena *arena)
{
    float *store = arena_array(arena, (size_t)r->n * 4 + 4, sizeof(float));
    bool *use = arena_array(arena, (size_t)r->n + 1, sizeof(bool));
    Feet feet = {0, store, store + r->n};
    float *heights = store ? store + 2 * r->n : NULL, *tmp;
    Profile f;

    if (!store || !use)
        return false;
    if (gather_feet(p, rows, r, &feet, heights) == 0)
        return true;
    r->middle = (r->box.x0 + r->box.x1) / 2.0f;
    r->half = (r->box.x1 - r->box.x0) / 2.0f;
    r->bend[0] = r->bend[1] = 0;
    r->slope = slope_of(&feet, p->size, use, store + 3 * r->n);
    r->size = quantile(heights, feet.n, 0.5f);
    bend(&feet, r, r->size, use, store + 3 * r->n);
    f.y0 = (int)(r->box.y0 - row_reach(r)) - 4;
    f.n = r->box.y1 - r->box.y0 + (int)(2 * row_reach(r)) + 8;
    f.p = arena_array(arena, (size_t)f.n * 2, sizeof(float));
    if (!f.p)
        return false;
    tmp = f.p + f.n;
    count_changes(p, r, row, &f);
    r->baseline = r->box.y1;
    r->x_height = r->size;
    r->caps = true;
    measure_band(&f, tmp, r);
    mend_band(&feet, heights, store + 3 * r->n, r);
    settle_caps(p, rows, heights, r);
    return true;
}

bool
rows_contrast(const Sheet *s, const Parts *p, Arena *arena, Rows *rows)
{
    double *sum = arena_array(arena, (size_t)rows->n + 1, sizeof(double));
    double *area = arena_array(arena, (size_t)rows->n + 1, sizeof(double));

    if (!sum || !area)
        return false;
    for (int y = 0; y < p->h; y++)
        for (int i = p->row_start[y]; i < p->row_start[y + 1]; i++)
        {
            const Run *run = &p->runs[i];
            int row = p->parts[run->part].row;

            if (row < 0)
                continue;
            sum[row] += run_darkness(s, run, y);
            area[row] += run->x1 - run->x0;
        }
    for (int i = 0; i < rows->n; i++)
        rows->rows[i].contrast = area[i] > 0 ? (float)(sum[i] / area[i]) : 0;
    return true;
}

bool
rows_measure(const Parts *p, Arena *arena, Rows *rows)
{
    for (int i = 0; i < rows->n; i++)
        if (!row_measure(p, rows, i, &rows->rows[i], arena))
            return false;
    return true;
}

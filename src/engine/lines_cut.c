/* lines_cut.c - a row of known place -> views.
 *
 * The strip around a row is brought to the reader's scale (x-height and baseline of LineShape) by bilinear
 * sampling and, when shrinking, an area mean; then it is cut at word gaps. Sharp edge: the strip's width is
 * a whole number of pixels, so its horizontal scale differs a little from its vertical one. */
#include "lines_inner.h"

#include <math.h>
#include <string.h>

#define MARGIN     4    /* a view begins this far before its first ink */
#define INK        140  /* at least this dark, whatever the page's threshold */
#define WORD_GAP   4    /* white columns; a cut through less goes through a word */
#define WIDE_GAP   16   /* a gap wider than this in a view's pixels is squeezed, if asked for, */
#define LEFT_GAP   12   /* to this */
#define LETTER_GAP 2    /* between letters of a word */
#define LEAST      12.5 /* view pixels from a typewriter's letter to the next, least */
#define MOST       20.0 /* and most */
#define FINE       0.25
#define OFF_PITCH  0.15 /* of it a letter's middle may be off its place, */
#define ON_PITCH   0.85 /* where so many are, */
#define FEW_STEPS  12   /* of at least so many steps from a letter to the next */
#define FAR_STEP   4.5  /* pitches; a longer one is not counted */
#define TOUCHING   1.15 /* pitches; no letter is as wide */
#define EMPTY      0.75 /* of a pitch; a gap as wide is no part of a word, but an empty place */
#define MAX_STRIDE (1 << 16)

typedef struct Piece
{
    int from, to; /* columns of the strip */
    bool glued;
} Piece;

typedef struct Stroke
{
    double middle; /* in the strip before it was squeezed */
    int wide;      /* columns of ink */
} Stroke;

/* Where samples of one column are taken. */
typedef struct Column
{
    int a, b;    /* the sheet's columns on both sides; a is -1 outside of the sheet */
    double f;    /* how far from a to b */
    double down; /* below where the middle has them */
} Column;

/* Bilinear, edges repeated, white outside of the sheet; truncates as Pillow does. */
static inline uint8_t
sample(const Sheet *s, const Column *c, double y)
{
    int iy, jy;
    double fy, a, b;
    const uint8_t *p, *q;

    if (!(c->a >= 0 && y >= 0 && y < s->h))
        return 255;
    y -= 0.5;
    iy = y < 0 ? -1 : (int)y;
    fy = y - iy;
    jy = iy + 1 < s->h ? iy + 1 : s->h - 1;
    p = s->grey + (size_t)(iy < 0 ? 0 : iy) * s->w;
    q = s->grey + (size_t)jy * s->w;
    if ((p[c->a] & p[c->b] & q[c->a] & q[c->b]) == 255) /* paper, mostly */
        return 255;
    a = p[c->a] + (p[c->b] - p[c->a]) * c->f;
    b = q[c->a] + (q[c->b] - q[c->a]) * c->f;
    return (uint8_t)(a + (b - a) * fy);
}

typedef struct Frame /* of the strip in the sheet */
{
    int left, right;                     /* sheet columns */
    double top, bottom;                  /* at `middle` */
    int n;                               /* columns of the strip */
    int fine;                            /* samples per strip pixel and direction */
    double slope, middle, half, bend[2]; /* the middle from `left` on */
} Frame;

static Frame
frame_of(const Sheet *s, const Strip *strip, const LineShape *shape)
{
    double k = (double)shape->x_height / strip->x_height;
    int m = (int)(6 / k) + 1;
    Frame f = {.slope = strip->slope, .bend = {strip->bend[0], strip->bend[1]}};

    f.left = (int)fmax(0, fmin(s->w, floor(strip->x0) - m));
    f.right = (int)fmax(f.left, fmin(s->w, ceil(strip->x1) + m));
    f.middle = strip->middle - f.left;
    f.half = fmax(1, strip->half);
    f.top = strip->baseline - shape->baseline / k;
    f.bottom = f.top + shape->view_h / k;
    f.n = (int)fmin(MAX_STRIDE, fmax(8, (int)((f.right - f.left) * k)));
    f.fine = (int)fmax(1, (int)(1 / k));
    return f;
}

/* How far the baseline is at column u of the frame from where it is in the middle. */
static double
shift(const Frame *f, double u)
{
    double t = fmax(-1, fmin(1, (u - f->middle) / f->half));

    return f->slope * (u - f->middle) + (f->bend[0] + f->bend[1] * t) * t * t;
}

static void
place_columns(const Sheet *s, const Frame *f, Column *columns)
{
    double ax = (double)(f->right - f->left) / (f->n * f->fine);

    for (int i = 0; i < f->n * f->fine; i++)
    {
        double u = (i + 0.5) * ax, x = f->left + u;
        int at = (int)floor(x - 0.5);

        if (!(x >= 0 && x < s->w))
            columns[i] = (Column){.a = -1};
        else
            columns[i] = (Column){at < 0 ? 0 : at, at + 1 < s->w ? at + 1 : s->w - 1, x - 0.5 - at,
                                  shift(f, u)};
    }
}

/* Fills strip [h, f->n]; columns: [f->n * f->fine]. */
static void
render(const Sheet *s, const Frame *f, int h, const Column *columns, uint8_t *strip, uint32_t *sums)
{
    double ay = (f->bottom - f->top) / (h * f->fine);
    int half = f->fine / 2;

    for (int y = 0; y < h; y++)
    {
        if (f->fine == 1)
        {
            double v = f->top + (y + 0.5) * ay;

            for (int x = 0; x < f->n; x++)
                strip[(size_t)y * f->n + x] = sample(s, &columns[x], v + columns[x].down);
            continue;
        }
        memset(sums, 0, sizeof(uint32_t) * f->n);
        for (int k = 0; k < f->fine; k++)
        {
            double v = f->top + (y * f->fine + k + 0.5) * ay;

            for (int x = 0; x < f->n; x++)
            {
                uint32_t row = 0;

                for (const Column *c = columns + x * f->fine; c < columns + (x + 1) * f->fine; c++)
                    row += sample(s, c, v + c->down);
                sums[x] += (row + half) / f->fine;
            }
        }
        for (int x = 0; x < f->n; x++)
            strip[(size_t)y * f->n + x] = (sums[x] + half) / f->fine;
    }
}

/* Columns with ink in the rows where letters are: 4 .. 28 of 32. */
static void
ink_columns(const uint8_t *strip, int n, int h, int threshold, uint8_t *ink)
{
    int level = threshold > INK ? threshold : INK;

    memset(ink, 0, n);
    for (int y = h / 8; y < h - (h * 3 + 31) / 32; y++)
        for (int x = 0; x < n; x++)
            ink[x] |= strip[(size_t)y * n + x] <= level;
}

/* Where a piece that starts at s and is wider than a view ends: in the widest gap, late ones first. word: the least gap
 * between words. */
static int
end_of_piece(const uint8_t *ink, int n, int s, int w, double word, bool *inside_word)
{
    double best = -1;
    int end = s + w;

    *inside_word = true;
    for (int i = s + w / 3; i < s + w; i++)
    {
        int j = i;
        double score;

        while (j < n && !ink[j])
            j++;
        if (j == i)
            continue;
        score = fmin(8 * (j - i) / fmax(8, word), 8) + (double)(i - s) / w * 6;
        if (score >= best)
        {
            best = score;
            end = (i + (j < s + w ? j : s + w)) / 2;
            *inside_word = j - i < word;
        }
        i = j;
    }
    return end;
}

static int
find_pieces(const uint8_t *ink, int n, int w, double word, Piece *out)
{
    int count = 0, s = 0;
    bool glued = false, inside;

    for (;;)
    {
        while (s < n && !ink[s])
            s++;
        if (s >= n)
            return count;
        s = s < MARGIN ? 0 : s - MARGIN;
        inside = false;
        out[count].from = s;
        out[count].glued = glued;
        s = n - s <= w ? n : end_of_piece(ink, n, s, w, word, &inside);
        out[count++].to = s;
        glued = inside;
    }
}

/* A strip as drawn: columns 0 .. n of rows that are frame.n long. */
typedef struct Drawn
{
    Frame frame;
    uint8_t *px;  /* [h, frame.n] */
    uint8_t *ink; /* [n] */
    int *column;  /* [n + 1] where each column was before squeezing */
    int n;
} Drawn;

/* What is left of a gap that ends before column x. Readers learned on single spaces, and none stands between the
 * letters of a form's boxes. */
static int
gap_left(const Drawn *d, const Strip *strip, int x, int white)
{
    double middle =
        d->frame.left + (x - white / 2.0) * (d->frame.right - d->frame.left) / (double)d->frame.n;

    for (int i = 0; i < strip->nclosed; i++)
        if (middle > strip->closed[i].x0 && middle < strip->closed[i].x1)
            return white < LETTER_GAP ? white : LETTER_GAP;
    return white > WIDE_GAP ? LEFT_GAP : white;
}

static void
squeeze(Drawn *d, const Strip *strip, int h)
{
    int to = 0, white = 0;

    for (int x = 0; x < d->n; x++)
    {
        white = d->ink[x] ? 0 : white + 1;
        d->ink[to] = d->ink[x];
        d->column[to] = x;
        for (int y = 0; y < h; y++)
            d->px[(size_t)y * d->frame.n + to] = d->px[(size_t)y * d->frame.n + x];
        to++;
        if (x + 1 < d->n && d->ink[x + 1] && to > white)
            to -= white - gap_left(d, strip, x + 1, white);
    }
    d->column[to] = d->n;
    d->n = to;
}

static bool
draw(const Sheet *s, const Strip *strip, const LineShape *shape, Arena *arena, Drawn *d)
{
    Column *columns;
    uint32_t *sums;

    d->frame = frame_of(s, strip, shape);
    d->n = d->frame.n;
    d->px = arena_alloc(arena, (size_t)d->n * shape->view_h);
    d->ink = arena_alloc(arena, d->n);
    d->column = arena_array(arena, (size_t)d->n + 1, sizeof(int));
    sums = arena_alloc(arena, sizeof(uint32_t) * d->n);
    columns = arena_array(arena, (size_t)d->n * d->frame.fine, sizeof *columns);
    if (!d->px || !d->ink || !d->column || !sums || !columns)
        return false;
    place_columns(s, &d->frame, columns);
    render(s, &d->frame, shape->view_h, columns, d->px, sums);
    ink_columns(d->px, d->n, shape->view_h, s->otsu, d->ink);
    for (int x = 0; x <= d->n; x++)
        d->column[x] = x;
    if (strip->squeeze)
        squeeze(d, strip, shape->view_h);
    return true;
}

/* How many of the steps from one letter to the next go from place to place of a pitch, and of how many. */
static int
count_steps(const Stroke *strokes, int n, double pitch, int *all)
{
    int on = 0;

    *all = 0;
    for (int i = 0; i + 1 < n; i++)
    {
        double step = (strokes[i + 1].middle - strokes[i].middle) / pitch;

        if (step > FAR_STEP || strokes[i].wide > TOUCHING * pitch ||
            strokes[i + 1].wide > TOUCHING * pitch)
            continue;
        ++*all;
        on += step > 0.5 && fabs(step - floor(step + 0.5)) <= OFF_PITCH;
    }
    return on;
}

/* The pitch of a line whose letters have places of one width, as a typewriter's; 0: they have not. */
static double
pitch_of(const Stroke *strokes, int n)
{
    double best = ON_PITCH, pitch = 0;

    for (double p = LEAST; p <= MOST; p += FINE)
    {
        int all, on = count_steps(strokes, n, p, &all);

        if (all >= FEW_STEPS && on >= best * all)
        {
            best = (double)on / all;
            pitch = p;
        }
    }
    return pitch;
}

/* The least gap between the line's words. In places of one width an i or a full stop has more white beside it than other
 * type has between words. */
static bool
word_gap(const Drawn *d, Arena *arena, double *word)
{
    Stroke *strokes = arena_array(arena, (size_t)d->n / 2 + 1, sizeof(Stroke));
    double pitch;
    int n = 0;

    if (!strokes)
        return false;
    for (int i = 0, j; i < d->n; i = j)
    {
        for (j = i; j < d->n && d->ink[j] == d->ink[i]; j++)
            ;
        if (d->ink[i])
            strokes[n++] = (Stroke){(d->column[i] + d->column[j - 1] + 1) / 2.0, j - i};
    }
    pitch = pitch_of(strokes, n);
    *word = pitch > 0 ? fmin(EMPTY * pitch, LEFT_GAP) : WORD_GAP;
    return true;
}

static bool
copy_piece(const Drawn *d, const Piece *piece, const LineShape *shape, Arena *arena, LineView *out)
{
    const Frame *f = &d->frame;
    size_t size = (size_t)shape->view_w * shape->view_h;
    uint8_t *px = arena_alloc(arena, size);
    double ax = (double)(f->right - f->left) / f->n;
    double tilt = fabs(f->slope) * f->half + fabs(f->bend[0]) + fabs(f->bend[1]);

    if (!px)
        return false;
    memset(px, 255, size);
    for (int y = 0; y < shape->view_h; y++)
        memcpy(px + (size_t)y * shape->view_w, d->px + (size_t)y * f->n + piece->from,
               piece->to - piece->from);
    out->view = (View){shape->view_w, shape->view_h, 1, px};
    out->box = (Box){f->left + (int)(d->column[piece->from] * ax), (int)floor(f->top - tilt),
                     f->left + (int)ceil(d->column[piece->to] * ax), (int)ceil(f->bottom + tilt)};
    out->glued = piece->glued;
    return true;
}

bool
strip_cut(const Sheet *s, const Strip *strip, const LineShape *shape, Arena *arena, Cut *out)
{
    Drawn d;
    Piece *pieces;
    double word = WORD_GAP;
    int step = shape->view_w / 3 > MARGIN + 1 ? shape->view_w / 3 - MARGIN : 1;

    *out = (Cut){0};
    if (!draw(s, strip, shape, arena, &d))
        return false;
    pieces = arena_array(arena, (size_t)d.n / step + 2, sizeof(Piece));
    if (!pieces)
        return false;
    if (d.frame.right <= d.frame.left)
        return true;
    if (strip->squeeze && !word_gap(&d, arena, &word))
        return false;
    out->n = find_pieces(d.ink, d.n, shape->view_w, word, pieces);
    out->views = arena_array(arena, (size_t)out->n + 1, sizeof(LineView));
    if (!out->views)
        return false;
    for (int i = 0; i < out->n; i++)
        if (!copy_piece(&d, &pieces[i], shape, arena, &out->views[i]))
            return false;
    return true;
}

bool
strip_draw(const Sheet *s, const Strip *strip, const LineShape *shape, Arena *arena, uint8_t **px,
           int *n)
{
    Drawn d;

    if (!draw(s, strip, shape, arena, &d))
        return false;
    *px = d.px;
    *n = d.n;
    return true;
}

/* lines.c - between stages 1 and 2, for line readers: page -> lines -> views.
 *
 * lines_find is the order of the stations: bring the paper to white, find the pieces of ink, turn the page
 * upright and straight, make rows and blocks of the pieces, cut views. Only this file knows how a pixel of
 * the sheet they work on lies on the page.
 *
 * No image library does a part of it. Readers are trained on views that Pillow's arithmetic made, and the views cut
 * here equal them (0.003 grey levels at worst over the golden ones, lines_test); a library's background, deskewing
 * or scaling would be other pixels. It also keeps a dependency out, and every loop can be stopped. */
#include "lines_inner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STRAIGHT      0.2f /* degrees; a row's own slope takes care of less */
#define MAX_REDUCE    64
#define LEAST_REDUCED 64 /* a page is not reduced below this side to get rid of noise */

/* What is known of a page while it is looked at. */
typedef struct Look
{
    int page_w, page_h;
    Arena sheets[2]; /* the sheet is in sheets[at]; the next one is made in the other */
    int at;
    Arena scratch; /* parts, rows, blocks: of the sheet as it is now */
    Sheet sheet;
    int upright_w, upright_h; /* the sheet's size before straightening */
    Parts parts;
    Rows rows;
    Blocks blocks;
    Picture *pictures;
    int npictures;
    int reduce, rotation;
    float skew; /* degrees the lines fell to the right */
    Ticker ticker;
} Look;

static DsStatus
no_memory(DsError *err)
{
    ds_fail(err, DS_LIMIT, "page needs more memory than it may have");
    return ds_hint(err, "Scale the image down, or raise dsocr.max_inflight_bytes.");
}

/* What a station's end means: done is false without memory, or when it was stopped. */
static DsStatus
outcome(Look *l, bool done, DsError *err)
{
    if (!go_on(&l->ticker))
        return ds_fail(err, DS_CANCELLED, "stopped while looking for lines");
    return done ? DS_OK : no_memory(err);
}

/* The page as a sheet, reduced until its size, and the number of pieces of ink on it, can be worked with. */
static bool
make_sheet(Look *l, const Image *page)
{
    int side = page->width < page->height ? page->width : page->height;

    l->reduce = 1;
    while ((int64_t)page->width * page->height / ((int64_t)l->reduce * l->reduce) >
           LINES_MAX_PIXELS)
        l->reduce++;
    for (;; l->reduce++)
    {
        arena_free(&l->sheets[0]);
        if (!sheet_make(page, l->reduce, true, &l->ticker, &l->sheets[0], &l->sheet))
            return false;
        if (sheet_count_runs(&l->sheet, NULL) <= LINES_MAX_RUNS)
            return true;
        if (side / (l->reduce + 1) < LEAST_REDUCED || l->reduce >= MAX_REDUCE)
            break;
    }
    memset(l->sheet.grey, 255, (size_t)l->sheet.w * l->sheet.h); /* nothing but noise */
    return true;
}

/* Replaces the sheet by a turned (or, with degrees 0, a straightened) one. */
static bool
change_sheet(Look *l, int turn, float straighten)
{
    Sheet next;
    int other = 1 - l->at;

    if (turn ? !sheet_turn(&l->sheet, turn, &l->sheets[other], &next)
             : !sheet_straighten(&l->sheet, straighten, &l->ticker, &l->sheets[other], &next))
        return false;
    arena_free(&l->sheets[l->at]);
    l->at = other;
    l->sheet = next;
    l->rotation = (l->rotation + turn) % 360;
    return true;
}

static bool
find_parts(Look *l)
{
    arena_free(&l->scratch);
    return go_on(&l->ticker) &&
           parts_find(&l->sheet, NULL, sheet_count_runs(&l->sheet, NULL), &l->scratch, &l->parts) &&
           go_on(&l->ticker) && parts_sort(&l->parts, &l->scratch, &l->pictures, &l->npictures);
}

/* The parts once more, letters that touch a rule apart from it. */
static bool
part_from_rules(Look *l)
{
    uint8_t *rules;
    Combs combs;
    int n;

    if (tiles_turn(&l->sheet, &l->parts) && !find_parts(l))
        return false;
    if (!go_on(&l->ticker) ||
        !rules_mark(&l->sheet, &l->parts, &l->ticker, &l->scratch, &rules, &combs))
        return false;
    if (!rules || (n = sheet_count_runs(&l->sheet, rules)) > 2 * LINES_MAX_RUNS)
        return true;
    if (!go_on(&l->ticker) || !parts_find(&l->sheet, rules, n, &l->scratch, &l->parts))
        return false;
    l->parts.combs = combs;
    return parts_sort(&l->parts, &l->scratch, &l->pictures, &l->npictures);
}

static bool
find_rows(Look *l)
{
    return part_from_rules(l) && go_on(&l->ticker) && rows_find(&l->parts, &l->scratch, &l->rows) &&
           go_on(&l->ticker) && rows_measure(&l->parts, &l->scratch, &l->rows) &&
           rows_cut_ends(&l->sheet, &l->parts, &l->scratch, &l->rows) &&
           rows_contrast(&l->sheet, &l->parts, &l->scratch, &l->rows) &&
           rows_weed(&l->parts, &l->scratch, &l->rows);
}

/* Turns the page upright; rotate is what was asked for, -1: find out. Upside down is told later, by rows. */
static bool
turn_sheet(Look *l, int rotate)
{
    bool sideways;

    if (rotate > 0)
        return change_sheet(l, rotate, 0) && find_parts(l);
    if (!find_parts(l))
        return false;
    if (rotate == 0)
        return true;
    return parts_sideways(&l->parts, &l->scratch, &sideways) &&
           (!sideways || (change_sheet(l, 90, 0) && find_parts(l)));
}

static bool
straighten_sheet(Look *l)
{
    l->upright_w = l->sheet.w;
    l->upright_h = l->sheet.h;
    if (!parts_skew(&l->parts, &l->scratch, &l->skew))
        return false;
    if (fabsf(l->skew) < STRAIGHT)
    {
        l->skew = 0;
        return true;
    }
    return change_sheet(l, 0, -l->skew) && find_parts(l);
}

static DsStatus
look_at(Look *l, const Image *page, int rotate, DsError *err)
{
    DsStatus st;

    l->page_w = page->width;
    l->page_h = page->height;
    if ((st = outcome(l, make_sheet(l, page) && pale_darken(&l->sheet, &l->scratch), err)) ||
        (st = outcome(l, turn_sheet(l, rotate), err)) ||
        (st = outcome(l, straighten_sheet(l), err)) || (st = outcome(l, find_rows(l), err)))
        return st;
    if (rotate == -1 && rows_upside_down(&l->parts, &l->rows) &&
        (st = outcome(l, change_sheet(l, 180, 0) && find_parts(l) && find_rows(l), err)))
        return st;
    return outcome(l, blocks_find(&l->parts, &l->rows, &l->scratch, &l->blocks), err);
}

/* --- from the sheet to the page ---------------------------------------------------------------- */

static void
to_page(const Look *l, double x, double y, double *px, double *py)
{
    double a = -l->skew * M_PI / 180, c = cos(a), s = sin(a);
    double u = x - l->sheet.w / 2.0, v = y - l->sheet.h / 2.0;

    *px = (l->skew == 0 ? x : c * u + s * v + l->upright_w / 2.0) * l->reduce;
    *py = (l->skew == 0 ? y : c * v - s * u + l->upright_h / 2.0) * l->reduce;
}

static int
within(double v, int low, int high)
{
    return v < low ? low : v > high ? high : (int)v;
}

static Box
box_on_page(const Look *l, const Box *b, const PageLines *out)
{
    double x[4], y[4], x0, y0, x1, y1;
    Box r;

    for (int i = 0; i < 4; i++)
        to_page(l, i & 1 ? b->x1 : b->x0, i & 2 ? b->y1 : b->y0, &x[i], &y[i]);
    x0 = fmin(fmin(x[0], x[1]), fmin(x[2], x[3]));
    x1 = fmax(fmax(x[0], x[1]), fmax(x[2], x[3]));
    y0 = fmin(fmin(y[0], y[1]), fmin(y[2], y[3]));
    y1 = fmax(fmax(y[0], y[1]), fmax(y[2], y[3]));
    r.x0 = within(floor(x0), 0, out->width - 1);
    r.y0 = within(floor(y0), 0, out->height - 1);
    r.x1 = within(ceil(x1), r.x0 + 1, out->width);
    r.y1 = within(ceil(y1), r.y0 + 1, out->height);
    return r;
}

/* The line's room: what ascenders, accents and descenders may need, less where neighbours need it. */
static Box
row_box(const Rows *rows, const Row *r)
{
    Box b = r->box;
    float tilt = row_reach(r);
    bool low = r->caps && b.y1 < r->baseline + tilt + 0.25f * r->x_height;
    float top = r->baseline - (low ? 1.7f : 2.3f) * r->x_height - tilt;
    float bottom = r->baseline + (low ? 0.5f : 0.85f) * r->x_height + tilt;

    for (int i = 0; i < rows->n; i++)
    {
        const Row *o = &rows->rows[i];
        float d = o->baseline - r->baseline;

        if (o->box.x0 >= b.x1 || o->box.x1 <= b.x0)
            continue;
        if (d > r->x_height)
            bottom = fminf(bottom, o->baseline - 1.6f * o->x_height);
        else if (d < -r->x_height)
            top = fmaxf(top, o->baseline + 0.35f * o->x_height);
    }
    b.y0 = (int)floorf(fminf(b.y0, top));
    b.y1 = (int)ceilf(fmaxf(b.y1, bottom));
    return b;
}

/* --- results ----------------------------------------------------------------------------------- */

/* What a row's strip is drawn from: the sheet around it without ink that is not its own, *want of the sheet. */
static bool
strip_of(const Look *l, int row, const Row *r, const LineShape *shape, Arena *arena, Box *want,
         Sheet *patch, Strip *strip)
{
    float k = shape->x_height / r->x_height, tilt = 2 * row_reach(r);
    int m = (int)(6 / k) + 4;

    *want = (Box){r->box.x0 - m, (int)(r->baseline - shape->baseline / k - tilt) - 2, r->box.x1 + m,
                  (int)(r->baseline + (shape->view_h - shape->baseline) / k + tilt) + 3};
    *strip = (Strip){.x0 = r->box.x0 - want->x0,
                     .x1 = r->box.x1 - want->x0,
                     .x_height = r->x_height,
                     .middle = r->middle - want->x0,
                     .half = r->half,
                     .baseline = r->baseline - want->y0,
                     .slope = r->slope,
                     .bend = {r->bend[0], r->bend[1]}};
    return row_patch(&l->sheet, &l->parts, &l->rows, row, want, arena, patch);
}

static bool
cut_stretch(const Look *l, int row, const Row *r, const LineShape *shape, Arena *arena, Cut *cut)
{
    Box want;
    Sheet patch;
    Strip strip;
    Gap *gaps;
    int ngaps;

    if (!strip_of(l, row, r, shape, arena, &want, &patch, &strip) ||
        !combs_close(&l->parts, &l->rows, r, arena, &gaps, &ngaps))
        return false;
    for (int i = 0; i < ngaps; i++)
        gaps[i] = (Gap){gaps[i].x0 - want.x0, gaps[i].x1 - want.x0};
    strip.squeeze = true;
    strip.closed = gaps;
    strip.nclosed = ngaps;
    if (!strip_cut(&patch, &strip, shape, arena, cut))
        return false;
    for (int i = 0; i < cut->n; i++)
    {
        Box *b = &cut->views[i].box;

        *b = (Box){b->x0 + want.x0, b->y0 + want.y0, b->x1 + want.x0, b->y1 + want.y0};
    }
    return true;
}

static void
describe_line(const Look *l, const Row *r, int block, PageLines *out, TextLine *line)
{
    double x, y;
    Box b = row_box(&l->rows, r);

    to_page(l, (r->box.x0 + r->box.x1) / 2.0, r->baseline, &x, &y);
    *line = (TextLine){.box = box_on_page(l, &b, out),
                       .block = block,
                       .baseline = (float)y,
                       .x_height = r->x_height * l->reduce,
                       .ink = l->rows.contrast > 0 ? r->contrast / l->rows.contrast : 0,
                       .first_view = out->nviews};
}

/* Appends views to out->views, which has room for LINES_MAX_VIEWS. */
static bool
append_views(const Look *l, const Cut *cut, const LineShape *shape, Arena *arena, PageLines *out,
             TextLine *line)
{
    size_t size = (size_t)shape->view_w * shape->view_h;

    for (int i = 0; i < cut->n; i++)
    {
        uint8_t *px;
        LineView *v;

        if (out->nviews == LINES_MAX_VIEWS)
        {
            out->truncated = true;
            break;
        }
        v = &out->views[out->nviews++];
        *v = cut->views[i];
        v->box = box_on_page(l, &cut->views[i].box, out);
        line->nviews++;
        if ((px = arena_alloc(arena, size)) == NULL)
            return false;
        v->view.pixels = memcpy(px, cut->views[i].view.pixels, size);
    }
    return true;
}

static bool
add_views(const Look *l, int row, const LineShape *shape, Arena *arena, PageLines *out,
          TextLine *line)
{
    Arena work;
    Row *stretches;
    Cut cut;
    int n;
    bool ok;

    arena_init(&work, arena->limit);
    ok = row_stretches(&l->parts, &l->rows, row, &work, &stretches, &n);
    for (int i = 0; ok && i < n; i++)
        ok = cut_stretch(l, row, &stretches[i], shape, &work, &cut) &&
             append_views(l, &cut, shape, arena, out, line);
    arena_free(&work);
    return ok;
}

/* A line in which no view shows any ink is not a line. */
static bool
add_block(Look *l, const Block *b, const LineShape *shape, Arena *arena, PageLines *out)
{
    TextBlock *block = &out->blocks[out->nblocks];

    *block = (TextBlock){box_on_page(l, &b->box, out), b->type, out->nlines, 0};
    for (int i = 0; i < b->n; i++)
    {
        int row = l->blocks.order[b->first + i];
        TextLine *line = &out->lines[out->nlines];

        if (!go_on(&l->ticker))
            return false;
        describe_line(l, &l->rows.rows[row], out->nblocks, out, line);
        if (!add_views(l, row, shape, arena, out, line))
            return false;
        if (line->nviews == 0)
            continue;
        out->nlines++;
        block->nlines++;
    }
    out->nblocks += block->nlines > 0;
    return true;
}

static bool
take_results(Look *l, const LineShape *shape, Arena *arena, PageLines *out)
{
    bool across = l->rotation % 180 != 0;

    *out = (PageLines){.width = across ? l->page_h : l->page_w,
                       .height = across ? l->page_w : l->page_h,
                       .rotation = l->rotation,
                       .skew = l->skew,
                       .npictures = l->npictures,
                       .truncated = l->rows.truncated};
    out->blocks = arena_array(arena, (size_t)l->blocks.n + 1, sizeof(TextBlock));
    out->lines = arena_array(arena, (size_t)l->rows.n + 1, sizeof(TextLine));
    out->views = arena_array(arena, l->rows.n ? LINES_MAX_VIEWS : 1, sizeof(LineView));
    out->pictures = arena_array(arena, (size_t)l->npictures + 1, sizeof(Picture));
    if (!out->blocks || !out->lines || !out->views || !out->pictures)
        return false;
    for (int i = 0; i < l->npictures; i++)
        out->pictures[i].box = box_on_page(l, &l->pictures[i].box, out);
    for (int i = 0; i < l->blocks.n; i++)
    {
        if (!add_block(l, &l->blocks.blocks[i], shape, arena, out))
            return false;
    }
    return true;
}

static void
free_look(Look *l)
{
    arena_free(&l->sheets[0]);
    arena_free(&l->sheets[1]);
    arena_free(&l->scratch);
}

static DsStatus
find(Look *l, const Image *page, const LineShape *shape, int rotate, Arena *arena, PageLines *out,
     DsError *err)
{
    DsStatus st;

    *out = (PageLines){0};
    if (rotate != -1 && rotate != 0 && rotate != 90 && rotate != 180 && rotate != 270)
        return ds_fail(err, DS_BAD_REQUEST, "a page cannot be turned by %d degrees", rotate);
    if (page->width < 1 || page->height < 1)
        return ds_fail(err, DS_BAD_INPUT, "image is %d x %d pixels", page->width, page->height);
    if ((st = look_at(l, page, rotate, err)))
        return st;
    return outcome(l, take_results(l, shape, arena, out), err);
}

DsStatus
lines_find(const Image *page, const LineShape *shape, int rotate, int (*tick)(void *),
           void *tick_arg, Arena *arena, PageLines *out, DsError *err)
{
    Look l = {.ticker = {tick, tick_arg, false}};
    DsStatus st = find(&l, page, shape, rotate, arena, out, err);

    free_look(&l);
    return st;
}

struct LinesSeen
{
    Look look;    /* its sheet alone */
    int rotation; /* it is turned to */
};

/* Frees all but the sheet; lifting screens may have taken several times its room. */
static bool
keep_sheet(Look *l)
{
    size_t n = (size_t)l->sheet.w * l->sheet.h;
    int other = 1 - l->at;
    uint8_t *grey;

    arena_free(&l->scratch);
    arena_free(&l->sheets[other]);
    if (l->sheets[l->at].held < 2 * n)
        return true;
    if ((grey = arena_alloc(&l->sheets[other], n)) == NULL)
        return false;
    l->sheet.grey = memcpy(grey, l->sheet.grey, n);
    arena_free(&l->sheets[l->at]);
    l->at = other;
    return true;
}

DsStatus
lines_find_seen(const Image *page, const LineShape *shape, int (*tick)(void *), void *tick_arg,
                Arena *arena, PageLines *out, LinesSeen **seen, DsError *err)
{
    LinesSeen *s = calloc(1, sizeof *s);
    DsStatus st;

    if (s == NULL)
        return no_memory(err);
    s->look.ticker = (Ticker){tick, tick_arg, false};
    if ((st = find(&s->look, page, shape, -1, arena, out, err)) ||
        (st = outcome(&s->look, keep_sheet(&s->look), err)))
    {
        lines_seen_free(s);
        return st;
    }
    s->rotation = (out->rotation + 180) % 360;
    *seen = s;
    return DS_OK;
}

DsStatus
lines_turned(LinesSeen *seen, const LineShape *shape, int (*tick)(void *), void *tick_arg,
             Arena *arena, PageLines *out, DsError *err)
{
    Look *l = &seen->look;

    l->ticker = (Ticker){tick, tick_arg, false};
    return outcome(l,
                   (l->rotation == seen->rotation || change_sheet(l, 180, 0)) && find_parts(l) &&
                       find_rows(l) && blocks_find(&l->parts, &l->rows, &l->scratch, &l->blocks) &&
                       take_results(l, shape, arena, out),
                   err);
}

void
lines_seen_free(LinesSeen *seen)
{
    if (seen)
        free_look(&seen->look);
    free(seen);
}

static int64_t
common_area(const Box *a, const Box *b)
{
    int64_t w = (a->x1 < b->x1 ? a->x1 : b->x1) - (int64_t)(a->x0 > b->x0 ? a->x0 : b->x0);
    int64_t h = (a->y1 < b->y1 ? a->y1 : b->y1) - (int64_t)(a->y0 > b->y0 ? a->y0 : b->y0);

    return w > 0 && h > 0 ? w * h : 0;
}

/* The row whose box is most like this one, if they have more in common than not; -1: there is none. */
static int
row_at(const Look *l, const PageLines *page, const Box *box)
{
    int found = -1;
    double best = 0.5;

    for (int i = 0; i < l->rows.n; i++)
    {
        Box room = row_box(&l->rows, &l->rows.rows[i]), b = box_on_page(l, &room, page);
        double common = (double)common_area(&b, box),
               all = common_area(&b, &b) + common_area(box, box) - common;

        if (common > best * all)
        {
            best = common / all;
            found = i;
        }
    }
    return found;
}

/* At the sheet's own size, with all its ink above and below the baseline. */
static bool
draw_row(const Look *l, int row, Arena *arena, Image *out)
{
    const Row *r = &l->rows.rows[row];
    float reach = row_reach(r);
    float above = fmaxf(2.3f * r->x_height, r->baseline - r->box.y0 - reach);
    float below = fmaxf(0.85f * r->x_height, r->box.y1 - r->baseline - reach);
    LineShape shape = {.x_height = r->x_height, .baseline = ceilf(above)};
    Arena work;
    Box want;
    Sheet patch;
    Strip strip;
    bool ok;

    shape.view_h = (int)(shape.baseline + ceilf(below));
    arena_init(&work, arena->limit);
    ok = strip_of(l, row, r, &shape, &work, &want, &patch, &strip);
    ok = ok && strip_draw(&patch, &strip, &shape, arena, &out->pixels, &out->width);
    arena_free(&work);
    out->height = shape.view_h;
    out->channels = 1;
    return ok;
}

static bool
draw_rows(Look *l, const Image *page, const Box *boxes, int n, Arena *arena, Image *out)
{
    PageLines sides = {.width = page->width, .height = page->height};

    for (int i = 0; i < n; i++)
    {
        int row = row_at(l, &sides, &boxes[i]);

        out[i] = (Image){.dpi = page->dpi / l->reduce};
        if (!go_on(&l->ticker) || (row >= 0 && !draw_row(l, row, arena, &out[i])))
            return false;
    }
    return true;
}

DsStatus
lines_straighten(const Image *page, const Box *boxes, int n, int (*tick)(void *), void *tick_arg,
                 Arena *arena, Image *out, DsError *err)
{
    Look l = {.ticker = {tick, tick_arg, false}};
    DsStatus st = look_at(&l, page, 0, err);

    if (st == DS_OK)
        st = outcome(&l, draw_rows(&l, page, boxes, n, arena, out), err);
    free_look(&l);
    return st;
}

DsStatus
lines_cut(const Image *page, const LineShape *shape, float x0, float x1, float baseline,
          float x_height, Arena *arena, LineView **views, int *nviews, DsError *err)
{
    Sheet sheet;
    Cut cut;
    Strip strip = {.x0 = x0,
                   .x1 = x1,
                   .x_height = x_height,
                   .middle = (x0 + x1) / 2,
                   .half = (x1 - x0) / 2,
                   .baseline = baseline};

    if (!(x_height >= 1 && x_height <= 10000 && x1 >= x0))
        return ds_fail(err, DS_BAD_REQUEST, "a line needs an x-height of at least one pixel");
    if (!sheet_make(page, 1, false, NULL, arena, &sheet) ||
        !strip_cut(&sheet, &strip, shape, arena, &cut))
        return no_memory(err);
    *views = cut.views;
    *nviews = cut.n;
    return DS_OK;
}

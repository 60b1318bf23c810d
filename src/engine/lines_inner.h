/* lines_inner.h - the stations inside the line finder, in the order a page passes them.
 *
 *   Image -> Sheet -> Parts -> Rows -> blocks -> views -> PageLines
 *
 * A Sheet is the page with its paper brought to white; Parts are its connected pieces of ink; Rows are
 * printed lines made of parts. Everything here is in pixels of the sheet, which may be the page reduced,
 * turned and straightened; only lines.c knows the way back. Sharp edge: `baseline` is an edge between
 * pixel rows (the lower edge of an x), not a row. */
#ifndef DS_LINES_INNER_H
#define DS_LINES_INNER_H

#include "lines.h"

#define LINES_MAX_RUNS                                                                             \
    (2 << 20)                /* more pieces of ink than this is not writing: look again, reduced */
#define LINES_MAX_ROWS  4000 /* of a page; what is beyond is left out and `truncated` says so */
#define LINES_MAX_VIEWS 8000

/* Who wants to be asked, at least every 100 ms, whether to go on. */
typedef struct Ticker
{
    int (*tick)(void *);
    void *arg;
    bool stopped;
} Ticker;

static inline bool
go_on(Ticker *t)
{
    if (t && t->tick && !t->stopped && t->tick(t->arg))
        t->stopped = true;
    return !t || !t->stopped;
}

static inline int
by_float(const void *a, const void *b)
{
    float p = *(const float *)a, q = *(const float *)b;

    return (p > q) - (p < q);
}

static inline int
by_int(const void *a, const void *b)
{
    int p = *(const int *)a, q = *(const int *)b;

    return (p > q) - (p < q);
}

/* To sort boxes from left to right: of one and the same place the earlier comes first. */
typedef struct Key
{
    int x0, which;
} Key;

static inline int
by_x0(const void *a, const void *b)
{
    const Key *p = a, *q = b;

    return p->x0 != q->x0 ? (p->x0 > q->x0) - (p->x0 < q->x0)
                          : (p->which > q->which) - (p->which < q->which);
}

static inline void
box_grow(Box *a, const Box *b)
{
    a->x0 = b->x0 < a->x0 ? b->x0 : a->x0;
    a->y0 = b->y0 < a->y0 ? b->y0 : a->y0;
    a->x1 = b->x1 > a->x1 ? b->x1 : a->x1;
    a->y1 = b->y1 > a->y1 ? b->y1 : a->y1;
}

/* --- lines_sheet.c: Image -> Sheet ------------------------------------------------------------- */

typedef struct Sheet
{
    int w, h;
    uint8_t *grey; /* [h, w] paper 255 */
    int threshold; /* ink is grey <= threshold */
    int otsu;      /* what Otsu's method says: what views are cut by */
} Sheet;

/* Grey, reduced by averaging `reduce` x `reduce` pixels, paper divided to white; clear: tints and what lies around the
 * page become white, too. All return false without memory, or when the ticker (may be NULL) stops them. */
bool sheet_make(const Image *page, int reduce, bool clear, Ticker *ticker, Arena *arena,
                Sheet *out);
bool sheet_turn(const Sheet *in, int degrees, Arena *arena,
                Sheet *out); /* clockwise, multiples of 90 */

/* Rotates clockwise by `degrees` about the middle, on a canvas that holds all of it. */
bool sheet_straighten(const Sheet *in, float degrees, Ticker *ticker, Arena *arena, Sheet *out);

void sheet_threshold(Sheet *s); /* both thresholds anew, from the grey levels as they are now */

/* The page in cells, [h, w]: those beside cell i; -1: the page ends. */
static inline void
cells_beside(int i, int w, int h, int next[4])
{
    next[0] = i % w > 0 ? i - 1 : -1;
    next[1] = i % w + 1 < w ? i + 1 : -1;
    next[2] = i >= w ? i - w : -1;
    next[3] = i + w < w * h ? i + w : -1;
}

/* --- lines_screens.c: fields of fine dots become paper ------------------------------------------- */

bool screens_lift(uint8_t *grey, int w, int h, Arena *arena); /* grey: [h, w] */

/* --- lines_tints.c: tinted fields become paper --------------------------------------------------- */

bool tints_lift(uint8_t *grey, int w, int h, Arena *arena); /* grey: [h, w] */

/* --- lines_surround.c: what lies around the page ------------------------------------------------- */

enum Place
{
    INSIDE, /* the page */
    AROUND, /* what lies around it, */
    RIM     /* and the cells that may be half of it */
};

/* level: [h, w] the page in cells; those around the page take the level of the paper beside them. *mask: [h, w] where
 * each cell is; NULL when all are inside. */
bool surround_lift(uint8_t *level, int w, int h, Arena *arena, uint8_t **mask);

/* --- lines_pale.c: pale ink becomes darker ------------------------------------------------------- */

bool pale_darken(Sheet *s, Arena *arena);

/* --- lines_parts.c: Sheet -> Parts ------------------------------------------------------------- */

typedef enum PartKind
{
    PART_SPECK = 0, /* too small to be anything */
    PART_SMALL,     /* dot, accent, comma, hyphen: belongs to the row it is near */
    PART_CORE,      /* letter-sized: makes rows */
    PART_TALL,      /* letters of two rows that touch: belongs to both */
    PART_RULE,      /* rule, frame */
    PART_PICTURE,   /* and what lies within one */
    PART_BORDER,    /* dark edge of the scan, punch hole */
} PartKind;

typedef struct Run
{
    int x0, x1; /* [x0, x1) */
    bool rule;
    int part;
} Run;

typedef struct Part
{
    Box box;
    int area;
    int nruns;
    bool rule;   /* of a rule's pixels alone */
    bool leader; /* one of many marks in a row, between a heading and its page */
    int row;     /* -1: of none */
    int kind;
} Part;

typedef struct Comb /* boxes for one letter each */
{
    Box box;            /* where the letters are */
    float first, pitch; /* the left edge of the first box, and how far it is from one to the next */
    int n;
} Comb;

typedef struct Combs
{
    int n;
    Comb *combs;
} Combs;

typedef struct Parts
{
    int w, h, nruns, nparts;
    Run *runs;      /* [nruns], row by row, left to right */
    int *row_start; /* [h + 1] into runs */
    Part *parts;    /* [nparts] */
    float size;     /* typical height of a letter; 0: none to be seen */
    Combs combs;    /* known after rules are */
} Parts;

/* rules: [h, w] pixels that are rules and tie to no others; NULL: not known yet. */
int sheet_count_runs(const Sheet *s, const uint8_t *rules);
/* The first run of row y that ends after x. */
int runs_from(const Parts *p, int y, int x);
/* How many pixels of a part stand in row y of the sheet, which must have it. */
int row_ink(const Parts *p, int part, int y);

/* How dark a run in row y is, its pixels together. */
int run_darkness(const Sheet *s, const Run *run, int y);

bool parts_find(const Sheet *s, const uint8_t *rules, int nruns, Arena *arena, Parts *out);

/* --- lines_tiles.c: white on dark --------------------------------------------------------------- */

/* Turns dark tiles with white letters on the sheet; returns whether there were any: the parts are others then. */
bool tiles_turn(Sheet *s, const Parts *p);

/* --- lines_rules.c: the pixels that are rules -------------------------------------------------- */

/* *mask: [h, w], NULL when there are no rules. The parts are those found without it. */
bool rules_mark(const Sheet *s, const Parts *p, Ticker *ticker, Arena *arena, uint8_t **mask,
                Combs *combs);

/* --- lines_combs.c: boxes for one letter each --------------------------------------------------- */

/* Marks their pixels in mask. */
bool combs_find(const Sheet *s, const Parts *p, uint8_t *mask, Arena *arena, Combs *out);

/* --- lines_sort.c: what each part is ----------------------------------------------------------- */

/* Solid and roundish: a full stop, or one of the dots between a heading and its page. */
bool part_is_dot(const Part *p);

bool parts_sort(Parts *p, Arena *arena, Picture **pictures, int *npictures);

/* --- lines_rows.c: Parts -> Rows --------------------------------------------------------------- */

typedef struct Row
{
    Box box;            /* of all its ink */
    int first, n;       /* its parts: members[first .. first + n), left to right */
    int ncore;          /* letter-sized ones */
    float size;         /* median height of these */
    float slope;        /* dy/dx of its baseline */
    float middle, half; /* of its box, or of the row's that it is a stretch of */
    float baseline;     /* at the middle */
    float bend
        [2]; /* how a curved one leaves the straight: pixels by (x - middle) / half, squared and cubed */
    float x_height;
    float measured; /* x-height of this row alone */
    bool caps;      /* nothing rises above its letters: capitals or figures */
    float contrast; /* mean darkness of its ink, 0..255 */
    int block;
} Row;

typedef struct Rows
{
    int n;
    Row *rows;
    int *members;   /* part indices */
    float contrast; /* of the page's writing; 0: there is none */
    bool truncated;
} Rows;

bool rows_find(Parts *p, Arena *arena, Rows *out);

/* --- lines_measure.c --------------------------------------------------------------------------- */

bool rows_measure(const Parts *p, Arena *arena, Rows *rows);
/* Mean darkness of each row's ink. */
bool rows_contrast(const Sheet *s, const Parts *p, Arena *arena, Rows *rows);

/* Where a row's baseline is at x, and how far that is at most from where it is in the middle. */
float row_foot(const Row *r, float x);
float row_reach(const Row *r);

/* --- lines_ends.c: what stands off at a row's end, beyond the others, and is paler ---------------- */

/* Such ends become rows of their own, measured. */
bool rows_cut_ends(const Sheet *s, Parts *p, Arena *arena, Rows *rows);

/* --- lines_stretch.c: a row whose letters are not of one size, or do not stand at one height ----- */

/* What follows in a row and is of one size, as rows of their own: the row itself if all is. */
bool row_stretches(const Parts *p, const Rows *rows, int row, Arena *arena, Row **out, int *n);

/* Members first .. first + n of row r, as a row; not measured. */
Row row_part(const Parts *p, const Rows *rows, const Row *r, int first, int n);

/* Baseline, x-height, slope and bend of r, all or a stretch of rows[row]. */
bool row_measure(const Parts *p, const Rows *rows, int row, Row *r, Arena *arena);

/* --- lines_combs.c: letters in boxes of their own are a word -------------------------------------- */

typedef struct Gap
{
    int x0, x1;
} Gap;

/* The gaps between letters of r in neighbouring boxes. */
bool combs_close(const Parts *p, const Rows *rows, const Row *r, Arena *arena, Gap **gaps, int *n);

/* a, and b on its right, stand in one comb. */
bool combs_hold(const Parts *p, const Box *a, const Box *b);

/* --- lines_weed.c ------------------------------------------------------------------------------ */

/* Drops rows that are not writing, and parts' ties to them. */
bool rows_weed(Parts *p, Arena *arena, Rows *rows);

/* --- lines_orient.c ---------------------------------------------------------------------------- */

bool parts_sideways(const Parts *p, Arena *arena, bool *sideways);
bool parts_skew(const Parts *p, Arena *arena,
                float *degrees); /* how far lines fall to the right; 0 in doubt */
bool rows_upside_down(const Parts *p, const Rows *rows);

/* --- lines_blocks.c: Rows -> blocks in reading order ------------------------------------------- */

typedef struct Block
{
    Box box;
    int first, n; /* rows order[first .. first + n) */
    float x_height;
    const char *type;
} Block;

typedef struct Blocks
{
    int n;
    Block *blocks; /* in reading order */
    int *order;    /* rows in reading order, each block's together */
    int nedges, nframes;
    Box *edges; /* frames' upper and lower edges (nframes of them), then rules that run across */
} Blocks;

bool blocks_find(const Parts *p, Rows *rows, Arena *arena, Blocks *out);

/* --- lines_mask.c ------------------------------------------------------------------------------ */

/* The piece `want` of the sheet (white where it reaches beyond) without ink that is not rows[row]'s. */
bool row_patch(const Sheet *s, const Parts *p, const Rows *rows, int row, const Box *want,
               Arena *arena, Sheet *out);

/* --- lines_cut.c: a row -> views --------------------------------------------------------------- */

typedef struct Strip
{
    float x0, x1, x_height;
    float middle, half, baseline, slope, bend[2]; /* as a row's */
    bool squeeze;                                 /* wide gaps become a space wide, */
    int nclosed;
    const Gap *closed; /* and these those between letters; from x0 of the sheet on, as x0 and x1 */
} Strip;

typedef struct Cut
{
    LineView *views; /* [n], boxes in sheet pixels */
    int n;
} Cut;

bool strip_cut(const Sheet *s, const Strip *strip, const LineShape *shape, Arena *arena, Cut *out);

/* The strip in one piece, shape->view_h high. *px: [view_h, *n] */
bool strip_draw(const Sheet *s, const Strip *strip, const LineShape *shape, Arena *arena,
                uint8_t **px, int *n);

#endif

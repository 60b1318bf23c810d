/* lines_test.c - what the line finder promises: on pages set here to the pixel, and on the samples. */
#include "check.h"
#include "lines_pages.h"

#include "lines.h"
#include "image_files.h"

#include <jansson.h>

static const LineShape shape = {256, 32, 11, 23};
static Arena arena;

static PageLines
find(const Image *page, int rotate)
{
    PageLines out = {0};
    DsError err;

    if (lines_find(page, &shape, rotate, NULL, NULL, &arena, &out, &err) != DS_OK)
        promise(err.message, false);
    return out;
}

static void
done(Paper *p)
{
    free(p->image.pixels);
    arena_free(&arena);
}

static bool
near(int a, int b, int d)
{
    return abs(a - b) <= d;
}

/* --- pages set here ---------------------------------------------------------------------------- */

static void
one_column(void)
{
    Paper p = paper(1200, 900);
    PageLines l;
    int base = 0, x = 0;

    set_column(&p, 100, 150, 4, 60, 10, 40);
    l = find(&p.image, -1);
    promise("ten lines of one column are ten lines of one block", l.nlines == 10 && l.nblocks == 1);
    for (int i = 0; i < l.nlines; i++)
    {
        base += fabsf(l.lines[i].baseline - (150 + 60 * i)) <= 1.5f;
        x += fabsf(l.lines[i].x_height - 20) <= 1;
    }
    promise("baselines are right to a pixel and a half", base == 10);
    promise("x-heights are right to a pixel", x == 10);
    promise("an upright page stays upright and unskewed", l.rotation == 0 && l.skew == 0);
    promise("a line of 40 letters of 13 pixels is three views", l.lines[0].nviews == 3);
    done(&p);
}

static void
two_columns(void)
{
    Paper p = paper(1400, 1000);
    PageLines l;

    set_line(&p, 420, 100, 7, "the old door");
    set_column(&p, 80, 250, 4, 52, 12, 24);
    set_column(&p, 760, 250, 4, 52, 12, 24);
    l = find(&p.image, 0);
    promise("a heading and two columns are three blocks", l.nblocks == 3 && l.nlines == 25);
    promise("the heading is read first and is a title",
            l.nblocks == 3 && !strcmp(l.blocks[0].type, "title"));
    promise("the left column is read to its end before the right one",
            l.nlines == 25 && l.lines[12].box.x0 < 100 && l.lines[13].box.x0 > 700 &&
                l.lines[13].box.y0 < 250);
    done(&p);
}

/* A paragraph whose words stand far apart, three of them over each other; and two columns of as many lines. */
static void
wide_spaces(void)
{
    for (int column = 0; column < 2; column++)
    {
        Paper p = paper(1400, 900);
        PageLines l;

        for (int i = 0; i < 8; i++)
        {
            bool wide = column || (i > 1 && i < 5);

            if (wide)
            {
                set_line(&p, 100, 150 + 50 * i, 4, "nobody heard");
                set_line(&p, 480, 150 + 50 * i, 4, i % 2 ? "the bell is" : "it had lost a");
            }
            else
                set_line(&p, 100, 150 + 50 * i, 4, "on the hill a dog barred his do");
        }
        l = find(&p.image, 0);
        promise(column ? "two columns of lines are two"
                       : "wide spaces in a paragraph are no gutter",
                l.nlines == (column ? 16 : 8) && l.nblocks == (column ? 2 : 1));
        done(&p);
    }
}

/* Marks in the margin beside some lines of a column, or beside all: as pale as a shadow, or as dark as print. */
static void
at_rows_ends(void)
{
    static const char *const what[] = {"pale marks in a margin are no line's",
                                       "figures as dark as print are their line's",
                                       "so are pale ones beside most lines"};

    for (int kind = 0; kind < 3; kind++)
    {
        Paper p = paper(1300, 900);
        PageLines l;
        int reach = 0, all = 0, dark = 0;

        set_column(&p, 160, 150, 4, 60, 10, 40);
        p.ink = kind == 1 ? 20 : 135;
        for (int i = 0; i < 10; i += kind == 2 ? 1 : 4)
        {
            set_line(&p, 1232, 150 + 60 * i, 4, "5");
            set_line(&p, 60, 150 + 60 * i, 4, "0");
        }
        l = find(&p.image, 0);
        for (int i = 0; i < l.nlines; i++)
        {
            all += l.lines[i].box.x0 < 180 && l.lines[i].box.x1 > 600;
            reach += l.lines[i].box.x0 < 100 && l.lines[i].box.x1 > 1200;
            dark += l.lines[i].box.x1 > 600 && fabsf(l.lines[i].ink - 1) < 0.1f;
        }
        if (kind == 0)
            promise("and each line is as dark as the page's writing", dark == 10);
        promise(what[kind], all == 10 && reach == (kind == 0 ? 0 : kind == 1 ? 3 : 10));
        done(&p);
    }
}

static void
prices(void)
{
    static const char *const items[] = {"bread and salt", "a needle", "stone for the garden",
                                        "tea, sealed"};
    Paper p = paper(1200, 700);
    PageLines l;

    for (int i = 0; i < 4; i++)
    {
        int x = set_line(&p, 80, 200 + 60 * i, 4, items[i]);

        for (x += 24; i >= 2 && x < 920; x += 24)
            set_line(&p, x, 200 + 60 * i, 4, ".");
        set_line(&p, 960, 200 + 60 * i, 4, "500");
    }
    l = find(&p.image, 0);
    promise("a price stays on the line of its item, with and without leaders",
            l.nlines == 4 && l.nblocks == 1);
    promise("such a line reaches from item to price",
            l.nlines == 4 && near(l.lines[0].box.x1, 1028, 6));
    done(&p);
}

/* Two columns of cells as wide as text; rules from x0 to x1, but for a hole, under one row of `every`. */
static PageLines
find_cells(Paper *p, int x0, int hole0, int hole1, int x1, int every)
{
    for (int i = 0; i < 10; i++)
    {
        char cell[13] = {0};

        set_line(p, 80, 150 + 60 * i, 4, memcpy(cell, sentences[i % 8], 12));
        set_line(p, 760, 150 + 60 * i, 4, memcpy(cell, sentences[(i + 3) % 8], 12));
        if (i % every)
            continue;
        fill(p, x0, 168 + 60 * i, hole0, 171 + 60 * i, p->ink);
        fill(p, hole1, 168 + 60 * i, x1, 171 + 60 * i, p->ink);
    }
    return find(&p->image, 0);
}

static void
ruled_table(void)
{
    for (int kind = 0; kind < 4; kind++)
    {
        static const char *const what[] = {
            "cells with a rule under them are one line a row",
            "so they are where the rule is broken",
            "two tables side by side are two columns",
            "and so is text with a rule now and then",
        };
        static const int hole[] = {0, 24, 160, 0};
        Paper p = paper(1200, 900);
        PageLines l = find_cells(&p, 80, 560, 560 + hole[kind], 1060, kind == 3 ? 5 : 1);

        promise(what[kind], l.nlines == (kind < 2 ? 10 : 20));
        done(&p);
    }
}

/* Numbers of lines stand outside of the frame that the lines are in; or the frame has cells, and they are a table's. */
static void
numbers_beside_frame(void)
{
    for (int cells = 0; cells < 2; cells++)
    {
        Paper p = paper(1200, 900);
        PageLines l;

        for (int i = 0; i < 10; i++)
        {
            set_line(&p, 80, 150 + 60 * i, 4, "50");
            set_line(&p, 220, 150 + 60 * i, 4, sentences[i % 4] + 10);
        }
        fill(&p, 160, 60, 1150, 63, 20);
        fill(&p, 160, 760, 1150, 763, 20);
        fill(&p, 160, 60, 163, 763, 20);
        fill(&p, 1147, 60, 1150, 763, 20);
        if (cells)
            fill(&p, 1120, 60, 1123, 763, 20);
        l = find(&p.image, 0);
        promise(cells ? "what stands beside a table is of its rows"
                      : "numbers beside a frame are no part of the lines in it",
                l.nlines == (cells ? 10 : 20));
        done(&p);
    }
}

/* Labels with figures beside a column of text: in rows of their own; or each figure's row goes on with a line. */
static void
beside_figures(void)
{
    for (int kind = 0; kind < 2; kind++)
    {
        Paper p = paper(1300, 1000);
        PageLines l;
        int figures = 0, over = 0;

        for (int i = 0; i < 12; i++)
        {
            set_line(&p, 80, 150 + 54 * i, 4, i % 2 ? "tea, stone" : "salt");
            set_line(&p, 440, 150 + 54 * i, 4, i % 3 ? "500" : "5000");
        }
        set_column(&p, 620, kind ? 150 : 136, 4, kind ? 54 : 60, kind ? 12 : 11, 24);
        l = find(&p.image, 0);
        for (int i = 0; i < l.nlines; i++)
        {
            figures += l.lines[i].box.x0 < 100 && near(l.lines[i].box.x1, 512, 30);
            over += l.lines[i].box.x0 < 100 && l.lines[i].box.x1 > 640;
        }
        promise(kind ? "a table's rows are in step, and one line each"
                     : "rows that keep no step with the lines beside them are no part of them",
                kind ? l.nlines == 12 && over == 12 : l.nlines == 23 && figures == 12);
        done(&p);
    }
}

/* Numbered lines in two columns, each number beside its line of the other column; an upright rule is between them. */
static void
ruled_columns(void)
{
    for (int rule = 0; rule < 2; rule++)
    {
        Paper p = paper(1300, 900);
        PageLines l;
        int left = 0, right = 0;

        for (int i = 0; i < 12; i++)
        {
            char line[19] = {0};

            set_line(&p, 60, 120 + 60 * i, 4, "50");
            set_line(&p, 170, 120 + 60 * i, 4, memcpy(line, sentences[i % 8], 18));
            set_line(&p, 690, 120 + 60 * i, 4, "50");
            set_line(&p, 800, 120 + 60 * i, 4, memcpy(line, sentences[(i + 3) % 8], 18));
        }
        fill(&p, 648, 60, rule ? 651 : 648, 840, 20);
        l = find(&p.image, 0);
        for (int i = 0; i < l.nlines; i++)
        {
            left += l.lines[i].box.x0 < 80 && l.lines[i].box.x1 < 648;
            right += l.lines[i].box.x0 > 651 && l.lines[i].box.x0 < 710;
        }
        promise(rule ? "lines on both sides of an upright rule are columns, numbered or not"
                     : "without it they are not",
                rule ? left == 12 && right == 12 : left + right < 24);
        done(&p);
    }
}

/* Two columns so near each other that the letters of some lines are as near as words. */
static void
narrow_gutter(void)
{
    Paper p = paper(1300, 1100);
    PageLines l;
    int left = 0, right = 0;

    for (int i = 0; i < 18; i++)
    {
        bool tall = i == 5 || i == 9;

        set_line(&p, 80, 150 + 44 * i, 4,
                 tall ? "the sea is high, the boat" : "nobody heard the bell, in");
        set_line(&p, 714, 150 + 44 * i, 4,
                 tall ? "bread and salt are on" : "a tree is in a garden");
    }
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines; i++)
    {
        left += l.lines[i].box.x0 < 90 && l.lines[i].box.x1 < 700;
        right += l.lines[i].box.x0 > 690;
    }
    promise("a gutter as narrow as the space between words parts columns",
            left == 18 && right == 18);
    done(&p);
}

/* The lower lines of two long columns come as near to each other as words; nothing but the upper ones tells of the gutter. */
static void
long_gutter(void)
{
    Paper p = paper(1300, 1700);
    PageLines l;
    int left = 0, right = 0;

    for (int i = 0; i < 34; i++)
    {
        set_line(&p, 80, 150 + 44 * i, 4,
                 i < 22 ? "nobody heard the bell, in" : "the sea is high, the boat");
        set_line(&p, 714, 150 + 44 * i, 4,
                 i < 22 ? "a tree is in a garden" : "bread and salt are on");
    }
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines; i++)
    {
        left += l.lines[i].box.x0 < 90 && l.lines[i].box.x1 < 700;
        right += l.lines[i].box.x0 > 690;
    }
    promise("a gutter goes on as far as rows follow in its columns", left == 34 && right == 34);
    done(&p);
}

/* Names, and what is told of each with a figure: rows of a table without rules. Lines that end at one place are a column beside
 * one. */
static void
names_and_figures(void)
{
    static const char *const names[] = {"the old house",  "a dog",  "his door",
                                        "bread and salt", "a tree", "the boat, salt",
                                        "a stone",        "the sea"};

    for (int column = 0; column < 2; column++)
    {
        Paper p = paper(1300, 800);
        PageLines l;
        int rows = 0;

        for (int i = 0; i < 8; i++)
        {
            set_line(&p, 80, 120 + 60 * i, 4, column ? "bread and salt" : names[i]);
            set_line(&p, 620, 120 + 60 * i, 4, i % 2 ? "on the hill" : "in a garden");
            set_line(&p, 1050, 120 + 60 * i, 4, i % 3 ? "500" : "5000");
        }
        l = find(&p.image, 0);
        for (int i = 0; i < l.nlines; i++)
            rows += l.lines[i].box.x0 < 90 && l.lines[i].box.x1 > 1100;
        promise(column ? "lines of one length beside such rows are a column"
                       : "names with figures far beside them are rows",
                column ? rows == 0 && l.nlines == 16 : rows == 8 && l.nlines == 8);
        done(&p);
    }
}

static void
not_text(void)
{
    Paper p = paper(1400, 1200);
    PageLines l;

    set_column(&p, 150, 200, 4, 60, 6, 40);
    fill(&p, 0, 0, 1400, 40, 5); /* the scanner's lid */
    fill(&p, 0, 0, 35, 1200, 5);
    fill(&p, 100, 110, 1300, 113, 20); /* a frame */
    fill(&p, 100, 110, 103, 560, 20);
    fill(&p, 1297, 110, 1300, 560, 20);
    fill(&p, 100, 557, 1300, 560, 20);
    fill(&p, 60, 700, 100, 740, 20);   /* a punch hole */
    fill(&p, 300, 650, 900, 1100, 60); /* a photograph */
    for (int i = 0; i < 400; i++)      /* dust */
        fill(&p, 40 + i * 7919 % 1340, 600 + i * 104729 % 590, 41 + i * 7919 % 1340,
             601 + i * 104729 % 590, 20);
    l = find(&p.image, -1);
    promise("frame, border, hole, dust and photograph leave six lines", l.nlines == 6);
    promise("the photograph is a picture, and the only one",
            l.npictures == 1 && near(l.pictures[0].box.x0, 300, 3) &&
                near(l.pictures[0].box.y1, 1100, 3));
    done(&p);
}

/* Capitals so heavy that they are as solid as a punch hole. */
static void
heavy_heading(void)
{
    Paper p = paper(1400, 800);
    PageLines l;

    for (int x = 150; x < 150 + 9 * 52; x += 52)
    {
        fill(&p, x, 100, x + 44, 150, 20);
        fill(&p, x + 13, 100, x + 18, 134, 250);
        fill(&p, x + 26, 116, x + 31, 150, 250);
    }
    set_column(&p, 150, 250, 4, 60, 6, 40);
    l = find(&p.image, 0);
    promise("a heading of heavy capitals is a line, from the first to the last",
            l.nlines == 7 && near(l.lines[0].box.x0, 150, 8) &&
                near(l.lines[0].box.x1, 150 + 8 * 52 + 44, 8));
    done(&p);
}

/* Six lines that stand on the rules of a table whose wall touches their first letters, and six free ones. */
static void
on_rules(void)
{
    Paper p = paper(1200, 900);
    PageLines l;
    int base = 0, x = 0, left = 0;

    set_column(&p, 103, 150, 4, 60, 12, 40);
    for (int i = 0; i < 6; i++)
        fill(&p, 98, 150 + 60 * i, 1100, 153 + 60 * i, p.ink);
    fill(&p, 98, 90, 102, 453, p.ink);
    fill(&p, 1097, 90, 1100, 453, p.ink);
    l = find(&p.image, -1);
    for (int i = 0; i < l.nlines; i++)
    {
        base += fabsf(l.lines[i].baseline - (150 + 60 * i)) <= 2;
        x += fabsf(l.lines[i].x_height - 20) <= 2;
        left += near(l.lines[i].box.x0, 103, 6);
    }
    promise("lines that stand on rules are lines, and the rules are none", l.nlines == 12);
    promise("their places and x-heights are right, without rules and walls",
            base == 12 && x == 12 && left == 12);
    promise("a table is not a picture", l.npictures == 0);
    done(&p);
}

/* The head of a form, white on dark, and a bar that hides something. */
static void
white_on_dark(void)
{
    Paper p = paper(1200, 900);
    PageLines l;

    set_column(&p, 103, 250, 4, 60, 8, 40);
    fill(&p, 90, 100, 700, 170, 30);
    fill(&p, 90, 760, 700, 830, 30);
    p.ink = 250;
    set_line(&p, 110, 148, 4, "the letters on a garden");
    l = find(&p.image, -1);
    promise("white letters on a dark tile are a line, a bar without any is none",
            l.nlines == 9 && near(l.lines[0].box.x0, 110, 6) &&
                fabsf(l.lines[0].baseline - 148) <= 2 && fabsf(l.lines[0].x_height - 20) <= 2);
    done(&p);
}

/* A head that is but grey, its words far apart: what is between them is no tint. */
static void
white_on_grey(void)
{
    Paper p = paper(1200, 900);
    PageLines l;

    set_column(&p, 103, 250, 4, 60, 8, 40);
    fill(&p, 90, 100, 1100, 170, 120);
    p.ink = 250;
    set_line(&p, 110, 148, 4, "the end");
    set_line(&p, 370, 148, 4, "is here");
    l = find(&p.image, 0);
    promise("white letters on a grey tile are a line from end to end",
            l.nlines == 9 && near(l.lines[0].box.x0, 110, 6) && near(l.lines[0].box.x1, 534, 6));
    done(&p);
}

/* A dark head as high as half a page, its title set in strokes thicker than what is looked at for the tint's level. */
static void
black_on_dark(void)
{
    Paper p = paper(1200, 900);
    PageLines l;

    set_column(&p, 103, 550, 4, 60, 5, 40);
    fill(&p, 60, 60, 1140, 480, 128);
    set_line(&p, 110, 260, 18, "the sea");
    set_column(&p, 110, 340, 4, 60, 2, 20);
    l = find(&p.image, 0);
    promise("black letters on a dark panel are lines, the largest too", l.nlines == 8);
    done(&p);
}

/* What the scan's edge has cut off is no line, however like a letter it looks. */
static void
at_the_edge(void)
{
    Paper p = paper(1200, 900);
    PageLines l;

    set_column(&p, 103, 150, 4, 60, 6, 40);
    for (int i = 0; i < 5; i++)
        set_line(&p, -5, 550 + 60 * i, 4, "h");
    l = find(&p.image, -1);
    promise("letters cut off by the scan's edge make no lines", l.nlines == 6);
    done(&p);
}

/* Labels less than half as high as the rest, as forms have them. */
static void
small_print(void)
{
    Paper p = paper(1200, 900);
    PageLines l;
    int labels = 0;

    for (int i = 0; i < 6; i++)
    {
        set_line(&p, 100, 150 + 120 * i, 6, sentences[i] + 18);
        set_line(&p, 100, 90 + 120 * i, 2, "dated on the");
    }
    l = find(&p.image, -1);
    for (int i = 0; i < l.nlines; i++)
        labels += l.lines[i].box.x1 < 260;
    promise("small labels are lines beside print three times as high",
            labels == 6 && l.nlines == 12);
    done(&p);
}

/* The highest or lowest row of a view's ink between two of its columns; -1: none. */
static int
ink_row(const LineView *v, int x0, int x1, bool lowest)
{
    int found = -1;

    for (int y = 0; y < shape.view_h; y++)
        for (int x = x0; x < x1 && (lowest || found < 0); x++)
            if (v->view.pixels[y * shape.view_w + x] < 100)
                found = y;
    return found;
}

/* Lines whose spaces do not stand over each other. */
static const char *const long_lines[] = {
    "the sea is lost on the road to the old door is it so",
    "a road to the sea is so old that it is lost all rest",
};

static void
bent_lines(void)
{
    Paper p = paper(1400, 1000);
    PageLines l;
    int views = 0, standing = 0;

    for (int i = 0; i < 10; i++)
        set_bent_line(&p, 100, 100 + 70 * i, 4, 30, long_lines[i % 2]);
    l = find(&p.image, 0);
    promise("ten bent lines are ten lines", l.nlines == 10);
    for (int i = 0; i < l.nviews; i++)
        for (int x = 0; x + 40 < shape.view_w; x += 40, views++)
        {
            int foot = ink_row(&l.views[i], x, x + 40, true);

            standing += foot < 0 || near(foot, (int)shape.baseline - 1, 2);
        }
    promise("letters of a bent line stand on one height in every view", views && standing == views);
    done(&p);
}

static Image leaning(const Image *in, double degrees);

/* How far the lowest feet of four letters each are from those in the middle, at most. */
static int
unevenness(const Image *im)
{
    int feet[64], n = 0, worst = 0;

    for (int x = 0; x + 96 < im->width && n < 64; x += 96)
    {
        feet[n] = -1;
        for (int y = 0; y < im->height; y++)
            for (int i = x; i < x + 96; i++)
                if (im->pixels[(size_t)y * im->width + i] < 100)
                    feet[n] = y;
        n += feet[n] >= 0;
    }
    for (int i = 0; i < n; i++)
        worst = abs(feet[i] - feet[n / 2]) > worst ? abs(feet[i] - feet[n / 2]) : worst;
    return n > 10 ? worst : 1000;
}

static void
straightened(const char *what, const Image *page, int nlines)
{
    PageLines l = find(page, 0);
    Box boxes[32] = {{0}};
    Image out[32];
    DsError err;
    int even = 0, clean = 0, tall = 0;
    char name[120];

    for (int i = 0; i < l.nlines && i < nlines; i++)
        boxes[i] = l.lines[i].box;
    boxes[nlines] = (Box){5, 5, 60, 20};
    promise("lines are straightened",
            lines_straighten(page, boxes, nlines + 1, NULL, NULL, &arena, out, &err) == DS_OK);
    for (int i = 0; i < nlines; i++)
    {
        int edges = 0;

        if (!out[i].pixels)
            continue;
        even += unevenness(&out[i]) <= 2;
        for (int x = 0; x < out[i].width; x++)
            edges += out[i].pixels[x] < 200 ||
                     out[i].pixels[(size_t)(out[i].height - 1) * out[i].width + x] < 200;
        clean += edges == 0;
        tall += near(out[i].height, 20 * 3.15, 8);
    }
    snprintf(name, sizeof name, "%s: their letters stand on one height", what);
    promise(name, l.nlines == nlines && even == nlines);
    snprintf(name, sizeof name, "%s: there is nothing of their neighbours", what);
    promise(name, clean == nlines);
    snprintf(name, sizeof name, "%s: they are as large as on the page", what);
    promise(name, tall == nlines);
    snprintf(name, sizeof name, "%s: where there is no line there is no image", what);
    promise(name, out[nlines].pixels == NULL);
}

static void
straight_lines(void)
{
    Paper p = paper(1400, 1000), q = paper(1400, 1000);
    Image skewed;

    for (int i = 0; i < 10; i++)
    {
        set_bent_line(&p, 100, 100 + 70 * i, 4, 30, long_lines[i % 2]);
        set_line(&q, 100, 200 + 60 * i, 4, "the sea is lost on the road to the old door is it so");
    }
    straightened("bent lines", &p.image, 10);
    skewed = leaning(&q.image, 4);
    straightened("sloped lines", &skewed, 10);
    free(q.image.pixels);
    done(&p);
}

static void
two_sizes(void)
{
    Paper p = paper(1400, 900);
    PageLines l;
    int right = 0;

    for (int i = 0; i < 6; i++)
    {
        int end = set_line(&p, 100, 120 + 100 * i, 4, "the old tin");

        set_line(&p, end + 60, 124 + 100 * i, 6, "no land in sight");
    }
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines; i++)
    {
        const LineView *a = &l.views[l.lines[i].first_view];
        int top = ink_row(a, 0, shape.view_w, false), foot = ink_row(a, 0, shape.view_w, true);

        right += near(foot - top + 1, 15, 1) && near(foot, (int)shape.baseline - 1, 1);
    }
    promise("a small label beside larger print is one line with it, and cut in its own size",
            l.nlines == 6 && right == 6);
    done(&p);
}

/* A capital alone at a column's head, the bar across its middle crossed by fewer strokes than what is above and below. */
static void
lone_capital(void)
{
    Paper p = paper(1200, 900);
    PageLines l;

    for (int leg = 0; leg < 3; leg++)
        fill(&p, 500 + 12 * leg, 72, 504 + 12 * leg, 100, 20);
    fill(&p, 500, 84, 528, 88, 20);
    set_column(&p, 100, 450, 4, 60, 6, 40);
    l = find(&p.image, 0);
    promise("a capital alone is as high as it is, not as its half",
            l.nlines == 7 && fabsf(l.lines[0].baseline - 100) <= 1.5f &&
                fabsf(l.lines[0].x_height - 20) <= 1.5f);
    done(&p);
}

/* In each line one letter of a word stands too low, as a slipped type does. */
static void
slipped_letters(void)
{
    Paper p = paper(1200, 900);
    PageLines l;
    int base = 0;

    for (int i = 0; i < 6; i++)
    {
        set_line(&p, 100, 120 + 100 * i, 4, "the old tin be l and the bread");
        set_line(&p, 100 + 14 * 24, 140 + 100 * i, 4, "d");
    }
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines; i++)
        base += fabsf(l.lines[i].baseline - (120 + 100 * i)) <= 1.5f;
    promise("a letter that has slipped is its line's", l.nlines == 6 && base == 6);
    done(&p);
}

/* A word of worn type at a line's end: white runs across two of its letters, so that each is two pieces of ink. */
static void
broken_letters(void)
{
    Paper p = paper(1200, 900);
    PageLines l;
    int whole = 0;

    for (int i = 0; i < 6; i++)
    {
        int end = set_line(&p, 100, 120 + 100 * i, 4, "the old tin bell"), x = end + 60;

        set_line(&p, x, 120 + 100 * i, 4, "noss");
        fill(&p, x + 48, 120 + 100 * i - 13, x + 96, 120 + 100 * i - 12, 245);
    }
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines; i++)
    {
        const Box *b = &l.views[l.lines[i].first_view + l.lines[i].nviews - 1].box;

        whole += near(b->y1 - b->y0, 20 * shape.view_h / (int)shape.x_height, 4);
    }
    promise("a word of broken letters is as large as its line", l.nlines == 6 && whole == 6);
    done(&p);
}

/* Wide gaps around words in which no letter rises, as between dashes in a justified line. */
static void
low_words(void)
{
    Paper p = paper(1600, 900);
    PageLines l;
    int right = 0;

    for (int i = 0; i < 6; i++)
    {
        set_line(&p, 60, 120 + 100 * i, 4, "bread and tea");
        set_line(&p, 440, 120 + 100 * i, 4, "noonesoarsaneroses");
        set_line(&p, 950, 120 + 100 * i, 4, "the old tin bell");
    }
    l = find(&p.image, 0);
    for (int k = 0; k < l.nviews; k++)
    {
        const LineView *v = &l.views[k];
        int x = (650 - v->box.x0) * shape.view_w / (v->box.x1 - v->box.x0);

        if (v->box.x0 > 600 || v->box.x1 < 700)
            continue;
        right +=
            near(ink_row(v, x - 20, x + 20, true) - ink_row(v, x - 20, x + 20, false) + 1, 11, 1);
    }
    promise("words in which no letter rises are no capitals of another size", right == 6);
    done(&p);
}

/* An E of 22 x 28 pixels whose arms end in serifs. */
static void
set_serif_e(Paper *p, int x, int y)
{
    fill(p, x + 3, y - 28, x + 6, y, p->ink);
    for (int arm = 0; arm < 3; arm++)
    {
        int top = arm == 0 ? y - 28 : arm == 1 ? y - 15 : y - 2;

        fill(p, x, top, arm == 1 ? x + 16 : x + 22, top + 2, p->ink);
        fill(p, arm == 1 ? x + 14 : x + 20, arm == 0 ? top : top - 5, arm == 1 ? x + 16 : x + 22,
             arm == 2 ? top + 2 : top + 7, p->ink);
    }
}

static void
serifs(void)
{
    Paper p = paper(1200, 900);
    PageLines l;
    int right = 0;

    for (int i = 0; i < 8; i++)
    {
        set_serif_e(&p, 100, 150 + 60 * i);
        set_line(&p, 126, 150 + 60 * i, 4, sentences[i]);
    }
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines; i++)
        right += near(l.lines[i].box.x0, 100, 4);
    promise("an E with serifs is a letter and no box to tick", l.nlines == 8 && right == 8);
    done(&p);
}

/* A row of boxes that share their walls, one letter in each. */
static void
set_boxes(Paper *p, int x, int y, const char *text)
{
    for (; *text; text++, x += 56)
    {
        char letter[2] = {*text, 0};

        for (int side = 0; side < 2; side++)
        {
            fill(p, x, y + 55 * side, x + 58, y + 55 * side + 2, p->ink);
            fill(p, x + 56 * side, y, x + 56 * side + 2, y + 56, p->ink);
        }
        set_line(p, x + 18, y + 42, 4, letter);
    }
}

static void
boxes_for_letters(void)
{
    Paper p = paper(1400, 1200);
    PageLines l;
    int found = 0;

    set_column(&p, 100, 100, 4, 60, 4, 40);
    for (int i = 0; i < 6; i++)
        set_boxes(&p, 100, 380 + 130 * i, "HO5OH05HOO50H");
    for (int side = 0; side < 2; side++)
    {
        fill(&p, 56, 130 + 30 * side, 88, 132 + 30 * side, p.ink);
        fill(&p, 56 + 30 * side, 130, 58 + 30 * side, 162, p.ink);
    }
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines; i++)
        for (int k = 0; k < 6; k++)
            found += fabsf(l.lines[i].baseline - (422 + 130 * k)) < 3 && l.lines[i].box.x0 > 110 &&
                     fabsf(l.lines[i].x_height - 20) < 4;
    promise("letters in boxes of their own are lines, without the boxes",
            l.nlines == 10 && found == 6);
    promise("an empty box to tick is no letter of its line", l.nlines && l.lines[1].box.x0 > 90);
    done(&p);
}

static void
leaders(void)
{
    Paper p = paper(1400, 900);
    PageLines l;
    int x = 0, short_ones = 0;

    for (int i = 0; i < 8; i++)
        set_line(&p, 100, 120 + 60 * i, 4, "a hill ................... 505");
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines; i++)
    {
        x += fabsf(l.lines[i].x_height - 20) <= 1.5f;
        short_ones += l.lines[i].nviews == 1;
    }
    promise("leaders do not change the size of a line", l.nlines == 8 && x == 8);
    promise("but for their beginning they are left out of its views", short_ones == 8);
    done(&p);
}

/* Dots as high as the smallest print may be. */
static void
square_leaders(void)
{
    Paper p = paper(1000, 700);
    PageLines l;
    int x = 0, short_ones = 0;

    for (int i = 0; i < 8; i++)
    {
        int right = set_line(&p, 100, 120 + 60 * i, 2, "a hill");

        for (int k = right + 12; k < 860; k += 12)
            fill(&p, k, 116 + 60 * i, k + 4, 120 + 60 * i, p.ink);
        set_line(&p, 880, 120 + 60 * i, 2, "505");
    }
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines; i++)
    {
        x += fabsf(l.lines[i].x_height - 10) <= 1.5f;
        short_ones += l.lines[i].nviews == 1;
    }
    promise("leaders are no small print", l.nlines == 8 && x == 8 && short_ones == 8);
    done(&p);
}

/* The darkest pixel of a line's views. */
static int
darkest(const PageLines *l, int line)
{
    int dark = 255;

    for (int v = 0; v < l->lines[line].nviews; v++)
        for (int i = 0; i < shape.view_w * shape.view_h; i++)
        {
            int px = l->views[l->lines[line].first_view + v].view.pixels[i];

            dark = px < dark ? px : dark;
        }
    return dark;
}

/* Print that fades down the page, as thermal paper does, and ink as pale all over, as a carbon copy's. */
static void
pale_ink(void)
{
    static const uint8_t inks[] = {20, 60, 100, 130, 150, 165, 175, 175};
    int dark = 0;

    for (int copy = 0; copy < 2; copy++)
    {
        Paper p = paper(1200, 1000);
        PageLines l;

        for (int i = 0; i < 8; i++)
        {
            p.ink = copy ? 205 : inks[i];
            set_line(&p, 100, 150 + 100 * i, 4, sentences[i]);
        }
        l = find(&p.image, 0);
        promise(copy ? "pale print is text where there is no darker"
                     : "a page that fades is text to its end",
                l.nlines == 8);
        for (int i = 0; i < l.nlines; i++)
            dark += darkest(&l, i) < (copy ? 110 : 160);
        done(&p);
    }
    promise("and its views are as dark as any", dark == 16);
}

/* Fine dots `step` pixels apart, every second row of them between those of the row above. */
static void
set_screen(Paper *p, int x0, int y0, int x1, int y1, int step, uint8_t v)
{
    for (int row = 0; y0 + row * step < y1; row++)
        for (int x = x0 + row % 2 * step / 2; x < x1; x += step)
            fill(p, x, y0 + row * step, x + 2, y0 + row * step + 2, v);
}

/* Print on a printed screen whose dots run into each other a little, as scans have them. */
static void
screened(void)
{
    for (int step = 3; step <= 4; step++)
    {
        Paper p = paper(1200, 1000);
        PageLines l;
        int base = 0, left = 0;

        fill(&p, 80, 500, 1120, 820, step == 3 ? 205 : 190);
        set_screen(&p, 80, 500, 1120, 820, step, 120);
        set_column(&p, 110, 150, 4, 60, 5, 40);
        set_column(&p, 110, 560, 4, 60, 5, 40);
        l = find(&p.image, 0);
        for (int i = 0; i < l.nlines; i++)
        {
            base += fabsf(l.lines[i].baseline - (i < 5 ? 150 + 60 * i : 260 + 60 * i)) <= 3;
            left += near(l.lines[i].box.x0, 110, 8) && l.lines[i].box.x1 < 1080;
        }
        promise(step == 3 ? "print on a fine screen is print" : "so it is on a less fine one",
                l.nlines == 10 && base == 10 && left == 10);
        done(&p);
    }
}

/* White letters, or none, on a panel of black dots as many as white ones. */
static void
dark_screen(void)
{
    for (int n = 0; n <= 4; n += 4)
    {
        Paper p = paper(1200, 1000);
        PageLines l;
        int base = 0;

        for (int y = 80; y < 320; y += 2)
            for (int x = 80 + y / 2 % 2 * 2; x < 1120; x += 4)
                fill(&p, x, y, x + 2, y + 2, 20);
        p.ink = 250;
        for (int i = 0; i < n; i++)
            set_line(&p, 140, 130 + 50 * i, 4, sentences[i] + 8);
        p.ink = 20;
        set_column(&p, 110, 460, 4, 60, 8, 40);
        l = find(&p.image, 0);
        for (int i = 0; i < l.nlines; i++)
            base += fabsf(l.lines[i].baseline - (i < n ? 130 + 50 * i : 460 + 60 * (i - n))) <= 3;
        promise(n ? "white print on a dark screen is print" : "a dark screen alone is none",
                l.nlines == 8 + n && base == l.nlines);
        done(&p);
    }
}

/* A typewriter's letters have places of one width, in which narrow ones have white beside them. */
static void
typewritten(void)
{
    static const char *const text[] = {
        "hills, still is. on a till it is so. it is in the hills, until it is still. ",
        "as long. the lily in its title. it is all still, so still. old oil is in the ",
        "soil. its little hills. it is till then his. all is still in the little hall. ",
        "on. its lilies. still, until this is ill. on the sill. her tiles. it is a lie. ",
    };
    Paper p = paper(2100, 1000);
    PageLines l;
    int joins = 0, right = 0;

    for (int i = 0; i < 4; i++)
        set_line(&p, 100, 150 + 80 * i, 4, text[i]);
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines && i < 4; i++)
        for (int v = l.lines[i].first_view + 1; v < l.lines[i].first_view + l.lines[i].nviews; v++)
        {
            int at = (l.views[v - 1].box.x1 - 100) / 24;

            joins++;
            right += l.views[v].glued == (text[i][at] != ' ');
        }
    promise("what is typed is parted between words, or said to be parted in one", l.nlines == 4);
    promise("and so at each join", joins >= 12 && right == joins);
    done(&p);
}

/* The head of a table on a strip of dots, little higher than its letters: of its cells many are half beside it. */
static void
screened_head(void)
{
    Paper p = paper(1200, 900);
    PageLines l;
    bool head = false;

    for (int y = 112; y < 153; y += 3)
        for (int x = 80 + y / 3 % 2 * 3; x < 1118; x += 6)
        {
            fill(&p, x, y, x + 2, y + 1, 20);
            fill(&p, x + 1, y + 1, x + 4, y + 2, 20);
        }
    set_line(&p, 140, 146, 4, "a stone");
    set_line(&p, 480, 146, 4, "on the hill");
    set_line(&p, 860, 146, 4, "salt");
    set_column(&p, 110, 230, 4, 60, 8, 40);
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines; i++)
        head |= fabsf(l.lines[i].baseline - 146) <= 4 && near(l.lines[i].box.x0, 140, 8) &&
                near(l.lines[i].box.x1, 955, 8);
    promise("a table's head on a strip of dots is print", l.nlines == 9 && head);
    done(&p);
}

/* A band that is black but for fine white dots: what is seen of the screen are these. */
static void
white_dots(void)
{
    Paper p = paper(1200, 900);
    PageLines l;
    bool white = false;

    fill(&p, 80, 80, 1120, 140, 10);
    for (int y = 81; y < 138; y += 3)
        for (int x = 82 + y / 3 % 2 * 3; x < 1116; x += 6)
            fill(&p, x, y, x + 2, y + 2, 250);
    p.ink = 250;
    set_line(&p, 140, 122, 4, "the house was old, the door");
    p.ink = 20;
    set_column(&p, 110, 230, 4, 60, 8, 40);
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines; i++)
        white |= fabsf(l.lines[i].baseline - 122) <= 3 && near(l.lines[i].box.x0, 140, 8);
    promise("white print on a band with white dots is print", l.nlines == 9 && white);
    done(&p);
}

/* The faint dots that a JPEG has around letters are no screen: full stops would go with it. */
static void
noise(void)
{
    Paper p = paper(1200, 1000);
    PageLines l;
    int right[10], whole = 0;

    set_screen(&p, 80, 100, 1120, 760, 4, 231);
    for (int i = 0; i < 10; i++)
        right[i] = set_line(&p, 110, 150 + 60 * i, 2, "the sand on the land is gone. so is it.");
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines && i < 10; i++)
        whole += near(l.lines[i].box.x1, right[i], 4);
    promise("the noise of a JPEG around print is no screen", l.nlines == 10 && whole == 10);
    done(&p);
}

static void
shaded_rows(void)
{
    Paper p = paper(1200, 1000);
    PageLines l;
    int views = 0, white = 0;

    for (int i = 0; i < 12; i += 2)
        fill(&p, 80, 112 + 60 * i, 1120, 172 + 60 * i, 145);
    set_column(&p, 100, 150, 4, 60, 12, 40);
    l = find(&p.image, 0);
    promise("all rows of a table are lines whose every second is shaded", l.nlines == 12);
    for (int i = 0; i < l.nviews; i++, views++)
        white += l.views[i].view.pixels[2 * shape.view_w + 2] > 240;
    promise("and their views have white paper", views && white == views);
    promise("nor is a shaded row a picture", l.npictures == 0);
    done(&p);
}

/* A pale page, darker to the right, on a table far darker than its ink. */
static void
on_a_table(void)
{
    Paper p = paper(1500, 1200);
    PageLines l;
    int at_text = 0;

    p.ink = 178;
    set_column(&p, 300, 300, 4, 80, 8, 40);
    for (int y = 0; y < 1200; y++)
        for (int x = 0; x < 1500; x++)
        {
            uint8_t *v = &p.image.pixels[y * 1500 + x];

            if (x < 200 || x >= 1350 || y < 150 || y >= 1050)
                *v = (uint8_t)(2 + (x / 5 * 7919 + y / 7 * 104729) % 12);
            else
                *v = (uint8_t)(*v * (2200 - x) / 2200);
        }
    l = find(&p.image, -1);
    for (int i = 0; i < l.nlines; i++)
        at_text += fabsf(l.lines[i].baseline - (300 + 80 * i)) <= 2 && l.lines[i].box.x0 > 290;
    promise("a page photographed on a dark table is its lines, and the table none",
            l.nlines == 8 && at_text == 8);
    done(&p);
}

static void
dashes(void)
{
    Paper p = paper(1200, 900);
    PageLines l;

    set_column(&p, 100, 150, 4, 60, 8, 40);
    for (int i = 0; i < 40; i++)
        fill(&p, 100 + 20 * i, 700, 113 + 20 * i, 707, p.ink);
    l = find(&p.image, 0);
    promise("a rule made of dashes is no line", l.nlines == 8);
    done(&p);
}

/* Commas right above an l or t of the next line, i-dots beside the tail of the line above. */
static void
close_rows(void)
{
    static const char *const text[2] = {"on see, on his, to ten one gay",
                                        "an hello don als, so one no isi"};
    Paper p = paper(1200, 900);
    PageLines l;
    int feet = 0, heads = 0;

    for (int i = 0; i < 12; i++)
        set_line(&p, 100, 150 + 34 * i, 4, text[i % 2]);
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines; i++)
    {
        feet += i == 11 || near(l.lines[i].box.y1, 150 + 34 * i + (i % 2 ? 4 : 8), 1);
        heads += i == 0 || near(l.lines[i].box.y0, 150 + 34 * i - 28, 1);
    }
    promise("where rows stand close, commas stay with their word: no line lacks one of its own or "
            "has one of the line above",
            l.nlines == 12 && feet == 12 && heads == 12);
    done(&p);
}

/* A dash behind a full stop and a space, one behind a space, a hyphen before one; and what is no dash at a line's end. */
static void
dashes_at_ends(void)
{
    Paper p = paper(1200, 900);
    PageLines l;
    int all = 0, left[8], right[8];

    for (int i = 0; i < 8; i++)
    {
        int y = 150 + 60 * i;

        left[i] = 200;
        right[i] = set_line(&p, 200, y, 4, i % 2 ? "the old tin bell" : "bread and salt.");
        if (i < 4)
            fill(&p, right[i] + 28, y - 11, right[i] + 58, y - 8, p.ink);
        else if (i < 6)
            fill(&p, 144, y - 11, 162, y - 8, p.ink);
        else if (i == 6)
            fill(&p, right[i] + 32, y - 14, right[i] + 38, y - 2, p.ink);
        else
            fill(&p, right[i] + 28, y - 40, right[i] + 58, y - 37, p.ink);
        left[i] = i == 4 || i == 5 ? 144 : left[i];
        right[i] += i < 4 ? 58 : 0;
    }
    l = find(&p.image, 0);
    for (int i = 0; i < l.nlines && i < 8; i++)
        all += near(l.lines[i].box.x0, left[i], 2) && near(l.lines[i].box.x1, right[i], 2);
    promise("a dash that stands off at a line's end or beginning is the line's; a blot, or one "
            "that is too high, is not",
            l.nlines == 8 && all == 8);
    done(&p);
}

/* Of thermal paper, or of a screened form: some of the marks are as high as small letters, and their edges are rough. */
static void
rough_rules(void)
{
    Paper p = paper(1200, 1300);
    PageLines l;

    set_column(&p, 100, 150, 4, 60, 8, 40);
    for (int i = 0; i < 40; i++)
    {
        int x = 100 + 20 * i, high = i % 3 ? 7 : 8;

        fill(&p, x, 700, x + 14, 700 + high, p.ink);
        for (int k = 0; k < 2; k++) /* a bite into its edge: two runs there */
            fill(&p, x + 6, k ? 700 + high - 1 : 700, x + 8, k ? 700 + high : 701, 245);
    }
    for (int i = 0; i < 120; i++)
        fill(&p, 100 + 8 * i, 800, 104 + 8 * i, i % 9 ? 804 : 808, p.ink);
    for (int i = 0; i < 8; i++) /* bars that blur has joined at their feet */
    {
        fill(&p, 300 + 40 * i, 900, 306 + 40 * i, 990, p.ink);
        fill(&p, 300 + 40 * i, 975, 322 + 40 * i, 990, p.ink);
        fill(&p, 316 + 40 * i, 900, 322 + 40 * i, 990, p.ink);
    }
    set_line(&p, 100, 1100, 4, "a needle");
    for (int i = 0; i < 40; i++)
        fill(&p, 320 + 20 * i, 1090, 334 + 20 * i, 1097, p.ink);
    set_line(&p, 100, 1200, 2, "these are the letters that he sent");
    l = find(&p.image, 0);
    promise("nor are rough ones, rows of dots or blurred bars; a heading before dashes and small "
            "print are",
            l.nlines == 10);
    done(&p);

    p = paper(2400, 1400);
    set_column(&p, 100, 250, 6, 120, 6, 40);
    set_line(&p, 100, 1250, 2, sentences[6]);
    l = find(&p.image, 0);
    promise("print a third of the page's is none of these, either", l.nlines == 7);
    done(&p);
}

/* Pale dots are not round: they were taken for small print, and their height for that of letters. */
static void
rough_leaders(void)
{
    Paper p = paper(1200, 900);
    PageLines l;
    int right;

    set_column(&p, 100, 150, 2, 60, 8, 40);
    right = set_line(&p, 100, 750, 2, "a needle");
    for (int x = right + 10; x < 940; x += 10)
    {
        fill(&p, x + 3, 745, x + 4, 746, p.ink);
        fill(&p, x + 1, 746, x + 4, 747, p.ink);
        fill(&p, x, 747, x + 4, 748, p.ink);
        fill(&p, x, 748, x + 3, 749, p.ink);
        fill(&p, x, 749, x + 1, 750, p.ink);
    }
    set_line(&p, 960, 750, 2, "500");
    l = find(&p.image, 0);
    promise("leaders that look like small print are no letters, and few of them are left",
            l.nlines == 9 && fabsf(l.lines[8].x_height - 10) <= 1 && l.lines[8].nviews == 1);
    done(&p);
}

/* How a form wants its letters: in boxes that share walls, in boxes of their own, on a rule with teeth. */
enum Boxes
{
    WALLS,
    APART,
    TEETH,
    NONE
};

static void
set_comb(Paper *p, int x, int y, int boxes, enum Boxes kind, int high, const char *text)
{
    int gap = kind == APART ? 5 : 0, top = y - (kind == TEETH ? 10 : high);

    for (int k = 0; k < boxes; k++, x += 40 + gap)
    {
        char letter[2] = {*text ? *text++ : ' ', 0};

        if (kind != NONE)
        {
            fill(p, x, y - 2, x + 42, y, p->ink);
            fill(p, x, top, x + 2, y, p->ink);
            fill(p, x + 40, top, x + 42, y, p->ink);
        }
        if (kind == WALLS || kind == APART)
            fill(p, x, top, x + 42, top + 2, p->ink);
        set_line(p, x + 11, y - (kind == TEETH ? 4 : high / 2 - 14), 4, letter);
    }
}

/* Spaces in the line whose baseline is at y, seen in its only view; -1: there is no such line. */
static int
spaces_at(const PageLines *l, int y)
{
    for (int i = 0; i < l->nlines; i++)
        if (fabsf(l->lines[i].baseline - y) < 4 && l->lines[i].nviews == 1)
        {
            const LineView *v = &l->views[l->lines[i].first_view];
            int white = 0, n = -1;

            for (int x = shape.view_w - 1; x >= 0; x--)
            {
                if (ink_row(v, x, x + 1, false) < 0)
                {
                    white++;
                    continue;
                }
                n += white > 5;
                white = 0;
            }
            return n;
        }
    return -1;
}

static void
combs(void)
{
    static const char *const what[] = {
        "letters in boxes that share walls are two words",
        "so they are in boxes of their own",
        "and on a rule with teeth",
        "but letters spread out are not one",
    };
    int spaces[4] = {0};

    for (int kind = WALLS; kind <= NONE; kind++)
    {
        Paper p = paper(1400, 700);
        PageLines l;

        set_column(&p, 100, 100, 4, 60, 4, 40);
        for (int i = 0; i < 3; i++)
            set_comb(&p, 100 + 3 * i, 400 + 100 * i, 9 + 2 * i, kind, 44, "HOH 0505");
        l = find(&p.image, 0);
        for (int i = 0; i < 3; i++)
            spaces[kind] +=
                spaces_at(&l, 400 + 100 * i - (kind == TEETH ? 4 : 8)) == (kind == NONE ? 6 : 1);
        promise(what[kind], l.nlines == 7 && spaces[kind] == 3);
        done(&p);
    }
}

/* Rows of boxes that touch above and below are a table. */
static void
table_of_figures(void)
{
    Paper p = paper(1400, 800);
    PageLines l;
    int apart = 0;

    set_column(&p, 100, 100, 4, 60, 4, 40);
    for (int i = 0; i < 6; i++)
        set_comb(&p, 100, 420 + 50 * i, 8, WALLS, 52, "50550500");
    l = find(&p.image, 0);
    for (int i = 0; i < 6; i++)
        apart += spaces_at(&l, 408 + 50 * i) == 7;
    promise("figures in the cells of a table stay apart", l.nlines == 10 && apart == 6);
    done(&p);
}

static void
shine_through(void)
{
    Paper p = paper(1200, 900);
    PageLines l;

    set_column(&p, 100, 150, 4, 60, 5, 40);
    p.ink = 205;
    set_column(&p, 130, 520, 4, 60, 5, 40);
    l = find(&p.image, 0);
    promise("print that shines through is not text", l.nlines == 5);
    done(&p);
}

static void
turned(void)
{
    Paper p = paper(1200, 900);
    DsError err;
    int right = 0;

    set_column(&p, 100, 150, 4, 60, 10, 44);
    for (int turn = 0; turn < 360; turn += 90)
    {
        Image image;
        PageLines l;

        if (image_rotate(&p.image, turn, &arena, &image, &err) != DS_OK)
            break;
        l = find(&image, -1);
        right += l.rotation == (360 - turn) % 360 && l.nlines == 10 &&
                 near(l.lines[0].box.x0, 100, 6) && near(l.lines[0].box.y1, 150, 20);
    }
    promise("a page on its side or upside down is found and turned; boxes are those of the upright "
            "page",
            right == 4);
    done(&p);
    p = paper(1200, 1500);
    set_column(&p, 100, 100, 4, 56, 10, 44);
    for (int i = 0; i < 200; i++)
        set_line(&p, 100 + i % 8 * 120, 680 + i / 8 * 32, 4, "5");
    right = 0;
    for (int turn = 0; turn < 360; turn += 90)
    {
        Image image;

        if (image_rotate(&p.image, turn, &arena, &image, &err) != DS_OK)
            break;
        right += find(&image, -1).rotation == (360 - turn) % 360;
    }
    promise("and one with many figures that are nearer to those of the next line than to their own",
            right == 4);
    done(&p);
    p = paper(600, 400);
    set_line(&p, 100, 150, 4, "gay");
    promise("a page with few letters stays as it is", find(&p.image, -1).rotation == 0);
    done(&p);
    p = paper(1200, 900);
    for (int i = 0; i < 5; i++)
    {
        set_line(&p, 100, 150 + 150 * i, 3, "HO 5000 HOHO                OH H050");
        for (int x = 100; x < 700; x += 11)
            fill(&p, x, 117 + 150 * i, x + 8, 120 + 150 * i, p.ink);
    }
    promise("rules of dashes over figures do not turn a receipt", find(&p.image, -1).rotation == 0);
    done(&p);
}

/* The page turned about its middle so that its lines fall to the right by `degrees`. */
static Image
leaning(const Image *in, double degrees)
{
    Image out = *in;
    double c = cos(degrees * M_PI / 180), n = sin(degrees * M_PI / 180);

    out.pixels = arena_alloc(&arena, (size_t)in->width * in->height);
    memset(out.pixels, 245, (size_t)in->width * in->height);
    for (int y = 0; y < in->height; y++)
        for (int x = 0; x < in->width; x++)
        {
            double u = x - in->width / 2, v = y - in->height / 2;
            int fx = (int)lrint(c * u + n * v + in->width / 2),
                fy = (int)lrint(c * v - n * u + in->height / 2);

            if (fx >= 0 && fy >= 0 && fx < in->width && fy < in->height)
                out.pixels[(size_t)y * in->width + x] = in->pixels[(size_t)fy * in->width + fx];
        }
    return out;
}

static void
skewed(void)
{
    static const double angles[] = {-8, -3, -0.4, 0.4, 3, 8};
    Paper p = paper(1200, 900);
    int right = 0, angle = 0;

    set_column(&p, 130, 200, 4, 60, 10, 36);
    for (int i = 0; i < 6; i++)
    {
        Image image = leaning(&p.image, angles[i]);
        PageLines l = find(&image, 0);
        double t = angles[i] * M_PI / 180;

        angle += fabs(l.skew - angles[i]) < 0.2;
        right += l.nlines == 10 && l.nblocks == 1 &&
                 near(l.lines[0].box.x0, (int)(600 - 470 * cos(t) + 250 * sin(t)), 16);
    }
    promise("skew up to 8 degrees is measured", angle == 6);
    promise("a skewed page has the lines of the straight one, boxes where they are on the page",
            right == 6);
    done(&p);
}

static void
blank(void)
{
    static const int sizes[][2] = {{16, 16}, {1, 1}, {2000, 17}, {17, 2000}, {600, 800}};
    int ok = 0;

    for (int i = 0; i < 5; i++)
        for (int v = 0; v <= 255; v += 255)
        {
            Paper p = paper(sizes[i][0], sizes[i][1]);

            memset(p.image.pixels, v, (size_t)sizes[i][0] * sizes[i][1]);
            ok += find(&p.image, -1).nlines == 0;
            done(&p);
        }
    promise("white and black pages of any size have no lines", ok == 10);
}

static int
stop_at_once(void *arg)
{
    return ++*(int *)arg > 1;
}

static void
refuses(void)
{
    Paper p = paper(600, 400);
    PageLines out;
    DsError err;
    LineView *views;
    int n, calls = 0;

    promise("a turn by 45 degrees is refused",
            lines_find(&p.image, &shape, 45, NULL, NULL, &arena, &out, &err) == DS_BAD_REQUEST);
    promise("tick stops it", lines_find(&p.image, &shape, -1, stop_at_once, &calls, &arena, &out,
                                        &err) == DS_CANCELLED);
    promise("an x-height of nothing is refused",
            lines_cut(&p.image, &shape, 0, 10, 20, 0, &arena, &views, &n, &err) == DS_BAD_REQUEST);
    done(&p);
}

/* --- the golden views -------------------------------------------------------------------------- */

static Image
load(const char *dir, const char *name)
{
    char path[600];
    File file;
    uint8_t *pixels;
    ImageInfo info;
    Image image = {0};
    DsError err;
    size_t size;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = read_file(path);
    if (!file.data ||
        image_info(file.data, file.n, &image_default_limits, &arena, &info, &err) != DS_OK)
        return image;
    size = (size_t)info.pages[0].width * info.pages[0].height * 3;
    pixels = arena_alloc(&arena, size);
    if (image_decode(file.data, file.n, 0, &image_default_limits, pixels, size, &image, &err) !=
        DS_OK)
        image = (Image){0};
    free(file.data);
    return image;
}

static double
difference(const Image *golden, const View *view)
{
    double sum = 0;
    int n = view->width * view->height;

    if (golden->width != view->width || golden->height != view->height)
        return 255;
    for (int i = 0; i < n; i++)
        sum += abs(golden->pixels[(size_t)i * golden->channels] - view->pixels[i]);
    return sum / n;
}

static double
worst_view(const char *dir, json_t *line)
{
    char path[600];
    Image page;
    LineView *views;
    int n;
    DsError err;
    double worst = 0;
    json_t *names = json_object_get(line, "views");

    snprintf(path, sizeof path, "samples/%s", json_string_value(json_object_get(line, "page")));
    page = load(dir, path);
    if (!page.pixels ||
        lines_cut(&page, &shape, json_number_value(json_object_get(line, "x0")),
                  json_number_value(json_object_get(line, "x1")),
                  json_number_value(json_object_get(line, "baseline")),
                  json_number_value(json_object_get(line, "x_height")), &arena, &views, &n,
                  &err) != DS_OK ||
        n != (int)json_array_size(names))
        return 255;
    for (int i = 0; i < n; i++)
    {
        Image golden;

        snprintf(path, sizeof path, "mini/%s", json_string_value(json_array_get(names, i)));
        golden = load(dir, path);
        worst = fmax(worst, golden.pixels ? difference(&golden, &views[i].view) : 255);
    }
    arena_free(&arena);
    return worst;
}

static void
golden_views(const char *dir)
{
    char path[600];
    json_t *root, *line;
    size_t i;
    double worst = 0;

    snprintf(path, sizeof path, "%s/mini/views.json", dir);
    root = json_load_file(path, 0, NULL);
    json_array_foreach(json_object_get(root, "lines"), i, line) worst =
        fmax(worst, worst_view(dir, line));
    printf("     golden views: worst mean difference %.3f grey levels\n", worst);
    promise("lines_cut gives the golden views, mean difference under a tenth of a grey level",
            json_array_size(json_object_get(root, "lines")) == 24 && worst < 0.1);
    json_decref(root);
}

/* --- the samples ------------------------------------------------------------------------------- */

typedef struct Truth
{
    int n;
    Box boxes[64];
} Truth;

typedef struct Score
{
    int truth, found, matched;
} Score;

static Truth
true_boxes(const char *dir, const char *page)
{
    char path[600], row[1000], name[100];
    Truth t = {0};
    FILE *f;

    snprintf(path, sizeof path, "%s/samples/boxes.tsv", dir);
    f = fopen(path, "r");
    while (f && fgets(row, sizeof row, f) && t.n < 64)
    {
        Box *b = &t.boxes[t.n];

        if (sscanf(row, "%99s %d %d %d %d", name, &b->x0, &b->y0, &b->x1, &b->y1) == 5)
            t.n += !strcmp(name, page);
    }
    if (f)
        fclose(f);
    return t;
}

static int
lines_of_text(const char *dir, const char *name)
{
    char path[600], row[2000];
    int n = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/samples/%s.txt", dir, name);
    f = fopen(path, "r");
    while (f && fgets(row, sizeof row, f))
        n += strspn(row, " \t\r\n") < strlen(row);
    if (f)
        fclose(f);
    return n;
}

static double
overlap(const Box *a, const Box *b)
{
    double w = fmin(a->x1, b->x1) - fmax(a->x0, b->x0);
    double h = fmin(a->y1, b->y1) - fmax(a->y0, b->y0);
    double both = w > 0 && h > 0 ? w * h : 0;

    return both / ((double)(a->x1 - a->x0) * (a->y1 - a->y0) +
                   (double)(b->x1 - b->x0) * (b->y1 - b->y0) - both);
}

/* One to one, the best pairs first, at an overlap of a half or more. */
static void
match(const Truth *t, const PageLines *l, Score *score)
{
    bool used_t[64] = {0}, used_l[512] = {0};
    double best;

    do
    {
        int bt = 0, bl = 0;

        best = 0;
        for (int i = 0; i < t->n; i++)
            for (int k = 0; k < l->nlines && k < 512; k++)
            {
                double v = used_t[i] || used_l[k] ? 0 : overlap(&t->boxes[i], &l->lines[k].box);

                if (v > best)
                {
                    best = v;
                    bt = i;
                    bl = k;
                }
            }
        if (best >= 0.5)
        {
            used_t[bt] = used_l[bl] = true;
            score->matched++;
        }
    } while (best >= 0.5);
    score->truth += t->n;
    score->found += l->nlines;
}

static void
sample_boxes(const char *dir)
{
    static const char *const pages[] = {"book_es.png", "letter_typed_en.jpg", "pricelist_de.png"};
    Score score = {0};

    for (int i = 0; i < 3; i++)
    {
        char path[100];
        Truth t = true_boxes(dir, pages[i]);
        Image page;
        PageLines l;

        snprintf(path, sizeof path, "samples/%s", pages[i]);
        page = load(dir, path);
        l = find(&page, -1);
        match(&t, &l, &score);
        arena_free(&arena);
    }
    printf("     boxes: %d true, %d found, %d matched\n", score.truth, score.found, score.matched);
    promise("97 % of the true boxes are matched",
            score.truth == 66 && score.matched * 100 >= 97 * 66);
    promise("3 % of the found lines are matched by none",
            (score.found - score.matched) * 100 <= 3 * score.found);
}

static void
sample_counts(const char *dir)
{
    static const char *const pages[][2] = {
        {"receipt_en", "jpg"}, {"phototest", "tif"}, {"magazine_en", "tif"}};

    for (int i = 0; i < 3; i++)
    {
        char path[100], what[100];
        int want = lines_of_text(dir, pages[i][0]), upright = 0;
        Image page;
        PageLines l;

        snprintf(path, sizeof path, "samples/%s.%s", pages[i][0], pages[i][1]);
        page = load(dir, path);
        l = find(&page, -1);
        snprintf(what, sizeof what, "%s: %d lines for %d of its text", pages[i][0], l.nlines, want);
        promise(what, want > 0 && abs(l.nlines - want) * 100 <= 3 * want);
        if (i == 2)
            promise("the magazine's picture is one picture",
                    l.npictures == 1 && near(l.pictures[0].box.x0, 876, 20) &&
                        near(l.pictures[0].box.y1, 2270, 20));
        for (int turn = 90; turn < 360; turn += 90)
        {
            Image turned_page;
            DsError err;

            if (image_rotate(&page, turn, &arena, &turned_page, &err) == DS_OK)
                upright += find(&turned_page, -1).rotation == 360 - turn;
        }
        snprintf(what, sizeof what, "%s is turned upright from every side", pages[i][0]);
        promise(what, upright == 3);
        arena_free(&arena);
    }
}

int
main(void)
{
    const char *dir = shared_folder();

    arena_init(&arena, 0);
    one_column();
    two_columns();
    wide_spaces();
    prices();
    at_rows_ends();
    ruled_table();
    numbers_beside_frame();
    beside_figures();
    ruled_columns();
    narrow_gutter();
    long_gutter();
    names_and_figures();
    not_text();
    heavy_heading();
    on_rules();
    white_on_dark();
    white_on_grey();
    black_on_dark();
    at_the_edge();
    small_print();
    bent_lines();
    straight_lines();
    two_sizes();
    broken_letters();
    lone_capital();
    slipped_letters();
    low_words();
    serifs();
    leaders();
    square_leaders();
    pale_ink();
    shaded_rows();
    screened();
    dark_screen();
    screened_head();
    white_dots();
    noise();
    typewritten();
    on_a_table();
    dashes();
    dashes_at_ends();
    close_rows();
    rough_rules();
    rough_leaders();
    boxes_for_letters();
    combs();
    table_of_figures();
    shine_through();
    turned();
    skewed();
    blank();
    refuses();
    if (dir)
    {
        golden_views(dir);
        sample_boxes(dir);
        sample_counts(dir);
    }
    else
        skipped("golden views and samples", "../shared is not here");
    arena_free(&arena);
    return report();
}

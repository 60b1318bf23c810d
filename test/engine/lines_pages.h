/* lines_pages.h - pages for the line finder's test, set from a type of its own in letters of 5 x 9 dots:
 * two rows of ascenders, five of x-height, two of descenders. Dots are two pixels wider than their place, so
 * that corners hold together. What stands where is known to the pixel. */
#ifndef LINES_PAGES_H
#define LINES_PAGES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"

typedef struct Glyph
{
    char c;
    const char *rows[9];
} Glyph;

static const Glyph glyphs[] = {
    {'a', {"     ", "     ", " ### ", "    #", " ####", "#   #", " ####", "     ", "     "}},
    {'b', {"#    ", "#    ", "#### ", "#   #", "#   #", "#   #", "#### ", "     ", "     "}},
    {'d', {"    #", "    #", " ####", "#   #", "#   #", "#   #", " ####", "     ", "     "}},
    {'e', {"     ", "     ", " ### ", "#   #", "#####", "#    ", " ### ", "     ", "     "}},
    {'g', {"     ", "     ", " ####", "#   #", "#   #", "#   #", " ####", "    #", " ### "}},
    {'h', {"#    ", "#    ", "#### ", "#   #", "#   #", "#   #", "#   #", "     ", "     "}},
    {'i', {"  #  ", "     ", " ##  ", "  #  ", "  #  ", "  #  ", " ### ", "     ", "     "}},
    {'l', {" ##  ", "  #  ", "  #  ", "  #  ", "  #  ", "  #  ", " ### ", "     ", "     "}},
    {'n', {"     ", "     ", "#### ", "#   #", "#   #", "#   #", "#   #", "     ", "     "}},
    {'o', {"     ", "     ", " ### ", "#   #", "#   #", "#   #", " ### ", "     ", "     "}},
    {'r', {"     ", "     ", "# ## ", "##  #", "#    ", "#    ", "#    ", "     ", "     "}},
    {'s', {"     ", "     ", " ####", "#    ", " ### ", "    #", "#### ", "     ", "     "}},
    {'t', {"  #  ", "  #  ", "#####", "  #  ", "  #  ", "  #  ", "  ###", "     ", "     "}},
    {'y', {"     ", "     ", "#   #", "#   #", "#   #", "#   #", " ####", "    #", " ### "}},
    {'H', {"#   #", "#   #", "#   #", "#####", "#   #", "#   #", "#   #", "     ", "     "}},
    {'O', {" ### ", "#   #", "#   #", "#   #", "#   #", "#   #", " ### ", "     ", "     "}},
    {'5', {"#####", "#    ", "#### ", "    #", "    #", "#   #", " ### ", "     ", "     "}},
    {'0', {" ### ", "#   #", "#   #", "#   #", "#   #", "#   #", " ### ", "     ", "     "}},
    {'.', {"     ", "     ", "     ", "     ", "     ", "     ", "  #  ", "     ", "     "}},
    {',', {"     ", "     ", "     ", "     ", "     ", "     ", "  #  ", "  #  ", "     "}},
};

typedef struct Paper
{
    Image image;
    uint8_t ink;
} Paper;

static Paper
paper(int w, int h)
{
    Paper p = {{w, h, 1, 0, malloc((size_t)w * h)}, 20};

    memset(p.image.pixels, 245, (size_t)w * h);
    return p;
}

static void
fill(Paper *p, int x0, int y0, int x1, int y1, uint8_t v)
{
    for (int y = y0 < 0 ? 0 : y0; y < y1 && y < p->image.height; y++)
        for (int x = x0 < 0 ? 0 : x0; x < x1 && x < p->image.width; x++)
            p->image.pixels[(size_t)y * p->image.width + x] = v;
}

static const Glyph *
glyph_of(char c)
{
    for (size_t i = 0; i < sizeof glyphs / sizeof *glyphs; i++)
        if (glyphs[i].c == c)
            return &glyphs[i];
    return NULL;
}

/* Sets a line with dots of `dot` pixels, its left edge at x, its baseline at y. Returns the right edge. */
static int
set_line(Paper *p, int x, int y, int dot, const char *text)
{
    int right = x;

    for (; *text; text++, x += 6 * dot)
    {
        const Glyph *g = glyph_of(*text);

        for (int r = 0; g && r < 9; r++)
            for (int c = 0; c < 5; c++)
                if (g->rows[r][c] == '#')
                {
                    fill(p, x + c * dot - 1, y + (r - 7) * dot, x + (c + 1) * dot + 1,
                         y + (r - 6) * dot, p->ink);
                    right = x + (c + 1) * dot > right ? x + (c + 1) * dot : right;
                }
    }
    return right;
}

/* The same on a baseline that falls by `depth` over the line, more and more, as at a book's gutter. */
static void
set_bent_line(Paper *p, int x, int y, int dot, int depth, const char *text)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++)
    {
        char letter[2] = {text[i], 0};
        double t = (double)i / (double)n;

        set_line(p, x + (int)i * 6 * dot, y + (int)(depth * t * t * t + 0.5), dot, letter);
    }
}

static const char *const sentences[] = {
    "the sea is high, the boat is lost and gone",
    "on the hill a dog barred his old door to all",
    "a tree of stone stood in the garden there",
    "nobody heard the bell, it had lost its sound",
    "she said it slowly and she read it to the end",
    "bread and salt are on the table, is there tea",
    "these are the letters that he sent, dated and sealed",
    "any good tailor has a thread and a needle",
};

#define NSENTENCES 8

/* A column of lines cut to `letters` letters, `step` apart; the last line is half as long. */
static void
set_column(Paper *p, int x, int y, int dot, int step, int lines, int letters)
{
    char line[128];

    for (int i = 0; i < lines; i++)
    {
        snprintf(line, sizeof line, "%.*s", i == lines - 1 ? letters / 2 : letters,
                 sentences[i % NSENTENCES]);
        set_line(p, x, y + i * step, dot, line);
    }
}

#endif

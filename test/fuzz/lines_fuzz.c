/* lines_fuzz.c - any pixels at any small size through the line finder, in every rotation.
 *
 * The first bytes choose the size, the turn and how the rest is drawn: raw pixels, stripes, or letters of
 * noise in rows; so that a few bytes reach every station. What comes out is checked: boxes on the page,
 * views of the right size, lines and views that add up. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lines.h"

static const LineShape shape = {256, 32, 11, 23};

static void
draw(const uint8_t *data, size_t n, int kind, Image *page)
{
    size_t total = (size_t)page->width * page->height * page->channels;

    for (size_t i = 0; i < total; i++)
    {
        size_t x = i / page->channels % page->width, y = i / page->channels / page->width;
        uint8_t v = n ? data[i % n] : 255;

        if (kind == 1) /* stripes */
            v = n && (data[(x / (1 + data[0] % 7)) % n] & 1) ? 0 : 255;
        else if (kind == 2) /* rows of small shapes on paper */
            v = y % 24 < 12 && x % 11 < 8 && n &&
                        data[(y / 24 * 97 + x / 11 * 7 + y % 12) % n] >> (x % 8) & 1
                    ? 0
                    : 250;
        else if (kind == 3) /* boxes in boxes */
            v = ((x ^ y) & (n ? data[y % n] | 8 : 8)) ? 255 : 0;
        page->pixels[i] = v;
    }
}

static void
check_box(const Box *b, const PageLines *l)
{
    if (b->x0 < 0 || b->y0 < 0 || b->x1 > l->width || b->y1 > l->height || b->x0 >= b->x1 ||
        b->y0 >= b->y1)
        abort();
}

static void
check(const PageLines *l)
{
    int views = 0;

    for (int i = 0; i < l->npictures; i++)
        check_box(&l->pictures[i].box, l);
    for (int i = 0; i < l->nlines; i++)
    {
        const TextLine *t = &l->lines[i];

        check_box(&t->box, l);
        if (t->block < 0 || t->block >= l->nblocks || t->first_view != views || t->nviews < 1 ||
            !(t->x_height > 0))
            abort();
        views += t->nviews;
    }
    if (views != l->nviews)
        abort();
    for (int i = 0; i < l->nviews; i++)
        if (l->views[i].view.width != 256 || l->views[i].view.height != 32 ||
            !l->views[i].view.pixels)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const int turns[] = {-1, 0, 90, 180, 270};
    Arena arena;
    PageLines out;
    DsError err;
    LineView *views;
    int nviews;
    Image page;

    if (n < 4)
        return 0;
    page = (Image){1 + data[0] * (1 + data[2] % 3), 1 + data[1] * (1 + data[2] / 3 % 3),
                   data[3] & 64 ? 3 : 1, 0, NULL};
    page.pixels = malloc((size_t)page.width * page.height * page.channels);
    draw(data + 4, n - 4, data[3] & 3, &page);
    arena_init(&arena, 0);
    if (lines_find(&page, &shape, turns[data[3] / 4 % 5], NULL, NULL, &arena, &out, &err) == DS_OK)
        check(&out);
    if (lines_cut(&page, &shape, data[0], data[0] + data[1], data[2], 1 + data[3] / 8, &arena,
                  &views, &nviews, &err))
        nviews = 0;
    arena_free(&arena);
    free(page.pixels);
    return 0;
}

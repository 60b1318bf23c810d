/* layout_fuzz.c - whatever a model says must end in a page that keeps the layout's promises, and in JSON.
 *
 * Input: text, read with the toy tokenizer, as a page reader's markup, as its answer and as a line reader's views.
 * Run from the top of the repository. */
#include "../../src/engine/json.h"
#include "../../src/engine/layout.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Tokenizer *
toy_tokenizer(void)
{
    static Tokenizer *t;
    static char json[1 << 16];
    FILE *f = t ? NULL : fopen("test/golden/tokenizer/toy.json", "rb");

    if (f)
    {
        size_t n = fread(json, 1, sizeof json, f);

        fclose(f);
        tokenizer_open(json, n, &t, NULL);
    }
    return t;
}

/* Byte offset of a character; past the end when there are fewer. */
static size_t
byte_of(const char *s, int character)
{
    size_t i = 0;

    for (; s[i] && character > 0; character--)
        do
            i++;
        while (((unsigned char)s[i] & 0xC0) == 0x80);
    return i;
}

/* What layout.h promises of every page. */
static bool
keeps_promises(const PageReading *p)
{
    for (int i = 0; i < p->nelements; i++)
    {
        const Element *e = &p->elements[i];
        size_t begin = byte_of(p->text, e->char_start), end = byte_of(p->text, e->char_end);

        if (e->char_start > e->char_end || end - begin != strlen(e->text) ||
            memcmp(p->text + begin, e->text, end - begin) != 0)
            return false;
        if (e->has_box && (e->box.x0 < 0 || e->box.y0 < 0 || e->box.x0 > e->box.x1 ||
                           e->box.y0 > e->box.y1 || e->box.x1 > p->width || e->box.y1 > p->height))
            return false;
        if (e->confidence > 1 || e->type == NULL || e->content == NULL)
            return false;
    }
    return p->text && p->markdown && p->confidence <= 1 && p->confidence_low <= 1;
}

/* The page as the JSON writer has it, read back by another's parser; NULL when that refuses it. */
static json_t *
written_and_read(const PageReading *p)
{
    JsonOut out = {0};
    char *text;
    size_t n;
    json_t *page;

    json_page(&out, p);
    if (json_text(&out, &text, &n, NULL) != DS_OK)
        return NULL;
    page = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    return page;
}

static Generated
generated(const char *text, size_t n, const char *finish_reason, Arena *arena)
{
    Generated g = {.finish_reason = finish_reason};

    if (tokenizer_encode(toy_tokenizer(), text, n, arena, &g.ids, &g.n, NULL) != DS_OK)
        abort();
    g.probabilities = arena_array(arena, (size_t)g.n + 1, sizeof *g.probabilities);
    for (int i = 0; i < g.n; i++)
        g.probabilities[i] = 0.5f + 0.5f * (float)(i % 2);
    return g;
}

static void
check_page(const PageReading *p)
{
    json_t *page = written_and_read(p);

    if (page == NULL || !keeps_promises(p))
        abort();
    json_decref(page);
}

/* The text cut into views of eight bytes, three views a line, two lines a block. */
static void
as_lines(const char *text, size_t n, const char *finish_reason, Arena *arena)
{
    PageReading page = {.page = 1, .attempts = 1};
    PageLines l = {.width = 640, .height = 480, .npictures = n % 3 == 0};
    Picture picture = {{10, 10, 20, 20}};
    Generated *pieces;
    DsError err;

    l.nviews = (int)(n / 8 + 1);
    l.nlines = (l.nviews + 2) / 3;
    l.nblocks = (l.nlines + 1) / 2;
    l.views = arena_array(arena, (size_t)l.nviews, sizeof *l.views);
    l.lines = arena_array(arena, (size_t)l.nlines, sizeof *l.lines);
    l.blocks = arena_array(arena, (size_t)l.nblocks, sizeof *l.blocks);
    l.pictures = &picture;
    pieces = arena_array(arena, (size_t)l.nviews, sizeof *pieces);
    for (int i = 0; i < l.nviews; i++)
    {
        size_t left = n - (size_t)i * 8;

        pieces[i] =
            generated(text + i * 8, left < 8 ? left : 8, i % 4 ? "eos" : finish_reason, arena);
        l.views[i].glued = i % 5 == 1;
    }
    for (int i = 0; i < l.nlines; i++)
        l.lines[i] =
            (TextLine){.first_view = i * 3, .nviews = l.nviews - i * 3 < 3 ? l.nviews - i * 3 : 3};
    for (int i = 0; i < l.nblocks; i++)
        l.blocks[i] =
            (TextBlock){.first_line = i * 2, .nlines = l.nlines - i * 2 < 2 ? l.nlines - i * 2 : 2};
    if (layout_from_lines(toy_tokenizer(), &l, pieces, arena, &page, &err) != DS_OK)
        abort();
    check_page(&page);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const reasons[] = {"eos", "length", "repeat"};
    const char *reason = reasons[size % 3];
    PageReading page = {.page = 1, .width = 1654, .height = 2339, .attempts = 1};
    Arena arena;
    Generated g;
    DsError err;

    if (toy_tokenizer() == NULL)
        abort();
    arena_init(&arena, 0);
    g = generated((const char *)data, size, reason, &arena);
    if (layout_from_markup(toy_tokenizer(), &g, &arena, &page, &err) != DS_OK)
        abort();
    check_page(&page);
    if (layout_from_answer(toy_tokenizer(), &g, &arena, &page, &err) != DS_OK)
        abort();
    check_page(&page);
    as_lines((const char *)data, size, reason, &arena);
    arena_free(&arena);
    return 0;
}

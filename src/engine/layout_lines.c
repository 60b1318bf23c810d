/* layout_lines.c - a line reader's views -> lines -> blocks -> elements; part of stage 6.
 *
 * Views of a line are joined with a space, unless a word goes on from one to the next. No space stays before a comma
 * that ends a word: old print sets white there, as wide as between words, and nobody means a space by it.
 * A view that ended without an end token was either cut short in honest reading or raved over something that is no
 * text (a rule, dots, a stain), and only the first concerns the page:
 *   repetition  more than half of the page's tokens are from views that looped
 *   truncated   else, a view ran into the token limit with a confidence of a half or more
 * What such views gave up to there stays in the text either way; their low confidence shows.
 *
 * A line read with great doubt on a page that is well read, or a quarter of it, is no print: the grain of a table, a page's
 * edge, an ornament, hatching of a map, print that shines through. It is left out. Paler ink than the page's needs a surer
 * reading, and so does a line that stands alone: print comes in blocks of lines. A page that is badly read as a whole keeps
 * all its lines, and the page's confidences are those of all that was read. Left out is also a line of dots alone: a broken
 * rule, or a row of leaders in which nobody wrote. */
#include "layout_parts.h"

#include <stdlib.h>
#include <string.h>

#define CREDIBLE  0.5f
#define WELL_READ 0.8f  /* a quarter of what is read on the page is at least so sure */
#define DOUBT     0.35f /* less sure a line is no print, */
#define ALONE     0.5f  /* less sure one that stands alone or with one other, */
#define PALER     3.5f  /* by so much more for each part that its ink is paler, */
#define MOST      0.6f  /* and at most this */
#define DOTS      5     /* so many alone are no ellipsis */

typedef struct Joiner
{
    const Tokenizer *t;
    const PageLines *lines;
    const Generated *pieces;
    Arena *arena;
    PageReading *page;
    DsError *err;
    bool well_read;
} Joiner;

/* One line's text as it grows. */
typedef struct Growing
{
    char *text;
    size_t n;
} Growing;

/* --- lines --- */

/* Control characters are no part of a line; runs of spaces stay, they are the reader's business. */
static void
append(Growing *g, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        g->text[g->n++] = (unsigned char)s[i] < 32 ? ' ' : s[i];
}

/* A word, or what closes one, ends before text[at]. */
static bool
ends_word(const char *text, size_t at)
{
    unsigned char c = at ? text[at - 1] : 0;

    if (c == '.') /* of a short form, not of leaders or an ellipsis */
        return at > 1 && text[at - 2] != '.' && text[at - 2] != ' ';
    return c >= 128 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != 0 && strchr(")]}'\"!?%", c));
}

/* A comma that ends a word loses the space before it. One with a letter or figure right behind it stays as it is: it is a
 * number's, or a typist's who put the space on the wrong side; so does one that stands alone. */
static void
close_up_commas(Growing *g)
{
    size_t to = 0;

    for (size_t i = 0; i < g->n; i++)
        if (g->text[i] != ' ' || i + 1 == g->n || g->text[i + 1] != ',' ||
            (i + 2 < g->n && g->text[i + 2] != ' ') || !ends_word(g->text, to))
            g->text[to++] = g->text[i];
    g->n = to;
}

static DsStatus
decode_view(Joiner *j, int view, const char **text, size_t *n)
{
    const Generated *g = &j->pieces[view];
    char *whole;
    DsStatus st = tokenizer_decode(j->t, g->ids, g->n, j->arena, &whole, n, NULL, j->err);

    *text = whole;
    if (st == DS_OK)
        layout_trim(text, n);
    return st;
}

/* The text of all views of a line; empty when nothing was read. */
static DsStatus
join_views(Joiner *j, const TextLine *line, const char **text)
{
    const char **parts = arena_array(j->arena, (size_t)line->nviews + 1, sizeof *parts);
    size_t *sizes = arena_array(j->arena, (size_t)line->nviews + 1, sizeof *sizes);
    size_t room = 1;
    Growing g = {0};
    DsStatus st = DS_OK;

    if (parts == NULL || sizes == NULL)
        return layout_no_room(j->err);
    for (int i = 0; st == DS_OK && i < line->nviews; i++)
    {
        st = decode_view(j, line->first_view + i, &parts[i], &sizes[i]);
        room += sizes[i] + 1;
    }
    if (st != DS_OK)
        return st;
    if ((g.text = arena_alloc(j->arena, room)) == NULL)
        return layout_no_room(j->err);
    for (int i = 0; i < line->nviews; i++)
    {
        if (g.n && sizes[i] && !j->lines->views[line->first_view + i].glued)
            g.text[g.n++] = ' ';
        append(&g, parts[i], sizes[i]);
    }
    close_up_commas(&g);
    g.text[g.n] = '\0';
    *text = g.text;
    return DS_OK;
}

static void
add_view_means(const Joiner *j, const TextLine *line, Mean *mean)
{
    for (int i = 0; i < line->nviews; i++)
    {
        const Generated *g = &j->pieces[line->first_view + i];

        mean_add_all(mean, g->probabilities, g->n);
    }
}

/* How sure the letters are. A leader's third dot and those behind it do not count: they are sure of themselves whatever
 * stands beside them. */
static float
certainty(const Joiner *j, const TextLine *line)
{
    Mean mean = {0};

    for (int i = 0; i < line->nviews; i++)
    {
        const Generated *g = &j->pieces[line->first_view + i];

        for (int k = 0; k < g->n; k++)
            if (k < 2 || g->ids[k] != g->ids[k - 1] || g->ids[k] != g->ids[k - 2])
                mean_add(&mean, g->probabilities[k]);
    }
    return mean_value(&mean);
}

typedef struct Sure
{
    float confidence;
    int tokens;
} Sure;

static int
by_confidence(const void *a, const void *b)
{
    const Sure *p = a, *q = b;

    return (p->confidence > q->confidence) - (p->confidence < q->confidence);
}

/* Whether a quarter of the page's tokens are in lines that are surely read. */
static DsStatus
look_how_sure(Joiner *j)
{
    int n = j->lines->nlines, all = 0, i = 0;
    Sure *sure = arena_array(j->arena, (size_t)n + 1, sizeof *sure);

    if (sure == NULL)
        return layout_no_room(j->err);
    for (int k = 0; k < n; k++)
    {
        Mean mean = {0};

        add_view_means(j, &j->lines->lines[k], &mean);
        sure[k] = (Sure){mean_value(&mean), mean.n};
        all += mean.n;
    }
    qsort(sure, n, sizeof *sure, by_confidence);
    for (int below = 0; i < n && 4 * (below += sure[i].tokens) < 3 * all; i++)
        ;
    j->well_read = i < n && sure[i].confidence >= WELL_READ;
    return DS_OK;
}

static bool
is_no_print(const Joiner *j, const TextLine *line)
{
    float paler = line->ink > 0 && line->ink < 1 ? 1 - line->ink : 0;
    bool alone = j->lines->blocks[line->block].nlines < 3;
    float least = (alone ? ALONE : DOUBT) + PALER * paler;

    return j->well_read && certainty(j, line) < (least < MOST ? least : MOST);
}

static bool
is_dotted(const char *text)
{
    int dots = 0;

    for (; *text; text++)
    {
        if (*text != '.' && *text != ' ')
            return false;
        dots += *text == '.';
    }
    return dots >= DOTS;
}

/* A line in which nothing was read was a stain, and is left out; so is what is no print. */
static DsStatus
add_line(Joiner *j, const TextLine *line, Element *e, Mean *mean)
{
    ElementLine *out = &e->lines[e->nlines];
    Mean own = {0};
    DsStatus st;

    if ((st = join_views(j, line, &out->text)) != DS_OK || out->text[0] == '\0')
        return st;
    add_view_means(j, line, &own);
    if (is_dotted(out->text) || is_no_print(j, line))
        return DS_OK;
    mean->logs += own.logs;
    mean->n += own.n;
    out->box = line->box;
    out->geometry = "measured";
    out->confidence = mean_value(&own);
    e->nlines++;
    return DS_OK;
}

/* --- blocks --- */

static const char *
heading_mark(const char *type)
{
    if (strcmp(type, "title") == 0)
        return "# ";
    return strcmp(type, "section_header") == 0 ? "## " : "";
}

/* Lines to the element's text and content: a heading must be one line of Markdown, other blocks keep their breaks. */
static DsStatus
join_lines(Joiner *j, Element *e)
{
    const char *mark = heading_mark(e->type);
    size_t room = 1, n = 0, head = strlen(mark);
    char *text, *content;

    for (int i = 0; i < e->nlines; i++)
        room += strlen(e->lines[i].text) + 1;
    text = arena_alloc(j->arena, room);
    content = arena_alloc(j->arena, room + head);
    if (text == NULL || content == NULL)
        return layout_no_room(j->err);
    for (int i = 0; i < e->nlines; i++)
    {
        size_t one = strlen(e->lines[i].text);

        if (i > 0)
            text[n++] = '\n';
        memcpy(text + n, e->lines[i].text, one);
        n += one;
    }
    text[n] = '\0';
    memcpy(content, mark, head);
    memcpy(content + head, text, n + 1);
    for (size_t i = head; head && i < head + n; i++)
        if (content[i] == '\n')
            content[i] = ' ';
    e->text = text;
    e->content = content;
    return DS_OK;
}

static DsStatus
add_block(Joiner *j, const TextBlock *block)
{
    Element *e = &j->page->elements[j->page->nelements];
    Mean mean = {0};
    DsStatus st = DS_OK;

    *e = (Element){.type = block->type ? block->type : "text", .has_box = true, .box = block->box};
    e->geometry = "measured";
    if ((e->lines = arena_array(j->arena, (size_t)block->nlines + 1, sizeof *e->lines)) == NULL)
        return layout_no_room(j->err);
    for (int i = 0; st == DS_OK && i < block->nlines; i++)
        st = add_line(j, &j->lines->lines[block->first_line + i], e, &mean);
    if (st != DS_OK || e->nlines == 0)
        return st;
    e->confidence = mean_value(&mean);
    j->page->nelements++;
    return join_lines(j, e);
}

static void
add_picture(Joiner *j, const Picture *picture)
{
    j->page->elements[j->page->nelements++] = (Element){
        .type = "figure",
        .content = "",
        .text = "",
        .has_box = true,
        .box = picture->box,
        .geometry = "measured",
        .confidence = -1,
    };
}

/* A picture is read before the first block that stands below it in its column. */
static bool
stands_before(const Picture *picture, const TextBlock *block)
{
    const Box *p = &picture->box, *b = &block->box;

    return b->y0 >= (p->y0 + p->y1) / 2 && b->x0 < p->x1 && b->x1 > p->x0;
}

static DsStatus
add_elements(Joiner *j)
{
    const PageLines *l = j->lines;
    bool *placed = arena_array(j->arena, (size_t)l->npictures + 1, sizeof *placed);
    DsStatus st = DS_OK;

    if (placed == NULL)
        return layout_no_room(j->err);
    for (int b = 0; st == DS_OK && b < l->nblocks; b++)
    {
        for (int p = 0; p < l->npictures; p++)
            if (!placed[p] && stands_before(&l->pictures[p], &l->blocks[b]))
            {
                add_picture(j, &l->pictures[p]);
                placed[p] = true;
            }
        st = add_block(j, &l->blocks[b]);
    }
    for (int p = 0; st == DS_OK && p < l->npictures; p++)
        if (!placed[p])
            add_picture(j, &l->pictures[p]);
    return st;
}

/* --- the page --- */

static void
set_status(Joiner *j)
{
    PageReading *page = j->page;
    int all = 0, looped = 0;
    bool cut = false;

    for (int i = 0; i < j->lines->nviews; i++)
    {
        const Generated *g = &j->pieces[i];
        Mean mean = {0};

        mean_add_all(&mean, g->probabilities, g->n);
        all += g->n;
        looped += strcmp(g->finish_reason, "repeat") == 0 ? g->n : 0;
        cut = cut || (strcmp(g->finish_reason, "length") == 0 && mean_value(&mean) >= CREDIBLE);
    }
    page->finish_reason = "eos";
    page->status = layout_is_blank(page) ? "blank" : "ok";
    if (2 * looped > all)
    {
        page->status = "repetition";
        page->finish_reason = "repeat";
        page->error_code = "repetition";
        page->error_message = "the model repeated itself on most of the page; the text up to each "
                              "first repeat is kept";
    }
    else if (cut)
    {
        page->status = "truncated";
        page->finish_reason = "length";
    }
}

static DsStatus
set_confidence(Joiner *j)
{
    float *probabilities;
    int n = 0;

    for (int i = 0; i < j->lines->nviews; i++)
        n += j->pieces[i].n;
    if ((probabilities = arena_array(j->arena, (size_t)n + 1, sizeof *probabilities)) == NULL)
        return layout_no_room(j->err);
    n = 0;
    for (int i = 0; i < j->lines->nviews; i++)
        for (int k = 0; k < j->pieces[i].n; k++)
            probabilities[n++] = j->pieces[i].probabilities[k];
    return layout_confidence(probabilities, n, j->arena, j->page, j->err);
}

DsStatus
layout_from_lines(const Tokenizer *t, const PageLines *lines, const Generated *pieces, Arena *arena,
                  PageReading *page, DsError *err)
{
    Joiner j = {t, lines, pieces, arena, page, err, false};
    DsStatus st;

    page->width = lines->width;
    page->height = lines->height;
    page->rotation = lines->rotation;
    page->skew = lines->skew;
    page->want_lines = true;
    page->nelements = 0;
    page->elements = arena_array(arena, (size_t)lines->nblocks + (size_t)lines->npictures + 1,
                                 sizeof *page->elements);
    if (page->elements == NULL)
        return layout_no_room(err);
    if ((st = look_how_sure(&j)) != DS_OK || (st = add_elements(&j)) != DS_OK ||
        (st = layout_join(page, arena, err)) != DS_OK)
        return st;
    set_status(&j);
    return set_confidence(&j);
}

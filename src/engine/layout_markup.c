/* layout_markup.c - a page reader's grounded markdown -> elements; part of stage 6. Spec 10.
 *
 *   output = { block };  block = <|ref|> label <|/ref|><|det|> boxes <|/det|> content
 *   boxes  = [[x0, y0, x1, y1], ...] in 0..999
 *
 * The model is a stranger too: nothing is evaluated, what does not parse is kept as text, and tags that lead
 * nowhere are taken out. Sharp edge: 999 is the far side of the page, so pixels are v / 999 * side, cut off. */
#include "layout_parts.h"

#include <string.h>
#include <strings.h>

#include "utf8.h"

#define MAX_LABEL 64

/* The model's words for kinds of blocks (spec 10.1; the lower half seen elsewhere) and ours. */
static const struct
{
    const char *label, *type;
} types[] = {
    {"title", "title"},
    {"sub_title", "section_header"},
    {"text", "text"},
    {"equation", "formula"},
    {"table", "table"},
    {"image", "figure"},
    {"figure_title", "caption"},
    {"image_caption", "caption"},
    {"table_caption", "caption"},
    {"table_footnote", "footnote"},

    {"section_header", "section_header"},
    {"paragraph", "text"},
    {"abstract", "text"},
    {"reference", "text"},
    {"references", "text"},
    {"formula", "formula"},
    {"figure", "figure"},
    {"picture", "figure"},
    {"chart", "figure"},
    {"table_title", "caption"},
    {"caption", "caption"},
    {"figure_caption", "caption"},
    {"chart_title", "caption"},
    {"footnote", "footnote"},
    {"image_footnote", "footnote"},
    {"figure_footnote", "footnote"},
    {"header", "page_header"},
    {"page_header", "page_header"},
    {"footer", "page_footer"},
    {"page_footer", "page_footer"},
    {"page_number", "page_number"},
    {"number", "page_number"},
    {"list", "list"},
    {"list_item", "list"},
    {"code", "code"},
    {"algorithm", "code"},
    {"seal", "seal"},
    {"stamp", "seal"},
};

static const char *
type_of_label(const char *label)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcasecmp(types[i].label, label) == 0)
            return types[i].type;
    return "other";
}

/* --- boxes --- */

/* Passes white space, then the character; false when another stands there. */
static bool
pass(const char **s, const char *end, char c)
{
    while (*s < end && (**s == ' ' || **s == '\n'))
        ++*s;
    if (*s == end || **s != c)
        return false;
    ++*s;
    return true;
}

/* 0..999 as plain decimal text. */
static bool
pass_number(const char **s, const char *end, int *v)
{
    int digits = 0;

    while (*s < end && **s == ' ')
        ++*s;
    for (*v = 0; *s < end && **s >= '0' && **s <= '9' && digits < 3; ++*s, digits++)
        *v = *v * 10 + (**s - '0');
    return digits > 0 && (*s == end || **s < '0' || **s > '9');
}

static bool
pass_box(const char **s, const char *end, int box[4])
{
    for (int i = 0; i < 4; i++)
        if (!pass(s, end, i == 0 ? '[' : ',') || !pass_number(s, end, &box[i]))
            return false;
    return pass(s, end, ']') && box[0] <= box[2] && box[1] <= box[3];
}

/* All the boxes of a block; `around` becomes the smallest one around them. Boxes without area are welcome. */
static bool
parse_boxes(const char *s, const char *end, int around[4])
{
    int box[4];
    size_t left_over;

    if (!pass(&s, end, '['))
        return false;
    for (int n = 0; n == 0 || pass(&s, end, ','); n++)
    {
        if (!pass_box(&s, end, box))
            return false;
        for (int i = 0; i < 4; i++)
            if (n == 0 || (i < 2 ? box[i] < around[i] : box[i] > around[i]))
                around[i] = box[i];
    }
    if (!pass(&s, end, ']'))
        return false;
    left_over = (size_t)(end - s);
    layout_trim(&s, &left_over);
    return left_over == 0;
}

/* --- reading --- */

typedef struct Header
{
    const char *begin, *end; /* of the whole head, tags and all */
    const char *label;
    size_t nlabel;
    bool has_box;
    int box[4];
} Header;

typedef struct Reader
{
    Arena *arena;
    PageReading *page;
    DsError *err;
    const char *text, *end;
    const int *starts; /* [nids + 1] where each token's text begins */
    const float *probabilities;
    int nids;
} Reader;

static bool
begins(const char *s, const char *end, const char *tag)
{
    return (size_t)(end - s) >= strlen(tag) && memcmp(s, tag, strlen(tag)) == 0;
}

static const char *
find(const char *s, const char *end, const char *tag)
{
    for (; (s = memchr(s, tag[0], (size_t)(end - s))) != NULL; s++)
        if (begins(s, end, tag))
            return s;
    return NULL;
}

/* The head of a block at s, which begins with <|ref|>: adjacent tags, a short label of one line. */
static bool
read_header(const char *s, const char *end, Header *h)
{
    const char *limit, *close, *boxes;

    *h = (Header){.begin = s, .label = s + strlen("<|ref|>")};
    limit = end - h->label > MAX_LABEL + 16 ? h->label + MAX_LABEL + 16 : end;
    close = find(h->label, limit, "<|/ref|><|det|>");
    if (close == NULL || close - h->label > MAX_LABEL ||
        memchr(h->label, '\n', (size_t)(close - h->label)) || find(h->label, close, "<|"))
        return false;
    h->nlabel = (size_t)(close - h->label);
    layout_trim(&h->label, &h->nlabel);
    boxes = close + strlen("<|/ref|><|det|>");
    if ((close = find(boxes, end, "<|")) == NULL || !begins(close, end, "<|/det|>"))
        return false;
    h->has_box = parse_boxes(boxes, close, h->box);
    h->end = close + strlen("<|/det|>");
    return true;
}

/* The next head from s on; false when there is none. */
static bool
next_header(const char *s, const char *end, Header *h)
{
    for (; (s = find(s, end, "<|ref|>")) != NULL; s++)
        if (read_header(s, end, h))
            return true;
    return false;
}

static const char *const stray[] = {"<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", "<|grounding|>"};

/* A copy without tags that belong to no block. */
static char *
without_tags(Arena *arena, const char *s, size_t n)
{
    const char *end = s + n;
    char *out = arena_alloc(arena, n + 1), *o = out;

    while (out && s < end)
    {
        size_t i = 0;

        while (i < sizeof stray / sizeof *stray && !begins(s, end, stray[i]))
            i++;
        if (i < sizeof stray / sizeof *stray)
            s += strlen(stray[i]);
        else
            *o++ = *s++;
    }
    if (out)
        *o = '\0';
    return out;
}

/* --- elements --- */

static float
confidence_between(const Reader *r, const char *begin, const char *end)
{
    Mean m = {0};
    int low = 0, high = r->nids;

    while (low < high)
    {
        int middle = (low + high) / 2;

        if (r->text + r->starts[middle + 1] <= begin)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < r->nids && r->text + r->starts[low] < end; low++)
        if (r->starts[low + 1] > r->starts[low])
            mean_add(&m, r->probabilities[low]);
    return mean_value(&m);
}

static int
pixels(int v, int side)
{
    return (int)(v / 999.0 * side);
}

static void
set_box(Element *e, const Header *h, const PageReading *page)
{
    memcpy(e->box_999, h->box, sizeof e->box_999);
    e->has_box = e->has_999 = true;
    e->geometry = "model";
    e->box = (Box){pixels(h->box[0], page->width), pixels(h->box[1], page->height),
                   pixels(h->box[2], page->width), pixels(h->box[3], page->height)};
}

/* Code is kept as it is: '#' and '<' mean themselves there. */
static bool
set_text(Reader *r, Element *e)
{
    e->text = e->content;
    if (strcmp(e->type, "code") != 0)
        e->text = layout_plain(r->arena, e->content, strlen(e->content));
    return e->text != NULL;
}

/* One element from the text [s, end) and, for a block, its head. */
static DsStatus
add_element(Reader *r, const Header *h, const char *s, const char *end)
{
    size_t n = (size_t)(end - s);
    Element *e = &r->page->elements[r->page->nelements];
    const char *content, *label = NULL;

    layout_trim(&s, &n);
    if ((content = without_tags(r->arena, s, n)) == NULL)
        return layout_no_room(r->err);
    if (content[0] == '\0' && h == NULL)
        return DS_OK;
    if (h && (label = arena_strndup(r->arena, h->label, h->nlabel)) == NULL)
        return layout_no_room(r->err);
    *e = (Element){
        .label = label, .content = content, .type = label ? type_of_label(label) : "text"};
    if (label == NULL && begins(s, s + n, "<table"))
        e->type = "table";
    if (!set_text(r, e))
        return layout_no_room(r->err);
    if (h && h->has_box)
        set_box(e, h, r->page);
    e->confidence = n ? confidence_between(r, s, s + n) : confidence_between(r, h->begin, h->end);
    r->page->nelements++;
    return DS_OK;
}

/* Text outside of blocks: an element for each paragraph. */
static DsStatus
add_paragraphs(Reader *r, const char *s, const char *end)
{
    DsStatus st = DS_OK;

    while (st == DS_OK && s < end)
    {
        const char *gap = find(s, end, "\n\n");

        st = add_element(r, NULL, s, gap ? gap : end);
        s = gap ? gap + 2 : end;
    }
    return st;
}

/* A head of which only the beginning stands at s: a label, or a label and the beginning of its boxes. */
static bool
is_unfinished(const char *s, const char *end)
{
    const char *close = find(s, end, "<|/ref|>");
    const char *boxes = close ? close + strlen("<|/ref|>") : NULL;

    if (memchr(s, '\n', (size_t)(end - s)))
        return false;
    if (close == NULL)
        return end - s <= (long)(strlen("<|ref|>") + MAX_LABEL);
    return boxes == end || (begins(boxes, end, "<|det|>") && find(boxes, end, "<|/det|>") == NULL);
}

/* Where the text ends when a head that the token limit cut is left off. */
static const char *
without_unfinished_header(const char *s, const char *end)
{
    const char *last = NULL;

    for (; (s = find(s, end, "<|ref|>")) != NULL; s++)
        last = s;
    return last && is_unfinished(last, end) ? last : end;
}

static DsStatus
read_blocks(Reader *r)
{
    const char *end = without_unfinished_header(r->text, r->end);
    Header h, next;
    bool more = next_header(r->text, end, &next);
    DsStatus st = add_paragraphs(r, r->text, more ? next.begin : end);

    while (st == DS_OK && more)
    {
        h = next;
        more = next_header(h.end, end, &next);
        st = add_element(r, &h, h.end, more ? next.begin : end);
    }
    return st;
}

/* --- the page's texts --- */

/* Two words of LaTeX that Markdown readers do not know, and more than one empty line (spec 10.3). In place. */
static void
tidy_markdown(char *text)
{
    static const struct
    {
        const char *from, *to;
    } words[] = {{"\\coloneqq", ":="}, {"\\eqqcolon", "=:"}, {"\n\n\n", "\n\n"}};
    const char *s = text, *end = text + strlen(text);
    char *o = text;

    while (s < end)
    {
        size_t i = 0;

        while (i < 3 && !begins(s, end, words[i].from))
            i++;
        if (i == 2)
            s++;
        else if (i < 2)
        {
            memcpy(o, words[i].to, 2);
            o += 2;
            s += strlen(words[i].from);
        }
        else
            *o++ = *s++;
    }
    *o = '\0';
}

static void
set_status(PageReading *page, const Generated *g)
{
    page->finish_reason = g->finish_reason;
    if (strcmp(g->finish_reason, "repeat") == 0)
    {
        page->status = "repetition";
        page->error_code = "repetition";
        page->error_message = "the model repeated itself; the text up to the first repeat is kept";
    }
    else if (strcmp(g->finish_reason, "length") == 0)
        page->status = "truncated";
    else
        page->status = layout_is_blank(page) ? "blank" : "ok";
}

/* A token that is no part of the page: place holders and ends, which are written with full-width bars. */
static bool
is_printed(const Tokenizer *t, int32_t id)
{
    size_t n;
    const char *bytes = tokenizer_bytes(t, id, &n);

    return !tokenizer_is_special(t, id) || !(begins(bytes, bytes + n, "<\xEF\xBD\x9C") ||
                                             (n == 7 && memcmp(bytes, "<image>", n) == 0));
}

/* U+0000, which no C string holds, becomes U+FFFD; starts follow. */
static DsStatus
without_nul(Reader *r, char *text, size_t n, int *starts)
{
    size_t nuls = 0, o = 0;
    int k = 0;
    char *out;

    for (size_t i = 0; i < n; i++)
        nuls += text[i] == '\0';
    if ((out = arena_alloc(r->arena, n + 2 * nuls + 1)) == NULL)
        return layout_no_room(r->err);
    for (size_t i = 0; i < n; i++)
    {
        for (; k <= r->nids && (size_t)starts[k] == i; k++)
            starts[k] = (int)o;
        memcpy(out + o, text[i] ? text + i : UTF8_REPLACEMENT, text[i] ? 1 : 3);
        o += text[i] ? 1 : 3;
    }
    for (; k <= r->nids; k++)
        starts[k] = (int)o;
    out[o] = '\0';
    r->text = out;
    r->end = out + o;
    r->starts = starts;
    return DS_OK;
}

/* Ids -> the reader's text, with where each token begins. */
static DsStatus
decode(Reader *r, const Tokenizer *t, const Generated *g)
{
    int32_t *ids = arena_array(r->arena, (size_t)g->n + 1, sizeof *ids);
    float *probabilities = arena_array(r->arena, (size_t)g->n + 1, sizeof *probabilities);
    int *starts = arena_array(r->arena, (size_t)g->n + 1, sizeof *starts);
    char *text;
    size_t n;
    DsStatus st;

    if (ids == NULL || probabilities == NULL || starts == NULL)
        return layout_no_room(r->err);
    for (int i = 0; i < g->n; i++)
        if (is_printed(t, g->ids[i]))
        {
            ids[r->nids] = g->ids[i];
            probabilities[r->nids++] = g->probabilities[i];
        }
    if ((st = tokenizer_decode(t, ids, r->nids, r->arena, &text, &n, starts, r->err)) != DS_OK)
        return st;
    r->probabilities = probabilities;
    return without_nul(r, text, n, starts);
}

/* --- answers --- */

#define BEFORE_BOXES "<|/ref|><|det|>"

/* An element for each box of the text [s, end), if nothing else is there. */
static void
add_boxes(Reader *r, const char *s, const char *end)
{
    Header h;

    if (!parse_boxes(s, end, h.box))
        return;
    for (const char *at = s; pass(&at, end, at == s ? '[' : ',');)
    {
        Element *e = &r->page->elements[r->page->nelements++];
        const char *begin = at;

        pass_box(&at, end, h.box);
        *e = (Element){.type = "other", .content = "", .text = ""};
        set_box(e, &h, r->page);
        e->confidence = confidence_between(r, begin, at);
    }
}

/* The answer and its boxes, of which each begins with a bracket. */
static DsStatus
read_answer(Reader *r)
{
    int most = 1;
    const char *s, *close;
    DsStatus st;

    for (s = r->text; (s = find(s, r->end, "[")) != NULL; s++)
        most++;
    r->page->elements = arena_array(r->arena, (size_t)most, sizeof *r->page->elements);
    if (r->page->elements == NULL)
        return layout_no_room(r->err);
    if ((st = add_element(r, NULL, r->text, r->end)) != DS_OK)
        return st;
    for (s = r->text; (s = find(s, r->end, BEFORE_BOXES)) != NULL; s = close)
    {
        s += strlen(BEFORE_BOXES);
        if ((close = find(s, r->end, "<|/det|>")) == NULL)
            break;
        add_boxes(r, s, close);
    }
    return DS_OK;
}

/* --- blocks, or an answer --- */

/* Each block has a head, each paragraph a gap of two characters before it. */
static int
most_elements(const Reader *r)
{
    int n = 2;
    const char *s = r->text;

    for (; (s = find(s, r->end, "<|ref|>")) != NULL; s++)
        n++;
    for (s = r->text; (s = find(s, r->end, "\n\n")) != NULL; s++)
        n++;
    return n;
}

static DsStatus
read_markup(Reader *r)
{
    r->page->elements = arena_array(r->arena, most_elements(r), sizeof *r->page->elements);
    return r->page->elements ? read_blocks(r) : layout_no_room(r->err);
}

static DsStatus
layout_from(DsStatus (*read)(Reader *), const Tokenizer *t, const Generated *g, Arena *arena,
            PageReading *page, DsError *err)
{
    Reader r = {.arena = arena, .page = page, .err = err};
    DsStatus st;

    page->nelements = 0;
    if ((st = decode(&r, t, g)) != DS_OK || (st = read(&r)) != DS_OK ||
        (st = layout_join(page, arena, err)) != DS_OK)
        return st;
    set_status(page, g);
    return layout_confidence(r.probabilities, r.nids, arena, page, err);
}

DsStatus
layout_from_answer(const Tokenizer *t, const Generated *g, Arena *arena, PageReading *page,
                   DsError *err)
{
    return layout_from(read_answer, t, g, arena, page, err);
}

DsStatus
layout_from_markup(const Tokenizer *t, const Generated *g, Arena *arena, PageReading *page,
                   DsError *err)
{
    DsStatus st = layout_from(read_markup, t, g, arena, page, err);

    if (st == DS_OK)
        tidy_markdown((char *)page->markdown);
    return st;
}

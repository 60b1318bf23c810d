/* layout_test.c - what a model said, and the blocks, texts, boxes and statuses it becomes. */
#include "../../src/engine/layout.h"

#include "../fuzz/layout_fuzz.c"
#include "corpus.h"

static Arena arena;

#define REF(label, boxes) "<|ref|>" label "<|/ref|><|det|>" boxes "<|/det|>\n"

static PageReading
read_bytes(const char *text, size_t n, const char *finish_reason)
{
    PageReading page = {.page = 1, .width = 1654, .height = 2339};
    Generated g = generated(text, n, finish_reason, &arena);
    DsError err = {0};

    if (layout_from_markup(toy_tokenizer(), &g, &arena, &page, &err) != DS_OK)
        printf("# %s\n", err.message);
    return page;
}

static PageReading
read_text(const char *text)
{
    return read_bytes(text, strlen(text), "eos");
}

static bool
same_box(Box b, int x0, int y0, int x1, int y1)
{
    return b.x0 == x0 && b.y0 == y0 && b.x1 == x1 && b.y1 == y1;
}

static const struct
{
    const char *type, *label, *content, *text;
} expected[] = {
    {"title", "title", "# Yearly **report**", "Yearly report"},
    {"section_header", "sub_title", "## 1. Élève", "1. Élève"},
    {"text", "text", "First line\nsecond \\( a^2 \\) line", "First line\nsecond \\( a^2 \\) line"},
    {"formula", "equation", "\\[ E = mc^2 \\quad (3) \\]", "\\[ E = mc^2 \\quad (3) \\]"},
    {"figure", "image", "", ""},
    {"caption", "figure_title", "<center>Figure 1</center>", "Figure 1"},
    {"table", "table",
     "<table><tr><td>a</td><td>1</td></tr><tr><td>b &amp; c</td><td></td></tr></table>",
     "a\t1\nb & c\t"},
    {"footnote", "table_footnote", "\\* of all", "\\* of all"},
    {"other", "Stempel", "x", "x"},
};

static void
grounded(void)
{
    /* clang-format off */
    PageReading p = read_text(
        REF("title", "[[330, 198, 559, 230]]") "# Yearly **report**\n\n"
        REF("sub_title", "[[450, 263, 547, 283]]") "## 1. Élève\n\n"
        REF("text", "[[0, 0, 999, 999]]") "First line\nsecond \\( a^2 \\) line\n\n"
        REF("equation", "[[1, 2, 3, 4]]") " \\[ E = mc^2 \\quad (3) \\] \n\n"
        REF("image", "[[5, 6, 7, 8]]") "\n\n"
        REF("figure_title", "[[5, 6, 7, 8]]") "<center>Figure 1</center>\n\n"
        REF("table", "[[9, 9, 9, 9]]")
            "<table><tr><td>a</td><td>1</td></tr><tr><td>b &amp; c</td><td></td></tr></table>\n\n"
        REF("table_footnote", "[[5, 6, 7, 8]]") "\\* of all\n\n"
        REF("Stempel", "[[5, 6, 7, 8]]") "x\n\n");
    /* clang-format on */
    int n = (int)(sizeof expected / sizeof *expected);

    if (!promise("each block becomes an element", p.nelements == n))
        return;
    for (int i = 0; i < n; i++)
    {
        const Element *e = &p.elements[i];
        bool ok =
            strcmp(e->type, expected[i].type) == 0 && strcmp(e->label, expected[i].label) == 0 &&
            strcmp(e->content, expected[i].content) == 0 && strcmp(e->text, expected[i].text) == 0;

        if (!promise(expected[i].label, ok))
            printf("# %s / %s / [%s]\n", e->type, e->content, e->text);
    }
    promise("boxes are v / 999 of each side, cut off",
            same_box(p.elements[1].box, 745, 615, 905, 662));
    promise("999 is the far side", same_box(p.elements[2].box, 0, 0, 1654, 2339));
    promise("the model's own numbers are kept",
            p.elements[1].box_999[0] == 450 && p.elements[1].box_999[3] == 283);
    promise("boxes without area are welcome", p.elements[6].has_box);
    promise("the page's text is the elements' texts",
            strncmp(p.text, "Yearly report\n\n1. Élève\n\nFirst", 29) == 0);
    promise("char_start and char_end count characters",
            p.elements[1].char_start == 15 && p.elements[1].char_end == 23 && keeps_promises(&p));
    promise("a picture leaves nothing in text and markdown",
            strstr(p.text, "(3) \\]\n\nFigure 1") &&
                strstr(p.markdown, "(3) \\]\n\n<center>Figure 1</center>\n\n<table>"));
    promise("status ok",
            strcmp(p.status, "ok") == 0 && strcmp(p.finish_reason, "eos") == 0 && !p.error_code);
}

static const struct
{
    const char *boxes;
    bool ok;
} box_texts[] = {
    {"[[1, 2, 3, 4]]", true},
    {"[[1,2,3,4]]", true},
    {" [ [1, 2, 3, 4] ] ", true},
    {"[[1, 2, 3, 4], [0, 9, 2, 9]]", true},
    {"", false},
    {"[]", false},
    {"[[]]", false},
    {"[1, 2, 3, 4]", false},
    {"[[1, 2, 3]]", false},
    {"[[1, 2, 3, 4, 5]]", false},
    {"[[1, 2, 3, 1000]]", false},
    {"[[1, 2, 3, -4]]", false},
    {"[[1, 2, 3, 4.5]]", false},
    {"[[3, 2, 1, 4]]", false},
    {"[[1, 2, 3, 4],]", false},
    {"[[1, 2, 3, 4]", false},
    {"[[1, 2, 3, 4]]]", false},
    {"[[1, 2, 3, 4]] [", false},
    {"[[1, 2, 3, __import__('os')]]", false},
};

static void
boxes(void)
{
    char text[256], what[128];
    PageReading p;

    for (size_t i = 0; i < sizeof box_texts / sizeof *box_texts; i++)
    {
        snprintf(text, sizeof text, "<|ref|>text<|/ref|><|det|>%s<|/det|>\nkept",
                 box_texts[i].boxes);
        snprintf(what, sizeof what, "box text \"%s\": %s", box_texts[i].boxes,
                 box_texts[i].ok ? "a box" : "no box, the block is kept");
        p = read_text(text);
        promise(what, p.nelements == 1 && p.elements[0].has_box == box_texts[i].ok &&
                          strcmp(p.text, "kept") == 0);
    }
    p = read_text(REF("text", "[[100, 20, 300, 40], [50, 30, 200, 999]]") "x");
    promise("several boxes become the one around them",
            p.elements[0].box_999[0] == 50 && p.elements[0].box_999[1] == 20 &&
                p.elements[0].box_999[2] == 300 && p.elements[0].box_999[3] == 999);
}

static void
loose_ends(void)
{
    PageReading p = read_text("Before\n\n" REF("text", "[[1, 2, 3, 4]]") "in <|det|>side");

    promise("text before the first block is kept, without a box",
            p.nelements == 2 && !p.elements[0].has_box && !p.elements[0].label &&
                strcmp(p.elements[0].text, "Before") == 0);
    promise("tags that lead nowhere go", strcmp(p.elements[1].text, "in side") == 0);
    p = read_text(REF("text", "[[1, 2, 3, 4]]") "a\n\n<|ref|>text<|/ref|><|det|>[[12, 3");
    promise("a head that was begun and not finished goes", strcmp(p.text, "a") == 0);
    p = read_text("<|ref|>" REF("text", "[[1, 2, 3, 4]]") "a");
    promise("a doubled tag does not lose the block", p.nelements == 1 && p.elements[0].has_box);
    p = read_text("<|ref|>word<|/ref|> and <|ref|>more<|/ref|>.");
    promise("labels without boxes are text", strcmp(p.text, "word and more.") == 0);
    p = read_bytes(REF("text", "[[1, 2, 3, 4]]") "a\0b\xFF"
                                                 "c",
                   strlen(REF("text", "[[1, 2, 3, 4]]")) + 5, "eos");
    promise("U+0000 and broken UTF-8 become U+FFFD", strcmp(p.text, "a\xEF\xBF\xBD"
                                                                    "b\xEF\xBF\xBD"
                                                                    "c") == 0);
    p = read_text("<image><bos>a<eos>");
    promise("a place holder for the image is no text", strcmp(p.text, "<bos>a<eos>") == 0);
}

static void
plain_mode(void)
{
    PageReading p =
        read_text("# Head\n\nOne\nline\n\n\n\n<table><tr><td>1</td><td>2</td></tr></table>\n\nx "
                  "\\coloneqq y");

    promise("without markup each paragraph is an element without a box",
            p.nelements == 4 && !p.elements[0].has_box && strcmp(p.elements[0].type, "text") == 0 &&
                strcmp(p.elements[1].text, "One\nline") == 0);
    promise("an HTML table is told as one", strcmp(p.elements[2].type, "table") == 0);
    promise("text", strcmp(p.text, "Head\n\nOne\nline\n\n1\t2\n\nx \\coloneqq y") == 0);
    promise(
        "markdown: \\coloneqq as the reference has it, one empty line between blocks",
        strcmp(p.markdown,
               "# Head\n\nOne\nline\n\n<table><tr><td>1</td><td>2</td></tr></table>\n\nx := y") ==
            0);
}

static PageReading
answered(const char *text)
{
    PageReading page = {.page = 1, .width = 1654, .height = 2339};
    Generated g = generated(text, strlen(text), "eos", &arena);

    layout_from_answer(toy_tokenizer(), &g, &arena, &page, NULL);
    return page;
}

static void
answers(void)
{
    PageReading p = answered(" A chart.\n\n\n  {'x': 1}\n");

    promise("an answer is one element, as the model gave it",
            p.nelements == 1 && strcmp(p.markdown, "A chart.\n\n\n  {'x': 1}") == 0 &&
                strcmp(p.elements[0].type, "text") == 0 && !p.elements[0].has_box &&
                strcmp(p.status, "ok") == 0 && keeps_promises(&p));
    p = answered("<table><tr><td>1</td></tr></table>");
    promise("a table is told as one", strcmp(p.elements[0].type, "table") == 0 &&
                                          strncmp(p.markdown, "<table><tr><td>1</td>", 21) == 0);
    p = answered(
        "<|ref|>the seal<|/ref|><|det|>[[450, 263, 547, 283], [0, 0, 999, 999]]<|/det|> and "
        "<|ref|>it<|/ref|><|det|>[[9, 9, 9, 9]]<|/det|>");
    promise("each of its boxes is an element",
            p.nelements == 4 && same_box(p.elements[1].box, 745, 615, 905, 662) &&
                same_box(p.elements[2].box, 0, 0, 1654, 2339) && p.elements[3].has_box &&
                p.elements[3].text[0] == '\0' && strcmp(p.elements[3].geometry, "model") == 0 &&
                keeps_promises(&p));
    p = answered("  ");
    promise("nothing said is blank", strcmp(p.status, "blank") == 0 && p.nelements == 0);
    p = answered("<|ref|>a<|/ref|> <|det|>[[1, 2, 3, 4]]<|/det|>");
    promise("boxes without their tags beside each other are text", p.nelements == 1);
    p = answered("<|ref|>a<|/ref|><|det|>[[1, 2, 3, 4]], <|ref|>b<|/ref|><|det|>[[");
    promise("so are boxes that are not closed", p.nelements == 1);
}

/* What is no box of a block is none of an answer. */
static void
answers_boxes(void)
{
    char text[256];
    bool ok = true;

    for (size_t i = 0; i < sizeof box_texts / sizeof *box_texts; i++)
    {
        snprintf(text, sizeof text, "<|ref|>a<|/ref|><|det|>%s<|/det|>", box_texts[i].boxes);
        ok = ok && (answered(text).nelements > 1) == box_texts[i].ok;
    }
    promise("of ill-formed boxes an answer has none", ok);
}

static const struct
{
    const char *content, *text;
} plain_texts[] = {
    {"a < b and c > d", "a < b and c > d"},
    {"if a <b and c> d", "if a <b and c> d"},
    {"x<sup>2</sup> <b>bold</b> <foo>", "x2 bold <foo>"},
    {"**bold** and 2 ** 3", "**bold** and 2 ** 3"},
    {"**bold** text", "bold text"},
    {"#hash\n### Three\n####### seven", "#hash\nThree\n####### seven"},
    {"a &lt;b&gt; &copy; &#8364; &#x20ac; &nosuch; & &amp;amp;", "a <b> © € € &nosuch; & &amp;"},
    {"&#0; &#xD800; &#99999999999; &#-5;", "&#0; \xEF\xBF\xBD &#99999999999; &#-5;"},
    {"one<br>two<br/>three", "one\ntwo\nthree"},
    {"<table>\n <tr>\n  <th> A\n1 </th> <th colspan=\"2\">B</th>\n </tr>\n "
     "<tr><td></td><td>c<br>d</td></tr>\n</table> after",
     "A 1\tB\n\tc d after"},
    {"<table><tr><td>cut", "cut"},
    {"<table><tr><td></td><td>x</td></tr></table>", "\tx"},
    {"- item\n- item", "- item\n- item"},
    {"<", "<"},
    {"&", "&"},
    {"</", "</"},
};

static void
without_markup(void)
{
    char text[512], what[160];
    PageReading p;

    for (size_t i = 0; i < sizeof plain_texts / sizeof *plain_texts; i++)
    {
        snprintf(text, sizeof text, REF("text", "[[1, 2, 3, 4]]") "%s", plain_texts[i].content);
        snprintf(what, sizeof what, "text of: %.120s", plain_texts[i].content);
        for (char *c = what; *c; c++)
            if (*c == '\n')
                *c = ' ';
        p = read_text(text);
        if (!promise(what, p.nelements == 1 && strcmp(p.text, plain_texts[i].text) == 0))
            printf("# [%s]\n", p.text);
    }
    p = read_text(REF("code", "[[1, 2, 3, 4]]") "# include <b>");
    promise("code is kept as it is", strcmp(p.text, "# include <b>") == 0);
}

static void
statuses(void)
{
    PageReading p = read_bytes("abc", 3, "length");

    promise("the token limit makes a page truncated", strcmp(p.status, "truncated") == 0);
    p = read_bytes("abc", 3, "repeat");
    promise("a loop makes it a repetition, with a reason, and what was read is kept",
            strcmp(p.status, "repetition") == 0 && strcmp(p.error_code, "repetition") == 0 &&
                p.error_message && strcmp(p.text, "abc") == 0);
    p = read_text(" \n\n");
    promise("no text and no picture is blank",
            strcmp(p.status, "blank") == 0 && p.nelements == 0 && p.text[0] == 0);
    p = read_text(REF("image", "[[1, 2, 3, 4]]"));
    promise("a page with nothing but a picture is not blank",
            strcmp(p.status, "ok") == 0 && p.nelements == 1);
    p = read_text("");
    promise("without tokens there is no confidence", p.confidence < 0 && p.confidence_low < 0);
}

/* Tokens of the head have 0.5, of the content 0.9; one of the hundred x is doubtful. */
static void
confidences(void)
{
    const char *head = REF("text", "[[1, 2, 3, 4]]");
    char text[400];
    Generated g, h;
    PageReading page = {.width = 100, .height = 100};

    snprintf(text, sizeof text, "%s%0100d", head, 0);
    h = generated(head, strlen(head), "eos", &arena);
    g = generated(text, strlen(text), "eos", &arena);
    for (int i = 0; i < g.n; i++)
        g.probabilities[i] = i < h.n ? 0.5f : 0.9f;
    g.probabilities[g.n - 1] = 0.1f;
    layout_from_markup(toy_tokenizer(), &g, &arena, &page, NULL);
    promise("an element's confidence is the geometric mean over its content's tokens",
            close_to(page.elements[0].confidence,
                     exp((log(0.9) * (g.n - h.n - 1) + log(0.1)) / (g.n - h.n)), 1e-5));
    promise("a page's is over all tokens",
            close_to(page.confidence,
                     exp((log(0.9) * (g.n - h.n - 1) + log(0.1) + log(0.5) * h.n) / g.n), 1e-5));
    promise("confidence_low is the 5th percentile", close_to(page.confidence_low, 0.5, 1e-6));
}

/* --- lines --- */

/* Two blocks: a title of two lines (the second of two views, one word cut), a paragraph of two lines; a picture
 * between, one right at the end; one line in which nothing is read. */
static TextBlock blocks[] = {
    {{10, 10, 300, 60}, "title", 0, 2},
    {{10, 200, 300, 280}, "text", 2, 3},
};
static TextLine text_lines[] = {
    {.box = {10, 10, 300, 30}, .first_view = 0, .nviews = 1},
    {.box = {10, 40, 200, 60}, .first_view = 1, .nviews = 2},
    {.box = {10, 200, 300, 220}, .first_view = 3, .nviews = 2},
    {.box = {10, 230, 300, 250}, .first_view = 5, .nviews = 1},
    {.box = {10, 260, 90, 280}, .first_view = 6, .nviews = 1},
};
static Picture pictures[] = {{{350, 10, 400, 50}}, {{10, 80, 300, 180}}};

static PageReading
read_lines(const char *const texts[7], const char *reason)
{
    LineView views[7] = {0};
    PageLines l = {.width = 420,
                   .height = 300,
                   .rotation = 90,
                   .skew = 0.5f,
                   .nblocks = 2,
                   .nlines = 5,
                   .nviews = 7,
                   .npictures = 2,
                   .blocks = blocks,
                   .lines = text_lines,
                   .views = views,
                   .pictures = pictures};
    Generated pieces[7];
    PageReading page = {.page = 1};

    views[2].glued = true;
    for (int i = 0; i < 7; i++)
        pieces[i] = generated(texts[i], strlen(texts[i]), i == 3 ? reason : "eos", &arena);
    layout_from_lines(toy_tokenizer(), &l, pieces, &arena, &page, NULL);
    return page;
}

static void
lines_joined(void)
{
    const char *texts[7] = {"The", "pa", "ge ", " one two", "three-", "four\nö", ""};
    PageReading p = read_lines(texts, "eos");
    const Element *e = p.elements;

    if (!promise("two blocks and two pictures", p.nelements == 4 && keeps_promises(&p)))
        return;
    promise("a heading is one line of Markdown and keeps its lines in text",
            strcmp(e[0].content, "# The page") == 0 && strcmp(e[0].text, "The\npage") == 0 &&
                e[0].nlines == 2);
    promise("a glued view goes on with the word", strcmp(e[0].lines[1].text, "page") == 0);
    promise("a picture comes before the block below it in its column, another at the end",
            strcmp(e[1].type, "figure") == 0 && e[1].box.y0 == 80 &&
                strcmp(e[3].type, "figure") == 0 && e[3].box.x0 == 350 && e[1].text[0] == '\0');
    promise(
        "views are joined by a space, a control character is one, words cut at the line's end stay",
        strcmp(e[2].text, "one two three-\nfour ö") == 0);
    promise("a line in which nothing was read is left out", e[2].nlines == 2);
    promise("lines carry their measured boxes",
            same_box(e[2].lines[1].box, 10, 230, 300, 250) &&
                strcmp(e[2].lines[1].geometry, "measured") == 0);
    promise("the page's text and markdown",
            strcmp(p.text, "The\npage\n\none two three-\nfour ö") == 0 &&
                strcmp(p.markdown, "# The page\n\none two three-\nfour ö") == 0);
    promise("size, rotation and skew come from the lines",
            p.width == 420 && p.height == 300 && p.rotation == 90 && close_to(p.skew, 0.5, 1e-9) &&
                p.want_lines);
    promise("status ok", strcmp(p.status, "ok") == 0);
    texts[6] = "..... . ....";
    p = read_lines(texts, "eos");
    promise("dots alone are a rule or leaders, and left out", p.elements[2].nlines == 2);
    texts[6] = "....";
    p = read_lines(texts, "eos");
    promise("an ellipsis is none", p.elements[2].nlines == 3);
}

/* The first of a line's views gives `one`, the second `two`: the line's text. */
static const char *
line_of(const char *one, const char *two)
{
    const char *texts[7] = {"The", "pa", "ge", one, two, "x", ""};

    return read_lines(texts, "eos").elements[2].lines[0].text;
}

static void
commas(void)
{
    const char *texts[7] = {"The", "pa", "ge", "Miss Whitcombe ,", "we", "are", ""};
    PageReading p = read_lines(texts, "eos");

    promise("a comma joins its word, and the offsets are those of the text as it is then",
            strcmp(p.elements[2].text, "Miss Whitcombe, we\nare") == 0 &&
                strcmp(p.text + p.elements[2].char_start, p.elements[2].text) == 0 &&
                p.elements[2].char_end == (int)strlen(p.text) && keeps_promises(&p));
    promise("so does one that begins the next view",
            strcmp(line_of("à la pensée", ", & non"), "à la pensée, & non") == 0);
    promise("and one after figures, brackets, quotes and short forms",
            strcmp(line_of("No. 5 , (a) , \"b\" ,", "«c» , etc. , d"),
                   "No. 5, (a), \"b\", «c», etc., d") == 0);
    promise("one with something right behind it stays: a number's, or a typist's",
            strcmp(line_of("Größe ,5 und", "hier ,als"), "Größe ,5 und hier ,als") == 0);
    promise("one that stands alone stays: in leaders, between dashes, in a wide gap",
            strcmp(line_of(". . . , a - , b", "c  , d"), ". . . , a - , b c  , d") == 0);
    promise("other signs keep their spaces, which are printed on purpose",
            strcmp(line_of("« Qui ? » dit-il ; « moi !", "» : ( ) a . . b"),
                   "« Qui ? » dit-il ; « moi ! » : ( ) a . . b") == 0);
}

static void
lines_statuses(void)
{
    const char *texts[7] = {"a", "b", "c", "long enough to be most of it", "d", "e", "f"};
    const char *nothing[7] = {"", "", "", "", "", "", ""};
    PageReading p = read_lines(texts, "repeat");

    promise("loops in most of the tokens make a repetition",
            strcmp(p.status, "repetition") == 0 && p.error_code &&
                strcmp(p.finish_reason, "repeat") == 0);
    p = read_lines(texts, "length");
    promise("a credible view cut at the limit makes the page truncated",
            strcmp(p.status, "truncated") == 0 && strcmp(p.finish_reason, "length") == 0);
    texts[3] = "x";
    p = read_lines(texts, "repeat");
    promise("one raving view among many does not concern the page", strcmp(p.status, "ok") == 0);
    p = read_lines(nothing, "eos");
    promise("nothing read beside a picture is not blank",
            strcmp(p.status, "ok") == 0 && p.text[0] == '\0');
    p = (PageReading){.page = 1};
    layout_from_lines(toy_tokenizer(), &(PageLines){.width = 5, .height = 5}, NULL, &arena, &p,
                      NULL);
    promise("a page without lines is blank", strcmp(p.status, "blank") == 0 && p.confidence < 0);
}

/* Five lines as surely read as `sure` says, the third in this ink; alone: in a block of its own. Of the third the tokens
 * that are alike are sure. */
static PageReading
read_lines_as(const char *third, const float sure[5], float ink, bool alone)
{
    const char *texts[5] = {"The page", "goes on", third, "to", "its end"};
    Box box = {10, 10, 300, 210};
    TextBlock whole = {box, "text", 0, 5};
    TextBlock parts[3] = {{box, "text", 0, 2}, {box, "text", 2, 1}, {box, "text", 3, 2}};
    TextLine lines[5];
    LineView views[5] = {0};
    PageLines l = {.width = 420,
                   .height = 300,
                   .nblocks = alone ? 3 : 1,
                   .nlines = 5,
                   .nviews = 5,
                   .blocks = alone ? parts : &whole,
                   .lines = lines,
                   .views = views};
    Generated pieces[5];
    PageReading page = {.page = 1};

    for (int i = 0; i < 5; i++)
    {
        lines[i] = (TextLine){.block = alone ? (i > 1) + (i > 2) : 0,
                              .ink = i == 2 ? ink : 1,
                              .first_view = i,
                              .nviews = 1};
        pieces[i] = generated(texts[i], strlen(texts[i]), "eos", &arena);
        for (int k = 0; k < pieces[i].n; k++)
            pieces[i].probabilities[k] =
                i == 2 && k > 0 && pieces[i].ids[k] == pieces[i].ids[k - 1] ? 1 : sure[i];
    }
    layout_from_lines(toy_tokenizer(), &l, pieces, &arena, &page, NULL);
    return page;
}

static PageReading
read_doubtful(const float sure[5], float ink, bool alone)
{
    return read_lines_as("sJQ4i", sure, ink, alone);
}

static int
kept(const PageReading *p)
{
    int n = 0;

    for (int i = 0; i < p->nelements; i++)
        n += p->elements[i].nlines;
    return n;
}

static int
lines_kept(float third, float others, float ink)
{
    PageReading p = read_doubtful((float[]){others, others, third, others, others}, ink, false);

    return kept(&p);
}

static void
doubtful_lines(void)
{
    static const float doubt[] = {0.95f, 0.95f, 0.3f, 0.95f, 0.95f},
                       unsure[] = {0.95f, 0.95f, 0.25f, 0.95f, 0.95f},
                       less[] = {0.95f, 0.95f, 0.45f, 0.95f, 0.95f},
                       mostly[] = {0.7f, 0.7f, 0.3f, 0.95f, 0.95f},
                       hardly[] = {0.7f, 0.7f, 0.3f, 0.95f, 0.7f};
    PageReading p = read_doubtful(doubt, 1, false);

    promise("a line read with great doubt on a page that is well read is left out",
            strcmp(p.text, "The page\ngoes on\nto\nits end") == 0);
    promise("its doubt is still the page's", close_to(p.confidence_low, 0.3, 1e-6));
    promise("with less doubt it stays", lines_kept(0.4f, 0.95f, 1) == 5);
    promise("pale, it needs a surer reading",
            lines_kept(0.4f, 0.95f, 0.9f) == 4 && lines_kept(0.75f, 0.95f, 0.5f) == 5);
    promise("where it is not known how dark it is, it counts as dark",
            lines_kept(0.4f, 0.95f, 0) == 5);
    promise("a page that is badly read keeps all its lines", lines_kept(0.1f, 0.7f, 0.5f) == 5);
    p = read_doubtful(less, 1, true);
    promise("a line that stands alone needs a surer reading than one of a block", kept(&p) == 4);
    p = read_lines_as("sJQ....................................................4i", unsure, 1,
                      false);
    promise("nor do leaders, sure as they are, make its letters surer", kept(&p) == 4);
    p = read_lines_as("sJQ....................................................4i", less, 1, false);
    promise("letters that are sure enough stay, with leaders, too", kept(&p) == 5);
    p = read_doubtful(mostly, 1, false);
    promise("a page of which a quarter is well read leaves a doubtful line out", kept(&p) == 4);
    p = read_doubtful(hardly, 1, false);
    promise("one of which less is keeps it", kept(&p) == 5);
}

int
main(void)
{
    arena_init(&arena, 0);
    if (!promise("the toy tokenizer opens", toy_tokenizer() != NULL))
        return report();
    grounded();
    boxes();
    loose_ends();
    plain_mode();
    answers();
    answers_boxes();
    without_markup();
    statuses();
    confidences();
    lines_joined();
    commas();
    lines_statuses();
    doubtful_lines();
    promise("the fuzzer's corpus is harmless",
            replay("test/fuzz/layout_corpus", LLVMFuzzerTestOneInput) > 0);
    arena_free(&arena);
    tokenizer_close(toy_tokenizer());
    return report();
}

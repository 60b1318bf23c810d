/* layout.h - stage 6 of 7: token ids -> blocks: text, kind, box in page pixels. Spec 10.
 *
 * Makers of one form: layout_from_markup reads a page reader's grounded markdown (never evaluated, parsed
 * defensively), layout_from_answer what it says of a page, layout_from_lines joins a line reader's lines. */
#ifndef DS_LAYOUT_H
#define DS_LAYOUT_H

#include "lines.h"
#include "tokenizer.h"

typedef struct ElementLine
{
    const char *text;
    Box box;
    const char *geometry; /* "measured" or "estimated" */
    float confidence;
} ElementLine;

typedef struct Element
{
    const char *type;    /* the closed list of api.md section 2 */
    const char *label;   /* the model's own word, or NULL */
    const char *content; /* markdown or HTML as the model wrote it */
    const char *text;    /* content without markup */
    bool has_box;
    Box box; /* page pixels: (int)(v / 999 * side) each axis by its own side */
    bool has_999;
    int box_999[4];
    const char *geometry; /* "model", "measured", "estimated" */
    float confidence;
    int char_start, char_end; /* in PageReading.text, characters (not bytes) */
    ElementLine *lines;
    int nlines;
} Element;

typedef struct PageReading
{
    int page;                  /* from 1 */
    const char *status;        /* "ok", "blank", "truncated", "repetition", "error" */
    const char *finish_reason; /* "eos", "length", "repeat", "none" */
    int width, height, dpi, rotation;
    float skew;
    const char *text, *markdown;
    float confidence,
        confidence_low; /* geometric mean, 5th percentile of token probabilities; < 0: none */
    int attempts;
    int vision_tokens, prompt_tokens, output_tokens;
    int ms_decode, ms_encode, ms_generate; /* image and lines, vision, decoder */
    Element *elements;
    int nelements;
    const char *raw; /* NULL unless options.include has "raw" */
    int32_t *ids;    /* NULL unless options.include has "tokens" */
    int nids;
    bool want_lines;                        /* options.include has "lines", or a line reader */
    const char *error_code, *error_message; /* for status "error" and "repetition"; else NULL */
} PageReading;

/* What the decoder gave for one sequence. After "repeat" it is what is kept: up to the end of the first copy. */
typedef struct Generated
{
    int32_t *ids;         /* [n], without the end token */
    float *probabilities; /* [n] */
    int n;
    const char *finish_reason; /* "eos", "length", "repeat" */
} Generated;

/* Page readers. Sets text, markdown, elements, confidences, status, finish_reason and error_* of `page`, whose
 * width and height are set. A block whose boxes do not parse becomes an element without a box; several boxes
 * become the one around them. Text outside any block (all of it in text mode) is kept, an element for each
 * paragraph, without a box: "table" when it is an HTML table, else "text". Labels that are not known are of type
 * "other". Pictures are elements without text and leave nothing in text and markdown. Status: eos -> ok, or
 * blank with neither text nor pictures; length -> truncated; repeat -> repetition. */
DsStatus layout_from_markup(const Tokenizer *t, const Generated *g, Arena *arena, PageReading *page,
                            DsError *err);

/* Page readers, of what is no reading of the page. Sets the same; the text is as the model gave it, all of it one element
 * without a box. Behind it stands an element with nothing but a box for each one in the answer, as
 * <|ref|>...<|/ref|><|det|>[[...], ...]<|/det|>; of boxes that do not parse there is none. */
DsStatus layout_from_answer(const Tokenizer *t, const Generated *g, Arena *arena, PageReading *page,
                            DsError *err);

/* Line readers. Sets what layout_from_markup sets, and width, height, rotation, skew and want_lines. pieces[i] is
 * what was read from lines->views[i]. Lines of a block become one element (with its lines), words hyphenated at a
 * line end stay as printed in the lines and in text; lines in which nothing was read are left out. Markdown: title
 * "# ", section_header "## ", other text as it is read, not escaped. Pictures become elements of type figure
 * without text, before the first block below them in their column. Status: layout_lines.c says when views that
 * did not end by themselves concern the page. */
DsStatus layout_from_lines(const Tokenizer *t, const PageLines *lines, const Generated *pieces,
                           Arena *arena, PageReading *page, DsError *err);

#endif

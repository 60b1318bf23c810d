/* prompt.c - stage 4 of 7: the asked-for task and the vision tokens -> the decoder's input. Spec 8.
 *
 * Sharp edge: nothing is added to the text, no role, no end token, no space; the pieces on both sides of
 * <image> are encoded separately, so that no merge reaches across the image. So is what a user asks: a question that
 * has <image> or an end token in it is text, and moves nothing. */
#include "prompt.h"

#include <string.h>

#include "plant.h"
#include "utf8.h"

#define IMAGE "<image>"

#define OCR_2 "DeepSeek-OCR-2 can: set dsocr.model to its directory."

/* What each mode is asked by, and of those that not every model can, what they do and which models do it. */
static const struct
{
    const char *prompt, *does, *who;
} modes[DS_MODES] = {
    [DS_MODE_LAYOUT] = {IMAGE "\n<|grounding|>Convert the document to markdown.", NULL, NULL},
    [DS_MODE_TEXT] = {IMAGE "\nFree OCR.", NULL, NULL},
    [DS_MODE_DESCRIBE] = {IMAGE "\nDescribe this image in detail.", "describe an image", OCR_2},
    [DS_MODE_FIGURE] = {IMAGE "\nParse the figure.", "parse a figure", OCR_2},
    [DS_MODE_LOCATE] = {IMAGE "\nLocate <|ref|>" PROMPT_WORDS "<|/ref|> in the image.",
                        "locate a phrase", OCR_2},
    [DS_MODE_ASK] =
        {IMAGE "\n" PROMPT_WORDS, "answer questions",
         "DeepSeek-VL2 can, which this version does not load; and a model that was trained "
         "for it, if its config.json has \"ask\" in the list dsocr.prompts."},
};

const char *
prompt_for_mode(DsMode mode)
{
    return modes[mode].prompt;
}

DsStatus
prompt_can(const ModelFacts *f, DsMode mode, DsError *err)
{
    if (f->modes & 1u << mode)
        return DS_OK;
    ds_fail(err, DS_UNSUPPORTED, "the model that is loaded cannot %s", modes[mode].does);
    ds_detail(err,
              f->reads_lines ? "It is \"%s\", which reads lines of text and takes no prompts."
                             : "It is \"%s\".",
              f->name);
    return ds_hint(err, "%s", modes[mode].who);
}

static DsStatus
no_room(DsError *err)
{
    return ds_fail(err, DS_LIMIT, "the prompt needs more memory than a page may take");
}

static DsStatus
two_images(DsError *err)
{
    ds_fail(err, DS_BAD_REQUEST, "the prompt has more than one " IMAGE);
    ds_hint(err, "Name one image, or none: the page then comes first.");
    return DS_BAD_REQUEST;
}

/* The text on one side of the image. */
static DsStatus
encode(const Tokenizer *t, const char *text, size_t n, Arena *arena, int32_t **ids, int *count,
       DsError *err)
{
    *count = 0;
    return n ? tokenizer_encode(t, text, n, arena, ids, count, err) : DS_OK;
}

/* The text behind the image, with the words in their place. */
static DsStatus
encode_back(const Tokenizer *t, const char *text, const char *words, Arena *arena, int32_t **ids,
            int *count, DsError *err)
{
    const char *place = words[0] ? strstr(text, PROMPT_WORDS) : NULL, *rest;
    int32_t *parts[3];
    int n[3];
    DsStatus st;

    if (place == NULL)
        return encode(t, text, strlen(text), arena, ids, count, err);
    rest = place + strlen(PROMPT_WORDS);
    if ((st = encode(t, text, (size_t)(place - text), arena, &parts[0], &n[0], err)) ||
        (st = tokenizer_encode_plain(t, words, strlen(words), arena, &parts[1], &n[1], err)) ||
        (st = encode(t, rest, strlen(rest), arena, &parts[2], &n[2], err)))
        return st;
    *count = n[0] + n[1] + n[2];
    if ((*ids = arena_array(arena, (size_t)*count + 1, sizeof **ids)) == NULL)
        return no_room(err);
    for (int i = 0, at = 0; i < 3; at += n[i++])
        for (int k = 0; k < n[i]; k++)
            (*ids)[at + k] = parts[i][k];
    return DS_OK;
}

DsStatus
prompt_build(const Tokenizer *t, const char *prompt, const char *words, int32_t bos, int image_rows,
             Arena *arena, int32_t **ids, int *n, DsError *err)
{
    size_t length = strlen(prompt), before;
    const char *image, *after;
    int32_t *front, *back, *out;
    int nfront, nback;
    DsStatus st;

    utf8_strip(&prompt, &length);
    if ((prompt = arena_strndup(arena, prompt, length)) == NULL)
        return no_room(err);
    image = strstr(prompt, IMAGE);
    before = image ? (size_t)(image - prompt) : 0;
    after = image ? image + strlen(IMAGE) : prompt;
    if (strstr(after, IMAGE))
        return two_images(err);
    if ((st = encode(t, prompt, before, arena, &front, &nfront, err)) != DS_OK ||
        (st = encode_back(t, after, words, arena, &back, &nback, err)) != DS_OK)
        return st;
    *n = 1 + nfront + image_rows + nback;
    if ((*ids = out = arena_array(arena, (size_t)*n, sizeof *out)) == NULL)
        return no_room(err);
    *out++ = bos;
    for (int i = 0; i < nfront; i++)
        *out++ = front[i];
    for (int i = 0; PLANTED(PLANT_PROMPT_ORDER) && i < nback; i++)
        *out++ = back[i];
    for (int i = 0; i < image_rows; i++)
        *out++ = -1;
    for (int i = 0; !PLANTED(PLANT_PROMPT_ORDER) && i < nback; i++)
        *out++ = back[i];
    return DS_OK;
}

int
prompt_separator(const int32_t *ids, int n)
{
    while (--n >= 0 && ids[n] != -1)
        ;
    return n;
}

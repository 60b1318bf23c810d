/* prompt.c - stage 4 of 7: the asked-for task and the vision tokens -> the decoder's input. Spec 8.
 *
 * Sharp edge: nothing is added to the text, no role, no end token, no space; the pieces on both sides of
 * <image> are encoded separately, so that no merge reaches across the image. */
#include "prompt.h"

#include <string.h>

#include "plant.h"
#include "utf8.h"

#define IMAGE "<image>"

const char *
prompt_for_mode(DsMode mode)
{
    if (mode == DS_MODE_TEXT)
        return IMAGE "\nFree OCR.";
    return IMAGE "\n<|grounding|>Convert the document to markdown.";
}

/* What Python's str.strip() takes away. */
static bool
is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

static void
strip(const char **text, size_t *n)
{
    size_t end = 0, i = 0, step;
    int32_t c;

    for (; i < *n; i += step)
    {
        step = utf8_next(*text + i, *n - i, &c);
        if (!is_space(c))
            break;
    }
    *text += i;
    *n -= i;
    for (i = 0; i < *n; i += step)
    {
        step = utf8_next(*text + i, *n - i, &c);
        if (!is_space(c))
            end = i + step;
    }
    *n = end;
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

DsStatus
prompt_build(const Tokenizer *t, const char *prompt, int32_t bos, int image_rows, Arena *arena,
             int32_t **ids, int *n, DsError *err)
{
    size_t length = strlen(prompt), before;
    const char *image, *after;
    int32_t *front, *back, *out;
    int nfront, nback;
    DsStatus st;

    strip(&prompt, &length);
    if ((prompt = arena_strndup(arena, prompt, length)) == NULL)
        return no_room(err);
    image = strstr(prompt, IMAGE);
    before = image ? (size_t)(image - prompt) : 0;
    after = image ? image + strlen(IMAGE) : prompt;
    if (strstr(after, IMAGE))
        return two_images(err);
    if ((st = encode(t, prompt, before, arena, &front, &nfront, err)) != DS_OK ||
        (st = encode(t, after, strlen(after), arena, &back, &nback, err)) != DS_OK)
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

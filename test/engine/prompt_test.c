/* prompt_test.c - BOS, the image's rows, the text; nothing else. */
#include "../../src/engine/prompt.h"

#include "../../src/engine/plant.h"
#include "corpus.h"

static Tokenizer *
opened(char *json, size_t n)
{
    Tokenizer *t = NULL;

    if (json)
        tokenizer_open(json, n, &t, NULL);
    free(json);
    return t;
}

static bool
gives_with(const Tokenizer *t, const char *prompt, const char *words, int rows, const int32_t *want,
           int nwant)
{
    Arena arena;
    int32_t *ids;
    int n;
    bool ok;

    arena_init(&arena, 0);
    ok = prompt_build(t, prompt, words, 0, rows, &arena, &ids, &n, NULL) == DS_OK && n == nwant &&
         memcmp(ids, want, (size_t)n * sizeof *ids) == 0;
    arena_free(&arena);
    return ok;
}

static bool
gives(const Tokenizer *t, const char *prompt, int rows, const int32_t *want, int nwant)
{
    return gives_with(t, prompt, "", rows, want, nwant);
}

static void
form(void)
{
    size_t n;
    char *json = read_file("test/golden/tokenizer/toy.json", &n);
    Tokenizer *t = opened(json, n);
    const int32_t rows_only[] = {0, -1, -1}, after[] = {0, -1, -1, 201, 67},
                  both[] = {0, 67, 201, -1, -1, 68};
    DsError err = {0};
    Arena arena;
    int32_t *ids;
    int count;

    if (!promise("the toy tokenizer opens", t != NULL))
        return;
    promise("an empty prompt is BOS and the rows", gives(t, "", 2, rows_only, 3));
    promise("<image> alone is the same", gives(t, "<image>", 2, rows_only, 3));
    promise("white space at both ends goes, the line break after the image stays",
            gives(t, " \n<image>\na \xE3\x80\x80\n", 2, after, 5));
    promise("text on both sides keeps its place", gives(t, "a\n<image>b", 2, both, 6));
    promise("without <image> the rows come first",
            gives(t, "\n a", 2, (int32_t[]){0, -1, -1, 67}, 4));
    promise("the separator is the last of the rows",
            prompt_separator(both, 6) == 4 && prompt_separator(rows_only, 3) == 2 &&
                prompt_separator((int32_t[]){0, 67}, 2) == -1);
    arena_init(&arena, 0);
    promise("two images are refused", prompt_build(t, "<image><image>", "", 0, 2, &arena, &ids,
                                                   &count, &err) == DS_BAD_REQUEST &&
                                          err.hint[0]);
    promise(
        "a question stands behind the image and a line break",
        gives_with(t, prompt_for_mode(DS_MODE_ASK), "a?", 1, (int32_t[]){0, -1, 201, 67, 33}, 5));
    promise("one that looks like an image is text",
            gives_with(t, prompt_for_mode(DS_MODE_ASK), "<image>", 1,
                       (int32_t[]){0, -1, 201, 30, 75, 79, 341, 71, 32}, 9));
    promise("and so is one that looks like the end, or like the words' place",
            gives_with(t, prompt_for_mode(DS_MODE_ASK), "<eos>%s", 1,
                       (int32_t[]){0, -1, 201, 30, 71, 81, 85, 32, 7, 85}, 10));
    arena_free(&arena);
    tokenizer_close(t);
}

static void
capable(void)
{
    ModelFacts mini = {.name = "dsocr-mini", .reads_lines = true, .modes = 3},
               pages = {.name = "my-pages", .modes = 3 | 1 << DS_MODE_DESCRIBE};
    DsError err = {0};

    promise("every model reads", prompt_can(&mini, DS_MODE_TEXT, &err) == DS_OK &&
                                     prompt_can(&pages, DS_MODE_LAYOUT, &err) == DS_OK);
    promise("what a model can, it can", prompt_can(&pages, DS_MODE_DESCRIBE, &err) == DS_OK);
    promise("what it cannot is refused by the model's name, with those that can",
            prompt_can(&mini, DS_MODE_DESCRIBE, &err) == DS_UNSUPPORTED &&
                strstr(err.message, "cannot describe an image") &&
                strstr(err.detail, "\"dsocr-mini\", which reads lines") &&
                strstr(err.hint, "DeepSeek-OCR-2 can"));
    promise("questions are another model's",
            prompt_can(&pages, DS_MODE_ASK, &err) == DS_UNSUPPORTED &&
                strstr(err.detail, "\"my-pages\"") && strstr(err.hint, "DeepSeek-VL2") &&
                err.hint[strlen(err.hint) - 1] == '.');
}

/* The prompts of spec 8 and their ids behind the image. */
static const struct
{
    const char *prompt;
    int n;
    int32_t ids[16];
} documented[] = {
    {"<image>\n<|grounding|>Convert the document to markdown. ",
     11,
     {0, -1, 201, 128820, 21842, 270, 4940, 304, 2121, 7919, 16}},
    {"<image>\nFree OCR. ", 6, {0, -1, 201, 21431, 126041, 16}},
    {"<image>\n<|grounding|>OCR this image. ", 8, {0, -1, 201, 128820, 119316, 566, 4609, 16}},
    {"<image>\nParse the figure. ", 7, {0, -1, 201, 68779, 270, 5991, 16}},
    {"<image>\nDescribe this image in detail. ", 9, {0, -1, 201, 72188, 566, 4609, 295, 6271, 16}},
    {"<image>\nLocate <|ref|>xxxx<|/ref|> in the image. ",
     13,
     {0, -1, 201, 26751, 434, 223, 128816, 22694, 128817, 295, 270, 4609, 16}},
    {"<image>\n<|grounding|>Given the layout of the image. ",
     11,
     {0, -1, 201, 128820, 22863, 270, 22343, 294, 270, 4609, 16}},
    {"<image>\nExtract the text in the image. ",
     11,
     {0, -1, 201, 17965, 1259, 270, 3051, 295, 270, 4609, 16}},
};

static void
published(void)
{
    const char *shared = shared_folder();
    size_t n = 0;
    char path[600], *json;
    Tokenizer *t;

    if (shared == NULL)
    {
        skipped("the prompts of spec 8", "no shared folder; DSOCR_SHARED can name it");
        return;
    }
    snprintf(path, sizeof path, "%.500s/tokenizer/tokenizer.json.gz", shared);
    json = unzipped(path, &n);
    if (!promise("the published tokenizer opens", (t = opened(json, n)) != NULL))
        return;
    for (size_t i = 0; i < sizeof documented / sizeof *documented; i++)
        promise(documented[i].prompt + strlen("<image>\n"),
                gives(t, documented[i].prompt, 1, documented[i].ids, documented[i].n));
    promise("layout asks for grounded markdown",
            gives(t, prompt_for_mode(DS_MODE_LAYOUT), 1, documented[0].ids, 11));
    promise("text asks for free OCR",
            gives(t, prompt_for_mode(DS_MODE_TEXT), 1, documented[1].ids, 6));
    promise(
        "the other modes ask as documented",
        gives(t, prompt_for_mode(DS_MODE_FIGURE), 1, documented[3].ids, documented[3].n) &&
            gives(t, prompt_for_mode(DS_MODE_DESCRIBE), 1, documented[4].ids, documented[4].n) &&
            gives_with(t, prompt_for_mode(DS_MODE_LOCATE), "xxxx", 1, documented[5].ids,
                       documented[5].n));
    promise("a phrase that closes its own tag is text",
            gives_with(t, prompt_for_mode(DS_MODE_LOCATE), "x<|/ref|>", 1,
                       (int32_t[]){0, -1, 201, 26751, 434, 223, 128816, 90, 30, 94, 17, 5044, 94,
                                   32, 128817, 295, 270, 4609, 16},
                       19));
    tokenizer_close(t);
}

int
main(void)
{
#ifdef DS_PLANT
    ds_planted = getenv("DSOCR_PLANT") ? atoi(getenv("DSOCR_PLANT")) : 0;
#endif
    form();
    capable();
    published();
    return report();
}

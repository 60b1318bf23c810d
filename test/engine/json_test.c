/* json_test.c - the answer's form, as api.md section 2 has it, read back by another's parser. */
#include "../../src/engine/json.h"

#include <jansson.h>

#include "check.h"

static char *
written(JsonOut *out)
{
    char *text;
    size_t n;

    if (json_text(out, &text, &n, NULL) != DS_OK)
        return NULL;
    return strlen(text) == n ? text : NULL;
}

static json_t *
read_back(JsonOut *out)
{
    json_error_t why;
    char *text = written(out);
    json_t *v = text ? json_loads(text, JSON_REJECT_DUPLICATES, &why) : NULL;

    if (v == NULL)
        printf("# %s: %s\n", why.text, text ? text : "nothing");
    free(text);
    return v;
}

/* The member at a path of keys and indexes ("pages/0/status"). */
static json_t *
at(json_t *v, const char *path)
{
    char copy[128], *save = NULL;

    snprintf(copy, sizeof copy, "%s", path);
    for (char *step = strtok_r(copy, "/", &save); step; step = strtok_r(NULL, "/", &save))
        v = json_is_array(v) ? json_array_get(v, (size_t)atoi(step)) : json_object_get(v, step);
    return v;
}

static bool
is(json_t *v, const char *path, const char *compact)
{
    json_t *found = at(v, path);
    char *text =
        found ? json_dumps(found, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)) : NULL;
    bool same = text && strcmp(text, compact) == 0;

    if (!same)
        printf("# %s is %s\n", path, text ? text : "missing");
    free(text);
    return same;
}

static const ElementLine sample_line = {"Abstract", {745, 615, 905, 662}, "measured", 0.99f};

static Element sample_elements[] = {
    {.type = "section_header",
     .label = "sub_title",
     .content = "## Abstract",
     .text = "Abstract",
     .has_box = true,
     .box = {745, 615, 905, 662},
     .has_999 = true,
     .box_999 = {450, 263, 547, 283},
     .geometry = "model",
     .confidence = 0.98767f,
     .char_start = 0,
     .char_end = 8,
     .lines = (ElementLine *)&sample_line,
     .nlines = 1},
    {.type = "text",
     .content = "x",
     .text = "x",
     .confidence = -1,
     .char_start = 10,
     .char_end = 11},
};

static PageReading
sample(void)
{
    return (PageReading){
        .page = 2,
        .status = "ok",
        .finish_reason = "eos",
        .width = 1654,
        .height = 2339,
        .dpi = 144,
        .rotation = 90,
        .skew = -0.254f,
        .text = "Abstract\n\nx",
        .markdown = "## Abstract\n\nx",
        .confidence = 0.97301f,
        .confidence_low = 0.81f,
        .attempts = 1,
        .vision_tokens = 1121,
        .prompt_tokens = 1133,
        .output_tokens = 1874,
        .ms_decode = 12,
        .ms_encode = 31,
        .ms_generate = 640,
        .elements = sample_elements,
        .nelements = 2,
    };
}

/* The whole text: the form itself is the promise, order of keys and all. */
static void
page_form(void)
{
    PageReading p = sample();
    JsonOut out = {0};
    char *text;
    const char *want =
        "{\"page\":2,\"status\":\"ok\",\"finish_reason\":\"eos\",\"width\":1654,\"height\":2339,"
        "\"dpi\":144,"
        "\"rotation\":90,\"skew\":-0.25,\"text\":\"Abstract\\n\\nx\",\"markdown\":\"## "
        "Abstract\\n\\nx\","
        "\"confidence\":0.973,\"confidence_low\":0.81,\"attempts\":1,"
        "\"tokens\":{\"vision\":1121,\"prompt\":1133,\"output\":1874},"
        "\"ms\":{\"decode\":12,\"encode\":31,\"generate\":640},\"elements\":["
        "{\"id\":0,\"type\":\"section_header\",\"label\":\"sub_title\",\"content\":\"## Abstract\","
        "\"text\":\"Abstract\",\"bbox\":[745,615,905,662],\"bbox_999\":[450,263,547,283],"
        "\"geometry\":\"model\","
        "\"confidence\":0.9877,\"char_start\":0,\"char_end\":8},"
        "{\"id\":1,\"type\":\"text\",\"label\":null,\"content\":\"x\",\"text\":\"x\",\"bbox\":null,"
        "\"geometry\":null,\"confidence\":null,\"char_start\":10,\"char_end\":11}]}";

    json_page(&out, &p);
    text = written(&out);
    if (!promise("a page, letter by letter", text && strcmp(text, want) == 0))
        printf("# %s\n", text ? text : "nothing");
    free(text);
}

static void
page_extras_asked_for(void)
{
    PageReading p = sample();
    int32_t ids[] = {5, 6};
    JsonOut out = {0};
    json_t *v;

    p.want_lines = true;
    p.raw = "<|ref|>";
    p.ids = ids;
    p.nids = 2;
    p.dpi = 0;
    p.confidence = -1;
    json_page(&out, &p);
    v = read_back(&out);
    promise("lines when asked for", is(v, "elements/0/lines/0/bbox", "[745,615,905,662]") &&
                                        is(v, "elements/1/lines", "[]") &&
                                        is(v, "elements/0/lines/0/geometry", "\"measured\""));
    promise("raw text and token ids when asked for",
            is(v, "raw", "\"<|ref|>\"") && is(v, "token_ids", "[5,6]"));
    promise("an unknown resolution and a missing confidence are null",
            is(v, "dpi", "null") && is(v, "confidence", "null"));
    json_decref(v);
}

static void
failed_page(void)
{
    PageReading p = {.page = 3,
                     .status = "error",
                     .finish_reason = "none",
                     .confidence = -1,
                     .confidence_low = -1};
    JsonOut out = {0};
    json_t *v;

    json_page(&out, &p);
    v = read_back(&out);
    promise("a page that failed has the form of every page",
            is(v, "status", "\"error\"") && is(v, "text", "\"\"") && is(v, "elements", "[]") &&
                is(v, "markdown", "\"\""));
    json_decref(v);
}

static void
hostile_text(void)
{
    char all[300];
    DsError err = {.status = DS_BAD_INPUT,
                   .detail = "\xC3\xA9\xED\xA0\x80\xF0\x9F\x98\x80\xF0\x9F"};
    JsonOut out = {0};
    json_t *v;
    const char *back;

    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    all[255] = '\0';
    memcpy(err.message, all, 127);
    json_error(&out, &err);
    v = read_back(&out);
    back = json_string_value(at(v, "message"));
    promise("control characters, quotes and backslashes survive",
            back && memcmp(back, all, 127) == 0 && back[127] == 0);
    back = json_string_value(at(v, "detail"));
    promise(
        "broken UTF-8 becomes U+FFFD, what is whole stays",
        back &&
            strcmp(back,
                   "\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xF0\x9F\x98\x80\xEF\xBF\xBD") ==
                0);
    promise("an error names its status", is(v, "status", "\"bad_input\"") && is(v, "hint", "\"\""));
    json_decref(v);
}

static void
numbers(void)
{
    static const struct
    {
        float value;
        const char *text;
    } cases[] = {{0, "0"},
                 {1, "1"},
                 {0.5f, "0.5"},
                 {0.99996f, "1"},
                 {0.00004f, "0"},
                 {0.0001f, "0.0001"},
                 {0.1234567f, "0.1235"},
                 {NAN, "null"},
                 {INFINITY, "null"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    {
        PageReading p = sample();
        JsonOut out = {0};
        char want[64], what[64];
        char *text;

        p.confidence = cases[i].value;
        json_page(&out, &p);
        text = written(&out);
        snprintf(want, sizeof want, "\"confidence\":%s,\"confidence_low\"", cases[i].text);
        snprintf(what, sizeof what, "a confidence of %g is written %s", (double)cases[i].value,
                 cases[i].text);
        promise(what, text && strstr(text, want));
        free(text);
    }
}

static void
document(void)
{
    DocumentMeta meta = {.sha256 = "ab",
                         .format = "tiff",
                         .page_count = 4,
                         .model = "dsocr-mini",
                         .dtype = "bf16",
                         .mode = "layout",
                         .extension = "1.0.0",
                         .started_at = "2026-01-02T03:04:05Z",
                         .duration_ms = 733.4};
    DocumentPage pages[] = {
        {.json = "{\"page\":1}", .page = 1, .text = "one", .vision_tokens = 10, .output_tokens = 5},
        {.json = "{\"page\":2}",
         .page = 2,
         .text = "",
         .error_code = "repetition",
         .error_message = "it \"looped\""},
        {.json = "{\"page\":4}",
         .page = 4,
         .text = "four",
         .vision_tokens = 20,
         .output_tokens = 6},
    };
    JsonOut out = {0};
    json_t *v;

    json_document(&out, &meta, pages, 3);
    v = read_back(&out);
    promise("version and facts of the document", is(v, "version", "\"1.0\"") &&
                                                     is(v, "document/format", "\"tiff\"") &&
                                                     is(v, "document/page_count", "4"));
    promise("the pages in order, each as it was written",
            is(v, "document/pages", "[{\"page\":1},{\"page\":2},{\"page\":4}]"));
    promise("the document's text: an empty line between pages, no gap for one without text",
            is(v, "document/text", "\"one\\n\\nfour\""));
    promise(
        "pages with an error are listed",
        is(v, "error_status",
           "[{\"page\":2,\"error_code\":\"repetition\",\"error_message\":\"it \\\"looped\\\"\"}]"));
    promise("metadata",
            is(v, "metadata/model", "\"dsocr-mini\"") && is(v, "metadata/cached", "false") &&
                is(v, "metadata/duration_ms", "733") && is(v, "metadata/device", "null") &&
                is(v, "metadata/tokens", "{\"vision\":30,\"output\":11}"));
    json_decref(v);
    json_document(&out, &meta, NULL, 0);
    v = read_back(&out);
    promise("a document without pages", is(v, "document/pages", "[]") &&
                                            is(v, "error_status", "[]") &&
                                            is(v, "document/text", "\"\""));
    json_decref(v);
}

static void
info(void)
{
    ImagePage pages[] = {{.width = 5, .height = 6, .channels = 1, .dpi = 300, .orientation = 6},
                         {.orientation = 1, .status = DS_LIMIT, .message = "too large"}};
    ImageInfo image = {.format = IMAGE_TIFF, .page_count = 2, .pages = pages};
    JsonOut out = {0};
    json_t *v;

    json_info(&out, &image, 1234567890123, "cd");
    v = read_back(&out);
    promise("an image's facts", is(v, "format", "\"tiff\"") && is(v, "page_count", "2") &&
                                    is(v, "bytes", "1234567890123") && is(v, "sha256", "\"cd\"") &&
                                    at(v, "pages/0/error_code") == NULL &&
                                    is(v, "pages/0/dpi", "300"));
    promise("a page that cannot be read says why",
            is(v, "pages/1/error_code", "\"limit\"") &&
                is(v, "pages/1/error_message", "\"too large\"") && is(v, "pages/1/dpi", "null"));
    json_decref(v);
}

static void
write_long_page(void *elements, int n)
{
    PageReading p = sample();
    JsonOut out = {0};

    p.elements = elements;
    p.nelements = n;
    p.want_lines = true;
    json_page(&out, &p);
    free(written(&out));
}

static void
speed(void)
{
    enum
    {
        many = 4096
    };
    static Element elements[many];

    for (int i = 0; i < many; i++)
        elements[i] = sample_elements[0];
    promise_no_square("a page of many lines does not take time by their square", write_long_page,
                      elements, many);
}

int
main(void)
{
    page_form();
    page_extras_asked_for();
    failed_page();
    hostile_text();
    numbers();
    document();
    info();
    speed();
    return report();
}

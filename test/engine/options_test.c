/* options_test.c - what may be asked, what is refused, and what the refusal says. */
#include "../../src/engine/options.h"

#include "../fuzz/options_fuzz.c"
#include "corpus.h"

static DsStatus
parse(const char *json, DsRequest *r, DsError *err)
{
    return request_parse(json, strlen(json), 8192, r, err);
}

static void
defaults_hold(void)
{
    DsRequest r;
    DsError err;

    promise("an empty request is everything by default",
            parse("{}", &r, &err) == DS_OK && r.options.mode == DS_MODE_LAYOUT &&
                strcmp(r.pages, "all") == 0 && r.options.rotate == -1 &&
                r.options.max_crops == -1 && r.options.max_tokens == -1 &&
                r.options.ngram_size == -1 && r.options.ngram_window == -1 &&
                r.options.retries == 1 && r.options.timeout_ms == 0 && r.options.model[0] == '\0' &&
                !r.options.want_raw && !r.options.want_tokens && !r.options.want_lines);
    promise("a null part is a missing part",
            parse("{\"mode\": null, \"pages\": null, \"options\": null}", &r, &err) == DS_OK &&
                strcmp(r.pages, "all") == 0);
    promise("everything can be said",
            parse("{\"mode\":\"text\",\"pages\":\"1-3,7\",\"options\":{\"rotate\":90,\"max_crops\":"
                  "4,\"max_tokens\":99,"
                  "\"ngram_size\":0,\"ngram_window\":50,\"retries\":0,\"include\":[\"raw\","
                  "\"tokens\",\"lines\"],"
                  "\"model\":\"mini\",\"timeout_ms\":250}}",
                  &r, &err) == DS_OK &&
                r.options.mode == DS_MODE_TEXT && strcmp(r.pages, "1-3,7") == 0 &&
                r.options.rotate == 90 && r.options.max_crops == 4 && r.options.max_tokens == 99 &&
                r.options.ngram_size == 0 && r.options.ngram_window == 50 &&
                r.options.retries == 0 && r.options.want_raw && r.options.want_tokens &&
                r.options.want_lines && strcmp(r.options.model, "mini") == 0 &&
                r.options.timeout_ms == 250);
}

static const struct
{
    const char *json;
    DsStatus status;
    const char *says; /* in message, detail or hint */
} refused[] = {
    {"", DS_BAD_REQUEST, "not valid JSON"},
    {"[]", DS_BAD_REQUEST, "must be a JSON object"},
    {"{\"mode\":\"text\",\"mode\":\"text\"}", DS_BAD_REQUEST, "not valid JSON"},
    {"{\"page\":\"1\"}", DS_BAD_REQUEST, "unknown part \"page\""},
    {"{\"mode\":\"fast\"}", DS_BAD_REQUEST, "Modes are \"layout\" and \"text\","},
    {"{\"mode\":3}", DS_BAD_REQUEST, "unknown mode"},
    {"{\"mode\":\"ask\"}", DS_BAD_REQUEST, "there is no question"},
    {"{\"question\":\" \\u3000\\n\",\"mode\":\"ask\"}", DS_BAD_REQUEST, "there is no question"},
    {"{\"mode\":\"locate\",\"question\":\"\"}", DS_BAD_REQUEST, "there is no phrase"},
    {"{\"mode\":\"locate\",\"question\":7}", DS_BAD_REQUEST, "the question must be text"},
    {"{\"mode\":\"describe\",\"question\":\"why?\"}", DS_BAD_REQUEST,
     "\"describe\" takes no question"},
    {"{\"question\":\"why?\"}", DS_BAD_REQUEST, "\"layout\" takes no question"},
    {"{\"pages\":3}", DS_BAD_REQUEST, "pages must be text"},
    {"{\"pages\":\"1;2\"}", DS_BAD_REQUEST, "Write \"all\", or numbers and ranges"},
    {"{\"pages\":\"\"}", DS_BAD_REQUEST, "is not a list of pages"},
    {"{\"pages\":\"3-1\"}", DS_BAD_REQUEST, "\"3-1\" is not a list of pages"},
    {"{\"pages\":\"2,0\"}", DS_BAD_REQUEST, "there is no page 0"},
    {"{\"options\":[]}", DS_BAD_REQUEST, "options must be a JSON object"},
    {"{\"options\":{\"max_tokns\":3}}", DS_BAD_REQUEST,
     "Known options are rotate, max_crops, max_tokens, ngram_size, ngram_window, retries, include, "
     "model, timeout_ms."},
    {"{\"options\":{\"max_tokens\":\"3\"}}", DS_BAD_REQUEST, "must be a whole number from 1 to"},
    {"{\"options\":{\"max_tokens\":0}}", DS_BAD_REQUEST, "It is 0."},
    {"{\"options\":{\"max_tokens\":3.5}}", DS_BAD_REQUEST, "It is 3.5."},
    {"{\"options\":{\"max_tokens\":null}}", DS_BAD_REQUEST, "It is null."},
    {"{\"options\":{\"max_tokens\":8193}}", DS_LIMIT, "dsocr.max_tokens"},
    {"{\"options\":{\"retries\":99999999999}}", DS_BAD_REQUEST, "from 0 to 10"},
    {"{\"options\":{\"rotate\":45}}", DS_BAD_REQUEST, "\"auto\", 0, 90, 180 or 270"},
    {"{\"options\":{\"rotate\":\"left\"}}", DS_BAD_REQUEST, "It is \"left\"."},
    {"{\"options\":{\"include\":[\"words\"]}}", DS_BAD_REQUEST,
     "\"raw\", \"tokens\" and \"lines\""},
    {"{\"options\":{\"include\":\"raw\"}}", DS_BAD_REQUEST, "an array"},
    {"{\"options\":{\"model\":\"\"}}", DS_BAD_REQUEST, "a model's name"},
    {"{\"options\":{\"dpi\":300}}", DS_UNSUPPORTED, "option \"dpi\" is not supported yet"},
    {"{\"options\":{\"language\":\"de\"}}", DS_UNSUPPORTED, "language"},
    {"{\"options\":{\"password\":\"x\"}}", DS_UNSUPPORTED, "password"},
    {"{\"options\":{\"text_layer\":\"ocr\"}}", DS_UNSUPPORTED, "text_layer"},
};

static void
refusals(void)
{
    DsRequest r;
    char what[256], long_pages[400];

    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
    {
        DsError err = {0};
        bool ok = parse(refused[i].json, &r, &err) == refused[i].status &&
                  err.status == refused[i].status &&
                  (strstr(err.message, refused[i].says) || strstr(err.detail, refused[i].says) ||
                   strstr(err.hint, refused[i].says));

        snprintf(what, sizeof what, "refused: %s", refused[i].json);
        if (!promise(what, ok))
            printf("# %s / %s / %s\n", err.message, err.detail, err.hint);
        if (parse(refused[i].json, &r, NULL) != refused[i].status)
            promise("refused without an error to fill", false);
    }
    snprintf(long_pages, sizeof long_pages, "{\"pages\":\"%0300d\"}", 1);
    promise("a list of pages over 255 characters is refused",
            parse(long_pages, &r, NULL) == DS_BAD_REQUEST);
}

static void
questions(void)
{
    DsRequest r;
    DsError err = {0};
    char text[QUESTION_MOST + 100];
    int n = snprintf(text, sizeof text, "{\"mode\":\"ask\",\"question\":\"");

    promise("each mode has its word, and the word its mode",
            mode_of_word(mode_word(DS_MODE_FIGURE)) == DS_MODE_FIGURE &&
                mode_of_word("ask") == DS_MODE_ASK && mode_of_word("layout") == DS_MODE_LAYOUT &&
                mode_of_word("") == -1);
    promise("what is asked is taken, without white space at its ends",
            parse("{\"question\":\"\\u00a0 the <|det|> \\n\",\"mode\":\"locate\"}", &r, &err) ==
                    DS_OK &&
                r.options.mode == DS_MODE_LOCATE && strcmp(r.options.question, "the <|det|>") == 0);
    snprintf(text + n, sizeof text - (size_t)n, " %0*d \"}", QUESTION_MOST, 7);
    promise("2000 bytes can be asked",
            parse(text, &r, &err) == DS_OK && strlen(r.options.question) == QUESTION_MOST);
    snprintf(text + n, sizeof text - (size_t)n, "%0*d\"}", QUESTION_MOST + 1, 7);
    promise("one more is told with the limit", parse(text, &r, &err) == DS_LIMIT &&
                                                   strstr(err.detail, "2001 bytes; 2000 are") &&
                                                   err.hint[0]);
}

static void
canonical(void)
{
    DsRequest a, b;
    Arena arena;

    arena_init(&arena, 0);
    parse("{\"options\":{\"retries\":1,\"timeout_ms\":7}}", &a, NULL);
    parse("{}", &b, NULL);
    promise("the canonical text leaves out defaults said aloud and the time limit",
            strcmp(request_canonical(&a, &arena), request_canonical(&b, &arena)) == 0);
    parse("{\"options\":{\"include\":[\"raw\"]}}", &a, NULL);
    promise("what changes the answer changes it",
            strcmp(request_canonical(&a, &arena), request_canonical(&b, &arena)) != 0);
    parse("{\"mode\":\"ask\",\"question\":\"a\"}", &a, NULL);
    parse("{\"mode\":\"ask\",\"question\":\"b\"}", &b, NULL);
    promise("another question is another request",
            strcmp(request_canonical(&a, &arena), request_canonical(&b, &arena)) != 0);
    parse("{\"mode\":\"locate\",\"question\":\"a\"}", &b, NULL);
    promise("and so is the same one asked for another thing",
            strcmp(request_canonical(&a, &arena), request_canonical(&b, &arena)) != 0);
    arena_free(&arena);
}

static const struct
{
    const char *spec;
    int n; /* -1: refused */
    int pages[8];
} lists[] = {
    {"all", 5, {1, 2, 3, 4, 5}},
    {" all ", 5, {1, 2, 3, 4, 5}},
    {"3", 1, {3}},
    {"1-3,5", 4, {1, 2, 3, 5}},
    {"5, 1 - 2, 2", 3, {1, 2, 5}},
    {"", -1, {0}},
    {"0", -1, {0}},
    {"6", -1, {0}},
    {"1-6", -1, {0}},
    {"3-1", -1, {0}},
    {"1,", -1, {0}},
    {"1-", -1, {0}},
    {"-1", -1, {0}},
    {"1;2", -1, {0}},
    {"allx", -1, {0}},
    {"99999999999999999999999", -1, {0}},
};

static void
pages(void)
{
    Arena arena;
    int *got, n;
    char what[128];
    DsError err = {0};

    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    {
        DsStatus st = pages_parse(lists[i].spec, 5, &arena, &got, &n, &err);

        snprintf(what, sizeof what, "pages \"%s\" of 5: %s", lists[i].spec,
                 lists[i].n < 0 ? "refused" : "listed");
        if (lists[i].n < 0)
            promise(what,
                    st == DS_BAD_REQUEST && strcmp(err.detail, "The document has 5 pages.") == 0);
        else
            promise(what, st == DS_OK && n == lists[i].n &&
                              memcmp(got, lists[i].pages, (size_t)n * sizeof *got) == 0);
    }
    pages_parse("2-9", 5, &arena, &got, &n, &err);
    promise("a range past the end names the page that is missing",
            strcmp(err.message, "there is no page 9") == 0);
    pages_parse("all", 0, &arena, &got, &n, &err);
    promise("a document without pages has none to read", n == 0);
    arena_free(&arena);
}

int
main(void)
{
    defaults_hold();
    refusals();
    questions();
    canonical();
    pages();
    promise("the fuzzer's corpus is harmless",
            replay("test/fuzz/options_corpus", LLVMFuzzerTestOneInput) > 0);
    return report();
}

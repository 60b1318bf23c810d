/* tokenizer_test.c - the same ids as the published library, both ways; broken files end in a message. */
#include "../../src/engine/tokenizer.h"

#include <jansson.h>
#include <time.h>

#include "../../src/engine/utf8.h"
#include "../fuzz/tokenizer_fuzz.c"
#include "corpus.h"

static double
seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static Tokenizer *
open_text(const char *json, size_t n)
{
    Tokenizer *t = NULL;
    DsError err = {0};

    if (json == NULL || tokenizer_open(json, n, &t, &err) != DS_OK)
        printf("# %s: %s\n", err.message, err.detail);
    return t;
}

static Tokenizer *
open_file(const char *path)
{
    size_t n = 0;
    char *json = read_file(path, &n);
    Tokenizer *t = open_text(json, n);

    free(json);
    return t;
}

/* Encodes and decodes; the ids must be those of `want`, the text the same again. */
static bool
both_ways(const Tokenizer *t, const char *text, size_t n, const int32_t *want, int nwant)
{
    Arena arena;
    int32_t *ids;
    int count;
    char *back;
    size_t nback;
    bool ok;

    arena_init(&arena, 0);
    ok = tokenizer_encode(t, text, n, &arena, &ids, &count, NULL) == DS_OK && count == nwant &&
         memcmp(ids, want, (size_t)count * sizeof *ids) == 0 &&
         tokenizer_decode(t, ids, count, &arena, &back, &nback, NULL, NULL) == DS_OK &&
         nback == n && memcmp(back, text, n) == 0;
    arena_free(&arena);
    return ok;
}

/* A line {"text", "ids"}. */
static bool
vector_holds(const Tokenizer *t, const char *line, size_t n)
{
    json_t *v = json_loadb(line, n, JSON_ALLOW_NUL, NULL);
    json_t *text = json_object_get(v, "text"), *list = json_object_get(v, "ids");
    int count = (int)json_array_size(list);
    int32_t ids[4096];
    bool ok = v && count < 4096;

    for (int i = 0; ok && i < count; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    ok = ok && both_ways(t, json_string_value(text), json_string_length(text), ids, count);
    if (!ok)
        printf("# wrong: %.*s\n", (int)(n < 200 ? n : 200), line);
    json_decref(v);
    return ok;
}

/* How many lines of the file hold; *lines is how many there are. */
static int
vectors_hold(const Tokenizer *t, const char *path, int *lines)
{
    size_t n = 0;
    char *text = read_file(path, &n);
    int held = 0;

    *lines = 0;
    for (char *line = text, *end; line && (end = strchr(line, '\n')) != NULL; line = end + 1)
    {
        held += vector_holds(t, line, (size_t)(end - line));
        ++*lines;
    }
    free(text);
    return held;
}

static void
toy(void)
{
    Tokenizer *t = open_file("test/golden/tokenizer/toy.json");
    int lines;

    if (!promise("the toy tokenizer opens", t != NULL))
        return;
    promise("400 strings, both ways, as the tokenizers library has it",
            vectors_hold(t, "test/golden/tokenizer/vectors.jsonl", &lines) == 400 && lines == 400);
    promise("an added token is found by its text", tokenizer_added(t, "<image>") == 385);
    promise("what is no added token is -1", tokenizer_added(t, "the") == -1);
    promise("special and plain added tokens are told apart",
            tokenizer_is_special(t, tokenizer_added(t, "<td>")) &&
                !tokenizer_is_special(t, tokenizer_added(t, "<|EOT|>")) &&
                !tokenizer_is_special(t, -1));
    tokenizer_close(t);
}

/* Every added token's text, taken for plain text, is ordinary tokens that say the same. */
static bool
all_plain(const Tokenizer *t)
{
    Arena arena;
    bool ok = true;

    arena_init(&arena, 0);
    for (int32_t id = 0; id < tokenizer_size(t); id++)
    {
        size_t n, nback;
        int32_t *ids;
        int count = 0;
        char text[200], *back;
        const char *bytes = tokenizer_bytes(t, id, &n);

        snprintf(text, sizeof text, "%.*s", (int)n, bytes);
        if (n == 0 || n >= sizeof text || tokenizer_added(t, text) != id)
            continue;
        ok = ok && tokenizer_encode_plain(t, text, n, &arena, &ids, &count, NULL) == DS_OK &&
             count > 1 &&
             tokenizer_decode(t, ids, count, &arena, &back, &nback, NULL, NULL) == DS_OK &&
             strcmp(back, text) == 0;
        for (int i = 0; i < count; i++)
        {
            bytes = tokenizer_bytes(t, ids[i], &n);
            snprintf(text, sizeof text, "%.*s", (int)n, bytes);
            ok = ok && tokenizer_added(t, text) < 0;
        }
    }
    arena_free(&arena);
    return ok;
}

/* The toy with a token for the end's text in reach: by merges, or as a piece that is taken whole. */
static Tokenizer *
within_reach(bool whole)
{
    static const char *const made[] = {"<e", "<eo", "<eos"};
    json_t *root = json_load_file("test/golden/tokenizer/toy.json", 0, NULL);
    json_t *model = json_object_get(root, "model"), *merges = json_object_get(model, "merges");
    Tokenizer *t;
    char *text;

    json_object_set_new(root, "pre_tokenizer",
                        json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                                  "trim_offsets", 1, "use_regex", 0));
    json_object_set_new(model, "ignore_merges", json_boolean(whole));
    for (int i = 0; i < 3; i++)
        json_object_set_new(json_object_get(model, "vocab"), made[i], json_integer(401 + i));
    json_array_append_new(merges, json_pack("[ss]", "<", "e"));
    json_array_append_new(merges, json_pack("[ss]", "<e", "o"));
    json_array_append_new(merges, json_pack("[ss]", "<eo", "s"));
    json_array_append_new(merges, json_pack("[ss]", "<eos", ">"));
    text = json_dumps(root, 0);
    t = open_text(text, strlen(text));
    free(text);
    json_decref(root);
    return t;
}

static void
plain(void)
{
    Tokenizer *t = open_file("test/golden/tokenizer/toy.json"), *by_merges = within_reach(false),
              *at_once = within_reach(true);
    Arena arena;
    int32_t *ids, *same;
    int n, nsame;

    if (!promise("the toys open", t && by_merges && at_once))
        return;
    arena_init(&arena, 0);
    promise("of plain text no added token is made", all_plain(t));
    promise("neither by merges", all_plain(by_merges));
    promise("nor from a piece that is a token", all_plain(at_once));
    tokenizer_encode(t, "Straße, Rechnung 123\n\n", 24, &arena, &ids, &n, NULL);
    tokenizer_encode_plain(t, "Straße, Rechnung 123\n\n", 24, &arena, &same, &nsame, NULL);
    promise("other text has the same ids",
            n == nsame && memcmp(ids, same, (size_t)n * sizeof *ids) == 0);
    arena_free(&arena);
    tokenizer_close(t);
    tokenizer_close(by_merges);
    tokenizer_close(at_once);
}

static void
broken_bytes(void)
{
    Tokenizer *t = open_file("test/golden/tokenizer/toy.json");
    const char in[] = "a\xE4\xBD"
                      "b\xC3\xA9\xFF\0c";
    Arena arena;
    int32_t *ids;
    int count = 0, starts[64];
    char *text;
    size_t n;

    if (!promise("the toy tokenizer opens", t != NULL))
        return;
    arena_init(&arena, 0);
    tokenizer_encode(t, in, sizeof in - 1, &arena, &ids, &count, NULL);
    promise("any bytes can be encoded", count == 9);
    promise("broken UTF-8 is decoded to U+FFFD, one for each broken start; NUL stays",
            tokenizer_decode(t, ids, count, &arena, &text, &n, starts, NULL) == DS_OK && n == 12 &&
                memcmp(text,
                       "a\xEF\xBF\xBD"
                       "b\xC3\xA9\xEF\xBF\xBD\0c",
                       13) == 0);
    promise(
        "starts follow: a, both halves of the broken one, b, both of the accent, the rest, the end",
        starts[0] == 0 && starts[1] == 1 && starts[2] == 1 && starts[3] == 4 && starts[4] == 5 &&
            starts[5] == 6 && starts[6] == 7 && starts[7] == 10 && starts[8] == 11 &&
            starts[9] == 12);
    tokenizer_bytes(t, 1 << 28, &n);
    promise("an id outside of the vocabulary has no bytes", n == 0);
    arena_free(&arena);
    promise("a text over the arena's limit is DS_LIMIT",
            tokenizer_encode(t, in, sizeof in, &(Arena){.limit = 64}, &ids, &count, NULL) ==
                DS_LIMIT);
    tokenizer_close(t);
}

static void
utf8(void)
{
    char out[4];
    int32_t cp;
    bool ok = true;

    for (uint32_t c = 0; c <= 0x10FFFF; c++)
        if (c < 0xD800 || c > 0xDFFF)
            ok = ok && utf8_next(out, utf8_put(out, c), &cp) && cp == (int32_t)c;
    promise("every character survives writing and reading", ok);
    promise("surrogates, overlong forms and too large ones are broken at the first byte",
            utf8_next("\xED\xA0\x80", 3, &cp) == 1 && cp == -1 &&
                utf8_next("\xC0\xAF", 2, &cp) == 1 && cp == -1 &&
                utf8_next("\xF4\x90\x80\x80", 4, &cp) == 1 && cp == -1);
    promise("a character that breaks off is one broken run",
            utf8_next("\xF0\x9F\x98", 3, &cp) == 3 && cp == -1);
}

/* The mini's alphabet: one token a character. */
static void
mini(void)
{
    Tokenizer *t = open_file("model/mini/tokenizer.json");
    Arena arena;
    int32_t *ids;
    int count = 0;

    if (t == NULL)
    {
        skipped("the mini's tokenizer", "model/mini/tokenizer.json is not there");
        return;
    }
    arena_init(&arena, 0);
    tokenizer_encode(t, "Straße, 12 £", sizeof "Straße, 12 £" - 1, &arena, &ids, &count, NULL);
    promise("dsocr-mini has one token for each character", count == 12);
    arena_free(&arena);
    tokenizer_close(t);
}

/* The vectors that spec section 11 prints. */
static const struct
{
    const char *text;
    int n;
    int32_t ids[20];
} printed[] = {
    {"\n", 1, {201}},
    {"\n\n", 1, {271}},
    {" \n\n", 1, {1004}},
    {"  \n\n", 1, {6776}},
    {"title", 1, {10212}},
    {"sub_title", 2, {5635, 39491}},
    {"equation", 1, {44359}},
    {"image_caption", 3, {10253, 4941, 114727}},
    {"[[77, 66, 315, 84]]", 12, {22663, 3045, 14, 223, 2574, 14, 223, 17070, 14, 223, 5844, 11621}},
    {"<table><tr><td rowspan=\"2\">A</td><td>12345</td></tr></table>",
     19,
     {114761, 32, 128823, 42220, 6946, 6019, 1281, 20, 3320, 35, 128822, 128821, 6895, 1883, 128822,
      128824, 1718, 8603, 32}},
    {"\\(a^2+b^2\\)", 8, {3289, 67, 64, 20, 25846, 64, 20, 2201}},
    {"\\[E=mc^2\\]", 7, {7490, 39, 49542, 69, 64, 20, 23862}},
    {"你好，世界 2024年", 7, {30594, 303, 3427, 223, 939, 22, 695}},
    {"日本語テキスト", 4, {88768, 17383, 20367, 24552}},
    {"1234567", 3, {6895, 18009, 25}},
    {"x²", 2, {90, 1628}},
    {"don't", 2, {20385, 1664}},
    {"a  b", 3, {67, 223, 291}},
    {"\t\tx", 2, {200, 51669}},
    {"\r\n", 2, {204, 201}},
    {"😀", 2, {28927, 225}},
    {"## 3. Aussagen", 6, {372, 223, 21, 16, 58994, 10917}},
    {"\n<|grounding|>Convert the document to markdown.",
     9,
     {201, 128820, 21842, 270, 4940, 304, 2121, 7919, 16}},
};

typedef struct LongPiece
{
    const Tokenizer *t;
    char *text;
    DsStatus st;
} LongPiece;

static void
encode_piece(void *arg, int n)
{
    LongPiece *p = arg;
    Arena arena;
    int32_t *ids;
    int count;

    arena_init(&arena, 0);
    p->st = tokenizer_encode(p->t, p->text, (size_t)n, &arena, &ids, &count, NULL);
    arena_free(&arena);
}

/* A heap, not a scan for each merge. */
static void
long_piece(const Tokenizer *t)
{
    int n = 1 << 19;
    LongPiece p = {t, malloc((size_t)n), DS_BROKEN};

    for (int i = 0; i < n; i++)
        p.text[i] = "etaoinshrdlu"[(size_t)i * (size_t)i % 12];
    promise_no_square("a long word does not take time by its square", encode_piece, &p, n);
    promise("a word of half a megabyte is encoded", p.st == DS_OK);
    free(p.text);
}

static void
published(void)
{
    const char *shared = shared_folder();
    char path[600];
    size_t n = 0;
    char *json;
    Tokenizer *t;
    double start;
    int lines, wrong = 0;

    if (shared == NULL)
    {
        skipped("the published tokenizer: 3000 strings",
                "no shared folder; DSOCR_SHARED can name it");
        return;
    }
    snprintf(path, sizeof path, "%s/tokenizer/tokenizer.json.gz", shared);
    json = unzipped(path, &n);
    start = seconds();
    t = open_text(json, n);
    printf("# %zu bytes opened in %.0f ms\n", n, (seconds() - start) * 1e3);
    free(json);
    if (!promise("the published tokenizer opens", t != NULL))
        return;
    snprintf(path, sizeof path, "%s/tokenizer/vectors.jsonl", shared);
    promise("3000 strings, both ways", vectors_hold(t, path, &lines) == 3000 && lines == 3000);
    for (size_t i = 0; i < sizeof printed / sizeof *printed; i++)
        if (!both_ways(t, printed[i].text, strlen(printed[i].text), printed[i].ids, printed[i].n))
            wrong++, printf("# wrong: %s\n", printed[i].text);
    promise("the vectors printed in spec section 11", wrong == 0);
    promise("of its 830 added tokens' texts plain text makes none", all_plain(t));
    long_piece(t);
    tokenizer_close(t);
}

/* Files with one fault each: the toy's text with something replaced, and what the detail must say. */
static const struct
{
    const char *promise, *find, *put, *says;
} faults[] = {
    {"not JSON", "{\"version\"", "{version", "not JSON"},
    {"a key twice", "\"<pad>\":2", "\"<pad>\":2,\"<pad>\":2", "not JSON"},
    {"no model", "\"model\"", "\"modal\"", "no object \"model\""},
    {"vocabulary of a wrong type", "\"vocab\":{", "\"vocab\":1,\"vocab2\":{",
     "no object \"model\""},
    {"an id that is a string", "\"<pad>\":2", "\"<pad>\":\"2\"", "not a whole number"},
    {"a negative id", "\"<pad>\":2", "\"<pad>\":-2", "is -2"},
    {"a huge id", "\"<pad>\":2", "\"<pad>\":4000000000", "is 4000000000"},
    {"an id twice", "\"!\":3,", "\"!\":4,", "another has too"},
    {"a byte without a token", "\"A\":", "\"Aqq\":", "single byte 65"},
    {"a merge that names an unknown token", "[\"\\\\\",\"(\"]", "[\"zq\",\"qz\"]",
     "not in the vocabulary"},
    {"a merge that names no symbol", "[\"\\\\\",\"(\"]", "[\"你\",\"qz\"]",
     "not in the vocabulary"},
    {"a merge of three", "[\"\\\\\",\"(\"]", "[\"a\",\"b\",\"c\"]", "not a pair"},
    {"a merge as text without a space", "[\"\\\\\",\"(\"]", "\"ab\"", "not a pair"},
    {"a merge twice", "[\"\\\\\",\"(\"]", "[\"\\\\\",\")\"]", "says the same"},
    {"merges of a wrong type", "\"merges\":[", "\"merges\":null,\"m\":[", "not an array"},
    {"an added token without content", "\"content\":\"<image>\"", "\"content\":7", "no content"},
    {"an added token without an id", "\"id\":385,", "", "not a whole number"},
    {"an added token on a taken id", "\"id\":385", "\"id\":40", "taken"},
    {"an added token twice", "\"content\":\"<|ref|>\"", "\"content\":\"<image>\"", "there twice"},
    {"an added token the vocabulary numbers otherwise", "\"id\":2,", "\"id\":500,", "another id"},
    {"an added token that strips", "\"lstrip\":false", "\"lstrip\":true", "\"lstrip\""},
    {"another kind of model", "\"type\":\"BPE\"", "\"type\":\"Unigram\"", "\"Unigram\""},
    {"another decoder", "\"decoder\":{\"type\":\"ByteLevel\"",
     "\"decoder\":{\"type\":\"Metaspace\"", "\"Metaspace\""},
    {"a normalizer", "\"normalizer\":null", "\"normalizer\":{\"type\":\"NFC\"}", "\"NFC\""},
    {"another pre-tokenizer", "\"type\":\"Split\"", "\"type\":\"Punctuation\"", "\"Punctuation\""},
    {"another way to split", "\"Isolated\"", "\"Removed\"", "\"Removed\""},
    {"no ByteLevel", "{\"type\":\"ByteLevel\",\"add_prefix_space\":false",
     "{\"type\":\"Digits\",\"a\":false", "\"Digits\""},
    {"a pattern that is none", "\\\\p{N}{1,3}", "(\\\\p{N}{1,3}", "cannot be compiled"},
    {"byte_fallback", "\"byte_fallback\":false", "\"byte_fallback\":true", "byte_fallback"},
};

static char *
with_fault(const char *json, const char *find, const char *put)
{
    const char *at = strstr(json, find);
    char *out;

    if (at == NULL)
        return NULL;
    out = malloc(strlen(json) + strlen(put) + 1);
    sprintf(out, "%.*s%s%s", (int)(at - json), json, put, at + strlen(find));
    return out;
}

static void
hostile(void)
{
    size_t n = 0;
    char *json = read_file("test/golden/tokenizer/toy.json", &n);

    for (size_t i = 0; json && i < sizeof faults / sizeof *faults; i++)
    {
        char *bad = with_fault(json, faults[i].find, faults[i].put);
        char what[200];
        DsError err = {0};
        Tokenizer *t = NULL;
        bool ok = bad && tokenizer_open(bad, strlen(bad), &t, &err) == DS_NOT_READY && t == NULL &&
                  strstr(err.detail, faults[i].says);

        snprintf(what, sizeof what, "refused, saying so: %s", faults[i].promise);
        if (!promise(what, ok))
            printf("# %s\n", bad ? err.detail : "the fault's place was not found");
        tokenizer_close(t);
        free(bad);
    }
    free(json);
}

int
main(void)
{
    utf8();
    toy();
    plain();
    broken_bytes();
    mini();
    hostile();
    promise("the fuzzer's corpus is harmless",
            replay("test/fuzz/tokenizer_corpus", LLVMFuzzerTestOneInput) > 0);
    published();
    return report();
}

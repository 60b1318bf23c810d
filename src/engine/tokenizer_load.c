/* tokenizer_load.c - tokenizer.json -> tables. Spec 11.
 *
 * The file comes from whoever made the model and is checked like a stranger's: types, ids, doubles, merges
 * that lead nowhere. What this code does not do (other kinds of tokenizers, normalizers, prefixes) is an error
 * that names it, never ignored.
 * Sharp edge: vocabulary and merges are written in symbols, one visible character a byte (space is U+0120);
 * they are turned to bytes here and symbols are never met again. */
#include "tokenizer_parts.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

typedef struct Loader
{
    Tokenizer *t;
    DsError *err;
    json_t *root, *model, *vocab, *added; /* borrowed from root */
    size_t longest;                       /* bytes of the longest entry of the vocabulary */
} Loader;

static DsStatus unusable(Loader *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static DsStatus
unusable(Loader *l, const char *fmt, ...)
{
    char facts[sizeof l->err->detail];
    va_list args;

    va_start(args, fmt);
    vsnprintf(facts, sizeof facts, fmt, args);
    va_end(args);
    ds_fail(l->err, DS_NOT_READY, "the model's tokenizer.json cannot be used");
    ds_detail(l->err, "%s", facts);
    ds_hint(l->err, "Use the tokenizer.json that was published with the model.");
    return DS_NOT_READY;
}

static DsStatus
no_memory(Loader *l)
{
    return ds_fail(l->err, DS_NOT_READY, "not enough memory for the model's tokenizer");
}

/* --- tables --- */

static uint32_t
hash_bytes(const char *bytes, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return (uint32_t)(h ^ h >> 32);
}

/* Slots that `entries` fill by half at most. */
static uint32_t
slots_for(size_t entries)
{
    uint32_t slots = 16;

    while (slots < entries * 2)
        slots *= 2;
    return slots;
}

static bool
id_table_make(IdTable *table, size_t entries, Arena *arena)
{
    uint32_t slots = slots_for(entries);

    if ((table->slots = arena_alloc(arena, slots * sizeof *table->slots)) == NULL)
        return false;
    memset(table->slots, 0xFF, slots * sizeof *table->slots);
    table->mask = slots - 1;
    return true;
}

/* The slot that holds these bytes, or the free one where they belong. */
static int32_t *
id_table_slot(const IdTable *table, const Token *tokens, const char *bytes, size_t n)
{
    for (uint32_t i = hash_bytes(bytes, n);; i++)
    {
        int32_t *slot = &table->slots[i & table->mask];
        const Token *token = &tokens[*slot < 0 ? 0 : *slot];

        if (*slot < 0 || (token->n == n && memcmp(token->bytes, bytes, n) == 0))
            return slot;
    }
}

int32_t
id_table_find(const IdTable *table, const Token *tokens, const char *bytes, size_t n)
{
    return *id_table_slot(table, tokens, bytes, n);
}

static Merge *
merge_place(const Tokenizer *t, int32_t left, int32_t right)
{
    for (uint32_t i = merge_slot(left, right);; i++)
    {
        Merge *m = &t->merges[i & t->merge_mask];

        if (m->left < 0 || (m->left == left && m->right == right))
            return m;
    }
}

const Merge *
merge_find(const Tokenizer *t, int32_t left, int32_t right)
{
    const Merge *m = merge_place(t, left, right);

    return m->left < 0 ? NULL : m;
}

/* --- symbols --- */

/* Bytes 33..126, 161..172 and 174..255 are their own symbol; the other 68 are U+0100 onwards, in order. */
static int
byte_of_symbol(int32_t cp)
{
    static const struct
    {
        int first, count, base;
    } others[] = {{0, 33, 0x100}, {127, 34, 0x121}, {173, 1, 0x143}};

    if ((cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 172) || (cp >= 174 && cp <= 255))
        return cp;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (cp >= others[i].base && cp < others[i].base + others[i].count)
            return others[i].first + cp - others[i].base;
    return -1;
}

/* Symbols to bytes, never longer; -1 when a character is no symbol, as in the names of special tokens. */
static long
bytes_of_symbols(const char *s, size_t n, char *out)
{
    long made = 0;
    int32_t cp;

    for (size_t i = 0; i < n;)
    {
        int byte;

        i += utf8_next(s + i, n - i, &cp);
        if ((byte = byte_of_symbol(cp)) < 0)
            return -1;
        out[made++] = (char)byte;
    }
    return made;
}

/* --- vocabulary --- */

static DsStatus
check_id(Loader *l, const char *content, const json_t *id)
{
    if (!json_is_integer(id))
        return unusable(l, "The id of token \"%.60s\" is not a whole number.", content);
    if (json_integer_value(id) < 0 || json_integer_value(id) >= MAX_TOKENS)
        return unusable(l, "The id of token \"%.60s\" is %lld; ids lie between 0 and %d.", content,
                        (long long)json_integer_value(id), MAX_TOKENS - 1);
    if (json_integer_value(id) >= l->t->size)
        l->t->size = (int)json_integer_value(id) + 1;
    return DS_OK;
}

/* Checks every id and finds how large the tables become. */
static DsStatus
measure(Loader *l, size_t *bytes)
{
    const char *content;
    json_t *id;
    DsStatus st;

    *bytes = 0;
    json_object_foreach(l->vocab, content, id)
    {
        size_t n = strlen(content);

        if ((st = check_id(l, content, id)) != DS_OK)
            return st;
        if (n == 0)
            return unusable(l, "The vocabulary has an empty token.");
        if (n > l->longest)
            l->longest = n;
        *bytes += n;
    }
    return DS_OK;
}

static DsStatus
add_vocabulary(Loader *l, char *bytes)
{
    Tokenizer *t = l->t;
    const char *content;
    json_t *value;

    json_object_foreach(l->vocab, content, value)
    {
        size_t n = strlen(content);
        int32_t id = (int32_t)json_integer_value(value);
        Token *token = &t->tokens[id];
        long made = bytes_of_symbols(content, n, bytes);
        bool mergeable = made >= 0;

        if (token->bytes)
            return unusable(l, "Token \"%.60s\" has id %d, which another has too.", content, id);
        if (!mergeable)
            memcpy(bytes, content, n), made = (long)n;
        *token = (Token){.bytes = bytes, .n = (uint32_t)made};
        bytes += made;
        if (mergeable)
            *id_table_slot(&t->vocab, t->tokens, token->bytes, token->n) = id;
    }
    return DS_OK;
}

static DsStatus
find_single_bytes(Loader *l)
{
    for (int b = 0; b < 256; b++)
    {
        char byte = (char)b;

        l->t->byte_id[b] = id_table_find(&l->t->vocab, l->t->tokens, &byte, 1);
        if (l->t->byte_id[b] < 0)
            return unusable(l, "The vocabulary has no token for the single byte %d.", b);
    }
    return DS_OK;
}

/* --- merges --- */

/* "a b" or ["a", "b"]: the two sides. */
static bool
merge_sides(const json_t *merge, const char **a, size_t *na, const char **b, size_t *nb)
{
    const char *space;

    if (json_is_array(merge) && json_array_size(merge) == 2)
    {
        *a = json_string_value(json_array_get(merge, 0));
        *b = json_string_value(json_array_get(merge, 1));
        if (*a == NULL || *b == NULL)
            return false;
        *na = strlen(*a);
        *nb = strlen(*b);
        return true;
    }
    if ((*a = json_string_value(merge)) == NULL || (space = strchr(*a, ' ')) == NULL ||
        strchr(space + 1, ' '))
        return false;
    *b = space + 1;
    *na = (size_t)(space - *a);
    *nb = strlen(*b);
    return true;
}

/* room: 2 * longest bytes. */
static DsStatus
add_merge(Loader *l, int rank, const json_t *merge, char *room)
{
    Tokenizer *t = l->t;
    const char *a, *b;
    size_t na, nb;
    long la = -1, lb = -1;
    Merge m = {.left = -1, .right = -1, .rank = rank, .result = -1};
    Merge *place;

    if (!merge_sides(merge, &a, &na, &b, &nb))
        return unusable(l, "Merge %d is not a pair of tokens.", rank);
    if (na <= l->longest && nb <= l->longest)
        la = bytes_of_symbols(a, na, room);
    if (la > 0)
        lb = bytes_of_symbols(b, nb, room + la);
    if (lb > 0)
    {
        m.left = id_table_find(&t->vocab, t->tokens, room, (size_t)la);
        m.right = id_table_find(&t->vocab, t->tokens, room + la, (size_t)lb);
        m.result = id_table_find(&t->vocab, t->tokens, room, (size_t)(la + lb));
    }
    if (m.left < 0 || m.right < 0 || m.result < 0)
        return unusable(
            l, "Merge %d (\"%.*s\" and \"%.*s\") names a token that is not in the vocabulary.",
            rank, (int)(na < 60 ? na : 60), a, (int)(nb < 60 ? nb : 60), b);
    place = merge_place(t, m.left, m.right);
    if (place->left >= 0)
        return unusable(l, "Merge %d says the same as merge %d.", rank, place->rank);
    *place = m;
    return DS_OK;
}

static DsStatus
add_merges(Loader *l)
{
    Tokenizer *t = l->t;
    const json_t *merges = json_object_get(l->model, "merges");
    size_t n = json_array_size(merges);
    uint32_t slots = slots_for(n <= MAX_TOKENS ? n : 0);
    char *room = malloc(2 * l->longest + 1);
    DsStatus st = DS_OK;

    if (!json_is_array(merges))
        st = unusable(l, "\"merges\" is not an array.");
    else if (n > MAX_TOKENS)
        st = unusable(l, "There are %zu merges; %d are possible.", n, MAX_TOKENS);
    else if (room == NULL ||
             (t->merges = arena_alloc(&t->arena, slots * sizeof *t->merges)) == NULL)
        st = no_memory(l);
    for (uint32_t i = 0; st == DS_OK && i < slots; i++)
        t->merges[i].left = -1;
    t->merge_mask = slots - 1;
    for (size_t i = 0; st == DS_OK && i < n; i++)
        st = add_merge(l, (int)i, json_array_get(merges, i), room);
    free(room);
    return st;
}

/* --- added tokens --- */

static bool
is_false(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);

    return v == NULL || json_is_false(v);
}

static DsStatus
check_added(Loader *l, const json_t *entry)
{
    static const char *const unsupported[] = {"lstrip", "rstrip", "single_word"};
    const char *content = json_string_value(json_object_get(entry, "content"));
    const json_t *known;
    DsStatus st;

    if (content == NULL || *content == '\0')
        return unusable(l, "An added token has no content.");
    if ((st = check_id(l, content, json_object_get(entry, "id"))) != DS_OK)
        return st;
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        if (!is_false(entry, unsupported[i]))
            return unusable(l, "Added token \"%.60s\" asks for \"%s\", which is not supported.",
                            content, unsupported[i]);
    known = json_object_get(l->vocab, content);
    if (known && !json_equal(known, json_object_get(entry, "id")))
        return unusable(l, "Added token \"%.60s\" has another id in the vocabulary.", content);
    return DS_OK;
}

static DsStatus
add_added(Loader *l, const json_t *entry)
{
    Tokenizer *t = l->t;
    const char *content = json_string_value(json_object_get(entry, "content"));
    int32_t id = (int32_t)json_integer_value(json_object_get(entry, "id"));
    bool normalized = json_is_true(json_object_get(entry, "normalized"));
    AddedSet *set = &t->added[normalized];
    Token *token = &t->tokens[id];

    if (token->added || (token->bytes && json_object_get(l->vocab, content) == NULL))
        return unusable(l, "Added token \"%.60s\" has id %d, which is taken.", content, id);
    if (tokenizer_added(t, content) >= 0)
        return unusable(l, "Added token \"%.60s\" is there twice.", content);
    *token = (Token){.n = (uint32_t)strlen(content), .added = true};
    token->special = json_is_true(json_object_get(entry, "special"));
    if ((token->bytes = arena_strndup(&t->arena, content, token->n)) == NULL)
        return no_memory(l);
    *id_table_slot(&set->table, t->tokens, token->bytes, token->n) = id;
    set->begins[(unsigned char)content[0]] = true;
    set->lengths[set->nlengths++] = token->n;
    return DS_OK;
}

static int
longer_first(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x < y) - (x > y);
}

/* Each length once, longest first: the order in which a place in the text is tried. */
static void
tidy_lengths(AddedSet *set)
{
    int kept = 0;

    qsort(set->lengths, (size_t)set->nlengths, sizeof *set->lengths, longer_first);
    for (int i = 0; i < set->nlengths; i++)
        if (kept == 0 || set->lengths[kept - 1] != set->lengths[i])
            set->lengths[kept++] = set->lengths[i];
    set->nlengths = kept;
}

static DsStatus
add_all_added(Loader *l)
{
    size_t n = json_array_size(l->added);
    DsStatus st = DS_OK;

    for (int i = 0; i < 2; i++)
    {
        AddedSet *set = &l->t->added[i];

        set->lengths = arena_array(&l->t->arena, n + 1, sizeof *set->lengths);
        if (set->lengths == NULL || !id_table_make(&set->table, n, &l->t->arena))
            return no_memory(l);
    }
    for (size_t i = 0; st == DS_OK && i < n; i++)
        st = add_added(l, json_array_get(l->added, i));
    tidy_lengths(&l->t->added[0]);
    tidy_lengths(&l->t->added[1]);
    return st;
}

/* --- the way text is split --- */

static const char *
type_of(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));

    return type ? type : "none";
}

static DsStatus
add_split(Loader *l, const json_t *split)
{
    Tokenizer *t = l->t;
    const char *regex =
        json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
    const char *behavior = json_string_value(json_object_get(split, "behavior"));
    PCRE2_UCHAR why[128];
    PCRE2_SIZE where;
    int code;

    if (regex == NULL)
        return unusable(l, "A \"Split\" has no pattern of kind \"Regex\".");
    if (behavior == NULL || strcmp(behavior, "Isolated") != 0)
        return unusable(l, "A \"Split\" has behavior \"%.60s\"; only \"Isolated\" is supported.",
                        behavior ? behavior : "none");
    if (!is_false(split, "invert"))
        return unusable(l, "A \"Split\" is inverted, which is not supported.");
    if (t->npatterns == MAX_PATTERNS)
        return unusable(l, "There are more than %d patterns.", MAX_PATTERNS);
    t->patterns[t->npatterns] =
        pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &where, NULL);
    if (t->patterns[t->npatterns] == NULL)
    {
        pcre2_get_error_message(code, why, sizeof why);
        return unusable(l, "The pattern of a \"Split\" cannot be compiled: %s at byte %zu.",
                        (char *)why, where);
    }
    t->npatterns++;
    return DS_OK;
}

/* One step; *ended once ByteLevel was met, after which nothing may come. */
static DsStatus
add_splitter(Loader *l, const json_t *step, bool *ended)
{
    const char *type = type_of(step);

    if (*ended)
        return unusable(l, "A pre-tokenizer comes after \"ByteLevel\".");
    if (strcmp(type, "Split") == 0)
        return add_split(l, step);
    if (strcmp(type, "ByteLevel") != 0)
        return unusable(
            l, "The pre-tokenizer is of kind \"%.60s\"; \"Split\" and \"ByteLevel\" are supported.",
            type);
    if (!json_is_false(json_object_get(step, "use_regex")))
        return unusable(
            l, "The pre-tokenizer \"ByteLevel\" uses its own pattern, which is not supported.");
    if (!json_is_false(json_object_get(step, "add_prefix_space")))
        return unusable(
            l, "The pre-tokenizer \"ByteLevel\" adds a space in front, which is not supported.");
    *ended = true;
    return DS_OK;
}

static DsStatus
add_splitters(Loader *l)
{
    const json_t *pre = json_object_get(l->root, "pre_tokenizer");
    const json_t *steps = json_object_get(pre, "pretokenizers");
    bool ended = false;
    DsStatus st = DS_OK;

    if (strcmp(type_of(pre), "Sequence") != 0)
        st = add_splitter(l, pre, &ended);
    else
        for (size_t i = 0; st == DS_OK && i < json_array_size(steps); i++)
            st = add_splitter(l, json_array_get(steps, i), &ended);
    if (st == DS_OK && !ended)
        st = unusable(l, "The pre-tokenizer has no \"ByteLevel\".");
    return st;
}

/* --- what else the file says --- */

static bool
empty_or_null(const json_t *v)
{
    return v == NULL || json_is_null(v) || (json_is_string(v) && *json_string_value(v) == '\0');
}

static DsStatus
check_surroundings(Loader *l)
{
    const json_t *normalizer = json_object_get(l->root, "normalizer");
    const json_t *decoder = json_object_get(l->root, "decoder");

    if (normalizer && !json_is_null(normalizer) &&
        (strcmp(type_of(normalizer), "Sequence") != 0 ||
         json_array_size(json_object_get(normalizer, "normalizers")) != 0))
        return unusable(l, "It has a normalizer of kind \"%.60s\"; none is supported.",
                        type_of(normalizer));
    if (strcmp(type_of(decoder), "ByteLevel") != 0)
        return unusable(l, "The decoder is of kind \"%.60s\"; \"ByteLevel\" is supported.",
                        type_of(decoder));
    if (strcmp(type_of(l->model), "BPE") != 0)
        return unusable(l, "The model is of kind \"%.60s\"; \"BPE\" is supported.",
                        type_of(l->model));
    if (!empty_or_null(json_object_get(l->model, "continuing_subword_prefix")) ||
        !empty_or_null(json_object_get(l->model, "end_of_word_suffix")))
        return unusable(l, "The model uses a subword prefix or suffix, which is not supported.");
    if (!is_false(l->model, "byte_fallback"))
        return unusable(l, "The model uses \"byte_fallback\", which is not supported.");
    return DS_OK;
}

static DsStatus
find_parts(Loader *l)
{
    l->model = json_object_get(l->root, "model");
    l->vocab = json_object_get(l->model, "vocab");
    l->added = json_object_get(l->root, "added_tokens");
    if (!json_is_object(l->vocab))
        return unusable(l, "There is no object \"model\" with an object \"vocab\".");
    if (l->added && !json_is_array(l->added))
        return unusable(l, "\"added_tokens\" is not an array.");
    l->t->ignore_merges = json_is_true(json_object_get(l->model, "ignore_merges"));
    return check_surroundings(l);
}

static DsStatus
load(Loader *l)
{
    Tokenizer *t = l->t;
    size_t bytes = 0;
    char *room;
    DsStatus st;

    if ((st = find_parts(l)) != DS_OK || (st = measure(l, &bytes)) != DS_OK)
        return st;
    for (size_t i = 0; i < json_array_size(l->added); i++)
        if ((st = check_added(l, json_array_get(l->added, i))) != DS_OK)
            return st;
    t->tokens = arena_array(&t->arena, (size_t)t->size + 1, sizeof *t->tokens);
    room = arena_alloc(&t->arena, bytes + 1);
    if (t->tokens == NULL || room == NULL ||
        !id_table_make(&t->vocab, json_object_size(l->vocab), &t->arena))
        return no_memory(l);
    if ((st = add_vocabulary(l, room)) != DS_OK || (st = find_single_bytes(l)) != DS_OK ||
        (st = add_merges(l)) != DS_OK || (st = add_all_added(l)) != DS_OK)
        return st;
    return add_splitters(l);
}

DsStatus
tokenizer_open(const char *json, size_t n, Tokenizer **out, DsError *err)
{
    DsError nobody;
    Loader l = {.err = err ? err : &nobody};
    json_error_t why;
    DsStatus st;

    *out = NULL;
    if ((l.t = calloc(1, sizeof *l.t)) == NULL)
        return no_memory(&l);
    if ((l.root = json_loadb(json, n, JSON_REJECT_DUPLICATES, &why)) == NULL)
        st = unusable(&l, "It is not JSON: %.200s (line %d).", why.text, why.line);
    else
        st = load(&l);
    json_decref(l.root);
    if (st == DS_OK)
        *out = l.t;
    else
        tokenizer_close(l.t);
    return st;
}

void
tokenizer_close(Tokenizer *t)
{
    if (t == NULL)
        return;
    for (int i = 0; i < t->npatterns; i++)
        pcre2_code_free(t->patterns[i]);
    arena_free(&t->arena);
    free(t);
}

/* tokenizer.c - text <-> token ids, bytes in and bytes out. Spec 11.
 *
 * Text is cut at added tokens, the rest by the file's patterns into pieces, and each piece's bytes are merged
 * pair by pair. Sharp edge: a pattern sees the piece it is given as the whole text, so a look-ahead at the end
 * of a piece sees an end, whatever comes after it. */
#include "tokenizer_parts.h"

#include <limits.h>
#include <string.h>

#include "utf8.h"

int
tokenizer_size(const Tokenizer *t)
{
    return t->size;
}

int32_t
tokenizer_added(const Tokenizer *t, const char *content)
{
    int32_t id = id_table_find(&t->added[0].table, t->tokens, content, strlen(content));

    return id >= 0 ? id : id_table_find(&t->added[1].table, t->tokens, content, strlen(content));
}

const char *
tokenizer_bytes(const Tokenizer *t, int32_t id, size_t *n)
{
    bool known = id >= 0 && id < t->size && t->tokens[id].bytes;

    *n = known ? t->tokens[id].n : 0;
    return known ? t->tokens[id].bytes : "";
}

bool
tokenizer_is_special(const Tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->size && t->tokens[id].special;
}

static DsStatus
no_room(DsError *err)
{
    return ds_fail(err, DS_LIMIT, "the text needs more memory than a page may take");
}

/* --- merging --- */

/* A merge that was possible when it was noted; stale when the two have since become others. */
typedef struct Candidate
{
    int32_t rank, at; /* at: index of the left one */
    int32_t left, right;
} Candidate;

typedef struct Encoder
{
    const Tokenizer *t;
    Arena *arena;
    DsError *err;
    pcre2_match_data *match;
    int32_t *ids; /* [bytes of the text] at most: no id stands for less than a byte */
    int n;
    /* of one piece: its symbols as a list, and the merges that wait, lowest rank and leftmost first */
    int32_t *id, *next, *previous; /* [room]; id -1: merged into its left neighbour */
    Candidate *heap;               /* [3 * room]: each merge takes one and adds two at most */
    int nheap;
    size_t room;
} Encoder;

static bool
before(const Candidate *a, const Candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void
heap_push(Encoder *e, Candidate c)
{
    int i = e->nheap++;

    for (; i > 0 && before(&c, &e->heap[(i - 1) / 2]); i = (i - 1) / 2)
        e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = c;
}

static Candidate
heap_pop(Encoder *e)
{
    Candidate top = e->heap[0];
    Candidate last = e->heap[--e->nheap];
    int i = 0, child;

    while ((child = 2 * i + 1) < e->nheap)
    {
        if (child + 1 < e->nheap && before(&e->heap[child + 1], &e->heap[child]))
            child++;
        if (!before(&e->heap[child], &last))
            break;
        e->heap[i] = e->heap[child];
        i = child;
    }
    e->heap[i] = last;
    return top;
}

static void
note(Encoder *e, int32_t at)
{
    const Merge *m;

    if (at < 0 || e->next[at] < 0)
        return;
    m = merge_find(e->t, e->id[at], e->id[e->next[at]]);
    if (m != NULL && !e->t->tokens[m->result].added) /* plain text makes none of those */
        heap_push(e, (Candidate){m->rank, at, m->left, m->right});
}

static DsStatus
make_room(Encoder *e, size_t n)
{
    size_t room = e->room ? e->room : 64;

    if (n <= e->room)
        return DS_OK;
    while (room < n)
        room *= 2;
    e->id = arena_alloc(e->arena, room * sizeof *e->id);
    e->next = arena_alloc(e->arena, room * sizeof *e->next);
    e->previous = arena_alloc(e->arena, room * sizeof *e->previous);
    e->heap = arena_alloc(e->arena, 3 * room * sizeof *e->heap);
    if (!e->id || !e->next || !e->previous || !e->heap)
        return no_room(e->err);
    e->room = room;
    return DS_OK;
}

static void
take_merge(Encoder *e, Candidate c)
{
    int32_t right = e->next[c.at];

    if (e->id[c.at] != c.left || right < 0 || e->id[right] != c.right)
        return;
    e->id[c.at] = merge_find(e->t, c.left, c.right)->result;
    e->id[right] = -1;
    e->next[c.at] = e->next[right];
    if (e->next[right] >= 0)
        e->previous[e->next[right]] = c.at;
    note(e, e->previous[c.at]);
    note(e, c.at);
}

/* One piece -> ids: again and again the pair of lowest rank, leftmost first. */
static DsStatus
merge_piece(Encoder *e, const char *text, size_t n)
{
    const Tokenizer *t = e->t;
    int32_t whole = t->ignore_merges ? id_table_find(&t->vocab, t->tokens, text, n) : -1;
    DsStatus st;

    if (whole >= 0 && t->tokens[whole].added)
        whole = -1;
    if (whole >= 0 || n == 1)
    {
        e->ids[e->n++] = whole >= 0 ? whole : t->byte_id[(unsigned char)text[0]];
        return DS_OK;
    }
    if ((st = make_room(e, n)) != DS_OK)
        return st;
    e->nheap = 0;
    for (size_t i = 0; i < n; i++)
    {
        e->id[i] = t->byte_id[(unsigned char)text[i]];
        e->previous[i] = (int32_t)i - 1;
        e->next[i] = i + 1 < n ? (int32_t)i + 1 : -1;
    }
    for (size_t i = 0; i + 1 < n; i++)
        note(e, (int32_t)i);
    while (e->nheap > 0)
        take_merge(e, heap_pop(e));
    for (int32_t i = 0; i >= 0; i = e->next[i])
        e->ids[e->n++] = e->id[i];
    return DS_OK;
}

/* --- splitting --- */

static DsStatus
match_failed(Encoder *e, int code)
{
    PCRE2_UCHAR why[128];

    pcre2_get_error_message(code, why, sizeof why);
    ds_fail(e->err, DS_NOT_READY, "the tokenizer's pattern cannot be applied to a text");
    ds_detail(e->err, "%s.", (char *)why);
    return DS_NOT_READY;
}

/* Valid UTF-8 through pattern k and those after it; matches and gaps are pieces alike. */
static DsStatus
split(Encoder *e, int k, const char *text, size_t n)
{
    size_t done = 0, from = 0;
    DsStatus st = DS_OK;

    if (n == 0)
        return DS_OK;
    if (k == e->t->npatterns)
        return merge_piece(e, text, n);
    while (st == DS_OK && from < n)
    {
        int code = pcre2_match(e->t->patterns[k], (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK,
                               e->match, NULL);
        PCRE2_SIZE *ends = pcre2_get_ovector_pointer(e->match);
        size_t begin, end;

        if (code == PCRE2_ERROR_NOMATCH)
            break;
        if (code < 0 || ends[0] < done || ends[0] > ends[1])
            return match_failed(e, code);
        begin = ends[0], end = ends[1];
        from = end;
        if (begin == end)
        {
            int32_t cp;

            from += end < n ? utf8_next(text + end, n - end, &cp) : 1;
            continue;
        }
        if ((st = split(e, k + 1, text + done, begin - done)) == DS_OK)
            st = split(e, k + 1, text + begin, end - begin);
        done = end;
    }
    return st != DS_OK ? st : split(e, k + 1, text + done, n - done);
}

/* Bytes that are not UTF-8 are pieces of their own: the patterns know characters only. */
static DsStatus
split_any(Encoder *e, const char *text, size_t n)
{
    size_t begin = 0, i = 0;
    DsStatus st = DS_OK;
    int32_t cp;

    while (st == DS_OK && i < n)
    {
        size_t step = utf8_next(text + i, n - i, &cp);

        if (cp < 0)
        {
            if ((st = split(e, 0, text + begin, i - begin)) == DS_OK)
                st = merge_piece(e, text + i, step);
            begin = i + step;
        }
        i += step;
    }
    return st != DS_OK ? st : split(e, 0, text + begin, n - begin);
}

#define NO_PASS 2 /* of the two that look for added tokens */

static int32_t
added_at(const Tokenizer *t, const AddedSet *set, const char *text, size_t n)
{
    if (!set->begins[(unsigned char)text[0]])
        return -1;
    for (int i = 0; i < set->nlengths; i++)
    {
        int32_t id =
            set->lengths[i] > n ? -1 : id_table_find(&set->table, t->tokens, text, set->lengths[i]);

        if (id >= 0)
            return id;
    }
    return -1;
}

/* Cuts at the added tokens of this pass, leftmost and longest, and hands on what lies between. */
static DsStatus
split_added(Encoder *e, int pass, const char *text, size_t n)
{
    const Tokenizer *t = e->t;
    size_t begin = 0, i = 0;
    DsStatus st = DS_OK;

    if (pass == NO_PASS)
        return split_any(e, text, n);
    while (st == DS_OK && i < n)
    {
        int32_t id = added_at(t, &t->added[pass], text + i, n - i);

        if (id < 0)
        {
            i++;
            continue;
        }
        st = split_added(e, pass + 1, text + begin, i - begin);
        e->ids[e->n++] = id;
        i += t->tokens[id].n;
        begin = i;
    }
    return st != DS_OK ? st : split_added(e, pass + 1, text + begin, n - begin);
}

/* pass: of split_added, the first. */
static DsStatus
encode(const Tokenizer *t, int pass, const char *text, size_t n, Arena *arena, int32_t **ids,
       int *count, DsError *err)
{
    Encoder e = {.t = t, .arena = arena, .err = err};
    DsStatus st;

    *ids = NULL;
    *count = 0;
    if (n > INT_MAX / 64)
        return ds_fail(err, DS_LIMIT, "a text of %zu bytes is too long to encode", n);
    if ((e.ids = arena_alloc(arena, (n + 1) * sizeof *e.ids)) == NULL)
        return no_room(err);
    if ((e.match = pcre2_match_data_create(1, NULL)) == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory");
    st = split_added(&e, pass, text, n);
    pcre2_match_data_free(e.match);
    *ids = e.ids;
    *count = e.n;
    return st;
}

DsStatus
tokenizer_encode(const Tokenizer *t, const char *text, size_t n, Arena *arena, int32_t **ids,
                 int *count, DsError *err)
{
    return encode(t, 0, text, n, arena, ids, count, err);
}

DsStatus
tokenizer_encode_plain(const Tokenizer *t, const char *text, size_t n, Arena *arena, int32_t **ids,
                       int *count, DsError *err)
{
    return encode(t, NO_PASS, text, n, arena, ids, count, err);
}

/* --- decoding --- */

/* raw, n bytes, to valid UTF-8 in out (3 * n + 1 bytes); the offsets in starts, ascending, follow. */
static size_t
repair(const char *raw, size_t n, char *out, int *starts, int nstarts)
{
    size_t r = 0, o = 0;
    int k = 0;
    int32_t cp;

    while (r < n)
    {
        size_t step = utf8_next(raw + r, n - r, &cp);
        size_t made = cp < 0 ? 3 : step;

        memcpy(out + o, cp < 0 ? UTF8_REPLACEMENT : raw + r, made);
        for (; k < nstarts && (size_t)starts[k] < r + step; k++)
            starts[k] = (int)(cp < 0 ? o : o + (size_t)starts[k] - r);
        r += step;
        o += made;
    }
    for (; k < nstarts; k++)
        starts[k] = (int)o;
    out[o] = '\0';
    return o;
}

DsStatus
tokenizer_decode(const Tokenizer *t, const int32_t *ids, int count, Arena *arena, char **text,
                 size_t *n, int *starts, DsError *err)
{
    size_t total = 0, one, at = 0;
    char *raw;

    for (int i = 0; i < count; i++)
    {
        tokenizer_bytes(t, ids[i], &one);
        total += one;
    }
    if (total > INT_MAX / 4)
        return ds_fail(err, DS_LIMIT, "%d tokens make a text that is too long", count);
    raw = arena_alloc(arena, total + 1);
    *text = arena_alloc(arena, 3 * total + 1);
    if (raw == NULL || *text == NULL)
        return no_room(err);
    for (int i = 0; i < count; i++, at += one)
    {
        const char *bytes = tokenizer_bytes(t, ids[i], &one);

        memcpy(raw + at, bytes, one);
        if (starts)
            starts[i] = (int)at;
    }
    if (starts)
        starts[count] = (int)total;
    *n = repair(raw, total, *text, starts, starts ? count + 1 : 0);
    return DS_OK;
}

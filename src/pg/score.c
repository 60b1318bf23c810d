/* score.c - how far a reading is from the truth: dsocr_cer and dsocr_wer.
 *
 * The edit distance (insert, delete, replace cost one each) by the length of the truth, in characters or in words;
 * white space is one space, and none at the ends. Myers' bit-vector algorithm in blocks of 64, so that two pages of
 * 5,000 characters take a few milliseconds; the time grows with the square, and can be cancelled. */
#include "compat.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "letters.h"

PG_FUNCTION_INFO_V1(dsocr_cer);
PG_FUNCTION_INFO_V1(dsocr_wer);

/* ---- texts to numbers ---- */

typedef struct Token
{
    const char *s; /* NULL: a free place in the table */
    int n;
    int id;
} Token;

/* Each different token gets the next number. */
typedef struct Names
{
    Token *table; /* [size], a power of two, at most half full */
    Size size;
    int count;
} Names;

typedef struct Sequence
{
    int *ids; /* [n] */
    Size n;
} Sequence;

static void *
allocate(Size n, Size each)
{
    return MemoryContextAllocExtended(CurrentMemoryContext, n * each + 1,
                                      MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

static int
id_of(Names *names, const char *s, int n)
{
    Size at = hash_bytes((const unsigned char *)s, n) & (names->size - 1);

    while (names->table[at].s && (names->table[at].n != n || memcmp(names->table[at].s, s, n) != 0))
        at = (at + 1) & (names->size - 1);
    if (names->table[at].s == NULL)
        names->table[at] = (Token){s, n, names->count++};
    return names->table[at].id;
}

/* Passes white space; true when there was some. */
static bool
pass_space(const char **s, const char *end)
{
    const char *start = *s;
    int length;

    while (*s < end && is_space(letter_at(*s, end - *s, &length)))
        *s += length;
    return *s > start;
}

static int
word_length(const char *s, const char *end)
{
    const char *at = s;
    int length;

    while (at < end && !is_space(letter_at(at, end - at, &length)))
        at += length;
    return at - s;
}

static Sequence
sequence_of(Names *names, const text *t, bool words)
{
    const char *s = VARDATA_ANY(t), *end = s + VARSIZE_ANY_EXHDR(t);
    Sequence q = {allocate(end - s, sizeof(int)), 0};

    while (s < end)
    {
        bool gap = pass_space(&s, end);
        int n;

        if (s == end)
            break;
        if (gap && q.n > 0 && !words)
            q.ids[q.n++] = id_of(names, " ", 1);
        n = words ? word_length(s, end) : Min(pg_mblen(s), (int)(end - s));
        q.ids[q.n++] = id_of(names, s, n);
        s += n;
    }
    return q;
}

/* ---- distance ---- */

/* The truth as bit vectors: 64 rows of the table of distances in a block. */
typedef struct Column
{
    uint64 *plus, *minus; /* [blocks] */
    uint64 *
        equal; /* [blocks] where the token at hand stands; of each token, [tokens, blocks], when `all` */
    int blocks;
    bool all;
    int *first, *next; /* of each token: its places in the truth, a list; -1 ends it */
} Column;

/* One block, one step to the right. in: the change of distance on the row above. Returns that on its row `last`. */
static int
step(Column *c, const uint64 *equal_at, int b, int in, int last)
{
    uint64 plus = c->plus[b], minus = c->minus[b], equal = equal_at[b];
    uint64 vertical = equal | minus, across, up, down;
    int out;

    if (in < 0)
        equal |= 1;
    across = (((equal & plus) + plus) ^ plus) | equal;
    up = minus | ~(across | plus);
    down = plus & across;
    out = (int)((up >> last) & 1) - (int)((down >> last) & 1);
    up <<= 1;
    down <<= 1;
    if (in < 0)
        down |= 1;
    else if (in > 0)
        up |= 1;
    c->plus[b] = down | ~(vertical | up);
    c->minus[b] = up & vertical;
    return out;
}

/* Sets or clears the bits where the token stands. */
static void
mark(const Column *c, uint64 *equal, int token, bool set)
{
    for (int i = c->first[token]; i >= 0; i = c->next[i])
        equal[i / 64] = set ? equal[i / 64] | UINT64CONST(1) << (i % 64) : 0;
}

#define MOST_VECTORS ((Size)8 << 20) /* 64 MB */

static void
begin_column(Column *c, const Sequence *truth, int tokens)
{
    c->blocks = (truth->n + 63) / 64;
    c->plus = allocate(c->blocks, sizeof(uint64));
    c->minus = allocate(c->blocks, sizeof(uint64));
    c->all = (Size)tokens * c->blocks <= MOST_VECTORS;
    c->equal = allocate((Size)(c->all ? tokens : 1) * c->blocks, sizeof(uint64));
    c->first = allocate(tokens, sizeof(int));
    c->next = allocate(truth->n, sizeof(int));
    memset(c->plus, 0xff, sizeof(uint64) * c->blocks);
    memset(c->first, 0xff, sizeof(int) * tokens);
    for (Size i = truth->n; i-- > 0;)
    {
        c->next[i] = c->first[truth->ids[i]];
        c->first[truth->ids[i]] = i;
    }
    for (int t = 0; c->all && t < tokens; t++)
        mark(c, c->equal + (Size)t * c->blocks, t, true);
}

static Size
distance(const Sequence *truth, const Sequence *reading, int tokens)
{
    Column c;
    Size score = truth->n;

    if (truth->n == 0)
        return reading->n;
    begin_column(&c, truth, tokens);
    for (Size j = 0; j < reading->n; j++)
    {
        uint64 *equal = c.equal + (c.all ? (Size)reading->ids[j] * c.blocks : 0);
        int change = 1;

        CHECK_FOR_INTERRUPTS();
        if (!c.all)
            mark(&c, equal, reading->ids[j], true);
        for (int b = 0; b < c.blocks; b++)
            change =
                step(&c, equal, b, change, b == c.blocks - 1 ? (int)((truth->n - 1) % 64) : 63);
        score += change;
        if (!c.all)
            mark(&c, equal, reading->ids[j], false);
    }
    return score;
}

/* ---- SQL ---- */

static float4
error_rate(const text *reference, const text *read, bool words)
{
    Names names = {.size = 64};
    Sequence truth, reading;
    Size most = (Size)VARSIZE_ANY_EXHDR(reference) + VARSIZE_ANY_EXHDR(read);

    while (names.size < most * 2)
        names.size *= 2;
    names.table = allocate(names.size, sizeof(Token));
    truth = sequence_of(&names, reference, words);
    reading = sequence_of(&names, read, words);
    if (truth.n == 0)
        return reading.n == 0 ? 0 : 1;
    return (float4)((double)distance(&truth, &reading, names.count) / truth.n);
}

Datum
dsocr_cer(PG_FUNCTION_ARGS)
{
    PG_RETURN_FLOAT4(error_rate(PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1), false));
}

Datum
dsocr_wer(PG_FUNCTION_ARGS)
{
    PG_RETURN_FLOAT4(error_rate(PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1), true));
}

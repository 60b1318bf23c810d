/* tokenizer_parts.h - what a tokenizer is made of; for tokenizer_load.c, which fills it from the file, and
 * tokenizer.c, which uses it. Nobody else includes this. */
#ifndef DS_TOKENIZER_PARTS_H
#define DS_TOKENIZER_PARTS_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "tokenizer.h"

#define MAX_TOKENS   (1 << 20) /* largest id + 1; vocabularies in use stay under 300,000 */
#define MAX_PATTERNS 16

typedef struct Token
{
    const char *bytes; /* NULL: no token has this id */
    uint32_t n;
    bool added, special;
} Token;

/* A set of ids found by the bytes of their tokens: open addressing, a power of two slots. */
typedef struct IdTable
{
    int32_t *slots; /* -1: free */
    uint32_t mask;
} IdTable;

/* Added tokens that are looked for in one pass over the text. */
typedef struct AddedSet
{
    IdTable table;
    uint32_t *lengths; /* [nlengths] the lengths there are, longest first */
    int nlengths;
    bool begins[256]; /* bytes that one of them begins with */
} AddedSet;

typedef struct Merge
{
    int32_t left, right; /* left -1: a free slot */
    int32_t rank;        /* lower is merged earlier */
    int32_t result;
} Merge;

struct Tokenizer
{
    Arena arena;
    int size;
    Token *tokens;        /* [size] */
    IdTable vocab;        /* tokens that merges can make */
    int32_t byte_id[256]; /* the token of a single byte */
    Merge *merges;        /* [merge_mask + 1] found by (left, right) */
    uint32_t merge_mask;
    bool ignore_merges; /* a piece that is a token is taken whole */
    AddedSet added[2];  /* "normalized": false, then true: spec 11, step 1 */
    pcre2_code
        *patterns[MAX_PATTERNS]; /* spec 11, step 2; each works on the pieces of the one before */
    int npatterns;
};

/* The id in the table whose token has these bytes, or -1. */
int32_t id_table_find(const IdTable *table, const Token *tokens, const char *bytes, size_t n);

/* The merge of two neighbours, or NULL. */
const Merge *merge_find(const Tokenizer *t, int32_t left, int32_t right);

/* Where the search for a pair begins; the next slot is the one after. */
static inline uint32_t
merge_slot(int32_t left, int32_t right)
{
    uint64_t k = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;

    return (uint32_t)(k >> 32);
}

#endif

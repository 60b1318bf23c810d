/* near.h - the part of a text that holds all words a query finds in it. */
#ifndef DS_NEAR_H
#define DS_NEAR_H

#include "postgres.h"

#include "tsearch/ts_public.h"
#include "tsearch/ts_type.h"

/* Bytes of a text. */
typedef struct Part
{
    int from, to;
} Part;

/* A guess; words: how many are to stand behind what is found, and half as many before. */
extern Part near_hits(const char *text, int n, TSQuery query, int words);

/* Whether what was parsed of that part is what matters of the text [n] that tsv was made of: every word that the query
 * finds, and so many around them, or the text's ends. */
extern bool near_is_all(Part part, int n, TSVector tsv, TSQuery query,
                        const HeadlineParsedText *parsed, int words);

#endif

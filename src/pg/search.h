/* search.h - what the parts of dsocr_search share. */
#ifndef DS_SEARCH_H
#define DS_SEARCH_H

#include "postgres.h"

#include "nodes/pg_list.h"

/* A watch that the caller may see, as a search needs it. */
typedef struct Searched
{
    int watch, nkeys;
    Oid source;         /* InvalidOid: it is not there */
    char *table;        /* the results, quoted */
    char **keys;        /* [nkeys]: what the columns of the key are called in the source, */
    char **result_keys; /* and in the results */
    Oid results, config;
    bool has_notes; /* of rows that are gone, or have another key */
} Searched;

/* What a statement on the results gives: these columns, those of the key, and, of a fuzzy search, the words to mark. */
enum
{
    FOUND_RANK,
    FOUND_PAGE,
    FOUND_TEXT,
    FOUND_TSV,
    FOUND_RESULT,
    FOUND_KEY
};

/* search_watches.c: the watch of that number, or those of a table; NIL: the caller sees none. */
extern List *watch_to_search(int watch);
extern List *watches_to_search(Oid source);

/* search_gone.c: whether the queue has been told of rows of a watch that are gone, and not yet done anything about it. */
extern bool gone_notes(int watch);
/* values: a key of the results, of these types [nkeys]. False: the queue will delete what it has read of it. True: and values
 * are what it will then be. */
extern bool gone_follow(const Searched *w, const Oid *types, Datum *values);

#endif

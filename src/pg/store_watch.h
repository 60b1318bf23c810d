/* store_watch.h - a watch, and the pieces of statements that its names make. */
#ifndef DS_STORE_WATCH_H
#define DS_STORE_WATCH_H

#include "postgres.h"

#include "state.h"

/* A row of dsocr.watch, and what its names stand for now. */
typedef struct Watch
{
    int id, nkeys;
    char *schema, *table, *column, *result_schema, *result_table;
    char *mode, *options, *filter;
    char **keys, **result_keys; /* [nkeys] */
    Oid *types;                 /* [nkeys] */
    Oid owner;
    bool store_result;
} Watch;

/* In the current context; SPI is connected, and the owner of the extension the user. NULL: it is gone. ERROR 55000: its
 * names stand for nothing. */
extern Watch *load_watch(int id);
extern void cannot_serve(const Watch *w, const char *why); /* ERROR 55000 */
/* The same when a policy may hide rows of the relation, which is locked, from the owner: what is hidden would be taken for
 * deleted. whose: what it is called. load_watch has looked at the source and the results. */
extern void require_all_rows(const Watch *w, Oid relation, const char *whose);

extern const char *source_of(const Watch *w); /* quoted */
extern const char *results_of(const Watch *w);
/* "a" = $1 AND "b" = $2, or from $first on; columns: those of the source or of the results. */
extern char *key_condition(const Watch *w, char **columns, const char *prefix, int first);
/* source."a" = results."a" AND ...: two aliases */
extern char *same_key_condition(const Watch *w, const char *source, const char *results);
extern char *column_list(const Watch *w, char **columns);
extern char *parameter_list(const Watch *w, int first); /* $1, $2, or from $first on */
/* The key, as values of its types: nkeys arguments. */
extern void add_key(Arguments *a, const Watch *w, Datum key);

#endif

/* search_watches.c - what dsocr_search looks through: rows of dsocr.watch, as dsocr.watches shows them to the caller.
 *
 * The same rules as the view's (watch_row.h), and the rights to it. */
#include "compat.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "search.h"
#include "watch_row.h"

static char **
texts_column(Relation table, HeapTuple row, const char *name, int *n)
{
    bool null;

    return texts_of_array(row_column(table, row, name, &null), n);
}

/* source: its table. */
static Searched *
searched_of(Relation table, HeapTuple row, Oid source)
{
    Searched *w = palloc0(sizeof *w);
    char *schema = row_text(table, row, "result_schema");
    char *name = row_text(table, row, "result_table");
    int n;
    bool null;

    w->watch = DatumGetInt32(row_column(table, row, "id", &null));
    w->source = source;
    w->results = find_relation(schema, name);
    if (!OidIsValid(w->results))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("the result table of watch %d is not there", w->watch)));
    w->table = quote_qualified_identifier(schema, name);
    w->keys = texts_column(table, row, "key_columns", &w->nkeys);
    w->result_keys = texts_column(table, row, "result_columns", &n);
    if (n != w->nkeys || n == 0)
        elog(ERROR, "the key of watch %d is broken", w->watch);
    w->config = DatumGetObjectId(
        DirectFunctionCall1(regconfigin, CStringGetDatum(row_text(table, row, "ts_config"))));
    w->has_notes = gone_notes(w->watch);
    return w;
}

static Relation
open_watches(void)
{
    Oid view = get_relname_relid("watches", LookupExplicitNamespace("dsocr", false));

    if (pg_class_aclcheck(view, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
        aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_VIEW, "watches");
    return state_table("watch", AccessShareLock);
}

List *
watch_to_search(int watch)
{
    Relation table = open_watches();
    StateRows r;
    HeapTuple row = find_watch(&r, table, watch, GetActiveSnapshot());
    List *found = NIL;

    if (row && watch_is_seen(table, row))
        found = list_make1(searched_of(table, row, watch_source(table, row)));
    rows_end(&r);
    table_close(table, AccessShareLock);
    return found;
}

List *
watches_to_search(Oid source)
{
    Relation table;
    StateRows r;
    HeapTuple row;
    List *found = NIL;

    if (!OidIsValid(source))
        return NIL;
    table = open_watches();
    rows_begin(&r, table, NULL, 0, NULL, GetActiveSnapshot());
    while ((row = rows_next(&r)) != NULL)
        if (watch_source(table, row) == source && watch_is_seen(table, row))
            found = lappend(found, searched_of(table, row, source));
    rows_end(&r);
    table_close(table, AccessShareLock);
    return found;
}

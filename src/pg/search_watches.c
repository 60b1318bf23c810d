/* search_watches.c - what dsocr_search looks through: rows of dsocr.watch, as dsocr.watches shows them to the caller.
 *
 * The same rules as the view's, and the rights to it, without a statement, which would take longer than a search. Sharp edge:
 * names are looked up each time, since anything may have been renamed or dropped. */
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "search.h"
#include "state.h"

/* ---- columns ---- */

static char *
text_column(Relation table, HeapTuple row, const char *name)
{
    bool null;
    Datum value = row_column(table, row, name, &null);

    return null ? "" : TextDatumGetCString(value);
}

static char **
texts_column(Relation table, HeapTuple row, const char *name, int *n)
{
    bool null;

    return texts_of_array(row_column(table, row, name, &null), n);
}

/* ---- rows ---- */

static bool
may_see(Relation table, HeapTuple row, Oid source)
{
    bool null;
    Datum attached_by = row_column(table, row, "attached_by", &null);

    if (OidIsValid(source))
        return pg_class_aclcheck(source, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
    return null ? superuser() : has_privs_of_role(GetUserId(), DatumGetObjectId(attached_by));
}

/* source: its table. */
static Searched *
searched_of(Relation table, HeapTuple row, Oid source)
{
    Searched *w = palloc0(sizeof *w);
    char *schema = text_column(table, row, "result_schema");
    char *name = text_column(table, row, "result_table");
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
        DirectFunctionCall1(regconfigin, CStringGetDatum(text_column(table, row, "ts_config"))));
    w->has_notes = gone_notes(w->watch);
    return w;
}

/* Those that key finds by the index, or, NULL, those of the source. */
static List *
list(ScanKey key, Oid source)
{
    Oid schema = LookupExplicitNamespace("dsocr", false);
    Oid view = get_relname_relid("watches", schema);
    Oid index = get_relname_relid("watch_pkey", schema);
    Relation table = table_open(get_relname_relid("watch", schema), AccessShareLock);
    List *all = NIL;
    SysScanDesc scan;
    HeapTuple row;

    if (pg_class_aclcheck(view, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
        aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_VIEW, "watches");
    scan = systable_beginscan(table, index, key && OidIsValid(index), GetActiveSnapshot(),
                              key ? 1 : 0, key);
    while (HeapTupleIsValid(row = systable_getnext(scan)))
    {
        Oid its = find_relation(text_column(table, row, "source_schema"),
                                text_column(table, row, "source_table"));

        if ((key || its == source) && may_see(table, row, its))
            all = lappend(all, searched_of(table, row, its));
    }
    systable_endscan(scan);
    table_close(table, AccessShareLock);
    return all;
}

List *
watch_to_search(int watch)
{
    ScanKeyData key;

    ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(watch));
    return list(&key, InvalidOid);
}

List *
watches_to_search(Oid source)
{
    return OidIsValid(source) ? list(NULL, source) : NIL;
}

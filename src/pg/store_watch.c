/* store_watch.c - a watch as it is now: its names are looked up each time, since anything may have been renamed or dropped. */
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "store_watch.h"

void
cannot_serve(const Watch *w, const char *why)
{
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("watch %d cannot be served: %s", w->id, why)));
}

static char **
got_array(int column, int *n)
{
    bool null;

    return texts_of_array(
        SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &null), n);
}

/* From now to the end of the transaction it is as it is. 0: there is none. */
static Oid
look_up_locked(const char *schema, const char *table)
{
    for (;;)
    {
        Oid relation = find_relation(schema, table);

        if (!OidIsValid(relation))
            return InvalidOid;
        LockRelationOid(relation, AccessShareLock);
        if (find_relation(schema, table) == relation)
            return relation;
        UnlockRelationOid(relation, AccessShareLock);
    }
}

void
require_all_rows(const Watch *w, Oid relation, const char *whose)
{
    if (check_enable_rls(relation, w->owner, true) == RLS_ENABLED)
        cannot_serve(w, psprintf("its owner is subject to row-level security on %s", whose));
}

static void
resolve(Watch *w)
{
    Oid source = look_up_locked(w->schema, w->table), results;
    HeapTuple tuple = OidIsValid(source) ? SearchSysCache1(RELOID, ObjectIdGetDatum(source)) : NULL;

    if (!HeapTupleIsValid(tuple))
        cannot_serve(w, "its table does not exist");
    w->owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    require_all_rows(w, source, "it");
    results = look_up_locked(w->result_schema, w->result_table);
    if (OidIsValid(results))
        require_all_rows(w, results, "its results");
    w->types = palloc(sizeof(Oid) * w->nkeys);
    for (int i = 0; i < w->nkeys; i++)
    {
        AttrNumber a = get_attnum(source, w->keys[i]);

        if (a == InvalidAttrNumber)
            cannot_serve(w, "a column of its key does not exist");
        w->types[i] = get_atttype(source, a);
    }
}

Watch *
load_watch(int id)
{
    Watch *w = palloc0(sizeof *w);
    Arguments a = {0};
    int n;

    add_int(&a, id);
    if (run_kept_sql("SELECT source_schema, source_table, doc_column, result_schema, result_table, "
                     "mode, options, filter, key_columns, result_columns, store_result "
                     "FROM dsocr.watch WHERE id = $1",
                     &a) == 0)
        return NULL;
    w->id = id;
    w->schema = got_string(0, 1);
    w->table = got_string(0, 2);
    w->column = got_string(0, 3);
    w->result_schema = got_string(0, 4);
    w->result_table = got_string(0, 5);
    w->mode = got_string(0, 6);
    w->options = got_string(0, 7);
    w->filter = got_string(0, 8);
    w->keys = got_array(9, &w->nkeys);
    w->result_keys = got_array(10, &n);
    w->store_result = got_bool(0, 11);
    if (n != w->nkeys || n == 0)
        cannot_serve(w, "its key is broken");
    resolve(w);
    return w;
}

/* ---- pieces of statements ---- */

const char *
source_of(const Watch *w)
{
    return quote_qualified_identifier(w->schema, w->table);
}

const char *
results_of(const Watch *w)
{
    return quote_qualified_identifier(w->result_schema, w->result_table);
}

char *
key_condition(const Watch *w, char **columns, const char *prefix, int first)
{
    StringInfoData s;

    initStringInfo(&s);
    for (int i = 0; i < w->nkeys; i++)
        appendStringInfo(&s, "%s%s%s = $%d", i > 0 ? " AND " : "", prefix,
                         quote_identifier(columns[i]), first + i);
    return s.data;
}

char *
same_key_condition(const Watch *w, const char *source, const char *results)
{
    StringInfoData s;

    initStringInfo(&s);
    for (int i = 0; i < w->nkeys; i++)
        appendStringInfo(&s, "%s%s.%s = %s.%s", i > 0 ? " AND " : "", source,
                         quote_identifier(w->keys[i]), results,
                         quote_identifier(w->result_keys[i]));
    return s.data;
}

char *
column_list(const Watch *w, char **columns)
{
    StringInfoData s;

    initStringInfo(&s);
    for (int i = 0; i < w->nkeys; i++)
        appendStringInfo(&s, "%s%s", i > 0 ? ", " : "", quote_identifier(columns[i]));
    return s.data;
}

char *
parameter_list(const Watch *w, int first)
{
    StringInfoData s;

    initStringInfo(&s);
    for (int i = 0; i < w->nkeys; i++)
        appendStringInfo(&s, "%s$%d", i > 0 ? ", " : "", first + i);
    return s.data;
}

void
add_key(Arguments *a, const Watch *w, Datum key)
{
    int n;
    char **texts = texts_of_array(key, &n);

    if (n != w->nkeys)
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
                        errmsg("a job has a key of %d columns, its watch one of %d", n, w->nkeys)));
    for (int i = 0; i < n; i++)
    {
        Oid input, parameter;

        getTypeInputInfo(w->types[i], &input, &parameter);
        add_argument(a, w->types[i], OidInputFunctionCall(input, texts[i], parameter, -1), false);
    }
}

/* watch_row.c - a row of dsocr.watch, and who may do what with it.
 *
 * Without a statement, which would take longer than a search, and would make the caller a serializable reader. Sharp edge:
 * names are looked up each time, since anything may have been renamed or dropped. */
#include "compat.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "watch_row.h"

HeapTuple
find_watch(StateRows *r, Relation watches, int watch, Snapshot snapshot)
{
    ScanKeyData key;

    ScanKeyInit(&key, state_column(watches, "id"), BTEqualStrategyNumber, F_INT4EQ,
                Int32GetDatum(watch));
    rows_begin(r, watches, "watch_pkey", 1, &key, snapshot);
    return rows_next(r);
}

Oid
watch_source(Relation watches, HeapTuple row)
{
    return find_relation(row_text(watches, row, "source_schema"),
                         row_text(watches, row, "source_table"));
}

static bool
is_attacher(Relation watches, HeapTuple row)
{
    bool null;
    Datum role = row_column(watches, row, "attached_by", &null);

    return null ? superuser() : has_privs_of_role(GetUserId(), DatumGetObjectId(role));
}

bool
watch_is_seen(Relation watches, HeapTuple row)
{
    Oid source = watch_source(watches, row);

    if (OidIsValid(source))
        return pg_class_aclcheck(source, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
    return is_attacher(watches, row);
}

void
require_watch_owner(int watch)
{
    Relation watches = state_table("watch", AccessShareLock);
    StateRows r;
    HeapTuple row = find_watch(&r, watches, watch, GetLatestSnapshot());
    Oid source;

    if (row == NULL)
        no_such_watch(watch);
    source = watch_source(watches, row);
    if (OidIsValid(source) ? !owns_relation(source, GetUserId()) : !is_attacher(watches, row))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("must be owner of the table that watch %d reads", watch)));
    rows_end(&r);
    table_close(watches, AccessShareLock);
}

/* state_rows.c - rows of the tables of the schema dsocr, one by one, without a statement.
 *
 * A serializable transaction that reads them by SQL counts as a reader of all that others write there: two that ask how much
 * is left, and have something read, would fail. The server takes no note of who sees all there is, as it does for SnapshotAny.
 * So this does, and asks the snapshot itself: row by row where an index leads, and else a page at a time, as a statement would,
 * since a table of jobs may be long. */
#include "compat.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "state.h"

Relation
state_table(const char *name, LOCKMODE lock)
{
    Relation table = table_open(get_relname_relid(name, get_namespace_oid("dsocr", false)), lock);

    if (table->rd_tableam != GetHeapamTableAmRoutine())
        elog(ERROR, "dsocr.%s is not a heap", name);
    return table;
}

int
state_column(Relation table, const char *name)
{
    int a = SPI_fnumber(RelationGetDescr(table), name);

    if (a <= 0)
        elog(ERROR, "dsocr.%s has no column \"%s\"", RelationGetRelationName(table), name);
    return a;
}

/* ---- seeing ---- */

void
rows_begin(StateRows *r, Relation table, const char *index, int nkeys, ScanKey keys,
           Snapshot snapshot)
{
    Oid id = index ? get_relname_relid(index, RelationGetNamespace(table)) : InvalidOid;

    r->table = table;
    r->snapshot = RegisterSnapshot(snapshot);
    r->scan = NULL;
    r->buffer = InvalidBuffer;
    r->block = r->n = r->at = 0;
    if (index)
        r->scan =
            systable_beginscan(table, id, OidIsValid(id),
                               IsolationIsSerializable() ? SnapshotAny : r->snapshot, nkeys, keys);
    else
        r->blocks = RelationGetNumberOfBlocks(table);
}

void
rows_of_number(StateRows *r, Relation table, const char *index, const char *column, int64 number,
               Snapshot snapshot)
{
    ScanKeyData key;

    ScanKeyInit(&key, state_column(table, column), BTEqualStrategyNumber, F_INT8EQ,
                Int64GetDatum(number));
    rows_begin(r, table, index, 1, &key, snapshot);
}

void
rows_of_key(StateRows *r, Relation table, const char *index, const char *column, int watch,
            Datum key, Snapshot snapshot)
{
    ScanKeyData keys[2];

    ScanKeyInit(&keys[0], state_column(table, "watch"), BTEqualStrategyNumber, F_INT4EQ,
                Int32GetDatum(watch));
    ScanKeyEntryInitialize(&keys[1], 0, state_column(table, column), BTEqualStrategyNumber,
                           InvalidOid, DEFAULT_COLLATION_OID, F_ARRAY_EQ, key);
    rows_begin(r, table, index, 2, keys, snapshot);
}

/* The row at this place of the page, as it is stored. */
static HeapTuple
row_at(StateRows *r, OffsetNumber place)
{
    Page page = BufferGetPage(r->buffer);
    ItemId item = PageGetItemId(page, place);

    r->row.t_data = (HeapTupleHeader)PageGetItem(page, item);
    r->row.t_len = ItemIdGetLength(item);
    r->row.t_tableOid = RelationGetRelid(r->table);
    ItemPointerSet(&r->row.t_self, BufferGetBlockNumber(r->buffer), place);
    return &r->row;
}

/* Those of the next page that the snapshot sees; the page stays pinned, and so do they. */
static void
take_page(StateRows *r)
{
    Page page;
    OffsetNumber most;

    CHECK_FOR_INTERRUPTS();
    r->buffer = ReleaseAndReadBuffer(r->buffer, r->table, r->block++);
    heap_page_prune_opt(r->table, r->buffer);
    LockBuffer(r->buffer, BUFFER_LOCK_SHARE);
    page = BufferGetPage(r->buffer);
    most = PageGetMaxOffsetNumber(page);
    r->n = r->at = 0;
    for (OffsetNumber place = FirstOffsetNumber; place <= most; place++)
        if (ItemIdIsNormal(PageGetItemId(page, place)) &&
            HeapTupleSatisfiesVisibility(row_at(r, place), r->snapshot, r->buffer))
            r->seen[r->n++] = place;
    LockBuffer(r->buffer, BUFFER_LOCK_UNLOCK);
}

HeapTuple
rows_next(StateRows *r)
{
    HeapTuple row;

    if (r->scan == NULL)
    {
        while (r->at == r->n)
        {
            if (r->block == r->blocks)
                return NULL;
            take_page(r);
        }
        return row_at(r, r->seen[r->at++]);
    }
    do
        row = systable_getnext(r->scan);
    while (HeapTupleIsValid(row) && IsolationIsSerializable() &&
           !table_tuple_satisfies_snapshot(r->table, r->scan->slot, r->snapshot));
    return row;
}

void
rows_end(StateRows *r)
{
    if (r->scan)
        systable_endscan(r->scan);
    if (BufferIsValid(r->buffer))
        ReleaseBuffer(r->buffer);
    UnregisterSnapshot(r->snapshot);
}

bool
row_delete(StateRows *r, HeapTuple row)
{
    TM_FailureData why;
    TM_Result result = table_tuple_delete(r->table, &row->t_self, GetCurrentCommandId(true),
                                          r->snapshot, InvalidSnapshot, true, &why, false);

    if (result == TM_SelfModified)
        elog(ERROR, "a row of dsocr.%s is deleted twice", RelationGetRelationName(r->table));
    return result == TM_Ok;
}

/* ---- columns ---- */

Datum
row_column(Relation table, HeapTuple row, const char *name, bool *null)
{
    return heap_getattr(row, state_column(table, name), RelationGetDescr(table), null);
}

bool
row_says(Relation table, HeapTuple row, const char *name, const char *words)
{
    bool null;
    Datum value = row_column(table, row, name, &null);
    const text *said = null ? NULL : DatumGetTextPP(value);

    return said && VARSIZE_ANY_EXHDR(said) == strlen(words) &&
           memcmp(VARDATA_ANY(said), words, strlen(words)) == 0;
}

char *
row_text(Relation table, HeapTuple row, const char *name)
{
    bool null;
    Datum value = row_column(table, row, name, &null);

    return null ? "" : TextDatumGetCString(value);
}

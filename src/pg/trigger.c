/* trigger.c - rows that ask by themselves: a trigger FOR EACH ROW, and one more row in dsocr.job.
 *
 * It only appends, as the owner of the extension, so no user statement waits for, or fails because of, the worker: neither
 * does one that deletes a row or changes its key, whose results the worker has follow (store_gone.c).
 * Sharp edge: documents are compared as they are stored, 18 bytes for one in TOAST, and never fetched; an UPDATE
 * that rewrites the same bytes therefore asks once more, and the worker finds that nothing has changed. */
#include "compat.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "enqueue.h"
#include "state.h"

PG_FUNCTION_INFO_V1(dsocr_enqueue);

/* ---- the row ---- */

/* Whether column a is the same in both rows, as stored. */
static bool
same_column(TupleDesc desc, int a, HeapTuple one, HeapTuple other)
{
    Form_pg_attribute att = TupleDescAttr(desc, a - 1);
    bool null_one, null_other;
    Datum x = heap_getattr(one, a, desc, &null_one);
    Datum y = heap_getattr(other, a, desc, &null_other);

    if (null_one || null_other)
        return null_one && null_other;
    return datumIsEqual(x, y, att->attbyval, att->attlen);
}

/* The number of a column that the trigger was made for. 0, and a warning: it is no longer there. */
static int
column_number(TriggerData *t, const char *name)
{
    int a = SPI_fnumber(t->tg_relation->rd_att, name);

    if (a > 0)
        return a;
    ereport(WARNING, (errcode(ERRCODE_UNDEFINED_COLUMN),
                      errmsg("dsocr watches a column \"%s\" of \"%s\" that does not exist", name,
                             RelationGetRelationName(t->tg_relation)),
                      errhint("Detach the watch, or give the column its name back and call "
                              "dsocr_reprocess(watch, 'missing').")));
    return 0;
}

/* Arguments: watch, document, how many key columns, these, columns that the filter looks at. */
#define FIXED_ARGUMENTS 3

static int
key_count(const Trigger *trigger)
{
    int n = trigger->tgnargs > FIXED_ARGUMENTS ? atoi(trigger->tgargs[2]) : 0;

    if (n < 1 || n > trigger->tgnargs - FIXED_ARGUMENTS)
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("dsocr.enqueue() has wrong arguments"),
                        errhint("Its triggers are made by dsocr_attach.")));
    return n;
}

/* Nothing that decides on the reading has changed. */
static bool
unchanged(TriggerData *t)
{
    const Trigger *trigger = t->tg_trigger;

    if (!TRIGGER_FIRED_BY_UPDATE(t->tg_event))
        return false;
    for (int i = 1; i < trigger->tgnargs; i++)
    {
        int a = i == 2 ? 0 : SPI_fnumber(t->tg_relation->rd_att, trigger->tgargs[i]);

        if (a > 0 && !same_column(t->tg_relation->rd_att, a, t->tg_trigtuple, t->tg_newtuple))
            return false;
    }
    return true;
}

/* text[] of the key; 0: the row cannot be asked for. */
static Datum
key_of_row(TriggerData *t, HeapTuple row, int nkeys)
{
    TupleDesc desc = t->tg_relation->rd_att;
    char **texts = palloc(sizeof(char *) * nkeys);
    int level = -1;

    for (int i = 0; i < nkeys; i++)
    {
        int a = column_number(t, t->tg_trigger->tgargs[FIXED_ARGUMENTS + i]);

        if (a == 0)
            return (Datum)0;
        if (level < 0 && !output_is_fixed(TupleDescAttr(desc, a - 1)->atttypid))
            level = fixed_output();
        if ((texts[i] = SPI_getvalue(row, desc, a)) == NULL)
            return (Datum)0;
    }
    if (level >= 0)
        AtEOXact_GUC(false, level);
    return key_array(texts, nkeys);
}

/* A row that goes to another partition is deleted here and inserted there, and its trigger called for both, one after the
 * other. Its note is kept in mind in between: it was not deleted. */
typedef struct Leaving
{
    TransactionId transaction; /* invalid: there is none */
    uint64 statement;
    int watch;
    ItemPointerData note;
} Leaving;

static Leaving leaving;

static void
row_is_deleted(TriggerData *t, int watch, Datum key)
{
    ItemPointerData note = enqueue_gone(watch, key, (Datum)0);

    leaving.transaction = InvalidTransactionId;
    if (ItemPointerIndicatesMovedPartitions(&t->tg_trigtuple->t_data->t_ctid))
        leaving = (Leaving){.transaction = GetCurrentTransactionId(),
                            .statement = enqueue_statement(),
                            .watch = watch,
                            .note = note};
}

static void
row_has_arrived(int watch, Datum key)
{
    bool same = TransactionIdIsValid(leaving.transaction) &&
                leaving.transaction == GetCurrentTransactionId() &&
                leaving.statement == enqueue_statement() && leaving.watch == watch;

    leaving.transaction = InvalidTransactionId;
    if (same)
        enqueue_becomes(watch, leaving.note, key);
}

static bool
key_has_changed(TriggerData *t, int nkeys)
{
    for (int i = 0; i < nkeys; i++)
    {
        int a = SPI_fnumber(t->tg_relation->rd_att, t->tg_trigger->tgargs[FIXED_ARGUMENTS + i]);

        if (a > 0 && !same_column(t->tg_relation->rd_att, a, t->tg_trigtuple, t->tg_newtuple))
            return true;
    }
    return false;
}

/* Results follow only where the trigger hears of DELETE, too. */
static void
note_changes(TriggerData *t, int watch, int nkeys, Datum key)
{
    Datum before;

    if (TRIGGER_FIRED_BY_DELETE(t->tg_event))
        row_is_deleted(t, watch, key);
    else if (TRIGGER_FIRED_BY_INSERT(t->tg_event))
        row_has_arrived(watch, key);
    else if (TRIGGER_FOR_DELETE(t->tg_trigger->tgtype) && key_has_changed(t, nkeys) &&
             (before = key_of_row(t, t->tg_trigtuple, nkeys)) != (Datum)0)
        enqueue_gone(watch, before, key);
}

static void
row_has_changed(TriggerData *t, int watch)
{
    HeapTuple row = TRIGGER_FIRED_BY_UPDATE(t->tg_event) ? t->tg_newtuple : t->tg_trigtuple;
    int nkeys = key_count(t->tg_trigger);
    int doc;
    Datum key;

    if (unchanged(t) || (key = key_of_row(t, row, nkeys)) == (Datum)0)
        return;
    note_changes(t, watch, nkeys, key);
    if (TRIGGER_FIRED_BY_DELETE(t->tg_event) ||
        (doc = column_number(t, t->tg_trigger->tgargs[1])) == 0)
        return;
    if (TRIGGER_FIRED_BY_UPDATE(t->tg_event) || !heap_attisnull(row, doc, t->tg_relation->rd_att))
        enqueue_job(watch, key);
}

Datum
dsocr_enqueue(PG_FUNCTION_ARGS)
{
    TriggerData *t = (TriggerData *)fcinfo->context;

    if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(t->tg_event) ||
        TRIGGER_FIRED_FOR_ROW(t->tg_event) == TRIGGER_FIRED_BY_TRUNCATE(t->tg_event) ||
        t->tg_trigger->tgnargs < 1)
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("dsocr.enqueue() is for triggers made by dsocr_attach")));
    if (TRIGGER_FIRED_BY_TRUNCATE(t->tg_event))
        enqueue_gone(atoi(t->tg_trigger->tgargs[0]),
                     PointerGetDatum(construct_empty_array(TEXTOID)), (Datum)0);
    else
        row_has_changed(t, atoi(t->tg_trigger->tgargs[0]));
    return PointerGetDatum(NULL);
}

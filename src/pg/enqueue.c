/* enqueue.c - jobs made by a user's statement: rows of dsocr.job, inserted as the owner of the extension.
 *
 * To insert a row is cheap and to begin an INSERT is not, so the jobs of a statement are kept in mind while its triggers run,
 * and inserted together at its end. Sharp edge: what is kept belongs to the subtransaction in which the statement runs. A
 * trigger of the user's may open another, which may be rolled back or not without the statement; and COPY and a subscription
 * end in a way that is not told to us. Their jobs are inserted one by one, at once. */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"

#include "enqueue.h"
#include "queue.h"
#include "state.h"

/* ---- what this transaction has made ---- */

static List *made_here; /* watches; of the current transaction, savepoints rolled back included */

static void
transaction_ends(XactEvent event, void *arg)
{
    if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
        return;
    if (event != XACT_EVENT_ABORT && made_here != NIL)
        queue_note_work();
    list_free(made_here);
    made_here = NIL;
}

void
queue_made_job(int watch)
{
    static bool registered = false;
    MemoryContext old;

    if (!registered)
        RegisterXactCallback(transaction_ends, NULL);
    registered = true;
    if (list_member_int(made_here, watch))
        return;
    old = MemoryContextSwitchTo(TopMemoryContext);
    made_here = lappend_int(made_here, watch);
    MemoryContextSwitchTo(old);
}

bool
queue_made_here(int watch)
{
    return watch < 0 ? made_here != NIL : list_member_int(made_here, watch);
}

/* ---- rows ---- */

/* SPI is connected. Sharp edge: the search_path is the user's still, to save time, so that operators are named in full. */
static void
run_as_owner(SPIPlanPtr *plan, const char *sql, Arguments *a)
{
    Oid user;
    int security, rc;

    GetUserIdAndSecContext(&user, &security);
    SetUserIdAndSecContext(state_owner(), security | SECURITY_LOCAL_USERID_CHANGE);
    if (*plan == NULL)
    {
        *plan = SPI_prepare(sql, a->n, a->types);
        if (*plan == NULL || SPI_keepplan(*plan) != 0)
            elog(ERROR, "SPI failed: %s", SPI_result_code_string(SPI_result));
    }
    rc = SPI_execute_plan(*plan, a->values, a->nulls, false, 0);
    if (rc < 0)
        elog(ERROR, "SPI failed: %s", SPI_result_code_string(rc));
    SetUserIdAndSecContext(user, security);
}

static void
insert_one(int watch, Datum key)
{
    static SPIPlanPtr plan = NULL;
    Arguments a = {0};

    connect_spi();
    add_int(&a, watch);
    add_argument(&a, TEXTARRAYOID, key, false);
    run_as_owner(&plan, "INSERT INTO dsocr.job (watch, key) VALUES ($1, $2)", &a);
    SPI_finish();
}

/* ---- together ---- */

#define NOTED_MOST 500

/* A statement whose triggers run, and the jobs that they have made. */
typedef struct Statement
{
    struct Statement *outer;
    uint64 number;
    SubTransactionId subtransaction;
    MemoryContext context; /* of the keys; NULL: there are none */
    int n, watches[NOTED_MOST];
    Datum keys[NOTED_MOST];
} Statement;

static Statement *statement; /* the innermost */
static ExecutorFinish_hook_type previous_finish;

static TupleDesc
make_row_type(void)
{
    TupleDesc row = CreateTemplateTupleDesc(2);

    TupleDescInitEntry(row, 1, "watch", INT4OID, -1, 0);
    TupleDescInitEntry(row, 2, "key", TEXTARRAYOID, -1, 0);
    return row;
}

/* As a table that the statement which inserts can name. SPI is connected. */
static void
insert_all(const Statement *s, int n)
{
    static SPIPlanPtr plan = NULL;
    EphemeralNamedRelation table = palloc0(sizeof *table);
    Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
    TupleDesc row = make_row_type();
    Arguments none = {0};

    for (int i = 0; i < n; i++)
        tuplestore_putvalues(rows, row, (Datum[]){Int32GetDatum(s->watches[i]), s->keys[i]},
                             (bool[]){false, false});
    table->md.name = "dsocr_noted";
    table->md.tupdesc = row;
    table->md.enrtype = ENR_NAMED_TUPLESTORE;
    table->md.enrtuples = n;
    table->reldata = rows;
    if (SPI_register_relation(table) != SPI_OK_REL_REGISTER)
        elog(ERROR, "SPI_register_relation failed");
    run_as_owner(&plan, "INSERT INTO dsocr.job (watch, key) SELECT watch, key FROM dsocr_noted",
                 &none);
    SPI_unregister_relation(table->md.name);
    tuplestore_end(rows);
}

/* To insert is a statement, too, whose end finds nothing noted any more. */
static void
insert_noted(Statement *s)
{
    int n = s->n;

    if (n == 0)
        return;
    s->n = 0;
    if (n == 1)
        insert_one(s->watches[0], s->keys[0]);
    else
    {
        connect_spi();
        insert_all(s, n);
        SPI_finish();
    }
    MemoryContextReset(s->context);
}

/* The statement that jobs may be kept for, or NULL. */
static Statement *
noting(void)
{
    bool ours = statement && statement->subtransaction == GetCurrentSubTransactionId();

    return ours ? statement : NULL;
}

/* So that what is inserted now comes after what was made before. */
static void
flush_noted(void)
{
    if (noting())
        insert_noted(statement);
}

static void
finish_statement(QueryDesc *query)
{
    static uint64 number = 0;
    Statement s;

    s.outer = statement;
    s.number = ++number;
    s.subtransaction = GetCurrentSubTransactionId();
    s.context = NULL;
    s.n = 0;
    flush_noted();
    statement = &s;
    PG_TRY();
    {
        if (previous_finish)
            previous_finish(query);
        else
            standard_ExecutorFinish(query);
        insert_noted(&s);
    }
    PG_FINALLY();
    {
        statement = s.outer;
        if (s.context)
            MemoryContextDelete(s.context);
    }
    PG_END_TRY();
}

uint64
enqueue_statement(void)
{
    return noting() ? statement->number : 0;
}

void
enqueue_hook(void)
{
    previous_finish = ExecutorFinish_hook;
    ExecutorFinish_hook = finish_statement;
}

/* ---- what is asked for ---- */

void
enqueue_job(int watch, Datum key)
{
    Statement *s = noting();
    MemoryContext old;

    queue_made_job(watch);
    if (s == NULL)
    {
        insert_one(watch, key);
        return;
    }
    if (s->n == NOTED_MOST)
        insert_noted(s);
    if (s->context == NULL)
        s->context =
            AllocSetContextCreate(TopTransactionContext, "dsocr noted", ALLOCSET_DEFAULT_SIZES);
    old = MemoryContextSwitchTo(s->context);
    s->watches[s->n] = watch;
    s->keys[s->n++] = PointerGetDatum(PG_DETOAST_DATUM_COPY(key));
    MemoryContextSwitchTo(old);
}

ItemPointerData
enqueue_gone(int watch, Datum key, Datum becomes)
{
    static SPIPlanPtr plan = NULL;
    Arguments a = {0};
    ItemPointerData note;
    bool null;

    flush_noted();
    connect_spi();
    add_int(&a, watch);
    add_argument(&a, TEXTARRAYOID, key, false);
    add_argument(&a, TEXTARRAYOID, becomes, becomes == (Datum)0);
    queue_made_job(watch);
    run_as_owner(&plan,
                 "INSERT INTO dsocr.job (watch, key, becomes, state) VALUES ($1, $2, $3, 'gone') "
                 "RETURNING ctid",
                 &a);
    note = *(ItemPointer)DatumGetPointer(
        SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
    SPI_finish();
    return note;
}

/* Found by its place: a look into an index would count as a reading of all that others write there, and two serializable
 * transactions that have nothing else in common would fail. */
void
enqueue_becomes(int watch, ItemPointerData note, Datum key)
{
    static SPIPlanPtr plan = NULL;
    Arguments a = {0};

    flush_noted();
    connect_spi();
    add_argument(&a, TIDOID, PointerGetDatum(&note), false);
    add_argument(&a, TEXTARRAYOID, key, false);
    add_int(&a, watch);
    run_as_owner(&plan,
                 "UPDATE dsocr.job SET becomes = $2 WHERE ctid OPERATOR(pg_catalog.=) $1 AND watch "
                 "OPERATOR(pg_catalog.=) $3 AND state OPERATOR(pg_catalog.=) 'gone'",
                 &a);
    SPI_finish();
}

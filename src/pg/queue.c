/* queue.c - the background worker that claims jobs of its database, has the engine read, and stores what comes back.
 *
 * One per database, by a lock on the extension: so what is claimed when it starts was claimed by a worker that is
 * gone, and is queued again. It keeps the engine's slots full from one loop, holds no snapshot and no lock on anything
 * of the user's while it waits, and leaves when it has been idle, or when somebody wants the database or the
 * extension for himself. Sharp edge: an ERROR in a transaction is a matter of one job and never ends the loop. */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "answer.h"
#include "client.h"
#include "module.h"
#include "queue.h"
#include "queue_worker.h"
#include "state.h"
#include "store.h"

#define IDLE_S       10 /* it leaves after this */
#define TICK_MS      1000
#define HOUSEKEEPING 60 /* ticks */
#define LOST         5  /* ticks */

extern PGDLLEXPORT void dsocr_queue_main(Datum arg) pg_attribute_noreturn();

Worker me;

static void hold_place(void);

/* ---- transactions ---- */

static void
begin_transaction(void)
{
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    connect_spi();
    PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end_transaction(void)
{
    SPI_finish();
    PopActiveSnapshot();
    CommitTransactionCommand();
}

ErrorData *
attempt(const char *what, Work work, void *arg)
{
    ErrorData *volatile error = NULL;

    pgstat_report_activity(STATE_RUNNING, what);
    PG_TRY();
    {
        begin_transaction();
        work(arg);
        end_transaction();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(me.turn);
        error = CopyErrorData();
        FlushErrorState();
        AbortCurrentTransaction();
    }
    PG_END_TRY();
    MemoryContextSwitchTo(me.turn);
    if (error && me.placed)
        hold_place();
    pgstat_report_stat(false);
    pgstat_report_activity(STATE_IDLE, NULL);
    return error;
}

bool
attempt_or_log(const char *what, Work work, void *arg)
{
    ErrorData *error = attempt(what, work, arg);

    if (error == NULL)
        return true;
    ereport(LOG, (errcode(error->sqlerrcode),
                  errmsg("dsocr queue: %s: %s", what, error->message ? error->message : "unknown"),
                  error->detail ? errdetail_internal("%s", error->detail) : 0));
    return false;
}

void
wait_for_nobody(void)
{
    (void)set_config_option("lock_timeout", "10", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
                            true, 0, false);
}

/* ---- items ---- */

void
note_in_flight(void)
{
    pg_atomic_write_u32(&me.slot->in_flight, me.nin_flight);
}

void
forget_item(Job *item)
{
    for (int i = 0; i < me.nin_flight; i++)
        if (me.in_flight[i] == item)
        {
            me.in_flight[i] = me.in_flight[--me.nin_flight];
            me.bytes -= item->bytes;
            break;
        }
    note_in_flight();
    while (item->question.parts)
    {
        Part *part = item->question.parts;

        item->question.parts = part->next;
        client_free_part(part);
    }
    if (item->question.reply)
        pfree(item->question.reply);
    client_free_error(&item->question);
    MemoryContextDelete(item->context);
}

bool
engine_ready(void)
{
    return pg_atomic_read_u32(&engine_state->state) == ENGINE_READY;
}

/* ---- now and then ---- */

static void
keep_house(void *arg)
{
    Arguments a = {0};

    add_argument(&a, FLOAT8OID, Float8GetDatum(dsocr_job_retention * 60.0), false);
    run_kept_sql("WITH old AS (DELETE FROM dsocr.inbox WHERE finished_at < now() - "
                 "make_interval(secs => $1) RETURNING job) DELETE FROM dsocr.job j USING old "
                 "WHERE j.id = old.job AND j.watch = 0",
                 &a);
    run_kept_sql("DELETE FROM dsocr.page p WHERE NOT EXISTS (SELECT FROM dsocr.job j WHERE "
                 "j.watch = p.watch AND j.key = p.key)",
                 NULL);
    run_kept_sql("UPDATE dsocr.watch w SET attached_by_name = r.rolname FROM pg_authid r WHERE "
                 "r.oid = w.attached_by AND r.rolname <> w.attached_by_name",
                 NULL);
    run_kept_sql("UPDATE dsocr.inbox i SET role_name = r.rolname FROM pg_authid r WHERE r.oid = "
                 "i.role AND r.rolname <> i.role_name",
                 NULL);
}

/* ---- leaving ---- */

static LOCKTAG
extension_tag(void)
{
    LOCKTAG tag;

    SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, me.extension, 0);
    return tag;
}

static bool
somebody_waits(void)
{
    LOCKTAG extension = extension_tag(), database;

    if (!planted("two") && LockHasWaiters(&extension, ShareUpdateExclusiveLock, true))
        return true;
    /* DROP DATABASE, or CREATE DATABASE ... TEMPLATE, holds a lock that keeps new sessions out. */
    SET_LOCKTAG_OBJECT(database, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
    if (LockAcquire(&database, RowExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
        return true;
    LockRelease(&database, RowExclusiveLock, true);
    return false;
}

/* The server releases a session's advisory locks at its end, and no others. */
static void
at_exit(int code, Datum arg)
{
    AbortOutOfAnyTransaction();
    LockReleaseAll(DEFAULT_LOCKMETHOD, true);
    if (pg_atomic_read_u32(&me.slot->worker) == MyProcPid)
    {
        pg_atomic_write_u32(&me.slot->in_flight, 0);
        pg_atomic_write_u32(&me.slot->worker, 0);
    }
    if (code != 0) /* not by its own wish: there may be work */
        pg_atomic_write_u32(&me.slot->wanted, 1);
    queue_wake_launcher();
}

static void
leave(bool work_is_left)
{
    if (work_is_left)
        pg_atomic_write_u32(&me.slot->wanted, 1);
    proc_exit(0);
}

/* ---- the beginning ---- */

static void
find_extension(void *arg)
{
    me.extension = get_extension_oid("dsocr", true);
}

/* A DROP EXTENSION waits for this lock, and so does another worker. Sharp edge: a transaction that fails takes locks of the
 * session with it, so the place is taken again after each; by then the extension may be gone. */
static void
hold_place(void)
{
    LOCKTAG tag = extension_tag();
    Oid still;

    if (LockAcquire(&tag, ShareUpdateExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL &&
        !planted("two"))
        leave(true);
    StartTransactionCommand();
    still = get_extension_oid("dsocr", true);
    CommitTransactionCommand();
    if (still != me.extension)
        leave(true);
    me.placed = true;
}

/* Shorter than the server waits before it looks for deadlocks: in a circle with a user it is the worker who gives way. */
static const char *
lock_timeout(void)
{
    return psprintf("%d", Max(1, Min(1000, DeadlockTimeout / 2)));
}

static void
set_for_good(const char *name, const char *value)
{
    SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

void
queue_take_time(void)
{
    if (PG_VERSION_NUM >= 170000)
        set_for_good("transaction_timeout", "0");
}

/* Whatever the database or the role has been told to use. */
static void
fix_settings(void)
{
    set_for_good("search_path", "pg_catalog, pg_temp");
    set_for_good("lock_timeout", lock_timeout());
    set_for_good("statement_timeout", "0");
    queue_take_time();
    set_for_good("default_transaction_read_only", "off");
    set_for_good("default_transaction_isolation", "read committed");
    set_for_good("idle_in_transaction_session_timeout", "0");
    set_for_good("session_replication_role", "origin");
    set_for_good("row_security", "on");
    for (int i = 0; output_settings[i][0]; i++)
        set_for_good(output_settings[i][0], output_settings[i][1]);
    set_for_good("jit", "off");
    set_for_good("enable_seqscan", "off"); /* the queue's tables change too fast for statistics */
}

/* Leaves when there is nothing to serve here, or another worker does. */
static void
take_the_place(void)
{
    if (!attempt_or_log("looking for the extension", find_extension, NULL))
        leave(true); /* what it does not know it does not guess */
    pg_atomic_write_u32(&me.slot->has_extension, OidIsValid(me.extension) ? 2 : 1);
    pg_atomic_write_u32(&me.slot->wanted, 0);
    if (!OidIsValid(me.extension))
        proc_exit(0);
    if (pg_atomic_read_u32(&me.slot->unserved) != 0)
        leave(true); /* the launcher starts no other for what is wanted here */
    hold_place();
    pg_atomic_write_u32(&me.slot->proc, my_proc_number());
    pg_memory_barrier();
    pg_atomic_write_u32(&me.slot->worker, MyProcPid);
}

static void
set_up(Oid database)
{
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
    pgstat_report_appname("dsocr queue worker");
    fix_settings();
    me.jobs = AllocSetContextCreate(TopMemoryContext, "dsocr jobs", ALLOCSET_DEFAULT_SIZES);
    me.answers = AllocSetContextCreate(TopMemoryContext, "dsocr answers", ALLOCSET_DEFAULT_SIZES);
    me.turn = AllocSetContextCreate(TopMemoryContext, "dsocr turn", ALLOCSET_DEFAULT_SIZES);
    me.slot = queue_slot(database, true);
    if (me.slot == NULL)
        ereport(FATAL, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                        errmsg("dsocr serves at most %d databases at once", QUEUE_DATABASES)));
    before_shmem_exit(at_exit, 0);
    MemoryContextSwitchTo(me.turn);
}

/* ---- the loop ---- */

static void
tick(void)
{
    TimestampTz now = GetCurrentTimestamp();

    if (!TimestampDifferenceExceeds(me.last_tick, now, TICK_MS))
        return;
    me.last_tick = now;
    me.pace = Min(me.done / 20, IN_FLIGHT_MAX / 2);
    me.done = 0;
    if (somebody_waits() || pg_atomic_read_u32(&me.slot->unserved) != 0)
        leave(true);
    if (me.lost || (me.ticks % LOST == 0 && !planted("two")))
        queue_lost_again();
    refresh_watches();
    notice_partitions();
    if (me.ticks++ % HOUSEKEEPING == 0)
        attempt_or_log("keeping house", keep_house, NULL);
    me.look = me.gone = me.longs = true;
    if (is_busy())
        me.last_busy = now;
    else if (TimestampDifferenceExceeds(me.last_busy, now, IDLE_S * 1000) &&
             pg_atomic_read_u32(&me.slot->wanted) == 0)
        leave(false);
}

static void
one_turn(void)
{
    bool more;

    tick();
    if (pg_atomic_exchange_u32(&me.slot->wanted, 0) != 0)
    {
        me.look = me.gone = true;
        me.last_busy = GetCurrentTimestamp();
        refresh_watches();
        drop_cancelled();
    }
    if (me.stale)
        refresh_watches();
    if (me.gone)
        me.gone = follow_gone();
    more = backfill();
    if (more || me.look)
        fill();
    client_turn(me.client, answered, NULL);
    if (finish_answered())
        me.look = true;
    keep_parts();
    if (more || me.gone || (me.look && engine_ready() && me.nserved > 0 && room() > 0))
        client_wait(me.client, 0);
    else
        client_wait(me.client, TICK_MS);
}

void
dsocr_queue_main(Datum arg)
{
    set_up(DatumGetObjectId(arg));
    take_the_place();
    MemoryContextSwitchTo(TopMemoryContext);
    me.client = client_open(me.answers, true);
    MemoryContextSwitchTo(me.turn);
    me.suspects = true; /* perhaps */
    queue_lost_again(); /* all that is claimed: a worker that is gone was reading it */
    me.last_busy = GetCurrentTimestamp();
    for (;;)
    {
        MemoryContextSwitchTo(me.turn);
        one_turn();
        MemoryContextReset(me.turn);
        if (ConfigReloadPending)
        {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
            fix_settings();
        }
    }
}

/* launcher.c - the background worker that starts a queue worker where there is work, and does nothing else.
 *
 * It is connected to no database. Commits that make jobs note their database in shared memory and wake it; at its
 * start, after promotion and each dsocr.naptime it has a worker look into every database, so that nothing depends
 * on a note being kept. A worker that finds no extension, or nothing to do, leaves by itself. */
#include "compat.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "module.h"
#include "queue.h"
#include "store.h"

#define WORKERS_MAX   32
#define LOOKERS_MAX   2    /* workers that a look into every database may have at once */
#define AGAIN_MS      1000 /* between two workers of one database */
#define RECENTLY_FULL 1000 /* ms before another try when the server has no room for a worker */

extern PGDLLEXPORT void dsocr_launcher_main(Datum arg) pg_attribute_noreturn();

QueueState *queue_state;
static LWLock *queue_lock; /* over the giving of slots */

/* A worker that was started here. */
typedef struct Started
{
    Oid database;
    BackgroundWorkerHandle *handle; /* NULL: it has ended */
    bool look;                      /* started by the look into every database */
    TimestampTz at;
} Started;

static Started started[WORKERS_MAX];
static List *to_look; /* oids of databases */
static TimestampTz next_look, no_room_until;

/* ---- shared memory ---- */

void
queue_request_shared_memory(void)
{
    RequestAddinShmemSpace(MAXALIGN(sizeof(QueueState)));
    RequestNamedLWLockTranche("dsocr queue", 1);
}

/* The caller holds AddinShmemInitLock. */
void
queue_start_shared_memory(void)
{
    bool found;

    queue_state = ShmemInitStruct("dsocr queue", sizeof(QueueState), &found);
    queue_lock = &GetNamedLWLockTranche("dsocr queue")->lock;
    if (found)
        return;
    memset(queue_state, 0, sizeof *queue_state);
    pg_atomic_init_u32(&queue_state->launcher, 0);
    pg_atomic_init_u32(&queue_state->launcher_proc, 0);
    pg_atomic_init_u32(&queue_state->no_room, 0);
    pg_atomic_init_u32(&queue_state->everywhere, 0);
    for (int i = 0; i < QUEUE_DATABASES; i++)
    {
        QueueSlot *s = &queue_state->slots[i];
        pg_atomic_uint32 *u32[] = {&s->database,  &s->wanted,        &s->worker,  &s->proc,
                                   &s->in_flight, &s->has_extension, &s->unserved};

        for (int k = 0; k < lengthof(u32); k++)
            pg_atomic_init_u32(u32[k], 0);
    }
}

static QueueSlot *
find_slot(Oid database)
{
    for (int i = 0; i < QUEUE_DATABASES; i++)
        if (pg_atomic_read_u32(&queue_state->slots[i].database) == database)
            return &queue_state->slots[i];
    return NULL;
}

bool
queue_slots_full(void)
{
    return find_slot(InvalidOid) == NULL;
}

QueueSlot *
queue_slot(Oid database, bool make)
{
    QueueSlot *slot = find_slot(database);

    if (slot || !make)
        return slot;
    LWLockAcquire(queue_lock, LW_EXCLUSIVE);
    slot = find_slot(database);
    if (slot == NULL && (slot = find_slot(InvalidOid)) != NULL)
    {
        pg_atomic_write_u32(&slot->wanted, 0);
        pg_atomic_write_u32(&slot->has_extension, 0);
        pg_atomic_write_u32(&slot->unserved, 0);
        pg_atomic_write_u32(&slot->database, database);
    }
    LWLockRelease(queue_lock);
    return slot;
}

static void
wake(uint32 pid, uint32 proc)
{
    if (pid != 0)
        SetLatch(&GetPGProcByNumber(proc)->procLatch);
}

void
queue_wake_launcher(void)
{
    wake(pg_atomic_read_u32(&queue_state->launcher),
         pg_atomic_read_u32(&queue_state->launcher_proc));
}

void
queue_note_work(void)
{
    QueueSlot *slot;

    if (queue_state == NULL)
        return;
    slot = queue_slot(MyDatabaseId, true);
    if (slot == NULL)
        pg_atomic_write_u32(&queue_state->everywhere, 1);
    else
    {
        pg_atomic_write_u32(&slot->wanted, 1);
        pg_memory_barrier();
        if (pg_atomic_read_u32(&slot->worker) != 0)
        {
            wake(pg_atomic_read_u32(&slot->worker), pg_atomic_read_u32(&slot->proc));
            return;
        }
    }
    queue_wake_launcher();
}

/* ---- databases ---- */

static bool
is_served(const char *name)
{
    char *list = pstrdup(dsocr_databases);
    List *names;
    ListCell *cell;

    if (dsocr_databases[0] == '\0')
        return true;
    if (!SplitGUCList(list, ',', &names))
        return false;
    foreach (cell, names)
        if (strcmp(lfirst(cell), name) == 0)
            return true;
    return false;
}

/* For the worker that looks into it, and for dsocr_status. */
static void
note_served(Oid database, bool served)
{
    QueueSlot *slot = queue_slot(database, !served);

    if (slot)
        pg_atomic_write_u32(&slot->unserved, served ? 0 : 1);
}

/* Oids of all databases that can be looked into, in TopMemoryContext. */
static List *
open_databases(void)
{
    List *databases = NIL;
    Relation relation;
    TableScanDesc scan;
    HeapTuple tuple;

    StartTransactionCommand();
    (void)GetTransactionSnapshot();
    relation = table_open(DatabaseRelationId, AccessShareLock);
    scan = table_beginscan_catalog(relation, 0, NULL);
    while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
    {
        Form_pg_database d = (Form_pg_database)GETSTRUCT(tuple);
        MemoryContext old;

        if (!d->datallowconn)
            continue;
        note_served(d->oid, is_served(NameStr(d->datname)));
        old = MemoryContextSwitchTo(TopMemoryContext);
        databases = lappend_oid(databases, d->oid);
        MemoryContextSwitchTo(old);
    }
    table_endscan(scan);
    table_close(relation, AccessShareLock);
    CommitTransactionCommand();
    return databases;
}

static bool
database_exists(Oid database)
{
    bool exists;

    StartTransactionCommand();
    exists = SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database));
    CommitTransactionCommand();
    return exists;
}

/* Slots of databases that are gone are free again. */
static void
free_slots(const List *databases)
{
    for (int i = 0; i < QUEUE_DATABASES; i++)
    {
        QueueSlot *slot = &queue_state->slots[i];
        Oid database = pg_atomic_read_u32(&slot->database);

        if (OidIsValid(database) && !list_member_oid(databases, database) &&
            pg_atomic_read_u32(&slot->worker) == 0)
            pg_atomic_write_u32(&slot->database, InvalidOid);
    }
}

/* ---- workers ---- */

static Started *
find_started(Oid database)
{
    for (int i = 0; i < WORKERS_MAX; i++)
        if (started[i].database == database)
            return &started[i];
    return NULL;
}

/* Where a new worker can be remembered: its last one's place, a place never used, or that of one long ended. */
static Started *
place_for(Oid database)
{
    Started *s = find_started(database);

    if (s == NULL)
        s = find_started(InvalidOid);
    for (int i = 0; s == NULL && i < WORKERS_MAX; i++)
        if (started[i].handle == NULL)
            s = &started[i];
    return s;
}

static bool
has_worker(Oid database)
{
    Started *s = find_started(database);
    QueueSlot *slot = queue_slot(database, false);

    return (s && s->handle) || (slot && pg_atomic_read_u32(&slot->worker) != 0);
}

/* False: not now. */
static bool
start_worker(Oid database, bool look)
{
    BackgroundWorker worker =
        worker_of("dsocr queue worker", "dsocr_queue_main", BgWorkerStart_RecoveryFinished);
    Started *s = place_for(database);
    MemoryContext old;
    bool ok;

    if (s == NULL || GetCurrentTimestamp() < no_room_until)
        return false;
    if (s->database == database &&
        !TimestampDifferenceExceeds(s->at, GetCurrentTimestamp(), AGAIN_MS))
        return false;
    worker.bgw_restart_time = BGW_NEVER_RESTART;
    worker.bgw_main_arg = ObjectIdGetDatum(database);
    worker.bgw_notify_pid = MyProcPid;
    old = MemoryContextSwitchTo(TopMemoryContext);
    ok = RegisterDynamicBackgroundWorker(&worker, &s->handle);
    MemoryContextSwitchTo(old);
    if (!ok)
    {
        s->handle = NULL;
        pg_atomic_write_u32(&queue_state->no_room, 1);
        no_room_until = GetCurrentTimestamp() + (TimestampTz)RECENTLY_FULL * 1000;
        ereport(LOG, (errmsg("dsocr: no room for a queue worker"),
                      errhint("Raise max_worker_processes.")));
        return false;
    }
    pg_atomic_write_u32(&queue_state->no_room, 0);
    s->database = database;
    s->look = look;
    s->at = GetCurrentTimestamp();
    return true;
}

/* Forgets workers that have ended. Returns how many of those that only look are still there. */
static int
reap_workers(void)
{
    int looking = 0;
    pid_t pid;

    for (int i = 0; i < WORKERS_MAX; i++)
    {
        Started *s = &started[i];
        QueueSlot *slot;

        if (s->handle && GetBackgroundWorkerPid(s->handle, &pid) == BGWH_STOPPED)
        {
            pfree(s->handle);
            s->handle = NULL;
        }
        if (s->handle == NULL || !s->look)
            continue;
        slot = queue_slot(s->database, false);
        if (slot && pg_atomic_read_u32(&slot->worker) != 0)
            s->look = false; /* it has found something to do */
        else
            looking++;
    }
    return looking;
}

/* Starts what is missing. True: all is done, but for what has to wait. */
static bool
start_wanted(void)
{
    bool all = true;

    for (int i = 0; i < QUEUE_DATABASES; i++)
    {
        QueueSlot *slot = &queue_state->slots[i];
        Oid database = pg_atomic_read_u32(&slot->database);

        if (!OidIsValid(database) || pg_atomic_read_u32(&slot->unserved) != 0 ||
            pg_atomic_read_u32(&slot->wanted) == 0 || has_worker(database))
            continue;
        if (database_exists(database))
            all &= start_worker(database, false);
        else
            pg_atomic_write_u32(&slot->database, InvalidOid); /* its last worker gave way to that */
    }
    return all;
}

static void
look_everywhere(int looking)
{
    while (to_look != NIL && looking < LOOKERS_MAX)
    {
        Oid database = linitial_oid(to_look);

        if (!has_worker(database) || planted("two"))
        {
            if (!start_worker(database, true))
                break;
            looking++;
        }
        to_look = list_delete_first(to_look);
    }
}

/* ---- the loop ---- */

static bool
one_turn(void)
{
    TimestampTz now = GetCurrentTimestamp();
    int looking = reap_workers();

    if (pg_atomic_exchange_u32(&queue_state->everywhere, 0) != 0)
        next_look = now;
    if (now >= next_look)
    {
        list_free(to_look);
        to_look = open_databases();
        free_slots(to_look);
        next_look = now + (TimestampTz)dsocr_naptime * USECS_PER_SEC;
    }
    look_everywhere(looking);
    return start_wanted() && to_look == NIL;
}

static void
at_exit(int code, Datum arg)
{
    pg_atomic_write_u32(&queue_state->launcher, 0);
}

static void
set_up(void)
{
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnection(NULL, NULL, 0);
    pgstat_report_appname("dsocr launcher");
    queue_take_time();
    before_shmem_exit(at_exit, 0);
    pg_atomic_write_u32(&queue_state->launcher_proc, my_proc_number());
    pg_atomic_write_u32(&queue_state->launcher, MyProcPid);
}

void
dsocr_launcher_main(Datum arg)
{
    set_up();
    for (;;)
    {
        bool done;
        long ms;

        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending)
        {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
            next_look = 0;
        }
        done = one_turn();
        ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next_look) + 1;
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                        done ? ms : Min(ms, AGAIN_MS / 4), PG_WAIT_EXTENSION);
    }
}

void
launcher_register(void)
{
    BackgroundWorker worker =
        worker_of("dsocr launcher", "dsocr_launcher_main", BgWorkerStart_RecoveryFinished);

    RegisterBackgroundWorker(&worker);
}

/* queue_status.c - what dsocr_status says of the queue: this database's jobs, and every database that has the extension.
 *
 * Jobs are counted in their table, and of one's own database only. Of the others shared memory has what the launcher and their
 * workers have noted: a database that nobody has looked into yet is not there. */
#include "compat.h"

#include "access/table.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/json.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "queue.h"
#include "state.h"

/* Why no worker serves it; NULL: one does, or will when there is work. */
static const char *
reason_of(QueueSlot *slot)
{
    if (RecoveryInProgress())
        return "the server is a standby";
    if (pg_atomic_read_u32(&queue_state->launcher) == 0 &&
        (slot == NULL || pg_atomic_read_u32(&slot->worker) == 0))
        return "the server does not run the launcher (max_worker_processes)";
    if (slot == NULL)
        return queue_slots_full() ? "too many databases have the extension"
                                  : "the launcher has not looked yet";
    if (pg_atomic_read_u32(&slot->unserved))
        return "dsocr.databases does not name it";
    if (pg_atomic_read_u32(&slot->worker) == 0 && pg_atomic_read_u32(&slot->wanted) &&
        pg_atomic_read_u32(&queue_state->no_room))
        return "the server has no room for another worker (max_worker_processes)";
    return NULL;
}

static const char *
state_of(QueueSlot *slot, const char *reason)
{
    if (reason)
        return "not_served";
    if (pg_atomic_read_u32(&slot->worker) == 0)
        return pg_atomic_read_u32(&slot->wanted) ? "starting" : "idle";
    return pg_atomic_read_u32(&slot->in_flight) ? "reading" : "waiting";
}

static void
append_database(StringInfo s, Oid database, QueueSlot *slot)
{
    char *name = get_database_name(database);
    const char *reason = reason_of(slot);

    if (name == NULL)
        return; /* dropped, and not yet noticed */
    appendStringInfoString(s, s->data[s->len - 1] == '[' ? "{\"database\": " : ", {\"database\": ");
    escape_json(s, name);
    appendStringInfo(s, ", \"state\": \"%s\", \"worker_pid\": %u, \"reading\": %u",
                     state_of(slot, reason), slot ? pg_atomic_read_u32(&slot->worker) : 0,
                     slot ? pg_atomic_read_u32(&slot->in_flight) : 0);
    if (reason)
        appendStringInfo(s, ", \"reason\": \"%s\"", reason);
    appendStringInfoChar(s, '}');
}

static void
append_databases(StringInfo s)
{
    append_database(s, MyDatabaseId, queue_slot(MyDatabaseId, false));
    for (int i = 0; i < QUEUE_DATABASES; i++)
    {
        QueueSlot *slot = &queue_state->slots[i];
        Oid database = pg_atomic_read_u32(&slot->database);

        if (OidIsValid(database) && database != MyDatabaseId &&
            pg_atomic_read_u32(&slot->has_extension) == 2)
            append_database(s, database, slot);
    }
}

/* Jobs by their state, and since when the oldest waits. */
static void
append_jobs(StringInfo s, Snapshot now)
{
    static const char *const states[][2] = {
        {"queued", "waiting"}, {"claimed", "reading"}, {"dead", "dead"}};
    Relation jobs = state_table("job", AccessShareLock);
    TimestampTz today = GetCurrentTimestamp(), oldest = today;
    int64 n[lengthof(states)] = {0};
    StateRows r;
    HeapTuple row;

    rows_begin(&r, jobs, NULL, 0, NULL, now);
    while ((row = rows_next(&r)) != NULL)
    {
        bool null;
        int i = 0;

        while (i < lengthof(states) && !row_says(jobs, row, "state", states[i][0]))
            i++;
        if (i == 0)
            oldest = Min(oldest, DatumGetTimestampTz(row_column(jobs, row, "created_at", &null)));
        if (i < lengthof(states))
            n[i]++;
    }
    rows_end(&r);
    table_close(jobs, AccessShareLock);
    for (int i = 0; i < lengthof(states); i++)
        appendStringInfo(s, "%s\"%s\": " INT64_FORMAT, i ? ", " : "", states[i][1], n[i]);
    appendStringInfo(s, ", \"oldest_wait_s\": " INT64_FORMAT, (today - oldest) / USECS_PER_SEC);
}

/* Documents some of whose pages are kept: the index has those of one together. */
static void
append_half_read(StringInfo s, Snapshot now)
{
    Relation pages = state_table("page", AccessShareLock);
    int64 n = 0;
    int watch, last_watch = 0;
    Datum key, last_key = (Datum)0;
    StateRows r;
    HeapTuple row;
    bool null;

    rows_begin(&r, pages, "page_pkey", 0, NULL, now);
    while ((row = rows_next(&r)) != NULL)
    {
        watch = DatumGetInt32(row_column(pages, row, "watch", &null));
        key = row_column(pages, row, "key", &null);
        if (n > 0 && watch == last_watch && datum_image_eq(key, last_key, false, -1))
            continue;
        n++;
        last_watch = watch;
        last_key = datumCopy(key, false, -1);
    }
    rows_end(&r);
    table_close(pages, AccessShareLock);
    appendStringInfo(s, ", \"half_read\": " INT64_FORMAT, n);
}

void
queue_append_status(StringInfo s)
{
    Snapshot now = RegisterSnapshot(GetLatestSnapshot());

    appendStringInfoString(s, ", \"queue\": {");
    append_jobs(s, now);
    append_half_read(s, now);
    UnregisterSnapshot(now);
    appendStringInfoString(s, ", \"databases\": [");
    append_databases(s);
    appendStringInfoString(s, "]}");
}

/* queue_status.c - what dsocr_status says of the queue: this database's jobs, and every database that has the extension.
 *
 * Jobs are counted by SQL, and of one's own database only. Of the others shared memory has what the launcher and their
 * workers have noted: a database that nobody has looked into yet is not there. */
#include "compat.h"

#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/json.h"

#include "queue.h"
#include "state.h"

/* Why no worker serves it; NULL: one does, or will when there is work. */
static const char *
reason_of(QueueSlot *slot)
{
    if (RecoveryInProgress())
        return "the server is a standby";
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

void
queue_append_status(StringInfo s)
{
    Arguments a = {0};

    connect_spi();
    run_state_sql_now(
        "SELECT (json_build_object('waiting', count(*) FILTER (WHERE state = 'queued'), "
        "'reading', count(*) FILTER (WHERE state = 'claimed'), "
        "'dead', count(*) FILTER (WHERE state = 'dead'), "
        "'half_read', (SELECT count(*) FROM (SELECT FROM dsocr.page GROUP BY watch, key) p), "
        "'oldest_wait_s', coalesce(extract(epoch FROM clock_timestamp() - min(created_at) FILTER "
        "(WHERE state = 'queued'))::bigint, 0)))::text FROM dsocr.job",
        &a);
    appendStringInfo(s, ", \"queue\": %s", got_string(0, 1));
    SPI_finish();
    s->data[--s->len] = '\0'; /* the object's end: databases go in */
    appendStringInfoString(s, ", \"databases\": [");
    append_databases(s);
    appendStringInfoString(s, "]}");
}

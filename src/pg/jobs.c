/* jobs.c - SQL functions for jobs: those that wait for them, documents without a table, and withdrawing.
 *
 * All look at what is so now, however old the caller's snapshot is, and none counts as a serializable reader (state.h). */
#include "compat.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "answer.h"
#include "client.h"
#include "functions.h"
#include "module.h"
#include "queue.h"
#include "watch_row.h"

PG_FUNCTION_INFO_V1(dsocr_wait);
PG_FUNCTION_INFO_V1(dsocr_submit);
PG_FUNCTION_INFO_V1(dsocr_result);
PG_FUNCTION_INFO_V1(dsocr_cancel);

#define POLL_MS                                                                                    \
    10 /* between the first two looks of a caller that waits; then half as much more each time, up to */
#define POLL_MAX_MS 300
#define CHECK_MS    3000 /* for the engine to say what it thinks of options */

/* ---- waiting ---- */

static TimestampTz
end_of_wait(Interval *wait)
{
    TimestampTz end = DatumGetTimestampTz(
        DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
                            IntervalPGetDatum(wait)));

    return end;
}

/* Waits, but not for longer. Interrupts are served. */
static bool
wait_a_little(TimestampTz until, int *ms)
{
    long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

    if (left <= 0)
        return false;
    *ms = *ms == 0 ? POLL_MS : Min(*ms * 3 / 2, POLL_MAX_MS);
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, Min(left, *ms),
                    PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
    return true;
}

static void
refuse_own_work(int watch)
{
    if (!queue_made_here(watch))
        return;
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("this transaction waits for its own work"),
                    errdetail("What it has asked for cannot be seen, and read, before it commits."),
                    errhint("Commit first.")));
}

static void
refuse_paused(Relation watches, HeapTuple row, int watch)
{
    bool null;

    if (row == NULL)
        no_such_watch(watch);
    if (DatumGetBool(row_column(watches, row, "paused", &null)))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("watch %d is paused", watch), errhint("dsocr_resume(%d)", watch)));
}

/* Notes a watch that the caller sees; a backfill that is under way counts as a job. */
static int
note_watch(List **seen, Relation watches, HeapTuple row)
{
    bool null;

    if (!watch_is_seen(watches, row))
        return 0;
    *seen = lappend_int(*seen, DatumGetInt32(row_column(watches, row, "id", &null)));
    return DatumGetBool(row_column(watches, row, "backfill", &null));
}

/* The watch, or all that are not paused, if the caller sees them; and how many are under way with their backfill.
 * A source that was renamed a moment ago is not yet found: whoever attached it waits. */
static List *
watches_seen(bool all, int watch, Snapshot now, int64 *backfills)
{
    Relation watches = state_table("watch", AccessShareLock);
    StateRows r;
    HeapTuple row;
    List *seen = NIL;
    bool null;

    *backfills = 0;
    if (all)
        rows_begin(&r, watches, NULL, 0, NULL, now);
    else
    {
        row = find_watch(&r, watches, watch, now);
        refuse_paused(watches, row, watch);
        *backfills += note_watch(&seen, watches, row);
    }
    while (all && (row = rows_next(&r)) != NULL)
        if (!DatumGetBool(row_column(watches, row, "paused", &null)))
            *backfills += note_watch(&seen, watches, row);
    rows_end(&r);
    table_close(watches, AccessShareLock);
    return seen;
}

/* The row of a submitted document of the caller's, or NULL; for rows_end. */
static HeapTuple
find_submitted(StateRows *r, Relation inbox, int64 job, Snapshot now)
{
    HeapTuple row;
    Datum role = (Datum)0;
    bool null = true;

    rows_of_number(r, inbox, "inbox_pkey", "job", job, now);
    if (HeapTupleIsValid(row = rows_next(r)))
        role = row_column(inbox, row, "role", &null);
    return !null && has_privs_of_role(GetUserId(), DatumGetObjectId(role)) ? row : NULL;
}

static bool
is_own(Relation jobs, HeapTuple row, Relation inbox, Snapshot now)
{
    StateRows r;
    bool null;
    int64 job = DatumGetInt64(row_column(jobs, row, "id", &null));
    bool own = find_submitted(&r, inbox, job, now) != NULL;

    rows_end(&r);
    return own;
}

/* Jobs of what watches_seen gives, and, of all, the caller's own, that are not yet done; no more than `most` are counted. */
static int64
count_pending(bool all, int watch, int64 most)
{
    int64 pending;
    Snapshot now = RegisterSnapshot(GetLatestSnapshot());
    List *seen = watches_seen(all, watch, now, &pending);
    Relation jobs = state_table("job", AccessShareLock);
    Relation inbox = state_table("inbox", AccessShareLock);
    StateRows r;
    HeapTuple row;

    rows_begin(&r, jobs, NULL, 0, NULL, now);
    while (pending < most && (row = rows_next(&r)) != NULL)
    {
        bool null;
        int its = DatumGetInt32(row_column(jobs, row, "watch", &null));

        if (!row_says(jobs, row, "state", "dead") &&
            (its == 0 ? all && is_own(jobs, row, inbox, now) : list_member_int(seen, its)))
            pending++;
    }
    rows_end(&r);
    UnregisterSnapshot(now);
    table_close(inbox, AccessShareLock);
    table_close(jobs, AccessShareLock);
    return pending;
}

/* While there is time it is enough to know that some are left. */
Datum
dsocr_wait(PG_FUNCTION_ARGS)
{
    TimestampTz until;
    MemoryContext look =
        AllocSetContextCreate(CurrentMemoryContext, "a look at the queue", ALLOCSET_SMALL_SIZES);
    MemoryContext caller = MemoryContextSwitchTo(look);
    bool all = PG_ARGISNULL(0), over;
    int watch = all ? -1 : PG_GETARG_INT32(0);
    int ms = 0;
    int64 left;

    client_require_preload();
    refuse_own_work(watch);
    until = end_of_wait(PG_ARGISNULL(1) ? DatumGetIntervalP(DirectFunctionCall3(
                                              interval_in, CStringGetDatum("1h"), 0, -1))
                                        : PG_GETARG_INTERVAL_P(1));
    queue_note_work();
    for (;;)
    {
        over = GetCurrentTimestamp() >= until;
        left = count_pending(all, watch, over ? PG_INT64_MAX : 1);
        MemoryContextReset(look);
        if (left == 0 || over)
            break;
        (void)wait_a_little(until, &ms);
    }
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(look);
    PG_RETURN_INT64(left);
}

/* ---- submitted documents ---- */

/* What mode, pages and options may be the engine knows, and says before it looks at the document. One that is not ready is
 * not waited for: then the job tells. */
static void
check_request(const char *mode, const char *pages, Jsonb *options)
{
    Question q = {.kind = WIRE_READ, .options = reading_options(mode, pages, options)};
    int kept = dsocr_timeout;

    bool plain = mode == NULL && (pages == NULL || strcmp(pages, "all") == 0) &&
                 (options == NULL || JB_ROOT_COUNT(options) == 0);

    if (plain || pg_atomic_read_u32(&engine_state->state) != ENGINE_READY)
        return;
    q.doc = (struct varlena *)cstring_to_text("no document");
    dsocr_timeout = kept > 0 ? Min(kept, CHECK_MS) : CHECK_MS;
    PG_TRY();
    {
        client_ask(&q, 1, NULL, NULL);
    }
    PG_FINALLY();
    {
        dsocr_timeout = kept;
    }
    PG_END_TRY();
    if (q.error && (q.error->sqlstate == ERRCODE_INVALID_PARAMETER_VALUE ||
                    q.error->sqlstate == ERRCODE_FEATURE_NOT_SUPPORTED))
        answer_raise(q.error);
}

Datum
dsocr_submit(PG_FUNCTION_ARGS)
{
    Arguments a = {0};
    int64 job;

    client_require_preload();
    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    check_request(PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)),
                  PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)),
                  PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3));
    connect_spi();
    run_state_sql("INSERT INTO dsocr.job (id, watch, key) SELECT id, 0, ARRAY[id::text] "
                  "FROM (SELECT nextval('dsocr.job_id_seq') AS id) s RETURNING id",
                  &a);
    job = got_bigint(0, 1, 0);
    add_bigint(&a, job);
    add_text(&a, GetUserNameFromId(GetUserId(), false));
    add_passed(&a, fcinfo, 0, BYTEAOID);
    if (PG_ARGISNULL(1))
        add_text(&a, mode_name());
    else
        add_passed(&a, fcinfo, 1, TEXTOID);
    add_passed(&a, fcinfo, 2, TEXTOID);
    add_passed(&a, fcinfo, 3, JSONBOID);
    run_state_sql("INSERT INTO dsocr.inbox (job, role_name, doc, mode, pages, options) "
                  "VALUES ($1, $2, $3, $4, coalesce($5, 'all'), coalesce($6, '{}'))",
                  &a);
    queue_made_job(0);
    SPI_finish();
    PG_RETURN_INT64(job);
}

static void
raise_job_error(Jsonb *error)
{
    JsonbContainer *e = error ? &error->root : NULL;
    char *sqlstate = json_get_string(e, "sqlstate"), *code = json_get_string(e, "error_code");
    char *message = json_get_string(e, "error_message");

    ereport(ERROR, (errcode(sqlstate && strlen(sqlstate) == 5
                                ? MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3],
                                                sqlstate[4])
                                : ERRCODE_SYSTEM_ERROR),
                    errmsg_internal("%s", message ? message : "the document could not be read"),
                    errdetail_internal("Its error_code is %s.", code ? code : "unknown")));
}

/* A copy; NULL when there is none. */
static Jsonb *
jsonb_column(Relation inbox, HeapTuple row, const char *name)
{
    bool null;
    Datum value = row_column(inbox, row, name, &null);

    return null ? NULL : DatumGetJsonbPCopy(value);
}

/* The result; NULL: it is not done yet. ERROR when it could not be read, or the caller has no such job. */
static Jsonb *
submitted_result(int64 job)
{
    Relation inbox = state_table("inbox", AccessShareLock);
    StateRows r;
    HeapTuple row = find_submitted(&r, inbox, job, GetLatestSnapshot());
    Jsonb *result;
    bool unfinished;

    if (row == NULL)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("job " INT64_FORMAT " does not exist", job),
                        errhint("Results are kept for dsocr.job_retention.")));
    result = jsonb_column(inbox, row, "result");
    (void)row_column(inbox, row, "finished_at", &unfinished);
    if (!unfinished && result == NULL)
        raise_job_error(jsonb_column(inbox, row, "error"));
    rows_end(&r);
    table_close(inbox, AccessShareLock);
    return unfinished ? NULL : result;
}

Datum
dsocr_result(PG_FUNCTION_ARGS)
{
    TimestampTz until = end_of_wait(PG_GETARG_INTERVAL_P(1));
    Jsonb *result;
    int ms = 0;

    client_require_preload();
    refuse_own_work(0);
    while ((result = submitted_result(PG_GETARG_INT64(0))) == NULL && wait_a_little(until, &ms))
        ;
    if (result == NULL)
        PG_RETURN_NULL();
    PG_RETURN_JSONB_P(result);
}

/* ---- withdrawing ---- */

/* The other jobs of its claim, which are the same document. False as row_delete. */
static bool
delete_claim(Relation jobs, HeapTuple job, int watch, Datum key, Snapshot now)
{
    StateRows r;
    HeapTuple row;
    bool none, null, done = true;
    int64 token = DatumGetInt64(row_column(jobs, job, "token", &none));

    rows_of_key(&r, jobs, "job_key", "key", watch, key, now);
    while (!none && done && (row = rows_next(&r)) != NULL)
        if (!ItemPointerEquals(&row->t_self, &job->t_self) &&
            DatumGetInt64(row_column(jobs, row, "token", &null)) == token && !null)
            done = row_delete(&r, row);
    rows_end(&r);
    return done;
}

/* What was read of a document that nobody asks for any more. A page that just comes has no job then, and goes by itself. */
static void
delete_pages(Relation jobs, int watch, Datum key)
{
    Relation pages = state_table("page", RowExclusiveLock);
    Snapshot now = RegisterSnapshot(GetLatestSnapshot());
    StateRows r;
    HeapTuple row;
    bool asked = false;

    rows_of_key(&r, jobs, "job_key", "key", watch, key, now);
    while (!asked && (row = rows_next(&r)) != NULL)
        asked = !row_says(jobs, row, "state", "dead");
    rows_end(&r);
    rows_of_key(&r, pages, "page_pkey", "key", watch, key, now);
    while (!asked && (row = rows_next(&r)) != NULL)
        (void)row_delete(&r, row);
    rows_end(&r);
    UnregisterSnapshot(now);
    table_close(pages, NoLock);
}

/* Whoever changes it just now, its job is gone. */
static void
delete_document(int64 job)
{
    Relation inbox = state_table("inbox", RowExclusiveLock);
    StateRows r;
    HeapTuple row;
    bool left;

    do
    {
        rows_of_number(&r, inbox, "inbox_pkey", "job", job, GetLatestSnapshot());
        left = (row = rows_next(&r)) != NULL && !row_delete(&r, row);
        rows_end(&r);
    } while (left);
    table_close(inbox, NoLock);
}

/* ERROR when it is of a table of somebody else's. */
static bool
may_cancel(Relation jobs, HeapTuple row, int watch, Snapshot now)
{
    Relation inbox;
    bool own;

    if (watch != 0)
    {
        if (!row_says(jobs, row, "state", "queued") && !row_says(jobs, row, "state", "claimed"))
            return false;
        require_watch_owner(watch);
        return true;
    }
    inbox = state_table("inbox", AccessShareLock);
    own = is_own(jobs, row, inbox, now);
    table_close(inbox, AccessShareLock);
    return own;
}

/* One attempt. *again: somebody has changed one of its rows, for which this has waited. */
static bool
cancel_job(Relation jobs, int64 job, bool *again)
{
    StateRows r;
    HeapTuple row;
    int watch;
    Datum key;
    bool null, done = false;

    *again = false;
    rows_of_number(&r, jobs, "job_pkey", "id", job, GetLatestSnapshot());
    row = rows_next(&r);
    if (row)
    {
        watch = DatumGetInt32(row_column(jobs, row, "watch", &null));
        key = PointerGetDatum(DatumGetArrayTypePCopy(row_column(jobs, row, "key", &null)));
        if (may_cancel(jobs, row, watch, r.snapshot))
        {
            done = (watch == 0 || delete_claim(jobs, row, watch, key, r.snapshot)) &&
                   row_delete(&r, row);
            *again = !done;
        }
    }
    rows_end(&r);
    CommandCounterIncrement();
    if (done && watch == 0)
        delete_document(job);
    else if (done)
        delete_pages(jobs, watch, key);
    return done;
}

Datum
dsocr_cancel(PG_FUNCTION_ARGS)
{
    Relation jobs;
    bool done, again;

    PreventCommandIfReadOnly("dsocr_cancel()");
    jobs = state_table("job", RowExclusiveLock);
    do
    {
        CHECK_FOR_INTERRUPTS();
        done = cancel_job(jobs, PG_GETARG_INT64(0), &again);
    } while (again);
    table_close(jobs, NoLock);
    queue_made_job(0); /* the worker looks, and hangs up on the engine */
    PG_RETURN_BOOL(done);
}

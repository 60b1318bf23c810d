/* watch.c - SQL functions that steer the queue: watches, submitted documents, waiting.
 *
 * The tables of the schema dsocr belong to the extension, and users may not touch them. So each function here looks
 * whether the caller may do this, and then does it as the extension's owner (state.h). */
#include "compat.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "answer.h"
#include "client.h"
#include "functions.h"
#include "module.h"
#include "queue.h"
#include "state.h"
#include "store.h"

PG_FUNCTION_INFO_V1(dsocr_filter_columns);
PG_FUNCTION_INFO_V1(dsocr_add_watch);
PG_FUNCTION_INFO_V1(dsocr_remove_watch);
PG_FUNCTION_INFO_V1(dsocr_add_job);
PG_FUNCTION_INFO_V1(dsocr_add_missing);
PG_FUNCTION_INFO_V1(dsocr_lock_results);
PG_FUNCTION_INFO_V1(dsocr_current_model);
PG_FUNCTION_INFO_V1(dsocr_pause);
PG_FUNCTION_INFO_V1(dsocr_resume);
PG_FUNCTION_INFO_V1(dsocr_retry);
PG_FUNCTION_INFO_V1(dsocr_wait);
PG_FUNCTION_INFO_V1(dsocr_submit);
PG_FUNCTION_INFO_V1(dsocr_result);
PG_FUNCTION_INFO_V1(dsocr_cancel);

#define POLL_MS                                                                                    \
    10 /* between the first two looks of a caller that waits; then half as much more each time, up to */
#define POLL_MAX_MS 300
#define CHECK_MS    3000 /* for the engine to say what it thinks of options */

static void
add_datum(Arguments *a, FunctionCallInfo fcinfo, int i, Oid type)
{
    add_argument(a, type, PG_ARGISNULL(i) ? (Datum)0 : PG_GETARG_DATUM(i), PG_ARGISNULL(i));
}

/* ---- who may ---- */

static void
require_owner(Relation table)
{
    if (!owns_relation(RelationGetRelid(table), GetUserId()))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("must be owner of table %s", RelationGetRelationName(table))));
}

/* ERROR unless the caller owns the source of the watch, or, when that is gone, is who attached it. SPI is connected. */
static void
require_watch_owner(int watch)
{
    Arguments a = {0};
    Oid source, attached_by;

    add_int(&a, watch);
    if (run_state_sql("SELECT source_schema, source_table, attached_by::oid FROM dsocr.watch "
                      "WHERE id = $1",
                      &a) == 0)
        no_such_watch(watch);
    source = find_relation(got_string(0, 1), got_string(0, 2));
    attached_by = (Oid)got_bigint(0, 3, InvalidOid);
    if (OidIsValid(source) ? owns_relation(source, GetUserId())
                           : superuser() || (OidIsValid(attached_by) &&
                                             has_privs_of_role(GetUserId(), attached_by)))
        return;
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("must be owner of the table that watch %d reads", watch)));
}

/* ---- watches ---- */

#define BEFORE_FILTER "SELECT ("

/* An error's place is one of the filter, not of the statement that the caller is in. */
static void
place_in_filter(void *filter)
{
    int position = geterrposition();

    if (position == 0)
        return;
    errposition(0);
    internalerrposition(Max(1, position - (int)strlen(BEFORE_FILTER)));
    internalerrquery(filter);
}

static Node *
transform_filter(Relation relation, const char *sql)
{
    List *raw = raw_parser(sql, RAW_PARSE_DEFAULT);
    SelectStmt *select = (SelectStmt *)linitial_node(RawStmt, raw)->stmt;
    ParseState *state = make_parsestate(NULL);
    ParseNamespaceItem *item;

    state->p_sourcetext = sql;
    if (list_length(raw) != 1 || !IsA(select, SelectStmt) || list_length(select->targetList) != 1 ||
        select->fromClause || select->whereClause || select->op != SETOP_NONE ||
        select->sortClause || select->limitCount || select->groupClause)
        ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("the filter is not a condition"),
                        errhint("For example: 'kind = ''letter'''.")));
    item = addRangeTableEntryForRelation(state, relation, AccessShareLock, NULL, false, true);
    addNSItemToQuery(state, item, false, true, true);
    return transformWhereClause(state, linitial_node(ResTarget, select->targetList)->val,
                                EXPR_KIND_CHECK_CONSTRAINT, "filter");
}

/* The condition as the server's parser understands it, for rows of this table. */
static Node *
parse_filter(Relation relation, char *filter)
{
    ErrorContextCallback place = {
        .previous = error_context_stack, .callback = place_in_filter, .arg = filter};
    Node *condition;

    error_context_stack = &place;
    condition = transform_filter(relation, psprintf(BEFORE_FILTER "%s)", filter));
    error_context_stack = place.previous;
    return condition;
}

Datum
dsocr_filter_columns(PG_FUNCTION_ARGS)
{
    Relation relation = table_open(PG_GETARG_OID(0), AccessShareLock);
    Node *condition = parse_filter(relation, text_to_cstring(PG_GETARG_TEXT_PP(1)));
    Bitmapset *columns = NULL;
    int column = -1, n = 0;
    char **names = palloc(sizeof(char *) * (relation->rd_att->natts + 1));

    require_owner(relation);
    pull_varattnos(condition, 1, &columns);
    while ((column = bms_next_member(columns, column)) >= 0)
    {
        int attnum = column + FirstLowInvalidHeapAttributeNumber;

        for (int i = 1; attnum == 0 && i <= relation->rd_att->natts; i++)
            if (!TupleDescAttr(relation->rd_att, i - 1)->attisdropped)
                names[n++] = NameStr(TupleDescAttr(relation->rd_att, i - 1)->attname);
        if (attnum == 0)
            break; /* the whole row */
        if (attnum > 0)
            names[n++] = NameStr(TupleDescAttr(relation->rd_att, attnum - 1)->attname);
    }
    table_close(relation, NoLock);
    return n > 0 ? key_array(names, n) : PointerGetDatum(construct_empty_array(TEXTOID));
}

static void
refuse_second_watch(Relation source, const char *column)
{
    Arguments a = {0};

    add_text(&a, get_namespace_name(RelationGetNamespace(source)));
    add_text(&a, RelationGetRelationName(source));
    add_text(&a, column);
    if (run_state_sql("SELECT id FROM dsocr.watch WHERE source_schema = $1 AND source_table = $2 "
                      "AND doc_column = $3",
                      &a) > 0)
        ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
                        errmsg("column \"%s\" of %s is attached already", column,
                               RelationGetRelationName(source)),
                        errdetail("It is watch %s.", got_string(0, 1)),
                        errhint("dsocr_detach ends a watch; dsocr_reprocess has it read again.")));
}

/* source, doc_column, key_columns, result_columns, result_table, mode, options, filter, ts_config, store_result,
 * priority, on_delete, backfill */
Datum
dsocr_add_watch(PG_FUNCTION_ARGS)
{
    static const Oid types[] = {TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TEXTOID, TEXTOID, JSONBOID,
                                TEXTOID, TEXTOID,      BOOLOID,      INT4OID, TEXTOID, BOOLOID};
    Relation source;
    Arguments a = {0};
    int watch;

    for (int i = 0; i < 13; i++)
        if (PG_ARGISNULL(i) && i != 5 && i != 7)
            elog(ERROR, "dsocr.add_watch is a part of dsocr_attach");
    /* As CREATE TRIGGER will: two callers attach one after the other. */
    source = table_open(PG_GETARG_OID(0), ShareRowExclusiveLock);
    require_owner(source);
    connect_spi();
    refuse_second_watch(source, text_to_cstring(PG_GETARG_TEXT_PP(1)));
    for (int i = 0; i < lengthof(types); i++)
        add_datum(&a, fcinfo, i + 1, types[i]);
    add_text(&a, get_namespace_name(RelationGetNamespace(source)));
    add_text(&a, RelationGetRelationName(source));
    add_text(&a, GetUserNameFromId(GetUserId(), false));
    run_state_sql("INSERT INTO dsocr.watch (doc_column, key_columns, result_columns, result_table, "
                  "mode, options, filter, ts_config, store_result, priority, on_delete, backfill, "
                  "source_schema, result_schema, source_table, attached_by_name) "
                  "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14, "
                  "$15) RETURNING id",
                  &a);
    watch = (int)got_bigint(0, 1, 0);
    queue_made_job(watch); /* a backfill, perhaps */
    SPI_finish();
    table_close(source, NoLock);
    PG_RETURN_INT32(watch);
}

Datum
dsocr_remove_watch(PG_FUNCTION_ARGS)
{
    Arguments a = {0};

    connect_spi();
    require_watch_owner(PG_GETARG_INT32(0));
    add_int(&a, PG_GETARG_INT32(0));
    change_state_now("DELETE FROM dsocr.job WHERE watch = $1", &a);
    change_state_now("DELETE FROM dsocr.page WHERE watch = $1", &a);
    change_state_now("DELETE FROM dsocr.tally WHERE watch = $1", &a);
    change_state_now("DELETE FROM dsocr.served WHERE watch = $1", &a);
    change_state_now("DELETE FROM dsocr.watch WHERE id = $1", &a);
    queue_made_job(PG_GETARG_INT32(0)); /* the worker looks, and hangs up on the engine */
    SPI_finish();
    PG_RETURN_VOID();
}

static void
set_paused(int watch, bool paused)
{
    Arguments a = {0};

    connect_spi();
    require_watch_owner(watch);
    add_int(&a, watch);
    add_bool(&a, paused);
    change_state_now("UPDATE dsocr.watch SET paused = $2 WHERE id = $1", &a);
    queue_made_job(watch); /* wakes the worker at commit, or has one started */
    SPI_finish();
}

Datum
dsocr_pause(PG_FUNCTION_ARGS)
{
    set_paused(PG_GETARG_INT32(0), true);
    PG_RETURN_VOID();
}

Datum
dsocr_resume(PG_FUNCTION_ARGS)
{
    set_paused(PG_GETARG_INT32(0), false);
    PG_RETURN_VOID();
}

Datum
dsocr_add_job(PG_FUNCTION_ARGS)
{
    Arguments a = {0};

    connect_spi();
    require_watch_owner(PG_GETARG_INT32(0));
    add_int(&a, PG_GETARG_INT32(0));
    add_argument(&a, TEXTARRAYOID, PG_GETARG_DATUM(1), false);
    run_state_sql("INSERT INTO dsocr.job (watch, key, force) VALUES ($1, $2, true)", &a);
    queue_made_job(PG_GETARG_INT32(0));
    SPI_finish();
    PG_RETURN_VOID();
}

/* Part of dsocr_reprocess; as the owner, since the filter is his. */
Datum
dsocr_add_missing(PG_FUNCTION_ARGS)
{
    int watch = PG_GETARG_INT32(0);
    int64 n = 0;
    Datum after = (Datum)0;

    do
    {
        connect_spi();
        require_watch_owner(watch);
        n += store_missing(watch, &after);
        SPI_finish();
    } while (after != (Datum)0);
    queue_made_job(watch);
    PG_RETURN_INT64(n);
}

/* Part of dsocr_correct. */
Datum
dsocr_lock_results(PG_FUNCTION_ARGS)
{
    connect_spi();
    store_lock(PG_GETARG_INT32(0), PG_GETARG_DATUM(1));
    SPI_finish();
    PG_RETURN_VOID();
}

Datum
dsocr_current_model(PG_FUNCTION_ARGS)
{
    char model[sizeof engine_state->model];

    if (engine_state == NULL)
        PG_RETURN_NULL();
    loaded_model(model);
    if (model[0] == '\0')
        PG_RETURN_NULL();
    PG_RETURN_TEXT_P(cstring_to_text(model));
}

/* The refusals of documents that ended the engine go too: that is what a retry asks for. */
static void
forget_refusals(void)
{
    if (engine_state == NULL)
        return;
    LWLockAcquire(engine_lock, LW_EXCLUSIVE);
    for (int i = 0; i < REFUSED_BLOBS; i++)
        engine_state->refused[i].until = 0;
    pg_atomic_write_u32(&engine_state->any_refused, 0);
    LWLockRelease(engine_lock);
}

/* Of one watch, or of all whose source the caller owns and of his own submitted jobs. */
Datum
dsocr_retry(PG_FUNCTION_ARGS)
{
    Arguments a = {0};
    uint64 n;

    connect_spi();
    if (!PG_ARGISNULL(0))
        require_watch_owner(PG_GETARG_INT32(0));
    add_datum(&a, fcinfo, 0, INT4OID);
    add_datum(&a, fcinfo, 1, TEXTOID);
    add_argument(&a, OIDOID, ObjectIdGetDatum(GetUserId()), false);
    n = change_state_now(
        "WITH retried AS (UPDATE dsocr.job j SET state = 'queued', attempts = 0, crashes = 0, "
        "suspect = false, "
        "not_before = NULL, failed_at = NULL, force = true WHERE state = 'dead' "
        "AND ($1 IS NULL OR watch = $1) AND ($2 IS NULL OR error_code = $2) "
        "AND CASE WHEN watch = 0 THEN EXISTS (SELECT FROM dsocr.inbox i WHERE i.job = j.id AND "
        "i.doc IS NOT NULL "
        "AND pg_has_role($3, i.role, 'USAGE')) ELSE $1 IS NOT NULL OR EXISTS (SELECT FROM "
        "dsocr.watch w "
        "JOIN pg_class c ON c.relname = w.source_table JOIN pg_namespace n ON n.oid = "
        "c.relnamespace "
        "AND n.nspname = w.source_schema WHERE w.id = j.watch AND pg_has_role($3, c.relowner, "
        "'USAGE')) END RETURNING id, watch), "
        "asked_again AS (UPDATE dsocr.inbox i SET error = NULL, finished_at = NULL FROM retried r "
        "WHERE r.watch = 0 AND r.id = i.job) SELECT FROM retried",
        &a);
    if (n > 0)
        forget_refusals();
    queue_made_job(PG_ARGISNULL(0) ? 0 : PG_GETARG_INT32(0));
    SPI_finish();
    PG_RETURN_INT64((int64)n);
}

/* ---- waiting ---- */

static TimestampTz
end_of_wait(Interval *wait)
{
    TimestampTz end = DatumGetTimestampTz(
        DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
                            IntervalPGetDatum(wait)));

    return end;
}

/* False: the time is over. Interrupts are served. */
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
refuse_paused(int watch)
{
    Arguments a = {0};

    add_int(&a, watch);
    if (run_state_sql_now("SELECT paused FROM dsocr.watch WHERE id = $1", &a) == 0)
        no_such_watch(watch);
    if (got_bool(0, 1))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("watch %d is paused", watch), errhint("dsocr_resume(%d)", watch)));
}

/* The watch, or all that are not paused, if the caller may read the source; and how many are under way with their backfill.
 * A source that was renamed a moment ago is not yet found: whoever attached it waits. */
static List *
watches_seen(Oid user, bool all, int watch, int64 *backfills)
{
    Arguments a = {0};
    List *seen = NIL;
    uint64 n;

    add_argument(&a, INT4OID, Int32GetDatum(watch), all);
    add_argument(&a, OIDOID, ObjectIdGetDatum(user), false);
    n = run_state_sql_now(
        "SELECT w.id, w.backfill FROM dsocr.watch w LEFT JOIN (pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace) ON c.relname = w.source_table "
        "AND n.nspname = w.source_schema "
        "WHERE CASE WHEN $1 IS NULL THEN NOT w.paused ELSE w.id = $1 END "
        "AND CASE WHEN c.oid IS NULL THEN pg_has_role($2, w.attached_by, 'USAGE') "
        "ELSE has_table_privilege($2, c.oid, 'SELECT') END",
        &a);
    *backfills = 0;
    for (uint64 i = 0; i < n; i++)
    {
        seen = lappend_int(seen, (int)got_bigint(i, 1, 0));
        *backfills += got_bool(i, 2);
    }
    return seen;
}

/* The row of a submitted document of the caller's, or NULL; for rows_end. */
static HeapTuple
find_submitted(StateRows *r, Relation inbox, int64 job, Oid user, Snapshot now)
{
    ScanKeyData key;
    HeapTuple row;
    Datum role = (Datum)0;
    bool null = true;

    ScanKeyInit(&key, state_column(inbox, "job"), BTEqualStrategyNumber, F_INT8EQ,
                Int64GetDatum(job));
    rows_begin(r, inbox, "inbox_pkey", 1, &key, now);
    if (HeapTupleIsValid(row = rows_next(r)))
        role = row_column(inbox, row, "role", &null);
    return !null && has_privs_of_role(user, DatumGetObjectId(role)) ? row : NULL;
}

static bool
is_own(Relation jobs, HeapTuple row, Relation inbox, Oid user, Snapshot now)
{
    StateRows r;
    bool null;
    int64 job = DatumGetInt64(row_column(jobs, row, "id", &null));
    bool own = find_submitted(&r, inbox, job, user, now) != NULL;

    rows_end(&r);
    return own;
}

/* Jobs of what watches_seen gives, and, of all, the caller's own, that are not yet done. A backfill that is under way counts
 * as one: so the watches are looked at before the jobs that it makes. */
static int64
count_pending(Oid user, bool all, int watch)
{
    int64 pending;
    List *seen = watches_seen(user, all, watch, &pending);
    Relation jobs = state_table("job"), inbox = state_table("inbox");
    Snapshot now = RegisterSnapshot(GetLatestSnapshot());
    StateRows r;
    HeapTuple row;

    rows_begin(&r, jobs, NULL, 0, NULL, now);
    while (HeapTupleIsValid(row = rows_next(&r)))
    {
        bool null;
        int its = DatumGetInt32(row_column(jobs, row, "watch", &null));

        if (!row_says(jobs, row, "state", "dead") &&
            (its == 0 ? all && is_own(jobs, row, inbox, user, now) : list_member_int(seen, its)))
            pending++;
    }
    rows_end(&r);
    UnregisterSnapshot(now);
    table_close(inbox, AccessShareLock);
    table_close(jobs, AccessShareLock);
    return pending;
}

Datum
dsocr_wait(PG_FUNCTION_ARGS)
{
    TimestampTz until;
    bool all = PG_ARGISNULL(0);
    int watch = all ? -1 : PG_GETARG_INT32(0);
    int ms = 0;
    int64 left;

    client_require_preload();
    refuse_own_work(watch);
    until = end_of_wait(PG_ARGISNULL(1) ? DatumGetIntervalP(DirectFunctionCall3(
                                              interval_in, CStringGetDatum("1h"), 0, -1))
                                        : PG_GETARG_INTERVAL_P(1));
    queue_note_work();
    do
    {
        connect_spi();
        if (!all)
            refuse_paused(watch);
        left = count_pending(GetUserId(), all, watch);
        SPI_finish();
    } while (left > 0 && wait_a_little(until, &ms));
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
    add_datum(&a, fcinfo, 0, BYTEAOID);
    if (PG_ARGISNULL(1))
        add_text(&a, mode_name());
    else
        add_datum(&a, fcinfo, 1, TEXTOID);
    add_datum(&a, fcinfo, 2, TEXTOID);
    add_datum(&a, fcinfo, 3, JSONBOID);
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
    Relation inbox = state_table("inbox");
    StateRows r;
    HeapTuple row = find_submitted(&r, inbox, job, GetUserId(), GetLatestSnapshot());
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

/* A job of a watch: with it go the others of its claim, which are the same document, and what was read of it. */
static uint64
cancel_watched(int64 job)
{
    Arguments a = {0};
    uint64 n;
    bool null;

    add_bigint(&a, job);
    if (run_state_sql_now("SELECT watch FROM dsocr.job WHERE id = $1 AND watch <> 0 AND "
                          "state IN ('queued', 'claimed')",
                          &a) == 0)
        return 0;
    require_watch_owner((int)got_bigint(0, 1, 0));
    n = change_state_now(
        "DELETE FROM dsocr.job WHERE id = $1 OR token = (SELECT token FROM dsocr.job "
        "WHERE id = $1) RETURNING watch, key",
        &a);
    if (n == 0)
        return 0;
    add_int(&a, (int)got_bigint(0, 1, 0));
    add_argument(&a, TEXTARRAYOID,
                 SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &null), false);
    change_state_now(
        "DELETE FROM dsocr.page WHERE watch = $2 AND key = $3 AND $1 IS NOT NULL AND NOT "
        "EXISTS (SELECT FROM dsocr.job WHERE watch = $2 AND key = $3 AND state <> 'dead')",
        &a);
    return n;
}

Datum
dsocr_cancel(PG_FUNCTION_ARGS)
{
    Arguments a = {0};
    uint64 n;

    add_bigint(&a, PG_GETARG_INT64(0));
    add_argument(&a, OIDOID, ObjectIdGetDatum(GetUserId()), false);
    connect_spi();
    n = change_state_now(
        "DELETE FROM dsocr.job j USING dsocr.inbox i WHERE j.id = $1 AND j.watch = 0 "
        "AND i.job = j.id AND pg_has_role($2, i.role, 'USAGE') RETURNING j.id",
        &a);
    if (n > 0)
        change_state_now("DELETE FROM dsocr.inbox WHERE job = $1", &a);
    else
        n = cancel_watched(PG_GETARG_INT64(0));
    queue_made_job(0); /* the worker looks, and hangs up on the engine */
    SPI_finish();
    PG_RETURN_BOOL(n > 0);
}

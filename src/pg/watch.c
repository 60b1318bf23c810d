/* watch.c - SQL functions that steer the queue: what it reads, again or not now.
 *
 * The tables of the schema dsocr belong to the extension, and users may not touch them. So each function here looks
 * whether the caller may do this, and then does it as the extension's owner (state.h). */
#include "compat.h"

#include "access/table.h"
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
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "module.h"
#include "queue.h"
#include "store.h"
#include "watch_row.h"

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

/* ---- who may ---- */

static void
require_owner(Relation table)
{
    if (!owns_relation(RelationGetRelid(table), GetUserId()))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("must be owner of table %s", RelationGetRelationName(table))));
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
        add_passed(&a, fcinfo, i + 1, types[i]);
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
    if (engine_state == NULL)
        ereport(WARNING, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                          errmsg("nothing is read yet: dsocr was not loaded when the server "
                                 "started"),
                          errhint("Add dsocr to shared_preload_libraries in postgresql.conf and "
                                  "restart the server.")));
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
    add_passed(&a, fcinfo, 0, INT4OID);
    add_passed(&a, fcinfo, 1, TEXTOID);
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

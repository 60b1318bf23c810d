/* store_gone.c - results of rows that were deleted, or were given another key, go or follow.
 *
 * A foreign key would do this in the user's own statement, where it waits for whoever stores a result, and fails with 40001
 * when one was stored since his snapshot. So his statement only notes it, as a job whose state is "gone", and this is
 * done after his commit. Sharp edge: by then the key may have another row. What is deleted is therefore looked for once
 * more; what has moved is moved in the order in which it was noted, before anything is read by either key. Results of a
 * partition that was detached are kept as long as its table is there. */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "store.h"
#include "store_watch.h"

#define SWEEP_ROWS 5000 /* of one transaction */

static bool
is_empty(Datum array)
{
    return ARR_NDIM(DatumGetArrayTypeP(array)) == 0;
}

/* Of all rows, or of those of some partition. */
static bool
is_sweep(const Gone *g)
{
    return is_empty(g->key);
}

static bool
is_partition(const Gone *g)
{
    return is_sweep(g) && g->becomes != (Datum)0;
}

void
store_ask_anew(int watch, Datum key, int64 newest)
{
    Arguments a = {0};

    add_int(&a, watch);
    add_argument(&a, TEXTARRAYOID, key, false);
    add_bigint(&a, newest);
    run_kept_sql("UPDATE dsocr.job SET force = true WHERE watch = $1 AND NOT force AND state NOT "
                 "IN ('claimed', 'dead', 'gone') AND key IN (SELECT g.becomes FROM dsocr.job g "
                 "WHERE g.watch = $1 AND g.key = $2 AND g.id > $3 AND g.state = 'gone')",
                 &a);
}

static bool
was_asked_anew(const Gone *g)
{
    Arguments a = {0};

    add_int(&a, g->watch);
    add_argument(&a, TEXTARRAYOID, g->key, false);
    add_bigint(&a, g->job);
    return run_kept_sql("SELECT FROM dsocr.job WHERE watch = $1 AND key = $2 AND id < $3 AND force "
                        "AND state NOT IN ('dead', 'gone') LIMIT 1",
                        &a) > 0;
}

/* Older jobs of the key are about the row that is gone; if it has another by now, that one has a newer job. */
static void
forget_jobs(const Gone *g)
{
    Arguments a = {0};

    add_int(&a, g->watch);
    add_bigint(&a, g->job);
    add_argument(&a, TEXTARRAYOID, g->key, false);
    run_kept_sql(psprintf("DELETE FROM dsocr.job WHERE watch = $1 AND id < $2 AND state NOT IN "
                          "('gone', 'claimed') AND %s",
                          is_sweep(g) ? "$3 IS NOT NULL" : "key = $3"),
                 &a);
}

/* ---- what was given up of a partition ---- */

static bool
is_there(const Watch *w, Datum key)
{
    Arguments a = {0};

    add_key(&a, w, key);
    return run_kept_sql(
               psprintf("SELECT FROM %s WHERE %s", source_of(w), key_condition(w, w->keys, "", 1)),
               &a) > 0;
}

/* Jobs that wait find out by themselves that their row is gone. */
static void
forget_dead(const Watch *w, const Gone *g)
{
    Arguments a = {0};
    Datum *keys;
    int64 *jobs;
    int n;
    Scope scope;

    add_int(&a, g->watch);
    n = (int)run_kept_sql("SELECT id, key FROM dsocr.job WHERE watch = $1 AND state = 'dead'", &a);
    jobs = palloc(sizeof(int64) * (n + 1));
    keys = palloc(sizeof(Datum) * (n + 1));
    for (int i = 0; i < n; i++)
    {
        bool null;

        jobs[i] = got_bigint(i, 1, 0);
        keys[i] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &null);
    }
    for (int i = 0; i < n; i++)
    {
        bool there;

        scope_enter(&scope, w->owner);
        there = is_there(w, keys[i]);
        scope_leave(&scope);
        a.n = 0;
        add_bigint(&a, jobs[i]);
        if (!there)
            run_kept_sql("DELETE FROM dsocr.job WHERE id = $1 AND state = 'dead'", &a);
    }
}

/* ---- results ---- */

/* Results of the new key are those of a row that was there before. */
static void
move_results(const Watch *w, const Gone *g)
{
    Arguments a = {0};

    add_key(&a, w, g->becomes);
    run_kept_sql(
        psprintf("DELETE FROM %s WHERE %s", results_of(w), key_condition(w, w->result_keys, "", 1)),
        &a);
    add_key(&a, w, g->key);
    run_kept_sql(psprintf("UPDATE %s SET (%s) = ROW(%s) WHERE %s", results_of(w),
                          column_list(w, w->result_keys), parameter_list(w, 1),
                          key_condition(w, w->result_keys, "", w->nkeys + 1)),
                 &a);
}

static void
delete_results(const Watch *w, const Gone *g)
{
    Arguments a = {0};

    add_key(&a, w, g->key);
    run_kept_sql(psprintf("DELETE FROM %s WHERE %s AND NOT EXISTS (SELECT FROM %s WHERE %s)",
                          results_of(w), key_condition(w, w->result_keys, "", 1), source_of(w),
                          key_condition(w, w->keys, "", 1)),
                 &a);
}

/* The row of a result is in none of the tables that were partitions of the source. SPI's user is the extension's owner. */
static char *
not_detached(const Watch *w)
{
    Arguments a = {0};
    StringInfoData s;
    uint64 n;

    add_int(&a, w->id);
    n = run_kept_sql(
        "SELECT n.nspname, c.relname, c.oid FROM dsocr.served p JOIN pg_class c ON c.oid = p.part "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.watch = $1 AND p.filenode <> 0 AND "
        "NOT "
        "EXISTS (SELECT FROM "
        "pg_partition_ancestors(p.part) a, dsocr.watch w WHERE w.id = p.watch AND a.relid = "
        "to_regclass(format('%I.%I', w.source_schema, w.source_table)))",
        &a);
    initStringInfo(&s);
    for (uint64 i = 0; i < n; i++)
    {
        Oid detached = (Oid)got_bigint(i, 3, InvalidOid);

        LockRelationOid(detached, AccessShareLock);
        require_all_rows(w, detached, "what was its partition");
        appendStringInfo(&s, " AND NOT EXISTS (SELECT FROM %s d WHERE %s)",
                         quote_qualified_identifier(got_string(i, 1), got_string(i, 2)),
                         same_key_condition(w, "d", "r"));
    }
    return s.data;
}

/* Some of the results that have no row. True: there may be more. */
static bool
sweep_results(const Watch *w, const char *condition)
{
    return run_kept_sql(
               psprintf("DELETE FROM %s WHERE ctid = ANY (ARRAY(SELECT r.ctid FROM %s r WHERE "
                        "NOT EXISTS (SELECT FROM %s s WHERE %s)%s LIMIT %d))",
                        results_of(w), results_of(w), source_of(w), same_key_condition(w, "s", "r"),
                        condition, SWEEP_ROWS),
               NULL) == SWEEP_ROWS;
}

/* As the owner, whose triggers and constraints say here and now what they have to say. */
static bool
follow(const Watch *w, const Gone *g)
{
    char *condition = is_sweep(g) ? not_detached(w) : NULL;
    Scope scope;
    bool more = false;

    scope_enter(&scope, w->owner);
    run_kept_sql("SET CONSTRAINTS ALL IMMEDIATE", NULL);
    if (condition)
        more = sweep_results(w, condition);
    else if (g->becomes != (Datum)0)
        move_results(w, g);
    else
        delete_results(w, g);
    scope_leave(&scope);
    return more;
}

bool
store_gone(const Gone *g)
{
    Watch *w = load_watch(g->watch);
    Arguments a = {0};

    if (w == NULL)
        return false;
    if (was_asked_anew(g))
        store_ask_anew(g->watch, g->key, g->job - 1);
    if (is_partition(g))
        forget_dead(w, g);
    else
        forget_jobs(g);
    if (follow(w, g))
        return true;
    add_bigint(&a, g->job);
    run_kept_sql("DELETE FROM dsocr.job WHERE id = $1", &a);
    return false;
}

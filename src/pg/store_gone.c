/* store_gone.c - results of rows that were deleted, or were given another key, go or follow.
 *
 * A foreign key would do this in the user's own statement, where it waits for whoever stores a result, and fails with 40001
 * when one was stored since his snapshot. So his statement only notes it, as a job whose state is "gone", and this is
 * done after his commit. Sharp edge: by then the key may have another row. What is deleted is therefore looked for once
 * more; what has moved is moved in the order in which it was noted, before anything is read by either key. */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"

#include "store.h"
#include "store_watch.h"

#define SWEEP_ROWS 5000 /* of one transaction */

static bool
is_truncate(const Gone *g)
{
    return ARR_NDIM(DatumGetArrayTypeP(g->key)) == 0;
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
                          is_truncate(g) ? "$3 IS NOT NULL" : "key = $3"),
                 &a);
}

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

/* After TRUNCATE: some of the results that have no row. True: there may be more. */
static bool
sweep_results(const Watch *w)
{
    return run_kept_sql(
               psprintf("DELETE FROM %s WHERE ctid = ANY (ARRAY(SELECT r.ctid FROM %s r WHERE "
                        "NOT EXISTS (SELECT FROM %s s WHERE %s) LIMIT %d))",
                        results_of(w), results_of(w), source_of(w), same_key_condition(w, "s", "r"),
                        SWEEP_ROWS),
               NULL) == SWEEP_ROWS;
}

/* As the owner, whose triggers and constraints say here and now what they have to say. */
static bool
follow(const Watch *w, const Gone *g)
{
    Scope scope;
    bool more = false;

    scope_enter(&scope, w->owner);
    run_kept_sql("SET CONSTRAINTS ALL IMMEDIATE", NULL);
    if (g->becomes != (Datum)0)
        move_results(w, g);
    else if (is_truncate(g))
        more = sweep_results(w);
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
    forget_jobs(g);
    if (follow(w, g))
        return true;
    add_bigint(&a, g->job);
    run_kept_sql("DELETE FROM dsocr.job WHERE id = $1", &a);
    return false;
}

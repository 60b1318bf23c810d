/* queue_watches.c - which watches can be served now, and the rows that were there before they were watched.
 *
 * A watch names its tables as text: what they stand for is looked up each second, and what is missing is said in the
 * watch and not an error of the worker's. */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "queue_worker.h"
#include "state.h"

/* ---- what can be served ---- */

/* A source that was renamed is found by its trigger. */
static void
follow_renamed(void)
{
    run_kept_sql(
        "UPDATE dsocr.watch w SET source_schema = n.nspname, source_table = c.relname FROM "
        "pg_trigger t "
        "JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE t.tgname = 'dsocr_watch_' || w.id AND t.tgparentid = 0 AND t.tgfoid = "
        "'dsocr.enqueue()'::regprocedure "
        "AND (w.source_schema, w.source_table) <> (n.nspname, c.relname) AND NOT EXISTS (SELECT "
        "FROM pg_class o "
        "JOIN pg_namespace m ON m.oid = o.relnamespace WHERE o.relname = w.source_table AND "
        "m.nspname = w.source_schema)",
        NULL);
}

/* Restored results have their unique index when all their rows are there, and no sooner: who counted versions before would
 * count from the beginning. */
#define HAS_KEY                                                                                    \
    "EXISTS (SELECT FROM pg_index i WHERE i.indrelid = r.oid AND i.indisunique AND i.indisvalid "  \
    "AND i.indpred IS NULL AND (SELECT array_agg(a.attname::text) @> k AND array_agg("             \
    "a.attname::text) <@ k FROM pg_attribute a, LATERAL (SELECT w.result_columns || "              \
    "'{page,version}'::text[] AS k) k WHERE a.attrelid = r.oid AND a.attnum = ANY "                \
    "(i.indkey::int2[]) GROUP BY k))"

/* Else a result is any one's of several rows. */
#define IS_UNIQUE                                                                                  \
    "EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid "  \
    "AND i.indpred IS NULL AND i.indexprs IS NULL AND (SELECT array_agg(a.attname::text) <@ "      \
    "w.key_columns FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY "               \
    "((i.indkey::int2[])[:i.indnkeyatts - 1])))"

/* Results are found by the key, as attached; a bigint would not fit where an integer was. */
#define HAS_TYPES                                                                                  \
    "NOT EXISTS (SELECT FROM unnest(w.key_columns, w.result_columns) u(k, r), pg_attribute a, "    \
    "pg_attribute b WHERE a.attrelid = c.oid AND a.attname = u.k AND b.attrelid = r.oid AND "      \
    "b.attname = u.r AND a.atttypid <> b.atttypid)"

/* pg_restore -j makes triggers before it is done. A table that was served before is not what it restores; and only who may
 * pause a watch holds it up in this way. */
#define IS_RESTORED                                                                                \
    "NOT EXISTS (SELECT FROM dsocr.served v WHERE v.watch = w.id AND v.part = c.oid) AND EXISTS "  \
    "(SELECT FROM pg_stat_activity a WHERE a.datname = current_database() AND "                    \
    "a.application_name = 'pg_restore' AND pg_has_role(a.usesysid, c.relowner, 'USAGE'))"

/* What is done with a source and its results is done as its owner, who may have taken rights from himself. A right to some
 * column is taken for a right: what is missing then is said of the document. */
#define MAY_NOT                                                                                    \
    "CASE WHEN NOT has_schema_privilege(c.relowner, n.oid, 'USAGE') OR NOT "                       \
    "has_schema_privilege(c.relowner, m.oid, 'USAGE') THEN 'its owner may not use its schema' "    \
    "WHEN NOT has_any_column_privilege(c.relowner, c.oid, 'SELECT') OR NOT "                       \
    "has_any_column_privilege(c.relowner, c.oid, 'UPDATE') THEN 'its owner needs SELECT and "      \
    "UPDATE on it' "                                                                               \
    "WHEN NOT has_any_column_privilege(c.relowner, r.oid, 'SELECT') OR NOT "                       \
    "has_any_column_privilege(c.relowner, r.oid, 'INSERT') OR NOT "                                \
    "has_any_column_privilege(c.relowner, r.oid, 'UPDATE') OR w.on_delete = 'cascade' AND NOT "    \
    "has_table_privilege(c.relowner, r.oid, 'DELETE') THEN 'its owner needs SELECT, INSERT, "      \
    "UPDATE' || CASE w.on_delete WHEN 'cascade' THEN ' and DELETE' ELSE '' END || ' on its "       \
    "results' END"

/* Rows that a policy hides would be taken for deleted. */
#define SUBJECT_TO(t)                                                                              \
    " WHEN " t ".relrowsecurity AND (" t ".relforcerowsecurity OR NOT pg_has_role(c.relowner, " t  \
    ".relowner, 'USAGE')) AND NOT EXISTS (SELECT FROM pg_authid u WHERE u.oid = c.relowner AND "   \
    "(u.rolsuper OR u.rolbypassrls)) THEN 'its owner is subject to row-level security on "
#define IS_HIDDEN "CASE" SUBJECT_TO("c") "it'" SUBJECT_TO("r") "its results' END"

/* Sources and results are looked up by name. What is missing is said in the watch. */
static void
resolve_watches(void *arg)
{
    Arguments a = {0};

    follow_renamed();
    add_rests(&a);
    run_kept_sql(
        "WITH seen AS (SELECT w.id, c.oid AS source, CASE WHEN c.oid IS NULL THEN 'its table does "
        "not exist' "
        "WHEN t.oid IS NULL THEN 'its trigger does not exist' "
        "WHEN t.tgenabled = 'D' THEN 'its trigger is disabled' "
        "WHEN r.oid IS NULL THEN 'its table of results does not exist' "
        "WHEN NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = "
        "w.doc_column AND NOT a.attisdropped) THEN 'its column does not exist' "
        "WHEN NOT EXISTS (SELECT FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid WHERE "
        "a.attrelid = c.oid AND a.attname = w.doc_column AND 'bytea'::regtype IN (y.oid, "
        "y.typbasetype)) THEN 'its column is not bytea' "
        "WHEN (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY "
        "(w.key_columns) AND NOT a.attisdropped) < cardinality(w.key_columns) "
        "THEN 'a column of its key does not exist' "
        "WHEN NOT " IS_UNIQUE " THEN 'its key is no longer unique' WHEN NOT " HAS_KEY
        " THEN 'its table of results has no unique index over key, page and version' "
        "WHEN NOT " HAS_TYPES " THEN 'a column of its key has another type than in its results' "
        "WHEN " IS_RESTORED " THEN 'pg_restore is at work' ELSE coalesce(" MAY_NOT ", " IS_HIDDEN
        ", (SELECT why FROM unnest($1, $2) r(watch, why) WHERE r.watch = w.id)) END AS problem "
        "FROM dsocr.watch w "
        "LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace) ON c.relname = "
        "w.source_table AND n.nspname = w.source_schema "
        "LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = 'dsocr_watch_' || w.id AND "
        "t.tgfoid = 'dsocr.enqueue()'::regprocedure "
        "LEFT JOIN (pg_class r JOIN pg_namespace m ON m.oid = r.relnamespace) ON r.relname = "
        "w.result_table AND m.nspname = w.result_schema), "
        "met AS (INSERT INTO dsocr.served (watch, part, filenode) SELECT id, source, 0 FROM seen s "
        "WHERE problem IS NULL AND NOT EXISTS (SELECT FROM dsocr.served v WHERE v.watch = s.id AND "
        "v.part = s.source) ON CONFLICT DO NOTHING) "
        "UPDATE dsocr.watch w SET problem = s.problem FROM seen s WHERE s.id = w.id AND s.problem "
        "IS DISTINCT FROM w.problem",
        &a);
}

static uint64
turn_of(int watch)
{
    for (int i = 0; i < me.nserved; i++)
        if (me.served[i].watch == watch)
            return me.served[i].turn;
    return 0;
}

/* A watch that was restored a moment ago has had no problem where it was dumped, and has not been looked up here. */
static void
list_watches(void *arg)
{
    Arguments a = {0};
    Served *served;
    uint64 n;

    add_rests(&a);
    n = run_kept_sql("SELECT id, priority, backfill FROM (SELECT id, priority, backfill FROM "
                     "dsocr.watch w WHERE NOT paused AND problem IS NULL AND EXISTS (SELECT FROM "
                     "dsocr.served v WHERE v.watch = w.id AND v.filenode = 0) UNION ALL SELECT 0, "
                     "0, false) w WHERE id <> ALL ($1) AND $2 IS NOT NULL",
                     &a);
    served = MemoryContextAllocZero(TopMemoryContext, sizeof(Served) * (n + 1));
    for (uint64 i = 0; i < n; i++)
    {
        served[i].watch = (int)got_bigint(i, 1, 0);
        served[i].priority = (int)got_bigint(i, 2, 0);
        served[i].backfill = got_bool(i, 3);
        served[i].turn = turn_of(served[i].watch);
    }
    if (me.served)
        pfree(me.served);
    me.served = served;
    me.nserved = (int)n;
}

typedef struct Problem
{
    int watch;
    bool found;
} Problem;

static void
find_problem(void *arg)
{
    Problem *p = arg;
    Arguments a = {0};

    resolve_watches(NULL);
    add_int(&a, p->watch);
    p->found =
        run_kept_sql("SELECT FROM dsocr.watch WHERE id = $1 AND problem IS NOT NULL", &a) > 0;
}

bool
has_problem(int watch)
{
    Problem p = {.watch = watch};

    attempt_or_log("looking for what is the matter with a watch", find_problem, &p);
    return p.found;
}

void
refresh_watches(void)
{
    me.stale = false;
    attempt_or_log("looking up watches", resolve_watches, NULL);
    attempt_or_log("listing watches", list_watches, NULL);
}

static void
backfill_one(void *arg)
{
    Served *s = arg;

    s->backfill = store_backfill(s->watch);
}

/* A chunk for each watch that has one to come. True: some did. */
bool
backfill(void)
{
    bool any = false;

    for (int i = 0; i < me.nserved; i++)
    {
        Served *s = &me.served[i];

        if (!s->backfill)
            continue;
        any = true;
        if (!attempt_or_log("asking for existing rows", backfill_one, s))
            s->backfill = false; /* until the next tick */
    }
    return any;
}

static void
find_work(void *arg)
{
    bool *found = arg;
    Arguments a = {0};
    Datum *watches = palloc(sizeof(Datum) * (me.nserved + 1));

    for (int i = 0; i < me.nserved; i++)
        watches[i] = Int32GetDatum(me.served[i].watch);
    add_argument(&a, INT4ARRAYOID,
                 PointerGetDatum(construct_array(watches, me.nserved, INT4OID, sizeof(int32), true,
                                                 TYPALIGN_INT)),
                 false);
    *found =
        run_kept_sql("SELECT FROM dsocr.job WHERE state = 'queued' AND watch = ANY ($1) LIMIT 1",
                     &a) > 0 ||
        run_kept_sql("SELECT FROM dsocr.job g JOIN dsocr.watch w ON w.id = g.watch WHERE g.state = "
                     "'gone' AND w.problem IS NULL LIMIT 1",
                     NULL) > 0;
}

bool
is_busy(void)
{
    bool found = true;

    if (me.nin_flight > 0 || me.waiting || me.lost || somebody_rests())
        return true;
    for (int i = 0; i < me.nserved; i++)
        if (me.served[i].backfill)
            return true;
    attempt_or_log("looking for jobs", find_work, &found);
    return found;
}

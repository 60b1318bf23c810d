/* queue_gone.c - notes of rows that are gone: results follow in the order of the notes, engine or no engine, paused or not.
 *
 * Many in a transaction; if one cannot be done, those before it one by one, and it is put off. What shares a key with one
 * that was put off waits for it. */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/memutils.h"

#include "queue_worker.h"
#include "state.h"

#define NOTES_MAX 500 /* of one transaction */

/* Notes, in their order. */
typedef struct Notes
{
    int n;
    bool more; /* of the last one */
    Gone of[NOTES_MAX];
} Notes;

/* In the turn's context; 0: NULL. */
static Datum
got_key(uint64 row, int column)
{
    bool null;
    Datum key = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &null);
    MemoryContext old = MemoryContextSwitchTo(me.turn);

    key = null ? (Datum)0 : PointerGetDatum(PG_DETOAST_DATUM_COPY(key));
    MemoryContextSwitchTo(old);
    return key;
}

/* A partition that is emptied or dropped by itself tells nobody. It is seen by its file, and noted like TRUNCATE. What is
 * detached stays remembered: its rows are still there. */
static void
look_at_partitions(void *arg)
{
    run_kept_sql(
        "WITH RECURSIVE source AS (SELECT w.id AS watch, c.oid AS part FROM dsocr.watch w JOIN "
        "pg_class c ON c.relname = w.source_table AND c.relkind = 'p' JOIN pg_namespace n ON n.oid "
        "= c.relnamespace AND n.nspname = w.source_schema WHERE w.on_delete = 'cascade' AND "
        "w.problem IS NULL), "
        "tree AS (SELECT watch, part FROM source UNION ALL SELECT t.watch, i.inhrelid FROM tree t "
        "JOIN pg_inherits i ON i.inhparent = t.part AND NOT i.inhdetachpending), "
        "known AS (INSERT INTO dsocr.served (watch, part, filenode) SELECT t.watch, t.part, "
        "c.relfilenode FROM tree t JOIN pg_class c ON c.oid = t.part AND c.relkind = 'r' WHERE NOT "
        "EXISTS (SELECT FROM dsocr.served p WHERE p.watch = t.watch AND p.part = t.part) ON "
        "CONFLICT DO NOTHING), "
        "dropped AS (DELETE FROM dsocr.served p USING source s WHERE s.watch = p.watch AND "
        "p.filenode <> 0 AND NOT "
        "EXISTS (SELECT FROM pg_class c WHERE c.oid = p.part) RETURNING p.watch), "
        "emptied AS (UPDATE dsocr.served p SET filenode = c.relfilenode FROM source s, pg_class "
        "c WHERE s.watch = p.watch AND c.oid = p.part AND p.filenode <> 0 AND c.relfilenode <> "
        "p.filenode RETURNING "
        "p.watch) "
        "INSERT INTO dsocr.job (watch, key, becomes, state) SELECT watch, '{}', '{}', 'gone' FROM "
        "(SELECT watch FROM dropped UNION SELECT watch FROM emptied) p",
        NULL);
}

void
notice_partitions(void)
{
    attempt_or_log("looking at partitions", look_at_partitions, NULL);
}

static void
list_notes(void *arg)
{
    Notes *notes = arg;

    notes->n = (int)run_kept_sql(
        "SELECT g.id, g.watch, g.attempts, g.key, g.becomes FROM dsocr.job g JOIN dsocr.watch w ON "
        "w.id = g.watch WHERE g.state = 'gone' AND w.problem IS NULL AND EXISTS (SELECT FROM "
        "dsocr.served v WHERE v.watch = w.id AND v.filenode = 0) AND (g.not_before IS NULL OR "
        "g.not_before <= clock_timestamp()) AND NOT EXISTS (SELECT FROM dsocr.job o WHERE o.watch "
        "= "
        "g.watch AND (o.key = g.key OR o.key = g.becomes OR o.becomes = g.key OR o.becomes = "
        "g.becomes) AND o.state = 'gone' AND o.id < g.id AND o.not_before > clock_timestamp()) "
        "ORDER BY g.id LIMIT 500",
        NULL);
    for (int i = 0; i < notes->n; i++)
        notes->of[i] = (Gone){.job = got_bigint(i, 1, 0),
                              .watch = (int)got_bigint(i, 2, 0),
                              .attempts = (int)got_bigint(i, 3, 0),
                              .key = got_key(i, 4),
                              .becomes = got_key(i, 5)};
}

static void
follow_notes(void *arg)
{
    Notes *notes = arg;

    notes->more = false;
    if (notes->n > 1)
        wait_for_nobody();
    for (int i = 0; i < notes->n && !notes->more; i++)
        notes->more = store_gone(&notes->of[i]);
}

/* Why, and until when. */
typedef struct PutOff
{
    const Gone *note;
    const char *why;
} PutOff;

static void
put_off(void *arg)
{
    const PutOff *p = arg;
    Arguments a = {0};

    add_bigint(&a, p->note->job);
    add_text(&a, p->why);
    add_argument(&a, FLOAT8OID, Float8GetDatum(backoff_ms(p->note->attempts) / 1000.0), false);
    run_kept_sql("UPDATE dsocr.job SET attempts = attempts + 1, error_code = 'store_failed', "
                 "error_message = $2, not_before = clock_timestamp() + make_interval(secs => $3) "
                 "WHERE id = $1 AND state = 'gone'",
                 &a);
}

static void
follow_one_by_one(const Notes *notes)
{
    for (int i = 0; i < notes->n; i++)
    {
        Notes one = {.n = 1, .of = {notes->of[i]}};
        ErrorData *error = attempt("following a row that is gone", follow_notes, &one);

        if (error == NULL && !one.more)
            continue;
        if (error)
            attempt_or_log("putting a row that is gone off", put_off,
                           &(PutOff){&notes->of[i], error->message ? error->message : "unknown"});
        return;
    }
}

/* True: there may be more. */
bool
follow_gone(void)
{
    Notes *notes = MemoryContextAllocZero(me.turn, sizeof *notes);

    if (!attempt_or_log("looking for rows that are gone", list_notes, notes) || notes->n == 0)
        return false;
    if (attempt("following rows that are gone", follow_notes, notes) == NULL)
        return notes->more || notes->n == NOTES_MAX;
    follow_one_by_one(notes);
    return true;
}

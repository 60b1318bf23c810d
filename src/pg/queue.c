/* queue.c - the background worker that claims jobs of its database, has the engine read, and stores what comes back.
 *
 * One per database, by a lock on the extension: so what is claimed when it starts was claimed by a worker that is
 * gone, and is queued again. It keeps the engine's slots full from one loop, holds no snapshot and no lock on anything
 * of the user's while it waits, and leaves when it has been idle, or when somebody wants the database or the
 * extension for himself. Sharp edge: an ERROR in a transaction is a matter of one job and never ends the loop. */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "answer.h"
#include "client.h"
#include "module.h"
#include "queue.h"
#include "state.h"
#include "store.h"

#define IDLE_S        10 /* it leaves after this */
#define TICK_MS       1000
#define HOUSEKEEPING  60 /* ticks */
#define IN_FLIGHT_MAX 64
#define BACKOFF_MAX_S 300
#define CRASHES_MAX   2 /* of the engine, while it read this document and nothing else */

extern PGDLLEXPORT void dsocr_queue_main(Datum arg) pg_attribute_noreturn();

/* A watch that can be served now; 0 stands for the inbox. */
typedef struct Served
{
    int watch, priority;
    bool backfill;
    uint64 turn; /* when something was last claimed for it */
} Served;

/* All of the worker's own. */
typedef struct Worker
{
    QueueSlot *slot;
    Oid extension;
    Client *client;
    MemoryContext jobs, answers, turn;
    Job *in_flight[IN_FLIGHT_MAX];
    int nin_flight;
    Size bytes;              /* of documents in flight */
    Job *finished, *waiting; /* answered; claimed, but there was no room yet */
    int done,
        pace; /* in this second; what is done in 50 ms, at most half of what may be in flight */
    Served *served; /* [nserved], in TopMemoryContext */
    int nserved;
    uint64 turns;
    bool suspects; /* some job may be one */
    bool look;     /* the queue may hold something that can be claimed */
    TimestampTz last_tick, last_busy;
    int ticks;
} Worker;

static Worker me;

/* ---- transactions ---- */

typedef void (*Work)(void *arg);

static void
begin_transaction(void)
{
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end_transaction(void)
{
    SPI_finish();
    PopActiveSnapshot();
    CommitTransactionCommand();
}

/* Does the work in a transaction. NULL: it is committed; else it is rolled back, and this is why, in the turn's context. */
static ErrorData *
attempt(const char *what, Work work, void *arg)
{
    ErrorData *volatile error = NULL;

    pgstat_report_activity(STATE_RUNNING, what);
    PG_TRY();
    {
        begin_transaction();
        work(arg);
        end_transaction();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(me.turn);
        error = CopyErrorData();
        FlushErrorState();
        AbortCurrentTransaction();
    }
    PG_END_TRY();
    MemoryContextSwitchTo(me.turn);
    pgstat_report_stat(false);
    pgstat_report_activity(STATE_IDLE, NULL);
    return error;
}

/* For work that has no job to blame: the log says so, and the next tick tries again. */
static bool
attempt_or_log(const char *what, Work work, void *arg)
{
    ErrorData *error = attempt(what, work, arg);

    if (error == NULL)
        return true;
    ereport(LOG, (errcode(error->sqlerrcode),
                  errmsg("dsocr queue: %s: %s", what, error->message ? error->message : "unknown"),
                  error->detail ? errdetail_internal("%s", error->detail) : 0));
    return false;
}

/* ---- items ---- */

static Job *
make_item(int watch, Datum key)
{
    MemoryContext context = AllocSetContextCreate(me.jobs, "dsocr job", ALLOCSET_SMALL_SIZES);
    MemoryContext old = MemoryContextSwitchTo(context);
    Job *item = palloc0(sizeof *item);

    item->context = context;
    item->watch = watch;
    item->key = PointerGetDatum(PG_DETOAST_DATUM_COPY(key));
    MemoryContextSwitchTo(old);
    return item;
}

static void
note_in_flight(void)
{
    pg_atomic_write_u32(&me.slot->in_flight, me.nin_flight);
}

static void
forget_item(Job *item)
{
    for (int i = 0; i < me.nin_flight; i++)
        if (me.in_flight[i] == item)
        {
            me.in_flight[i] = me.in_flight[--me.nin_flight];
            me.bytes -= item->bytes;
            break;
        }
    note_in_flight();
    MemoryContextDelete(item->context);
}

/* ---- how jobs end that were not read ---- */

/* What becomes of a claim that is given back. */
typedef struct GiveBack
{
    Job *item;
    bool suspect, attempt, crash;
    int delay_ms;
    const char *code, *message;
} GiveBack;

static void
give_back_claim(void *arg)
{
    GiveBack *g = arg;
    Arguments a = {0};

    add_bigint(&a, g->item->token);
    add_bool(&a, g->suspect);
    add_int(&a, g->attempt ? 1 : 0);
    add_int(&a, g->crash ? 1 : 0);
    add_argument(&a, FLOAT8OID, Float8GetDatum(g->delay_ms / 1000.0), false);
    add_text(&a, g->code);
    add_text(&a, g->message);
    run_kept_sql(
        "UPDATE dsocr.job SET state = 'queued', token = NULL, suspect = $2, "
        "attempts = attempts + $3, crashes = crashes + $4, error_code = coalesce($6, error_code), "
        "error_message = coalesce($7, error_message), not_before = clock_timestamp() + "
        "make_interval(secs => $5) WHERE token = $1 AND state = 'claimed'",
        &a);
}

static void
give_back(GiveBack g)
{
    me.suspects |= g.suspect;
    attempt_or_log("giving a job back", give_back_claim, &g);
}

/* What is given up, and why. */
typedef struct Burial
{
    Job *item;
    const AnswerError *e;
    bool with_row;
} Burial;

static void
bury(void *arg)
{
    Burial *b = arg;

    store_dead(b->item, b->e, b->with_row);
}

static void
give_up(Job *item, const AnswerError *e)
{
    Burial b = {.item = item, .e = e, .with_row = true};
    ErrorData *error = attempt("giving a job up", bury, &b);

    if (error == NULL)
        return;
    b.with_row = false; /* the results' table does not take it; the job tells all the same */
    attempt_or_log("giving a job up", bury, &b);
}

/* 1, 2, 4 ... 300 s, half of it by chance, so that jobs that failed together do not come back together. */
static int
backoff_ms(int attempts)
{
    double ms = (double)dsocr_retry_delay * (1 << Min(attempts, 20));

    ms = Min(ms, BACKOFF_MAX_S * 1000.0);
    return (int)(ms / 2 + ms / 2 * (random() % 1000) / 1000);
}

static void
try_again_later(Job *item, const AnswerError *e)
{
    item->attempts++;
    if (item->attempts >= dsocr_max_attempts)
        give_up(item, e);
    else
        give_back((GiveBack){.item = item,
                             .suspect = item->suspect,
                             .attempt = true,
                             .delay_ms = backoff_ms(item->attempts - 1),
                             .code = e->code,
                             .message = e->message});
}

static const AnswerError *
crash_error(void)
{
    return answer_error_made(ERRCODE_SYSTEM_ERROR, "engine_crash",
                             "the engine ended twice while it read this document and nothing else",
                             NULL, NULL);
}

/* The engine died, and this was being read. Who was alone in it is to blame. */
static void
engine_lost(Job *item, const AnswerError *e)
{
    if (item->suspect && ++item->crashes >= CRASHES_MAX)
    {
        blob_refuse(item->sha256, item->bytes);
        give_up(item, crash_error());
        return;
    }
    give_back((GiveBack){.item = item,
                         .suspect = true,
                         .crash = item->suspect,
                         .code = e->code,
                         .message = e->message});
}

static void
not_answered(Job *item, const AnswerError *e)
{
    if (strcmp(e->code, "again") == 0)
        give_back((GiveBack){.item = item, .suspect = item->suspect});
    else if (strcmp(e->code, "lost") == 0)
        engine_lost(item, e);
    else if (strcmp(e->code, "not_ready") == 0 || strcmp(e->code, "busy") == 0)
        give_back((GiveBack){.item = item,
                             .suspect = item->suspect,
                             .delay_ms = dsocr_retry_delay,
                             .code = e->code,
                             .message = e->message});
    else if (strcmp(e->code, "broken") == 0 || strcmp(e->code, "cancelled") == 0)
        try_again_later(item, e);
    else
        give_up(item, e);
}

/* A transaction of the job's failed. */
static void
not_stored(Job *item, ErrorData *error)
{
    int state = error->sqlerrcode, class = ERRCODE_TO_CATEGORY(state);
    AnswerError *e =
        answer_error_made(state, "store_failed", error->message ? error->message : "unknown",
                          error->detail, error->hint);
    bool of_the_moment =
        class == ERRCODE_INSUFFICIENT_RESOURCES || class == ERRCODE_OPERATOR_INTERVENTION ||
        state == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE || state == ERRCODE_UNDEFINED_TABLE ||
        state == ERRCODE_UNDEFINED_COLUMN || state == ERRCODE_UNDEFINED_SCHEMA;

    ereport(LOG, (errcode(state), errmsg("dsocr queue: job " INT64_FORMAT " of watch %d: %s",
                                         item->newest, item->watch, e->message)));
    if (of_the_moment)
        give_back((GiveBack){.item = item,
                             .suspect = item->suspect,
                             .delay_ms = Max(1000, dsocr_retry_delay),
                             .code = e->code,
                             .message = e->message});
    else if (state == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
    {
        e->code = "limit";
        give_up(item, e);
    }
    else if (state == ERRCODE_LOCK_NOT_AVAILABLE || class == ERRCODE_TRANSACTION_ROLLBACK ||
             state == ERRCODE_FOREIGN_KEY_VIOLATION || state == ERRCODE_SYSTEM_ERROR ||
             class == ERRCODE_INTERNAL_ERROR || state == ERRCODE_INSUFFICIENT_PRIVILEGE)
        try_again_later(item, e);
    else
        give_up(item, e);
}

/* ---- what the engine has answered ---- */

static void
store(void *arg)
{
    store_answer(arg);
}

static void
finish(Job *item)
{
    ErrorData *error;

    if (item->question.error)
        not_answered(item, item->question.error);
    else if ((error = attempt("storing a result", store, item)) != NULL)
        not_stored(item, error);
    if (item->question.reply)
        pfree(item->question.reply);
    forget_item(item);
}

static void
answered(int index, Question *q, void *arg)
{
    Job *item = (Job *)((char *)q - offsetof(Job, question));

    item->next = me.finished;
    me.finished = item;
}

/* True: some were. */
static bool
finish_answered(void)
{
    if (me.finished == NULL)
        return false;
    while (me.finished)
    {
        Job *item = me.finished;

        me.finished = item->next;
        finish(item);
        me.done++;
    }
    if (client_busy(me.client) == 0)
        MemoryContextReset(me.answers); /* what errors have left */
    return true;
}

/* ---- claiming ---- */

static bool
engine_ready(void)
{
    return pg_atomic_read_u32(&engine_state->state) == ENGINE_READY;
}

/* How many more may be asked for. A few more than the engine has slots: the next page is encoded ahead. */
static int
room(void)
{
    int slots = Max(1, (int)pg_atomic_read_u32(&engine_state->slots));
    int ahead = Min(slots / 2 + 1, dsocr_max_waiting / 4);

    if (me.bytes >= (Size)dsocr_max_inflight_kb * 1024 / 2)
        return 0;
    return Min(slots + ahead, IN_FLIGHT_MAX) - me.nin_flight;
}

/* One claim's request and yield. */
typedef struct Claim
{
    int watch, limit;
    bool suspect;
    List *items;
} Claim;

/* A page of the queue: what could be claimed. */
typedef struct Candidates
{
    int n;
    int64 last; /* id */
    Datum keys[IN_FLIGHT_MAX];
} Candidates;

static void
find_candidates(const Claim *c, Candidates *found)
{
    Arguments a = {0};

    add_int(&a, c->watch);
    add_bool(&a, c->suspect);
    add_bigint(&a, found->last);
    found->n = (int)run_kept_sql(
        "SELECT id, key FROM dsocr.job WHERE state = 'queued' AND watch = $1 AND suspect = $2 AND "
        "id > $3 "
        "AND (not_before IS NULL OR not_before <= clock_timestamp()) ORDER BY id LIMIT 64",
        &a);
    for (int i = 0; i < found->n; i++)
    {
        bool null;

        found->last = got_bigint(i, 1, 0);
        found->keys[i] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &null);
    }
}

static bool
same_key(const Job *item, int watch, struct varlena *key)
{
    const struct varlena *other = (struct varlena *)DatumGetPointer(item->key);

    return item->watch == watch && VARSIZE_ANY(other) == VARSIZE_ANY(key) &&
           memcmp(other, key, VARSIZE_ANY(key)) == 0;
}

/* A key that is being read is left alone until it is done. */
static bool
is_claimed(int watch, Datum key)
{
    struct varlena *plain = PG_DETOAST_DATUM(key);

    for (int i = 0; i < me.nin_flight; i++)
        if (same_key(me.in_flight[i], watch, plain))
            return true;
    for (Job *item = me.waiting; item; item = item->next)
        if (same_key(item, watch, plain))
            return true;
    return false;
}

/* All rows of a key are claimed together. Said so that the index of keys is used, not that of queued jobs. */
static void
claim_key(Claim *c, Datum key, int64 token)
{
    Arguments a = {0};
    Job *item;
    uint64 n;

    add_int(&a, c->watch);
    add_argument(&a, TEXTARRAYOID, key, false);
    add_bigint(&a, token);
    n = run_kept_sql(
        "UPDATE dsocr.job SET state = 'claimed', token = $3, claimed_at = clock_timestamp() "
        "WHERE watch = $1 AND key = $2 AND state NOT IN ('claimed', 'dead') "
        "RETURNING id, force, attempts, crashes",
        &a);
    if (n == 0)
        return; /* another row of the same key was taken just now */
    item = make_item(c->watch, key);
    item->token = token;
    item->suspect = c->suspect;
    for (uint64 i = 0; i < n; i++)
    {
        item->newest = Max(item->newest, got_bigint(i, 1, 0));
        item->force |= got_bool(i, 2);
        item->attempts = Max(item->attempts, (int)got_bigint(i, 3, 0));
        item->crashes = Max(item->crashes, (int)got_bigint(i, 4, 0));
    }
    MemoryContextSwitchTo(me.turn);
    c->items = lappend(c->items, item);
}

static void
claim(void *arg)
{
    Claim *c = arg;
    Candidates found = {0};
    int64 token;

    if (!pg_strong_random(&token, sizeof token))
        elog(ERROR, "could not draw a random token");
    token &= INT64CONST(0x3fffffffffffffff);
    do
    {
        find_candidates(c, &found);
        for (int i = 0; i < found.n && list_length(c->items) < c->limit; i++)
            if (!is_claimed(c->watch, found.keys[i]))
                claim_key(c, found.keys[i], token++);
    } while (found.n == IN_FLIGHT_MAX && list_length(c->items) < c->limit);
}

static void
open_item(void *arg)
{
    store_open(arg);
}

/* From the claim to the engine. */
static void
ask(Job *item)
{
    ErrorData *error = attempt("opening a document", open_item, item);

    me.in_flight[me.nin_flight++] = item;
    me.bytes += item->bytes;
    note_in_flight();
    if (error)
        not_stored(item, error);
    else if (item->ask && blob_is_refused(item->sha256, item->bytes))
        give_up(item, crash_error());
    else if (item->ask && client_add(me.client, &item->question))
        return;
    forget_item(item);
}

static void
ask_waiting(void)
{
    while (me.waiting && room() > 0)
    {
        Job *item = me.waiting;

        me.waiting = item->next;
        ask(item);
    }
}

/* Claims, and asks for what there is room for; the rest is next. Returns how many were claimed. */
static int
claim_and_ask(int watch, int limit, bool suspect)
{
    Claim c = {.watch = watch, .limit = limit, .suspect = suspect};
    Job **end = &me.waiting;
    ListCell *cell;

    if (!attempt_or_log("claiming jobs", claim, &c))
        return 0;
    while (*end)
        end = &(*end)->next;
    foreach (cell, c.items)
    {
        *end = lfirst(cell);
        end = &(*end)->next;
    }
    ask_waiting();
    return list_length(c.items);
}

/* Highest priority first; among equals who has waited longest. */
static int
by_priority(const void *a, const void *b)
{
    const Served *x = a, *y = b;

    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return x->turn < y->turn ? -1 : x->turn > y->turn;
}

/* True: a suspect is in the engine, or waits for the others to leave it. */
static bool
claim_suspect(void)
{
    if (!me.suspects)
        return false;
    if (me.nin_flight > 0 || me.waiting)
        return true;
    for (int i = 0; i < me.nserved; i++)
        if (claim_and_ask(me.served[i].watch, 1, true) > 0)
            return true;
    return false;
}

static void
count_suspects(void *arg)
{
    run_kept_sql("SELECT FROM dsocr.job WHERE suspect AND state = 'queued' LIMIT 1", NULL);
    me.suspects = SPI_processed > 0;
}

static void
fill(void)
{
    me.look = false;
    if (!engine_ready())
        return;
    ask_waiting();
    if (me.waiting)
        return;
    if (me.suspects && me.nin_flight == 0)
        attempt_or_log("looking for suspects", count_suspects, NULL);
    if (claim_suspect())
        return;
    qsort(me.served, me.nserved, sizeof(Served), by_priority);
    for (int i = 0; i < me.nserved && room() > 0; i++)
        if (claim_and_ask(me.served[i].watch, Max(room(), me.pace), false) > 0)
        {
            me.served[i].turn = ++me.turns;
            me.look = true;
        }
}

/* ---- watches ---- */

/* Sources and results are looked up by name, and a renamed source by its trigger. What is missing is said in the watch. */
static void
resolve_watches(void *arg)
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
    run_kept_sql(
        "WITH seen AS (SELECT w.id, CASE WHEN c.oid IS NULL THEN 'its table does not exist' "
        "WHEN t.oid IS NULL THEN 'its trigger does not exist' "
        "WHEN t.tgenabled = 'D' THEN 'its trigger is disabled' "
        "WHEN r.oid IS NULL THEN 'its table of results does not exist' "
        "WHEN NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = "
        "w.doc_column "
        "AND NOT a.attisdropped) THEN 'its column does not exist' "
        "WHEN (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY "
        "(w.key_columns) "
        "AND NOT a.attisdropped) < cardinality(w.key_columns) THEN 'a column of its key does not "
        "exist' END AS problem "
        "FROM dsocr.watch w "
        "LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace) ON c.relname = "
        "w.source_table AND n.nspname = w.source_schema "
        "LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = 'dsocr_watch_' || w.id AND "
        "t.tgfoid = 'dsocr.enqueue()'::regprocedure "
        "LEFT JOIN (pg_class r JOIN pg_namespace m ON m.oid = r.relnamespace) ON r.relname = "
        "w.result_table AND m.nspname = w.result_schema) "
        "UPDATE dsocr.watch w SET problem = s.problem FROM seen s WHERE s.id = w.id AND s.problem "
        "IS DISTINCT FROM w.problem",
        NULL);
}

static uint64
turn_of(int watch)
{
    for (int i = 0; i < me.nserved; i++)
        if (me.served[i].watch == watch)
            return me.served[i].turn;
    return 0;
}

static void
list_watches(void *arg)
{
    uint64 n = run_kept_sql("SELECT id, priority, backfill FROM dsocr.watch WHERE NOT paused AND "
                            "problem IS NULL UNION ALL SELECT 0, 0, false",
                            NULL);
    Served *served = MemoryContextAllocZero(TopMemoryContext, sizeof(Served) * n);

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

static void
refresh_watches(void)
{
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
static bool
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

/* ---- now and then ---- */

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
                     &a) > 0;
}

static bool
is_busy(void)
{
    bool found = true;

    if (me.nin_flight > 0 || me.waiting)
        return true;
    for (int i = 0; i < me.nserved; i++)
        if (me.served[i].backfill)
            return true;
    attempt_or_log("looking for jobs", find_work, &found);
    return found;
}

static void
list_claims(void *arg)
{
    List **tokens = arg;
    uint64 n = run_kept_sql("SELECT DISTINCT token FROM dsocr.job WHERE state = 'claimed'", NULL);

    for (uint64 i = 0; i < n; i++)
    {
        MemoryContext old = MemoryContextSwitchTo(me.turn);
        int64 *token = palloc(sizeof *token);

        *token = got_bigint(i, 1, 0);
        *tokens = lappend(*tokens, token);
        MemoryContextSwitchTo(old);
    }
}

/* Claims that were taken away, by dsocr_cancel or dsocr_detach, are no longer the engine's business. */
static void
drop_cancelled(void)
{
    List *tokens = NIL;

    if (me.nin_flight == 0 || planted("early") ||
        !attempt_or_log("looking for cancelled jobs", list_claims, &tokens))
        return;
    for (int i = me.nin_flight - 1; i >= 0; i--)
    {
        Job *item = me.in_flight[i];
        ListCell *cell;
        bool there = false;

        foreach (cell, tokens)
            there |= *(int64 *)lfirst(cell) == item->token;
        if (there)
            continue;
        client_drop(me.client, &item->question);
        forget_item(item);
    }
}

static void
keep_house(void *arg)
{
    Arguments a = {0};

    add_argument(&a, FLOAT8OID, Float8GetDatum(dsocr_job_retention * 60.0), false);
    run_kept_sql("WITH old AS (DELETE FROM dsocr.inbox WHERE finished_at < now() - "
                 "make_interval(secs => $1) RETURNING job) DELETE FROM dsocr.job j USING old "
                 "WHERE j.id = old.job AND j.watch = 0",
                 &a);
}

/* ---- leaving ---- */

static LOCKTAG
extension_tag(void)
{
    LOCKTAG tag;

    SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, me.extension, 0);
    return tag;
}

static bool
somebody_waits(void)
{
    LOCKTAG extension = extension_tag(), database;

    if (!planted("two") && LockHasWaiters(&extension, ShareUpdateExclusiveLock, true))
        return true;
    /* DROP DATABASE, or CREATE DATABASE ... TEMPLATE, holds a lock that keeps new sessions out. */
    SET_LOCKTAG_OBJECT(database, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
    if (LockAcquire(&database, RowExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
        return true;
    LockRelease(&database, RowExclusiveLock, true);
    return false;
}

/* The server releases a session's advisory locks at its end, and no others. */
static void
at_exit(int code, Datum arg)
{
    AbortOutOfAnyTransaction();
    LockReleaseAll(DEFAULT_LOCKMETHOD, true);
    if (pg_atomic_read_u32(&me.slot->worker) == MyProcPid)
    {
        pg_atomic_write_u32(&me.slot->in_flight, 0);
        pg_atomic_write_u32(&me.slot->worker, 0);
    }
    if (code != 0) /* not by its own wish: there may be work */
        pg_atomic_write_u32(&me.slot->wanted, 1);
    queue_wake_launcher();
}

static void
leave(bool work_is_left)
{
    if (work_is_left)
        pg_atomic_write_u32(&me.slot->wanted, 1);
    proc_exit(0);
}

/* ---- the beginning ---- */

static void
find_extension(void *arg)
{
    me.extension = get_extension_oid("dsocr", true);
    if (!OidIsValid(me.extension))
        return;
    if (run_sql("SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = "
                "e.extnamespace WHERE e.extname = 'dsocr'",
                NULL, 0) == 0)
    {
        me.extension = InvalidOid; /* dropped between the two looks */
        return;
    }
    store_home = MemoryContextStrdup(TopMemoryContext, got_string(0, 1));
}

static void
queue_again(void *arg)
{
    if (!planted("requeue"))
        run_sql("UPDATE dsocr.job SET state = 'queued', token = NULL WHERE state = 'claimed'", NULL,
                0);
    me.suspects = true; /* perhaps */
}

static void
set_for_good(const char *name, const char *value)
{
    SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

/* Whatever the database or the role has been told to use. */
static void
fix_settings(void)
{
    set_for_good("search_path", "pg_catalog, pg_temp");
    set_for_good("lock_timeout", "1s");
    set_for_good("statement_timeout", "0");
    set_for_good("default_transaction_read_only", "off");
    set_for_good("default_transaction_isolation", "read committed");
    set_for_good("idle_in_transaction_session_timeout", "0");
    set_for_good("session_replication_role", "origin");
    set_for_good("row_security", "on");
    set_for_good("DateStyle", "ISO, YMD");
    set_for_good("IntervalStyle", "postgres");
    set_for_good("TimeZone", "UTC");
    set_for_good("bytea_output", "hex");
    set_for_good("extra_float_digits", "1");
    set_for_good("lc_monetary", "C");
    set_for_good("jit", "off");
    set_for_good("enable_seqscan", "off"); /* the queue's tables change too fast for statistics */
}

/* Leaves when there is nothing to serve here, or another worker does. */
static void
take_the_place(void)
{
    LOCKTAG tag;

    attempt_or_log("looking for the extension", find_extension, NULL);
    pg_atomic_write_u32(&me.slot->has_extension, OidIsValid(me.extension) ? 2 : 1);
    pg_atomic_write_u32(&me.slot->wanted, 0);
    if (!OidIsValid(me.extension))
        proc_exit(0);
    tag = extension_tag();
    if (LockAcquire(&tag, ShareUpdateExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL &&
        !planted("two"))
        leave(true);
    pg_atomic_write_u32(&me.slot->proc, my_proc_number());
    pg_memory_barrier();
    pg_atomic_write_u32(&me.slot->worker, MyProcPid);
}

static void
set_up(Oid database)
{
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
    pgstat_report_appname("dsocr queue worker");
    fix_settings();
    me.jobs = AllocSetContextCreate(TopMemoryContext, "dsocr jobs", ALLOCSET_DEFAULT_SIZES);
    me.answers = AllocSetContextCreate(TopMemoryContext, "dsocr answers", ALLOCSET_DEFAULT_SIZES);
    me.turn = AllocSetContextCreate(TopMemoryContext, "dsocr turn", ALLOCSET_DEFAULT_SIZES);
    me.slot = queue_slot(database, true);
    if (me.slot == NULL)
        ereport(FATAL, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                        errmsg("dsocr serves at most %d databases at once", QUEUE_DATABASES)));
    before_shmem_exit(at_exit, 0);
    MemoryContextSwitchTo(me.turn);
}

/* ---- the loop ---- */

static void
tick(void)
{
    TimestampTz now = GetCurrentTimestamp();

    if (!TimestampDifferenceExceeds(me.last_tick, now, TICK_MS))
        return;
    me.last_tick = now;
    me.pace = Min(me.done / 20, IN_FLIGHT_MAX / 2);
    me.done = 0;
    if (somebody_waits())
        leave(true);
    refresh_watches();
    if (me.ticks++ % HOUSEKEEPING == 0)
        attempt_or_log("keeping house", keep_house, NULL);
    me.look = true;
    if (is_busy())
        me.last_busy = now;
    else if (TimestampDifferenceExceeds(me.last_busy, now, IDLE_S * 1000) &&
             pg_atomic_read_u32(&me.slot->wanted) == 0)
        leave(false);
}

static void
one_turn(void)
{
    bool more;

    tick();
    if (pg_atomic_exchange_u32(&me.slot->wanted, 0) != 0)
    {
        me.look = true;
        me.last_busy = GetCurrentTimestamp();
        refresh_watches();
        drop_cancelled();
    }
    more = backfill();
    if (more || me.look)
        fill();
    client_turn(me.client, answered, NULL);
    if (finish_answered())
        me.look = true;
    if (more || (me.look && engine_ready() && me.nserved > 0 && room() > 0))
        client_wait(me.client, 0);
    else
        client_wait(me.client, TICK_MS);
}

void
dsocr_queue_main(Datum arg)
{
    set_up(DatumGetObjectId(arg));
    take_the_place();
    MemoryContextSwitchTo(TopMemoryContext);
    me.client = client_open(me.answers, true);
    MemoryContextSwitchTo(me.turn);
    while (!attempt_or_log("queueing again what was being read", queue_again, NULL))
        client_wait(me.client, TICK_MS);
    me.last_busy = GetCurrentTimestamp();
    for (;;)
    {
        MemoryContextSwitchTo(me.turn);
        one_turn();
        MemoryContextReset(me.turn);
        if (ConfigReloadPending)
        {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
            fix_settings();
        }
    }
}

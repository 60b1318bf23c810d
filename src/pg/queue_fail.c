/* queue_fail.c - what becomes of jobs that were not read: given back to the queue, or given up.
 *
 * What passes is tried again, later and later; what does not is given up at once, and stays visible. An engine that dies
 * makes suspects of what it was reading: these are read alone, and only what ends the engine alone is to blame. */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "answer.h"
#include "module.h"
#include "queue_worker.h"
#include "state.h"

#define BACKOFF_MAX_S 300
#define CRASHES_MAX   2 /* of the engine, while it read this document and nothing else */

/* What becomes of a claim that is given back. */
typedef struct GiveBack
{
    Job *item;
    bool suspect, attempt, crash, is_long;
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
    add_bool(&a, g->is_long);
    run_kept_sql(
        "UPDATE dsocr.job SET state = 'queued', token = NULL, suspect = $2, "
        "long = long OR $8, "
        "attempts = attempts + $3, crashes = crashes + $4, error_code = coalesce($6, error_code), "
        "error_message = coalesce($7, error_message), not_before = clock_timestamp() + "
        "make_interval(secs => $5) WHERE token = $1 AND state = 'claimed'",
        &a);
}

static void
give_back(GiveBack g)
{
    me.suspects |= g.suspect;
    me.lost |= !attempt_or_log("giving a job back", give_back_claim, &g);
}

/* Who holds a lock on a claim, and may yet give it back, is not waited for. */
static void
find_lost(void *arg)
{
    Arguments a = {0};
    Datum *tokens = arg;
    int n = 0;

    if (planted("requeue"))
        return;
    for (int i = 0; i < me.nin_flight; i++)
        tokens[n++] = Int64GetDatum(me.in_flight[i]->token);
    for (Job *item = me.waiting; item; item = item->next)
        tokens[n++] = Int64GetDatum(item->token);
    add_argument(
        &a, INT8ARRAYOID,
        PointerGetDatum(construct_array(tokens, n, INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE)),
        false);
    run_kept_sql("UPDATE dsocr.job j SET state = 'queued', token = NULL FROM (SELECT id FROM "
                 "dsocr.job WHERE state = 'claimed' AND token <> ALL ($1) FOR UPDATE SKIP LOCKED) "
                 "free WHERE j.id = free.id AND j.state = 'claimed'",
                 &a);
    me.lost = run_kept_sql("SELECT FROM dsocr.job WHERE state = 'claimed' AND token <> ALL ($1) "
                           "LIMIT 1",
                           &a) > 0;
}

/* Claims of nobody: a worker that is gone has left them, a restore brings them, and the disk may have been too full for the
 * queue itself. */
void
queue_lost_again(void)
{
    int n = me.nin_flight;

    for (Job *item = me.waiting; item; item = item->next)
        n++;
    me.lost |= !attempt_or_log("queueing again what nobody reads", find_lost,
                               palloc(sizeof(Datum) * (n + 1)));
}

void
give_back_long(Job *item)
{
    me.longs = true;
    give_back((GiveBack){.item = item, .is_long = true});
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

void
give_up(Job *item, const AnswerError *e)
{
    Burial b = {.item = item, .e = e, .with_row = true};
    ErrorData *error = attempt("giving a job up", bury, &b);

    if (error == NULL)
        return;
    b.with_row = false; /* the results' table does not take it; the job tells all the same */
    me.lost |= !attempt_or_log("giving a job up", bury, &b);
}

/* 1, 2, 4 ... 300 s, half of it by chance, so that jobs that failed together do not come back together. */
int
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

/* Somebody holds the row, for as long as he likes: that is no fault of the document, which is never given up for it. */
static void
wait_for_others(Job *item, const AnswerError *e)
{
    bool counted = item->attempts + 1 < dsocr_max_attempts;

    give_back((GiveBack){.item = item,
                         .suspect = item->suspect,
                         .attempt = counted,
                         .delay_ms = backoff_ms(item->attempts),
                         .code = e->code,
                         .message = e->message});
}

void
not_tried(Job *item, const Job *tried, const ErrorData *error)
{
    give_back((GiveBack){.item = item,
                         .suspect = item->suspect,
                         .delay_ms = backoff_ms(tried->attempts),
                         .code = "store_failed",
                         .message = psprintf("not tried, since another of its table was: %s",
                                             error->message ? error->message : "unknown")});
}

const AnswerError *
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

void
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

/* That is no fault of the document either. */
static void
come_back(Job *item, const AnswerError *e)
{
    give_back((GiveBack){.item = item,
                         .suspect = item->suspect,
                         .delay_ms = Max(1000, dsocr_retry_delay),
                         .code = e->code,
                         .message = e->message});
}

/* A transaction of the job's failed. */
void
not_stored(Job *item, ErrorData *error)
{
    int state = error->sqlerrcode, class = ERRCODE_TO_CATEGORY(state);
    AnswerError *e =
        answer_error_made(state, "store_failed", error->message ? error->message : "unknown",
                          error->detail, error->hint);
    bool no_room = state == ERRCODE_DISK_FULL || state == ERRCODE_IO_ERROR;
    bool of_the_moment = no_room || class == ERRCODE_INSUFFICIENT_RESOURCES ||
                         class == ERRCODE_OPERATOR_INTERVENTION ||
                         state == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
                         state == ERRCODE_UNDEFINED_TABLE || state == ERRCODE_UNDEFINED_COLUMN ||
                         state == ERRCODE_UNDEFINED_SCHEMA ||
                         (state == ERRCODE_INSUFFICIENT_PRIVILEGE && has_problem(item->watch));

    ereport(LOG, (errcode(state), errmsg("dsocr queue: job " INT64_FORMAT " of watch %d: %s",
                                         item->newest, item->watch, e->message)));
    if (no_room)
        rest_watch(item->watch, state, e->message);
    if (of_the_moment)
        come_back(item, e);
    else if (state == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
    {
        e->code = "limit";
        give_up(item, e);
    }
    else if (state == ERRCODE_LOCK_NOT_AVAILABLE || class == ERRCODE_TRANSACTION_ROLLBACK)
        wait_for_others(item, e);
    else if (state == ERRCODE_FOREIGN_KEY_VIOLATION || state == ERRCODE_SYSTEM_ERROR ||
             class == ERRCODE_INTERNAL_ERROR || state == ERRCODE_INSUFFICIENT_PRIVILEGE)
        try_again_later(item, e);
    else if (has_problem(item->watch))
        come_back(item, e);
    else
        give_up(item, e);
}

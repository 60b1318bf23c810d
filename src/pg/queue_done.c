/* queue_done.c - what the engine says of documents that are being read, and what is no longer wanted of it.
 *
 * A page that comes before the rest is kept in a transaction of its own, so that a document goes on where it was when
 * anything dies. */
#include "compat.h"

#include "executor/spi.h"
#include "utils/memutils.h"

#include "queue_worker.h"
#include "state.h"

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

void
answered(int index, Question *q, void *arg)
{
    Job *item = (Job *)((char *)q - offsetof(Job, question));

    item->next = me.finished;
    me.finished = item;
}

/* True: some were. */
bool
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
void
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

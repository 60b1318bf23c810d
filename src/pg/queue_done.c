/* queue_done.c - what the engine says of documents that are being read, and what is no longer wanted of it.
 *
 * A page that comes before the rest is kept in a transaction of its own, so that a document goes on where it was when
 * anything dies. */
#include "compat.h"

#include "executor/spi.h"
#include "utils/memutils.h"

#include "queue_worker.h"
#include "state.h"
#include "store_pages.h"

#define BATCH_MS    50
#define BATCH_BYTES (256 * 1024) /* of an answer that is stored with others */

/* ---- pages that come before the rest ---- */

typedef struct Keep
{
    Job *item;
    bool wanted; /* so is the rest */
} Keep;

static void
keep_first_page(void *arg)
{
    Keep *k = arg;
    const Part *part = k->item->question.parts;

    k->wanted = store_page(k->item, part->json, part->n);
}

static void
drop(Job *item)
{
    client_drop(me.client, &item->question);
    forget_item(item);
}

/* False: the item is gone. */
static bool
keep_pages(Job *item)
{
    while (item->question.parts)
    {
        Part *part = item->question.parts;
        Keep k = {.item = item};
        ErrorData *error = attempt("keeping a page", keep_first_page, &k);

        if (error)
            not_stored(item, error);
        if (error || !k.wanted)
        {
            drop(item);
            return false;
        }
        item->nread++;
        item->question.parts = part->next;
        client_free_part(part);
    }
    return true;
}

static void
tell_page_count(void *arg)
{
    Job *item = arg;

    store_page_count(item, item->said_pages);
}

/* False: the item is gone, or nothing new is known. */
static bool
keep_parts_of(Job *item)
{
    if (item->question.parts)
    {
        if (!keep_pages(item))
            return false;
        item->said_pages = item->page_count;
        item->left = pages_left(item);
        return true;
    }
    if (item->question.pages == 0 || item->said_pages > 0)
        return false;
    item->left = item->question.pages;
    item->said_pages = item->question.pages + item->nkept;
    attempt_or_log("telling how many pages there are", tell_page_count, item);
    return true;
}

/* ---- answers ---- */

typedef struct Batch
{
    Job *items[IN_FLIGHT_MAX]; /* [n] */
    int n, stored, ms;
} Batch;

static void
store(void *arg)
{
    Batch *b = arg;

    b->stored = store_answers(b->items, b->n, b->ms);
}

static void
finish(Job *item)
{
    Batch b = {.items = {item}, .n = 1};
    ErrorData *error;

    if (!keep_pages(item))
        return;
    if (item->question.error)
        not_answered(item, item->question.error);
    else if ((error = attempt("storing a result", store, &b)) != NULL)
        not_stored(item, error);
    else
        has_stored(item->watch);
    forget_item(item);
}

/* Others are to have its place. The engine may have read more meanwhile, perhaps all of it: that is not read again. */
static void
leave_place(Job *item)
{
    me.look = true;
    if (client_hang_up(me.client, &item->question))
        finish(item);
    else if (keep_pages(item))
    {
        give_back_long(item);
        forget_item(item);
    }
}

void
keep_parts(void)
{
    for (int i = me.nin_flight - 1; i >= 0; i--)
    {
        Job *item = me.in_flight[i];

        if (keep_parts_of(item) && !may_stay(item))
            leave_place(item);
    }
}

static void
store_at_once(void *arg)
{
    wait_for_nobody();
    store(arg);
}

/* What can be stored again after an error. */
static bool
may_share(const Job *item)
{
    return !item->question.error && !item->question.parts && !item->has_pages &&
           item->question.nreply <= BATCH_BYTES;
}

/* The first answers in one transaction, since a commit is dear; rows are locked for a twentieth of a second. Returns how
 * many have to be stored by themselves. */
static int
finish_together(void)
{
    Batch b = {.ms = BATCH_MS};

    for (Job *item = me.finished; item && may_share(item); item = item->next)
        b.items[b.n++] = item;
    if (b.n < 2 || attempt("storing results", store_at_once, &b) != NULL)
        return Max(1, b.n);
    for (int i = 0; i < b.stored; i++)
    {
        me.finished = b.items[i]->next;
        has_stored(b.items[i]->watch);
        forget_item(b.items[i]);
        me.done++;
    }
    return 0;
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
        for (int alone = finish_together(); alone > 0; alone--)
        {
            Job *item = me.finished;

            me.finished = item->next;
            finish(item);
            me.done++;
        }
    if (client_busy(me.client) == 0)
        MemoryContextReset(me.answers); /* its blocks: nothing is in them */
    return true;
}

/* ---- what is no longer wanted ---- */

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

static bool
is_claim(const List *tokens, const Job *item)
{
    ListCell *cell;

    foreach (cell, tokens)
        if (*(int64 *)lfirst(cell) == item->token)
            return true;
    return false;
}

/* Claims that were taken away, by dsocr_cancel or dsocr_detach, are no longer the engine's business. */
void
drop_cancelled(void)
{
    List *tokens = NIL;
    Job **at = &me.waiting;

    if ((me.nin_flight == 0 && me.waiting == NULL) || planted("early") ||
        !attempt_or_log("looking for cancelled jobs", list_claims, &tokens))
        return;
    for (int i = me.nin_flight - 1; i >= 0; i--)
        if (!is_claim(tokens, me.in_flight[i]))
            drop(me.in_flight[i]);
    while (*at)
    {
        Job *item = *at;

        if (is_claim(tokens, item))
        {
            at = &item->next;
            continue;
        }
        *at = item->next;
        forget_item(item);
    }
}

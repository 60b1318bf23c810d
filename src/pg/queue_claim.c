/* queue_claim.c - from a job to a question: claims jobs, takes their documents out, and asks the engine.
 *
 * All rows of a key are claimed together, and a key that is being read is left alone until it is done. A few more are
 * asked for than the engine has slots, so that these are always full. Oldest first; but what is known to be long has a line
 * of its own and few places, else some documents of 500 pages would have all of them for hours: as many are read at once as
 * have pages for the engine's slots, two at least. */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "module.h"
#include "queue_worker.h"
#include "state.h"

#define OPENED_BYTES                                                                               \
    (1024 * 1024) /* of documents that are opened in one transaction, and one more */

#define LONG_PAGES  10 /* are not long yet */
#define LONG_LEAST  2  /* read at once */
#define LONG_PLACES 8

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

static int
engine_slots(void)
{
    return Max(1, (int)pg_atomic_read_u32(&engine_state->slots));
}

/* Those that are long, in flight. */
typedef struct Longs
{
    int n, pages; /* pages that are left to read */
    Size bytes;
} Longs;

static Longs
count_long(void)
{
    Longs l = {0};

    for (int i = 0; i < me.nin_flight; i++)
    {
        const Job *item = me.in_flight[i];

        if (!item->is_long)
            continue;
        l.n++;
        l.pages += item->left > 0 ? item->left : LONG_PAGES;
        l.bytes += item->bytes;
    }
    return l;
}

/* How many more may be asked for, apart from long ones. A few more than the engine has slots: the next page is encoded
 * ahead. */
int
room(void)
{
    int slots = engine_slots(), ahead = Min(slots / 2 + 1, dsocr_max_waiting / 4);

    if (me.bytes >= (Size)dsocr_max_inflight_kb * 1024 / 2)
        return 0;
    return Min(slots + ahead, IN_FLIGHT_MAX - LONG_PLACES) - me.nin_flight + count_long().n;
}

/* What is heavier counts as long, however many pages it has: the engine takes three eighths of max_inflight_bytes from all
 * queues, and one of the largest documents beside one that is not heavy leaves room for others. */
static Size
heavy_bytes(void)
{
    return (Size)dsocr_max_inflight_kb * 1024 / 16;
}

/* Nothing long is begun while a suspect waits for the engine to be empty. */
static bool
long_has_room(void)
{
    Longs l = count_long();

    for (const Job *item = me.waiting; item; item = item->next)
        if (item->is_long)
        {
            l.n++;
            l.pages += LONG_PAGES;
        }
    return !me.suspects && l.bytes <= heavy_bytes() && l.n < LONG_PLACES &&
           (l.n < LONG_LEAST || l.pages < engine_slots());
}

static bool
takes_long_place(Job *item)
{
    item->is_long = item->suspect || long_has_room();
    return item->is_long;
}

/* Nor does a suspect keep everybody waiting for all its pages: some of them show that the next is not what ended the engine. */
bool
may_stay(Job *item)
{
    if (item->suspect && item->nread > LONG_PAGES)
        return false;
    return item->is_long || item->left <= LONG_PAGES || takes_long_place(item);
}

/* One claim's request and yield. */
typedef struct Claim
{
    int watch, limit;
    bool suspect, is_long;
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
    add_bool(&a, c->is_long);
    found->n = (int)run_kept_sql(
        "SELECT id, key FROM dsocr.job WHERE state = 'queued' AND watch = $1 AND suspect = $2 AND "
        "id > $3 AND long = $4 "
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

/* All rows of a key are claimed together, but not while results have to follow to it or from it (store_gone.c). Said so that
 * the index of keys is used, not that of queued jobs. */
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
        "WHERE watch = $1 AND key = $2 AND state NOT IN ('claimed', 'dead', 'gone') "
        "AND NOT EXISTS (SELECT FROM dsocr.job g WHERE g.watch = $1 AND g.key = $2 AND g.becomes "
        "IS "
        "NOT NULL) AND NOT EXISTS (SELECT FROM dsocr.job g WHERE g.watch = $1 AND g.becomes = $2) "
        "RETURNING id, force, attempts, crashes, EXISTS (SELECT FROM dsocr.page p WHERE p.watch = "
        "$1 AND p.key = $2)",
        &a);
    if (n == 0)
        return; /* another row of the same key was taken just now */
    item = make_item(c->watch, key);
    item->token = token;
    item->suspect = c->suspect;
    item->is_long = c->is_long;
    for (uint64 i = 0; i < n; i++)
    {
        item->newest = Max(item->newest, got_bigint(i, 1, 0));
        item->force |= got_bool(i, 2);
        item->has_pages |= got_bool(i, 5);
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

typedef struct Opening
{
    int most, opened;
} Opening;

/* Those that wait, up to one of which something was kept: pages that are taken up are not taken up again after an error. */
static void
open_items(void *arg)
{
    Opening *o = arg;
    struct Watch *watch = NULL;
    Size bytes = 0;

    wait_for_nobody();
    for (Job *item = me.waiting; item && o->opened < o->most && bytes < OPENED_BYTES;
         item = item->next)
    {
        if (item->has_pages)
            break;
        store_open(item, &watch);
        bytes += item->bytes;
        o->opened++;
    }
}

static void
open_first(void *arg)
{
    struct Watch *watch = NULL;

    store_open(me.waiting, &watch);
}

/* Others of the table would wait for the same lock one after the other, and all tables with them. */
static void
give_back_others(const Job *tried, const ErrorData *error)
{
    Job **at = &me.waiting;

    while (*at)
    {
        Job *item = *at;

        if (item->watch != tried->watch)
        {
            at = &item->next;
            continue;
        }
        *at = item->next;
        not_tried(item, tried, error);
        forget_item(item);
    }
}

/* From the claim to the engine; error: why it was not opened. */
static void
ask_first(ErrorData *error)
{
    Job *item = me.waiting;

    me.waiting = item->next;
    me.in_flight[me.nin_flight++] = item;
    me.bytes += item->bytes;
    note_in_flight();
    if (error)
    {
        not_stored(item, error);
        if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
            give_back_others(item, error);
    }
    else if (item->ask && blob_is_refused(item->sha256, item->bytes))
        give_up(item, crash_error());
    else if (item->ask && !item->is_long && item->bytes > heavy_bytes() && !takes_long_place(item))
        give_back_long(item);
    else if (item->ask && client_add(me.client, &item->question))
        return;
    forget_item(item);
}

/* Together in one transaction, or else, when that is not possible, the first by itself. */
static void
ask_waiting(void)
{
    while (me.waiting && room() > 0)
    {
        Opening o = {.most = room()};

        if (attempt("opening documents", open_items, &o) != NULL || o.opened == 0)
            ask_first(attempt("opening a document", open_first, NULL));
        else
            for (; o.opened > 0; o.opened--)
                ask_first(NULL);
    }
}

/* Claims, and asks for what there is room for; the rest is next. Returns how many were claimed. */
static int
claim_and_ask(Claim c)
{
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
    for (int i = 0; i < 2 * me.nserved; i++)
        if (claim_and_ask((Claim){
                .watch = me.served[i / 2].watch, .limit = 1, .suspect = true, .is_long = i % 2}) >
            0)
            return true;
    return false;
}

/* Not behind those that wait and are not long, of which there may always be some. */
static void
claim_long(void)
{
    for (int i = 0; i < me.nserved && me.longs && long_has_room(); i++)
        if (claim_and_ask((Claim){.watch = me.served[i].watch, .limit = 1, .is_long = true}) > 0)
        {
            me.look = true;
            return;
        }
    if (long_has_room())
        me.longs = false;
}

static void
count_suspects(void *arg)
{
    run_kept_sql("SELECT FROM dsocr.job WHERE suspect AND state = 'queued' LIMIT 1", NULL);
    me.suspects = SPI_processed > 0;
}

void
fill(void)
{
    me.look = false;
    if (!engine_ready())
        return;
    qsort(me.served, me.nserved, sizeof(Served), by_priority);
    claim_long();
    ask_waiting();
    if (me.waiting)
        return;
    if (me.suspects && me.nin_flight == 0)
        attempt_or_log("looking for suspects", count_suspects, NULL);
    if (claim_suspect())
        return;
    for (int i = 0; i < me.nserved && room() > 0; i++)
        if (claim_and_ask((Claim){.watch = me.served[i].watch, .limit = Max(room(), me.pace)}) > 0)
        {
            me.served[i].turn = ++me.turns;
            me.look = true;
        }
}

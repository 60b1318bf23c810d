/* queue_rest.c - watches whose results find no room: nothing of theirs is read for a while, longer each time.
 *
 * A full disk is no fault of a document. Without a rest the engine would read the whole queue again and again for nothing.
 * The watch says why it rests; whoever leaves it in peace a while after its rest is forgotten. Sharp edge: all of a rest is in
 * the worker's memory, so a new worker tries at once. */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "module.h"
#include "queue_worker.h"
#include "state.h"

#define REST_MAX_MS 60000
#define FORGET_MS   (2 * REST_MAX_MS) /* after the rest's end */

typedef struct Rest
{
    int watch, times;
    TimestampTz until;
    char *why;
} Rest;

static List *rests; /* in TopMemoryContext */

static Rest *
find_rest(int watch)
{
    ListCell *cell;

    foreach (cell, rests)
        if (((Rest *)lfirst(cell))->watch == watch)
            return lfirst(cell);
    return NULL;
}

static void
forget_rest(Rest *rest)
{
    rests = list_delete_ptr(rests, rest);
    pfree(rest->why);
    pfree(rest);
}

/* What was in the engine when a rest began fails during it, and makes it no longer. */
void
rest_watch(int watch, int sqlstate, const char *why)
{
    Rest *rest = find_rest(watch);
    TimestampTz now = GetCurrentTimestamp();
    MemoryContext old;

    if (rest && now < rest->until)
        return;
    old = MemoryContextSwitchTo(TopMemoryContext);
    if (rest == NULL)
    {
        rest = palloc0(sizeof *rest);
        rest->watch = watch;
        rests = lappend(rests, rest);
    }
    else
        pfree(rest->why);
    rest->why = psprintf("its results cannot be stored: %s: %s", unpack_sql_state(sqlstate), why);
    MemoryContextSwitchTo(old);
    rest->until = now + (TimestampTz)1000 *
                            Min(Max(1000, dsocr_retry_delay) << Min(rest->times, 6), REST_MAX_MS);
    rest->times++;
    me.stale = true;
}

void
has_stored(int watch)
{
    Rest *rest = rests == NIL ? NULL : find_rest(watch);

    if (rest && GetCurrentTimestamp() >= rest->until)
        forget_rest(rest);
}

bool
somebody_rests(void)
{
    TimestampTz now = GetCurrentTimestamp();
    ListCell *cell;

    foreach (cell, rests)
    {
        Rest *rest = lfirst(cell);

        if (now > rest->until + (TimestampTz)1000 * FORGET_MS)
        {
            forget_rest(rest);
            return somebody_rests();
        }
    }
    return rests != NIL;
}

void
add_rests(Arguments *a)
{
    int n = 0;
    Datum *watches = palloc(sizeof(Datum) * (list_length(rests) + 1));
    Datum *whys = palloc(sizeof(Datum) * (list_length(rests) + 1));
    TimestampTz now = GetCurrentTimestamp();
    ListCell *cell;

    foreach (cell, rests)
    {
        Rest *rest = lfirst(cell);

        if (now >= rest->until)
            continue;
        watches[n] = Int32GetDatum(rest->watch);
        whys[n++] = CStringGetTextDatum(rest->why);
    }
    add_argument(
        a, INT4ARRAYOID,
        PointerGetDatum(construct_array(watches, n, INT4OID, sizeof(int32), true, TYPALIGN_INT)),
        false);
    add_argument(a, TEXTARRAYOID,
                 PointerGetDatum(construct_array(whys, n, TEXTOID, -1, false, TYPALIGN_INT)),
                 false);
}

/* query.c - dsocr_read: the scans that a query gives, read from one session as fast as the engine can.
 *
 * The query runs as the caller, through a cursor; as many of its rows are in the engine as that has slots, and a few
 * more. Rows come as documents are finished, one per call, so neither rows nor results pile up. Sharp edge: in FROM the
 * server collects all rows of a function before it goes on; in the select list it does not. */
#include "compat.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "answer.h"
#include "client.h"
#include "functions.h"
#include "module.h"
#include "state.h"

PG_FUNCTION_INFO_V1(dsocr_read);

#define READ_AHEAD_MAX 64

/* A row of the query's. */
typedef struct Asked
{
    MemoryContext context;
    int64 ord;
    Datum key;         /* jsonb */
    Question question; /* doc NULL: the document is NULL */
    struct Asked *next;
} Asked;

/* Between calls. */
typedef struct Reading
{
    MemoryContext context, answers;
    Client *client;
    char *cursor, *options;
    TupleDesc keys;    /* of the query's columns all but the last */
    FmgrInfo to_jsonb; /* of a record */
    int64 nrows;
    bool end; /* of the query */
    Asked *done;
} Reading;

/* ---- the query ---- */

static void
check_columns(TupleDesc desc)
{
    if (desc == NULL || desc->natts == 0 ||
        getBaseType(TupleDescAttr(desc, desc->natts - 1)->atttypid) != BYTEAOID)
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("the last column of the query must be the scan, of type bytea"),
                        errhint("For example: dsocr_read('SELECT id, scan FROM archive').")));
}

static TupleDesc
all_but_last(TupleDesc desc)
{
    TupleDesc keys = CreateTemplateTupleDesc(desc->natts - 1);

    for (int i = 1; i < desc->natts; i++)
        TupleDescCopyEntry(keys, i, desc, i);
    return BlessTupleDesc(keys);
}

/* SPI is connected. */
static void
open_query(Reading *r, const char *query)
{
    Portal portal =
        SPI_cursor_open_with_args(NULL, query, 0, NULL, NULL, NULL, true, CURSOR_OPT_NO_SCROLL);
    MemoryContext old = MemoryContextSwitchTo(r->context);

    check_columns(portal->tupDesc);
    r->cursor = pstrdup(portal->name);
    r->keys = all_but_last(portal->tupDesc);
    prepare_to_jsonb(&r->to_jsonb);
    MemoryContextSwitchTo(old);
}

/* The columns before the scan, by name. */
static Datum
key_of(Reading *r, HeapTuple row, TupleDesc desc)
{
    Datum *values = palloc(sizeof(Datum) * desc->natts);
    bool *nulls = palloc(sizeof(bool) * desc->natts);

    heap_deform_tuple(row, desc, values, nulls);
    return FunctionCall1(&r->to_jsonb, HeapTupleGetDatum(heap_form_tuple(r->keys, values, nulls)));
}

/* The scan stays where it is stored, and is taken from there when the engine is ready for it. */
static Asked *
make_asked(Reading *r, HeapTuple row, TupleDesc desc)
{
    MemoryContext context = AllocSetContextCreate(r->context, "dsocr row", ALLOCSET_SMALL_SIZES);
    MemoryContext old = MemoryContextSwitchTo(context);
    Asked *a = palloc0(sizeof *a);
    bool null;
    Datum doc;

    a->context = context;
    a->ord = ++r->nrows;
    a->key = key_of(r, row, desc);
    doc = SPI_getbinval(row, desc, desc->natts, &null);
    if (!null)
        a->question.doc = (struct varlena *)DatumGetPointer(datumCopy(doc, false, -1));
    a->question.kind = WIRE_READ;
    a->question.many = true;
    a->question.options = r->options;
    MemoryContextSwitchTo(old);
    return a;
}

static void
put_done(Reading *r, Asked *a)
{
    Asked **end = &r->done;

    while (*end)
        end = &(*end)->next;
    *end = a;
}

static int
ahead(void)
{
    int slots = Max(1, (int)pg_atomic_read_u32(&engine_state->slots));

    return Min(slots + slots / 2 + 1, READ_AHEAD_MAX);
}

/* Asks until the engine has enough. */
static void
ask_more(Reading *r)
{
    Portal portal;

    if (r->end || client_busy(r->client) >= ahead())
        return;
    connect_spi();
    portal = SPI_cursor_find(r->cursor);
    if (portal == NULL)
        ereport(ERROR, (errcode(ERRCODE_INVALID_CURSOR_STATE),
                        errmsg("the query's cursor was closed while its scans were read")));
    while (!r->end && client_busy(r->client) < ahead())
    {
        Asked *a;

        SPI_cursor_fetch(portal, true, 1);
        r->end = SPI_processed == 0;
        if (r->end)
            break;
        a = make_asked(r, SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
        SPI_freetuptable(SPI_tuptable);
        if (a->question.doc)
            client_add(r->client, &a->question);
        else
            put_done(r, a);
    }
    SPI_finish();
}

/* ---- rows ---- */

static void
answered(int index, Question *q, void *arg)
{
    put_done(arg, (Asked *)((char *)q - offsetof(Asked, question)));
}

/* However the call is left: the sockets are closed, which is the cancel, and the cursor. */
static void
stop(Datum arg)
{
    Reading *r = (Reading *)DatumGetPointer(arg);
    Portal portal = r->cursor ? GetPortalByName(r->cursor) : NULL;

    if (PortalIsValid(portal) && portal->status == PORTAL_READY)
        PortalDrop(portal, false);
    MemoryContextDelete(r->context);
}

static Reading *
start(FunctionCallInfo fcinfo)
{
    ReturnSetInfo *rows = (ReturnSetInfo *)fcinfo->resultinfo;
    MemoryContext context, old;
    Reading *r;

    client_require_preload();
    context = AllocSetContextCreate(rows->econtext->ecxt_per_query_memory, "dsocr_read",
                                    ALLOCSET_DEFAULT_SIZES);
    old = MemoryContextSwitchTo(context);
    r = palloc0(sizeof *r);
    r->context = context;
    r->answers = AllocSetContextCreate(context, "dsocr answers", ALLOCSET_DEFAULT_SIZES);
    r->options = reading_options(PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)),
                                 NULL, PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2));
    r->client = client_open(r->answers, false);
    MemoryContextSwitchTo(old);
    RegisterExprContextCallback(rows->econtext, stop, PointerGetDatum(r));
    connect_spi();
    open_query(r, text_to_cstring(PG_GETARG_TEXT_PP(0)));
    SPI_finish();
    return r;
}

static Asked *
next_done(Reading *r)
{
    Asked *a;

    for (;;)
    {
        ask_more(r);
        if (r->done || (r->end && client_busy(r->client) == 0))
            break;
        if (!client_turn(r->client, answered, r))
            client_wait(r->client, 10000);
    }
    a = r->done;
    if (a)
        r->done = a->next;
    return a;
}

static Datum
make_row(FuncCallContext *call, Asked *a)
{
    Datum values[3] = {Int64GetDatum(a->ord), a->key, (Datum)0};
    bool nulls[3] = {false, false, a->question.doc == NULL};
    HeapTuple row;

    if (a->question.doc)
        values[2] = JsonbPGetDatum(result_of(&a->question));
    row = heap_form_tuple(call->tuple_desc, values, nulls);
    if (a->question.reply)
        pfree(a->question.reply);
    client_free_error(&a->question);
    MemoryContextDelete(a->context);
    return HeapTupleGetDatum(row);
}

Datum
dsocr_read(PG_FUNCTION_ARGS)
{
    FuncCallContext *call;
    Reading *r;
    Asked *a;

    if (SRF_IS_FIRSTCALL())
    {
        MemoryContext old;
        TupleDesc desc;

        call = SRF_FIRSTCALL_INIT();
        old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
        if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
            elog(ERROR, "dsocr_read gives rows");
        call->tuple_desc = BlessTupleDesc(desc);
        MemoryContextSwitchTo(old);
        if (PG_ARGISNULL(0))
            SRF_RETURN_DONE(call);
        call->user_fctx = start(fcinfo);
    }
    call = SRF_PERCALL_SETUP();
    r = call->user_fctx;
    a = next_done(r);
    if (a)
        SRF_RETURN_NEXT(call, make_row(call, a));
    UnregisterExprContextCallback(((ReturnSetInfo *)fcinfo->resultinfo)->econtext, stop,
                                  PointerGetDatum(r));
    stop(PointerGetDatum(r));
    SRF_RETURN_DONE(call);
}

/* functions.c - SQL functions that read images: check arguments, ask the engine, give jsonb.
 *
 * None is STRICT, since other arguments than the document default to NULL: a NULL document gives NULL, and
 * NULL elsewhere means the default. What mode, pages and options may be is checked by the engine alone, so that
 * there is one place that knows. */
#include "compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "answer.h"
#include "client.h"
#include "functions.h"
#include "module.h"
#include "queue.h"

PG_FUNCTION_INFO_V1(dsocr_extract);
PG_FUNCTION_INFO_V1(dsocr_try_extract);
PG_FUNCTION_INFO_V1(dsocr_text);
PG_FUNCTION_INFO_V1(dsocr_markdown);
PG_FUNCTION_INFO_V1(dsocr_pages);
PG_FUNCTION_INFO_V1(dsocr_extract_many);
PG_FUNCTION_INFO_V1(dsocr_describe);
PG_FUNCTION_INFO_V1(dsocr_parse_figure);
PG_FUNCTION_INFO_V1(dsocr_ask);
PG_FUNCTION_INFO_V1(dsocr_locate);
PG_FUNCTION_INFO_V1(dsocr_info);
PG_FUNCTION_INFO_V1(dsocr_status);
PG_FUNCTION_INFO_V1(dsocr_version);

/* ---- questions ---- */

/* Argument i as a C string; NULL when it is NULL or was not given. */
static char *
text_argument(FunctionCallInfo fcinfo, int i)
{
    return i < PG_NARGS() && !PG_ARGISNULL(i) ? text_to_cstring(PG_GETARG_TEXT_PP(i)) : NULL;
}

static Jsonb *
jsonb_argument(FunctionCallInfo fcinfo, int i)
{
    return i < PG_NARGS() && !PG_ARGISNULL(i) ? PG_GETARG_JSONB_P(i) : NULL;
}

/* The caller's options with the session's dsocr.retries where they do not say. */
static char *
options_text(Jsonb *options)
{
    if (options && !JB_ROOT_IS_OBJECT(options))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("options must be a JSON object"),
                 errhint("For example: '{\"rotate\": 90}'.")));
    if (dsocr_retries >= 0 && (options == NULL || json_get(&options->root, "retries") == NULL))
    {
        char *retries = psprintf("{\"retries\": %d}", dsocr_retries);
        Jsonb *added = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(retries)));

        options = options == NULL
                      ? added
                      : DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(options),
                                                           JsonbPGetDatum(added)));
    }
    return options ? JsonbToCString(NULL, &options->root, VARSIZE(options)) : "{}";
}

/* question: NULL, there is none. */
static char *
words_of(const char *mode, const char *pages, const char *question, const char *options)
{
    StringInfoData s;

    initStringInfo(&s);
    appendStringInfoString(&s, "{\"mode\": ");
    escape_json(&s, mode ? mode : mode_name());
    appendStringInfoString(&s, ", \"pages\": ");
    escape_json(&s, pages ? pages : "all");
    if (question)
    {
        appendStringInfoString(&s, ", \"question\": ");
        escape_json(&s, question);
    }
    appendStringInfo(&s, ", \"options\": %s}", options);
    return s.data;
}

char *
reading_words(const char *mode, const char *pages, const char *options)
{
    return words_of(mode, pages, NULL, options);
}

static char *
asking_options(const char *mode, const char *pages, const char *question, Jsonb *options)
{
    char *words = words_of(mode, pages, question, options_text(options));
    char *utf8 = pg_server_to_any(words, strlen(words), PG_UTF8);

    if (strlen(utf8) > WIRE_MAX_OPTIONS)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        question ? errmsg("question and options are too long")
                                 : errmsg("options are too long"),
                        errdetail("They may take %u bytes.", WIRE_MAX_OPTIONS)));
    return utf8;
}

char *
reading_options(const char *mode, const char *pages, Jsonb *options)
{
    return asking_options(mode, pages, NULL, options);
}

static Question *
ask_one(WireKind kind, struct varlena *doc, char *options)
{
    Question *q = palloc0(sizeof *q);

    q->kind = kind;
    q->doc = doc;
    q->options = options;
    client_ask(q, 1, NULL, NULL);
    return q;
}

Jsonb *
ask_document(struct varlena *doc, const char *mode, const char *pages, const char *question,
             Jsonb *options)
{
    Question *q = ask_one(WIRE_READ, doc, asking_options(mode, pages, question, options));

    if (q->error)
        answer_raise(q->error);
    return answer_jsonb(q->reply, q->nreply);
}

static Jsonb *
read_document(struct varlena *doc, const char *mode, const char *pages, Jsonb *options)
{
    return ask_document(doc, mode, pages, NULL, options);
}

/* ---- documents that are not read, as results ---- */

/* Faults of the document, not of the call, the engine or the moment. */
static bool
blames_document(const AnswerError *e)
{
    return strcmp(e->code, "bad_input") == 0 || strcmp(e->code, "limit") == 0 ||
           strcmp(e->code, "unsupported") == 0 || strcmp(e->code, "engine_crash") == 0;
}

static void
append_member(StringInfo s, const char *key, const char *value)
{
    if (value == NULL)
        return;
    appendStringInfo(s, ", \"%s\": ", key);
    escape_json(s, value);
}

/* The form of a reading, with no page and the reason. Page 0 stands for the document. */
static Jsonb *
unread_result(const AnswerError *e)
{
    StringInfoData s;

    initStringInfo(&s);
    appendStringInfoString(
        &s,
        "{\"version\": \"1.0\", \"document\": {\"page_count\": 0, \"text\": \"\", \"pages\": []},"
        " \"error_status\": [{\"page\": 0");
    append_member(&s, "error_code", e->code);
    append_member(&s, "error_message", e->message);
    append_member(&s, "sqlstate", unpack_sql_state(e->sqlstate));
    append_member(&s, "detail", e->detail);
    append_member(&s, "hint", e->hint);
    appendStringInfoString(&s, "}], \"metadata\": {\"extension\": \"" DSOCR_VERSION "\"}}");
    return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(s.data)));
}

void
prepare_to_jsonb(FmgrInfo *f)
{
    FuncExpr *call =
        makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(makeNullConst(RECORDOID, -1, InvalidOid)),
                     InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);

    fmgr_info(F_TO_JSONB, f);
    fmgr_info_set_expr((Node *)call, f);
}

Jsonb *
result_of(const Question *q)
{
    if (q->error == NULL)
        return answer_jsonb(q->reply, q->nreply);
    if (!blames_document(q->error))
        answer_raise(q->error);
    return unread_result(q->error);
}

/* ---- one document ---- */

Datum
dsocr_extract(PG_FUNCTION_ARGS)
{
    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    PG_RETURN_JSONB_P(read_document(DOCUMENT(), text_argument(fcinfo, 1), text_argument(fcinfo, 2),
                                    jsonb_argument(fcinfo, 3)));
}

Datum
dsocr_try_extract(PG_FUNCTION_ARGS)
{
    char *options;

    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    options = reading_options(text_argument(fcinfo, 1), text_argument(fcinfo, 2),
                              jsonb_argument(fcinfo, 3));
    PG_RETURN_JSONB_P(result_of(ask_one(WIRE_READ, DOCUMENT(), options)));
}

static bool
page_failed(JsonbContainer *page)
{
    char *status = json_get_string(page, "status");

    return status == NULL || strcmp(status, "error") == 0;
}

static char *
reason_of(Jsonb *result, int page)
{
    JsonbContainer *errors = json_get_container(&result->root, "error_status");

    for (int i = 0; i < json_length(errors); i++)
    {
        JsonbContainer *e = json_nth(errors, i);

        if (json_get_int(e, "page", -1) == page)
            return json_get_string(e, "error_message");
    }
    return NULL;
}

/* Text has no place for a status, so a page that is missing from it is told: by a warning, or, when nothing could
 * be read at all, by an error. */
static void
tell_failed_pages(Jsonb *result)
{
    JsonbContainer *pages = json_pages(result);
    int n = json_length(pages), failed = 0;
    StringInfoData list;

    initStringInfo(&list);
    for (int i = 0; i < n; i++)
    {
        JsonbContainer *page = json_nth(pages, i);
        int number = json_get_int(page, "page", i + 1);
        char *reason;

        if (!page_failed(page) || failed++ >= 10)
            continue;
        reason = reason_of(result, number);
        appendStringInfo(&list, "%sPage %d: %s.", failed > 1 ? "\n" : "", number,
                         reason ? reason : "no reason given");
    }
    if (failed == 0)
        return;
    ereport(failed == n ? ERROR : WARNING,
            (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
             failed == n ? errmsg("no page could be read")
                         : errmsg_plural("%d page of %d could not be read",
                                         "%d pages of %d could not be read", failed, failed, n),
             errdetail_internal("%s", list.data),
             errhint("dsocr_extract gives the other pages, and the status of each.")));
}

text *
joined_pages(Jsonb *result, const char *member)
{
    JsonbContainer *pages = json_pages(result);
    StringInfoData s;

    tell_failed_pages(result);
    initStringInfo(&s);
    for (int i = 0; i < json_length(pages); i++)
    {
        char *part = json_get_string(json_nth(pages, i), member);

        if (part == NULL || part[0] == '\0')
            continue;
        if (s.len > 0)
            appendStringInfoString(&s, "\n\n");
        appendStringInfoString(&s, part);
    }
    return cstring_to_text_with_len(s.data, s.len);
}

Datum
dsocr_text(PG_FUNCTION_ARGS)
{
    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    PG_RETURN_TEXT_P(joined_pages(
        read_document(DOCUMENT(), "text", text_argument(fcinfo, 1), jsonb_argument(fcinfo, 2)),
        "text"));
}

Datum
dsocr_markdown(PG_FUNCTION_ARGS)
{
    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    PG_RETURN_TEXT_P(joined_pages(
        read_document(DOCUMENT(), "layout", text_argument(fcinfo, 1), jsonb_argument(fcinfo, 2)),
        "markdown"));
}

/* ---- what some models say of a page ---- */

/* question: the number of that argument, of which page and options are the next; 0: there is none. NULL when the
 * document or the question is NULL. */
static Jsonb *
ask_of_page(FunctionCallInfo fcinfo, const char *mode, int question)
{
    int page = question + 1;

    if (PG_ARGISNULL(0) || PG_ARGISNULL(question))
        return NULL;
    return ask_document(
        DOCUMENT(), mode, psprintf("%d", PG_ARGISNULL(page) ? 1 : PG_GETARG_INT32(page)),
        question ? text_argument(fcinfo, question) : NULL, jsonb_argument(fcinfo, page + 1));
}

static Datum
answer_text(FunctionCallInfo fcinfo, const char *mode, int question)
{
    Jsonb *result = ask_of_page(fcinfo, mode, question);

    if (result == NULL)
        PG_RETURN_NULL();
    PG_RETURN_TEXT_P(joined_pages(result, "markdown"));
}

Datum
dsocr_describe(PG_FUNCTION_ARGS)
{
    return answer_text(fcinfo, "describe", 0);
}

Datum
dsocr_parse_figure(PG_FUNCTION_ARGS)
{
    return answer_text(fcinfo, "figure", 0);
}

Datum
dsocr_ask(PG_FUNCTION_ARGS)
{
    return answer_text(fcinfo, "ask", 1);
}

static void
put_boxes(ReturnSetInfo *rows, JsonbContainer *page)
{
    JsonbContainer *elements = json_get_container(page, "elements");

    for (int i = 0; i < json_length(elements); i++)
    {
        bool null;
        Datum box = json_box_column(json_nth(elements, i), "bbox", &null);

        if (!null)
            tuplestore_putvalues(rows->setResult, rows->setDesc, &box, &null);
    }
}

/* The boxes of the answer; one that has none, or none that is well-formed, gives no row. */
Datum
dsocr_locate(PG_FUNCTION_ARGS)
{
    Jsonb *result;
    JsonbContainer *pages;

    InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
    if ((result = ask_of_page(fcinfo, "locate", 1)) == NULL)
        return (Datum)0;
    tell_failed_pages(result);
    pages = json_pages(result);
    for (int i = 0; i < json_length(pages); i++)
        put_boxes((ReturnSetInfo *)fcinfo->resultinfo, json_nth(pages, i));
    return (Datum)0;
}

Datum
dsocr_info(PG_FUNCTION_ARGS)
{
    Question *q;

    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    q = ask_one(WIRE_INFO, DOCUMENT(), NULL);
    if (q->error)
        answer_raise(q->error);
    PG_RETURN_JSONB_P(answer_jsonb(q->reply, q->nreply));
}

/* ---- rows ---- */

#define PAGE_COLUMNS 8

static void
put_page(ReturnSetInfo *rows, const JsonbValue *value)
{
    JsonbContainer *page = json_container(value);
    Datum values[PAGE_COLUMNS];
    bool nulls[PAGE_COLUMNS] = {false};

    values[0] = json_number_column(page, "page", numeric_int4, &nulls[0]);
    values[1] = json_text_column(page, "status", &nulls[1]);
    values[2] = json_text_column(page, "text", &nulls[2]);
    values[3] = json_text_column(page, "markdown", &nulls[3]);
    values[4] = json_number_column(page, "width", numeric_int4, &nulls[4]);
    values[5] = json_number_column(page, "height", numeric_int4, &nulls[5]);
    values[6] = json_number_column(page, "confidence", numeric_float4, &nulls[6]);
    values[7] = JsonbPGetDatum(JsonbValueToJsonb((JsonbValue *)value));
    tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
}

Datum
dsocr_pages(PG_FUNCTION_ARGS)
{
    ReturnSetInfo *rows = (ReturnSetInfo *)fcinfo->resultinfo;
    JsonbContainer *pages;

    InitMaterializedSRF(fcinfo, 0);
    if (PG_ARGISNULL(0))
        return (Datum)0;
    pages = json_pages(read_document(DOCUMENT(), text_argument(fcinfo, 1), text_argument(fcinfo, 2),
                                     jsonb_argument(fcinfo, 3)));
    for (int i = 0; i < json_length(pages); i++)
        put_page(rows, getIthJsonbValueFromContainer(pages, i));
    return (Datum)0;
}

/* ---- many documents ---- */

/* Where answers of dsocr_extract_many go, and which document a question is of. */
typedef struct ManyRows
{
    ReturnSetInfo *rows;
    int *ord; /* [questions], from 1 */
} ManyRows;

static void
put_result(ReturnSetInfo *rows, int ord, Jsonb *result)
{
    Datum values[2] = {Int32GetDatum(ord), (Datum)0};
    bool nulls[2] = {false, result == NULL};

    if (result)
        values[1] = JsonbPGetDatum(result);
    tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
    if (result)
        pfree(result);
}

static void
put_answer(int index, Question *q, void *arg)
{
    ManyRows *many = arg;

    put_result(many->rows, many->ord[index], result_of(q));
    if (q->reply)
        pfree(q->reply);
    q->reply = NULL;
    client_free_error(q);
}

Datum
dsocr_extract_many(PG_FUNCTION_ARGS)
{
    ManyRows many = {.rows = (ReturnSetInfo *)fcinfo->resultinfo};
    Question *questions;
    Datum *docs;
    bool *nulls;
    char *options;
    int ndocs, n = 0;

    InitMaterializedSRF(fcinfo, 0);
    if (PG_ARGISNULL(0))
        return (Datum)0;
    options = reading_options(text_argument(fcinfo, 1), NULL, jsonb_argument(fcinfo, 2));
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), BYTEAOID, -1, false, TYPALIGN_INT, &docs, &nulls,
                      &ndocs);
    questions = palloc0(sizeof(Question) * (ndocs + 1));
    many.ord = palloc(sizeof(int) * (ndocs + 1));
    for (int i = 0; i < ndocs; i++)
    {
        if (nulls[i])
        {
            put_result(many.rows, i + 1, NULL);
            continue;
        }
        questions[n] = (Question){.kind = WIRE_READ,
                                  .doc = (struct varlena *)DatumGetPointer(docs[i]),
                                  .options = options,
                                  .many = ndocs > 1};
        many.ord[n++] = i + 1;
    }
    client_ask(questions, n, put_answer, &many);
    return (Datum)0;
}

/* ---- the engine's state ---- */

static const char *const state_names[] = {
    [ENGINE_STOPPED] = "stopped", [ENGINE_STARTING] = "starting", [ENGINE_LOADING] = "loading",
    [ENGINE_READY] = "ready",     [ENGINE_NO_MODEL] = "no_model", [ENGINE_FAILING] = "failing"};

static void
append_number(StringInfo s, const char *key, uint64 value)
{
    appendStringInfo(s, ", \"%s\": " UINT64_FORMAT, key, value);
}

static void
append_words(StringInfo s)
{
    EngineState copy;

    LWLockAcquire(engine_lock, LW_SHARED);
    memcpy(&copy, engine_state, sizeof copy);
    LWLockRelease(engine_lock);
    append_member(s, "model", copy.model);
    append_member(s, "device", copy.device);
    append_member(s, "weights_sha256", copy.weights_sha256);
    append_member(s, "last_error", copy.error[0] ? copy.error : NULL);
}

static void
append_state(StringInfo s)
{
    EngineState *e = engine_state;
    uint32 state = pg_atomic_read_u32(&e->state);
    TimestampTz since = pg_atomic_read_u64(&e->ready_since);
    bool up = state == ENGINE_READY || state == ENGINE_NO_MODEL;

    appendStringInfo(s, "{\"state\": \"%s\"", state_names[state]);
    append_number(s, "pid", pg_atomic_read_u32(&e->pid));
    append_number(s, "supervisor_pid", pg_atomic_read_u32(&e->supervisor));
    append_number(s, "uptime_s",
                  up ? TimestampDifferenceMilliseconds(since, GetCurrentTimestamp()) / 1000 : 0);
    append_number(s, "restarts", pg_atomic_read_u64(&e->restarts));
    append_number(s, "pages_read", pg_atomic_read_u64(&e->pages));
    append_words(s);
    append_number(s, "rss_bytes", pg_atomic_read_u64(&e->rss_bytes));
    append_number(s, "weight_bytes", pg_atomic_read_u64(&e->weight_bytes));
    append_number(s, "inflight_bytes", pg_atomic_read_u64(&e->inflight_bytes));
    append_number(s, "active", pg_atomic_read_u32(&e->active));
    append_number(s, "waiting", pg_atomic_read_u32(&e->waiting));
    append_number(s, "slots", pg_atomic_read_u32(&e->slots));
    append_number(s, "slots_used", pg_atomic_read_u32(&e->slots_used));
    append_number(s, "refused_documents", blobs_refused());
    queue_append_status(s);
    appendStringInfoChar(s, '}');
}

/* From shared memory and the queue's tables: answers at once, whatever the engine does. */
Datum
dsocr_status(PG_FUNCTION_ARGS)
{
    StringInfoData s;

    client_require_preload();
    initStringInfo(&s);
    append_state(&s);
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(s.data));
}

Datum
dsocr_version(PG_FUNCTION_ARGS)
{
    PG_RETURN_TEXT_P(cstring_to_text(DSOCR_VERSION));
}

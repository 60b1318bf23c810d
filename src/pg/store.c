/* store.c - from a job to its document, and from an answer to rows of the results' table.
 *
 * What touches the user's tables runs as the source's owner of this moment, in a security-restricted context; what
 * touches the queue as the owner of the extension. Locks are taken in one order everywhere: the source's row, job
 * rows, results. Names are looked up each time: anything may have been renamed or dropped since. */
#include "compat.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "common/md5.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "answer.h"
#include "flow.h"
#include "functions.h"
#include "module.h"
#include "state.h"
#include "store.h"
#include "store_pages.h"
#include "store_watch.h"

#define BACKFILL_KEYS 2000 /* of one transaction */

#ifdef DS_PLANT
bool
planted(const char *mistake)
{
    const char *wanted = getenv("DSOCR_PLANT");

    return wanted && strstr(wanted, mistake) != NULL;
}
#endif

/* ---- the queue's side ---- */

static void
add_claim(Arguments *a, const Job *item)
{
    add_int(a, item->watch);
    add_argument(a, TEXTARRAYOID, item->key, false);
    add_bigint(a, item->token);
    add_bigint(a, item->newest);
}

/* Takes the claim's job rows, and what was given up of this key before. False: the claim is another's by now. */
static bool
take_jobs(const Job *item)
{
    Arguments a = {0};
    bool ours;

    add_claim(&a, item);
    ours = run_kept_sql("DELETE FROM dsocr.job WHERE watch = $1 AND key = $2 AND state = 'claimed' "
                        "AND token = $3 AND $4 IS NOT NULL",
                        &a) > 0;
    if (planted("token"))
    {
        run_kept_sql("DELETE FROM dsocr.job WHERE watch = $1 AND key = $2 AND state = 'claimed' "
                     "AND $3 IS NOT NULL AND $4 IS NOT NULL",
                     &a);
        ours = true;
    }
    ours |= planted("early");
    if (ours)
        run_kept_sql("DELETE FROM dsocr.job WHERE watch = $1 AND key = $2 AND state = 'dead' "
                     "AND $3 IS NOT NULL AND id < $4",
                     &a);
    return ours;
}

/* A newer job of the key is there: the document has changed since, and that one will read it. Said in a way that does
 * not fit the index of queued jobs, which would be read to its end. */
static bool
is_outdated(const Job *item)
{
    Arguments a = {0};

    add_claim(&a, item);
    return run_kept_sql("SELECT FROM dsocr.job WHERE watch = $1 AND key = $2 AND $3 IS NOT NULL "
                        "AND id > $4 AND state NOT IN ('claimed', 'dead') LIMIT 1",
                        &a) > 0;
}

/* The one that was loaded in this transaction before, or another. */
static Watch *
watch_again(Watch **w, int id)
{
    if (*w == NULL || (*w)->id != id)
        *w = load_watch(id);
    return *w;
}

static void
row_is_gone(const Job *item)
{
    if (item->force)
        store_ask_anew(item->watch, item->key, item->newest);
}

/* ---- opening: the document ---- */

/* Out of TOAST into the item's context: it outlives the transaction, and no snapshot is held while it is read. What
 * is over the limit is not taken out. */
static void
take_document(Job *item, Datum datum)
{
    MemoryContext old = MemoryContextSwitchTo(item->context);
    Size size = toast_raw_datum_size(datum) - VARHDRSZ;
    struct varlena *doc;

    if (size > (Size)dsocr_max_image_bytes)
        ereport(ERROR,
                (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("document has %zu bytes", size),
                 errdetail("dsocr.max_image_bytes is %d.", dsocr_max_image_bytes)));
    doc = (struct varlena *)PG_DETOAST_DATUM_COPY(datum);
    hash_document(doc, item->sha256);
    hex_encode((char *)item->sha256, sizeof item->sha256, item->sha256_hex);
    item->sha256_hex[64] = '\0';
    item->bytes = size;
    item->question.doc = doc;
    MemoryContextSwitchTo(old);
}

void
store_ask_for(Job *item, const char *pages)
{
    MemoryContext old = MemoryContextSwitchTo(item->context);
    char *words = reading_words(item->mode, pages, item->options);

    item->question.options = pg_server_to_any(words, strlen(words), PG_UTF8);
    MemoryContextSwitchTo(old);
}

static void
make_question(Job *item, const char *mode, const char *pages, const char *options)
{
    MemoryContext old = MemoryContextSwitchTo(item->context);
    const char *trouble;
    char md5[33], *words;

    item->mode = pstrdup(mode ? mode : mode_name());
    item->pages = pstrdup(pages);
    item->options = pstrdup(options);
    words = reading_words(item->mode, pages, item->options);
    store_ask_for(item, pages);
    item->question.kind = WIRE_READ;
    item->question.bulk = true;
    item->question.pagewise = true;
    item->question.alone = item->suspect;
    if (!pg_md5_hash(words, strlen(words), md5, &trouble))
        elog(ERROR, "could not compute MD5: %s", trouble);
    item->request = pstrdup(md5);
    item->ask = true;
    MemoryContextSwitchTo(old);
}

/* The current pages were read from these bytes, by this model, asked in the same way. */
static bool
is_unchanged(const Watch *w, const Job *item)
{
    char model[sizeof engine_state->model];
    Arguments a = {0};

    loaded_model(model);
    add_key(&a, w, item->key);
    add_text(&a, item->sha256_hex);
    add_text(&a, model);
    add_text(&a, item->request);
    return run_kept_sql(
               psprintf("SELECT FROM %s WHERE %s AND current AND page > 0 HAVING count(*) > 0 AND "
                        "bool_and(sha256 = $%d AND (corrected_by IS NOT NULL OR model = $%d AND "
                        "coalesce(result->'metadata'->>'request' = $%d, true)))",
                        results_of(w), key_condition(w, w->result_keys, "", 1), w->nkeys + 1,
                        w->nkeys + 2, w->nkeys + 3),
               &a) > 0;
}

/* There is nothing to read in the row any more: what was read before is no longer current. */
static void
retire(const Watch *w, const Job *item)
{
    Arguments a = {0};

    add_key(&a, w, item->key);
    run_kept_sql(psprintf("UPDATE %s SET current = false WHERE %s AND current", results_of(w),
                          key_condition(w, w->result_keys, "", 1)),
                 &a);
}

typedef enum Found
{
    NO_ROW,
    NO_DOCUMENT, /* it is NULL, or the filter does not want the row */
    UNCHANGED,
    DOCUMENT,
} Found;

/* As the owner. */
static Found
find_document(const Watch *w, Job *item)
{
    Arguments a = {0};
    Datum doc;
    bool null;

    add_key(&a, w, item->key);
    if (run_kept_sql(psprintf("SELECT %s, (%s) FROM %s WHERE %s", quote_identifier(w->column),
                              w->filter ? w->filter : "true", source_of(w),
                              key_condition(w, w->keys, "", 1)),
                     &a) == 0)
        return NO_ROW;
    if (getBaseType(SPI_gettypeid(SPI_tuptable->tupdesc, 1)) != BYTEAOID)
        cannot_serve(w, "its column is not bytea"); /* it was, when it was attached */
    doc = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
    if (null || !got_bool(0, 2))
        return NO_DOCUMENT;
    take_document(item, doc);
    make_question(item, w->mode, "all", w->options);
    return !item->force && is_unchanged(w, item) ? UNCHANGED : DOCUMENT;
}

static void
open_row(const Watch *w, Job *item)
{
    Found found = NO_ROW;
    Scope scope;

    if (w)
    {
        scope_enter(&scope, w->owner);
        found = find_document(w, item);
        scope_leave(&scope);
    }
    if (found == DOCUMENT)
    {
        pages_resume(item);
        return;
    }
    item->ask = false;
    pages_forget(item);
    if (found == NO_ROW)
        row_is_gone(item);
    if (take_jobs(item) && found == NO_DOCUMENT)
    {
        scope_enter(&scope, w->owner);
        retire(w, item);
        scope_leave(&scope);
    }
}

static void
open_inbox(Job *item)
{
    Arguments a = {0};
    bool null = true;
    Datum doc = (Datum)0;

    add_bigint(&a, item->newest);
    if (run_kept_sql("SELECT doc, mode, pages, options FROM dsocr.inbox WHERE job = $1", &a) > 0)
        doc = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
    if (null)
        take_jobs(item);
    else
    {
        take_document(item, doc);
        make_question(item, got_string(0, 2), got_string(0, 3), got_string(0, 4));
        pages_resume(item);
    }
}

void
store_open(Job *item, Watch **watch)
{
    item->ask = false;
    if (item->watch != 0)
        open_row(watch_again(watch, item->watch), item);
    else
        open_inbox(item);
    if (item->ask && planted("early"))
        take_jobs(item);
}

/* ---- storing ---- */

/* The rows are the owner's, so what his triggers and constraints say is said here and now, as him. */
static bool
lock_source(const Watch *w, const Job *item)
{
    Arguments a = {0};

    run_kept_sql("SET CONSTRAINTS ALL IMMEDIATE", NULL);
    add_key(&a, w, item->key);
    return run_kept_sql(psprintf("SELECT FROM %s WHERE %s FOR %s", source_of(w),
                                 key_condition(w, w->keys, "", 1),
                                 planted("rowlock") ? "UPDATE" : "KEY SHARE"),
                        &a) > 0;
}

/* One of several workers, which there should never be, stores results of a key at a time: rows that are not there yet
 * cannot be locked. Waited for no longer than a lock. */
static void
lock_key(const Job *item)
{
    Arguments a = {0};

    add_int(&a, item->watch);
    add_argument(&a, TEXTARRAYOID, item->key, false);
    run_kept_sql("SELECT pg_advisory_xact_lock($1, hashtext($2::text))", &a);
}

/* In the order of the pages, so that two who want several never wait for each other in a circle. */
static void
lock_results(const Watch *w, Datum key)
{
    Arguments a = {0};

    add_key(&a, w, key);
    run_kept_sql(psprintf("SELECT FROM %s WHERE %s AND current ORDER BY page, version FOR NO KEY "
                          "UPDATE",
                          results_of(w), key_condition(w, w->result_keys, "", 1)),
                 &a);
}

void
store_lock(int watch, Datum key)
{
    Scope scope;
    Arguments a = {0};
    Watch *w;
    Oid results;

    scope_enter(&scope, state_owner());
    w = load_watch(watch);
    scope_leave(&scope);
    if (w == NULL)
        no_such_watch(watch);
    results = find_relation(w->result_schema, w->result_table);
    if (!OidIsValid(results))
        cannot_serve(w, "its table of results does not exist");
    if (pg_class_aclmask(results, GetUserId(), ACL_INSERT | ACL_UPDATE, ACLMASK_ALL) !=
        (ACL_INSERT | ACL_UPDATE))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("permission denied for table %s", w->result_table),
                        errhint("Who corrects needs SELECT, INSERT and UPDATE on it.")));
    scope_enter(&scope, w->owner);
    add_key(&a, w, key);
    run_kept_sql(psprintf("SELECT FROM %s WHERE %s FOR KEY SHARE", source_of(w),
                          key_condition(w, w->keys, "", 1)),
                 &a);
    lock_results(w, key);
    scope_leave(&scope);
}

static int
next_version(const Watch *w, const Job *item)
{
    Arguments a = {0};

    add_key(&a, w, item->key);
    run_kept_sql(psprintf("SELECT coalesce(max(version), 0) + 1 FROM %s WHERE %s", results_of(w),
                          key_condition(w, w->result_keys, "", 1)),
                 &a);
    return (int)got_bigint(0, 1, 1);
}

/* A page that was corrected stays current as long as the document is the same. Returns the new version. */
static int
retire_older(const Watch *w, const Job *item)
{
    Arguments a = {0};
    int version;

    if (next_version(w, item) == 1)
        return 1; /* nothing is there that could be locked */
    lock_results(w, item->key);
    version = next_version(w, item);
    add_key(&a, w, item->key);
    add_text(&a, item->sha256_hex);
    run_kept_sql(psprintf("UPDATE %s SET current = false WHERE %s AND current AND NOT "
                          "(corrected_by IS NOT NULL AND sha256 = $%d)",
                          results_of(w), key_condition(w, w->result_keys, "", 1), w->nkeys + 1),
                 &a);
    return version;
}

#define SEARCHED_MOST 250000 /* characters: a tsvector of more would be too long */

/* What full-text search sees of each page: text[]. */
static Datum
search_texts(Jsonb *result)
{
    const Reading *r = reading_texts_of(result);
    Datum *texts = palloc(sizeof(Datum) * (r->npages + 1));
    StringInfoData s;

    initStringInfo(&s);
    for (int i = 0; i < r->npages; i++)
    {
        resetStringInfo(&s);
        flow_append_text(&s, &r->pages[i]);
        texts[i] = PointerGetDatum(
            cstring_to_text_with_len(s.data, pg_mbcharcliplen(s.data, s.len, SEARCHED_MOST)));
    }
    return PointerGetDatum(construct_array(texts, r->npages, TEXTOID, -1, false, TYPALIGN_INT));
}

static char *
not_corrected(const Watch *w)
{
    return psprintf(
        " WHERE NOT EXISTS (SELECT FROM %s c WHERE %s AND c.current AND c.page = p.page "
        "AND c.corrected_by IS NOT NULL AND c.sha256 = $%d)",
        results_of(w), key_condition(w, w->result_keys, "c.", 1), w->nkeys + 3);
}

/* One row per page, but for those that were corrected: they are current still. */
static void
insert_pages(const Watch *w, const Job *item, Jsonb *result, Datum texts, int version)
{
    Arguments a = {0};
    int n = w->nkeys;

    add_key(&a, w, item->key);
    add_argument(&a, JSONBOID, JsonbPGetDatum(result), false);
    add_int(&a, version);
    add_text(&a, item->sha256_hex);
    add_text(&a, item->request);
    add_bool(&a, w->store_result);
    add_argument(&a, TEXTARRAYOID, texts, false);
    run_kept_sql(
        psprintf(
            "INSERT INTO %s (%s, page, version, current, status, search_text, result, confidence, "
            "model, sha256) SELECT %s, p.page, $%d, true, p.status, ($%d::text[])[p.o], CASE WHEN "
            "$%d THEN p.e || "
            "coalesce((SELECT s - 'page' FROM jsonb_array_elements($%d->'error_status') s "
            "WHERE s->'page' = p.e->'page' LIMIT 1), '{}') || jsonb_build_object('metadata', "
            "($%d->'metadata') - '{cached,started_at,duration_ms,tokens}'::text[] || "
            "jsonb_build_object('request', $%d::text)) END, "
            "p.confidence, $%d->'metadata'->>'model', $%d FROM (SELECT (e->>'page')::int AS page, "
            "coalesce(e->>'status', 'error') AS status, (e->>'confidence')::real AS confidence, e, "
            "o FROM jsonb_array_elements($%d->'document'->'pages') WITH ORDINALITY u(e, o)) p%s",
            results_of(w), column_list(w, w->result_keys), parameter_list(w, 1), n + 2, n + 6,
            n + 5, n + 1, n + 1, n + 4, n + 1, n + 3, n + 1, version > 1 ? not_corrected(w) : ""),
        &a);
}

/* Page 0 stands for a document that could not be opened, or has no page. */
static void
insert_unread(const Watch *w, const Job *item, int version, const char *code, const char *message)
{
    Arguments a = {0};
    int n = w->nkeys;

    add_key(&a, w, item->key);
    add_int(&a, version);
    add_text(&a, item->sha256_hex[0] ? item->sha256_hex : NULL);
    add_text(&a, code);
    add_text(&a, message);
    run_kept_sql(
        psprintf("INSERT INTO %s (%s, page, version, status, sha256, result) "
                 "SELECT %s, 0, $%d, 'error', $%d, jsonb_build_object('page', 0, 'status', "
                 "'error', 'error_code', $%d::text, 'error_message', $%d::text)",
                 results_of(w), column_list(w, w->result_keys), parameter_list(w, 1), n + 1, n + 2,
                 n + 3, n + 4),
        &a);
}

/* Asked for again, and nothing has come of it: the same pages failed in the same way. */
static bool
is_same_failure(const Watch *w, const Job *item, Jsonb *result, Datum texts)
{
    Arguments a = {0};
    int n = w->nkeys;

    add_key(&a, w, item->key);
    add_argument(&a, JSONBOID, JsonbPGetDatum(result), false);
    add_text(&a, item->sha256_hex);
    add_argument(&a, TEXTARRAYOID, texts, false);
    return run_kept_sql(
               psprintf(
                   "SELECT WHERE (SELECT jsonb_agg(jsonb_build_array(page, status, "
                   "search_text, model) "
                   "ORDER BY page) FROM %s WHERE %s AND current AND sha256 = $%d) = "
                   "(SELECT jsonb_agg(jsonb_build_array((e->>'page')::int, e->>'status', "
                   "($%d::text[])[o], $%d->'metadata'->>'model') ORDER BY "
                   "(e->>'page')::int) "
                   "FROM jsonb_array_elements($%d->'document'->'pages') WITH ORDINALITY u(e, o))",
                   results_of(w), key_condition(w, w->result_keys, "", 1), n + 2, n + 3, n + 1,
                   n + 1),
               &a) > 0;
}

/* As the owner. */
static void
store_pages(const Watch *w, const Job *item, Jsonb *result, Datum texts)
{
    int version;

    if (item->force && is_same_failure(w, item, result, texts))
        return;
    version = retire_older(w, item);
    if (json_length(json_pages(result)) > 0)
        insert_pages(w, item, result, texts, version);
    else
        insert_unread(w, item, version, "no_pages", "the document has no page");
}

/* False: it is not wanted. */
static bool
store_row(const Watch *w, Job *item, Jsonb *whole)
{
    bool there = false, ours;
    Scope scope;
    Datum texts;

    lock_key(item);
    if (w)
    {
        scope_enter(&scope, w->owner);
        there = lock_source(w, item);
        scope_leave(&scope);
    }
    ours = take_jobs(item);
    if (!ours || (there && is_outdated(item)))
        return false;
    pages_forget(item);
    if (!there)
    {
        row_is_gone(item);
        return false;
    }
    texts = search_texts(whole);
    scope_enter(&scope, w->owner);
    store_pages(w, item, whole, texts);
    scope_leave(&scope);
    return true;
}

static void
notify_done(int64 job)
{
    char payload[32];

    snprintf(payload, sizeof payload, INT64_FORMAT, job);
    Async_Notify("dsocr", payload);
}

static bool
store_inbox(Job *item, Jsonb *whole)
{
    Arguments a = {0};

    if (!take_jobs(item))
        return false;
    pages_forget(item);
    add_bigint(&a, item->newest);
    add_argument(&a, JSONBOID, JsonbPGetDatum(whole), false);
    run_kept_sql("UPDATE dsocr.inbox SET doc = NULL, result = $2, error = NULL, finished_at = "
                 "now() WHERE job = $1",
                 &a);
    notify_done(item->newest);
    return true;
}

int
store_answers(Job *const *items, int n, int ms)
{
    TimestampTz start = GetCurrentTimestamp();
    List *tallies = NIL;
    Watch *w = NULL;
    int i = 0;

    do
    {
        Job *item = items[i];
        Jsonb *last = answer_jsonb(item->question.reply, item->question.nreply);
        Jsonb *whole = item->nkept > 0 ? pages_whole(item, last) : last;

        if (item->watch == 0 ? store_inbox(item, whole)
                             : store_row(watch_again(&w, item->watch), item, whole))
            tallies = tally_pages(tallies, item->watch, last, 1);
    } while (++i < n && !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), ms));
    tally_store(tallies);
    return i;
}

/* Locks the claim's job rows, and says there how many pages the document has. A page that was read is a reason to think
 * that what ended the engine before was another. False: the claim is another's by now. */
static bool
hold_jobs(const Job *item, int pages, bool one_is_read)
{
    Arguments a = {0};

    add_bigint(&a, item->token);
    add_int(&a, pages);
    add_bool(&a, one_is_read);
    return run_kept_sql("UPDATE dsocr.job SET pages = $2, crashes = CASE WHEN $3 THEN 0 ELSE "
                        "crashes END WHERE token = $1 AND state = 'claimed'",
                        &a) > 0 ||
           planted("token") || planted("early");
}

bool
store_page(Job *item, const char *json, size_t n)
{
    Jsonb *part = answer_jsonb(json, n);

    item->page_count = json_get_int(json_get_container(&part->root, "document"), "page_count", 0);
    if (!hold_jobs(item, item->page_count, true))
        return false;
    if (is_outdated(item))
    {
        take_jobs(item);
        return false;
    }
    item->crashes = 0;
    pages_add(item, part);
    tally_store(tally_pages(NIL, item->watch, part, 0));
    return true;
}

void
store_page_count(Job *item, int pages)
{
    hold_jobs(item, pages, false);
}

static char *
error_json(const AnswerError *e)
{
    StringInfoData s;

    initStringInfo(&s);
    appendStringInfoString(&s, "{\"error_code\": ");
    escape_json(&s, e->code);
    appendStringInfoString(&s, ", \"error_message\": ");
    escape_json(&s, e->message);
    appendStringInfo(&s, ", \"sqlstate\": \"%s\"}", unpack_sql_state(e->sqlstate));
    return s.data;
}

/* Of the claim's job rows the newest stays, as dead. False: the claim is another's by now, or a newer job is there. */
static bool
bury_jobs(const Job *item, const AnswerError *e)
{
    Arguments a = {0};

    if (is_outdated(item))
    {
        take_jobs(item);
        return false;
    }
    add_claim(&a, item);
    add_text(&a, e->code);
    add_text(&a, e->message);
    add_int(&a, item->attempts);
    add_int(&a, item->crashes);
    add_text(&a, e->detail);
    add_text(&a, e->hint);
    if (run_kept_sql("UPDATE dsocr.job SET state = 'dead', token = NULL, error_code = $5, "
                     "error_message = $6, error_detail = $9, error_hint = $10, "
                     "attempts = $7, crashes = $8, failed_at = now() WHERE watch = $1 AND key = $2 "
                     "AND token = $3 AND id = $4 AND state = 'claimed'",
                     &a) == 0)
        return false;
    run_kept_sql("DELETE FROM dsocr.job WHERE watch = $1 AND key = $2 AND $3 IS NOT NULL AND id < "
                 "$4 AND state "
                 "<> 'gone'",
                 (a.n = 4, &a));
    return true;
}

static void
bury_inbox(Job *item, const AnswerError *e)
{
    Arguments a = {0};

    if (!bury_jobs(item, e))
        return;
    pages_forget(item);
    add_bigint(&a, item->newest);
    add_text(&a, error_json(e));
    run_kept_sql("UPDATE dsocr.inbox SET error = $2::jsonb, finished_at = now() WHERE job = $1",
                 &a);
    notify_done(item->newest);
}

/* The pages that were read before are not thrown away. */
static void
store_failure(const Watch *w, Job *item, const AnswerError *e)
{
    Jsonb *whole = pages_given_up(item, e);
    Datum texts = whole ? search_texts(whole) : (Datum)0;
    Scope scope;

    scope_enter(&scope, w->owner);
    if (whole)
        store_pages(w, item, whole, texts);
    else
        insert_unread(w, item, retire_older(w, item), e->code, e->message);
    scope_leave(&scope);
}

void
store_dead(Job *item, const AnswerError *e, bool with_row)
{
    Watch *w = item->watch != 0 && with_row ? load_watch(item->watch) : NULL;
    bool there = false;
    Scope scope;

    if (item->watch == 0)
    {
        bury_inbox(item, e);
        return;
    }
    lock_key(item);
    if (w)
    {
        scope_enter(&scope, w->owner);
        there = lock_source(w, item);
        scope_leave(&scope);
    }
    if (!bury_jobs(item, e))
        return;
    if (there)
        store_failure(w, item, e);
    pages_forget(item);
}

/* ---- backfill ---- */

/* Where the last transaction ended: "(a, b) > ($1, $2)", or nothing at the beginning. */
static char *
after_condition(const Watch *w, Arguments *a, Datum after, bool beginning)
{
    if (beginning)
        return "true";
    add_key(a, w, after);
    return psprintf("(%s) > (%s)", column_list(w, w->keys), parameter_list(w, 1));
}

static void
enqueue_key(int watch, Datum key)
{
    Arguments a = {0};

    add_int(&a, watch);
    add_argument(&a, TEXTARRAYOID, key, false);
    run_kept_sql("INSERT INTO dsocr.job (watch, key) VALUES ($1, $2)", &a);
}

/* Rows without a current result; the filter has spoken before, so that it may name the table. */
static const char *
missing_condition(const Watch *w)
{
    return psprintf("NOT EXISTS (SELECT FROM %s r WHERE r.current AND %s)", results_of(w),
                    same_key_condition(w, "s", "r"));
}

/* The next keys, as the queue keeps them: text[] each. As the owner. */
static Datum *
next_keys(const Watch *w, Datum after, bool beginning, const char *which, uint64 *n)
{
    Arguments a = {0};
    char *condition = after_condition(w, &a, after, beginning);
    char *list = column_list(w, w->keys);
    char **texts = palloc(sizeof(char *) * w->nkeys);
    Datum *keys;

    *n = run_sql(
        psprintf("SELECT %s FROM (SELECT * FROM %s WHERE %s IS NOT NULL AND (%s)) s WHERE %s "
                 "AND %s ORDER BY %s LIMIT %d",
                 list, source_of(w), quote_identifier(w->column), w->filter ? w->filter : "true",
                 condition, which, list, BACKFILL_KEYS),
        &a, 0);
    keys = palloc(sizeof(Datum) * (*n + 1));
    for (uint64 i = 0; i < *n; i++)
    {
        for (int k = 0; k < w->nkeys; k++)
            texts[k] = got_string(i, k + 1);
        keys[i] = key_array(texts, w->nkeys);
    }
    return keys;
}

int
store_missing(int watch, Datum *after)
{
    Scope state, owner;
    Datum *keys;
    Watch *w;
    uint64 n;

    scope_enter(&state, state_owner());
    if ((w = load_watch(watch)) == NULL)
        no_such_watch(watch);
    scope_enter(&owner, w->owner);
    keys = next_keys(w, *after, *after == (Datum)0, missing_condition(w), &n);
    scope_leave(&owner);
    for (uint64 i = 0; i < n; i++)
        enqueue_key(watch, keys[i]);
    scope_leave(&state);
    *after = n == BACKFILL_KEYS ? SPI_datumTransfer(keys[n - 1], false, -1) : (Datum)0;
    return (int)n;
}

bool
store_backfill(int watch)
{
    Watch *w = load_watch(watch);
    Arguments a = {0};
    bool beginning;
    Datum after, *keys;
    uint64 n;
    Scope scope;

    if (w == NULL)
        return false;
    add_int(&a, watch);
    if (run_kept_sql("SELECT backfill_after FROM dsocr.watch WHERE id = $1 AND backfill FOR UPDATE",
                     &a) == 0)
        return false;
    after = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &beginning);
    scope_enter(&scope, w->owner);
    keys = next_keys(w, after, beginning, "true", &n);
    scope_leave(&scope);
    for (uint64 i = 0; i < n; i++)
        enqueue_key(watch, keys[i]);
    add_argument(&a, TEXTARRAYOID, n > 0 ? keys[n - 1] : (Datum)0, n == 0);
    add_bool(&a, n == BACKFILL_KEYS);
    run_kept_sql("UPDATE dsocr.watch SET backfill = $3, backfill_after = $2 WHERE id = $1", &a);
    return n == BACKFILL_KEYS;
}

/* store_pages.c - finished pages of documents that are not finished.
 *
 * A page that is told before the rest of its document goes into dsocr.page, with the document's hash, the model and the
 * question. Whatever dies, the next claim of the key asks for the other pages only. Results get all pages at once, when
 * the last one is read: so what is current there is always a whole document. */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "module.h"
#include "state.h"
#include "store_pages.h"

static void
add_key_of(Arguments *a, const Job *item)
{
    add_int(a, item->watch);
    add_argument(a, TEXTARRAYOID, item->key, false);
}

static void
add_question(Arguments *a, const Job *item)
{
    char model[sizeof engine_state->model];

    loaded_model(model);
    add_text(a, item->sha256_hex);
    add_text(a, item->request);
    add_text(a, model);
}

void
pages_forget(Job *item)
{
    Arguments a = {0};

    if (!item->has_pages)
        return;
    add_key_of(&a, item);
    run_kept_sql("DELETE FROM dsocr.page WHERE watch = $1 AND key = $2", &a);
    item->has_pages = false;
    item->nkept = 0;
}

/* ---- going on ---- */

/* Marks in wanted [n] the pages of "all" or "1-3,7"; the engine has found the words good before. */
static void
mark_pages(const char *spec, bool *wanted, int n)
{
    int first, last, used;

    if (strspn(spec, " 0123456789,-") < strlen(spec))
        memset(wanted, true, n);
    else
        for (; *spec; spec += used + (spec[used] == ','))
        {
            used = 0;
            if (sscanf(spec, "%d %n- %d %n", &first, &used, &last, &used) < 2)
                last = first;
            if (used == 0)
                return;
            for (int page = Max(first, 1); page <= Min(last, n); page++)
                wanted[page - 1] = true;
        }
}

int
pages_left(const Job *item)
{
    bool *wanted = palloc0(item->page_count + 1);
    int n = 0;

    mark_pages(item->pages, wanted, item->page_count);
    for (int i = 0; i < item->page_count; i++)
        n += wanted[i];
    pfree(wanted);
    return n - item->nkept;
}

/* "41-60", or "" */
static char *
list_pages(const bool *wanted, int n)
{
    StringInfoData s;

    initStringInfo(&s);
    for (int first = 0, last; first < n; first = last)
    {
        last = first + 1;
        if (!wanted[first])
            continue;
        while (last < n && wanted[last])
            last++;
        appendStringInfo(&s, "%s%d-%d", s.len > 0 ? "," : "", first + 1, last);
    }
    return s.data;
}

void
pages_resume(Job *item)
{
    Arguments a = {0};
    bool *wanted;
    char *rest;

    if (!item->has_pages)
        return;
    add_key_of(&a, item);
    add_question(&a, item);
    run_kept_sql("DELETE FROM dsocr.page WHERE watch = $1 AND key = $2 AND (sha256, request, "
                 "model) IS DISTINCT FROM ($3, $4, $5)",
                 &a);
    a.n = 2;
    item->nkept = (int)run_kept_sql(
        "SELECT page, page_count FROM dsocr.page WHERE watch = $1 AND key = $2 ORDER BY page", &a);
    if (item->nkept == 0)
        return;
    item->page_count = (int)got_bigint(0, 2, 0);
    wanted = palloc0(item->page_count + 1);
    mark_pages(item->pages, wanted, item->page_count);
    for (int i = 0; i < item->nkept; i++)
    {
        int page = (int)got_bigint(i, 1, 0);

        if (page >= 1 && page <= item->page_count)
            wanted[page - 1] = false;
    }
    rest = list_pages(wanted, item->page_count);
    if (*rest)
        store_ask_for(item, rest);
    else
        pages_forget(item); /* the last one is always asked for: what is this? */
}

/* ---- one page ---- */

void
pages_add(Job *item, Jsonb *part)
{
    Arguments a = {0};

    add_key_of(&a, item);
    add_text(&a, item->sha256_hex);
    add_text(&a, item->request);
    add_argument(&a, JSONBOID, JsonbPGetDatum(part), false);
    run_kept_sql("INSERT INTO dsocr.page (watch, key, page, sha256, request, model, page_count, "
                 "part) SELECT $1, $2, ($5->'document'->'pages'->0->>'page')::int, $3, $4, "
                 "$5->'metadata'->>'model', ($5->'document'->>'page_count')::int, "
                 "$5 #- '{document,text}' ON CONFLICT DO NOTHING",
                 &a);
    item->has_pages = true;
    item->nkept++;
}

/* ---- all of it ---- */

static Jsonb *
got_jsonb(void)
{
    bool null;
    Datum datum = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);

    return null ? NULL : DatumGetJsonbP(datum);
}

Jsonb *
pages_whole(const Job *item, Jsonb *rest)
{
    Arguments a = {0};

    add_key_of(&a, item);
    add_argument(&a, JSONBOID, JsonbPGetDatum(rest), false);
    run_kept_sql(
        "WITH part AS (SELECT part AS j FROM dsocr.page WHERE watch = $1 AND key = $2 "
        "UNION ALL SELECT $3), "
        "page AS (SELECT e, (e->>'page')::int AS n FROM part, "
        "jsonb_array_elements(j->'document'->'pages') e) "
        "SELECT $3 || jsonb_build_object('document', ($3->'document') || jsonb_build_object("
        "'pages', (SELECT jsonb_agg(e ORDER BY n) FROM page), "
        "'text', (SELECT coalesce(string_agg(e->>'text', E'\\n\\n' ORDER BY n) "
        "FILTER (WHERE e->>'text' <> ''), '') FROM page)), "
        "'error_status', (SELECT coalesce(jsonb_agg(s ORDER BY (s->>'page')::int), '[]') FROM "
        "part, jsonb_array_elements(j->'error_status') s), "
        "'metadata', ($3->'metadata') || (SELECT jsonb_build_object("
        "'duration_ms', sum((j->'metadata'->>'duration_ms')::numeric), "
        "'tokens', jsonb_build_object('vision', "
        "sum((j->'metadata'->'tokens'->>'vision')::numeric), "
        "'output', sum((j->'metadata'->'tokens'->>'output')::numeric))) || jsonb_strip_nulls("
        "jsonb_build_object('replaced_characters', sum((j->'metadata'->>'replaced_characters')"
        "::int))) FROM part))",
        &a);
    return got_jsonb();
}

Jsonb *
pages_given_up(const Job *item, const AnswerError *e)
{
    Arguments a = {0};

    if (item->nkept == 0)
        return NULL;
    add_key_of(&a, item);
    add_text(&a, e->code);
    add_text(&a, e->message);
    if (run_kept_sql(
            "WITH kept AS (SELECT page, page_count, part FROM dsocr.page WHERE watch = $1 AND "
            "key = $2), "
            "missing AS (SELECT n FROM generate_series(1, (SELECT max(page_count) FROM kept)) n "
            "WHERE n NOT IN (SELECT page FROM kept)) "
            "SELECT part || jsonb_build_object('document', (part->'document') || "
            "jsonb_build_object('pages', (SELECT jsonb_agg(jsonb_build_object('page', n, 'status', "
            "'error', 'finish_reason', 'none', 'text', '', 'markdown', '', 'elements', "
            "'[]'::jsonb) "
            "ORDER BY n) FROM missing)), "
            "'error_status', (SELECT jsonb_agg(jsonb_build_object('page', n, 'error_code', "
            "$3::text, 'error_message', $4::text) ORDER BY n) FROM missing), "
            "'metadata', (part->'metadata') || '{\"duration_ms\": 0, \"tokens\": {\"vision\": 0, "
            "\"output\": 0}}') "
            "FROM kept ORDER BY page LIMIT 1",
            &a) == 0)
        return NULL;
    return pages_whole(item, got_jsonb());
}

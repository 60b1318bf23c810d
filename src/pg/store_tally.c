/* store_tally.c - what was read is counted: a row for each watch and model, which the views stats and coverage show.
 *
 * The counting is done here and not in SQL, since it is done for each page; the row is written once for all that is stored
 * in one transaction. How full the engine's batch is nobody tells for a page: it is looked at whenever one comes, as the
 * supervisor has last heard, at most a second ago. The rate of late is of what was read since reading began: where the
 * longest of the documents was begun more than a minute after the last page before it, the queue had nothing to do. */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "answer.h"
#include "module.h"
#include "state.h"
#include "store_pages.h"

struct Tally
{
    int watch;
    const char *model;
    int documents, pages, failed, blank, looped, retries;
    int64 longest;                              /* ms, of one of its documents */
    int64 tokens, ms, decode, encode, generate; /* the last three: ms of its pages, by stage */
    double fill;                                /* summed over pages */
};

static void
count_page(Tally *t, JsonbContainer *page)
{
    char *status = json_get_string(page, "status");
    JsonbContainer *ms = json_get_container(page, "ms");

    t->pages++;
    t->retries += Max(json_get_int(page, "attempts", 1) - 1, 0);
    t->tokens += json_get_int(json_get_container(page, "tokens"), "output", 0);
    t->decode += json_get_int(ms, "decode", 0);
    t->encode += json_get_int(ms, "encode", 0);
    t->generate += json_get_int(ms, "generate", 0);
    if (status == NULL)
        return;
    t->failed += strcmp(status, "error") == 0;
    t->blank += strcmp(status, "blank") == 0;
    t->looped += strcmp(status, "repetition") == 0 || strcmp(status, "truncated") == 0;
}

/* 0 to 1 */
static double
batch_fill(void)
{
    uint32 slots = pg_atomic_read_u32(&engine_state->slots);

    return slots > 0 ? (double)pg_atomic_read_u32(&engine_state->slots_used) / slots : 0;
}

static Tally *
tally_of(List **tallies, int watch, const char *model)
{
    ListCell *cell;
    Tally *t;

    foreach (cell, *tallies)
    {
        t = lfirst(cell);
        if (t->watch == watch && strcmp(t->model, model) == 0)
            return t;
    }
    t = palloc0(sizeof *t);
    t->watch = watch;
    t->model = model;
    *tallies = lappend(*tallies, t);
    return t;
}

List *
tally_pages(List *tallies, int watch, Jsonb *result, int documents)
{
    JsonbContainer *pages = json_pages(result);
    JsonbContainer *metadata = json_get_container(&result->root, "metadata");
    char *model = json_get_string(metadata, "model");
    Tally *t = tally_of(&tallies, watch, model ? model : "");
    int64 ms = json_get_int(metadata, "duration_ms", 0);

    t->documents += documents;
    t->ms += ms;
    t->longest = Max(t->longest, ms);
    for (int i = 0; i < json_length(pages); i++)
        count_page(t, json_nth(pages, i));
    t->fill += batch_fill() * json_length(pages);
    return tallies;
}

static void
store_tally(const Tally *t)
{
    Arguments a = {0};

    add_int(&a, t->watch);
    add_text(&a, t->model);
    add_int(&a, t->documents);
    add_int(&a, t->pages);
    add_int(&a, t->failed);
    add_int(&a, t->blank);
    add_int(&a, t->looped);
    add_bigint(&a, t->tokens);
    add_bigint(&a, t->ms);
    add_int(&a, t->retries);
    add_bigint(&a, t->decode);
    add_bigint(&a, t->encode);
    add_bigint(&a, t->generate);
    add_argument(&a, FLOAT8OID, Float8GetDatum(t->fill), false);
    add_argument(&a, FLOAT8OID, Float8GetDatum(t->longest / 1000.0), false);
    run_kept_sql(
        "INSERT INTO dsocr.tally AS t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
        "$13, $14, $4, now() - make_interval(secs => $15), now(), now()) "
        "ON CONFLICT (watch, model) DO UPDATE SET documents = t.documents + excluded.documents, "
        "pages = t.pages + excluded.pages, failed_pages = t.failed_pages + excluded.failed_pages, "
        "blank_pages = t.blank_pages + excluded.blank_pages, "
        "looped_pages = t.looped_pages + excluded.looped_pages, "
        "tokens = t.tokens + excluded.tokens, ms = t.ms + excluded.ms, last_at = now(), "
        "retries = t.retries + excluded.retries, decode_ms = t.decode_ms + excluded.decode_ms, "
        "encode_ms = t.encode_ms + excluded.encode_ms, "
        "generate_ms = t.generate_ms + excluded.generate_ms, fill = t.fill + excluded.fill, "
        "recent_pages = excluded.recent_pages + CASE WHEN excluded.recent_since > t.last_at + "
        "interval '1 min' THEN 0 ELSE t.recent_pages * "
        "exp(-least(600, greatest(0, extract(epoch FROM now() - t.last_at))) / 60) END, "
        "recent_since = CASE WHEN excluded.recent_since > t.last_at + interval '1 min' "
        "THEN excluded.recent_since ELSE t.recent_since END",
        &a);
}

void
tally_store(List *tallies)
{
    ListCell *cell;

    foreach (cell, tallies)
        store_tally(lfirst(cell));
}

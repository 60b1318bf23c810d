/* store_tally.c - what was read is counted: a row for each watch and model, which the views stats and coverage show.
 *
 * The counting is done here and not in SQL, since it is done for each page; the row is written once for all that is stored
 * in one transaction. */
#include "compat.h"

#include "catalog/pg_type.h"

#include "answer.h"
#include "state.h"
#include "store_pages.h"

struct Tally
{
    int watch;
    const char *model;
    int documents, pages, failed, blank, looped;
    int64 tokens, ms;
};

static void
count_page(Tally *t, JsonbContainer *page)
{
    char *status = json_get_string(page, "status");

    t->pages++;
    t->tokens += json_get_int(json_get_container(page, "tokens"), "output", 0);
    if (status == NULL)
        return;
    t->failed += strcmp(status, "error") == 0;
    t->blank += strcmp(status, "blank") == 0;
    t->looped += strcmp(status, "repetition") == 0 || strcmp(status, "truncated") == 0;
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
    JsonbContainer *document = json_get_container(&result->root, "document");
    JsonbContainer *pages = json_get_container(document, "pages");
    JsonbContainer *metadata = json_get_container(&result->root, "metadata");
    char *model = json_get_string(metadata, "model");
    Tally *t = tally_of(&tallies, watch, model ? model : "");

    t->documents += documents;
    t->ms += json_get_int(metadata, "duration_ms", 0);
    for (int i = 0; i < json_length(pages); i++)
        count_page(t, json_container(getIthJsonbValueFromContainer(pages, i)));
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
    run_kept_sql(
        "INSERT INTO dsocr.tally AS t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $4, now(), "
        "now()) "
        "ON CONFLICT (watch, model) DO UPDATE SET documents = t.documents + excluded.documents, "
        "pages = t.pages + excluded.pages, failed_pages = t.failed_pages + excluded.failed_pages, "
        "blank_pages = t.blank_pages + excluded.blank_pages, "
        "looped_pages = t.looped_pages + excluded.looped_pages, "
        "tokens = t.tokens + excluded.tokens, ms = t.ms + excluded.ms, last_at = now(), "
        "recent_pages = excluded.recent_pages + t.recent_pages * "
        "exp(-least(600, greatest(0, extract(epoch FROM now() - t.last_at))) / 60)",
        &a);
}

void
tally_store(List *tallies)
{
    ListCell *cell;

    foreach (cell, tallies)
        store_tally(lfirst(cell));
}

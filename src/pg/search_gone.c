/* search_gone.c - a search does not show what was read of rows that are gone, though it is there until the queue has run.
 *
 * The queue's notes (store_gone.c), as this statement sees them, are followed for each key that was found: where would its
 * results be when all of them are done? Mostly there is no note, and nothing to follow. */
#include "compat.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "search.h"
#include "state.h"

#define OTHERS_MOST 100 /* notes of other watches that are looked at */

typedef struct Note
{
    int64 id;      /* 0: none */
    Datum becomes; /* text[]; 0: it is deleted, or all were, or those of a partition */
    bool taken;    /* the key is what another row's becomes */
} Note;

/* ---- notes ---- */

static bool
is_note(Relation jobs, HeapTuple row)
{
    return row_says(jobs, row, "state", "gone");
}

bool
gone_notes(int watch)
{
    Relation jobs = state_table("job", AccessShareLock);
    StateRows notes;
    HeapTuple row;
    bool found = false, null;

    rows_begin(&notes, jobs, "job_gone", 0, NULL, GetActiveSnapshot());
    for (int others = 0; !found && HeapTupleIsValid(row = rows_next(&notes));)
        if (is_note(jobs, row))
            found = DatumGetInt32(row_column(jobs, row, "watch", &null)) == watch ||
                    ++others == OTHERS_MOST;
    rows_end(&notes);
    table_close(jobs, AccessShareLock);
    return found;
}

/* The first one behind `after` whose `name` this key is, if that is before what was found. */
static void
find_note(Relation jobs, int watch, const char *index, const char *name, Datum key, int64 after,
          Note *found)
{
    StateRows notes;
    HeapTuple row;

    rows_of_key(&notes, jobs, index, name, watch, key, GetActiveSnapshot());
    while (HeapTupleIsValid(row = rows_next(&notes)))
    {
        bool null;
        int64 id = DatumGetInt64(row_column(jobs, row, "id", &null));
        Datum becomes;

        if (id <= after || (found->id && id > found->id) || !is_note(jobs, row))
            continue;
        *found = (Note){.id = id, .taken = strcmp(name, "becomes") == 0};
        becomes = row_column(jobs, row, "becomes", &null);
        if (!null && ARR_NDIM(DatumGetArrayTypeP(becomes)) > 0)
            found->becomes = PointerGetDatum(DatumGetArrayTypePCopy(becomes));
    }
    rows_end(&notes);
}

/* The next one that has to do with this key. */
static Note
next_note(int watch, Datum key, int64 after)
{
    Relation jobs = state_table("job", AccessShareLock);
    Datum all = PointerGetDatum(construct_empty_array(TEXTOID));
    Note note = {0};

    find_note(jobs, watch, "job_key", "key", key, after, &note);
    find_note(jobs, watch, "job_key", "key", all, after, &note);
    find_note(jobs, watch, "job_becomes", "becomes", key, after, &note);
    table_close(jobs, AccessShareLock);
    return note;
}

/* ---- keys ---- */

/* text[], as the trigger makes it. */
static Datum
key_of(const Searched *w, const Oid *types, const Datum *values)
{
    char **texts = palloc(sizeof(char *) * w->nkeys);

    for (int i = 0; i < w->nkeys; i++)
    {
        Oid output;
        bool varlena;

        getTypeOutputInfo(types[i], &output, &varlena);
        texts[i] = OidOutputFunctionCall(output, values[i]);
    }
    return key_array(texts, w->nkeys);
}

static void
read_key(const Searched *w, const Oid *types, Datum key, Datum *values)
{
    int n;
    char **texts = texts_of_array(key, &n);

    if (n != w->nkeys)
        elog(ERROR, "a note has a key of %d columns, watch %d one of %d", n, w->watch, w->nkeys);
    for (int i = 0; i < n; i++)
    {
        Oid input, parameter;

        getTypeInputInfo(types[i], &input, &parameter);
        values[i] = OidInputFunctionCall(input, texts[i], parameter, -1);
    }
}

/* ---- the source ---- */

static Oid
owner_of(Oid relation)
{
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    Oid owner = InvalidOid;

    if (HeapTupleIsValid(tuple))
    {
        owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
        ReleaseSysCache(tuple);
    }
    return owner;
}

/* As the owner, like the queue: whether results are there does not depend on what of the source the caller may see. */
static bool
has_row(const Searched *w, const Oid *types, Datum *values)
{
    Oid owner = OidIsValid(w->source) ? owner_of(w->source) : InvalidOid;
    StringInfoData sql;
    Scope scope;
    bool found;

    if (!OidIsValid(owner))
        return false;
    initStringInfo(&sql);
    appendStringInfo(&sql, "SELECT FROM %s",
                     quote_qualified_identifier(get_namespace_name(get_rel_namespace(w->source)),
                                                get_rel_name(w->source)));
    for (int i = 0; i < w->nkeys; i++)
        appendStringInfo(&sql, " %s %s = $%d", i > 0 ? "AND" : "WHERE",
                         quote_identifier(w->keys[i]), i + 1);
    scope_enter(&scope, owner);
    connect_spi();
    if (SPI_execute_with_args(sql.data, w->nkeys, (Oid *)types, values, NULL, true, 1) < 0)
        elog(ERROR, "SPI failed: %s", SPI_result_code_string(SPI_result));
    found = SPI_processed > 0;
    SPI_finish();
    scope_leave(&scope);
    return found;
}

/* ---- the entry ---- */

/* What store_gone would do, note by note; but rows of partitions that were detached are not looked for. */
static bool
follow(const Searched *w, const Oid *types, Datum *values)
{
    Datum key = key_of(w, types, values);
    Note note = {0};

    while ((note = next_note(w->watch, key, note.id)).id)
        if (note.taken || (note.becomes == (Datum)0 && !has_row(w, types, values)))
            return false;
        else if (note.becomes)
            read_key(w, types, key = note.becomes, values);
    return true;
}

bool
gone_follow(const Searched *w, const Oid *types, Datum *values)
{
    int level = fixed_output();
    bool lives = follow(w, types, values);

    AtEOXact_GUC(false, level);
    return lives;
}

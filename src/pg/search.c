/* search.c - dsocr_search: the best pages that a watch has read, with their hits.
 *
 * All statements run as the caller, so who may not read the results finds nothing out, and with a search_path of their own.
 * The statement on a table of results is planned once in a session, for any query; the server plans it again when the table,
 * a right or a policy has changed. Sharp edge: nothing tells it that a table has grown, so it is planned anew here. */
#include "compat.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "tsearch/ts_utils.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "functions.h"
#include "hits.h"
#include "search.h"
#include "state.h"

PG_FUNCTION_INFO_V1(dsocr_search_watch);
PG_FUNCTION_INFO_V1(dsocr_search_source);
PG_FUNCTION_INFO_V1(dsocr_search_named);

#define SEARCH_COLUMNS 5

/* A page that was found. */
typedef struct Found
{
    float4 rank;
    int page;
    Datum key; /* jsonb */
    Datum text, tsv, result;
    TSQuery query; /* what is marked */
    Oid config;
} Found;

/* A search; as what receives the rows of its statements. */
typedef struct Search
{
    DestReceiver receiver; /* first */
    ReturnSetInfo *rows;
    text *words;
    int64 lim;
    float4 fuzzy;  /* 0: exactly */
    bool snippets; /* and highlights */

    MemoryContext context, row; /* of the call; of one row */
    List *found;                /* of several watches, until all have been searched */
    bool several;
    FmgrInfo to_jsonb; /* of a record */

    /* of the watch that is being searched */
    const Searched *w;
    TSQuery query;
    TupleDesc key;
    Oid *types; /* of the key */
    int64 n;
} Search;

/* ---- rows ---- */

static void
put_row(Search *s, const Found *f)
{
    Datum values[SEARCH_COLUMNS] = {f->key, Int32GetDatum(f->page), Float4GetDatum(f->rank)};
    bool nulls[SEARCH_COLUMNS] = {false, false, false, !s->snippets, !s->snippets};

    if (s->snippets)
        show_page(f->query, f->config, f->text, f->tsv, f->result, &values[3], &values[4]);
    tuplestore_putvalues(s->rows->setResult, s->rows->setDesc, values, nulls);
}

static Datum
kept_value(Datum value, bool null)
{
    return null ? (Datum)0 : datumCopy(value, false, -1);
}

/* In the context of the call. */
static void
keep_row(Search *s, const Found *f)
{
    Found *kept = palloc(sizeof *kept);

    *kept = *f;
    kept->key = datumCopy(f->key, false, -1);
    kept->text = kept_value(f->text, f->text == (Datum)0);
    kept->tsv = kept_value(f->tsv, f->tsv == (Datum)0);
    kept->result = kept_value(f->result, f->result == (Datum)0);
    kept->query = (TSQuery)DatumGetPointer(datumCopy(PointerGetDatum(f->query), false, -1));
    s->found = lappend(s->found, kept);
}

/* What the row's key is called and is made of. */
static void
describe_key(Search *s, TupleDesc desc)
{
    s->key = CreateTemplateTupleDesc(s->w->nkeys);
    s->types = palloc(sizeof(Oid) * s->w->nkeys);
    for (int i = 0; i < s->w->nkeys; i++)
    {
        TupleDescCopyEntry(s->key, i + 1, desc, FOUND_KEY + i + 1);
        namestrcpy(&TupleDescAttr(s->key, i)->attname, s->w->keys[i]);
        s->types[i] = TupleDescAttr(desc, FOUND_KEY + i)->atttypid;
    }
    s->key = BlessTupleDesc(s->key);
}

static Datum
json_key(Search *s, Datum *values)
{
    bool *nulls = palloc0(sizeof(bool) * s->w->nkeys);

    return FunctionCall1(&s->to_jsonb, HeapTupleGetDatum(heap_form_tuple(s->key, values, nulls)));
}

static Datum
column(TupleTableSlot *slot, int i)
{
    return slot->tts_isnull[i] ? (Datum)0 : slot->tts_values[i];
}

static void
take_row(Search *s, TupleTableSlot *slot)
{
    Datum *key = slot->tts_values + FOUND_KEY;
    int marks = FOUND_KEY + s->w->nkeys;
    Found f = {.rank = DatumGetFloat4(slot->tts_values[FOUND_RANK]),
               .page = DatumGetInt32(slot->tts_values[FOUND_PAGE]),
               .text = column(slot, FOUND_TEXT),
               .tsv = column(slot, FOUND_TSV),
               .result = column(slot, FOUND_RESULT),
               .query = s->fuzzy > 0 ? DatumGetTSQuery(slot->tts_values[marks]) : s->query,
               .config = s->w->config};

    if (s->w->has_notes)
    {
        key = memcpy(palloc(sizeof(Datum) * s->w->nkeys), key, sizeof(Datum) * s->w->nkeys);
        if (!gone_follow(s->w, s->types, key))
            return;
    }
    s->n++;
    f.key = json_key(s, key);
    if (!s->several)
        put_row(s, &f);
    else
    {
        MemoryContextSwitchTo(s->context);
        keep_row(s, &f);
    }
}

/* False: there are enough. */
static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
    Search *s = (Search *)self;
    MemoryContext old = MemoryContextSwitchTo(s->context);

    if (s->key == NULL)
        describe_key(s, slot->tts_tupleDescriptor);
    MemoryContextSwitchTo(s->row);
    slot_getallattrs(slot);
    take_row(s, slot);
    MemoryContextSwitchTo(old);
    MemoryContextReset(s->row);
    return s->n < s->lim;
}

static void
start_receiving(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
stop_receiving(DestReceiver *self)
{
}

/* ---- plans ---- */

#define KEPT_MOST 32

typedef struct Kept
{
    char *sql; /* NULL: free */
    SPIPlanPtr plan;
    BlockNumber pages; /* of the results, when it was made */
    uint64 used;
} Kept;

static Kept kept[KEPT_MOST];
static uint64 uses;
static int running; /* statements: a search may be part of what another one reads */

static BlockNumber
pages_of(Oid relation)
{
    Relation r = table_open(relation, AccessShareLock);
    BlockNumber n = RELKIND_HAS_STORAGE(r->rd_rel->relkind) ? RelationGetNumberOfBlocks(r) : 0;

    table_close(r, NoLock);
    return n;
}

static void
forget(Kept *k)
{
    SPI_freeplan(k->plan);
    pfree(k->sql);
    k->sql = NULL;
}

/* For this statement, or else the one that has not been used for longest. */
static Kept *
place_for(const char *sql)
{
    Kept *oldest = &kept[0];

    for (int i = 0; i < KEPT_MOST; i++)
        if (kept[i].sql && strcmp(kept[i].sql, sql) == 0)
            return &kept[i];
        else if (kept[i].sql == NULL || (oldest->sql && kept[i].used < oldest->used))
            oldest = &kept[i];
    if (oldest->sql)
        forget(oldest);
    return oldest;
}

static SPIPlanPtr
prepare(const char *sql, int n, Oid *types, int options)
{
    SPIPlanPtr plan = SPI_prepare_cursor(sql, n, types, options);

    if (plan == NULL)
        elog(ERROR, "SPI failed: %s", SPI_result_code_string(SPI_result));
    return plan;
}

#define EXACT_TYPES ((Oid[]){TSQUERYOID, INT8OID})

/* While none is running: its plan must not be forgotten. */
static SPIPlanPtr
kept_plan(const char *sql, Oid results)
{
    Kept *k = place_for(sql);
    BlockNumber pages = pages_of(results);

    if (k->sql && pages > 2 * k->pages + 16)
        forget(k);
    if (k->sql == NULL)
    {
        SPIPlanPtr plan = prepare(sql, 2, EXACT_TYPES, CURSOR_OPT_GENERIC_PLAN);
        char *copy = MemoryContextStrdup(TopMemoryContext, sql);

        if (SPI_keepplan(plan) != 0)
            elog(ERROR, "SPI failed: %s", SPI_result_code_string(SPI_result));
        *k = (Kept){.sql = copy, .plan = plan, .pages = pages};
    }
    k->used = ++uses;
    return k->plan;
}

/* Its rows go to the search. $2 is how many there are to be at most: all, if some of them will not be shown. */
static void
run(Search *s, SPIPlanPtr plan, ParamListInfo params)
{
    SPIExecuteOptions options = {.params = params, .read_only = true, .dest = &s->receiver};

    running++;
    PG_TRY();
    {
        int rc = SPI_execute_plan_extended(plan, &options);

        if (rc < 0)
            elog(ERROR, "SPI failed: %s", SPI_result_code_string(rc));
    }
    PG_FINALLY();
    {
        running--;
    }
    PG_END_TRY();
}

static void
set_parameter(ParamListInfo params, int i, Oid type, Datum value, bool null)
{
    params->params[i - 1] = (ParamExternData){
        .value = value, .isnull = null, .pflags = PARAM_FLAG_CONST, .ptype = type};
}

static ParamListInfo
parameters(const Search *s, int n, Oid type, Datum first)
{
    ParamListInfo params = makeParamList(n);

    set_parameter(params, 1, type, first, false);
    set_parameter(params, 2, INT8OID, Int64GetDatum(s->lim), s->w->has_notes);
    return params;
}

/* ---- exactly ---- */

static char *
columns(const Searched *w, const char *prefix)
{
    StringInfoData s;

    initStringInfo(&s);
    for (int i = 0; i < w->nkeys; i++)
        appendStringInfo(&s, "%s%s.%s", i > 0 ? ", " : "", prefix,
                         quote_identifier(w->result_keys[i]));
    return s.data;
}

static void
search_exactly(Search *s)
{
    char *key = columns(s->w, "t");
    char *sql =
        psprintf("SELECT ts_rank(t.tsv, $1), t.page, t.search_text, t.tsv, t.result, %s FROM %s t "
                 "WHERE t.current AND t.tsv @@ $1 ORDER BY 1 DESC, %s, t.page LIMIT $2",
                 key, s->w->table, key);

    s->query = DatumGetTSQuery(DirectFunctionCall2(
        websearch_to_tsquery_byid, ObjectIdGetDatum(s->w->config), PointerGetDatum(s->words)));
    run(s, running > 0 ? prepare(sql, 2, EXACT_TYPES, 0) : kept_plan(sql, s->w->results),
        parameters(s, 2, TSQUERYOID, PointerGetDatum(s->query)));
}

/* ---- fuzzily ---- */

/* The schema of pg_trgm, quoted; its library is loaded, so that its setting is there. */
static char *
find_trgm(void)
{
    char *schema;

    if (run_sql("SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e JOIN "
                "pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm'",
                NULL, 1) == 0)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("fuzzy search needs the extension pg_trgm"),
                        errhint("CREATE EXTENSION pg_trgm; or leave fuzzy out.")));
    schema = got_string(0, 1);
    run_sql(psprintf("SELECT %s.show_limit()", schema), NULL, 1);
    return schema;
}

/* text[]; 0: there is none. */
static Datum
words_of(Datum query)
{
    Arguments a = {0};
    bool null;
    Datum words;

    add_argument(&a, TEXTOID, query, false);
    run_sql("SELECT array_agg(DISTINCT lower(m[1])) FROM regexp_matches($1, '[[:alnum:]]+', 'g') m",
            &a, 1);
    words = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
    return null ? (Datum)0 : words;
}

/* AND t.search_text %> 'word' for each. As constants, so that an index of pg_trgm's can be used. */
static char *
resembling(const char *trgm, Datum words)
{
    StringInfoData s;
    int n;
    char **each = texts_of_array(words, &n);

    initStringInfo(&s);
    for (int i = 0; i < n; i++)
        appendStringInfo(&s, " AND t.search_text OPERATOR(%s.%%>) %s", trgm,
                         quote_literal_cstr(each[i]));
    return s.data;
}

/* Every word of the query resembles a word of the page. Those words of the page are what is marked. */
static void
search_fuzzily(Search *s)
{
    char *trgm = find_trgm(), *outer = columns(s->w, "f"), *inner = columns(s->w, "t");
    Datum words = words_of(PointerGetDatum(s->words));
    ParamListInfo params;
    SPIPlanPtr plan;
    char *sql;

    if (words == (Datum)0)
        return;
    set_here("pg_trgm.word_similarity_threshold", psprintf("%.9g", s->fuzzy));
    sql = psprintf(
        "SELECT f.rank, f.page, f.search_text, f.tsv, f.result, %s, m.marks "
        "FROM (SELECT (SELECT avg(%s.word_similarity(w, t.search_text))::real FROM unnest($1) w) "
        "AS rank, t.page, t.search_text, t.tsv, t.result, %s FROM %s t WHERE t.current%s "
        "ORDER BY 1 DESC, %s, t.page LIMIT $2) f, "
        "LATERAL (SELECT coalesce(string_agg('''' || replace(replace(l.lexeme, '\\', '\\\\'), "
        "'''', '''''') || '''', ' | '), '')::tsquery AS marks FROM unnest(f.tsv) l "
        "WHERE EXISTS (SELECT FROM unnest($1) w WHERE %s.similarity(l.lexeme, w) >= $3)) m",
        outer, trgm, inner, s->w->table, resembling(trgm, words), inner, trgm);
    plan = prepare(sql, 3, (Oid[]){TEXTARRAYOID, INT8OID, FLOAT4OID}, 0);
    params = parameters(s, 3, TEXTARRAYOID, words);
    set_parameter(params, 3, FLOAT4OID, Float4GetDatum(s->fuzzy), false);
    run(s, plan, params);
}

/* ---- the search ---- */

static void
search_watch(Search *s, const Searched *w)
{
    s->w = w;
    s->key = NULL;
    s->n = 0;
    if (s->fuzzy > 0)
        search_fuzzily(s);
    else
        search_exactly(s);
}

static int
by_rank(const ListCell *a, const ListCell *b)
{
    const Found *x = lfirst(a), *y = lfirst(b);
    int keys;

    if (x->rank != y->rank)
        return x->rank > y->rank ? -1 : 1;
    keys = compareJsonbContainers(&DatumGetJsonbP(x->key)->root, &DatumGetJsonbP(y->key)->root);
    return keys != 0 ? keys : x->page - y->page;
}

/* The best of what was found in several watches. */
static void
put_best(Search *s)
{
    ListCell *cell;

    list_sort(s->found, by_rank);
    MemoryContextSwitchTo(s->row);
    foreach (cell, s->found)
    {
        if (foreach_current_index(cell) >= s->lim)
            break;
        put_row(s, lfirst(cell));
        MemoryContextReset(s->row);
    }
    MemoryContextSwitchTo(s->context);
}

/* JIT is off: it would compile what is planned once each time that it is run. */
static void
search_all(Search *s, List *watches)
{
    int level = NewGUCNestLevel();
    ListCell *cell;

    set_here("search_path", "pg_catalog, pg_temp");
    set_here("jit", "off");
    s->several = list_length(watches) > 1;
    foreach (cell, watches)
        search_watch(s, lfirst(cell));
    if (s->several)
        put_best(s);
    AtEOXact_GUC(false, level);
}

static void
check_arguments(FunctionCallInfo fcinfo)
{
    if (PG_ARGISNULL(2) || PG_GETARG_INT32(2) < 1)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("lim must be at least 1")));
    if (!PG_ARGISNULL(3) && !(PG_GETARG_FLOAT4(3) >= 0.1f && PG_GETARG_FLOAT4(3) <= 1))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("fuzzy must be between 0.1 and 1"),
                        errhint("It is how much of a word must be right; 0.5 is a good start.")));
}

/* Arguments: what is searched, query, lim, fuzzy, snippets. */
static Datum
search(FunctionCallInfo fcinfo, List *watches)
{
    Search s = {.receiver = {.receiveSlot = receive,
                             .rStartup = start_receiving,
                             .rShutdown = stop_receiving,
                             .rDestroy = stop_receiving,
                             .mydest = DestNone}};

    check_arguments(fcinfo);
    InitMaterializedSRF(fcinfo, 0);
    if (PG_ARGISNULL(1))
        return (Datum)0;
    s.rows = (ReturnSetInfo *)fcinfo->resultinfo;
    s.words = PG_GETARG_TEXT_PP(1);
    s.lim = PG_GETARG_INT32(2);
    s.fuzzy = PG_ARGISNULL(3) ? 0 : PG_GETARG_FLOAT4(3);
    s.snippets = PG_ARGISNULL(4) || PG_GETARG_BOOL(4);
    prepare_to_jsonb(&s.to_jsonb);
    connect_spi();
    s.context = CurrentMemoryContext;
    s.row = AllocSetContextCreate(s.context, "dsocr_search row", ALLOCSET_DEFAULT_SIZES);
    search_all(&s, watches);
    SPI_finish();
    return (Datum)0;
}

static List *
require_watches(List *watches, const char *message, const char *hint)
{
    if (watches == NIL)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg_internal("%s", message),
                        errhint("%s", hint)));
    return watches;
}

Datum
dsocr_search_watch(PG_FUNCTION_ARGS)
{
    List *watches = PG_ARGISNULL(0) ? NIL : watch_to_search(PG_GETARG_INT32(0));
    const char *number = PG_ARGISNULL(0) ? "NULL" : psprintf("%d", PG_GETARG_INT32(0));

    return search(fcinfo, require_watches(watches, psprintf("watch %s does not exist", number),
                                          "dsocr.watches shows those that there are."));
}

/* source: InvalidOid: NULL. */
static Datum
search_source(FunctionCallInfo fcinfo, Oid source)
{
    List *watches = watches_to_search(source);
    const char *name = "NULL";

    if (watches == NIL && OidIsValid(source))
        name = DatumGetCString(DirectFunctionCall1(regclassout, ObjectIdGetDatum(source)));
    return search(fcinfo,
                  require_watches(watches, psprintf("%s is not attached", name),
                                  "SELECT dsocr_attach('table', 'column'); has its scans read."));
}

Datum
dsocr_search_source(PG_FUNCTION_ARGS)
{
    return search_source(fcinfo, PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0));
}

Datum
dsocr_search_named(PG_FUNCTION_ARGS)
{
    Oid source = InvalidOid;

    if (!PG_ARGISNULL(0))
        source = DatumGetObjectId(DirectFunctionCall1(
            regclassin, CStringGetDatum(text_to_cstring(PG_GETARG_TEXT_PP(0)))));
    return search_source(fcinfo, source);
}

/* state.c - SQL on the tables of the schema dsocr, as the owner of the extension, whoever asks. */
#include "compat.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "state.h"

Oid
state_owner(void)
{
    Oid job = find_relation("dsocr", "job");
    HeapTuple tuple = OidIsValid(job) ? SearchSysCache1(RELOID, ObjectIdGetDatum(job)) : NULL;
    Oid owner;

    if (!HeapTupleIsValid(tuple))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the extension dsocr is not installed in this database")));
    owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    return owner;
}

Oid
find_relation(const char *schema, const char *name)
{
    Oid namespace = get_namespace_oid(schema, true);

    return OidIsValid(namespace) ? get_relname_relid(name, namespace) : InvalidOid;
}

void
no_such_watch(int watch)
{
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("watch %d does not exist", watch),
                    errhint("dsocr.watches lists them.")));
    pg_unreachable();
}

void
set_here(const char *name, const char *value)
{
    (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                            false);
}

void
scope_enter(Scope *scope, Oid user)
{
    GetUserIdAndSecContext(&scope->user, &scope->security);
    scope->guc_level = NewGUCNestLevel();
    set_here("search_path", "pg_catalog, pg_temp");
    SetUserIdAndSecContext(user, scope->security | SECURITY_LOCAL_USERID_CHANGE |
                                     SECURITY_RESTRICTED_OPERATION);
}

void
scope_leave(Scope *scope)
{
    SetUserIdAndSecContext(scope->user, scope->security);
    AtEOXact_GUC(false, scope->guc_level);
}

/* ---- statements ---- */

void
connect_spi(void)
{
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
}

void
add_argument(Arguments *a, Oid type, Datum value, bool null)
{
    if (a->n == STATE_ARGUMENTS)
        elog(ERROR, "too many arguments");
    a->types[a->n] = type;
    a->values[a->n] = value;
    a->nulls[a->n++] = null ? 'n' : ' ';
}

void
add_int(Arguments *a, int32 value)
{
    add_argument(a, INT4OID, Int32GetDatum(value), false);
}

void
add_bigint(Arguments *a, int64 value)
{
    add_argument(a, INT8OID, Int64GetDatum(value), false);
}

void
add_bool(Arguments *a, bool value)
{
    add_argument(a, BOOLOID, BoolGetDatum(value), false);
}

void
add_text(Arguments *a, const char *value)
{
    add_argument(a, TEXTOID, value ? CStringGetTextDatum(value) : (Datum)0, value == NULL);
}

void
add_passed(Arguments *a, FunctionCallInfo fcinfo, int i, Oid type)
{
    add_argument(a, type, PG_ARGISNULL(i) ? (Datum)0 : PG_GETARG_DATUM(i), PG_ARGISNULL(i));
}

static const Arguments none;

uint64
run_sql(const char *sql, const Arguments *a, long limit)
{
    int rc;

    if (a == NULL)
        a = &none;
    rc = SPI_execute_with_args(sql, a->n, (Oid *)a->types, (Datum *)a->values, a->nulls, false,
                               limit);
    if (rc < 0)
        elog(ERROR, "SPI failed: %s", SPI_result_code_string(rc));
    return SPI_processed;
}

/* Plans by what they were made of. A few watches make a few dozen. */
#define KEPT_MAX 256

typedef struct Kept
{
    char *sql;
    int n;
    Oid *types; /* [n], of the arguments: a key's may have changed */
    SPIPlanPtr plan;
} Kept;

static Kept kept[KEPT_MAX];
static int nkept;

static void
forget_kept(void)
{
    for (; nkept > 0; nkept--)
    {
        SPI_freeplan(kept[nkept - 1].plan);
        pfree(kept[nkept - 1].types);
        pfree(kept[nkept - 1].sql);
    }
}

static bool
is_kept(const Kept *k, const char *sql, const Arguments *a)
{
    return strcmp(k->sql, sql) == 0 && k->n == a->n &&
           memcmp(k->types, a->types, sizeof(Oid) * a->n) == 0;
}

static SPIPlanPtr
kept_plan(const char *sql, const Arguments *a)
{
    SPIPlanPtr plan;

    for (int i = 0; i < nkept; i++)
        if (is_kept(&kept[i], sql, a))
            return kept[i].plan;
    if (nkept == KEPT_MAX)
        forget_kept();
    plan = SPI_prepare(sql, a->n, (Oid *)a->types);
    if (plan == NULL || SPI_keepplan(plan) != 0)
        elog(ERROR, "SPI failed: %s", SPI_result_code_string(SPI_result));
    kept[nkept] = (Kept){.sql = MemoryContextStrdup(TopMemoryContext, sql),
                         .n = a->n,
                         .types = MemoryContextAlloc(TopMemoryContext, sizeof(Oid) * (a->n + 1)),
                         .plan = plan};
    memcpy(kept[nkept++].types, a->types, sizeof(Oid) * a->n);
    return plan;
}

uint64
run_kept_sql(const char *sql, const Arguments *a)
{
    int rc;

    if (a == NULL)
        a = &none;
    rc = SPI_execute_plan(kept_plan(sql, a), (Datum *)a->values, a->nulls, false, 0);
    if (rc < 0)
        elog(ERROR, "SPI failed: %s", SPI_result_code_string(rc));
    return SPI_processed;
}

uint64
run_state_sql(const char *sql, const Arguments *a)
{
    Scope scope;
    uint64 n;

    scope_enter(&scope, state_owner());
    n = run_sql(sql, a, 0);
    scope_leave(&scope);
    return n;
}

static uint64
run_now(const char *sql, const Arguments *a)
{
    Scope scope;
    SPIPlanPtr plan;
    int rc;

    scope_enter(&scope, state_owner());
    plan = SPI_prepare(sql, a->n, (Oid *)a->types);
    if (plan == NULL)
        elog(ERROR, "SPI failed: %s", SPI_result_code_string(SPI_result));
    rc = SPI_execute_snapshot(plan, (Datum *)a->values, a->nulls, GetLatestSnapshot(),
                              InvalidSnapshot, false, true, 0);
    if (rc < 0)
        elog(ERROR, "SPI failed: %s", SPI_result_code_string(rc));
    SPI_freeplan(plan);
    scope_leave(&scope);
    return SPI_processed;
}

/* False: somebody has changed the same rows just now. */
static bool
changed_now(const char *sql, const Arguments *a, uint64 *n)
{
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;
    volatile bool done = true;

    BeginInternalSubTransaction(NULL);
    MemoryContextSwitchTo(context);
    PG_TRY();
    {
        *n = run_now(sql, a);
        ReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        ErrorData *error;

        MemoryContextSwitchTo(context);
        error = CopyErrorData();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(context);
        CurrentResourceOwner = owner;
        if (error->sqlerrcode != ERRCODE_T_R_SERIALIZATION_FAILURE)
            ReThrowError(error);
        done = false;
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
    return done;
}

#define CHANGE_ATTEMPTS 20

uint64
change_state_now(const char *sql, const Arguments *a)
{
    uint64 n;

    if (!IsolationUsesXactSnapshot())
        return run_state_sql(sql, a);
    for (int i = 1; i < CHANGE_ATTEMPTS; i++)
    {
        if (changed_now(sql, a, &n))
            return n;
        CHECK_FOR_INTERRUPTS();
    }
    return run_now(sql, a);
}

/* ---- results ---- */

char *
got_string(uint64 row, int column)
{
    return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

int64
got_bigint(uint64 row, int column, int64 other)
{
    char *text = got_string(row, column);

    return text ? strtoll(text, NULL, 10) : other;
}

bool
got_bool(uint64 row, int column)
{
    char *text = got_string(row, column);

    return text && text[0] == 't';
}

/* ---- keys ---- */

Datum
key_array(char *const *texts, int n)
{
    Datum *values = palloc(sizeof(Datum) * n);

    for (int i = 0; i < n; i++)
        values[i] = CStringGetTextDatum(texts[i]);
    return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}

char **
texts_of_array(Datum array, int *n)
{
    Datum *values;
    char **texts;

    deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &values, NULL,
                      n);
    texts = palloc(sizeof(char *) * (*n + 1));
    for (int i = 0; i < *n; i++)
        texts[i] = TextDatumGetCString(values[i]);
    return texts;
}

bool
output_is_fixed(Oid type)
{
    switch (getBaseType(type))
    {
        case INT2OID:
        case INT4OID:
        case INT8OID:
        case OIDOID:
        case NUMERICOID:
        case TEXTOID:
        case VARCHAROID:
        case BPCHAROID:
        case NAMEOID:
        case UUIDOID:
            return true;
        default:
            return false;
    }
}

const char *const output_settings[][2] = {{"DateStyle", "ISO, YMD"},
                                          {"IntervalStyle", "postgres"},
                                          {"TimeZone", "UTC"},
                                          {"bytea_output", "hex"},
                                          {"extra_float_digits", "1"},
                                          {"lc_monetary", "C"},
                                          {NULL, NULL}};

int
fixed_output(void)
{
    int level = NewGUCNestLevel();

    for (int i = 0; output_settings[i][0]; i++)
        set_here(output_settings[i][0], output_settings[i][1]);
    return level;
}

/* answer.c - JSON text -> jsonb in the database's encoding; status -> ereport.
 *
 * The engine is not trusted: its text is cleaned byte by byte and then read by the server's own parser. Escapes
 * \uXXXX beyond ASCII are resolved here, since the parser refuses them where the database is not UTF-8, and
 * \u0000, since jsonb cannot hold it. Sharp edge: SQL_ASCII converts nothing; there the bytes stay UTF-8. */
#include "compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/jsonapi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/geo_decls.h"
#include "utils/jsonb.h"

#include "answer.h"

/* ---- text ---- */

/* What is being cleaned. */
typedef struct Cleaner
{
    StringInfoData out;
    Oid conversion; /* from UTF-8; invalid: none is needed */
    int replaced;
} Cleaner;

static void
put_replacement(Cleaner *c)
{
    appendStringInfoChar(&c->out, '?');
    c->replaced++;
}

/* Room for the output of one conversion of this many bytes. */
#define CONVERTED(n) ((n)*MAX_CONVERSION_GROWTH + 1)

/* bytes: [n] valid UTF-8 */
static void
put_utf8(Cleaner *c, const unsigned char *bytes, int n)
{
    unsigned char *room;
    int done;

    if (!OidIsValid(c->conversion))
    {
        appendBinaryStringInfo(&c->out, (const char *)bytes, n);
        return;
    }
    room = palloc(CONVERTED(n));
    while (n > 0)
    {
        done = pg_do_encoding_conversion_buf(c->conversion, PG_UTF8, GetDatabaseEncoding(),
                                             (unsigned char *)bytes, n, room, CONVERTED(n), true);
        appendStringInfoString(&c->out, (char *)room);
        bytes += done;
        n -= done;
        if (n == 0)
            break;
        put_replacement(c);
        done = pg_utf_mblen(bytes);
        bytes += done;
        n -= done;
    }
    pfree(room);
}

static int
hex4(const char *s, const char *end)
{
    int value = 0;

    if (end - s < 4)
        return -1;
    for (int i = 0; i < 4; i++)
    {
        const char *digits = "0123456789abcdef";
        const char *at = s[i] ? strchr(digits, pg_tolower((unsigned char)s[i])) : NULL;

        if (at == NULL)
            return -1;
        value = value * 16 + (int)(at - digits);
    }
    return value;
}

/* s stands on the backslash of \uXXXX. Returns how many bytes were taken; 0: not such an escape. */
static int
put_escape(Cleaner *c, const char *s, const char *end)
{
    unsigned char utf8[4];
    int code, low, taken = 6;

    if (end - s < 6 || s[1] != 'u' || (code = hex4(s + 2, end)) < 0)
        return 0;
    if (code >= 0xd800 && code < 0xdc00 && end - s >= 12 && s[6] == '\\' && s[7] == 'u' &&
        (low = hex4(s + 8, end)) >= 0xdc00 && low < 0xe000)
    {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        taken = 12;
    }
    if (code == 0 || (code >= 0xd800 && code < 0xe000))
        put_replacement(c);
    else if (code < 0x80)
        appendBinaryStringInfo(&c->out, s, 6);
    else
    {
        unicode_to_utf8(code, utf8);
        put_utf8(c, utf8, pg_utf_mblen(utf8));
    }
    return taken;
}

static int
put_backslash(Cleaner *c, const char *s, const char *end)
{
    int taken = put_escape(c, s, end);

    if (taken == 0)
    {
        taken = Min(2, (int)(end - s));
        if (taken == 2 && IS_HIGHBIT_SET(s[1]))
            taken = 1;
        appendBinaryStringInfo(&c->out, s, taken);
    }
    return taken;
}

#define RUN_MAX (32 << 10)

/* How many of the n bytes, at most RUN_MAX, are whole valid characters without a backslash or a zero byte. */
static int
valid_run(const char *s, size_t n)
{
    int run = 0;

    while ((size_t)run < n && run < RUN_MAX && s[run] != '\\' && s[run] != '\0')
    {
        int one = pg_encoding_verifymbchar(PG_UTF8, s + run, Min(n - run, 8));

        if (one <= 0)
            break;
        run += one;
    }
    return run;
}

static void
clean(Cleaner *c, const char *s, size_t n)
{
    const char *end = s + n;

    initStringInfo(&c->out);
    c->replaced = 0;
    c->conversion = InvalidOid;
    if (GetDatabaseEncoding() != PG_UTF8 && GetDatabaseEncoding() != PG_SQL_ASCII)
        c->conversion = FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
    while (s < end)
    {
        int run = valid_run(s, end - s);

        if (run > 0)
            put_utf8(c, (const unsigned char *)s, run);
        else if (*s == '\\')
            run = put_backslash(c, s, end);
        else
        {
            put_replacement(c);
            run = 1;
        }
        s += run;
    }
}

/* ---- walking ---- */

JsonbContainer *
json_container(const JsonbValue *v)
{
    return v && v->type == jbvBinary ? v->val.binary.data : NULL;
}

JsonbValue *
json_get(JsonbContainer *object, const char *key)
{
    if (object == NULL || !JsonContainerIsObject(object))
        return NULL;
    return getKeyJsonValueFromContainer(object, key, strlen(key), NULL);
}

JsonbContainer *
json_get_container(JsonbContainer *object, const char *key)
{
    return json_container(json_get(object, key));
}

char *
json_get_string(JsonbContainer *object, const char *key)
{
    JsonbValue *v = json_get(object, key);

    return v && v->type == jbvString ? pnstrdup(v->val.string.val, v->val.string.len) : NULL;
}

int32
json_get_int(JsonbContainer *object, const char *key, int32 other)
{
    JsonbValue *v = json_get(object, key);

    if (v == NULL || v->type != jbvNumeric)
        return other;
    return DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(v->val.numeric)));
}

Datum
json_text_column(JsonbContainer *object, const char *key, bool *null)
{
    JsonbValue *v = json_get(object, key);

    *null = v == NULL || v->type != jbvString;
    return *null ? (Datum)0
                 : PointerGetDatum(cstring_to_text_with_len(v->val.string.val, v->val.string.len));
}

/* convert: numeric_int4 and the like, which raises 22003 for what does not fit. */
Datum
json_number_column(JsonbContainer *object, const char *key, PGFunction convert, bool *null)
{
    JsonbValue *v = json_get(object, key);

    *null = v == NULL || v->type != jbvNumeric || numeric_is_nan(v->val.numeric);
    return *null ? (Datum)0 : DirectFunctionCall1(convert, NumericGetDatum(v->val.numeric));
}

Datum
json_box_column(JsonbContainer *object, const char *key, bool *null)
{
    JsonbContainer *array = json_get_container(object, key);
    float8 side[4];
    BOX *box;

    *null = true;
    if (json_length(array) != 4)
        return (Datum)0;
    for (int i = 0; i < 4; i++)
    {
        JsonbValue *v = getIthJsonbValueFromContainer(array, i);

        if (v->type != jbvNumeric)
            return (Datum)0;
        side[i] =
            DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(v->val.numeric)));
    }
    box = palloc(sizeof *box);
    box->high.x = Max(side[0], side[2]);
    box->high.y = Max(side[1], side[3]);
    box->low.x = Min(side[0], side[2]);
    box->low.y = Min(side[1], side[3]);
    *null = false;
    return BoxPGetDatum(box);
}

int
json_length(JsonbContainer *array)
{
    return array && JsonContainerIsArray(array) && !JsonContainerIsScalar(array)
               ? JsonContainerSize(array)
               : 0;
}

JsonbContainer *
json_nth(JsonbContainer *array, int i)
{
    return json_container(getIthJsonbValueFromContainer(array, i));
}

JsonbContainer *
json_pages(Jsonb *result)
{
    return json_get_container(json_get_container(&result->root, "document"), "pages");
}

/* ---- answers ---- */

/* The server's parser. NULL: not JSON, found out by a first look that raises nothing. */
static Jsonb *
parse(const StringInfoData *json)
{
    JsonLexContext *lex = make_json_lexer(json->data, json->len, GetDatabaseEncoding());

    if (pg_parse_json(lex, &nullSemAction) != JSON_SUCCESS)
        return NULL;
    return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json->data)));
}

static Jsonb *
note_replaced(Jsonb *answer, int replaced)
{
    Datum path[] = {CStringGetTextDatum("metadata"), CStringGetTextDatum("replaced_characters")};
    ArrayType *array = construct_array(path, lengthof(path), TEXTOID, -1, false, TYPALIGN_INT);
    Datum number = DirectFunctionCall1(jsonb_in, CStringGetDatum(psprintf("%d", replaced)));

    return DatumGetJsonbP(DirectFunctionCall4(jsonb_set, JsonbPGetDatum(answer),
                                              PointerGetDatum(array), number, BoolGetDatum(true)));
}

Jsonb *
answer_jsonb(const char *json, size_t n)
{
    Cleaner c;
    Jsonb *answer;

    clean(&c, json, n);
    answer = parse(&c.out);
    pfree(c.out.data);
    if (answer == NULL || !JB_ROOT_IS_OBJECT(answer))
        ereport(ERROR,
                (errcode(ERRCODE_SYSTEM_ERROR), errmsg("the engine's answer is not a JSON object"),
                 errdetail("It has %zu bytes.", n),
                 errhint("This is a fault of the engine; its log is the server's.")));
    return c.replaced > 0 ? note_replaced(answer, c.replaced) : answer;
}

/* ---- errors ---- */

static const struct
{
    const char *code;
    int sqlstate;
} sqlstates[] = {
    {"bad_input", ERRCODE_INVALID_BINARY_REPRESENTATION},
    {"bad_request", ERRCODE_INVALID_PARAMETER_VALUE},
    {"limit", ERRCODE_PROGRAM_LIMIT_EXCEEDED},
    {"busy", ERRCODE_INSUFFICIENT_RESOURCES},
    {"not_ready", ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE},
    {"unsupported", ERRCODE_FEATURE_NOT_SUPPORTED},
    {"cancelled", ERRCODE_QUERY_CANCELED},
    {"broken", ERRCODE_SYSTEM_ERROR},
};

AnswerError *
answer_error_made(int sqlstate, const char *code, const char *message, const char *detail,
                  const char *hint)
{
    AnswerError *e = palloc0(sizeof *e);

    e->sqlstate = sqlstate;
    e->code = code;
    e->message = message;
    e->detail = detail && detail[0] ? detail : NULL;
    e->hint = hint && hint[0] ? hint : NULL;
    return e;
}

AnswerError *
answer_error(const char *json, size_t n)
{
    Cleaner c;
    Jsonb *said;
    JsonbContainer *root;
    char *status, *message;

    clean(&c, json, n);
    said = parse(&c.out);
    root = said ? &said->root : NULL;
    status = json_get_string(root, "status");
    message = json_get_string(root, "message");
    for (int i = 0; status && message && i < lengthof(sqlstates); i++)
        if (strcmp(status, sqlstates[i].code) == 0)
            return answer_error_made(sqlstates[i].sqlstate, sqlstates[i].code, message,
                                     json_get_string(root, "detail"),
                                     json_get_string(root, "hint"));
    return answer_error_made(ERRCODE_SYSTEM_ERROR, "broken",
                             "the engine failed and did not say why as agreed",
                             psprintf("Its answer has %zu bytes and no status that is known.", n),
                             "This is a fault of the engine; its log is the server's.");
}

void
answer_raise(const AnswerError *e)
{
    ereport(ERROR, (errcode(e->sqlstate), errmsg_internal("%s", e->message),
                    e->detail ? errdetail_internal("%s", e->detail) : 0,
                    e->hint ? errhint("%s", e->hint) : 0));
    pg_unreachable();
}

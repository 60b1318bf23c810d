/* fields.c - dsocr_fields: what a schema asks for, and the answer as jsonb; field_find.c looks for it.
 *
 * Every key of a schema is checked before anything is looked for, so that a wrong one is told of whatever the page says. */
#include "compat.h"

#include <math.h>

#include "catalog/pg_collation_d.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "regex/regex.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "answer.h"
#include "fields.h"

PG_FUNCTION_INFO_V1(dsocr_fields);

#define TYPES "text, number, amount and date"
#define KEYS  "type, labels, pattern, take, anywhere, day_first, years_from and decimal"

/* ---- what is wrong ---- */

static void wrong(const char *message, const char *detail, const char *hint)
    __attribute__((noreturn));

static void
wrong(const char *message, const char *detail, const char *hint)
{
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg_internal("%s", message),
                    errdetail_internal("%s", detail), errhint("%s", hint)));
}

static void wrong_key(const Field *f, const char *key, const char *must, const char *hint)
    __attribute__((noreturn));

static void
wrong_key(const Field *f, const char *key, const char *must, const char *hint)
{
    wrong(psprintf("\"%s\" of field \"%s\" must be %s", key, f->name, must),
          psprintf("It is in the schema at {\"%s\": {\"%s\": ...}}.", f->name, key), hint);
}

/* ---- a field's keys ---- */

static char *
string_of(const JsonbValue *v)
{
    return v->type == jbvString ? pnstrdup(v->val.string.val, v->val.string.len) : NULL;
}

/* Which of the words a value is. */
static int
one_of(const Field *f, const char *key, const JsonbValue *v, const char *const *words,
       const char *must)
{
    char *s = string_of(v);

    for (int i = 0; s && words[i]; i++)
        if (strcmp(s, words[i]) == 0)
            return i;
    wrong_key(f, key, must, "Correct the value, or leave the key out.");
}

static bool
truth_of(const Field *f, const char *key, const JsonbValue *v)
{
    if (v->type != jbvBool)
        wrong_key(f, key, "true or false", "Correct the value, or leave the key out.");
    return v->val.boolean;
}

static int
year_of(const Field *f, const char *key, const JsonbValue *v)
{
    if (v->type == jbvNumeric)
    {
        double year = DatumGetFloat8(
            DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(v->val.numeric)));

        if (year >= 1000 && year <= 2900 && year == floor(year))
            return (int)year;
    }
    wrong_key(f, key, "a year from 1000 to 2900",
              "The hundred years from it on are those that two digits may mean.");
}

static void
add_label(Field *f, const JsonbValue *v)
{
    char *s = string_of(v);

    if (s)
        f->labels[f->nlabels] = fold(s);
    if (s == NULL || f->labels[f->nlabels].nletters == 0)
        wrong_key(f, "labels", "a word, or an array of words",
                  "For example {\"labels\": [\"total\", \"amount due\"]}.");
    f->nlabels++;
}

static void
set_labels(Field *f, const JsonbValue *v)
{
    JsonbContainer *array = json_container(v);

    if (array && !JsonContainerIsArray(array))
        array = NULL;
    f->labels = palloc(sizeof(Folded) * (json_length(array) + 1));
    if (array == NULL)
        add_label(f, v);
    for (int i = 0; i < json_length(array); i++)
        add_label(f, getIthJsonbValueFromContainer(array, i));
}

static void
set_key(Field *f, const char *key, const JsonbValue *v)
{
    static const char *const types[] = {"text", "number", "amount", "date", NULL};
    static const char *const takes[] = {"first", "last", "largest", NULL};
    static const char *const marks[] = {".", ",", NULL};
    char *s = string_of(v);

    if (strcmp(key, "type") == 0)
        f->type = one_of(f, key, v, types, "one of " TYPES);
    else if (strcmp(key, "labels") == 0)
        set_labels(f, v);
    else if (strcmp(key, "pattern") == 0)
    {
        if (s == NULL || *s == '\0')
            wrong_key(f, key, "a regular expression",
                      "For example {\"pattern\": \"[A-Z]+[0-9]+\"}.");
        f->pattern = cstring_to_text(s);
    }
    else if (strcmp(key, "take") == 0)
        f->take = one_of(f, key, v, takes, "first, last or largest");
    else if (strcmp(key, "decimal") == 0)
        f->decimal = *marks[one_of(f, key, v, marks, "a point or a comma")];
    else if (strcmp(key, "anywhere") == 0)
        f->anywhere = truth_of(f, key, v);
    else if (strcmp(key, "day_first") == 0)
        f->day_first = truth_of(f, key, v);
    else if (strcmp(key, "years_from") == 0)
        f->years_from = year_of(f, key, v);
    else
        wrong(psprintf("unknown key \"%s\" of field \"%s\"", key, f->name),
              "Known keys are " KEYS ".", "Correct its name, or leave it out.");
}

/* ---- the schema ---- */

static void
check_field(const Field *f)
{
    int first, last;
    Folded nothing = fold("");

    if (f->pattern)
        field_matches(f, &nothing, 0, 0, &first, &last);
    if (f->take == TAKE_LARGEST && f->type == FIELD_TEXT)
        wrong_key(f, "take", "first or last for a text", "Give the field another type.");
    if (f->nlabels == 0 && f->pattern == NULL && (f->type == FIELD_TEXT || !f->anywhere))
        wrong(psprintf("field \"%s\" has no labels", f->name),
              f->type == FIELD_TEXT ? "A text is known by its labels, or by a pattern."
                                    : "It has no pattern either, and \"anywhere\" is not true.",
              "Add {\"labels\": [...]}: the words that stand before the value, or above it.");
}

static Field
field_of(const char *name, JsonbValue *spec)
{
    Field f = {.name = name, .day_first = true, .years_from = 1970};
    JsonbContainer *object = json_container(spec);
    JsonbIterator *it;
    JsonbIteratorToken token;
    JsonbValue v;
    char *key = NULL;

    if (object == NULL || !JsonContainerIsObject(object))
        wrong(psprintf("field \"%s\" of the schema must be a JSON object", name),
              "Its keys are " KEYS ".",
              "For example {\"total\": {\"type\": \"amount\", \"labels\": [\"total\"]}}.");
    it = JsonbIteratorInit(object);
    while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
        if (token == WJB_KEY)
            key = pnstrdup(v.val.string.val, v.val.string.len);
        else if (token == WJB_VALUE)
            set_key(&f, key, &v);
    check_field(&f);
    return f;
}

Field *
fields_asked(Jsonb *schema, int *n)
{
    Field *fields;
    JsonbIterator *it;
    JsonbIteratorToken token;
    JsonbValue v;
    char *key = NULL;

    if (!JB_ROOT_IS_OBJECT(schema))
        wrong("the schema must be a JSON object", "Each of its keys is the name of a field.",
              "For example {\"total\": {\"type\": \"amount\", \"labels\": [\"total\"]}}.");
    fields = palloc(sizeof(Field) * (JB_ROOT_COUNT(schema) + 1));
    *n = 0;
    it = JsonbIteratorInit(&schema->root);
    while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
        if (token == WJB_KEY)
            key = pnstrdup(v.val.string.val, v.val.string.len);
        else if (token == WJB_VALUE)
            fields[(*n)++] = field_of(key, &v);
    return fields;
}

/* ---- patterns ---- */

static void
say_whose_pattern(void *arg)
{
    const Field *f = arg;

    if (geterrcode() != ERRCODE_INVALID_REGULAR_EXPRESSION)
        return;
    errcode(ERRCODE_INVALID_PARAMETER_VALUE);
    errdetail_internal("It is the \"pattern\" of field \"%s\".", f->name);
    errhint("Patterns are regular expressions of PostgreSQL; a backslash is two in JSON.");
}

/* The first character at or behind byte `at`. */
static int
character_at(const Folded *f, int at)
{
    int i = 0;

    while (i < f->n && f->at[i] < at)
        i++;
    return i;
}

bool
field_matches(const Field *field, const Folded *f, int from, int to, int *first, int *last)
{
    ErrorContextCallback context = {error_context_stack, say_whose_pattern, (void *)field};
    int n, at;
    pg_wchar *wide;
    regmatch_t match[2];
    regex_t *re;
    int length, result;

    while (from > 0 && from < to && f->at[from] == f->at[from - 1])
        from++; /* the rest of a character that was divided */
    at = f->at[from];
    n = f->at[to] - at;
    wide = palloc(sizeof(pg_wchar) * (n + 1));
    error_context_stack = &context;
    re = RE_compile_and_cache(field->pattern, REG_ADVANCED, DEFAULT_COLLATION_OID);
    length = pg_mb2wchar_with_len(f->text + at, wide, n);
    result = pg_regexec(re, wide, length, 0, NULL, 2, match, 0);
    error_context_stack = context.previous;
    pfree(wide);
    if (result != REG_OKAY)
        return false;
    if (re->re_nsub > 0 && match[1].rm_so >= 0)
        match[0] = match[1];
    for (int i = 0; i < match[0].rm_eo; i++)
    {
        if (i == match[0].rm_so)
            *first = character_at(f, at);
        at += pg_mblen(f->text + at);
    }
    *last = character_at(f, at);
    return match[0].rm_eo > match[0].rm_so;
}

/* ---- the answer ---- */

static void
append_value(StringInfo s, const Field *f, const FieldValue *v)
{
    const BOX *b = &v->box;

    appendStringInfoString(s, "{\"value\": ");
    if (f->type == FIELD_NUMBER || f->type == FIELD_AMOUNT)
        appendStringInfoString(s, v->value);
    else
        escape_json(s, v->value);
    appendStringInfoString(s, ", \"text\": ");
    escape_json(s, v->text);
    appendStringInfo(s, ", \"page\": %d, \"method\": \"%s\", \"bbox\": ", v->page, v->method);
    if (v->has_box)
        appendStringInfo(s, "[%.0f, %.0f, %.0f, %.0f]", b->low.x, b->low.y, b->high.x, b->high.y);
    else
        appendStringInfoString(s, "null");
    if (v->confidence >= 0)
        appendStringInfo(s, ", \"confidence\": %.4f}", v->confidence);
    else
        appendStringInfoString(s, ", \"confidence\": null}");
}

Datum
dsocr_fields(PG_FUNCTION_ARGS)
{
    int n;
    Field *fields = fields_asked(PG_GETARG_JSONB_P(1), &n);
    FieldValue *values = fields_find(reading_of(PG_GETARG_JSONB_P(0)), fields, n);
    StringInfoData s;

    initStringInfo(&s);
    appendStringInfoChar(&s, '{');
    for (int i = 0; i < n; i++)
    {
        appendStringInfoString(&s, i > 0 ? ", " : "");
        escape_json(&s, fields[i].name);
        appendStringInfoString(&s, ": ");
        if (values[i].found)
            append_value(&s, &fields[i], &values[i]);
        else
            appendStringInfoString(&s, "null");
    }
    appendStringInfoChar(&s, '}');
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(s.data));
}

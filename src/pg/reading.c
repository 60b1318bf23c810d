/* reading.c - a result as structs, for the functions that look at all of it.
 *
 * Anybody may call those functions with any jsonb. What is no result at all is an error, and so is a member of the
 * wrong type; what is merely not there is NULL. Sharp edge: a page alone (as dsocr_pages gives it) is a result too. */
#include "compat.h"

#include <math.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "answer.h"
#include "markup.h"
#include "reading.h"

/* ---- what is wrong ---- */

static void wrong_form(const char *detail) __attribute__((noreturn));

static void
wrong_form(const char *detail)
{
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("this is not a result of dsocr"),
             errdetail_internal("%s", detail),
             errhint("Give what dsocr_extract gives, or the result column of dsocr_pages.")));
}

/* The member, if it is of this kind. NULL: not there, or null. */
static JsonbValue *
member(JsonbContainer *object, const char *key, enum jbvType type, const char *kind)
{
    JsonbValue *v = json_get(object, key);

    if (v == NULL || v->type == jbvNull)
        return NULL;
    if (v->type != type)
        wrong_form(psprintf("\"%s\" is not %s.", key, kind));
    return v;
}

static const char *
string_member(JsonbContainer *object, const char *key)
{
    JsonbValue *v = member(object, key, jbvString, "a string");

    return v ? pnstrdup(v->val.string.val, v->val.string.len) : NULL;
}

static double
number_of(const JsonbValue *v)
{
    return DatumGetFloat8(
        DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(v->val.numeric)));
}

static double
number_member(JsonbContainer *object, const char *key, double other)
{
    JsonbValue *v = member(object, key, jbvNumeric, "a number");

    return v ? number_of(v) : other;
}

/* A page's number or side. */
static int
whole_member(JsonbContainer *object, const char *key, int other)
{
    double v = number_member(object, key, other);

    if (!(v >= 0 && v <= PG_INT32_MAX))
        wrong_form(psprintf("\"%s\" is out of range.", key));
    return (int)v;
}

static JsonbContainer *
array_member(JsonbContainer *object, const char *key)
{
    JsonbValue *v = member(object, key, jbvBinary, "an array");

    if (v && !JsonContainerIsArray(v->val.binary.data))
        wrong_form(psprintf("\"%s\" is not an array.", key));
    return v ? v->val.binary.data : NULL;
}

static JsonbContainer *
nth_object(JsonbContainer *array, const char *key, int i)
{
    JsonbContainer *o = json_nth(array, i);

    if (o == NULL || !JsonContainerIsObject(o))
        wrong_form(psprintf("\"%s\" has a member that is not an object.", key));
    return o;
}

/* ---- boxes ---- */

bool
reading_box(JsonbContainer *object, BOX *box)
{
    JsonbContainer *array = array_member(object, "bbox");
    double side[4];

    if (array == NULL)
        return false;
    for (int i = 0; i < 4; i++)
    {
        JsonbValue *v = json_length(array) == 4 ? getIthJsonbValueFromContainer(array, i) : NULL;

        if (v == NULL || v->type != jbvNumeric)
            wrong_form("\"bbox\" is not an array of four numbers.");
        side[i] = number_of(v);
        if (!(fabs(side[i]) <= 1e7))
            wrong_form("\"bbox\" is out of range.");
    }
    *box = (BOX){.high = {Max(side[0], side[2]), Max(side[1], side[3])},
                 .low = {Min(side[0], side[2]), Min(side[1], side[3])}};
    return true;
}

/* ---- lines, elements, pages ---- */

static ReadLine
line_of(JsonbContainer *object, bool numbers)
{
    ReadLine l = {.text = string_member(object, "text"),
                  .geometry = string_member(object, "geometry"),
                  .confidence = numbers ? number_member(object, "confidence", -1) : -1,
                  .object = object};

    if (l.text == NULL)
        l.text = "";
    l.has_box = numbers && reading_box(object, &l.box);
    return l;
}

static ReadElement
element_of(JsonbContainer *object, bool numbers)
{
    ReadElement e = {.type = string_member(object, "type"),
                     .label = string_member(object, "label"),
                     .content = string_member(object, "content"),
                     .text = string_member(object, "text"),
                     .geometry = string_member(object, "geometry"),
                     .confidence = numbers ? number_member(object, "confidence", -1) : -1,
                     .object = object};
    JsonbContainer *lines = array_member(object, "lines");

    if (e.type == NULL)
        e.type = "other";
    if (e.text == NULL)
        e.text = e.content ? markup_plain(e.content) : "";
    e.has_box = numbers && reading_box(object, &e.box);
    e.nlines = json_length(lines);
    e.lines = palloc(sizeof(ReadLine) * (e.nlines + 1));
    for (int i = 0; i < e.nlines; i++)
        e.lines[i] = line_of(nth_object(lines, "lines", i), numbers);
    return e;
}

static ReadPage
page_of(JsonbContainer *object, int other_number, bool numbers)
{
    ReadPage p = {.number = whole_member(object, "page", other_number),
                  .width = whole_member(object, "width", 0),
                  .height = whole_member(object, "height", 0),
                  .rotation = whole_member(object, "rotation", 0),
                  .status = string_member(object, "status"),
                  .text = string_member(object, "text"),
                  .markdown = string_member(object, "markdown"),
                  .confidence = number_member(object, "confidence", -1)};
    JsonbContainer *elements = array_member(object, "elements");

    p.nelements = json_length(elements);
    p.elements = palloc(sizeof(ReadElement) * (p.nelements + 1));
    for (int i = 0; i < p.nelements; i++)
        p.elements[i] = element_of(nth_object(elements, "elements", i), numbers);
    return p;
}

static void
document_pages(Reading *r, JsonbContainer *document, bool numbers)
{
    JsonbContainer *pages = array_member(document, "pages");

    if (pages == NULL)
        wrong_form("Its \"document\" has no \"pages\".");
    r->sha256 = string_member(document, "sha256");
    r->npages = json_length(pages);
    r->pages = palloc(sizeof(ReadPage) * (r->npages + 1));
    for (int i = 0; i < r->npages; i++)
        r->pages[i] = page_of(nth_object(pages, "pages", i), i + 1, numbers);
}

static void
single_page(Reading *r, JsonbContainer *page, bool numbers)
{
    if (json_get(page, "elements") == NULL && json_get(page, "status") == NULL)
        wrong_form("It has neither \"document\" nor \"elements\".");
    r->npages = 1;
    r->pages = palloc(sizeof(ReadPage));
    r->pages[0] = page_of(page, 1, numbers);
}

static Reading *
read_result(Jsonb *result, bool numbers)
{
    Reading *r = palloc0(sizeof *r);
    JsonbValue *document;

    if (!JB_ROOT_IS_OBJECT(result))
        wrong_form("It is not a JSON object.");
    document = member(&result->root, "document", jbvBinary, "an object");
    if (document == NULL)
        single_page(r, &result->root, numbers);
    else if (JsonContainerIsObject(document->val.binary.data))
        document_pages(r, document->val.binary.data, numbers);
    else
        wrong_form("\"document\" is not an object.");
    r->model = json_get_string(json_get_container(&result->root, "metadata"), "model");
    return r;
}

Reading *
reading_of(Jsonb *result)
{
    return read_result(result, true);
}

Reading *
reading_texts_of(Jsonb *result)
{
    return read_result(result, false);
}

const ReadPage *
reading_page(const Reading *r, int number)
{
    for (int i = 0; i < r->npages; i++)
        if (r->pages[i].number == number)
            return &r->pages[i];
    return NULL;
}

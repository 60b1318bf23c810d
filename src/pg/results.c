/* results.c - SQL functions that work on a result (api.md section 3): no engine, no model, IMMUTABLE.
 *
 * A result may be a whole document, or one page of it (what dsocr_pages gives). It may also be any jsonb at all,
 * since these are functions that anybody may call: what is missing or of another type gives NULL or no row. */
#include "compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "answer.h"

PG_FUNCTION_INFO_V1(dsocr_elements);
PG_FUNCTION_INFO_V1(dsocr_lines);

/* ---- walking ---- */

typedef void (*ElementVisitor)(ReturnSetInfo *rows, int page, int seq, JsonbContainer *element);

static void
visit_page(ReturnSetInfo *rows, JsonbContainer *page, int other_number, ElementVisitor visit)
{
    JsonbContainer *elements = json_get_container(page, "elements");
    int number = json_get_int(page, "page", other_number);

    for (int i = 0; i < json_length(elements); i++)
    {
        JsonbContainer *e = json_nth(elements, i);

        if (e && JsonContainerIsObject(e))
            visit(rows, number, i + 1, e);
    }
}

static void
visit_elements(ReturnSetInfo *rows, Jsonb *result, ElementVisitor visit)
{
    JsonbContainer *document = json_get_container(&result->root, "document");
    JsonbContainer *pages = json_get_container(document, "pages");

    if (document == NULL)
        visit_page(rows, &result->root, 1, visit);
    for (int i = 0; i < json_length(pages); i++)
        visit_page(rows, json_nth(pages, i), i + 1, visit);
}

/* ---- elements ---- */

#define ELEMENT_COLUMNS 8

static void
put_element(ReturnSetInfo *rows, int page, int seq, JsonbContainer *e)
{
    Datum values[ELEMENT_COLUMNS] = {Int32GetDatum(page), Int32GetDatum(seq)};
    bool nulls[ELEMENT_COLUMNS] = {false};

    values[2] = json_text_column(e, "type", &nulls[2]);
    values[3] = json_text_column(e, "label", &nulls[3]);
    values[4] = json_text_column(e, "content", &nulls[4]);
    values[5] = json_text_column(e, "text", &nulls[5]);
    values[6] = json_box_column(e, "bbox", &nulls[6]);
    values[7] = json_number_column(e, "confidence", numeric_float4, &nulls[7]);
    tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
}

Datum
dsocr_elements(PG_FUNCTION_ARGS)
{
    InitMaterializedSRF(fcinfo, 0);
    visit_elements((ReturnSetInfo *)fcinfo->resultinfo, PG_GETARG_JSONB_P(0), put_element);
    return (Datum)0;
}

/* ---- lines ---- */

#define LINE_COLUMNS 7

static void
put_lines(ReturnSetInfo *rows, int page, int seq, JsonbContainer *e)
{
    JsonbContainer *lines = json_get_container(e, "lines");

    for (int i = 0; i < json_length(lines); i++)
    {
        JsonbContainer *line = json_nth(lines, i);
        Datum values[LINE_COLUMNS] = {Int32GetDatum(page), Int32GetDatum(seq),
                                      Int32GetDatum(i + 1)};
        bool nulls[LINE_COLUMNS] = {false};

        values[3] = json_text_column(line, "text", &nulls[3]);
        values[4] = json_box_column(line, "bbox", &nulls[4]);
        values[5] = json_text_column(line, "geometry", &nulls[5]);
        values[6] = json_number_column(line, "confidence", numeric_float4, &nulls[6]);
        tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
    }
}

Datum
dsocr_lines(PG_FUNCTION_ARGS)
{
    InitMaterializedSRF(fcinfo, 0);
    visit_elements((ReturnSetInfo *)fcinfo->resultinfo, PG_GETARG_JSONB_P(0), put_lines);
    return (Datum)0;
}

/* fill.c - dsocr_trigger: a row's scan is read in the statement that writes it, and its columns are filled.
 *
 *   CREATE TRIGGER read BEFORE INSERT OR UPDATE ON archive
 *     FOR EACH ROW EXECUTE FUNCTION dsocr_trigger('scan', 'ocr_text', 'ocr');
 *
 * The second column takes the text (text), the third, if there is one, the whole result (jsonb). A scan that cannot be read
 * does not stop the statement: its text is NULL, and the result, or a warning, says why. */
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "answer.h"
#include "client.h"
#include "functions.h"

PG_FUNCTION_INFO_V1(dsocr_trigger);

/* The number of a column that the trigger names. */
static int
column(const TriggerData *t, int argument, Oid type)
{
    TupleDesc desc = t->tg_relation->rd_att;
    const char *name = t->tg_trigger->tgargs[argument];
    int a = SPI_fnumber(desc, name);

    if (a <= 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("column \"%s\" of \"%s\" does not exist", name,
                               RelationGetRelationName(t->tg_relation)),
                        errhint("Trigger \"%s\" names it.", t->tg_trigger->tgname)));
    if (getBaseType(SPI_gettypeid(desc, a)) != type)
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("column \"%s\" of \"%s\" must have type %s", name,
                               RelationGetRelationName(t->tg_relation), format_type_be(type))));
    return a;
}

static void
check_trigger(FunctionCallInfo fcinfo)
{
    TriggerData *t = (TriggerData *)fcinfo->context;

    if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(t->tg_event) ||
        !TRIGGER_FIRED_FOR_ROW(t->tg_event) || TRIGGER_FIRED_BY_DELETE(t->tg_event))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("dsocr_trigger() is for BEFORE INSERT OR UPDATE ... FOR EACH ROW")));
    if (t->tg_trigger->tgnargs < 2 || t->tg_trigger->tgnargs > 3)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("dsocr_trigger() takes two or three columns"),
                        errhint("For example: dsocr_trigger('scan', 'ocr_text', 'ocr').")));
}

/* As stored: an UPDATE of other columns costs nothing, and fetches nothing. */
static bool
same_scan(const TriggerData *t, int a)
{
    bool null_old, null_new;
    Datum old = heap_getattr(t->tg_trigtuple, a, t->tg_relation->rd_att, &null_old);
    Datum new = heap_getattr(t->tg_newtuple, a, t->tg_relation->rd_att, &null_new);

    if (null_old || null_new)
        return null_old && null_new;
    return datumIsEqual(old, new, false, -1);
}

/* The pages that were read, with an empty line between. NULL: there are none. */
static text *
text_of_result(Jsonb *result)
{
    JsonbContainer *pages = json_pages(result);
    StringInfoData s;
    int n = 0;

    initStringInfo(&s);
    for (int i = 0; i < json_length(pages); i++)
    {
        JsonbContainer *page = json_nth(pages, i);
        char *status = json_get_string(page, "status"), *words = json_get_string(page, "text");

        if (status == NULL || strcmp(status, "error") == 0 || words == NULL)
            continue;
        appendStringInfo(&s, "%s%s", n++ > 0 ? "\n\n" : "", words);
    }
    return n > 0 ? cstring_to_text_with_len(s.data, s.len) : NULL;
}

static void
warn(const TriggerData *t, Jsonb *result)
{
    JsonbContainer *errors = json_get_container(&result->root, "error_status");
    JsonbContainer *first = json_length(errors) > 0 ? json_nth(errors, 0) : NULL;
    char *why = json_get_string(first, "error_message");

    ereport(WARNING,
            (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
             errmsg("a scan for \"%s\" could not be read", RelationGetRelationName(t->tg_relation)),
             why ? errdetail_internal("%s.", why) : 0));
}

static HeapTuple
fill(const TriggerData *t, HeapTuple row, int scan, int words, int whole)
{
    int columns[2] = {words, whole};
    Datum values[2] = {0}, doc;
    bool nulls[2] = {true, true}, null;
    Question q = {.kind = WIRE_READ};
    Jsonb *result;

    doc = heap_getattr(row, scan, t->tg_relation->rd_att, &null);
    if (!null)
    {
        text *words_read;

        q.doc = (struct varlena *)DatumGetPointer(doc);
        q.options = reading_options(NULL, NULL, NULL);
        client_ask(&q, 1, NULL, NULL);
        result = result_of(&q);
        words_read = text_of_result(result);
        if (words_read == NULL && whole == 0)
            warn(t, result);
        values[0] = PointerGetDatum(words_read);
        nulls[0] = words_read == NULL;
        values[1] = JsonbPGetDatum(result);
        nulls[1] = false;
    }
    return heap_modify_tuple_by_cols(row, t->tg_relation->rd_att, whole ? 2 : 1, columns, values,
                                     nulls);
}

Datum
dsocr_trigger(PG_FUNCTION_ARGS)
{
    TriggerData *t = (TriggerData *)fcinfo->context;
    bool update;
    int scan, words, whole;
    HeapTuple row;

    check_trigger(fcinfo);
    update = TRIGGER_FIRED_BY_UPDATE(t->tg_event);
    row = update ? t->tg_newtuple : t->tg_trigtuple;
    scan = column(t, 0, BYTEAOID);
    words = column(t, 1, TEXTOID);
    whole = t->tg_trigger->tgnargs > 2 ? column(t, 2, JSONBOID) : 0;
    if (update && same_scan(t, scan))
        return PointerGetDatum(row);
    return PointerGetDatum(fill(t, row, scan, words, whole));
}

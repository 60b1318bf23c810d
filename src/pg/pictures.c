/* pictures.c - SQL functions that give images of pages: whole, a part, with hits marked. The engine makes them, in its
 * sandbox; no model is needed. */
#include "compat.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "catalog/pg_type.h"
#include "port/pg_bswap.h"
#include "tsearch/ts_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/geo_decls.h"

#include "client.h"
#include "hits.h"
#include "pictures.h"

PG_FUNCTION_INFO_V1(dsocr_page_image);
PG_FUNCTION_INFO_V1(dsocr_crop);
PG_FUNCTION_INFO_V1(dsocr_render_highlight);
PG_FUNCTION_INFO_V1(dsocr_cut_lines);

#define MOST_MARKS 1500 /* so that options stay below the wire's limit */
#define MOST_PLACE 1e7

bytea *
picture_of(struct varlena *doc, const char *options)
{
    Question q = {.kind = WIRE_RENDER, .doc = doc, .options = options};
    bytea *png;

    client_ask(&q, 1, NULL, NULL);
    if (q.error)
        answer_raise(q.error);
    png = palloc(VARHDRSZ + q.nreply);
    SET_VARSIZE(png, VARHDRSZ + q.nreply);
    memcpy(VARDATA(png), q.reply, q.nreply);
    pfree(q.reply);
    return png;
}

static void
append_box(StringInfo s, const BOX *box)
{
    double side[] = {box->low.x, box->low.y, box->high.x, box->high.y};

    for (int i = 0; i < 4; i++)
    {
        if (!(side[i] >= -MOST_PLACE && side[i] <= MOST_PLACE))
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("the box has no place on a page"),
                            errdetail("Its corners are %g, %g and %g, %g.", side[0], side[1],
                                      side[2], side[3])));
        appendStringInfo(s, "%s%.3f", i ? ", " : "[", side[i]);
    }
    appendStringInfoChar(s, ']');
}

/* dsocr_page_image(doc bytea, page int, dpi int): dpi NULL, the scan's own. */
Datum
dsocr_page_image(PG_FUNCTION_ARGS)
{
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
        PG_RETURN_NULL();
    if (!PG_ARGISNULL(2) && PG_GETARG_INT32(2) < 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("dpi must be at least 1"),
                        errhint("NULL gives the image as it was scanned.")));
    PG_RETURN_BYTEA_P(
        picture_of(DOCUMENT(), psprintf("{\"page\": %d, \"dpi\": %d}", PG_GETARG_INT32(1),
                                        PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2))));
}

/* dsocr_crop(doc bytea, page int, region box, rotation int) */
Datum
dsocr_crop(PG_FUNCTION_ARGS)
{
    StringInfoData s;

    if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
        PG_RETURN_NULL();
    initStringInfo(&s);
    appendStringInfo(&s, "{\"page\": %d, \"rotate\": %d, \"region\": ", PG_GETARG_INT32(1),
                     PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3));
    append_box(&s, PG_GETARG_BOX_P(2));
    appendStringInfoChar(&s, '}');
    PG_RETURN_BYTEA_P(picture_of(DOCUMENT(), s.data));
}

static void
append_marks(StringInfo s, const ReadPage *page, TSQuery query, Oid config)
{
    int n, marks = 0;
    Hit *hits = hits_on_page(page, query, config, &n);

    for (int i = 0; i < n && marks < MOST_MARKS; i++)
        if (hits[i].has_box)
        {
            if (marks++)
                appendStringInfoString(s, ", ");
            append_box(s, &hits[i].box);
        }
    if (n > MOST_MARKS)
        ereport(WARNING, (errmsg("only the first %d of %d hits are marked", MOST_MARKS, n)));
}

/* dsocr_render_highlight(doc bytea, result jsonb, query tsquery, page int, config regconfig) */
Datum
dsocr_render_highlight(PG_FUNCTION_ARGS)
{
    const ReadPage *page;
    StringInfoData s;

    if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3) || PG_ARGISNULL(4))
        PG_RETURN_NULL();
    page = reading_page(reading_of(PG_GETARG_JSONB_P(1)), PG_GETARG_INT32(3));
    if (page == NULL)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the result has no page %d", PG_GETARG_INT32(3))));
    initStringInfo(&s);
    appendStringInfo(&s, "{\"page\": %d, \"rotate\": %d, \"marks\": [", page->number,
                     page->rotation);
    append_marks(&s, page, PG_GETARG_TSQUERY(2), PG_GETARG_OID(4));
    appendStringInfoString(&s, "]}");
    PG_RETURN_BYTEA_P(picture_of(DOCUMENT(), s.data));
}

/* ---- lines ---- */

/* The bytes of the PNG that begins here: chunks up to IEND. 0: it is none. */
static int
png_length(const char *png, int n)
{
    int at = 8;

    while (n - at >= 12)
    {
        uint32 length;
        bool last = memcmp(png + at + 4, "IEND", 4) == 0;

        memcpy(&length, png + at, 4);
        length = pg_ntoh32(length);
        if (length > n - at - 12)
            break;
        at += length + 12;
        if (last)
            return at;
    }
    return 0;
}

/* n of them, one behind the other. */
static void
take_pngs(ArrayBuildState *to, const bytea *pngs, int n)
{
    const char *at = VARDATA_ANY(pngs), *end = at + VARSIZE_ANY_EXHDR(pngs);

    for (int i = 0; i < n; i++)
    {
        int length = png_length(at, end - at);
        bytea *png = palloc(VARHDRSZ + length);

        if (length == 0)
            ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR),
                            errmsg("the engine's images of lines cannot be told apart")));
        SET_VARSIZE(png, VARHDRSZ + length);
        memcpy(VARDATA(png), at, length);
        accumArrayResult(to, PointerGetDatum(png), false, BYTEAOID, CurrentMemoryContext);
        pfree(png);
        at += length;
    }
}

/* dsocr.cut_lines(doc bytea, page int, rotation int, lines box[]) */
Datum
dsocr_cut_lines(PG_FUNCTION_ARGS)
{
    ArrayBuildState *images = initArrayResult(BYTEAOID, CurrentMemoryContext, false);
    Datum *boxes;
    int n;

    deconstruct_array(PG_GETARG_ARRAYTYPE_P(3), BOXOID, sizeof(BOX), false, TYPALIGN_DOUBLE, &boxes,
                      NULL, &n);
    for (int first = 0, some; first < n; first += some)
    {
        StringInfoData s;

        some = Min(n - first, WIRE_LINES);
        initStringInfo(&s);
        appendStringInfo(&s, "{\"page\": %d, \"rotate\": %d, \"lines\": [", PG_GETARG_INT32(1),
                         PG_GETARG_INT32(2));
        for (int i = 0; i < some; i++)
        {
            appendStringInfoString(&s, i ? ", " : "");
            append_box(&s, DatumGetBoxP(boxes[first + i]));
        }
        appendStringInfoString(&s, "]}");
        take_pngs(images, picture_of(DOCUMENT(), s.data), some);
    }
    PG_RETURN_DATUM(makeArrayResult(images, CurrentMemoryContext));
}

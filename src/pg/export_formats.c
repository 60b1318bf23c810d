/* export_formats.c - TSV as Tesseract writes it, hOCR 1.2, ALTO 4 and PAGE 2019-07-15.
 *
 * Everything that came out of an image is escaped; ids are made here. */
#include "compat.h"

#include "export.h"
#include "markup.h"

static void
escaped(StringInfo out, const char *s)
{
    markup_escape(out, s, strlen(s));
}

static const char *
model_of(const Reading *r)
{
    return r->model ? r->model : "unknown model";
}

/* ---- TSV ---- */

static void
tsv_begin(StringInfo out, const Reading *r)
{
    appendStringInfoString(
        out, "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight"
             "\tconf\ttext\n");
}

static void
tsv_row(StringInfo out, const ExportPlace *p, int level)
{
    appendStringInfo(out, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t", level, p->page->number,
                     level > 1 ? p->block : 0, level > 2 ? 1 : 0, level > 3 ? p->line : 0,
                     level > 4 ? p->word : 0, p->x0, p->y0, p->x1 - p->x0, p->y1 - p->y0);
    if (level == 5 && p->confidence >= 0)
        appendStringInfo(out, "%.1f\t", p->confidence * 100);
    else
        appendStringInfoString(out, "-1\t");
    for (int i = 0; level == 5 && i < p->n;
         i++) /* a word has no white space, but maybe control characters */
        appendStringInfoChar(out, (unsigned char)p->text[i] < 32 ? ' ' : p->text[i]);
    appendStringInfoChar(out, '\n');
}

static void
tsv_page(StringInfo out, const ExportPlace *p)
{
    tsv_row(out, p, 1);
}

static void
tsv_figure(StringInfo out, const ExportPlace *p)
{
    tsv_row(out, p, 2);
}

static void
tsv_block(StringInfo out, const ExportPlace *p)
{
    tsv_row(out, p, 2);
    tsv_row(out, p, 3);
}

static void
tsv_line(StringInfo out, const ExportPlace *p)
{
    tsv_row(out, p, 4);
}

static void
tsv_word(StringInfo out, const ExportPlace *p)
{
    tsv_row(out, p, 5);
}

const ExportFormat export_tsv = {.begin = tsv_begin,
                                 .page = tsv_page,
                                 .figure = tsv_figure,
                                 .block = tsv_block,
                                 .line = tsv_line,
                                 .word = tsv_word};

/* ---- hOCR ---- */

static void
hocr_begin(StringInfo out, const Reading *r)
{
    appendStringInfoString(
        out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
             "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" "
             "\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n"
             "<html xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<title>dsocr</title>\n"
             "<meta http-equiv=\"Content-Type\" content=\"text/html;charset=utf-8\"/>\n"
             "<meta name=\"ocr-system\" content=\"dsocr " DSOCR_VERSION " (");
    escaped(out, model_of(r));
    appendStringInfoString(out, ")\"/>\n<meta name=\"ocr-capabilities\" content=\"ocr_page "
                                "ocr_carea ocr_par ocr_line ocrx_word "
                                "ocrp_wconf ocr_photo\"/>\n</head>\n<body>\n");
}

static void
hocr_box(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "bbox %d %d %d %d", p->x0, p->y0, p->x1, p->y1);
}

static void
hocr_page(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "<div class=\"ocr_page\" id=\"page_%d\" title=\"", p->nth_page);
    hocr_box(out, p);
    appendStringInfo(out, "; ppageno %d\">\n", p->page->number - 1);
}

static void
hocr_figure(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "<div class=\"ocr_photo\" id=\"block_%d_%d\" title=\"", p->nth_page,
                     p->block);
    hocr_box(out, p);
    appendStringInfoString(out, "\"></div>\n");
}

static void
hocr_block(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "<div class=\"ocr_carea\" id=\"block_%d_%d\" title=\"", p->nth_page,
                     p->block);
    hocr_box(out, p);
    appendStringInfo(out, "\"><p class=\"ocr_par\" id=\"par_%d_%d\" title=\"", p->nth_page,
                     p->block);
    hocr_box(out, p);
    appendStringInfoString(out, "\">\n");
}

static void
hocr_line(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "<span class=\"ocr_line\" id=\"line_%d_%d_%d\" title=\"", p->nth_page,
                     p->block, p->line);
    hocr_box(out, p);
    appendStringInfoString(out, "\">");
}

static void
hocr_word(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "%s<span class=\"ocrx_word\" id=\"word_%d_%d_%d_%d\" title=\"",
                     p->word > 1 ? " " : "", p->nth_page, p->block, p->line, p->word);
    hocr_box(out, p);
    if (p->confidence >= 0)
        appendStringInfo(out, "; x_wconf %d", (int)(p->confidence * 100 + 0.5));
    appendStringInfoString(out, "\">");
    markup_escape(out, p->text, p->n);
    appendStringInfoString(out, "</span>");
}

const ExportFormat export_hocr = {.begin = hocr_begin,
                                  .page = hocr_page,
                                  .figure = hocr_figure,
                                  .block = hocr_block,
                                  .line = hocr_line,
                                  .word = hocr_word,
                                  .line_tail = "</span>\n",
                                  .block_tail = "</p></div>\n",
                                  .page_tail = "</div>\n",
                                  .tail = "</body>\n</html>\n"};

/* ---- ALTO ---- */

static void
alto_begin(StringInfo out, const Reading *r)
{
    appendStringInfoString(
        out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
             "<alto xmlns=\"http://www.loc.gov/standards/alto/ns-v4#\" "
             "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
             "xsi:schemaLocation=\"http://www.loc.gov/standards/alto/ns-v4# "
             "http://www.loc.gov/standards/alto/v4/alto-4-2.xsd\">\n"
             "<Description><MeasurementUnit>pixel</MeasurementUnit><Processing ID=\"OCR_1\">"
             "<processingSoftware><softwareName>dsocr</softwareName><softwareVersion>" DSOCR_VERSION
             "</softwareVersion><applicationDescription>");
    escaped(out, model_of(r));
    appendStringInfoString(
        out,
        "</applicationDescription></processingSoftware></Processing></Description>\n<Layout>\n");
}

static void
alto_box(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, " HPOS=\"%d\" VPOS=\"%d\" WIDTH=\"%d\" HEIGHT=\"%d\"", p->x0, p->y0,
                     p->x1 - p->x0, p->y1 - p->y0);
}

static void
alto_page(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(
        out, "<Page ID=\"page_%d\" PHYSICAL_IMG_NR=\"%d\" WIDTH=\"%d\" HEIGHT=\"%d\"><PrintSpace",
        p->nth_page, p->page->number, p->page->width, p->page->height);
    alto_box(out, p);
    appendStringInfoString(out, ">\n");
}

static void
alto_figure(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "<Illustration ID=\"block_%d_%d\"", p->nth_page, p->block);
    alto_box(out, p);
    appendStringInfoString(out, "/>\n");
}

static void
alto_block(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "<TextBlock ID=\"block_%d_%d\"", p->nth_page, p->block);
    alto_box(out, p);
    appendStringInfoString(out, ">\n");
}

static void
alto_line(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "<TextLine ID=\"line_%d_%d_%d\"", p->nth_page, p->block, p->line);
    alto_box(out, p);
    appendStringInfoChar(out, '>');
}

static void
alto_word(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "%s<String ID=\"string_%d_%d_%d_%d\"", p->word > 1 ? "<SP/>" : "",
                     p->nth_page, p->block, p->line, p->word);
    alto_box(out, p);
    if (p->confidence >= 0)
        appendStringInfo(out, " WC=\"%.2f\"", Min(1.0, p->confidence));
    appendStringInfoString(out, " CONTENT=\"");
    markup_escape(out, p->text, p->n);
    appendStringInfoString(out, "\"/>");
}

const ExportFormat export_alto = {.begin = alto_begin,
                                  .page = alto_page,
                                  .figure = alto_figure,
                                  .block = alto_block,
                                  .line = alto_line,
                                  .word = alto_word,
                                  .line_tail = "</TextLine>\n",
                                  .block_tail = "</TextBlock>\n",
                                  .page_tail = "</PrintSpace></Page>\n",
                                  .tail = "</Layout>\n</alto>\n"};

/* ---- PAGE ---- */

/* The format wants a time; a result alone has none that could be trusted, and now() would not be immutable. */
static void
page_begin(StringInfo out, const Reading *r)
{
    appendStringInfoString(
        out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
             "<PcGts xmlns=\"http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15\">\n"
             "<Metadata><Creator>dsocr " DSOCR_VERSION " (");
    escaped(out, model_of(r));
    appendStringInfoString(out, ")</Creator><Created>1970-01-01T00:00:00</Created>"
                                "<LastChange>1970-01-01T00:00:00</LastChange></Metadata>\n");
}

static void
page_page(StringInfo out, const ExportPlace *p)
{
    appendStringInfoString(out, "<Page imageFilename=\"");
    escaped(out, p->reading->sha256 ? p->reading->sha256 : "");
    appendStringInfo(out, "\" imageWidth=\"%d\" imageHeight=\"%d\">\n", p->page->width,
                     p->page->height);
    if (p->page->nelements == 0)
        return;
    appendStringInfoString(out, "<ReadingOrder><OrderedGroup id=\"order\">");
    for (int i = 0; i < p->page->nelements; i++)
        appendStringInfo(out, "<RegionRefIndexed index=\"%d\" regionRef=\"region_%d\"/>", i, i + 1);
    appendStringInfoString(out, "</OrderedGroup></ReadingOrder>\n");
}

static void
page_coords(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "<Coords points=\"%d,%d %d,%d %d,%d %d,%d\"/>", p->x0, p->y0, p->x1,
                     p->y0, p->x1, p->y1, p->x0, p->y1);
}

static const char *
page_type(const ReadElement *e)
{
    static const char *const types[][2] = {
        {"title", "heading"},      {"section_header", "heading"},  {"text", "paragraph"},
        {"list", "paragraph"},     {"caption", "caption"},         {"page_header", "header"},
        {"page_footer", "footer"}, {"page_number", "page-number"}, {"footnote", "footnote"}};

    for (int i = 0; i < lengthof(types); i++)
        if (strcmp(e->type, types[i][0]) == 0)
            return types[i][1];
    return "other";
}

static void
page_figure(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "<ImageRegion id=\"region_%d\">", p->block);
    page_coords(out, p);
    appendStringInfoString(out, "</ImageRegion>\n");
}

static void
page_block(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "<TextRegion id=\"region_%d\" type=\"%s\">", p->block,
                     page_type(p->element));
    page_coords(out, p);
    appendStringInfoChar(out, '\n');
}

static void
page_line(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "<TextLine id=\"line_%d_%d\">", p->block, p->line);
    page_coords(out, p);
}

static void
page_text(StringInfo out, const char *s, int n, double confidence)
{
    appendStringInfoString(out, "<TextEquiv");
    if (confidence >= 0)
        appendStringInfo(out, " conf=\"%.4f\"", Min(1.0, confidence));
    appendStringInfoString(out, "><Unicode>");
    markup_escape(out, s, n);
    appendStringInfoString(out, "</Unicode></TextEquiv>");
}

static void
page_word(StringInfo out, const ExportPlace *p)
{
    appendStringInfo(out, "<Word id=\"word_%d_%d_%d\">", p->block, p->line, p->word);
    page_coords(out, p);
    page_text(out, p->text, p->n, p->confidence);
    appendStringInfoString(out, "</Word>");
}

static void
page_line_end(StringInfo out, const ExportPlace *p)
{
    page_text(out, p->text, p->n, p->confidence);
}

static void
page_block_end(StringInfo out, const ExportPlace *p)
{
    page_text(out, p->element->text, strlen(p->element->text), p->confidence);
}

const ExportFormat export_page = {.begin = page_begin,
                                  .page = page_page,
                                  .figure = page_figure,
                                  .block = page_block,
                                  .line = page_line,
                                  .word = page_word,
                                  .line_end = page_line_end,
                                  .line_tail = "</TextLine>\n",
                                  .block_end = page_block_end,
                                  .block_tail = "</TextRegion>\n",
                                  .page_tail = "</Page>\n",
                                  .tail = "</PcGts>\n"};

/* export.h - a result walked for a format that others read: pages, blocks, lines, words. */
#ifndef DS_EXPORT_H
#define DS_EXPORT_H

#include "reading.h"

#include "lib/stringinfo.h"

/* Where the walk is. Numbers count from 1 within what they stand in; box and confidence are those of the thing that
 * is begun or written, the page's box where the result has none. */
typedef struct ExportPlace
{
    const Reading *reading;
    const ReadPage *page;
    const ReadElement *element;
    int nth_page, block, line, word;
    int x0, y0, x1, y1;
    double confidence; /* -1: none */
    const char *text;  /* of a line or a word: [n] */
    int n;
} ExportPlace;

/* One format. Any member may be NULL. figure stands for an element without text. */
typedef struct ExportFormat
{
    void (*begin)(StringInfo out, const Reading *r);
    void (*page)(StringInfo out, const ExportPlace *p);
    void (*figure)(StringInfo out, const ExportPlace *p);
    void (*block)(StringInfo out, const ExportPlace *p);
    void (*line)(StringInfo out, const ExportPlace *p);
    void (*word)(StringInfo out, const ExportPlace *p);
    void (*line_end)(StringInfo out, const ExportPlace *p); /* before the tail */
    void (*block_end)(StringInfo out, const ExportPlace *p);
    const char *line_tail, *block_tail, *page_tail, *tail;
} ExportFormat;

extern void export_walk(const ExportFormat *f, const Reading *r, StringInfo out);

extern const ExportFormat export_tsv, export_hocr, export_alto, export_page;

#endif

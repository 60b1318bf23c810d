/* hits.h - where a query's words stand on a page. */
#ifndef DS_HITS_H
#define DS_HITS_H

#include "reading.h"

#include "tsearch/ts_type.h"

/* A word or a phrase, or the part of it that stands on one line. */
typedef struct Hit
{
    int group; /* hits of one word or phrase have the same, from 1 */
    const ReadElement *element;
    const ReadLine *line; /* NULL: the element has none */
    int from, n;          /* bytes of the line's text, or of the element's */
    const char *fragment; /* as it is printed: [n] */
    bool has_box;
    BOX box;
    const char *geometry; /* "estimated" within a line; else the line's own; NULL without a box */
} Hit;

/* In reading order; palloc'd, *n of them. */
extern Hit *hits_on_page(const ReadPage *page, TSQuery query, Oid config, int *n);

/* What a search shows of a page: texts as they are stored, 0: NULL. tsv, of the text, spares most of the parsing. */
extern void show_page(TSQuery query, Oid config, Datum search_text, Datum tsv, Datum result,
                      Datum *snippet, Datum *highlights);

#endif

/* table_fill.h - an element's content with tables as places for text: what stands in them, and other text put there. */
#ifndef DS_TABLE_FILL_H
#define DS_TABLE_FILL_H

#include "postgres.h"

/* A cell, or a line of text beside the tables. */
typedef struct TablePlace
{
    const char *from, *to; /* bytes of the content */
    int row;               /* from 1, through the whole content */
    int col;               /* from 1, spans not counted; 0: beside the tables */
    const char *text;      /* of one line, without markup */
} TablePlace;

/* In reading order, palloc'd; *n of them, 0 when there is no cell. */
extern TablePlace *table_places(const char *content, int *n);

/* The content with texts[i] in places[i]; those that are NULL or the same stay, markup and all. */
extern char *table_fill(const char *content, const TablePlace *places, int n,
                        const char *const *texts);

/* Rows by line ends, cells by tabs, as the engine writes the text of a table. */
extern char *table_text(const TablePlace *places, int n);

#endif

/* table_cells.h - the HTML tables of an element as cells in a grid. */
#ifndef DS_TABLE_CELLS_H
#define DS_TABLE_CELLS_H

#include "postgres.h"

typedef struct TableCell
{
    int table;    /* of this content, from 1 */
    int row, col; /* from 1; the top left place of the cell */
    int rowspan, colspan;
    bool header;
    const char *text; /* without markup */
} TableCell;

/* All cells in reading order, palloc'd; *n of them. Content without a <table> has none. */
extern TableCell *table_cells(const char *content, int *n);

#endif

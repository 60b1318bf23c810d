/* lines_pieces.h - Parts -> pieces of rows: letters that follow each other closely. */
#ifndef DS_LINES_PIECES_H
#define DS_LINES_PIECES_H

#include "lines_index.h"

typedef struct Piece
{
    Box box; /* of letters and the small marks that belong to them */
    int ncore;
    float size;                                           /* median height of its letters */
    float top, bottom;                                    /* median edges of its letters */
    float left_top, left_bottom, right_top, right_bottom; /* the same of the few at each end */
} Piece;

typedef struct Pieces
{
    int n;
    Piece *pieces; /* sorted by box.x0 */
} Pieces;

/* Afterwards part.row is the piece's index, -1 for parts of none. */
bool pieces_find(Parts *p, Arena *arena, Pieces *out);

#endif

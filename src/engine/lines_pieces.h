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

#define CORRIDORS 64

/* White between columns, upright: no row reaches over it. */
typedef struct Corridors
{
    int n;
    Box boxes[CORRIDORS];
} Corridors;

/* The corridor lies between two letters, or the ends of a piece. */
static inline bool
corridor_within(const Box *corridor, const Box *b)
{
    int y = (b->y0 + b->y1) / 2;

    return y >= corridor->y0 && y <= corridor->y1 && b->x0 < corridor->x0 + 2 &&
           b->x1 > corridor->x1 - 2;
}

/* corridors: that no piece reaches over, or NULL. Afterwards part.row is the piece's index, -1 for parts of none. */
bool pieces_find(Parts *p, const Corridors *corridors, Arena *arena, Pieces *out);

#endif

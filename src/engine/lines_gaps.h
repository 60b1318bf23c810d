/* lines_gaps.h - what the gap between two pieces of one height is. */
#ifndef DS_LINES_GAPS_H
#define DS_LINES_GAPS_H

#include "lines_pieces.h"

#define WORD_SPACE 2.2f /* letter heights: spaces in justified lines are this wide */
#define NO_GAP     1.2f /* letter heights; such a gap is none */

typedef struct Pair
{
    int left, right;
    float gap;
} Pair;

typedef struct Joiner
{
    const Parts *parts;
    Piece *pieces; /* [n] by box.x0 */
    int n;
    int *old;   /* [n] index before sorting */
    int *above; /* [n] nearest piece above that shares columns; -1 */
    int *below; /* [n] */
    int *right; /* [n] the next one at the same height, if they agree; -1 */
    int *left;  /* [n] the one that has this one on its right; -1 */
    Box *spans; /* [n] the piece and what is a word space away from it */
    Corridors *corridors;
    Index ix;
} Joiner;

static inline float
least(float a, float b)
{
    return a < b ? a : b;
}

static inline float
most(float a, float b)
{
    return a > b ? a : b;
}

/* An upright rule that reaches over many rows stands between l and r. */
bool upright_between(const Joiner *j, const Piece *l, const Piece *r);

/* White between columns; the pieces know their neighbours and spans. out: empty before. */
void corridors_find(const Joiner *j, Corridors *out);

/* The gap parts a row from another: it is a gutter, or the edge of a box or a frame stands in it. */
bool gap_parts(const Joiner *j, const Pair *pair);

#endif

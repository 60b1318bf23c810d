/* layout_parts.h - what the two makers of a layout share; for layout*.c alone. */
#ifndef DS_LAYOUT_PARTS_H
#define DS_LAYOUT_PARTS_H

#include "layout.h"

/* The geometric mean of probabilities, one at a time. */
typedef struct Mean
{
    double logs;
    int n;
} Mean;

void mean_add(Mean *m, float probability);
void mean_add_all(Mean *m, const float *probabilities, int n);
float mean_value(const Mean *m); /* -1 without any */

/* Page confidences of all the probabilities [n]; copied, not changed. DS_LIMIT when the arena is full. */
DsStatus layout_confidence(const float *probabilities, int n, Arena *arena, PageReading *page,
                           DsError *err);

/* Joins what the elements hold to the page's text and markdown, an empty line between two, and sets char_start
 * and char_end. Elements without text stand where the text has got to. */
DsStatus layout_join(PageReading *page, Arena *arena, DsError *err);

/* Neither text nor a picture on it. After layout_join. */
bool layout_is_blank(const PageReading *page);

/* What a block of the model's Markdown, HTML or LaTeX says when its marks are taken away: heading signs, bold
 * signs and tags go, entities become characters, a table's cells are parted by tabs and its rows by line
 * breaks. Maths stays as it is. Never longer than the input; NULL when the arena is full. */
char *layout_plain(Arena *arena, const char *content, size_t n);

/* Moves *s and *n past white space at both ends. */
void layout_trim(const char **s, size_t *n);

DsStatus layout_no_room(DsError *err);

#endif

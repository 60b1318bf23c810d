/* place.h - where the parts of a line stand. */
#ifndef DS_PLACE_H
#define DS_PLACE_H

#include "reading.h"

/* The part of a line of text that begins at byte `from` and is n bytes long. Letters have no boxes of their own: the
 * line is divided by how wide each letter is in an ordinary face; right-to-left lines from the right. */
extern BOX place_in_line(const char *text, const BOX *line, int from, int n);

/* The next word from byte *at on: its first byte in *from, its length returned; 0 at the end. *at moves behind it. */
extern int place_next_word(const char *text, int *at, int *from);

#endif

/* letters.h - what kind of character stands somewhere, in any database encoding and whatever its locale. */
#ifndef DS_LETTERS_H
#define DS_LETTERS_H

#include "postgres.h"

/* The Unicode number of the character at s, of n > 0 bytes; *length: its bytes. 0xfffd for what has none. */
extern uint32 letter_at(const char *s, int n, int *length);

/* The character that ends at s + n, n > 0. */
extern uint32 letter_before(const char *s, int n, int *length);

extern bool is_letter(uint32 c);
extern bool is_upper(uint32 c); /* of the Latin, Greek and Cyrillic scripts */
extern bool is_digit(uint32 c);
extern bool is_space(uint32 c);
extern bool
is_hyphen(uint32 c); /* that may divide a word at a line's end: as readers write it, too */
extern bool is_right_to_left(uint32 c);

#endif

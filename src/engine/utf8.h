/* utf8.h - reading UTF-8 that nobody has checked yet; for the tokenizer, the layout and the JSON writer. */
#ifndef DS_UTF8_H
#define DS_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The bytes of one character, or of what stands for one: *cp is the code point, or -1 when the bytes returned
 * are the longest start of a character that breaks off (each such run becomes one U+FFFD, as Python and Rust
 * do it). n > 0. Overlong forms, surrogates and code points over 10FFFF are broken. */
size_t utf8_next(const char *s, size_t n, int32_t *cp);

/* Characters in valid UTF-8. */
size_t utf8_count(const char *s, size_t n);

/* Writes 1 to 4 bytes, without a terminator; code points that do not exist are written as U+FFFD. */
size_t utf8_put(char *out, uint32_t cp);

/* Takes white space off both ends, as Python's str.strip() does. */
void utf8_strip(const char **text, size_t *n);

#define UTF8_REPLACEMENT "\xEF\xBF\xBD"

#endif

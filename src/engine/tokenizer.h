/* tokenizer.h - text <-> token ids, bytes in and bytes out. Byte-level BPE from tokenizer.json, spec 11. */
#ifndef DS_TOKENIZER_H
#define DS_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "status.h"

typedef struct Tokenizer Tokenizer;

/* json: the file's bytes. Everything the file says is checked: a broken file is DS_NOT_READY with the reason. */
DsStatus tokenizer_open(const char *json, size_t n, Tokenizer **out, DsError *err);
void tokenizer_close(Tokenizer *t);
int tokenizer_size(const Tokenizer *t); /* largest id + 1 */

/* The id of an added token by its literal text ("<image>", "<td>"), or -1. */
int32_t tokenizer_added(const Tokenizer *t, const char *content);

/* text: any bytes. ids come from the arena. */
DsStatus tokenizer_encode(const Tokenizer *t, const char *text, size_t n, Arena *arena,
                          int32_t **ids, int *count, DsError *err);

/* The same for text that a stranger wrote: what looks like an added token is text too, and gets ordinary tokens. */
DsStatus tokenizer_encode_plain(const Tokenizer *t, const char *text, size_t n, Arena *arena,
                                int32_t **ids, int *count, DsError *err);

/* The bytes of one id: may be part of a UTF-8 character; added tokens give their literal text; unknown ids none. */
const char *tokenizer_bytes(const Tokenizer *t, int32_t id, size_t *n);
bool tokenizer_is_special(const Tokenizer *t, int32_t id);

/* Decodes ids, invalid sequences become U+FFFD and U+0000 is kept as it is; NUL-terminated, *n long. starts:
 * NULL or [count + 1]: the byte offset in the text at which each id begins. */
DsStatus tokenizer_decode(const Tokenizer *t, const int32_t *ids, int count, Arena *arena,
                          char **text, size_t *n, int *starts, DsError *err);

#endif

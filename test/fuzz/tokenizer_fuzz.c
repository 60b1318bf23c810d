/* tokenizer_fuzz.c - a tokenizer.json by a stranger must end in a tokenizer or in a message.
 *
 * Input: the file. What opens is used: a text is encoded, and ids in and out of range decoded. */
#include "../../src/engine/tokenizer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "<bos>a  b\xE4\xBD\xA0\xFF\xE4 12345<td>x\r\n\t";
    Tokenizer *t;
    DsError err;
    Arena arena;
    int32_t *ids, odd[3] = {-1, 1 << 30, 0};
    char *back;
    size_t n;
    int count;

    if (tokenizer_open((const char *)data, size, &t, &err) != DS_OK)
        return 0;
    arena_init(&arena, 64 << 20);
    odd[2] = tokenizer_size(t);
    if (tokenizer_encode(t, text, sizeof text - 1, &arena, &ids, &count, &err) == DS_OK &&
        tokenizer_decode(t, ids, count, &arena, &back, &n, NULL, &err) == DS_OK && n < strlen(back))
        __builtin_trap();
    if (tokenizer_decode(t, odd, 3, &arena, &back, &n, NULL, &err) == DS_OK && n != 0)
        __builtin_trap();
    arena_free(&arena);
    tokenizer_close(t);
    return 0;
}

/* options_fuzz.c - a request by a stranger must end in options inside their ranges or in a message.
 *
 * Input: the request. Its text is tried as a list of pages, too. */
#include "../../src/engine/options.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
try_pages(const char *spec)
{
    Arena arena;
    DsError err;
    int *pages, n;

    arena_init(&arena, 1 << 20);
    if (pages_parse(spec, 9, &arena, &pages, &n, &err) == DS_OK)
        for (int i = 0; i < n; i++)
            if (pages[i] < 1 || pages[i] > 9 || (i > 0 && pages[i] <= pages[i - 1]))
                __builtin_trap();
    arena_free(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    DsRequest r;
    DsError err;
    Arena arena;
    char spec[256] = "";

    memcpy(spec, data, size < sizeof spec - 1 ? size : sizeof spec - 1);
    try_pages(spec);
    if (request_parse((const char *)data, size, 8192, &r, &err) != DS_OK)
        return 0;
    if (r.options.max_tokens > 8192 || r.options.retries > 10 || r.options.rotate > 270 ||
        r.options.max_crops < -1)
        __builtin_trap();
    try_pages(r.pages);
    arena_init(&arena, 1 << 20);
    if (request_canonical(&r, &arena) == NULL)
        __builtin_trap();
    arena_free(&arena);
    return 0;
}

/* adapter_fuzz.c - an adapter by a stranger must end in a changed linear or in a message.
 *
 * Input: adapter_config.json, a zero byte, adapter_model.safetensors. What is taken is merged into a small linear
 * of the name that the corpus has, once with a shape that fits it. */
#include "../../src/engine/adapter.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t zeros[6 * 4];
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    Tensor t = {DTYPE_BF16, 2, {6, 4}, 24, zeros};
    Adapter *a;
    Arena arena;
    DsError err;
    size_t n = end ? (size_t)(end - data) : 0;

    if (end == NULL || adapter_parse("fuzz", data, n, end + 1, size - n - 1, &a, &err) != DS_OK)
        return 0;
    arena_init(&arena, 0);
    (void)adapter_fits(a, "toy", "", "", &err);
    if (adapter_merge(a, "x.weight", &t, &arena, &err) == DS_OK)
        (void)adapter_all_used(a, &err);
    arena_free(&arena);
    adapter_close(a);
    return 0;
}

/* wire_fuzz.c - any 48 bytes: what wire_check lets through has lengths that its reader may allocate. */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

__attribute__((visibility("default"))) int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const uint64_t limits[] = {0, 1000, WIRE_MAX_BODY, WIRE_MAX_REPLY};
    WireHeader h;
    bool other;

    if (n < sizeof h)
        return 0;
    memcpy(&h, bytes, sizeof h);
    for (int i = 0; i < 4; i++)
        if (wire_check(&h, limits[i], &other) == NULL &&
            (h.body_length > limits[i] || h.options_length > WIRE_MAX_OPTIONS || other))
            abort();
    return 0;
}

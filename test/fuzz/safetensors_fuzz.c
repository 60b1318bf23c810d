/* safetensors_fuzz.c - a weight file by a stranger must end in tensors inside its bytes or in a message.
 *
 * Input: the file. Every tensor that comes out is read from end to end: an offset out of bounds is a crash. */
#include "../../src/engine/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SafeTensor *tensors;
    volatile float sum = 0;
    DsError err;
    int n;

    if (safetensors_parse(data, size, "fuzz", 0, &tensors, &n, &err) != DS_OK)
        return 0;
    for (int i = 0; i < n; i++)
    {
        const Tensor *t = &tensors[i].tensor;

        if (tensors[i].end < tensors[i].begin || tensors[i].end > size)
            __builtin_trap();
        for (uint64_t e = 0; t->dtype != DTYPE_OTHER && e < t->count; e++)
            sum = sum + dtype_load(t->dtype, t->data, e);
    }
    safetensors_parsed_free(tensors, n);
    return 0;
}

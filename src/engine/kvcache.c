/* kvcache.c - keys and values of past positions: one block of memory, taken at open. */
#include "kvcache.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "arena.h"

/* Floats of one layer of one slot, keys and values each. */
static uint64_t
half(const KvCache *c)
{
    return (uint64_t)c->heads * (uint64_t)keys_room(c->positions) * (uint64_t)c->dim;
}

static bool
total_bytes(const KvCache *c, uint64_t *bytes)
{
    return !ds_mul(bytes, half(c), 2 * sizeof(float)) &&
           !ds_mul(bytes, *bytes, (uint64_t)c->layers) &&
           !ds_mul(bytes, *bytes, (uint64_t)c->slots);
}

uint64_t
kvcache_bytes(int slots, int layers, int heads, int dim, int positions)
{
    KvCache c = {slots, layers, heads, dim, positions, NULL};
    uint64_t bytes;

    return total_bytes(&c, &bytes) ? bytes : 0;
}

DsStatus
kvcache_open(KvCache *c, int slots, int layers, int heads, int dim, int positions, DsError *err)
{
    uint64_t bytes;

    *c = (KvCache){slots, layers, heads, dim, positions, NULL};
    if (total_bytes(c, &bytes)) /* pages come when they are first written, zeroed */
        c->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c->memory == NULL || c->memory == MAP_FAILED)
    {
        c->memory = NULL;
        ds_fail(err, DS_LIMIT, "no memory for %d sequences of %d positions", slots, positions);
        return ds_hint(err, "Serve fewer sequences at once (dsocr.max_batch).");
    }
    return DS_OK;
}

void
kvcache_close(KvCache *c)
{
    uint64_t bytes;

    if (c->memory && total_bytes(c, &bytes))
        munmap(c->memory, bytes);
    c->memory = NULL;
}

Keys
kvcache_at(const KvCache *c, int slot, int layer)
{
    float *k = c->memory + 2 * half(c) * ((uint64_t)slot * (uint64_t)c->layers + (uint64_t)layer);

    return (Keys){k, k + half(c), c->heads, c->dim, keys_room(c->positions)};
}

/* kvcache.h - keys and values of past positions: one block of memory, taken at open.
 *
 * A slot holds one sequence, for every layer the Keys of backend.h with room for all its positions. */
#ifndef DS_KVCACHE_H
#define DS_KVCACHE_H

#include "backend.h"

typedef struct KvCache
{
    int slots, layers, heads, dim, positions;
    float *memory; /* [slots, layers, 2, heads, room, dim] */
} KvCache;

/* DS_LIMIT when the memory cannot be had, or its size overflows. */
DsStatus kvcache_open(KvCache *c, int slots, int layers, int heads, int dim, int positions,
                      DsError *err);
/* 0 when the size overflows. */
uint64_t kvcache_bytes(int slots, int layers, int heads, int dim, int positions);
void kvcache_close(KvCache *c);
Keys kvcache_at(const KvCache *c, int slot, int layer);

#endif

/* cache.h - answers given before, so that the same document asked the same way costs a hash and a copy.
 *
 * The key is the SHA-256 of the document's SHA-256, the model's weights and the canonical options. Holds at most a
 * number of bytes, keys and bookkeeping included; the least recently used go first. The caller locks. */
#ifndef DS_CACHE_H
#define DS_CACHE_H

#include <stddef.h>
#include <stdint.h>

typedef struct Cache Cache;

typedef struct CacheKey
{
    uint8_t digest[32];
} CacheKey;

typedef struct CacheFacts
{
    uint64_t bytes, hits, misses;
    int entries;
} CacheFacts;

CacheKey cache_key(const uint8_t document[32], const char *weights_sha256, const char *canonical);

Cache *cache_open(uint64_t max_bytes); /* NULL without memory */
void cache_close(Cache *c);
void cache_resize(Cache *c, uint64_t max_bytes); /* 0: holds nothing */

/* A malloc'd copy of the answer and its length, or NULL; either way it is counted. */
char *cache_get(Cache *c, const CacheKey *key, size_t *n);

/* Copies. Nothing happens when it is too big, when there is no memory, or when it is there already. */
void cache_put(Cache *c, const CacheKey *key, const char *text, size_t n);

CacheFacts cache_facts(const Cache *c);

#endif

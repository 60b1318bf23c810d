/* cache.c - a hash table of chains and a list by last use. */
#include "cache.h"
#include "sha256.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024

typedef struct Entry
{
    CacheKey key;
    struct Entry *chain;         /* of its bucket */
    struct Entry *newer, *older; /* by use */
    size_t n;
    char text[];
} Entry;

struct Cache
{
    Entry *buckets[BUCKETS];
    Entry *newest, *oldest;
    uint64_t max_bytes;
    CacheFacts facts;
};

CacheKey
cache_key(const uint8_t document[32], const char *weights_sha256, const char *canonical)
{
    Sha256 s;
    CacheKey key;

    sha256_init(&s);
    sha256_add(&s, document, 32);
    sha256_add(&s, weights_sha256, strlen(weights_sha256) + 1);
    sha256_add(&s, canonical, strlen(canonical) + 1);
    sha256_end(&s, key.digest);
    return key;
}

Cache *
cache_open(uint64_t max_bytes)
{
    Cache *c = calloc(1, sizeof *c);

    if (c)
        c->max_bytes = max_bytes;
    return c;
}

static Entry **
bucket_of(Cache *c, const CacheKey *key)
{
    return &c->buckets[(key->digest[0] | key->digest[1] << 8) % BUCKETS];
}

static void
unlink_use(Cache *c, Entry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void
link_newest(Cache *c, Entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static void
drop(Cache *c, Entry *e)
{
    Entry **at = bucket_of(c, &e->key);

    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    unlink_use(c, e);
    c->facts.bytes -= sizeof *e + e->n;
    c->facts.entries--;
    free(e);
}

void
cache_resize(Cache *c, uint64_t max_bytes)
{
    c->max_bytes = max_bytes;
    while (c->facts.bytes > max_bytes)
        drop(c, c->oldest);
}

void
cache_close(Cache *c)
{
    if (c == NULL)
        return;
    cache_resize(c, 0);
    free(c);
}

static Entry *
find(Cache *c, const CacheKey *key)
{
    Entry *e = *bucket_of(c, key);

    while (e && memcmp(&e->key, key, sizeof *key) != 0)
        e = e->chain;
    return e;
}

char *
cache_get(Cache *c, const CacheKey *key, size_t *n)
{
    Entry *e = find(c, key);
    char *copy = e ? malloc(e->n) : NULL;

    if (copy == NULL)
    {
        c->facts.misses++;
        return NULL;
    }
    c->facts.hits++;
    unlink_use(c, e);
    link_newest(c, e);
    memcpy(copy, e->text, e->n);
    *n = e->n;
    return copy;
}

void
cache_put(Cache *c, const CacheKey *key, const char *text, size_t n)
{
    uint64_t bytes = sizeof(Entry) + n;
    Entry *e, **bucket = bucket_of(c, key);

    if (bytes > c->max_bytes || find(c, key) || (e = malloc(bytes)) == NULL)
        return;
    while (c->facts.bytes + bytes > c->max_bytes)
        drop(c, c->oldest);
    e->key = *key;
    e->n = n;
    memcpy(e->text, text, n);
    e->chain = *bucket;
    *bucket = e;
    link_newest(c, e);
    c->facts.bytes += bytes;
    c->facts.entries++;
}

CacheFacts
cache_facts(const Cache *c)
{
    return c->facts;
}

/* cache_test.c - the result cache finds what it was given, forgets what was used least, and stays in its bounds. */
#include "cache.h"
#include "check.h"

static CacheKey
key_of(int i, const char *weights, const char *options)
{
    uint8_t document[32] = {(uint8_t)i, (uint8_t)(i >> 8)};

    return cache_key(document, weights, options);
}

static bool
holds(Cache *c, int i, const char *want)
{
    CacheKey key = key_of(i, "w", "o");
    size_t n = 0;
    char *got = cache_get(c, &key, &n);
    bool right = got ? want && n == strlen(want) && memcmp(got, want, n) == 0 : want == NULL;

    free(got);
    return right;
}

static void
put(Cache *c, int i, const char *text)
{
    CacheKey key = key_of(i, "w", "o");

    cache_put(c, &key, text, strlen(text));
}

static void
keys(void)
{
    CacheKey a = key_of(1, "w", "o"), b = key_of(2, "w", "o"), d = key_of(1, "v", "o"),
             e = key_of(1, "w", "p"), f = key_of(1, "wo", "");

    promise("another document, other weights, other options: another key",
            memcmp(&a, &b, 32) && memcmp(&a, &d, 32) && memcmp(&a, &e, 32) && memcmp(&a, &f, 32));
}

static void
uses(void)
{
    Cache *c = cache_open(3 * 200);

    put(c, 1, "one"), put(c, 2, "two");
    promise("what was put is found", holds(c, 1, "one") && holds(c, 2, "two"));
    promise("what was not is not", holds(c, 3, NULL));
    promise("hits and misses are counted", cache_facts(c).hits == 2 && cache_facts(c).misses == 1);
    put(c, 1, "other");
    promise("the first answer stays", holds(c, 1, "one"));
    cache_close(c);
}

static void
bounds(void)
{
    Cache *c = cache_open(10000);
    bool bounded = true;
    char big[20000];

    for (int i = 0; i < 2000; i++)
    {
        put(c, i, "some answer of the usual length, let us say");
        bounded = bounded && cache_facts(c).bytes <= 10000 &&
                  holds(c, 0, "some answer of the usual length, let us say");
    }
    promise("never more bytes than allowed, and what is used stays",
            bounded && cache_facts(c).entries > 20);
    promise("the least recently used is gone", holds(c, 1, NULL) && !holds(c, 1999, NULL));
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = 0;
    put(c, 5000, big);
    promise("what is bigger than the cache is not held",
            holds(c, 5000, NULL) && !holds(c, 0, NULL));
    cache_resize(c, 0);
    put(c, 7, "x");
    promise("a cache of 0 bytes holds nothing",
            cache_facts(c).bytes == 0 && cache_facts(c).entries == 0);
    cache_close(c);
}

int
main(void)
{
    keys();
    uses();
    bounds();
    return report();
}

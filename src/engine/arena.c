/* arena.c - memory that is given back all at once. */
#include "arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN     64
#define MIN_BLOCK ((size_t)256 << 10)

struct ArenaBlock
{
    ArenaBlock *next;
    size_t size; /* bytes of data */
    size_t used;
    char *data;
};

void
arena_init(Arena *a, size_t limit)
{
    *a = (Arena){.limit = limit};
}

static ArenaBlock *
new_block(Arena *a, size_t bytes)
{
    size_t size = bytes > MIN_BLOCK ? bytes : MIN_BLOCK;
    size_t whole = size + sizeof(ArenaBlock) + ALIGN;
    ArenaBlock *b;

    if (a->limit && (whole > a->limit || a->held > a->limit - whole))
        return NULL;
    if ((b = malloc(whole)) == NULL)
        return NULL;
    b->next = a->blocks;
    b->size = size;
    b->used = 0;
    b->data = (char *)(((uintptr_t)(b + 1) + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1));
    a->blocks = b;
    a->held += whole;
    return b;
}

void *
arena_alloc(Arena *a, size_t bytes)
{
    ArenaBlock *b = a->blocks;
    void *p;

    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (bytes == 0)
        bytes = ALIGN;
    if ((b == NULL || b->size - b->used < bytes) && (b = new_block(a, bytes)) == NULL)
        return NULL;
    p = b->data + b->used;
    b->used += bytes;
    return p;
}

void *
arena_zalloc(Arena *a, size_t bytes)
{
    void *p = arena_alloc(a, bytes);

    return p ? memset(p, 0, bytes) : NULL;
}

void *
arena_array(Arena *a, size_t n, size_t each)
{
    uint64_t bytes;

    return ds_mul(&bytes, n, each) ? NULL : arena_zalloc(a, bytes);
}

char *
arena_strndup(Arena *a, const char *s, size_t n)
{
    char *p = arena_alloc(a, n + 1);

    if (p)
    {
        memcpy(p, s, n);
        p[n] = '\0';
    }
    return p;
}

char *
arena_strdup(Arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *
arena_printf(Arena *a, const char *fmt, ...)
{
    va_list args, again;
    int n;
    char *p;

    va_start(args, fmt);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

void
arena_free(Arena *a)
{
    while (a->blocks)
    {
        ArenaBlock *b = a->blocks;

        a->blocks = b->next;
        free(b);
    }
    a->held = 0;
}

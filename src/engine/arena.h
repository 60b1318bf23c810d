/* arena.h - memory that is given back all at once.
 *
 * A page's working memory comes from one arena and one call gives it back, so there is no list of
 * frees to keep right. An arena has a limit; running into it is DS_LIMIT for that page, never an abort. */
#ifndef DS_ARENA_H
#define DS_ARENA_H

#include <stddef.h>
#include <stdint.h>

typedef struct ArenaBlock ArenaBlock;

typedef struct Arena
{
    ArenaBlock *blocks; /* newest first */
    size_t held;        /* bytes taken from the system */
    size_t limit;       /* 0: none */
} Arena;

void arena_init(Arena *a, size_t limit);
void *
arena_alloc(Arena *a,
            size_t bytes); /* 64-byte aligned, uninitialised; NULL at the limit or without memory */
void *arena_zalloc(Arena *a, size_t bytes);
void *arena_array(Arena *a, size_t n, size_t each); /* zeroed; NULL also when n * each overflows */
char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_free(Arena *a); /* everything; the arena can be used again */

/* True when the product or sum overflows 64 bits; *r holds the result otherwise. */
static inline int
ds_mul(uint64_t *r, uint64_t a, uint64_t b)
{
    return __builtin_mul_overflow(a, b, r);
}

static inline int
ds_add(uint64_t *r, uint64_t a, uint64_t b)
{
    return __builtin_add_overflow(a, b, r);
}

#endif

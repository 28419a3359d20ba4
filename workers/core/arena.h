/* arena — memory that dies with one batch or message: taken piece by piece, dropped at once. */
#pragma once

#include "core/base.h"

struct arena;

/* Blocks of block_bytes are taken from the heap as needed, up to bytes_max in all.
 * NULL when memory is exhausted. */
struct arena *arena_new(size_t block_bytes, size_t bytes_max);
/* Zeroed, aligned for any type; NULL once bytes_max is reached or memory is exhausted. */
void *arena_get(struct arena *a, size_t n);
void *arena_raw(struct arena *a, size_t n); /* the same, not zeroed: for who fills it at once */
/* As arena_get, for n items of size each; NULL on overflow too. */
void *arena_array(struct arena *a, size_t n, size_t size);
char *arena_str(struct arena *a, const char *s);            /* a copy; NULL as above */
char *arena_strn(struct arena *a, const char *s, size_t n); /* a NUL-terminated copy of n bytes */
void *arena_copy(struct arena *a, const void *p, size_t n);
char *arena_join(struct arena *a, const char *left, const char *right); /* one behind the other */
char *arena_printf(struct arena *a, const char *format, ...) printf_like(2, 3);
/* Forgets everything taken; keeps up to ARENA_KEEP blocks for the next life, because giving large
 * pieces back to the heap and asking for them again costs more than all that is put into them. */
#define ARENA_KEEP 4
void arena_reset(struct arena *a);
size_t arena_bytes(const struct arena *a); /* held from the heap now */
void arena_free(struct arena **a);         /* a pointer to NULL is fine; leaves NULL */

#define auto_arena auto_with(arena_free)

#include "core/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#define ARENA_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISON 1
#endif
#endif

/* Under ASan what was forgotten by a reset, or never taken, is poisoned: a pointer that outlives
 * its batch is then found by the first test that follows it. */
#ifdef ARENA_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

struct block {
    struct block *next; /* the one taken before it */
    size_t size, used;
    alignas(max_align_t) uint8_t data[];
};

struct arena {
    size_t block_bytes, bytes_max, held;
    struct block *top;   /* the last in the list is the first that was taken */
    struct block *spare; /* of block_bytes each, empty; they count as held */
};

static size_t align_up(size_t n)
{
    return (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
}

struct arena *arena_new(size_t block_bytes, size_t bytes_max)
{
    struct arena *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    a->block_bytes = align_up(block_bytes);
    a->bytes_max = bytes_max;
    return a;
}

static bool add_block(struct arena *a, size_t n)
{
    if (n <= a->block_bytes && a->spare) {
        struct block *b = a->spare;
        a->spare = b->next;
        b->next = a->top;
        a->top = b;
        return true;
    }
    size_t size = n > a->block_bytes ? n : a->block_bytes;
    size_t room = a->bytes_max - a->held;

    /* The last block may be smaller than the others: the ceiling is the promise, not the step. */
    if (room < sizeof(struct block) || room - sizeof(struct block) < n)
        return false;
    if (room - sizeof(struct block) < size)
        size = n;
    struct block *b = malloc(sizeof(*b) + size);
    if (!b)
        return false;
    *b = (struct block){.next = a->top, .size = size};
    ASAN_POISON_MEMORY_REGION(b->data, b->size);
    a->held += sizeof(*b) + size;
    a->top = b;
    return true;
}

void *arena_raw(struct arena *a, size_t n)
{
    size_t want = align_up(n ? n : 1);

    if (want < n)
        return NULL;
    if ((!a->top || a->top->size - a->top->used < want) && !add_block(a, want))
        return NULL;
    uint8_t *p = a->top->data + a->top->used;
    a->top->used += want;
    ASAN_UNPOISON_MEMORY_REGION(p, n);
    return p;
}

void *arena_get(struct arena *a, size_t n)
{
    void *p = arena_raw(a, n);
    return p ? memset(p, 0, n) : NULL;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes))
        return NULL;
    return arena_get(a, bytes);
}

void *arena_copy(struct arena *a, const void *p, size_t n)
{
    void *out = arena_raw(a, n);

    if (out && n)
        memcpy(out, p, n);
    return out;
}

char *arena_strn(struct arena *a, const char *s, size_t n)
{
    char *out = n < SIZE_MAX ? arena_raw(a, n + 1) : NULL;

    if (out && n)
        memcpy(out, s, n);
    if (out)
        out[n] = '\0';
    return out;
}

char *arena_str(struct arena *a, const char *s)
{
    return arena_strn(a, s, strlen(s));
}

char *arena_join(struct arena *a, const char *left, const char *right)
{
    size_t n = strlen(left), m = strlen(right);
    char *out = arena_raw(a, n + m + 1);

    if (!out)
        return NULL;
    memcpy(out, left, n);
    memcpy(out + n, right, m + 1);
    return out;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args, again;
    char brief[128]; /* most are: printed once, then copied */
    char *out = NULL;

    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(brief, sizeof brief, format, args);
    if (n >= 0)
        out = arena_get(a, (size_t)n + 1);
    if (out && (size_t)n < sizeof brief)
        memcpy(out, brief, (size_t)n);
    else if (out && vsnprintf(out, (size_t)n + 1, format, again) != n)
        out = NULL;
    va_end(again);
    va_end(args);
    return out;
}

static void drop_block(struct arena *a, struct block *b)
{
    a->held -= sizeof(*b) + b->size;
    ASAN_UNPOISON_MEMORY_REGION(b->data, b->size);
    free(b);
}

void arena_reset(struct arena *a)
{
    size_t kept = 0;

    for (struct block *b = a->spare; b; b = b->next)
        kept++;
    while (a->top) {
        struct block *b = a->top;

        a->top = b->next;
        if (b->size != a->block_bytes || kept == ARENA_KEEP) {
            drop_block(a, b);
            continue;
        }
        kept++;
        b->used = 0;
        ASAN_POISON_MEMORY_REGION(b->data, b->size);
        b->next = a->spare;
        a->spare = b;
    }
}

size_t arena_bytes(const struct arena *a)
{
    return a->held;
}

void arena_free(struct arena **a)
{
    if (!*a)
        return;
    for (struct block *lists[] = {(*a)->top, (*a)->spare}, **l = lists; l < lists + LEN(lists); l++)
        while (*l) {
            struct block *b = *l;
            *l = b->next;
            drop_block(*a, b);
        }
    free(*a);
    *a = NULL;
}

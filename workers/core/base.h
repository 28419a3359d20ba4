/* base — the few words every file shares: attributes, cleanup, take, lengths. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define must_check __attribute__((warn_unused_result))
#define printf_like(f, a) __attribute__((format(printf, f, a)))
#define auto_with(fn) __attribute__((cleanup(fn)))
/* An automatic variable that is written before it is read: release builds zero all others. */
#define uninitialized __attribute__((uninitialized))
#define LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Hands the pointer over: evaluates to *p and leaves NULL behind. */
#define take(p)                                                                                    \
    __extension__({                                                                                \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

static inline void free_cleanup(void *p)
{
    free(*(void **)p);
}
/* A heap pointer released at the end of its scope. */
#define auto_free auto_with(free_cleanup)

/* A run of bytes that somebody else owns; not NUL-terminated. */
struct bytes {
    const uint8_t *p;
    size_t n;
};

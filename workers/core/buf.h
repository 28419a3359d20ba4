/* buf — a growing run of bytes with a ceiling. A failed append poisons the buffer: later appends
 * do nothing, and the one check is buf_ok at the end. */
#pragma once

#include "core/base.h"

#include <string.h>

struct buf {
    uint8_t *p; /* NUL-terminated beyond n whenever p is not NULL, so text can be printed */
    size_t n, cap, max;
    bool failed;
    bool fixed; /* p is somebody else's */
};

/* bytes_max: the ceiling, excluding the final NUL. */
void buf_init(struct buf *b, size_t bytes_max);
/* Writes into memory of the caller's, which never grows and is not freed; bytes: its size, the
 * final NUL included, at least 1. */
void buf_init_fixed(struct buf *b, void *memory, size_t bytes);
void buf_put_slow(struct buf *b, const void *p,
                  size_t n);            /* buf_put's, when it must grow or fails */
bool buf_grow(struct buf *b, size_t n); /* room for n more bytes; false: it has failed */

static inline void buf_put(struct buf *b, const void *p, size_t n)
{
    if (b->failed || n == 0 || b->n + n >= b->cap || n > b->max - b->n) {
        buf_put_slow(b, p, n);
        return;
    }
    memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
}

/* n more bytes, to be filled by the caller; NULL: it has failed. */
static inline uint8_t *buf_room(struct buf *b, size_t n)
{
    size_t at = b->n;
    if (b->failed || n + at >= b->cap || n > b->max - at) {
        if (!buf_grow(b, n))
            return NULL;
    }
    b->n = at + n;
    b->p[b->n] = '\0';
    return b->p + at;
}

static inline void buf_str(struct buf *b, const char *s)
{
    buf_put(b, s, strlen(s));
}

void buf_int(struct buf *b, int64_t v); /* decimal */
void buf_printf(struct buf *b, const char *format, ...) printf_like(2, 3);
/* JSON string literal with quotes (RFC 8259 §7); invalid UTF-8 becomes U+FFFD. */
void buf_json_str(struct buf *b, const char *s, size_t n);
/* Big-endian, for PostgreSQL's binary formats. */
void buf_be16(struct buf *b, uint16_t v);
void buf_be32(struct buf *b, uint32_t v);
void buf_be64(struct buf *b, uint64_t v);
void buf_clear(struct buf *b); /* n = 0, keeps the memory, forgets a failure */
bool buf_ok(const struct buf *b);
void buf_done(struct buf *b); /* frees; zeroed struct afterwards */

#define auto_buf auto_with(buf_done)

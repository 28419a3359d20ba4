#include "core/buf.h"

#include "core/utf8.h"

#include <assert.h>
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BUF_LEAST = 1000 }; /* an event and its headers fit; malloc keeps such pieces at hand */

void buf_init(struct buf *b, size_t bytes_max)
{
    *b = (struct buf){.max = bytes_max < SIZE_MAX ? bytes_max : SIZE_MAX - 1};
}

void buf_init_fixed(struct buf *b, void *memory, size_t bytes)
{
    assert(bytes > 0);
    *b = (struct buf){.p = memory, .cap = bytes, .max = bytes - 1, .fixed = true};
    b->p[0] = '\0';
}

/* Room for n more bytes and the NUL; cap counts the NUL. */
bool buf_grow(struct buf *b, size_t n)
{
    if (b->failed || n > b->max - b->n) {
        b->failed = true;
        return false;
    }
    size_t need = b->n + n + 1;
    if (need <= b->cap)
        return true;

    size_t cap = b->cap > b->max / 2 ? b->max + 1 : b->cap * 2;
    if (cap < BUF_LEAST)
        cap = BUF_LEAST;
    if (cap < need)
        cap = need;
    uint8_t *p = realloc(b->p, cap);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

void buf_put_slow(struct buf *b, const void *p, size_t n)
{
    if (!buf_grow(b, n))
        return;
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    size_t room = 0; /* with the NUL; within the ceiling too, which cap may exceed */

    if (b->p && !b->failed)
        room = (b->cap - 1 < b->max ? b->cap - 1 : b->max) - b->n + 1;

    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(room ? (char *)b->p + b->n : NULL, room, format, args);
    bool fits = n >= 0 && (size_t)n < room;
    if (n < 0)
        b->failed = true;
    else if (!fits && buf_grow(b, (size_t)n))
        fits = vsnprintf((char *)b->p + b->n, (size_t)n + 1, format, again) == n;
    if (fits)
        b->n += (size_t)n;
    else if (b->p)
        b->p[b->n] = '\0'; /* what was cut short is taken back */
    va_end(again);
    va_end(args);
}

void buf_int(struct buf *b, int64_t v)
{
    char text[20]; /* 19 digits and a sign */
    size_t at = sizeof text;
    uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    do
        text[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (v < 0)
        text[--at] = '-';
    buf_put(b, text + at, sizeof text - at);
}

static void json_escape(struct buf *b, uint8_t c)
{
    static const char shorthand[] = "b\bf\fn\nr\rt\t\"\"\\\\";

    for (size_t i = 0; i + 1 < sizeof(shorthand); i += 2)
        if ((uint8_t)shorthand[i + 1] == c) {
            buf_put(b, (char[]){'\\', shorthand[i]}, 2);
            return;
        }
    buf_printf(b, "\\u%04x", c);
}

void buf_json_str(struct buf *b, const char *s, size_t n)
{
    const uint8_t *p = (const uint8_t *)s;
    size_t plain = 0; /* start of the run that needs no change */

    buf_put(b, "\"", 1);
    for (size_t i = utf8_plain(s, n); i < n;) {
        size_t length = p[i] >= 0x20 && p[i] < 0x80 ? 1 : utf8_char(p + i, n - i);

        if (length > 0 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' && p[i] != 0x7f) {
            i += length;
            continue;
        }
        buf_put(b, s + plain, i - plain);
        if (length > 0)
            json_escape(b, p[i]);
        else
            buf_str(b, "\xef\xbf\xbd");
        plain = ++i;
    }
    buf_put(b, s + plain, n - plain);
    buf_put(b, "\"", 1);
}

void buf_be16(struct buf *b, uint16_t v)
{
    v = htobe16(v);
    buf_put(b, &v, sizeof(v));
}

void buf_be32(struct buf *b, uint32_t v)
{
    v = htobe32(v);
    buf_put(b, &v, sizeof(v));
}

void buf_be64(struct buf *b, uint64_t v)
{
    v = htobe64(v);
    buf_put(b, &v, sizeof(v));
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = false;
    if (b->p)
        b->p[0] = '\0';
}

bool buf_ok(const struct buf *b)
{
    return !b->failed;
}

void buf_done(struct buf *b)
{
    if (!b->fixed)
        free(b->p);
    *b = (struct buf){0};
}

#include "core/header_block.h"

#include "core/clock.h"

#include <endian.h>
#include <string.h>

void header_put_bytes(struct buf *out, const char *name, struct bytes value)
{
    size_t length = strlen(name);
    if (length > UINT16_MAX || value.n > INT32_MAX) {
        out->failed = true;
        return;
    }
    uint16_t name_n = htobe16((uint16_t)length);
    uint32_t value_n = htobe32(value.p ? (uint32_t)value.n : UINT32_MAX);
    uint8_t *to = buf_room(out, length + 6 + value.n); /* a dozen for each event: in one go */
    if (!to)
        return;
    memcpy(to, &name_n, 2);
    memcpy(to + 2, name, length);
    memcpy(to + 2 + length, &value_n, 4);
    if (value.n)
        memcpy(to + 6 + length, value.p, value.n);
}

void header_put(struct buf *out, const char *name, const char *value)
{
    struct bytes bytes = {(const uint8_t *)value, value ? strlen(value) : 0};
    header_put_bytes(out, name, bytes);
}

void header_put_int(struct buf *out, const char *name, int64_t value)
{
    char text[24];
    struct buf digits;
    buf_init_fixed(&digits, text, sizeof text);
    buf_int(&digits, value);
    header_put(out, name, text);
}

void header_put_time(struct buf *out, const char *name, int64_t ms)
{
    char text[25];
    clock_format(ms, text);
    header_put(out, name, text);
}

void header_put_all(struct buf *out, const struct header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(headers[i].name) <= UINT16_MAX)
            header_put_bytes(out, headers[i].name, headers[i].value);
}

/* ---- reading */

struct reader {
    const uint8_t *p, *end;
};

static bool read_number(struct reader *r, size_t bytes, uint32_t *out)
{
    if ((size_t)(r->end - r->p) < bytes)
        return false;
    uint32_t v = 0;
    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | *r->p++;
    *out = v;
    return true;
}

static bool read_run(struct reader *r, size_t n, struct bytes *out)
{
    if ((size_t)(r->end - r->p) < n)
        return false;
    *out = (struct bytes){r->p, n};
    r->p += n;
    return true;
}

static bool read_header(struct reader *r, struct bytes *name, struct bytes *value)
{
    uint32_t length = 0;
    if (!read_number(r, 2, &length) || !read_run(r, length, name) || !read_number(r, 4, &length))
        return false;
    *value = (struct bytes){NULL, 0};
    return length == UINT32_MAX || (length <= INT32_MAX && read_run(r, length, value));
}

static bool count_headers(struct bytes block, size_t *out)
{
    struct reader r = {block.p, block.p + block.n};
    struct bytes name, value;
    size_t n = 0;
    for (; r.p < r.end; n++)
        if (!read_header(&r, &name, &value) || memchr(name.p, '\0', name.n))
            return false;
    *out = n;
    return true;
}

bool header_block_parse(struct arena *a, struct bytes block, struct header **out, size_t *n,
                        struct err *err)
{
    size_t count = 0;
    if (block.n > 0 && !count_headers(block, &count))
        return err_set(err, ERR_BAD_INPUT, "a header block of %zu bytes is broken", block.n);
    struct header *headers = arena_array(a, count + 1, sizeof *headers);
    if (!headers)
        return err_set(err, ERR_NO_MEMORY, "headers");
    struct reader r = {block.p, block.p + block.n};
    for (size_t i = 0; i < count; i++) {
        struct bytes name = {0};
        if (!read_header(&r, &name, &headers[i].value))
            return err_set(err, ERR_INTERNAL, "a header block changed while it was read");
        headers[i].name = arena_strn(a, (const char *)name.p, name.n);
        if (!headers[i].name)
            return err_set(err, ERR_NO_MEMORY, "headers");
    }
    *out = headers;
    *n = count;
    return true;
}

#include "store/json_put.h"

#include "core/clock.h"

#include <string.h>

void put_key(struct buf *b, const char *key)
{
    size_t n = strlen(key);
    bool first = !b->n || b->p[b->n - 1] == '{';
    uint8_t *to = buf_room(b, n + 3 + !first); /* every event comes by here: in one go */
    if (!to)
        return;
    if (!first)
        *to++ = ',';
    *to++ = '"';
    memcpy(to, key, n);
    memcpy(to + n, "\":", 2);
}

void put_str(struct buf *b, const char *key, const char *value)
{
    if (!value)
        return;
    put_key(b, key);
    buf_json_str(b, value, strlen(value));
}

void put_int(struct buf *b, const char *key, int64_t value)
{
    put_key(b, key);
    buf_int(b, value);
}

void put_bool(struct buf *b, const char *key, bool value)
{
    put_key(b, key);
    buf_str(b, value ? "true" : "false");
}

void put_time(struct buf *b, const char *key, int64_t ms)
{
    char text[25];
    if (!ms)
        return;
    clock_format(ms, text);
    put_str(b, key, text);
}

void put_refusal(struct buf *b, const struct refusal *r)
{
    put_str(b, "code", r->code);
    put_int(b, "status", r->status);
    put_str(b, "message", r->message);
    put_str(b, "hint", r->hint ? r->hint : "");
    put_bool(b, "retryable", r->retryable);
}

#include "core/args.h"

#include <string.h>

#define PG_EPOCH_MS 946684800000LL /* 2000-01-01, where PostgreSQL counts from */
#define PG_EPOCH_DAY 10957

void args_init(struct args *a)
{
    memset(a, 0, sizeof *a);
    buf_init(&a->store, ARGS_BYTES_MAX);
}

void args_clear(struct args *a)
{
    buf_clear(&a->store);
    a->n = 0;
    a->array_head = 0;
}

void args_done(struct args *a)
{
    buf_done(&a->store);
    a->n = 0;
}

bool args_ok(const struct args *a)
{
    return buf_ok(&a->store) && !a->array_head;
}

static void open_arg(struct args *a)
{
    if (a->n == ARGS_MAX) {
        a->store.failed = true;
        return;
    }
    a->at[a->n] = a->store.n;
}

static void close_arg(struct args *a)
{
    if (a->n == ARGS_MAX)
        return;
    a->length[a->n] = (int)(a->store.n - a->at[a->n]);
    a->n++;
}

void args_null(struct args *a)
{
    open_arg(a);
    if (a->n < ARGS_MAX)
        a->length[a->n++] = -1;
}

void args_int4(struct args *a, int32_t v)
{
    open_arg(a);
    buf_be32(&a->store, (uint32_t)v);
    close_arg(a);
}

void args_int8(struct args *a, int64_t v)
{
    open_arg(a);
    buf_be64(&a->store, (uint64_t)v);
    close_arg(a);
}

void args_bool(struct args *a, bool v)
{
    open_arg(a);
    buf_put(&a->store, v ? "\1" : "\0", 1);
    close_arg(a);
}

void args_bytes(struct args *a, const void *p, size_t n)
{
    if (!p) {
        args_null(a);
        return;
    }
    open_arg(a);
    buf_put(&a->store, p, n);
    close_arg(a);
}

void args_text(struct args *a, const char *s)
{
    args_bytes(a, s, s ? strlen(s) : 0);
}

void args_time(struct args *a, int64_t ms)
{
    if (ms)
        args_int8(a, (ms - PG_EPOCH_MS) * 1000);
    else
        args_null(a);
}

void args_date(struct args *a, int64_t day)
{
    args_int4(a, (int32_t)(day - PG_EPOCH_DAY));
}

/* array header: dimensions, has-null flag, element type, then length and lower bound. */
void args_array(struct args *a, enum pg_oid element)
{
    open_arg(a);
    buf_be32(&a->store, 1);
    buf_be32(&a->store, 1);
    buf_be32(&a->store, (uint32_t)element);
    a->array_head = a->store.n;
    a->array_n = 0;
    buf_be32(&a->store, 0);
    buf_be32(&a->store, 1);
}

void args_array_end(struct args *a)
{
    if (!a->store.failed) {
        uint32_t n = __builtin_bswap32((uint32_t)a->array_n);
        memcpy(a->store.p + a->array_head, &n, 4);
    }
    a->array_head = 0;
    close_arg(a);
}

/* Length and value: every column of every row comes by here. */
static inline void item_raw(struct args *a, const void *p, size_t n)
{
    struct buf *b = &a->store;
    uint32_t length = __builtin_bswap32((uint32_t)n);
    if (b->failed || b->n + n + 4 >= b->cap || n + 4 > b->max - b->n) {
        buf_put_slow(b, &length, 4);
        buf_put(b, p, n);
    } else {
        memcpy(b->p + b->n, &length, 4);
        memcpy(b->p + b->n + 4, p, n);
        b->n += n + 4;
        b->p[b->n] = '\0';
    }
    a->array_n++;
}

void item_null(struct args *a)
{
    buf_be32(&a->store, UINT32_MAX);
    a->array_n++;
}

void item_int4(struct args *a, int32_t v)
{
    uint32_t be = __builtin_bswap32((uint32_t)v);
    item_raw(a, &be, 4);
}

void item_int8(struct args *a, int64_t v)
{
    uint64_t be = __builtin_bswap64((uint64_t)v);
    item_raw(a, &be, 8);
}

void item_bool(struct args *a, bool v)
{
    uint8_t byte = v;
    item_raw(a, &byte, 1);
}

void item_char(struct args *a, char v)
{
    item_raw(a, &v, 1);
}

void item_textn(struct args *a, const char *s, size_t n)
{
    if (s)
        item_raw(a, s, n);
    else
        item_null(a);
}

void item_text(struct args *a, const char *s)
{
    item_textn(a, s, s ? strlen(s) : 0);
}

void item_bytes(struct args *a, struct bytes b)
{
    if (b.p)
        item_raw(a, b.p, b.n);
    else
        item_null(a);
}

void item_time(struct args *a, int64_t ms)
{
    if (ms)
        item_int8(a, (ms - PG_EPOCH_MS) * 1000);
    else
        item_null(a);
}

void item_date(struct args *a, int64_t day)
{
    item_int4(a, (int32_t)(day - PG_EPOCH_DAY));
}

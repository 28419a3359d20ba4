/* args — the parameters of one prepared statement, in PostgreSQL's binary format: scalars, and
 * one-dimensional arrays built column by column for `unnest`. Reused: args_clear, then again. */
#pragma once

#include "core/buf.h"

#define ARGS_MAX 64
#define ARGS_BYTES_MAX (64 * 1024 * 1024)

struct args {
    struct buf store;
    size_t at[ARGS_MAX];
    int length[ARGS_MAX]; /* -1: NULL */
    int n;
    size_t array_head; /* of the open array, 0 when none */
    int32_t array_n;
};

void args_init(struct args *a);
void args_clear(struct args *a);
void args_done(struct args *a);
bool args_ok(const struct args *a); /* false: out of memory or over a limit */

void args_int4(struct args *a, int32_t v);
void args_int8(struct args *a, int64_t v);
void args_bool(struct args *a, bool v);
void args_text(struct args *a, const char *s); /* NULL is NULL; so for all below */
void args_bytes(struct args *a, const void *p, size_t n);
void args_time(struct args *a, int64_t ms);  /* timestamptz from Unix ms; 0 is NULL */
void args_date(struct args *a, int64_t day); /* days since 1970-01-01 */
void args_null(struct args *a);

/* PostgreSQL's built-in type ids (pg_type.dat). */
enum pg_oid {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_CHAR = 18,
    OID_INT8 = 20,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_TID = 27,
    OID_DATE = 1082,
    OID_TIMESTAMPTZ = 1184,
    OID_UUID = 2950,
    OID_JSONB = 3802,
};
void args_array(struct args *a, enum pg_oid element); /* opens the next parameter */
void item_int4(struct args *a, int32_t v);
void item_int8(struct args *a, int64_t v);
void item_bool(struct args *a, bool v);
void item_char(struct args *a, char v);
void item_text(struct args *a, const char *s);
void item_textn(struct args *a, const char *s, size_t n);
void item_bytes(struct args *a, struct bytes b); /* p NULL is NULL */
void item_time(struct args *a, int64_t ms);
void item_date(struct args *a, int64_t day);
void item_null(struct args *a);
void args_array_end(struct args *a);

/* A whole column of rows, one element per row, as the next parameter. */
#define ARGS_COLUMN(a, oid, n, i, ...)                                                             \
    do {                                                                                           \
        args_array((a), (oid));                                                                    \
        for (size_t i = 0; i < (n); i++)                                                           \
            __VA_ARGS__;                                                                           \
        args_array_end(a);                                                                         \
    } while (0)

/* Unix milliseconds <-> days, for the columns of type date. */
static inline int64_t day_of_ms(int64_t ms)
{
    return ms >= 0 ? ms / 86400000 : -((-ms + 86399999) / 86400000);
}

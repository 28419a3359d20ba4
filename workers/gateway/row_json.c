#include "gateway/row_json.h"

#include <string.h>

#include <sodium.h>

#include "core/clock.h"
#include "core/json_value.h"
#include "core/uuid.h"

enum { OID_INT2 = 21, OID_JSON = 114, OID_FLOAT8 = 701, OID_VARCHAR = 1043, HEX_BYTES_MAX = 512 };

static json_t *time_of(const PGresult *r, int row, int col)
{
    char text[25];
    clock_format(pg_time(r, row, col), text);
    return json_string(text);
}

static json_t *uuid_of(const PGresult *r, int row, int col)
{
    struct bytes b = pg_bytes(r, row, col);
    char text[UUID_TEXT];
    if (b.n != UUID_BYTES)
        return NULL;
    uuid_format(b.p, text);
    return json_string(text);
}

static json_t *hex_of(const PGresult *r, int row, int col)
{
    struct bytes b = pg_bytes(r, row, col);
    char text[2 * HEX_BYTES_MAX + 1];
    if (b.n > HEX_BYTES_MAX)
        return NULL;
    return json_string(sodium_bin2hex(text, sizeof text, b.p, b.n));
}

static json_t *document_of(const PGresult *r, int row, int col, size_t skip)
{
    struct bytes b = pg_bytes(r, row, col);
    struct err ignored = {0};
    return b.n > skip ? json_value_parse(b.p + skip, b.n - skip, &ignored) : NULL;
}

/* Its bits, as the database sends them. */
static json_t *real_of(const PGresult *r, int row, int col)
{
    int64_t bits = pg_int8(r, row, col);
    double v;
    memcpy(&v, &bits, sizeof v);
    return json_real(v);
}

static json_t *value_of(const PGresult *r, int row, int col)
{
    if (PQgetisnull(r, row, col))
        return json_null();
    switch ((int)PQftype(r, col)) {
    case OID_BOOL:
        return json_boolean(pg_int8(r, row, col) != 0);
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
        return json_integer(pg_int8(r, row, col));
    case OID_FLOAT8:
        return real_of(r, row, col);
    case OID_TIMESTAMPTZ:
        return time_of(r, row, col);
    case OID_UUID:
        return uuid_of(r, row, col);
    case OID_BYTEA:
        return hex_of(r, row, col);
    case OID_JSONB:
        return document_of(r, row, col, 1); /* behind its version */
    case OID_JSON:
        return document_of(r, row, col, 0);
    case OID_TEXT:
    case OID_VARCHAR:
        return json_string(pg_text(r, row, col));
    default:
        return NULL;
    }
}

json_t *row_json(const PGresult *r, int row)
{
    auto_json json_t *object = json_object();
    for (int col = 0; col < PQnfields(r); col++)
        if (json_object_set_new(object, PQfname(r, col), value_of(r, row, col)))
            return NULL;
    return take(object);
}

json_t *rows_json(const PGresult *r)
{
    auto_json json_t *rows = json_array();
    for (int i = 0; i < PQntuples(r); i++)
        if (json_array_append_new(rows, row_json(r, i)))
            return NULL;
    return take(rows);
}

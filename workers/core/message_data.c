#include "core/message_data.h"

#include <string.h>

void data_begin(struct buf *d)
{
    buf_str(d, "{");
}

static void put_key(struct buf *d, const char *key)
{
    if (d->n && d->p[d->n - 1] != '{')
        buf_str(d, ",");
    buf_json_str(d, key, strlen(key));
    buf_str(d, ":");
}

void data_text(struct buf *d, const char *key, const char *value)
{
    if (!value)
        return;
    put_key(d, key);
    buf_json_str(d, value, strlen(value));
}

void data_int(struct buf *d, const char *key, int64_t value)
{
    put_key(d, key);
    buf_int(d, value);
}

void data_requester(struct buf *d, const char *kind, const char *id)
{
    if (!kind || !id)
        return;
    put_key(d, "requestedBy");
    buf_str(d, "{\"kind\":");
    buf_json_str(d, kind, strlen(kind));
    buf_str(d, ",\"id\":");
    buf_json_str(d, id, strlen(id));
    buf_str(d, "}");
}

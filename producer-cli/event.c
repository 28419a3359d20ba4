#include "event.h"

#include <inttypes.h>
#include <string.h>

#include "core/json_value.h"

#include "line.h"
#include "store/naming.h"

/* ---- reading ---- */

const char *message_header(const rd_kafka_message_t *m, const char *name, size_t *out_n)
{
    rd_kafka_headers_t *headers;
    const void *value = NULL;
    *out_n = 0;
    if (rd_kafka_message_headers(m, &headers) ||
        rd_kafka_header_get_last(headers, name, &value, out_n))
        return NULL;
    return value;
}

/* Attributes as headers and as members. */
static const struct {
    const char *header, *name;
} attributes[] = {
    {"ce_id", "id"},
    {"ce_type", "type"},
    {"ce_source", "source"},
    {"ce_subject", "subject"},
    {"ce_time", "time"},
    {"ce_sequence", "sequence"},
    {"ce_correlationid", "correlationid"},
    {"ce_causationid", "causationid"},
    {"ce_tenant", "tenant"},
    {"traceparent", "traceparent"},
    {"drawbridge-outcome", "outcome"},
};

static json_t *attribute_value(const char *name, const char *value, size_t n)
{
    char text[24];
    int64_t number;
    if (!strcmp(name, "sequence") && n < sizeof text) {
        memcpy(text, value, n);
        text[n] = 0;
        if (number_parse(text, &number))
            return json_integer(number);
    }
    json_t *s = json_stringn(value, n);
    return s ? s : json_string("\uFFFD"); /* not UTF-8 */
}

static json_t *event_data(const rd_kafka_message_t *m)
{
    json_t *data = m->payload ? json_loadb(m->payload, m->len, JSON_DECODE_ANY, NULL) : json_null();
    if (data)
        return data;
    json_t *text = json_stringn(m->payload, m->len);
    return json_pack("{s:o}", "text", text ? text : json_string("\uFFFD"));
}

json_t *event_json(const rd_kafka_message_t *m)
{
    auto_json json_t *event = json_object();
    for (size_t i = 0; i < LEN(attributes); i++) {
        size_t n;
        const char *value = message_header(m, attributes[i].header, &n);
        if (value && json_object_set_new(event, attributes[i].name,
                                         attribute_value(attributes[i].name, value, n)))
            return NULL;
    }
    if (json_object_set_new(event, "data", event_data(m)) ||
        json_object_set_new(event, "topic", json_string(rd_kafka_topic_name(m->rkt))) ||
        json_object_set_new(event, "partition", json_integer(m->partition)) ||
        json_object_set_new(event, "offset", json_integer(m->offset)))
        return NULL;
    return take(event);
}

const char *event_type(const json_t *event)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    if (!type)
        return "?";
    return strncmp(type, "drawbridge.", 11) != 0 ? type : type + 11;
}

/* ---- sentences ---- */

static const struct namings *sentences(void)
{
    static struct namings *kept; /* the file is part of the program */
    if (!kept)
        kept = namings_load(NULL);
    return kept;
}

void event_text(const json_t *event, struct buf *out)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    const json_t *data = json_object_get(event, "data");
    const struct naming *n = sentences() ? naming_find(sentences(), type, data) : NULL;
    const char *told = json_string_value(json_object_get(data, "message"));
    if (n)
        naming_message(n, data, out);
    else /* the audit stream brings its sentence along */
        buf_str(out, told ? told : event_type(event));
}

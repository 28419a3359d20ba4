#include "convention.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/json_value.h"

#include "line.h"

enum encoding {
    TEXT,      /* UTF-8 */
    DECIMAL,   /* a number as text */
    TIME_TEXT, /* RFC 3339 */
    INT32,     /* big-endian, Java's ByteBuffer.putInt */
    INT64,
    TIME_MS, /* Unix milliseconds, as INT64 */
};

struct convention_header {
    const char *fact;
    const char *name;
    enum encoding encoding;
    bool read_only; /* another name for a fact, understood and never written */
};

struct convention {
    const char *name;
    const char *mark; /* how its headers begin */
    const struct convention_header *headers;
};

/* Kafka's own names for dead letters, and what we add. */
static const struct convention_header drawbridge_headers[] = {
    {"topic", "__dlq.errors.topic", TEXT, false},
    {"partition", "__dlq.errors.partition", DECIMAL, false},
    {"offset", "__dlq.errors.offset", DECIMAL, false},
    {"group", "__dlq.errors.group", TEXT, false},
    {"attempts", "__dlq.errors.delivery.count", DECIMAL, false},
    {"message", "__dlq.errors.message", TEXT, false},
    {"class", "drawbridge-failure-class", TEXT, false},
    {"code", "drawbridge-reason", TEXT, false},
    {"time", "drawbridge-original-time", TIME_TEXT, false},
    {"version", "drawbridge-worker-version", TEXT, false},
    {0},
};

static const struct convention_header spring_headers[] = {
    {"topic", "kafka_dlt-original-topic", TEXT, false},
    {"partition", "kafka_dlt-original-partition", INT32, false},
    {"offset", "kafka_dlt-original-offset", INT64, false},
    {"time", "kafka_dlt-original-timestamp", TIME_MS, false},
    {"timestampType", "kafka_dlt-original-timestamp-type", TEXT, false},
    {"group", "kafka_dlt-original-consumer-group", TEXT, false},
    {"code", "kafka_dlt-exception-fqcn", TEXT, false},
    {"class", "kafka_dlt-exception-cause-fqcn", TEXT, false},
    {"message", "kafka_dlt-exception-message", TEXT, false},
    {"detail", "kafka_dlt-exception-stacktrace", TEXT, false},
    {"topic", "kafka_original-topic", TEXT, true},
    {"partition", "kafka_original-partition", INT32, true},
    {"offset", "kafka_original-offset", INT64, true},
    {"time", "kafka_original-timestamp", TIME_MS, true},
    {"timestampType", "kafka_original-timestamp-type", TEXT, true},
    {"code", "kafka_exception-fqcn", TEXT, true},
    {"message", "kafka_exception-message", TEXT, true},
    {"detail", "kafka_exception-stacktrace", TEXT, true},
    {"attempts", "retry_topic-attempts", INT32, true},
    {0},
};

static const struct convention_header connect_headers[] = {
    {"topic", "__connect.errors.topic", TEXT, false},
    {"partition", "__connect.errors.partition", DECIMAL, false},
    {"offset", "__connect.errors.offset", DECIMAL, false},
    {"connector", "__connect.errors.connector.name", TEXT, false},
    {"task", "__connect.errors.task.id", DECIMAL, false},
    {"stage", "__connect.errors.stage", TEXT, false},
    {"place", "__connect.errors.class.name", TEXT, false},
    {"code", "__connect.errors.exception.class.name", TEXT, false},
    {"message", "__connect.errors.exception.message", TEXT, false},
    {"detail", "__connect.errors.exception.stacktrace", TEXT, false},
    {0},
};

static const struct convention conventions[] = {
    {"drawbridge", "__dlq.errors.", drawbridge_headers},
    {"spring", "kafka_", spring_headers},
    {"connect", "__connect.errors.", connect_headers},
};
const char *const convention_names[] = {"drawbridge", "spring", "connect", NULL};

/* Beside the tables: what tells of a hop or a failure and is no fact of ours. */
static const char *const letter_prefixes[] = {
    "__dlq.errors.",
    "__connect.errors.",
    "kafka_dlt-",
    "kafka_original-",
    "kafka_exception-",
    "retry_topic-",
    "springDeserializerException",
    "drawbridge-failure-class",
    "drawbridge-reason",
    "drawbridge-original-time",
    "drawbridge-worker-version",
    "drawbridge-attempt",
    "drawbridge-not-before",
    "drawbridge-first-failed-at",
    "drawbridge-last-error",
    "drawbridge-replay-",
};

const struct convention *convention_find(const char *name)
{
    for (size_t i = 0; i < LEN(conventions); i++)
        if (!strcmp(conventions[i].name, name))
            return &conventions[i];
    return NULL;
}

bool convention_is_letter_header(const char *name)
{
    for (size_t i = 0; i < LEN(letter_prefixes); i++)
        if (!strncmp(name, letter_prefixes[i], strlen(letter_prefixes[i])))
            return true;
    return false;
}

/* ---- reading ---- */

static json_t *binary_number(struct bytes v, enum encoding encoding)
{
    uint32_t four;
    uint64_t eight;
    char time[25];
    if (encoding == INT32 && v.n == sizeof four) {
        memcpy(&four, v.p, sizeof four);
        return json_integer((int32_t)be32toh(four));
    }
    if (v.n != sizeof eight)
        return NULL;
    memcpy(&eight, v.p, sizeof eight);
    int64_t number = (int64_t)be64toh(eight);
    if (encoding == INT64)
        return json_integer(number);
    if (number < 0)
        return NULL;
    clock_format(number, time);
    return json_string(time);
}

static json_t *decimal(struct bytes v)
{
    char text[24];
    int64_t number;
    if (v.n >= sizeof text)
        return NULL;
    memcpy(text, v.p, v.n);
    text[v.n] = 0;
    return number_parse(text, &number) ? json_integer(number) : NULL;
}

static json_t *decoded(struct bytes v, enum encoding encoding)
{
    if (!v.p)
        return NULL;
    if (encoding == INT32 || encoding == INT64 || encoding == TIME_MS)
        return binary_number(v, encoding);
    json_t *number = encoding == DECIMAL ? decimal(v) : NULL;
    return number ? number : json_stringn((const char *)v.p, v.n);
}

static const struct convention_header *row_of(const char *name)
{
    for (size_t i = 0; i < LEN(conventions); i++)
        for (const struct convention_header *h = conventions[i].headers; h->name; h++)
            if (!strcmp(h->name, name))
                return h;
    return NULL;
}

json_t *convention_value(const struct header *h)
{
    const struct convention_header *row = row_of(h->name);
    json_t *v = row ? decoded(h->value, row->encoding) : NULL;
    return v || !h->value.p ? v : json_stringn((const char *)h->value.p, h->value.n);
}

static const struct convention *convention_of(const struct header *headers, size_t n)
{
    for (size_t i = 0; i < LEN(conventions); i++)
        for (size_t k = 0; k < n; k++)
            for (const struct convention_header *h = conventions[i].headers; h->name; h++)
                if (!strcmp(h->name, headers[k].name) &&
                    !strncmp(h->name, conventions[i].mark, strlen(conventions[i].mark)))
                    return &conventions[i];
    return NULL;
}

/* The last header of a name counts, as everywhere in Kafka. */
static json_t *header_fact(const struct convention_header *row, const struct header *headers,
                           size_t n)
{
    while (n-- > 0)
        if (!strcmp(headers[n].name, row->name))
            return decoded(headers[n].value, row->encoding);
    return NULL;
}

json_t *convention_read(const struct header *headers, size_t n)
{
    const struct convention *c = convention_of(headers, n);
    json_t *facts = c ? json_pack("{s:s}", "system", c->name) : NULL;
    for (const struct convention_header *h = c ? c->headers : NULL; facts && h->name; h++) {
        json_t *v = json_object_get(facts, h->fact) ? NULL : header_fact(h, headers, n);
        if (v)
            json_object_set_new(facts, h->fact, v);
    }
    return facts;
}

/* ---- writing ---- */

static struct bytes copied(struct arena *a, const void *p, size_t n)
{
    return (struct bytes){arena_copy(a, p, n + !n), n};
}

static struct bytes text_value(struct arena *a, const json_t *fact)
{
    char number[24];
    if (json_is_string(fact))
        return copied(a, json_string_value(fact), json_string_length(fact));
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(fact));
    return copied(a, number, strlen(number));
}

static struct bytes encoded(struct arena *a, const json_t *fact, enum encoding encoding)
{
    int64_t number = json_integer_value(fact);
    const char *text = json_string_value(fact);
    if (encoding == TEXT || encoding == DECIMAL || encoding == TIME_TEXT)
        return text_value(a, fact);
    if (encoding == TIME_MS && (!text || !clock_parse(text, strlen(text), &number)))
        return (struct bytes){0};
    uint32_t four = htobe32((uint32_t)(int32_t)number);
    uint64_t eight = htobe64((uint64_t)number);
    return encoding == INT32 ? copied(a, &four, sizeof four) : copied(a, &eight, sizeof eight);
}

struct header *convention_write(struct arena *a, const struct convention *c, const json_t *facts,
                                const struct header *headers, size_t n, size_t *out_n)
{
    size_t most = n;
    for (const struct convention_header *h = c->headers; h->name; h++)
        most++;
    struct header *out = arena_array(a, most + 1, sizeof *out);
    size_t k = 0;
    for (size_t i = 0; out && i < n; i++)
        if (!convention_is_letter_header(headers[i].name))
            out[k++] = headers[i];
    for (const struct convention_header *h = c->headers; out && h->name; h++) {
        const json_t *fact = h->read_only ? NULL : json_object_get(facts, h->fact);
        if (!fact || json_is_null(fact))
            continue;
        struct bytes value = encoded(a, fact, h->encoding);
        if (value.p)
            out[k++] = (struct header){h->name, value};
    }
    *out_n = k;
    return out;
}

/* envelope — every attribute is a row; both modes feed the same rows. What is wrong is collected,
 * not only the first of it, so that a sender can mend everything at once. */
#include "core/envelope.h"

#include "core/clock.h"
#include "core/digest.h"
#include "core/header_block.h"
#include "core/json_memory.h"
#include "core/json_value.h"
#include "core/utf8.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define TYPE_PREFIX "drawbridge."
#define ATTEMPT_MAX 100000

enum attribute_kind {
    ATTRIBUTE_TEXT,
    ATTRIBUTE_SUBJECT,     /* noun/id */
    ATTRIBUTE_SPECVERSION, /* "1.0" */
    ATTRIBUTE_TIME,
    ATTRIBUTE_ATTEMPT,
    ATTRIBUTE_TRACE, /* ignored when malformed, as W3C asks */
    ATTRIBUTE_NOTE,  /* ours, for people: ignored when malformed */
};

static const struct attribute {
    const char *header;
    const char *name; /* in structured mode; NULL: a header there too */
    enum attribute_kind kind;
    size_t offset; /* in struct command */
    size_t bytes_max;
    bool required;
    uint8_t header_n; /* of the header's name: most are told apart by it */
} attributes[] = {
#define FIELD(f) offsetof(struct command, f)
    {"ce_specversion", "specversion", ATTRIBUTE_SPECVERSION, 0, 8, true, 14},
    {"ce_id", "id", ATTRIBUTE_TEXT, FIELD(id), 256, true, 5},
    {"ce_source", "source", ATTRIBUTE_TEXT, FIELD(source), 256, true, 9},
    {"ce_type", "type", ATTRIBUTE_TEXT, FIELD(type), 1024, true, 7},
    {"ce_subject", "subject", ATTRIBUTE_SUBJECT, FIELD(subject), 1024, true, 10},
    {"ce_time", "time", ATTRIBUTE_TIME, FIELD(time_ms), 64, true, 7},
    {"ce_correlationid", "correlationid", ATTRIBUTE_TEXT, FIELD(correlation_id), 1024, false, 16},
    {"ce_causationid", "causationid", ATTRIBUTE_TEXT, FIELD(causation_id), 1024, false, 14},
    {"ce_expirytime", "expirytime", ATTRIBUTE_TIME, FIELD(expiry_ms), 64, false, 13},
    {"ce_tenant", "tenant", ATTRIBUTE_TEXT, FIELD(tenant), 1024, false, 9},
    {"traceparent", "traceparent", ATTRIBUTE_TRACE, FIELD(traceparent), 1024, false, 11},
    {"drawbridge-attempt", NULL, ATTRIBUTE_ATTEMPT, FIELD(attempt), 8, false, 18},
    {"drawbridge-not-before", NULL, ATTRIBUTE_TIME, FIELD(not_before_ms), 64, false, 21},
    {"drawbridge-first-failed-at", NULL, ATTRIBUTE_TIME, FIELD(first_failed_ms), 64, false, 26},
    {"drawbridge-last-error", NULL, ATTRIBUTE_NOTE, FIELD(last_error), 1024, false, 21},
    {"drawbridge-replay-of", NULL, ATTRIBUTE_TEXT, FIELD(replay_of), 1024, false, 20},
#undef FIELD
};

struct reading {
    struct arena *arena;
    struct command *out;
    struct problems *problems;
    const struct record *record;
    bool structured;
    unsigned seen; /* bits of attributes */
};

static_assert(LEN(attributes) <= sizeof(unsigned) * 8, "a bit for each");

const struct header *record_header(const struct record *r, const char *name)
{
    for (size_t i = 0; i < r->nheaders; i++)
        if (strcmp(r->headers[i].name, name) == 0)
            return &r->headers[i];
    return NULL;
}

#define wrong(r, place, ...) problem_add((r)->problems, ERR_ENVELOPE_INVALID, (place), __VA_ARGS__)

/* The same for an attribute, whose place is put together only when something is wrong with it. */
#define wrong_at(r, a, ...) wrong((r), place_of((r), (a), (char[64]){0}), __VA_ARGS__)

static const char *place_of(const struct reading *r, const struct attribute *a, char out[static 64])
{
    bool header = !r->structured || !a->name;
    snprintf(out, 64, "%s %s", header ? "header" : "attribute", header ? a->header : a->name);
    return out;
}

/* ---- one attribute */

static bool text_ok(const struct reading *r, const struct attribute *a, struct bytes v)
{
    if (v.n == 0)
        return wrong_at(r, a, "is empty");
    if (v.n > a->bytes_max)
        return wrong_at(r, a, "is longer than %zu bytes", a->bytes_max);
    if (!utf8_printable(v.p, v.n))
        return wrong_at(r, a, "is not UTF-8 without control characters");
    return true;
}

/* A lower-case word, a slash, and something behind it. */
static bool subject_ok(struct bytes v)
{
    size_t i = 0;
    while (i < v.n && ((v.p[i] >= 'a' && v.p[i] <= 'z') ||
                       (i > 0 && (v.p[i] == '-' || (v.p[i] >= '0' && v.p[i] <= '9')))))
        i++;
    return i > 0 && i + 1 < v.n && v.p[i] == '/';
}

static bool lower_hex(const uint8_t *p, size_t n, bool *zero)
{
    *zero = true;
    for (size_t i = 0; i < n; i++) {
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
            return false;
        *zero = *zero && p[i] == '0';
    }
    return true;
}

/* W3C Trace Context: version-trace-parent-flags; later versions may go on after a dash. */
static bool traceparent_ok(struct bytes v)
{
    if (v.n < 55 || v.p[2] != '-' || v.p[35] != '-' || v.p[52] != '-')
        return false;
    bool no_version, no_trace, no_parent, no_flags;
    if (!lower_hex(v.p, 2, &no_version) || !lower_hex(v.p + 3, 32, &no_trace) ||
        !lower_hex(v.p + 36, 16, &no_parent) || !lower_hex(v.p + 53, 2, &no_flags))
        return false;
    bool future = v.n > 55 && !no_version && v.p[55] == '-';
    return !no_trace && !no_parent && memcmp(v.p, "ff", 2) != 0 && (v.n == 55 || future);
}

static void set_text(struct reading *r, const struct attribute *a, struct bytes v)
{
    const char **field = (const char **)((char *)r->out + a->offset);
    *field = arena_strn(r->arena, (const char *)v.p, v.n);
    if (!*field)
        problem_add(r->problems, ERR_NO_MEMORY, "", "there is no memory left to read it");
}

static void set_time(struct reading *r, const struct attribute *a, struct bytes v)
{
    int64_t *field = (int64_t *)((char *)r->out + a->offset);
    if (clock_parse((const char *)v.p, v.n, field))
        return;
    wrong_at(r, a, "must be a date and time such as 2026-11-20T10:15:00.000Z");
}

static void set_attempt(struct reading *r, const struct attribute *a, struct bytes v)
{
    int n = 0;
    for (size_t i = 0; i < v.n && n >= 0; i++)
        n = v.p[i] >= '0' && v.p[i] <= '9' && n <= ATTEMPT_MAX ? n * 10 + (v.p[i] - '0') : -1;
    if (n >= 1 && n <= ATTEMPT_MAX) {
        r->out->attempt = n;
        return;
    }
    wrong_at(r, a, "must be a whole number from 1 to %d", ATTEMPT_MAX);
}

/* Nothing to fail a command for. */
static bool is_lenient(const struct attribute *a)
{
    return a->kind == ATTRIBUTE_TRACE || a->kind == ATTRIBUTE_NOTE;
}

static void take_value(struct reading *r, const struct attribute *a, struct bytes v)
{
    if (is_lenient(a) ? v.n > a->bytes_max || !utf8_printable(v.p, v.n) : !text_ok(r, a, v))
        return;
    switch (a->kind) {
    case ATTRIBUTE_SUBJECT:
        if (subject_ok(v)) /* else no lane, and no event, could bear its name */
            set_text(r, a, v);
        else
            wrong_at(r, a, "must be noun/id, such as session/<uuid>");
        return;
    case ATTRIBUTE_SPECVERSION:
        if (v.n != 3 || memcmp(v.p, "1.0", 3) != 0)
            wrong_at(r, a, "must be 1.0");
        return;
    case ATTRIBUTE_TRACE:
        if (traceparent_ok(v))
            set_text(r, a, v);
        return;
    case ATTRIBUTE_TIME:
        set_time(r, a, v);
        return;
    case ATTRIBUTE_ATTEMPT:
        set_attempt(r, a, v);
        return;
    case ATTRIBUTE_TEXT:
    case ATTRIBUTE_NOTE:
        set_text(r, a, v);
        return;
    }
}

static void take_attribute(struct reading *r, size_t row, struct bytes v)
{
    const struct attribute *a = &attributes[row];
    bool again = r->seen >> row & 1;
    r->seen |= 1u << row;
    if (!again && !v.p && is_lenient(a))
        return;
    if (!again && v.p) {
        take_value(r, a, v);
        return;
    }
    wrong_at(r, a, again ? "comes more than once" : "has no value");
}

static void check_required(struct reading *r)
{
    for (size_t i = 0; i < LEN(attributes); i++) {
        if (!attributes[i].required || r->seen >> i & 1)
            continue;
        wrong_at(r, &attributes[i], "is required");
    }
}

/* ---- headers */

static void read_headers(struct reading *r)
{
    for (size_t i = 0; i < r->record->nheaders; i++) {
        const struct header *h = &r->record->headers[i];
        size_t n = strlen(h->name);
        for (size_t row = 0; row < LEN(attributes); row++)
            if (attributes[row].header_n == n && (!r->structured || !attributes[row].name) &&
                memcmp(attributes[row].header, h->name, n) == 0) {
                take_attribute(r, row, h->value);
                break;
            }
    }
}

enum mode { MODE_BINARY, MODE_STRUCTURED, MODE_UNKNOWN };

/* Is the media type before any parameter this one? */
static bool media_type_is(struct bytes v, const char *type)
{
    size_t n = 0;
    while (n < v.n && v.p[n] != ';' && v.p[n] != ' ')
        n++;
    return n == strlen(type) && strncasecmp((const char *)v.p, type, n) == 0;
}

static enum mode mode_of(struct reading *r)
{
    const struct header *found = NULL;
    for (size_t i = 0; i < r->record->nheaders; i++) {
        const struct header *h = &r->record->headers[i];
        if (strcmp(h->name, "content-type") != 0)
            continue;
        if (found)
            wrong(r, "header content-type", "comes more than once");
        found = found ? found : h;
    }
    if (!found || !found->value.p || media_type_is(found->value, "application/json"))
        return MODE_BINARY;
    if (media_type_is(found->value, "application/cloudevents+json"))
        return MODE_STRUCTURED;
    wrong(r, "header content-type", "must be application/json or application/cloudevents+json");
    return MODE_UNKNOWN;
}

/* ---- bodies */

static json_t *parse_json(struct reading *r, const char *place, struct bytes text)
{
    struct err err uninitialized;
    err.code = (enum err_code)0;
    json_memory_use(r->arena);
    json_t *v = json_value_parse(text.p, text.n, &err);
    json_memory_use(NULL);
    if (!v)
        problem_add(r->problems, err.code, place, "%s", err.message);
    return v;
}

static void read_plain_body(struct reading *r)
{
    r->out->data = r->record->value;
    r->out->json = parse_json(r, "", r->record->value);
}

static void take_data(struct reading *r, const json_t *data)
{
    auto_json_text char *text = json_dumps(data, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    size_t n = text ? strlen(text) : 0;
    uint8_t *copy = text ? arena_copy(r->arena, text, n) : NULL;
    if (!copy) {
        problem_add(r->problems, ERR_NO_MEMORY, "", "there is no memory left to read it");
        return;
    }
    r->out->data = (struct bytes){copy, n};
    r->out->json = json_incref((json_t *)data);
}

static void take_base64(struct reading *r, const json_t *data)
{
    size_t n = json_string_length(data), length = 0;
    uint8_t *bytes = arena_get(r->arena, n + 1);
    if (!json_is_string(data) || !bytes ||
        sodium_base642bin(bytes, n, json_string_value(data), n, NULL, &length, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0) {
        wrong(r, "attribute data_base64", "must be base64");
        return;
    }
    r->out->data = (struct bytes){bytes, length};
    r->out->json = parse_json(r, "attribute data_base64", r->out->data);
}

static void read_event_data(struct reading *r, const json_t *event)
{
    const json_t *data = json_object_get(event, "data");
    const json_t *base64 = json_object_get(event, "data_base64");
    const json_t *type = json_object_get(event, "datacontenttype");
    struct bytes media = {(const uint8_t *)json_string_value(type), json_string_length(type)};
    if (type && !(media.p && media_type_is(media, "application/json")))
        wrong(r, "attribute datacontenttype", "must be application/json");
    if (data && base64)
        wrong(r, "attribute data_base64", "stands beside data");
    else if (data)
        take_data(r, data);
    else if (base64)
        take_base64(r, base64);
    else
        wrong(r, "attribute data", "is required");
}

static void read_event_attributes(struct reading *r, const json_t *event)
{
    for (size_t row = 0; row < LEN(attributes); row++) {
        const char *name = attributes[row].name;
        const json_t *v = name ? json_object_get(event, name) : NULL;
        if (!v || json_is_null(v)) /* null is the same as absent (JSON format §2.2) */
            continue;
        struct bytes text = {(const uint8_t *)json_string_value(v), json_string_length(v)};
        if (text.p) {
            take_attribute(r, row, text);
        } else {
            r->seen |= 1u << row;
            wrong_at(r, &attributes[row], "must be a string");
        }
    }
}

static void read_event(struct reading *r)
{
    auto_json json_t *event = parse_json(r, "", r->record->value);
    if (!event)
        return;
    if (!json_is_object(event)) {
        wrong(r, "", "must be a CloudEvent: a JSON object");
        return;
    }
    read_event_attributes(r, event);
    read_event_data(r, event);
    check_required(r);
}

static void read_body(struct reading *r, enum mode mode)
{
    struct bytes value = r->record->value;
    if (value.n > (size_t)MESSAGE_BYTES_MAX)
        problem_add(r->problems, ERR_MESSAGE_TOO_LARGE, "", "has %zu bytes, more than %d", value.n,
                    MESSAGE_BYTES_MAX);
    else if (!value.p || value.n == 0)
        wrong(r, "", "has no body");
    else if (mode == MODE_STRUCTURED)
        read_event(r);
    else if (mode == MODE_BINARY)
        read_plain_body(r);
}

/* ---- the whole */

static void read_key(struct reading *r)
{
    struct bytes key = r->record->key;
    r->out->key = key;
    if (!key.p || key.n == 0)
        wrong(r, "key", "is required");
    else if (key.n > 1024)
        wrong(r, "key", "is longer than 1024 bytes");
    else if (!utf8_printable(key.p, key.n))
        wrong(r, "key", "is not UTF-8 without control characters");
}

static struct bytes bytes_of(const char *s)
{
    return (struct bytes){(const uint8_t *)s, s ? strlen(s) : 0};
}

static void finish(struct command *c)
{
    if (!c->correlation_id)
        c->correlation_id = c->id;
    c->type_short = c->type;
    if (c->type && strncmp(c->type, TYPE_PREFIX, strlen(TYPE_PREFIX)) == 0)
        c->type_short = c->type + strlen(TYPE_PREFIX);
    const struct bytes name[] = {bytes_of(c->source), bytes_of(c->id)};
    const struct bytes payload[] = {bytes_of(c->type), bytes_of(c->subject), c->key, c->data};
    digest16(c->digest, name, LEN(name));
    digest16(c->payload, payload, LEN(payload));
}

bool envelope_parse(struct arena *a, const struct record *record, struct command *out,
                    struct problems *problems)
{
    size_t before = problems->total;
    *out = (struct command){.attempt = 1, .record = record};
    struct reading r = {.arena = a, .out = out, .problems = problems, .record = record};
    enum mode mode = mode_of(&r);
    r.structured = mode == MODE_STRUCTURED;
    read_headers(&r);
    if (!r.structured)
        check_required(&r);
    read_key(&r);
    read_body(&r, mode);
    finish(out);
    return problems->total == before;
}

void envelope_done(struct command *c)
{
    if (!json_memory_is_arena(c->json))
        json_decref(c->json);
    c->json = NULL;
}

static void put_some(struct buf *out, const char *name, const char *value)
{
    if (value)
        header_put(out, name, value);
}

void envelope_headers(struct buf *out, const struct envelope *e)
{
    header_put(out, "ce_specversion", "1.0");
    header_put(out, "ce_id", e->id);
    header_put(out, "ce_source", e->source);
    header_put(out, "ce_type", e->type);
    header_put(out, "ce_subject", e->subject);
    header_put_time(out, "ce_time", e->time_ms);
    put_some(out, "ce_correlationid", e->correlation_id);
    put_some(out, "ce_causationid", e->causation_id);
    put_some(out, "ce_tenant", e->tenant);
    if (e->expiry_ms)
        header_put_time(out, "ce_expirytime", e->expiry_ms);
    if (e->sequence)
        header_put_int(out, "ce_sequence", e->sequence);
    put_some(out, "traceparent", e->traceparent);
    header_put(out, "content-type", "application/json");
}

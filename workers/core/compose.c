#include "core/compose.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/envelope.h"
#include "core/json_memory.h"
#include "core/json_value.h"
#include "core/nearest.h"
#include "core/schema.h"
#include "core/uuid.h"

#include "schemas.h"

enum { HEADERS_MAX = 48, TEXT_BYTES_MAX = 1024, BODY_BYTES_MAX = MESSAGE_BYTES_MAX };

#define PREFIX "drawbridge."

/* ---- routing ---- */

static const char *short_type(const char *type)
{
    return strncmp(type, PREFIX, strlen(PREFIX)) != 0 ? type : type + strlen(PREFIX);
}

static bool unknown_type(const char *type, struct err *err)
{
    const char *names[64] = {0};
    size_t n = 0;
    for (const struct schema_file *f = schema_files; f->name && n < LEN(names) - 1; f++)
        if (!strncmp(f->name, "commands/", 9))
            names[n++] = f->name + 9;
    const char *near = nearest(type, names);
    if (near)
        return err_set(err, ERR_TYPE_UNKNOWN, "there is no command %.64s. Did you mean %s?", type,
                       near);
    return err_set(err, ERR_TYPE_UNKNOWN, "there is no command %.64s", type);
}

static bool copy_field(const json_t *x, const char *name, char *out, size_t bytes)
{
    const char *s = json_string_value(json_object_get(x, name));
    int n = s ? snprintf(out, bytes, "%s", s) : -1;
    return n >= 0 && (size_t)n < bytes;
}

static bool read_routing(const struct schema_file *f, struct routing *out, struct err *err)
{
    auto_json json_t *doc = json_loadb(f->text, f->length, 0, NULL);
    const json_t *x = json_object_get(doc, "x-drawbridge");
    out->name = f->name;
    return (copy_field(x, "type", out->type, sizeof out->type) &&
            copy_field(x, "topic", out->topic, sizeof out->topic) &&
            copy_field(x, "key", out->key, sizeof out->key) &&
            copy_field(x, "subject", out->subject, sizeof out->subject)) ||
           err_set(err, ERR_INTERNAL, "the schema %s has no routing", f->name);
}

bool routing_of(const char *type, struct routing *out, struct err *err)
{
    static struct routing *read; /* one per file, name NULL: not yet; as long as the process */
    const char *wanted = short_type(type);
    size_t i = 0;
    while (schema_files[i].name && (strncmp(schema_files[i].name, "commands/", 9) != 0 ||
                                    strcmp(schema_files[i].name + 9, wanted) != 0))
        i++;
    if (!schema_files[i].name)
        return unknown_type(wanted, err);
    if (!read)
        read = calloc((size_t)schema_files_n, sizeof *read);
    if (!read)
        return err_set(err, ERR_NO_MEMORY, "routing");
    if (!read[i].name && !read_routing(&schema_files[i], &read[i], err)) {
        read[i].name = NULL;
        return false;
    }
    *out = read[i];
    return true;
}

/* ---- parts ---- */

/* The value of a member of the data as text; "" when it is missing: the schema says so later. */
static const char *member(const json_t *data, const char *name)
{
    const char *s = json_string_value(json_object_get(data, name));
    return s ? s : "";
}

/* Puts members of the data for {name} in the template. */
static const char *fill(struct arena *a, const char *template, const json_t *data)
{
    char memory[TEXT_BYTES_MAX] = "", name[64] = "";
    struct buf b;
    buf_init_fixed(&b, memory, sizeof memory);
    while (*template) {
        size_t n = strcspn(template, "{");
        buf_put(&b, template, n);
        template += n;
        size_t end = strcspn(template, "}");
        if (!*template || !template[end] || end > sizeof name)
            break;
        snprintf(name, sizeof name, "%.*s", (int)end - 1, template + 1);
        buf_str(&b, member(data, name));
        template += end + 1;
    }
    return arena_str(a, buf_ok(&b) ? memory : "");
}

static void set_requester(json_t *data, const char *who)
{
    if (!json_object_get(data, "requestedBy") && who)
        json_object_set_new(data, "requestedBy",
                            json_pack("{s:s, s:s}", "kind", "admin", "id", who));
}

static const char *new_trace(struct arena *a)
{
    uint8_t ids[24];
    char hex[49];
    randombytes_buf(ids, sizeof ids);
    sodium_bin2hex(hex, sizeof hex, ids, sizeof ids);
    char text[56];
    snprintf(text, sizeof text, "00-%.32s-%.16s-01", hex, hex + 32);
    return arena_str(a, text);
}

static const char *new_id(struct arena *a)
{
    uint8_t uuid[UUID_BYTES];
    char text[UUID_TEXT];
    uuid_random(uuid);
    uuid_format(uuid, text);
    return arena_str(a, text);
}

static const char *time_text(struct arena *a, int64_t ms)
{
    char text[25];
    if (!ms)
        return NULL;
    clock_format(ms, text);
    return arena_str(a, text);
}

/* ---- headers ---- */

struct headers {
    struct arena *arena;
    struct header *list;
    size_t n;
    bool full;
};

static void put_header(struct headers *h, const char *name, const char *value)
{
    if (!value)
        return;
    if (h->n == HEADERS_MAX) {
        h->full = true;
        return;
    }
    h->list[h->n++] = (struct header){name, {(const uint8_t *)value, strlen(value)}};
}

static bool put_own(struct headers *h, const char *const *pairs, struct err *err)
{
    for (; pairs && *pairs; pairs++) {
        const char *equals = strchr(*pairs, '=');
        size_t n = equals ? (size_t)(equals - *pairs) : 0;
        char *name = n ? arena_copy(h->arena, *pairs, n + 1) : NULL;
        if (!name)
            return err_set(err, ERR_BAD_INPUT, "--header %.64s: write it as name=value", *pairs);
        name[n] = 0;
        put_header(h, name, equals + 1);
    }
    return !h->full || err_set(err, ERR_BAD_INPUT, "more than %d headers", HEADERS_MAX);
}

static bool put_headers(struct arena *a, const struct composition *in, const struct routing *r,
                        struct record *out, struct err *err)
{
    struct headers h = {.arena = a, .list = arena_get(a, HEADERS_MAX * sizeof(struct header))};
    const char *id = in->id ? in->id : new_id(a);
    const char *subject = in->subject ? in->subject : fill(a, r->subject, in->data);
    if (!h.list || !id || !subject)
        return err_set(err, ERR_NO_MEMORY, "headers");
    put_header(&h, "ce_specversion", "1.0");
    put_header(&h, "ce_id", id);
    put_header(&h, "ce_type", arena_str(a, r->type));
    put_header(&h, "ce_source", in->source ? in->source : COMPOSE_SOURCE);
    put_header(&h, "ce_subject", subject);
    put_header(&h, "ce_time", time_text(a, in->now_ms));
    put_header(&h, "ce_correlationid", in->correlation_id ? in->correlation_id : id);
    put_header(&h, "ce_tenant", in->tenant);
    put_header(&h, "ce_expirytime", time_text(a, in->expires_ms));
    put_header(&h, "drawbridge-not-before", time_text(a, in->not_before_ms));
    put_header(&h, "traceparent", in->traceparent ? in->traceparent : new_trace(a));
    put_header(&h, "content-type", "application/json");
    bool ok = put_own(&h, in->headers, err);
    out->headers = h.list;
    out->nheaders = h.n;
    return ok;
}

static bool put_body(struct arena *a, const struct composition *in, const struct routing *r,
                     struct record *out, struct err *err)
{
    auto_json_text char *body = json_dumps(in->data, JSON_COMPACT);
    const char *key = member(in->data, r->key + 1); /* "/userId": all our keys are members */
    if (!body)
        return err_set(err, ERR_JSON_MALFORMED, "the data cannot be written as JSON");
    size_t n = strlen(body);
    if (n > BODY_BYTES_MAX)
        return err_set(err, ERR_MESSAGE_TOO_LARGE, "the data has %zu bytes, at most %d are taken",
                       n, BODY_BYTES_MAX);
    out->topic = fill(a, r->topic, in->data); /* drawbridge.{worker}: any worker takes it */
    out->value = (struct bytes){arena_copy(a, body, n), n};
    out->key = (struct bytes){arena_copy(a, key, strlen(key) + 1), strlen(key)};
    out->timestamp_ms = -1;
    out->partition = -1;
    return (out->value.p && out->key.p && out->topic) || err_set(err, ERR_NO_MEMORY, "the message");
}

/* ---- the whole ---- */

bool compose(struct arena *a, const struct composition *in, struct message *out,
             struct problems *problems, struct err *err)
{
    struct routing r = {0};
    memset(out, 0, sizeof *out);
    if (!routing_of(in->type, &r, err))
        return false;
    if (!json_is_object(in->data))
        return err_set(err, ERR_JSON_MALFORMED, "the data must be a JSON object");
    set_requester(in->data, in->who);
    if (!put_headers(a, in, &r, &out->record, err) || !put_body(a, in, &r, &out->record, err))
        return false;
    const struct schema *schema = schema_find(r.name);
    if (!schema)
        return err_set(err, ERR_INTERNAL, "the schema %s does not compile", r.name);
    /* The envelope only once the data is right: key and subject come from it. */
    if (schema_validate(schema, in->data, problems) &&
        envelope_parse(a, &out->record, &out->command, problems))
        return true;
    return err_set(err, problems->code, "%s is wrong in %zu place%s", short_type(in->type),
                   problems->total, problems->total == 1 ? "" : "s");
}

void message_done(struct message *m)
{
    envelope_done(&m->command);
}

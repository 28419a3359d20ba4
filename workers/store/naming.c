#include "store/naming.h"

#include "core/json_value.h"

#include "schemas.h"

#include <string.h>

#define MESSAGE_MAX 2000

struct namings {
    json_t *json;
    struct naming *rows;
    size_t n;
};

static const struct naming unnamed = {.type = "",
                                      .event_type = "config.unnamed",
                                      .outcome = "warning",
                                      .message = "an event that this version has no name for"};

static const struct schema_file *file_named(const char *name)
{
    for (int i = 0; i < schema_files_n; i++)
        if (!strcmp(schema_files[i].name, name))
            return &schema_files[i];
    return NULL;
}

struct namings *namings_load(struct err *err)
{
    const struct schema_file *f = file_named("operational-events");
    struct namings *n = calloc(1, sizeof *n);
    if (n && f)
        n->json = json_loadb(f->text, f->length, 0, NULL);
    if (n && n->json && (n->rows = calloc(json_array_size(n->json) + 1, sizeof *n->rows))) {
        for (size_t i = 0; i < json_array_size(n->json); i++) {
            const json_t *row = json_array_get(n->json, i);
            struct naming *r = &n->rows[n->n];
            *r = (struct naming){.type = json_member_text(row, "type"),
                                 .reason = json_member_text(row, "reason"),
                                 .command_type = json_member_text(row, "commandType"),
                                 .event_type = json_member_text(row, "eventType"),
                                 .outcome = json_member_text(row, "outcome"),
                                 .message = json_member_text(row, "message")};
            n->n += r->type && r->event_type && r->outcome && r->message;
        }
        if (n->n == json_array_size(n->json))
            return n;
    }
    namings_free(&n);
    (void)err_set(err, ERR_INTERNAL, "operational-events.json is not the table it should be");
    return NULL;
}

void namings_free(struct namings **p)
{
    struct namings *n = take(*p);
    if (!n)
        return;
    json_decref(n->json);
    free(n->rows);
    free(n);
}

static bool fits(const char *wanted, const char *value)
{
    return !wanted || (value && !strcmp(wanted, value));
}

const struct naming *naming_find(const struct namings *n, const char *type, const json_t *data)
{
    const char *reason = json_member_text(data, "reason"),
               *command_type = json_member_text(data, "commandType");
    for (size_t i = 0; type && i < n->n; i++) {
        const struct naming *r = &n->rows[i];
        if (!strcmp(r->type, type) && fits(r->reason, reason) &&
            fits(r->command_type, command_type))
            return r;
    }
    return NULL;
}

const struct naming *naming_of(const struct namings *n, const char *type, const json_t *data)
{
    const struct naming *r = naming_find(n, type, data);
    return r ? r : &unnamed;
}

static void put_value(struct buf *out, const json_t *v)
{
    if (json_is_string(v))
        buf_put(out, json_string_value(v), json_string_length(v));
    else if (json_is_integer(v))
        buf_printf(out, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        buf_printf(out, "%g", json_real_value(v));
    else
        buf_str(out, json_is_true(v) ? "true" : json_is_false(v) ? "false" : "–");
}

/* Cut where a character ends. */
static void cut(struct buf *out, size_t most)
{
    if (out->n <= most)
        return;
    size_t n = most;
    while (n && (out->p[n] & 0xc0) == 0x80)
        n--;
    out->n = n;
    out->p[n] = 0;
}

void naming_message(const struct naming *n, const json_t *data, struct buf *out)
{
    for (const char *p = n->message; *p;) {
        const char *end = *p == '{' ? strchr(p, '}') : NULL;
        char key[64];
        if (!end || (size_t)(end - p) >= sizeof key) {
            buf_put(out, p++, 1);
            continue;
        }
        memcpy(key, p + 1, (size_t)(end - p) - 1);
        key[end - p - 1] = 0;
        put_value(out, json_object_get(data, key));
        p = end + 1;
    }
    if (buf_ok(out))
        cut(out, MESSAGE_MAX);
}

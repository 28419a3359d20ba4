#include "drivers/provider_table.h"

#include "core/arena.h"
#include "core/json_value.h"
#include "core/schema.h"

#include "schemas.h"

#include <stdlib.h>
#include <string.h>

#define TABLE_BYTES_MAX ((size_t)4 << 20)

static struct arena *memory; /* of the table; as long as the process */
static struct provider_list table;

static const char *text(const json_t *row, const char *key)
{
    const char *s = json_string_value(json_object_get(row, key));
    return s ? arena_str(memory, s) : NULL;
}

static bool read_pairs(const json_t *o, struct provider_pairs *out)
{
    size_t n = json_object_size(o), i = 0;
    const char *name;
    json_t *value;
    struct provider_pair *list = arena_array(memory, n + 1, sizeof *list);
    if (!list)
        return false;
    json_object_foreach((json_t *)o, name, value)
    {
        list[i].name = arena_str(memory, name);
        list[i].value = arena_str(memory, json_string_value(value));
        if (!list[i].name || !list[i++].value)
            return false;
    }
    *out = (struct provider_pairs){list, n};
    return true;
}

static bool read_hosts(const json_t *hosts, const char *const **out)
{
    size_t n = json_array_size(hosts);
    const char **list = arena_array(memory, n + 1, sizeof *list);
    if (!list)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!(list[i] = arena_str(memory, json_string_value(json_array_get(hosts, i)))))
            return false;
    *out = list;
    return true;
}

static bool read_headers(const json_t *o, const char **out)
{
    const char *name;
    json_t *value;
    char *lines = NULL;
    json_object_foreach((json_t *)o, name, value)
    {
        lines = arena_printf(memory, "%s%s%s: %s", lines ? lines : "", lines ? "\n" : "", name,
                             json_string_value(value));
        if (!lines)
            return false;
    }
    *out = lines;
    return true;
}

static bool read_test(const json_t *o, struct provider_test *out)
{
    *out = (struct provider_test){
        .method = text(o, "method"), .url = text(o, "url"), .ok = text(o, "ok")};
    return read_headers(json_object_get(o, "headers"), &out->headers);
}

static bool read_words(const json_t *row, struct provider *p)
{
    const json_t *rotation = json_object_get(row, "rotation");
    const json_t *expiry = json_object_get(row, "expiry");
    const char *body = text(row, "body"), *unit = text(expiry, "unit");
    p->json_body = body && !strcmp(body, "json");
    p->life_in_ms = unit && !strcmp(unit, "ms");
    p->absent_life_s = json_integer_value(json_object_get(expiry, "absent_s"));
    p->grace_s = json_integer_value(json_object_get(rotation, "grace_s"));
    p->no_pkce = json_is_false(json_object_get(row, "pkce"));
    p->discovery = json_is_true(json_object_get(row, "discovery"));
    return client_auth_parse(text(row, "client_auth"), &p->client_auth) &&
           rotation_parse(text(rotation, "class"), &p->rotation);
}

static bool read_row(const json_t *row, struct provider *p)
{
    const json_t *setup = json_object_get(row, "setup");
    *p = (struct provider){.id = text(row, "id"),
                           .name = text(row, "name"),
                           .setup = {text(setup, "authorization_url"), text(setup, "token_url")},
                           .scope_separator = text(row, "scope_separator"),
                           .refresh_url = text(row, "refresh_url"),
                           .revocation_url = text(row, "revocation_url"),
                           .introspection_url = text(row, "introspection_url"),
                           .device_url = text(row, "device_url"),
                           .token_at = text(row, "token_at"),
                           .scopes_header = text(row, "scopes_header"),
                           .user_agent = text(row, "user_agent")};
    if (!p->scope_separator)
        p->scope_separator = " ";
    return p->id && p->name && read_words(row, p) &&
           read_hosts(json_object_get(row, "hosts"), &p->hosts) &&
           read_pairs(json_object_get(row, "authorize"), &p->authorize) &&
           read_pairs(json_object_get(row, "token"), &p->token) &&
           read_pairs(json_object_get(row, "errors"), &p->errors) &&
           read_test(json_object_get(row, "test"), &p->test) &&
           read_test(json_object_get(row, "client_test"), &p->client_test);
}

static bool read_rows(const json_t *rows, struct err *err)
{
    size_t n = json_array_size(rows);
    struct provider *list = arena_array(memory, n, sizeof *list);
    for (size_t i = 0; i < n; i++)
        if (!list || !read_row(json_array_get(rows, i), &list[i]))
            return err_set(err, ERR_INTERNAL, "row %zu of schemas/providers.json cannot be read",
                           i);
    table = (struct provider_list){list, n};
    return true;
}

static bool check(const json_t *document, struct err *err)
{
    auto_arena struct arena *scratch = arena_new(4096, (size_t)1 << 20);
    const struct schema *s = schema_find("tables/providers");
    struct problems problems;
    if (!scratch || !s)
        return err_set(err, ERR_INTERNAL, "schemas/tables/providers.json does not compile");
    problems_init(&problems, scratch);
    return schema_validate(s, document, &problems) ||
           err_set(err, ERR_INTERNAL, "schemas/providers.json: %s %s", problems.list[0].place,
                   problems.list[0].message);
}

/* The table that was built in. */
static json_t *built_in(struct err *err)
{
    const struct schema_file *f = schema_files;
    while (f->name && strcmp(f->name, "providers") != 0)
        f++;
    return f->name ? json_value_parse(f->text, f->length, err) : NULL;
}

#ifdef DRAWBRIDGE_TESTABLE
/* Or the one that a test brings: of providers that run on this machine. */
static json_t *document_of(struct err *err)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
    const char *path = getenv("DRAWBRIDGE_TEST_PROVIDERS");
    return path ? json_load_file(path, JSON_REJECT_DUPLICATES, NULL) : built_in(err);
}
#else
#define document_of built_in
#endif

static bool load(struct err *err)
{
    auto_json json_t *document = document_of(err);
    if (!document)
        return err_set(err, ERR_INTERNAL, "schemas/providers.json is no JSON");
    return check(document, err) && read_rows(json_object_get(document, "providers"), err);
}

const struct provider_list *provider_table(struct err *err)
{
    if (table.list)
        return &table;
    if (!memory)
        memory = arena_new(16384, TABLE_BYTES_MAX);
    if (!memory) {
        (void)err_set(err, ERR_NO_MEMORY, "the table of providers");
        return NULL;
    }
    return load(err) ? &table : NULL;
}

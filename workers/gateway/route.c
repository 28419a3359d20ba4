#include "gateway/route.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gateway/handlers.h"

#include "core/json_value.h"
#include "core/schema.h"

const struct route routes[] = {
#define ROUTE(id, method, path, scope, body, body_max, rate, params, type, answers, summary)       \
    {#id,         METHOD_##method, path,    scope, body,    body_max,                              \
     RATE_##rate, params,          answers, type,  summary, handle_##id},
#include "gateway/routes.def"
#undef ROUTE
    {0},
};

const struct param params[] = {
#define PARAM(id, name, place, schema, help) {#id, name, PLACE_##place, schema, help},
#include "gateway/params.def"
#undef PARAM
    {0},
};

static const char *const method_names[METHODS] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

const char *method_name(enum http_method method)
{
    return method_names[method];
}

/* ---- paths ---- */

/* Cuts the next segment off; NULL behind the last. "/a/b" has two, "/" one that is empty. */
static const char *segment(const char **at, size_t *n)
{
    if (**at != '/')
        return NULL;
    const char *s = *at + 1;
    *n = strcspn(s, "/");
    *at = s + *n;
    return s;
}

static bool segment_fits(const char *row, size_t row_n, const char *s, size_t n, struct arena *a,
                         const char *values[static PARAMS])
{
    char name[64];
    if (row_n == 0 || *row != '{')
        return row_n == n && memcmp(row, s, n) == 0;
    if (n == 0)
        return false;
    snprintf(name, sizeof name, "%.*s", (int)row_n - 2, row + 1);
    enum param_id id = param_find(name, PLACE_PATH);
    if (id == PARAMS)
        return false;
    values[id] = arena_strn(a, s, n);
    return values[id] != NULL;
}

static bool path_fits(const struct route *route, const char *path, struct arena *a,
                      const char *values[static PARAMS])
{
    const char *row = route->path, *at = path;
    size_t row_n = 0, n = 0;
    for (;;) {
        const char *wanted = segment(&row, &row_n), *given = segment(&at, &n);
        if (!wanted || !given)
            return !wanted && !given && !*row && !*at;
        if (!segment_fits(wanted, row_n, given, n, a, values))
            return false;
    }
}

static void allow(char allowed[static 64], enum http_method method)
{
    size_t n = strlen(allowed);
    snprintf(allowed + n, 64 - n, "%s%s%s", n ? ", " : "", method_names[method],
             method == METHOD_GET ? ", HEAD" : "");
}

enum route_found route_find(const char *method, const char *path, struct arena *a,
                            const struct route **out, const char *values[static PARAMS],
                            char allowed[static 64])
{
    const char *wanted = strcmp(method, "HEAD") ? method : "GET";
    enum route_found found = ROUTE_NONE;
    *allowed = 0;
    for (const struct route *r = routes; r->name; r++) {
        memset(values, 0, PARAMS * sizeof *values);
        if (!path_fits(r, path, a, values))
            continue;
        if (!strcmp(wanted, method_names[r->method])) {
            *out = r;
            return ROUTE_FOUND;
        }
        allow(allowed, r->method);
        found = ROUTE_METHOD;
    }
    return found;
}

/* ---- parameters ---- */

static struct schema *schemas[PARAMS];
static bool whole_number[PARAMS];

bool route_init(struct err *err)
{
    for (size_t i = 0; i < PARAMS; i++) {
        auto_json json_t *doc = json_loads(params[i].schema, 0, NULL);
        const char *type = json_string_value(json_object_get(doc, "type"));
        whole_number[i] = type && !strcmp(type, "integer");
        if (!schemas[i])
            schemas[i] = schema_compile(params[i].schema, strlen(params[i].schema), err);
        if (!schemas[i])
            return err_wrap(err, "parameter %s", params[i].name);
    }
    return true;
}

enum param_id param_find(const char *name, enum param_place place)
{
    for (size_t i = 0; i < PARAMS; i++)
        if (params[i].place == place &&
            !(place == PLACE_HEADER ? strcasecmp : strcmp)(params[i].name, name))
            return (enum param_id)i;
    return PARAMS;
}

/* Whether the space separated list has the word. */
static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    while (*list) {
        size_t m = strcspn(list, " ");
        if (m == n && !memcmp(list, word, n))
            return true;
        list += m + strspn(list + m, " ");
    }
    return false;
}

bool route_takes(const struct route *route, enum param_id id)
{
    char braced[80];
    if (params[id].place != PLACE_PATH)
        return has_word(route->params, params[id].id) ||
               (has_word(route->params, params[id].name) &&
                param_find(params[id].name, params[id].place) == id);
    snprintf(braced, sizeof braced, "{%s}", params[id].name);
    return strstr(route->path, braced) != NULL;
}

enum param_id route_param(const struct route *route, const char *name, enum param_place place)
{
    for (size_t i = 0; i < PARAMS; i++)
        if (params[i].place == place && !strcmp(params[i].name, name) &&
            route_takes(route, (enum param_id)i))
            return (enum param_id)i;
    return PARAMS;
}

/* A query has texts only: one that is to be a number is read as such, when it is one. */
static json_t *value_of(enum param_id id, const char *text)
{
    struct err ignored = {0};
    json_t *number = whole_number[id] && text[strspn(text, "0123456789-")] == 0
                         ? json_value_parse(text, strlen(text), &ignored)
                         : NULL;
    return number ? number : json_string(text);
}

bool param_check(enum param_id id, const char *value, struct problems *problems)
{
    static const char *const places[] = {"path", "query", "header"};
    char place[96];
    struct problems found;
    problems_init(&found, problems->arena);
    auto_json json_t *v = value_of(id, value);
    snprintf(place, sizeof place, "%s %s", places[params[id].place], params[id].name);
    if (!v) /* not UTF-8 */
        return problem_add(problems, ERR_BAD_INPUT, place, "is not UTF-8");
    if (schema_validate(schemas[id], v, &found))
        return true;
    return problem_add(problems, ERR_BAD_INPUT, place, "%s",
                       found.n ? found.list[0].message : "is wrong");
}

bool route_takes_form(const struct route *route)
{
    static const char end[] = ".form";
    size_t n = strlen(route->body);
    return n >= sizeof end && !strcmp(route->body + n - (sizeof end - 1), end);
}

bool route_tells_people(const struct route *route)
{
    return !strcmp(route->type, "text/html") && strchr(route->path, '{');
}

/* ---- answers ---- */

bool route_answer(const char **at, int *status, char schema[static 64])
{
    *at += strspn(*at, " ");
    if (!**at)
        return false;
    size_t n = strcspn(*at, " "), digits = strspn(*at, "0123456789");
    *status = 0;
    for (size_t i = 0; i < digits && i < 3; i++)
        *status = *status * 10 + ((*at)[i] - '0');
    const char *name = (*at)[digits] == '=' ? *at + digits + 1 : *at + n;
    snprintf(schema, 64, "%.*s", (int)(*at + n - name), name);
    *at += n;
    return true;
}

#include "gateway/openapi.h"

#include <stdio.h>
#include <string.h>

#include "gateway/handlers.h"
#include "gateway/route.h"

#include "core/json_value.h"

#include "schemas.h"
#include "version.h"

#define HTTP_SCHEMAS "http/"
#define FORM "application/x-www-form-urlencoded"

static const struct {
    int status;
    const char *text;
} statuses[] = {{200, "Done"},
                {201, "Made"},
                {202, "Accepted: under way, the Location tells"},
                {204, "Done, nothing to say"},
                {303, "The same is to be asked with GET: see the Location"},
                {400, "The request cannot be read; every problem with its place"},
                {401, "No good credential"},
                {403, "Not allowed"},
                {404, "Not there, or another's"},
                {406, "Not available in a type that is accepted"},
                {409, "Not possible as things stand"},
                {410, "Over"},
                {413, "The body is too large"},
                {415, "The body is not JSON"},
                {429, "Too many, or too often; Retry-After tells"},
                {503, "Not for the moment; Retry-After tells"},
                {0}};

static const char *text_of(int status)
{
    size_t i = 0;
    while (statuses[i].status && statuses[i].status != status)
        i++;
    return statuses[i].status ? statuses[i].text : "Something else";
}

/* "http/session.start" is session.start in the document. */
static json_t *schema_ref(const char *name)
{
    char ref[128];
    snprintf(ref, sizeof ref, "#/components/schemas/%s", name + strlen(HTTP_SCHEMAS));
    return json_pack("{s:s}", "$ref", ref);
}

static json_t *content(const char *type, json_t *schema)
{
    return json_pack("{s:{s:o}}", type, "schema", schema);
}

/* ---- answers ---- */

static json_t *headers_of(int status)
{
    json_t *headers =
        json_pack("{s:{s:s, s:{s:s}}}", "X-Correlation-Id", "description",
                  "The request's, or a new one: name it when something is to be looked up",
                  "schema", "type", "string");
    if (status == 202)
        json_object_set_new(headers, "Location",
                            json_pack("{s:s, s:{s:s, s:s}}", "description",
                                      "Where it is to be seen", "schema", "type", "string",
                                      "format", "uri-reference"));
    if (status == 202 || status == 429 || status == 503)
        json_object_set_new(headers, "Retry-After",
                            json_pack("{s:s, s:{s:s, s:i}}", "description", "Seconds", "schema",
                                      "type", "integer", "minimum", 0));
    return headers;
}

static json_t *body_of(const struct route *route, int status, const char *schema)
{
    if (status >= 400 && route->rate == RATE_PROBE && status == 503) /* told in the same words */
        return content(route->type, json_pack("{s:s}", "type", "string"));
    if (status >= 400 && route_tells_people(route))
        return json_pack("{s:{s:o}, s:{s:{s:s}}}", "application/problem+json", "schema",
                         schema_ref("http/problem"), "text/html", "schema", "type", "string");
    if (status >= 400)
        return content("application/problem+json", schema_ref("http/problem"));
    if (*schema)
        return content(route->type, schema_ref(schema));
    if (!strcmp(route->type, "*/*"))
        return json_pack("{s:{s:{s:s}}, s:{}}", "text/plain", "schema", "type", "string",
                         "image/png");
    return content(route->type, json_pack("{s:s}", "type", "string"));
}

static void add_answer(json_t *answers, const struct route *route, int status, const char *schema)
{
    char key[8];
    snprintf(key, sizeof key, "%d", status);
    if (json_object_get(answers, key))
        return;
    json_t *answer =
        json_pack("{s:s, s:o}", "description", text_of(status), "headers", headers_of(status));
    if (status != 204)
        json_object_set_new(answer, "content", body_of(route, status, schema));
    json_object_set_new(answers, key, answer);
}

/* What the route names, then what all have. */
static json_t *answers_of(const struct route *route)
{
    static const int always[] = {400, 406, 413, 415, 429, 503};
    json_t *answers = json_object();
    const char *at = route->answers;
    char schema[64];
    int status;
    while (route_answer(&at, &status, schema))
        add_answer(answers, route, status, schema);
    for (size_t i = 0; i < LEN(always); i++)
        add_answer(answers, route, always[i], "");
    if (strcmp(route->scope, "public") != 0) {
        add_answer(answers, route, 401, "");
        add_answer(answers, route, 403, "");
    }
    return answers;
}

/* ---- requests ---- */

static json_t *params_of(const struct route *route)
{
    static const char *const places[] = {"path", "query", "header"};
    json_t *list = json_array();
    for (size_t i = 0; i < PARAMS; i++) {
        const struct param *p = &params[i];
        if (!route_takes(route, (enum param_id)i) || i == PARAM_OTHERS)
            continue;
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", p->name, "in",
                                              places[p->place], "required", p->place == PLACE_PATH,
                                              "description", p->help, "schema",
                                              json_loads(p->schema, 0, NULL)));
    }
    return list;
}

static json_t *operation(const struct route *route)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:o, s:o}", "operationId", route->name, "summary",
                          route->summary, "x-drawbridge-scope", route->scope, "parameters",
                          params_of(route), "responses", answers_of(route));
    if (!strcmp(route->scope, "public"))
        json_object_set_new(o, "security", json_array());
    if (*route->body)
        json_object_set_new(o, "requestBody",
                            json_pack("{s:b, s:o}", "required", 1, "content",
                                      content(route_takes_form(route) ? FORM : "application/json",
                                              schema_ref(route->body))));
    return o;
}

static json_t *paths(void)
{
    json_t *all = json_object();
    for (const struct route *r = routes; r->name; r++) {
        char method[8];
        json_t *item = json_object_get(all, r->path);
        if (!item) {
            item = json_object();
            json_object_set_new(all, r->path, item);
        }
        snprintf(method, sizeof method, "%s", method_name(r->method));
        for (char *c = method; *c; c++)
            *c = (char)(*c | 0x20);
        json_object_set_new(item, method, operation(r));
    }
    return all;
}

/* ---- the whole ---- */

static json_t *schemas(void)
{
    json_t *all = json_object();
    for (const struct schema_file *f = schema_files; f->name; f++) {
        if (strncmp(f->name, HTTP_SCHEMAS, strlen(HTTP_SCHEMAS)) != 0)
            continue;
        json_t *doc = json_loadb(f->text, f->length, 0, NULL);
        json_object_del(doc, "$schema"); /* 2020-12 is what OpenAPI 3.1 means anyway */
        json_object_del(doc, "$id");
        json_object_set_new(all, f->name + strlen(HTTP_SCHEMAS), doc);
    }
    return all;
}

static json_t *security_schemes(void)
{
    return json_pack("{s:{s:s, s:s, s:s}, s:{s:s, s:s, s:s, s:s}}", "token", "type", "http",
                     "scheme", "bearer", "description",
                     "An access token (drawbridge token create), or a user's API key", "apiKey",
                     "type", "apiKey", "in", "header", "name", "X-API-Key", "description",
                     "The same, for clients that cannot set Authorization");
}

json_t *openapi_document(void)
{
    return json_pack(
        "{s:s, s:{s:s, s:s, s:s}, s:[{s:s}], s:[{s:[]}, {s:[]}], s:o, s:{s:o, s:o}}", "openapi",
        "3.1.0", "info", "title", "Drawbridge", "version", DRAWBRIDGE_VERSION, "description",
        "Lowers access on demand and raises it when nobody needs it. Errors are problem documents "
        "(RFC 9457) with a stable code, a hint and the correlation id.",
        "servers", "url", "/", "security", "token", "apiKey", "paths", paths(), "components",
        "schemas", schemas(), "securitySchemes", security_schemes());
}

void handle_openapi(struct request *r)
{
    request_answer_json(r, 200, openapi_document());
}

/* route — the HTTP surface as one table (routes.def): method, path, scope, schemas, limits,
 * handler. The authorisation check, the answers 404, 405, 406, 413 and 415, the labels of the
 * metrics and the OpenAPI document come from its rows. (T-06, T-11; ADR 0015) */
#pragma once

#include "core/err.h"
#include "core/problem.h"

struct request;

enum http_method { METHOD_GET, METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHODS };

/* What a request costs, for the limits of rate (T-14). */
enum rate_class { RATE_PROBE, RATE_READ, RATE_COMMAND, RATE_SECRET, RATE_CLASSES };

enum param_place { PLACE_PATH, PLACE_QUERY, PLACE_HEADER };

enum param_id {
#define PARAM(id, name, place, schema, help) PARAM_##id,
#include "gateway/params.def"
#undef PARAM
    PARAMS,
};

/* Rows may share a name: a route that takes another than the first of them says so by its id
 * ("TOKEN_STATUS" among its params, for "status"). */
struct param {
    const char *id;
    const char *name;
    enum param_place place;
    const char *schema; /* JSON Schema of its value */
    const char *help;
};

enum route_id {
#define ROUTE(id, ...) ROUTE_##id,
#include "gateway/routes.def"
#undef ROUTE
    ROUTES,
};

struct route {
    const char *name; /* "vpn_start": label of metrics, operationId */
    enum http_method method;
    const char *path;  /* "/api/vpn/status/{sessionId}" */
    const char *scope; /* "public": no credential is asked for */
    const char *body;  /* schema of the body, "http/session.start"; "": there is none */
    size_t body_max;   /* bytes */
    enum rate_class rate;
    const char *params;  /* names of further parameters, space separated */
    const char *answers; /* "200=http/session 202=http/accepted 409" */
    const char *type;    /* what a good answer is written in */
    const char *summary;
    void (*handle)(struct request *r); /* has parameters and body, checked; ends in an answer */
};

extern const struct route routes[]; /* ROUTES rows */
extern const struct param params[]; /* PARAMS rows */

/* Compiles the schemas of the parameters, once, at start; the first that does not is err. */
must_check bool route_init(struct err *err);

enum route_found { ROUTE_FOUND, ROUTE_METHOD, ROUTE_NONE };
/* method: "GET" …; "HEAD" finds GET. path: decoded, as it came. values: of the parameters in the
 * path, pointing into the arena. allowed: for ROUTE_METHOD, the methods of that path ("GET, POST").
 */
enum route_found route_find(const char *method, const char *path, struct arena *a,
                            const struct route **out, const char *values[static PARAMS],
                            char allowed[static 64]);
/* The parameter that the route takes under this name; PARAMS: none. */
enum param_id route_param(const struct route *route, const char *name, enum param_place place);
/* Whether the route takes this parameter, in its path or beside it. */
bool route_takes(const struct route *route, enum param_id id);
/* The parameter of that name and place; PARAMS when there is none. Header names match in any case.
 */
enum param_id param_find(const char *name, enum param_place place);
/* Adds what is wrong with a value (its place "query limit"). */
must_check bool param_check(enum param_id id, const char *value, struct problems *problems);

/* Its body is a form (application/x-www-form-urlencoded), read as an object of texts: the name of
 * its schema ends in ".form". */
bool route_takes_form(const struct route *route);
/* A page that is made for one person's request: its problems are pages, too. */
bool route_tells_people(const struct route *route);

const char *method_name(enum http_method method);

/* One answer of a route after the other: true while there was one; *at begins as route->answers.
 * schema is "" for those without. */
bool route_answer(const char **at, int *status, char schema[static 64]);

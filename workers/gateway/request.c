#include "gateway/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <sodium.h>

#include "gateway/gateway.h"
#include "gateway/peer.h"
#include "gateway/problem_json.h"
#include "gateway/server.h"

#include "core/clock.h"
#include "core/json_value.h"
#include "core/utf8.h"
#include "core/uuid.h"

enum { BLOCK_BYTES = 4000, TRACEPARENT_TEXT = 55, CORRELATION_MAX = 128, FORWARDED_MAX = 1 << 16 };

/* ---- the head ---- */

const char *request_header(const struct request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

static const char *new_id(struct arena *a)
{
    uint8_t uuid[UUID_BYTES];
    char text[UUID_TEXT];
    uuid_random(uuid);
    uuid_format(uuid, text);
    return arena_str(a, text);
}

static const char *correlation_of(const struct request *r)
{
    const char *given = request_header(r, "X-Correlation-Id");
    size_t n = given ? strlen(given) : 0;
    if (n > 0 && n <= CORRELATION_MAX && utf8_printable((const uint8_t *)given, n))
        return arena_str(r->arena, given);
    return new_id(r->arena);
}

/* W3C Trace Context, version 00: "00-32 hex-16 hex-2 hex", ids not all zeros. */
static bool trace_fits(const char *s)
{
    static const char shape[] = "00-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";
    if (strlen(s) != TRACEPARENT_TEXT)
        return false;
    for (size_t i = 0; i < TRACEPARENT_TEXT; i++)
        if (shape[i] == 'x' ? !strchr("0123456789abcdef", s[i]) : s[i] != shape[i])
            return false;
    return strspn(s + 3, "0") < 32 && strspn(s + 36, "0") < 16;
}

static const char *trace_of(const struct request *r)
{
    const char *given = request_header(r, "traceparent");
    return given && trace_fits(given) ? arena_str(r->arena, given) : NULL;
}

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    struct buf *forwarded = arg;
    (void)kind;
    if (value && !strcasecmp(name, "X-Forwarded-For"))
        buf_printf(forwarded, "%s%s", forwarded->n ? ", " : "", value);
    return MHD_YES;
}

/* A proxy may append to the client's line, or a line of its own: lines are one list (RFC
 * 9110, 5.3).
 */
static const char *address_of(const struct request *r)
{
    char text[46];
    auto_buf struct buf forwarded;
    buf_init(&forwarded, FORWARDED_MAX);
    MHD_get_connection_values(r->connection, MHD_HEADER_KIND, on_header, &forwarded);
    buf_put(&forwarded, "", 1);
    if (!buf_ok(&forwarded))
        return NULL;
    struct net_address a = net_client(*peer_address(r->peer), (const char *)forwarded.p,
                                      r->gateway->conf.gateway_trusted_proxies);
    net_address_text(&a, text);
    return arena_str(r->arena, text);
}

struct request *request_new(struct gateway *g, struct peer *peer, struct MHD_Connection *c,
                            const char *path, const char *method)
{
    struct arena *a = arena_new(BLOCK_BYTES, REQUEST_ARENA_BYTES);
    struct request *r = a ? arena_get(a, sizeof *r) : NULL;
    if (!r) {
        arena_free(&a);
        return NULL;
    }
    r->gateway = g;
    r->peer = peer;
    r->connection = c;
    r->arena = a;
    r->begun_us = clock_mono_now_us();
    r->error = HTTP_ERRORS;
    r->method = arena_str(a, method);
    r->path = arena_str(a, path);
    r->correlation_id = correlation_of(r);
    r->traceparent = trace_of(r);
    r->address = address_of(r);
    buf_init(&r->raw, 0);
    if (!r->method || !r->path || !r->correlation_id || !r->address) {
        arena_free(&a);
        return NULL;
    }
    r->facts[0] = KV_STR("correlation", r->correlation_id);
    r->cx = (struct cx){.parent = &g->cx, .facts = r->facts};
    return r;
}

void request_free(struct request **p)
{
    struct request *r = take(*p);
    if (!r)
        return;
    if (r->answer.secret && r->answer.body.p)
        sodium_memzero((void *)(uintptr_t)r->answer.body.p, r->answer.body.n);
    if (r->answer.stream)
        MHD_destroy_response(take(r->answer.stream));
    if (r->raw.p)
        sodium_memzero(r->raw.p, r->raw.cap);
    if (r->wiped.p)
        sodium_memzero((void *)(uintptr_t)r->wiped.p, r->wiped.n);
    buf_done(&r->raw);
    json_value_wipe(r->body);
    json_decref(r->body);
    struct arena *a = r->arena;
    arena_free(&a);
}

/* ---- parameters ---- */

struct query {
    struct request *r;
    struct problems *problems;
};

/* The server leaves %2F alone, for the sake of paths; in a query it is a slash like any other. */
static const char *value_text(struct arena *a, const char *value)
{
    char *copy = arena_str(a, value ? value : ""), *to = copy;
    for (const char *at = copy; copy && *at; at++) {
        bool slash = !strncasecmp(at, "%2F", 3);
        *to++ = slash ? '/' : *at;
        at += slash ? 2 : 0;
    }
    if (copy)
        *to = 0;
    return copy;
}

static enum MHD_Result on_query(void *arg, enum MHD_ValueKind kind, const char *key,
                                const char *value)
{
    const struct query *q = arg;
    struct request *r = q->r;
    char place[96];
    (void)kind;
    enum param_id id = route_param(r->route, key, PLACE_QUERY);
    snprintf(place, sizeof place, "query %.64s", key);
    if (!utf8_printable((const uint8_t *)key, strlen(key)))
        (void)problem_add(q->problems, ERR_BAD_INPUT, "query", "has a name that is no text");
    else if (id == PARAMS && route_takes(r->route, PARAM_OTHERS))
        return MHD_YES;
    else if (id == PARAMS)
        (void)problem_add(q->problems, ERR_BAD_INPUT, place, "is not known here");
    else if (r->params[id])
        (void)problem_add(q->problems, ERR_BAD_INPUT, place, "is there twice");
    else if ((r->params[id] = value_text(r->arena, value)))
        (void)!param_check(id, r->params[id], q->problems);
    return MHD_YES;
}

bool request_params(struct request *r, struct problems *problems)
{
    struct query q = {r, problems};
    for (size_t i = 0; i < PARAMS; i++) {
        enum param_id id = (enum param_id)i;
        if (params[i].place == PLACE_HEADER && route_takes(r->route, id))
            r->params[i] = request_header(r, params[i].name);
        if (r->params[i])
            (void)!param_check(id, r->params[i], problems);
    }
    MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, on_query, &q);
    return problems->total == 0;
}

/* ---- answers ---- */

void request_set(struct request *r, const char *name, const char *value)
{
    struct answer *a = &r->answer;
    const char *copy = arena_str(r->arena, value);
    if (copy && a->nheaders < REQUEST_HEADERS_MAX) {
        a->headers[a->nheaders].name = name;
        a->headers[a->nheaders++].value = copy;
    }
}

void request_answer(struct request *r, int status, const char *type, struct bytes body)
{
    if (r->stage == STAGE_ANSWERED)
        return;
    r->answer.status = status;
    r->answer.type = type;
    r->answer.body = body;
    r->stage = STAGE_ANSWERED;
    request_wake(r);
}

void request_answer_stream(struct request *r, const char *type, struct MHD_Response *stream)
{
    if (r->stage == STAGE_ANSWERED) {
        MHD_destroy_response(stream);
        return;
    }
    r->answer.stream = stream;
    request_answer(r, 200, type, (struct bytes){0});
}

static void answer_document(struct request *r, int status, const char *type, json_t *doc)
{
    static const char sorry[] =
        "{\"type\":\"about:blank\",\"title\":\"Out of memory\",\"status\":503,"
        "\"code\":\"memory.exhausted\"}";
    size_t n = doc ? json_dumpb(doc, NULL, 0, JSON_COMPACT) : 0;
    char *text = n ? arena_raw(r->arena, n + 1) : NULL;
    if (text && json_dumpb(doc, text, n, JSON_COMPACT) == n) {
        text[n++] = '\n';
        request_answer(r, status, type, (struct bytes){(const uint8_t *)text, n});
    } else {
        request_answer(r, 503, "application/problem+json",
                       (struct bytes){(const uint8_t *)sorry, sizeof sorry - 1});
    }
    json_decref(doc);
}

void request_answer_json(struct request *r, int status, json_t *body)
{
    answer_document(r, status, "application/json", body);
}

static void answer_problem(struct request *r, const struct problem_json *p)
{
    r->code = arena_str(r->arena, p->code);
    if (r->tell)
        r->tell(r, p);
    else
        answer_document(r, p->status, "application/problem+json", problem_json(p));
}

bool request_fail(struct request *r, enum http_error e, const char *detail, ...)
{
    const struct http_error_row *row = &http_errors[e];
    char text[512];
    va_list args;
    va_start(args, detail);
    vsnprintf(text, sizeof text, detail, args);
    va_end(args);
    r->error = e;
    answer_problem(r, &(struct problem_json){.status = row->status,
                                             .code = row->code,
                                             .title = row->title,
                                             .detail = text,
                                             .hint = row->hint,
                                             .correlation_id = r->correlation_id});
    return false;
}

void request_unasked(struct request *r, const struct err *err)
{
    log_warn(&r->cx, "request.unasked", KV_ERR(err));
    request_set(r, "Retry-After", "2");
    (void)request_fail(r, HTTP_UNAVAILABLE, "the database cannot be asked for the moment");
}

void request_answer_rows(struct request *r, json_t *counts, const char *name, json_t *rows,
                         const char *key, int64_t limit)
{
    size_t n = json_array_size(rows);
    json_t *last = n == (size_t)limit ? json_object_get(json_array_get(rows, n - 1), key) : NULL;
    json_object_set(counts, name, rows);
    json_object_set_new(counts, "cursor", last ? json_incref(last) : json_null());
    request_answer_json(r, 200, counts);
}

void request_fail_problems(struct request *r, const struct problems *problems)
{
    const struct http_error_row *row = &http_errors[HTTP_MALFORMED];
    const struct problem *first = &problems->list[0];
    r->error = HTTP_MALFORMED;
    answer_problem(r, &(struct problem_json){
                          .status = row->status,
                          .code = row->code,
                          .title = row->title,
                          .detail = arena_printf(
                              r->arena, "%s %s%s", *first->place ? first->place : "the body",
                              first->message, problems->total > 1 ? "; and more" : ""),
                          .hint = row->hint,
                          .correlation_id = r->correlation_id,
                          .problems = problems});
}

void request_refuse_with(struct request *r, int status, const char *code, const char *detail,
                         const char *hint, const json_t *more)
{
    answer_problem(r, &(struct problem_json){.status = status,
                                             .code = code,
                                             .title = "Refused",
                                             .detail = detail,
                                             .hint = hint,
                                             .correlation_id = r->correlation_id,
                                             .more = more});
}

void request_refuse(struct request *r, int status, const char *code, const char *detail,
                    const char *hint)
{
    request_refuse_with(r, status, code, detail, hint, NULL);
}

void request_wake(struct request *r)
{
    if (!r->suspended)
        return;
    r->suspended = false;
    server_resume(r->gateway->server, r->connection);
}

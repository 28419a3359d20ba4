#include "gateway/stage.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <sodium.h>

#include "gateway/access.h"
#include "gateway/form.h"
#include "gateway/gateway.h"
#include "gateway/peer.h"

#include "core/clock.h"
#include "core/json_value.h"
#include "core/metric.h"
#include "core/schema.h"

#define FORM "application/x-www-form-urlencoded"

static enum MHD_Result queue_answer(struct request *r)
{
    const struct answer *a = &r->answer;
    bool streams = a->stream != NULL;
    struct MHD_Response *response =
        streams ? take(r->answer.stream)
                : MHD_create_response_from_buffer(a->body.n, (void *)(uintptr_t)a->body.p,
                                                  MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    bool ok = !a->type || MHD_add_response_header(response, "Content-Type", a->type);
    ok = ok && MHD_add_response_header(response, "X-Correlation-Id", r->correlation_id) &&
         MHD_add_response_header(response, "Cache-Control", "no-store") &&
         MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    for (size_t i = 0; ok && i < a->nheaders; i++)
        ok = MHD_add_response_header(response, a->headers[i].name, a->headers[i].value);
    if (ok && *r->gateway->conf.gateway_tls_cert_file)
        ok = MHD_add_response_header(response, "Strict-Transport-Security", "max-age=31536000");
    if (ok && r->gateway->draining)
        ok = MHD_add_response_header(response, "Connection", "close");
    ok = ok && MHD_queue_response(r->connection, (unsigned)a->status, response);
    MHD_destroy_response(response);
    peer_enter(r->peer, streams ? PHASE_WORK : PHASE_ANSWER);
    return ok ? MHD_YES : MHD_NO;
}

static bool wants(const char *accept, const char *type)
{
    size_t slash = strcspn(type, "/");
    if (!strcmp(type, "*/*"))
        return true;
    while (accept && *accept) {
        accept += strspn(accept, ", \t");
        size_t n = strcspn(accept, ",; \t"), all = strcspn(accept, ",");
        const char *q = memmem(accept, all, "q=0", 3);
        bool never = q && strspn(q + 2, "0.") == strcspn(q + 2, ", \t;");
        if (!never && ((n == 3 && !strncmp(accept, "*/*", 3)) ||
                       (n == slash + 2 && !strncasecmp(accept, type, slash + 1) &&
                        accept[slash + 1] == '*') ||
                       (n == strlen(type) && !strncasecmp(accept, type, n))))
            return true;
        accept += all;
    }
    return false;
}

static bool is_type(const char *type, const char *wanted)
{
    size_t n = strlen(wanted);
    return type && !strncasecmp(type, wanted, n) && (!type[n] || strchr("; \t", type[n]));
}

/* 413, 415, 406, while nothing of the body was taken. */
static bool check_head(struct request *r)
{
    const struct route *route = r->route;
    const char *length = request_header(r, "Content-Length"), *accept = request_header(r, "Accept");
    bool has_body = (length && strcmp(length, "0") != 0) || request_header(r, "Transfer-Encoding");
    unsigned long long n = length ? strtoull(length, NULL, 10) : 0;
    if (n > route->body_max || (has_body && !*route->body))
        return request_fail(r, HTTP_BODY_TOO_LARGE, "%s takes at most %zu bytes", route->name,
                            route->body_max);
    const char *taken = route_takes_form(route) ? FORM : "application/json";
    if (has_body && !is_type(request_header(r, "Content-Type"), taken))
        return request_fail(r, HTTP_MEDIA_TYPE, "the body is taken as %s only", taken);
    if (accept && !wants(accept, route->type))
        return request_fail(r, HTTP_NOT_ACCEPTABLE, "this is available as %s", route->type);
    buf_init(&r->raw, route->body_max);
    return true;
}

static void collect(struct request *r, const char *data, size_t n)
{
    buf_put(&r->raw, data, n);
    if (r->overflowed || buf_ok(&r->raw))
        return;
    /* An answer can be given only behind the body; what comes is not kept. */
    r->overflowed = true;
    buf_clear(&r->raw);
}

static bool read_body(struct request *r, struct problems *problems)
{
    struct err err = {0};
    if (!*r->route->body)
        return true;
    const uint8_t *p = r->raw.n ? r->raw.p : (const uint8_t *)"";
    r->body = route_takes_form(r->route) ? form_json(p, r->raw.n, &err)
                                         : json_value_parse(p, r->raw.n, &err);
    sodium_memzero(r->raw.p, r->raw.cap);
    buf_done(&r->raw);
    if (!r->body)
        return problem_add(problems, err.code, "", "%s", err.message);
    const struct schema *schema = schema_find(r->route->body);
    return schema && schema_validate(schema, r->body, problems);
}

static void work(struct request *r)
{
    struct problems problems;
    problems_init(&problems, r->arena);
    if (r->overflowed) {
        (void)request_fail(r, HTTP_BODY_TOO_LARGE, "%s takes at most %zu bytes", r->route->name,
                           r->route->body_max);
        return;
    }
    bool good = request_params(r, &problems);
    if (!read_body(r, &problems) || !good) {
        request_fail_problems(r, &problems);
        return;
    }
    r->stage = STAGE_WORK;
    r->route->handle(r);
}

static void begin(struct request *r)
{
    char allowed[64];
    switch (route_find(r->method, r->path, r->arena, &r->route, r->params, allowed)) {
    case ROUTE_FOUND:
        r->stage = STAGE_ACCESS;
        access_check(r);
        break;
    case ROUTE_METHOD:
        request_set(r, "Allow", allowed);
        (void)request_fail(r, HTTP_METHOD, "%s is not a method of this resource", r->method);
        break;
    case ROUTE_NONE:
        (void)request_fail(r, HTTP_ROUTE_UNKNOWN, "nothing is at this path");
        break;
    }
}

/* What the library is told after each call: answer, sleep, or go on. */
static enum MHD_Result settle(struct request *r)
{
    if (r->stage == STAGE_ANSWERED)
        return queue_answer(r);
    if (r->stage == STAGE_BODY) {
        if (r->reading)
            return MHD_YES;
        r->reading = true;
        peer_enter(r->peer, PHASE_BODY);
        return check_head(r) ? MHD_YES : queue_answer(r);
    }
    peer_enter(r->peer, PHASE_WORK);
    r->suspended = true;
    MHD_suspend_connection(r->connection);
    return MHD_YES;
}

enum MHD_Result stage_request(void *arg, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data, size_t *n,
                              void **context)
{
    struct gateway *g = arg;
    struct request *r = *context;
    (void)version;
    if (!r) {
        struct peer *p = peer_of(c);
        r = p ? request_new(g, p, c, url, method) : NULL;
        if (!r)
            return MHD_NO;
        *context = r;
        begin(r);
        return settle(r);
    }
    if (r->stage == STAGE_BODY && r->reading) {
        if (*n) {
            collect(r, data, *n);
            *n = 0;
            return MHD_YES;
        }
        work(r);
    }
    return settle(r);
}

static void tell(const struct request *r, bool whole)
{
    double seconds = (double)(clock_mono_now_us() - r->begun_us) / 1e6;
    const char *name = r->route ? r->route->name : "none";
    char status[8];
    snprintf(status, sizeof status, "%d", r->answer.status);
    metric_add(METRIC_HTTP_REQUESTS, name, 1);
    metric_add(METRIC_HTTP_ANSWERS, whole ? status : "aborted", 1);
    metric_observe(METRIC_HTTP_SECONDS, name, seconds);
    if (r->route && r->route->rate == RATE_PROBE)
        return;
    log_info(&r->cx, "request.done", KV_STR("route", name), KV_INT("status", r->answer.status),
             KV_STR("code", r->code), KV_BOOL("whole", whole), KV_STR("address", r->address),
             KV_INT("ms", seconds * 1000));
}

void stage_completed(void *arg, struct MHD_Connection *c, void **context,
                     enum MHD_RequestTerminationCode how)
{
    struct request *r = *context;
    (void)arg, (void)c;
    if (!r)
        return;
    tell(r, how == MHD_REQUEST_TERMINATED_COMPLETED_OK && !r->abandoned);
    peer_enter(r->peer, PHASE_IDLE);
    request_free(&r);
    *context = NULL;
}

size_t stage_unescape(void *arg, struct MHD_Connection *c, char *s)
{
    static const char digits[] = "0123456789abcdef";
    char *to = s;
    (void)arg, (void)c;
    for (const char *at = s; *at; at++) {
        const char *high = *at == '%' && at[1] ? strchr(digits, at[1] | 0x20) : NULL;
        const char *low = high && at[2] ? strchr(digits, at[2] | 0x20) : NULL;
        char byte = low ? (char)((high - digits) << 4 | (low - digits)) : 0;
        if (byte && byte != '/') {
            *to++ = byte;
            at += 2;
        } else {
            *to++ = *at;
        }
    }
    *to = 0;
    return (size_t)(to - s);
}

#include "gateway/call.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <sodium.h>

#include "gateway/access.h"
#include "gateway/gateway.h"
#include "gateway/peer.h"
#include "gateway/publish.h"
#include "gateway/reader.h"
#include "gateway/waiter.h"

#include "core/clock.h"
#include "core/compose.h"
#include "core/digest.h"
#include "core/json_value.h"
#include "core/uuid.h"

enum { WAIT_MAX_MS = 300000 };

#define SOURCE "urn:drawbridge:gateway"

struct calling {
    struct request *r;
    struct call call;
    struct waiter *waiter;
    struct message message;
    bool published, answered;
    bool late; /* its time was over before it was known whether Kafka has the command */
};

void call_id(const struct request *r, const char *salt, uint8_t out[static 16])
{
    const char *key = r->params[PARAM_IDEMPOTENCY_KEY], *owner = r->principal->owner;
    uint8_t digest[DIGEST_BYTES];
    if (!key) {
        uuid_random(out);
        return;
    }
    const struct bytes parts[] = {{(const uint8_t *)owner, strlen(owner)},
                                  {(const uint8_t *)key, strlen(key)},
                                  {(const uint8_t *)salt, strlen(salt)}};
    digest16(digest, parts, LEN(parts));
    uuid_of_digest(digest, out);
}

/* RFC 7240: wait=N in seconds, respond-async. */
static int64_t wanted_wait(const struct request *r, int64_t otherwise_ms)
{
    const char *prefer = r->params[PARAM_PREFER];
    const char *wait = prefer ? strcasestr(prefer, "wait=") : NULL;
    if (wait) {
        int64_t s = strtoll(wait + 5, NULL, 10);
        return s < 0 ? 0 : s > WAIT_MAX_MS / 1000 ? WAIT_MAX_MS : s * 1000;
    }
    return prefer && strcasestr(prefer, "respond-async") ? 0 : otherwise_ms;
}

/* ---- outcomes ---- */

static const char *text(const json_t *data, const char *name, const char *otherwise)
{
    const char *s = json_string_value(json_object_get(data, name));
    return s ? s : otherwise;
}

/* Whether the route says that it answers with this status. */
static bool declared(const struct route *route, int wanted)
{
    const char *at = route->answers;
    char schema[64];
    int status;
    while (route_answer(&at, &status, schema))
        if (status == wanted)
            return true;
    return false;
}

/* Workers speak of what is, a route of what may be asked: an unknown user is no missing resource of
 * a start (V-17). */
static int status_of(const struct request *r, const json_t *data, int otherwise)
{
    int status = (int)json_integer_value(json_object_get(data, "status"));
    const char *code = text(data, "code", "");
    if (!strcmp(code, "id.reused"))
        return 409;
    if (status < 400 || status > 599)
        status = otherwise;
    return declared(r->route, status) || status == 403 || status == 429 ? status
           : status == 404                                              ? 403
                                                                        : 409;
}

static void refused(struct calling *c, const json_t *data, int otherwise)
{
    struct request *r = c->r;
    if (c->call.refused && c->call.refused(r, data))
        return;
    const char *code = text(data, "code", "command.refused");
    json_t *workflows = json_object_get(data, "workflows");
    auto_json json_t *more = workflows ? json_pack("{s:O}", "workflows", workflows) : NULL;
    int status = status_of(r, data, otherwise);
    if (status == 429 || status == 503)
        request_set(r, "Retry-After", status == 429 ? "30" : "60");
    if (!strcmp(code, "id.reused"))
        (void)request_fail(r, HTTP_KEY_REUSED, "the key was used for another request");
    else
        request_refuse_with(r, status, code, text(data, "message", "refused"),
                            text(data, "hint", NULL), more);
}

static void accepted(struct calling *c)
{
    struct request *r = c->r;
    if (c->call.undecided) {
        c->call.undecided(r, c->message.command.id);
        return;
    }
    json_object_set_new(c->call.accepted, c->call.id_name ? c->call.id_name : "commandId",
                        json_string(c->message.command.id));
    if (c->call.location)
        request_set(r, "Location", c->call.location);
    request_set(r, "Retry-After", "2");
    request_answer_json(r, 202, take(c->call.accepted));
}

static void forget(struct calling *c)
{
    json_decref(c->call.accepted);
    json_decref(c->call.data);
    message_done(&c->message);
    free(c);
}

static void done(struct calling *c, const char *type, const json_t *data)
{
    c->r->event = arena_str(c->r->arena, type ? type : "");
    c->call.done(c->r, data);
}

static void on_outcome(void *arg, const char *outcome, const char *type, const json_t *data)
{
    struct calling *c = arg;
    struct request *r = c->r;
    peer_watch(r->peer, NULL, NULL);
    c->waiter = NULL;
    if (!outcome && !c->published && !r->abandoned) {
        c->late = true; /* 202 promises that Kafka has it: on_published answers */
        return;
    }
    c->answered = true;
    if (outcome) /* the inbox may have told it before the stream: whoever reads our answer is right
                  */
        gateway_heard(r->gateway, c->message.command.subject, strlen(c->message.command.subject));
    if (!outcome)
        accepted(c);
    else if (!strcmp(outcome, "done"))
        done(c, type, data);
    else if (!strcmp(outcome, "refused"))
        refused(c, data, 409);
    else if (!strcmp(outcome, "dead"))
        refused(c, data, 503);
    else
        request_refuse(r, 409, "command.cancelled", text(data, "reason", "cancelled"),
                       "a newer request took its place, or somebody called it off");
    if (c->published)
        forget(c);
}

static void unpublished(struct calling *c)
{
    if (c->call.undecided) {
        c->call.undecided(c->r, NULL);
        return;
    }
    request_set(c->r, "Retry-After", "5");
    (void)request_fail(c->r, HTTP_UNAVAILABLE,
                       "the command could not be handed over in time; it may still be carried out");
}

/* The outcome may be there before the delivery is reported. */
static void on_published(void *arg, const struct err *failed)
{
    struct calling *c = arg;
    c->published = true;
    if (c->answered) {
        forget(c);
        return;
    }
    if (!failed && c->late) {
        accepted(c);
        forget(c);
        return;
    }
    if (!failed)
        return;
    peer_watch(c->r->peer, NULL, NULL);
    if (c->waiter)
        waiter_drop(take(c->waiter));
    log_warn(&c->r->cx, "command.unpublished", KV_ERR(failed));
    unpublished(c);
    forget(c);
}

/* ---- sending ---- */

static bool compose_call(struct calling *c, struct problems *problems, struct err *err)
{
    struct request *r = c->r;
    uint8_t uuid[UUID_BYTES];
    char id[UUID_TEXT];
    call_id(r, "command", uuid);
    uuid_format(uuid, id);
    json_object_set_new(c->call.data, "requestedBy", principal_json(r->principal));
    return compose(r->arena,
                   &(struct composition){.type = c->call.type,
                                         .id = arena_str(r->arena, id),
                                         .source = SOURCE,
                                         .tenant = r->principal->tenant,
                                         .correlation_id = r->correlation_id,
                                         .traceparent = r->traceparent,
                                         .now_ms = clock_ms(r->gateway->clock),
                                         .data = c->call.data},
                   &c->message, problems, err);
}

/* The command goes its way; the answer ends the request, and nobody reads it. */
static void on_gone(void *arg)
{
    struct calling *c = arg;
    c->r->abandoned = true;
    waiter_give_up(c->waiter);
}

/* Registered first: the outcome cannot slip by. */
static struct waiter *wait_for(struct calling *c)
{
    struct request *r = c->r;
    struct gateway *g = r->gateway;
    c->waiter = waiter_add(g->waiters, c->message.command.id, c->message.command.digest,
                           g->draining ? 0 : wanted_wait(r, c->call.wait_ms), on_outcome, c);
    if (c->waiter) {
        peer_watch(r->peer, on_gone, c);
    } else {
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        forget(c);
    }
    return c->waiter;
}

static void send_it(struct calling *c)
{
    if (wait_for(c))
        publish(c->r->gateway->publisher, &c->message.record, on_published, c);
}

/* It is under way, or has ended: sent again it could count as a new one, on another day. */
static void only_wait(struct calling *c)
{
    c->published = true;
    if (wait_for(c))
        waiters_look(c->r->gateway->waiters);
}

static void on_known(void *arg, json_t *rows, const struct err *err)
{
    struct calling *c = arg;
    char payload[2 * sizeof c->message.command.payload + 1];
    const char *known = json_string_value(json_object_get(json_array_get(rows, 0), "payload"));
    sodium_bin2hex(payload, sizeof payload, c->message.command.payload,
                   sizeof c->message.command.payload);
    if (err) {
        log_warn(&c->r->cx, "request.unasked", KV_ERR(err));
        request_set(c->r, "Retry-After", "2");
        (void)request_fail(c->r, HTTP_UNAVAILABLE, "the database cannot be asked for the moment");
        forget(c);
    } else if (!known) {
        send_it(c);
    } else if (!strcmp(known, payload)) {
        only_wait(c);
    } else {
        (void)request_fail(c->r, HTTP_KEY_REUSED, "the key was used for another request");
        forget(c);
    }
}

static void ask_whether_known(struct calling *c)
{
    struct args a;
    args_init(&a);
    args_bytes(&a, c->message.command.digest, sizeof c->message.command.digest);
    args_time(&a, clock_ms(c->r->gateway->clock));
    args_int8(&a, c->r->gateway->conf.inbox_horizon);
    reader_ask(c->r->gateway->reader, SQL_COMMAND_KNOWN, &a, on_known, c);
    args_done(&a);
}

void call_send(struct request *r, const struct call *call)
{
    struct problems problems;
    struct err err = {0};
    struct calling *c = calloc(1, sizeof *c); /* the delivery may be told after the answer */
    problems_init(&problems, r->arena);
    if (!c) {
        json_decref(call->data);
        json_decref(call->accepted);
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    *c = (struct calling){.r = r, .call = *call};
    if (!compose_call(c, &problems, &err)) {
        if (problems.total)
            request_fail_problems(r, &problems);
        else
            (void)request_fail(r, HTTP_INTERNAL, "the command cannot be composed");
        forget(c);
    } else if (r->params[PARAM_IDEMPOTENCY_KEY]) {
        ask_whether_known(c);
    } else {
        send_it(c);
    }
}

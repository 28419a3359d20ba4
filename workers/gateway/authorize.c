/* How a person is asked to authorize a connection (O-03, O-13): in a browser, by a URL with a state
 * that is good once and ends; or at another device, by a code. */
#include "gateway/access.h"
#include "gateway/binding.h"
#include "gateway/call.h"
#include "gateway/gateway.h"
#include "gateway/handlers.h"
#include "gateway/organisation.h"
#include "gateway/reader.h"

#include <sodium.h>
#include <string.h>

#include "core/json_value.h"
#include "drivers/oauth_begin.h"
#include "drivers/provider_table.h"

enum { WAIT_MS = 30000, DEVICE_WAIT_MS = 20000, LOOK_MS = 200 };

struct authorizing {
    struct request *r;
    const char *org, *name, *id;
    const char *url, *state;
    int64_t until_ms;
    /* By a device: the row is looked at until it has the code. */
    const char *command; /* its id; NULL: it has ended */
    uv_timer_t *look;
    int64_t give_up_us, revision;
};

static void refuse_unknown(struct request *r)
{
    request_refuse(r, 404, "connection.unknown", "there is no such connection",
                   "list them: GET /api/oauth/connections");
}

/* The organisation's own, not that of GLOBAL; NULL: answered. */
static json_t *own_row(const struct authorizing *a, json_t *rows, const struct err *err)
{
    json_t *row = json_array_get(rows, 0);
    const char *org = json_member_text(row, "org");
    if (err)
        request_unasked(a->r, err);
    else if (!org || strcmp(org, a->org) != 0)
        refuse_unknown(a->r);
    else
        return row;
    return NULL;
}

static void ask_row(struct authorizing *a, reader_fn *done)
{
    struct args args;
    args_init(&args);
    args_text(&args, a->org);
    args_text(&args, a->name);
    reader_ask(a->r->gateway->reader, SQL_CONNECTION_SHOW, &args, done, a);
    args_done(&args);
}

static json_t *accepted(const struct authorizing *a)
{
    return json_pack("{s:s}", "connection_id", a->id);
}

static const char *location_of(const struct authorizing *a)
{
    return arena_printf(a->r->arena, "/api/oauth/connections/%s?org=%s", a->name, a->org);
}

static const char *time_text(struct request *r, int64_t ms)
{
    char out[25];
    clock_format(ms, out);
    return arena_str(r->arena, out);
}

/* ---- in a browser ---- */

static void on_begun(struct request *r, const json_t *data)
{
    const struct authorizing *a = r->work;
    (void)data;
    r->answer.secret = true;
    request_answer_json(r, 200,
                        json_pack("{s:s, s:s, s:s*, s:s}", "connection_id", a->id,
                                  "authorization_url", a->url, "state", a->state, "expires_at",
                                  time_text(r, a->until_ms)));
}

static void on_state(void *arg, json_t *rows, const struct err *err)
{
    struct authorizing *a = arg;
    (void)rows;
    if (err) {
        request_unasked(a->r, err);
        return;
    }
    a->r->work = a;
    call_send(a->r, &(struct call){.type = "connection.authorize",
                                   .data = json_pack("{s:s, s:s}", "connectionId", a->id, "until",
                                                     time_text(a->r, a->until_ms)),
                                   .wait_ms = WAIT_MS,
                                   .done = on_begun,
                                   .location = location_of(a),
                                   .accepted = accepted(a),
                                   .id_name = "command_id"});
}

/* The state in the URL; NULL: there is none. */
static const char *state_in(struct arena *arena, const char *url)
{
    const char *at = strchr(url, '?');
    while (at && strncmp(at + 1, "state=", 6) != 0)
        at = strchr(at + 1, '&');
    return at ? arena_strn(arena, at + 7, strcspn(at + 7, "&#")) : NULL;
}

static void add_state(struct authorizing *a, const json_t *row, const struct oauth_begun *begun)
{
    struct request *r = a->r;
    uint8_t id[UUID_BYTES], binding[BINDING_DIGEST];
    struct args args;
    if (!uuid_parse(begun->id, strlen(begun->id), id)) {
        (void)request_fail(r, HTTP_INTERNAL, "the state cannot be named");
        return;
    }
    bool bound = binding_begin(r, binding);
    args_init(&args);
    args_bytes(&args, id, sizeof id);
    args_bytes(&args, begun->digest, sizeof begun->digest);
    args_text(&args, a->id);
    args_int8(&args, json_integer_value(json_object_get(row, "config_version")));
    args_text(&args, r->principal->owner);
    args_bytes(&args, bound ? binding : NULL, sizeof binding);
    args_bytes(&args, begun->verifier.p, begun->verifier.n);
    args_text(&args, json_member_text(row, "redirect_uri"));
    args_text(&args, json_member_text(row, "issuer"));
    args_time(&args, clock_ms(r->gateway->clock));
    args_time(&args, begun->until_ms);
    reader_ask(r->gateway->reader, SQL_OAUTH_STATE_ADD, &args, on_state, a);
    args_done(&args);
}

static const struct provider *provider_of(const json_t *row)
{
    struct err ignored = {0};
    const struct provider_list *all = provider_table(&ignored);
    const char *named = json_member_text(row, "provider");
    const struct provider *p = all && named ? provider_by_id(all, named) : NULL;
    return p || !all ? p
                     : provider_find(all, json_member_text(row, "token_url"),
                                     json_member_text(row, "authorization_url"));
}

static void begin(struct authorizing *a, const json_t *row)
{
    struct request *r = a->r;
    struct err err = {0};
    auto_oauth_begun struct oauth_begun begun = {0};
    const struct provider *p = provider_of(row);
    const struct oauth_authorize at = {.authorization_url =
                                           json_member_text(row, "authorization_url"),
                                       .client_id = json_member_text(row, "client_id"),
                                       .redirect_uri = json_member_text(row, "redirect_uri"),
                                       .scopes = json_member_text(row, "scopes")};
    if (!p || !at.authorization_url || !at.redirect_uri) {
        request_refuse(r, 409, "connection.invalid", "the connection lacks what its flow needs",
                       "give it authorization_url and redirect_uri: PUT");
        return;
    }
    bool ok = oauth_begin(access_sealer(r->gateway->access), p, &at, clock_ms(r->gateway->clock),
                          &begun, &err);
    a->url = ok ? arena_strn(r->arena, (const char *)begun.url.p, begun.url.n) : NULL;
    a->state = a->url ? state_in(r->arena, a->url) : NULL;
    a->until_ms = begun.until_ms;
    if (a->state)
        r->wiped = (struct bytes){(const uint8_t *)a->url, strlen(a->url)};
    if (a->state)
        add_state(a, row, &begun);
    else
        request_refuse(r, 409, "connection.invalid",
                       ok ? "its authorization URL cannot be made" : err.message,
                       "correct its authorization_url, client_id or scopes: PUT");
}

/* ---- at another device ---- */

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void answer_under_way(const struct authorizing *a)
{
    request_set(a->r, "Location", location_of(a));
    request_set(a->r, "Retry-After", "2");
    request_answer_json(a->r, 202,
                        json_pack("{s:s, s:s}", "connection_id", a->id, "command_id", a->command));
}

/* The code in the row, while it is good. */
static const char *code_in(const struct request *r, const json_t *row)
{
    const char *until = json_member_text(row, "waiting_until");
    int64_t until_ms = 0;
    bool good = until && clock_parse(until, strlen(until), &until_ms) &&
                until_ms > clock_ms(r->gateway->clock);
    return good ? json_member_text(row, "user_code") : NULL;
}

static void refuse_device(struct request *r, const json_t *row)
{
    const char *why = json_member_text(row, "status_message");
    request_refuse(r, 409, "connection.device", why ? why : "it ended before there was a code",
                   "see whether the provider offers the device flow to this client");
}

/* It has the code, or says why there will be none. */
static void on_looked(void *arg, json_t *rows, const struct err *err)
{
    struct authorizing *a = arg;
    struct request *r = a->r;
    const json_t *row = json_array_get(rows, 0);
    const char *code = code_in(r, row), *status = json_member_text(row, "status");
    bool moved = json_integer_value(json_object_get(row, "revision")) != a->revision;
    bool failed = row && moved && status && !strcmp(status, "failed");
    if (code)
        request_answer_json(r, 200,
                            json_pack("{s:s, s:s, s:s*, s:s}", "connection_id", a->id, "user_code",
                                      code, "verification_uri",
                                      json_member_text(row, "verification_uri"), "expires_at",
                                      json_member_text(row, "waiting_until")));
    else if (!err && (failed || !a->command))
        refuse_device(r, row);
    else if (err && !a->command)
        request_unasked(r, err);
    else if (clock_mono_now_us() >= a->give_up_us || r->gateway->draining)
        answer_under_way(a);
    else
        uv_timer_again(a->look);
    if (r->stage == STAGE_ANSWERED && a->look)
        uv_close((uv_handle_t *)take(a->look), on_closed);
}

static void on_look(uv_timer_t *timer)
{
    uv_timer_stop(timer); /* until there is an answer */
    ask_row(timer->data, on_looked);
}

/* Kafka has the command, which lasts until the person is done. */
static void on_device_begun(struct request *r, const char *command)
{
    struct authorizing *a = r->work;
    a->command = command ? arena_str(r->arena, command) : NULL;
    a->look = a->command ? malloc(sizeof *a->look) : NULL;
    if (!a->look) {
        request_set(r, "Retry-After", "5");
        (void)request_fail(r, HTTP_UNAVAILABLE, "the command could not be handed over in time");
        return;
    }
    a->give_up_us = clock_mono_now_us() + DEVICE_WAIT_MS * 1000;
    uv_timer_init(&r->gateway->loop, a->look);
    a->look->data = a;
    uv_timer_start(a->look, on_look, LOOK_MS, LOOK_MS);
}

/* It is over already. */
static void on_device_ended(struct request *r, const json_t *data)
{
    (void)data;
    ask_row(r->work, on_looked);
}

static void begin_device(struct authorizing *a, const json_t *row)
{
    struct request *r = a->r;
    a->revision = json_integer_value(json_object_get(row, "revision"));
    r->work = a;
    call_send(
        r, &(struct call){
               .type = "connection.authorize",
               .data = json_pack("{s:s, s:b, s:s}", "connectionId", a->id, "device", 1, "until",
                                 time_text(r, clock_ms(r->gateway->clock) + OAUTH_BEGIN_LIFE_MS)),
               .done = on_device_ended,
               .undecided = on_device_begun});
}

/* ---- either ---- */

static void on_row(void *arg, json_t *rows, const struct err *err)
{
    struct authorizing *a = arg;
    struct request *r = a->r;
    const json_t *row = own_row(a, rows, err);
    const char *flow = json_member_text(row, "oauth_flow_type"), *device = r->params[PARAM_DEVICE];
    if (!row)
        return;
    if (!flow || strcmp(flow, "authorization_code") != 0)
        request_refuse(r, 400, "connection.flow", "nobody authorizes a connection of this flow",
                       "it gets its tokens by itself");
    else if (device && !strcmp(device, "true"))
        begin_device(a, row);
    else
        begin(a, row);
}

void handle_connection_authorize(struct request *r)
{
    struct authorizing *a = arena_get(r->arena, sizeof *a);
    if (!a) {
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    *a = (struct authorizing){.r = r,
                              .org = organisation_of(r, r->params[PARAM_ORG]),
                              .name = r->params[PARAM_CONNECTION_NAME]};
    a->id = a->org ? organisation_id(r, a->org, a->name) : NULL;
    if (a->id)
        ask_row(a, on_row);
}

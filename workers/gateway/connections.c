/* OAuth connections over HTTP (O-02): described, changed, deleted, tested, renewed. A secret that
 * comes with a request is sealed into a row of its own before the command that names it is sent
 * (ADR 0014), and no answer has one. Who begins to authorize one: authorize.c. */
#include "gateway/access.h"
#include "gateway/call.h"
#include "gateway/gateway.h"
#include "gateway/handlers.h"
#include "gateway/organisation.h"
#include "gateway/secret_row.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/json_value.h"
#include "core/uuid.h"
#include "drivers/provider_table.h"
#include "store/token_hash.h"

enum { WAIT_MS = 30000, LIMIT_DEFAULT = 50 };

/* ---- one connection ---- */

/* What is asked about one: its row is the answer. */
struct asking {
    struct request *r;
    const char *org, *name;
    int status;
};

/* Whoever enters the code of a device first, with an account of their own, has the connection: it
 * is for those whose it is, and not for all who may use it. */
static void hide_code(const struct request *r, json_t *row)
{
    const char *org = json_member_text(row, "org");
    bool own = org && strcmp(org, ORGANISATION_GLOBAL) != 0 &&
               !strcmp(org, organisation_own(r->principal));
    if (row && !own && !organisation_any(r->principal))
        json_object_set_new(row, "user_code", json_null());
}

static void on_row(void *arg, json_t *rows, const struct err *err)
{
    struct asking *a = arg;
    json_t *row = json_array_get(rows, 0);
    hide_code(a->r, row);
    if (err)
        request_unasked(a->r, err);
    else if (!row)
        request_refuse(a->r, 404, "connection.unknown", "there is no such connection",
                       "list them: GET /api/oauth/connections");
    else
        request_answer_json(a->r, a->status, json_pack("{s:O}", "connection", row));
}

static void answer_connection(struct request *r, const char *org, const char *name, int status)
{
    struct asking *asking = arena_get(r->arena, sizeof *asking);
    struct args a;
    if (!asking) {
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    *asking = (struct asking){r, org, name, status};
    args_init(&a);
    args_text(&a, org);
    args_text(&a, name);
    reader_ask(r->gateway->reader, SQL_CONNECTION_SHOW, &a, on_row, asking);
    args_done(&a);
}

void handle_connection_show(struct request *r)
{
    const char *org = organisation_of(r, r->params[PARAM_ORG]);
    if (org)
        answer_connection(r, org, r->params[PARAM_CONNECTION_NAME], 200);
}

/* ---- commands ---- */

/* Which one a command is about. */
struct target {
    const char *org, *name, *id;
};

static bool target_of(struct request *r, const char *org, const char *name, struct target *out)
{
    *out = (struct target){.org = organisation_of(r, org), .name = name};
    out->id = out->org ? organisation_id(r, out->org, name) : NULL;
    return out->id;
}

static const char *location_of(struct request *r, const struct target *t)
{
    return arena_printf(r->arena, "/api/oauth/connections/%s?org=%s", t->name, t->org);
}

/* As it stands now that the command is done. */
static void on_done(struct request *r, const json_t *data)
{
    const struct target *t = r->work;
    bool created = r->route == &routes[ROUTE_connection_create];
    (void)data;
    if (created)
        request_set(r, "Location", location_of(r, t));
    answer_connection(r, t->org, t->name, created ? 201 : 200);
}

/* data is taken over; t outlives the request's work. */
static void connection_send(struct request *r, const char *type, const struct target *t,
                            json_t *data, void (*done)(struct request *r, const json_t *data))
{
    json_object_set_new(data, "connectionId", json_string(t->id));
    r->work = (void *)(uintptr_t)t;
    call_send(r, &(struct call){.type = type,
                                .data = data,
                                .wait_ms = WAIT_MS,
                                .done = done,
                                .location = location_of(r, t),
                                .accepted = json_pack("{s:s}", "connection_id", t->id),
                                .id_name = "command_id"});
}

/* The connection in the path; NULL: answered. */
static const struct target *path_target(struct request *r)
{
    struct target *t = arena_get(r->arena, sizeof *t);
    if (!t)
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
    else if (target_of(r, r->params[PARAM_ORG], r->params[PARAM_CONNECTION_NAME], t))
        return t;
    return NULL;
}

void handle_connection_test(struct request *r)
{
    const struct target *t = path_target(r);
    if (t)
        connection_send(r, "connection.test", t, json_object(), on_done);
}

void handle_connection_refresh(struct request *r)
{
    const struct target *t = path_target(r);
    if (t)
        connection_send(r, "connection.refresh", t, json_object(), on_done);
}

static void on_deleted(struct request *r, const json_t *data)
{
    const struct target *t = r->work;
    json_t *workflows = json_object_get(data, "workflows");
    request_answer_json(r, 200,
                        json_pack("{s:s, s:s*, s:o}", "connection_id", t->id, "status_message",
                                  json_string_value(json_object_get(data, "message")),
                                  "disabled_workflows",
                                  workflows ? json_incref(workflows) : json_array()));
}

void handle_connection_delete(struct request *r)
{
    const struct target *t = path_target(r);
    const char *confirm = r->params[PARAM_CONFIRM_DISABLE];
    if (!t)
        return;
    json_t *data =
        json_pack("{s:b, s:s*}", "confirmDisableWorkflows", confirm && !strcmp(confirm, "true"),
                  "reason", r->params[PARAM_REASON]);
    connection_send(r, "connection.delete", t, data, on_deleted);
}

/* ---- put ---- */

static const struct {
    const char *ours, *commands;
} fields[] = {
    {"oauth_flow_type", "flow"},
    {"provider", "provider"},
    {"client_id", "clientId"},
    {"client_auth", "clientAuth"},
    {"authorization_url", "authorizationUrl"},
    {"token_url", "tokenUrl"},
    {"issuer", "issuer"},
    {"redirect_uri", "redirectUri"},
    {"scopes", "scopes"},
    {"if_revision", "ifRevision"},
};

static const struct {
    const char *kind; /* of the row, and the member of the body */
    const char *command;
} secrets[] = {
    {"client_secret", "clientSecretId"},
    {"private_key", "privateKeyId"},
    {"refresh_token", "refreshTokenId"},
};

/* A put whose secrets become rows, one after the other. */
struct putting {
    struct request *r;
    struct target target;
    json_t *data;
    size_t next; /* of its secrets */
    uint8_t id[UUID_BYTES];
};

static void put_next(struct putting *p);

static void on_secret(void *arg, json_t *rows, const struct err *err)
{
    struct putting *p = arg;
    char id[UUID_TEXT];
    (void)rows; /* no row: the request is repeated, and its secret is there */
    if (err) {
        request_unasked(p->r, err);
        json_decref(take(p->data));
        return;
    }
    uuid_format(p->id, id);
    json_object_set_new(p->data, secrets[p->next++].command, json_string(id));
    put_next(p);
}

/* With an Idempotency-Key it is the secret's own: another one makes another command, and so is told
 * from a repetition. Nobody guesses the secret by it: that takes the pepper. */
static void secret_id(const struct request *r, const char *kind, const char *value,
                      uint8_t out[static UUID_BYTES])
{
    const struct peppers *peppers = access_peppers(r->gateway->access);
    uint8_t hmac[TOKEN_HMAC];
    char salt[2 * TOKEN_HMAC + 32];
    token_hmac(peppers, peppers_newest(peppers), value, strlen(value), hmac);
    sodium_bin2hex(salt, 2 * sizeof hmac + 1, hmac, sizeof hmac);
    snprintf(salt + strlen(salt), sizeof salt - strlen(salt), "/%s", kind);
    call_id(r, salt, out);
}

static void put_next(struct putting *p)
{
    struct request *r = p->r;
    for (; p->next < LEN(secrets); p->next++) {
        json_t *value = json_object_get(r->body, secrets[p->next].kind);
        if (!value)
            continue;
        secret_id(r, secrets[p->next].kind, json_string_value(value), p->id);
        secret_row_add(r, p->id, p->target.id, secrets[p->next].kind, json_string_value(value),
                       on_secret, p);
        json_value_wipe(value); /* no longer in memory that is not guarded than it must be */
        return;
    }
    connection_send(r, "connection.put", &p->target, take(p->data), on_done);
}

static bool knows_provider(const char *id)
{
    struct err ignored = {0};
    const struct provider_list *all = provider_table(&ignored);
    return all && provider_by_id(all, id);
}

static bool has_one(const json_t *body, const char *a, const char *b)
{
    return json_object_get(body, a) || json_object_get(body, b);
}

/* What a new one's flow lives on (O-01). */
static void check_flow(const json_t *body, struct problems *problems)
{
    const char *flow = json_member_text(body, "oauth_flow_type");
    if (!strcmp(flow, "authorization_code") && !json_object_get(body, "authorization_url"))
        (void)problem_add(problems, ERR_BAD_INPUT, "/authorization_url", "is missing: %s needs it",
                          flow);
    if (!strcmp(flow, "authorization_code") && !json_object_get(body, "redirect_uri"))
        (void)problem_add(problems, ERR_BAD_INPUT, "/redirect_uri", "is missing: %s needs it",
                          flow);
    if (!strcmp(flow, "client_credentials") && !has_one(body, "client_secret", "private_key"))
        (void)problem_add(problems, ERR_BAD_INPUT, "/client_secret",
                          "is missing: %s needs it, or private_key", flow);
    if (!strcmp(flow, "refresh_token") && !json_object_get(body, "refresh_token"))
        (void)problem_add(problems, ERR_BAD_INPUT, "/refresh_token", "is missing: %s needs it",
                          flow);
}

/* False: answered. */
static bool is_whole(struct request *r, bool create)
{
    struct problems problems;
    const char *provider = json_member_text(r->body, "provider");
    problems_init(&problems, r->arena);
    if (create)
        check_flow(r->body, &problems);
    if (provider && !knows_provider(provider))
        (void)problem_add(&problems, ERR_BAD_INPUT, "/provider",
                          "is none that is known; left out, it is found by the URLs");
    if (problems.total)
        request_fail_problems(r, &problems);
    return !problems.total;
}

static json_t *data_of(const json_t *body, bool create)
{
    json_t *data = json_object();
    if (create)
        json_object_set_new(data, "create", json_true());
    for (size_t i = 0; i < LEN(fields); i++) {
        json_t *value = json_object_get(body, fields[i].ours);
        if (value)
            json_object_set(data, fields[i].commands, value);
    }
    return data;
}

static void put(struct request *r, const char *org, const char *name)
{
    bool create = r->route == &routes[ROUTE_connection_create];
    struct putting *p = arena_get(r->arena, sizeof *p);
    if (!p) {
        (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    p->r = r;
    if (!is_whole(r, create) || !target_of(r, org, name, &p->target))
        return;
    p->data = data_of(r->body, create);
    put_next(p);
}

void handle_connection_create(struct request *r)
{
    put(r, json_member_text(r->body, "org"), json_member_text(r->body, "connection_name"));
}

void handle_connection_update(struct request *r)
{
    put(r, r->params[PARAM_ORG], r->params[PARAM_CONNECTION_NAME]);
}

/* ---- all of them ---- */

struct listing {
    struct request *r;
    int64_t limit;
};

static void on_list(void *arg, json_t *rows, const struct err *err)
{
    struct listing *l = arg;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) hide_code(l->r, row);
    if (err)
        request_unasked(l->r, err);
    else
        request_answer_rows(l->r, json_object(), "connections", rows, "connection_id", l->limit);
}

/* Of all organisations only for who acts for all, and only when none is named. */
void handle_connection_list(struct request *r)
{
    const char *named = r->params[PARAM_ORG], *limit = r->params[PARAM_LIMIT];
    const char *global = r->params[PARAM_INCLUDE_GLOBAL];
    const char *org = organisation_of(r, named);
    struct listing *l = org ? arena_get(r->arena, sizeof *l) : NULL;
    struct args a;
    if (!l) {
        if (org)
            (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    *l = (struct listing){r, limit ? strtoll(limit, NULL, 10) : LIMIT_DEFAULT};
    args_init(&a);
    args_text(&a, !named && organisation_any(r->principal) ? NULL : org);
    args_bool(&a, global && !strcmp(global, "true"));
    args_int4(&a, (int32_t)l->limit);
    args_text(&a, r->params[PARAM_CONNECTION_CURSOR]);
    reader_ask(r->gateway->reader, SQL_CONNECTION_LIST, &a, on_list, l);
    args_done(&a);
}

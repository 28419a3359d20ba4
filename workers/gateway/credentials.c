#include "gateway/credentials.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "gateway/access.h"
#include "gateway/call.h"
#include "gateway/gateway.h"
#include "gateway/handlers.h"
#include "gateway/organisation.h"
#include "gateway/reader.h"
#include "gateway/recent.h"
#include "gateway/recorder.h"

#include "core/json_value.h"
#include "core/murmur2.h"
#include "core/seal.h"
#include "domain/connection.h"
#include "domain/sealed_place.h"

enum {
    ROWS = 1024,
    NOTED = 4096,
    NOTED_US = 60000000, /* a dependency that was noted is not noted again for so long */
    NOTE_WAIT_MS = 2000,
    ANSWER_MORE = 4096, /* bytes of an answer beside the token and its scopes */
};

struct credentials {
    struct recent *recent;
    /* Dependencies that were handed over a moment ago, and may not be carried out yet: so those who
     * come meanwhile do not hand over a thousand more. By hash: one that is taken for another is
     * noted a minute later. */
    struct {
        uint64_t pair;
        int64_t at_us;
    } noted[NOTED];
};

struct credentials *credentials_new(struct gateway *g, struct err *err)
{
    struct credentials *c = calloc(1, sizeof *c);
    (void)g;
    if (!c)
        (void)err_set(err, ERR_NO_MEMORY, "credentials");
    else
        c->recent = recent_new(ROWS, err);
    return c && c->recent ? c : NULL; /* without, the process ends */
}

void credentials_heard(struct credentials *c, const char *subject, size_t n)
{
    recent_heard(c->recent, subject, n, clock_mono_now_us());
}

struct giving {
    struct request *r;
    struct recent_key key;
    struct recent_credential found; /* in the arena */
    int64_t asked_us;
    bool there, ready, disabled, depends, unread;
    const char *why, *disabled_why; /* not ready; disabled */
    const char *reason;             /* of that, for programs */
    enum connection_status status;
};

/* ---- giving ---- */

static void put_text(struct buf *b, const char *name, const char *value)
{
    buf_printf(b, ",\"%s\":", name);
    if (value)
        buf_json_str(b, value, strlen(value));
    else
        buf_str(b, "null");
}

/* Written by hand: the token is in one place, which is wiped when it was sent. */
static void put_credential(struct buf *b, const struct recent_credential *c,
                           const struct secret *token)
{
    char until[25];
    buf_str(b, "{\"connection_id\":");
    buf_json_str(b, c->id, strlen(c->id));
    buf_str(b, ",\"access_token\":");
    buf_json_str(b, (const char *)secret_view(token), secret_size(token));
    put_text(b, "token_type", c->token_type ? c->token_type : "Bearer");
    if (c->expires_ms)
        clock_format(c->expires_ms, until);
    put_text(b, "expires_at", c->expires_ms ? until : NULL);
    put_text(b, "scopes", c->scopes);
    buf_str(b, ",\"generation\":");
    buf_int(b, c->generation);
    buf_str(b, "}\n");
}

static void give(struct request *r, const struct recent_credential *c)
{
    char place[SEALED_PLACE_MAX];
    struct err err = {0};
    struct buf b;
    sealed_place(PLACE_CONNECTION_TOKEN, c->id, place);
    auto_secret struct secret *token =
        unseal(access_sealer(r->gateway->access), place, c->sealed.p, c->sealed.n, &err);
    size_t room =
        token ? 6 * secret_size(token) + ANSWER_MORE + 6 * (c->scopes ? strlen(c->scopes) : 0) : 0;
    char *text = token ? arena_raw(r->arena, room) : NULL;
    if (!text) {
        log_error(&r->cx, "credential.unopened", KV_STR("connection", c->id), KV_ERR(&err));
        request_set(r, "Retry-After", "5");
        (void)request_fail(r, HTTP_UNAVAILABLE, "the token cannot be opened for the moment");
        return;
    }
    buf_init_fixed(&b, text, room);
    put_credential(&b, c, token);
    record_credential(r, c->id);
    r->answer.secret = true;
    request_answer(r, 200, "application/json", (struct bytes){(const uint8_t *)text, b.n});
}

/* ---- not giving ---- */

/* Whether it may be there soon by itself, or somebody has to do something. */
static const char *retry_after(enum connection_status s)
{
    switch (s) {
    case CONNECTION_TESTING:
    case CONNECTION_COMPLETED:
        return "2";
    case CONNECTION_WAITING_CALLBACK:
        return "15";
    case CONNECTION_NOT_CONNECTED:
    case CONNECTION_FAILED:
    case CONNECTION_STATUSES:
        break;
    }
    return "60";
}

static void refuse_unready(const struct giving *g)
{
    struct request *r = g->r;
    auto_json json_t *more = json_pack("{s:s}", "reason", g->reason);
    record_no_credential(r, g->found.id, "not_ready");
    request_set(r, "Retry-After", retry_after(g->status));
    request_refuse_with(r, 503, "connection.not_ready", g->why,
                        "see its status: GET /api/oauth/connections/NAME; or authorize it anew",
                        more);
}

/* ---- a workflow's dependency ---- */

static uint64_t pair_of(const struct giving *g)
{
    uint64_t connection = murmur2(g->found.id, strlen(g->found.id));
    return connection << 32 | murmur2(g->key.workflow, strlen(g->key.workflow));
}

/* True once a minute for each. */
static bool is_to_be_noted(const struct giving *g)
{
    struct credentials *c = g->r->gateway->credentials;
    uint64_t pair = pair_of(g);
    size_t at = (pair ^ pair >> 32) % NOTED;
    int64_t now = clock_mono_now_us();
    if (c->noted[at].pair == pair && c->noted[at].at_us && now - c->noted[at].at_us < NOTED_US)
        return false;
    c->noted[at].pair = pair;
    c->noted[at].at_us = now;
    return true;
}

static void on_noted(struct request *r, const json_t *data)
{
    const struct giving *g = r->work;
    (void)data;
    give(r, &g->found);
}

/* It is under way; or Kafka is not there, and the next use notes it. Who has a right to a
 * credential does not wait for that. */
static void on_unnoted(struct request *r, const char *command)
{
    const struct giving *g = r->work;
    struct credentials *c = r->gateway->credentials;
    uint64_t pair = pair_of(g);
    if (!command)
        c->noted[(pair ^ pair >> 32) % NOTED].at_us = 0;
    give(r, &g->found);
}

/* What keeps it from being noted is no reason to withhold the credential, unless the connection has
 * gone meanwhile. */
static bool on_not_noted(struct request *r, const json_t *data)
{
    const struct giving *g = r->work;
    const char *code = json_string_value(json_object_get(data, "code"));
    if (code && !strcmp(code, "connection.unknown"))
        return false;
    log_warn(&r->cx, "credential.not_noted", KV_STR("workflow", g->key.workflow),
             KV_STR("connection", g->found.id), KV_STR("why", code ? code : "unknown"));
    give(r, &g->found);
    return true;
}

static void note(struct giving *g)
{
    g->r->work = g;
    call_send(g->r, &(struct call){.type = "workflow.depend",
                                   .data = json_pack("{s:s, s:s}", "workflowId", g->key.workflow,
                                                     "connectionId", g->found.id),
                                   .wait_ms = NOTE_WAIT_MS,
                                   .done = on_noted,
                                   .refused = on_not_noted,
                                   .undecided = on_unnoted});
}

/* ---- asking ---- */

enum { /* columns of connection_credential */
       COL_ID,
       COL_FLOW,
       COL_STATUS,
       COL_REASON,
       COL_MESSAGE,
       COL_COMPLETED,
       COL_DELETING,
       COL_EXPIRES,
       COL_TOKEN_TYPE,
       COL_GRANTED,
       COL_GENERATION,
       COL_DISABLED,
       COL_DISABLED_WHY,
       COL_DEPENDS,
       COL_ACCESS,
};

static const char *copy(struct giving *g, const PGresult *rows, int col)
{
    const char *s = pg_text(rows, 0, col);
    const char *kept = s ? arena_str(g->r->arena, s) : NULL;
    g->unread = g->unread || (s && !kept);
    return kept;
}

static void read_connection(struct giving *g, const PGresult *rows)
{
    struct bytes sealed = pg_bytes(rows, 0, COL_ACCESS);
    struct connection c = {.id = copy(g, rows, COL_ID),
                           .message = copy(g, rows, COL_MESSAGE),
                           .completed_ms = pg_time(rows, 0, COL_COMPLETED),
                           .deleting = pg_int8(rows, 0, COL_DELETING),
                           .expires_ms = pg_time(rows, 0, COL_EXPIRES),
                           .has_access = sealed.p != NULL};
    const char *reason = pg_text(rows, 0, COL_REASON);
    bool known = connection_flow_parse(pg_text(rows, 0, COL_FLOW), &c.flow) &&
                 connection_status_parse(pg_text(rows, 0, COL_STATUS), &c.status) &&
                 connection_reason_parse(reason, &c.reason);
    g->ready = known && connection_ready(&c, clock_ms(g->r->gateway->clock), &g->why);
    g->status = c.status;
    g->reason = connection_reason_name(c.reason) ? connection_reason_name(c.reason)
                                                 : connection_status_name(c.status);
    g->found = (struct recent_credential){
        .id = c.id,
        .token_type = copy(g, rows, COL_TOKEN_TYPE),
        .scopes = copy(g, rows, COL_GRANTED),
        .expires_ms = c.expires_ms,
        .generation = pg_int8(rows, 0, COL_GENERATION),
        .sealed = {sealed.p ? arena_copy(g->r->arena, sealed.p, sealed.n) : NULL, sealed.n}};
    g->unread = g->unread || !known || (sealed.p && !g->found.sealed.p);
}

static void on_row(void *arg, const PGresult *rows)
{
    struct giving *g = arg;
    g->there = PQntuples(rows) == 1 && !PQgetisnull(rows, 0, COL_ID);
    g->disabled = PQntuples(rows) == 1 && pg_int8(rows, 0, COL_DISABLED);
    g->depends = g->there && pg_int8(rows, 0, COL_DEPENDS);
    if (g->disabled)
        g->disabled_why = copy(g, rows, COL_DISABLED_WHY);
    if (g->there)
        read_connection(g, rows);
}

static void on_answered(void *arg, const struct pg_failure *failure)
{
    struct giving *g = arg;
    struct request *r = g->r;
    bool noted = !g->key.workflow || g->depends;
    if (failure) {
        request_unasked(r, &failure->err);
    } else if (g->unread) {
        (void)request_fail(r, HTTP_UNAVAILABLE, "the connection cannot be read");
    } else if (g->disabled) {
        record_no_credential(r, g->there ? g->found.id : NULL, "disabled");
        request_refuse(r, 403, "workflow.disabled",
                       g->disabled_why ? g->disabled_why : "the workflow is disabled",
                       "enable it when its cause is gone: POST /api/oauth/workflows/ID/enable");
    } else if (!g->there) {
        record_no_credential(r, NULL, "unknown");
        request_refuse(r, 404, "connection.unknown", "there is no such connection",
                       "list them: GET /api/oauth/connections");
    } else if (!g->ready) {
        refuse_unready(g);
    } else {
        if (noted)
            recent_put(r->gateway->credentials->recent, &g->key, &g->found, g->asked_us);
        if (noted || !is_to_be_noted(g))
            give(r, &g->found);
        else
            note(g);
    }
}

static void ask(struct giving *g)
{
    struct pg *pg = reader_pg(g->r->gateway->reader);
    struct err err = {0};
    struct args a;
    if (!pg) {
        (void)err_set(&err, ERR_PG_CONNECTION, "the database cannot be asked");
        request_unasked(g->r, &err);
        return;
    }
    args_init(&a);
    args_text(&a, g->key.org);
    args_text(&a, g->key.name);
    args_text(&a, g->key.workflow);
    g->asked_us = clock_mono_now_us();
    pg_query(pg, SQL_CONNECTION_CREDENTIAL, &a, on_row, g);
    pg_sync(pg, on_answered, g);
    args_done(&a);
}

/* The id of the workflow that asks; NULL: none does, or it was answered. */
static const char *workflow_of(struct request *r, const char *org)
{
    const char *query = r->params[PARAM_OF_WORKFLOW], *header = r->params[PARAM_WORKFLOW_HEADER];
    const char *name = query ? query : header;
    if (query && header && strcmp(query, header) != 0) {
        (void)request_fail(r, HTTP_MALFORMED, "workflow_id and X-Workflow-Id differ");
        return NULL;
    }
    return name ? organisation_id(r, org, name) : NULL;
}

void handle_credential_get(struct request *r)
{
    const char *org = organisation_of(r, r->params[PARAM_ORG]);
    struct giving *g = org ? arena_get(r->arena, sizeof *g) : NULL;
    if (!g) {
        if (org)
            (void)request_fail(r, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    *g = (struct giving){
        .r = r,
        .key = {org, r->params[PARAM_CONNECTION_NAME], workflow_of(r, org)},
    };
    if (r->stage == STAGE_ANSWERED)
        return;
    const struct recent_credential *known =
        recent_find(r->gateway->credentials->recent, &g->key, clock_mono_now_us());
    if (known && (!known->expires_ms || known->expires_ms > clock_ms(r->gateway->clock)))
        give(r, known);
    else
        ask(g);
}

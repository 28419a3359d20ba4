#include "store/connection_commands.h"

#include "core/clock.h"
#include "core/uuid.h"

#include <string.h>

#define LOOK_AGAIN_MS 1000

static const char *text(const struct item *it, const char *key)
{
    return json_string_value(json_object_get(it->cmd.json, key));
}

static bool flag(const struct item *it, const char *key)
{
    return json_is_true(json_object_get(it->cmd.json, key));
}

static const char *asker(const struct item *it)
{
    return json_string_value(json_object_get(json_object_get(it->cmd.json, "requestedBy"), "id"));
}

static bool is_about(const struct item *it, const char *noun)
{
    return it->type && !strcmp(it->type->subject_noun, noun);
}

static bool is_type(const struct item *it, const char *type)
{
    return !strcmp(it->type->name, type);
}

bool is_connection_command(const struct item *it)
{
    return is_about(it, "connection") || is_about(it, "workflow");
}

/* "acme/github" of "connection/acme/github": what falls due has no data. */
static const char *id_of(const struct item *it)
{
    const char *slash = strchr(it->cmd.subject, '/');
    return slash ? slash + 1 : it->cmd.subject;
}

/* Where a command names its secrets, by kind. */
static const char *const secret_keys[CONNECTION_SECRETS] = {
    [SECRET_CLIENT] = "clientSecretId",
    [SECRET_KEY] = "privateKeyId",
    [SECRET_REFRESH] = "refreshTokenId",
    [SECRET_CODE] = "codeId",
};

void connection_command_want(struct working_set *ws, const struct item *it)
{
    const char *id = id_of(it);
    if (is_about(it, "workflow")) {
        const char *connection = text(it, "connectionId");
        (void)want_workflow(ws, id);
        if (connection)
            want_dependency(ws, id, connection);
        return;
    }
    (void)(is_type(it, "connection.delete") ? want_dependants(ws, id) : want_connection(ws, id));
    for (int k = 0; k < CONNECTION_SECRETS; k++)
        if (text(it, secret_keys[k]))
            want_brought(ws, text(it, secret_keys[k]), id);
    if (text(it, "stateId"))
        want_state(ws, text(it, "stateId"));
}

/* ---- worlds ---------------------------------------------------------------------------------- */

static bool secrets_wait(struct working_set *ws, const struct item *it, const char *id)
{
    for (int k = 0; k < CONNECTION_SECRETS; k++)
        if (text(it, secret_keys[k]) && !working_set_brought(ws, text(it, secret_keys[k]), id))
            return false;
    return true;
}

static const char *new_intent(struct batch *b)
{
    uint8_t uuid[UUID_BYTES];
    char shown[UUID_TEXT];
    uuid_random(uuid);
    uuid_format(uuid, shown);
    const char *copy = arena_str(batch_arena(b), shown);
    if (!copy)
        batch_fail(b, ERR_NO_MEMORY, "command");
    return copy;
}

static struct connection_delete end_of(const struct item *it)
{
    return (struct connection_delete){.confirm = flag(it, "confirmDisableWorkflows"),
                                      .reason = text(it, "reason"),
                                      .by = asker(it)};
}

/* As connection_due has ordered it: see connection_data_command. */
static bool is_by_itself(const struct item *it)
{
    const char *kind =
        json_string_value(json_object_get(json_object_get(it->cmd.json, "requestedBy"), "kind"));
    return kind && !strcmp(kind, "system");
}

static struct connection_world world_of(struct batch *b, const struct item *it,
                                        struct connection_row *row)
{
    struct working_set *ws = resources_of(b);
    return (struct connection_world){
        .connection = row->exists || row->dirty ? &row->connection : NULL,
        .fresh = &row->connection,
        .intent_id = new_intent(b),
        .dependants = row->dependants,
        .ndependants = row->ndependants,
        .state = working_set_state(ws, text(it, "stateId")),
        .secrets_there = secrets_wait(ws, it, id_of(it)),
        .by_itself = is_by_itself(it),
        .command = carry_ref(it),
        .now_ms = batch_now_ms(b),
    };
}

/* The URLs that a put names: those that are called, and where a person is sent. */
static const struct {
    const char *key, *shown;
} urls[] = {
    {"authorizationUrl", "the authorization URL"},
    {"tokenUrl", "the token URL"},
    {"issuer", "the issuer"},
};

/* Why one of them may not be called; NULL: nothing is known against them. */
static const char *barred(const struct connection_desk *desk, struct batch *b,
                          const struct item *it)
{
    for (size_t i = 0; i < LEN(urls); i++) {
        struct err err = {0};
        const char *url = text(it, urls[i].key), *why;
        if (!url || desk->callable(desk->arg, url, &err))
            continue;
        why = arena_printf(batch_arena(b), "%s: %s", urls[i].shown, err.message);
        if (err.code == ERR_NO_MEMORY || !why)
            batch_fail(b, ERR_NO_MEMORY, "command");
        return why;
    }
    return NULL;
}

/* ---- commands -------------------------------------------------------------------------------- */

static void put(struct connection_world *w, const struct item *it, struct plan *plan)
{
    enum connection_flow flow = FLOW_AUTHORIZATION_CODE;
    const char *named = text(it, "flow");
    bool known = named && connection_flow_parse(named, &flow); /* the schema has seen to that */
    struct connection_put cmd = {
        .id = text(it, "connectionId"),
        .create = flag(it, "create"),
        .if_revision = json_integer_value(json_object_get(it->cmd.json, "ifRevision")),
        .flow = known ? (int)flow : -1,
        .provider = text(it, "provider"),
        .client_id = text(it, "clientId"),
        .client_auth = text(it, "clientAuth"),
        .authorization_url = text(it, "authorizationUrl"),
        .token_url = text(it, "tokenUrl"),
        .issuer = text(it, "issuer"),
        .redirect_uri = text(it, "redirectUri"),
        .scopes = text(it, "scopes"),
        .by = asker(it),
    };
    for (int k = 0; k < SECRET_CODE; k++)
        cmd.secret[k] = text(it, secret_keys[k]);
    connection_put(w, &cmd, plan);
}

static void end(struct connection_world *w, const struct item *it, struct plan *plan)
{
    (void)it;
    connection_delete(w, w->end, plan);
}

static void authorize(struct connection_world *w, const struct item *it, struct plan *plan)
{
    struct connection_authorize cmd = {.device = flag(it, "device")};
    const char *until = text(it, "until");
    (void)!(until && clock_parse(until, strlen(until), &cmd.until_ms)); /* the schema has */
    connection_authorize(w, &cmd, plan);
}

static void exchange(struct connection_world *w, const struct item *it, struct plan *plan)
{
    const char *told = text(it, "errorDescription");
    struct connection_exchange cmd = {.state = text(it, "stateId"),
                                      .code = text(it, "codeId"),
                                      .message = told ? told : text(it, "error")};
    connection_exchange(w, &cmd, plan);
}

static void refresh(struct connection_world *w, const struct item *it, struct plan *plan)
{
    const json_t *generation = json_object_get(it->cmd.json, "ifGeneration");
    struct connection_refresh cmd = {.if_generation =
                                         generation ? json_integer_value(generation) : -1};
    connection_refresh(w, &cmd, plan);
}

static void test(struct connection_world *w, const struct item *it, struct plan *plan)
{
    (void)it;
    connection_test(w, plan);
}

static const struct {
    const char *type;
    void (*begin)(struct connection_world *w, const struct item *it, struct plan *plan);
} rows[] = {
    {"connection.put", put},
    {"connection.delete", end},
    {"connection.authorize", authorize},
    {"connection.exchange", exchange},
    {"connection.refresh", refresh},
    {"connection.test", test},
};

static void begin(struct connection_world *w, const struct item *it, struct plan *plan)
{
    for (size_t i = 0; i < LEN(rows); i++)
        if (is_type(it, rows[i].type))
            rows[i].begin(w, it, plan);
}

/* Without a word from whoever made the call, it is as if the provider had been silent. */
static void answered(struct connection_world *w, const struct item *it,
                     const struct connection_answer *told, struct plan *plan)
{
    const struct connection_intent *in = w->connection ? &w->connection->intent : NULL;
    struct connection_answer a = {
        .kind = ANSWER_SILENT, .message = "the call came to nothing", .code = "provider.timeout"};
    if (told)
        a = *told;
    else if (in) {
        a.intent = in->id;
        a.generation = in->generation;
        a.config_version = in->config_version;
    }
    a.last = it->last || (a.retry_ms && a.retry_ms > it->latest_ms);
    connection_answered(w, &a, plan);
}

/* What there is to decide about beside the row. */
struct news {
    enum heard heard;
    struct connection_answer *told;
};

/* The answer that an item comes with, or one that this process has kept for its command: what was
 * under way when the database went away. */
static struct news news_of(const struct connection_desk *desk, struct batch *b, struct item *it,
                           const struct connection_world *w)
{
    struct news n = {.heard = HEARD_NOTHING};
    if (it->kind == ITEM_OUTCOME)
        n.told = it->blob;
    else if (it->kind != ITEM_DUE && !it->call && connection_unanswered(w))
        n.heard = desk->heard(desk->arg, w->connection->intent.id, batch_arena(b), &n.told);
    it->user = n.told;
    return n;
}

static void wait_for_it(struct connection_world *w, struct plan *plan)
{
    plan->kind = PLAN_POLL;
    plan->due_ms = w->now_ms + LOOK_AGAIN_MS;
}

static void called(struct connection_world *w, const struct item *it, struct plan *plan)
{
    enum pending_state state = it->pending->state;
    if (it->call == CALL_CANCELLED)
        connection_called_off(w, plan);
    else if (it->call == CALL_EXPIRED)
        connection_expired(w, plan);
    else if (state == PENDING_HELD || state == PENDING_TIMED)
        connection_gives_way(w, state == PENDING_HELD, plan);
}

static void decide(struct connection_world *w, const struct item *it, const struct news *news,
                   struct plan *plan)
{
    plan_clear(plan);
    if (it->call)
        called(w, it, plan);
    else if (it->kind == ITEM_OUTCOME || news->heard == HEARD)
        answered(w, it, news->told, plan);
    else if (news->heard == HEARD_NOT_YET)
        wait_for_it(w, plan);
    else if (it->kind == ITEM_DUE)
        connection_due(w, plan);
    else if (!connection_resume(w, plan))
        begin(w, it, plan);
}

/* With what the call has just been told about the provider. */
static struct connection_rules rules_of(const struct connection_desk *desk,
                                        const struct connection_answer *a,
                                        const struct connection *c)
{
    struct connection known = *c;
    if (a && a->endpoints)
        known.endpoints = a->endpoints;
    return desk->rules(desk->arg, &known);
}

static bool is_away(const struct connection_desk *desk, struct batch *b, const struct item *it,
                    const struct connection *c)
{
    const char *host = is_type(it, "connection.delete") && c ? carry_host(batch_arena(b), c) : NULL;
    return host && desk->away(desk->arg, it, host);
}

static void decide_connection(const struct connection_desk *desk, struct batch *b, struct item *it)
{
    struct working_set *ws = resources_of(b);
    struct connection_row *row = connection_row_get(ws, id_of(it));
    if (!row)
        return; /* no memory: the batch has failed */
    struct connection_world w = world_of(b, it, row);
    struct news news = news_of(desk, b, it, &w);
    struct connection_rules rules = rules_of(desk, news.told, &row->connection);
    w.rules = &rules;
    w.away = is_away(desk, b, it, w.connection);
    struct connection_delete ending = end_of(it);
    w.end = &ending;
    w.barred = is_type(it, "connection.put") ? barred(desk, b, it) : NULL;
    const struct stream *stray = w.connection ? NULL : batch_stray(b, it->cmd.subject);
    struct plan plan;
    decide(&w, it, &news, &plan);
    if (!w.connection && plan.kind == PLAN_DONE) {
        row->shard = shard_number(it->shard);
        if (stray)
            row->stream = *stray;
    }
    carry_plan(ws, it, &plan);
    connection_row_decided(ws, row);
}

/* ---- workflows ------------------------------------------------------------------------------- */

static void decide_workflow(struct batch *b, struct item *it)
{
    struct working_set *ws = resources_of(b);
    const char *id = id_of(it), *connection = text(it, "connectionId");
    struct workflow_row *row = workflow_row_get(ws, id);
    struct connection_row *c = connection_row_get(ws, connection);
    const struct dependency *d = connection ? working_set_dependency(ws, id, connection) : NULL;
    if (!row)
        return; /* no memory: the batch has failed */
    bool known = row->exists || row->dirty;
    struct workflow_world w = {
        .workflow = known ? &row->workflow : NULL,
        .connection_there = c && (c->exists || c->dirty) && connection_exists(&c->connection) &&
                            !c->connection.deleting,
        .depends = d && d->there,
        .dependants = d ? d->dependants : 0,
        .siblings = d ? d->siblings : 0,
        .now_ms = batch_now_ms(b),
    };
    const struct stream *stray = known ? NULL : batch_stray(b, it->cmd.subject);
    struct plan plan = {.kind = PLAN_NONE};
    if (is_type(it, "workflow.depend"))
        workflow_depend(&w, id, connection, &row->workflow, &plan);
    else if (is_type(it, "workflow.enable"))
        workflow_enable(&w, &plan);
    else if (is_type(it, "workflow.check"))
        workflow_check(&w, &plan);
    if (!known && plan.kind == PLAN_DONE) {
        row->shard = shard_number(it->shard);
        if (stray)
            row->stream = *stray;
    }
    carry_plan(ws, it, &plan);
    workflow_row_decided(ws, row);
}

const char *connection_command_answered(const struct item *it)
{
    const struct connection_answer *told = is_about(it, "connection") ? it->user : NULL;
    return told ? told->intent : NULL;
}

void connection_command_decide(const struct connection_desk *desk, struct batch *b, struct item *it)
{
    bool workflow = is_about(it, "workflow");
    if (workflow && !it->call)
        decide_workflow(b, it);
    else if (!workflow)
        decide_connection(desk, b, it);
}

#include "store/carry.h"

#include "core/metric.h"
#include "store/connection_data.h"
#include "store/event_data.h"

#include <string.h>

#define DATA_MAX (256 * 1024)
#define TEARDOWN_TOPIC "drawbridge.teardown"
#define REFRESH_TOPIC "drawbridge.refresh"

struct command_ref carry_ref(const struct item *it)
{
    struct command_ref c = {.id = it->cmd.id,
                            .source = it->cmd.source,
                            .type = it->cmd.type,
                            .correlation_id = it->cmd.correlation_id,
                            .time_ms = it->cmd.time_ms};
    memcpy(c.digest, it->cmd.digest, sizeof c.digest);
    return c;
}

struct outcome carry_outcome(const struct item *it, int64_t now_ms)
{
    struct outcome o = {.kind = OUTCOME_UNCERTAIN,
                        .rx_bytes = -1,
                        .tx_bytes = -1,
                        .code = "provider.timeout",
                        .message = "the driver gave no answer"};
    if (it->blob)
        o = *(const struct outcome *)it->blob;
    int64_t left_ms = it->latest_ms - now_ms;
    if (o.kind == OUTCOME_PENDING && o.poll_ms > left_ms) {
        o.kind = OUTCOME_UNCERTAIN;
        o.code = "command.expired";
        o.message = "it was not done within its deadline";
        o.last = true;
        return o;
    }
    /* Asked to come back when it is too late is the same as no try left. */
    bool late = o.retry_ms > left_ms || o.retry_ms > RETRY_AFTER_MAX_MS;
    o.last = it->last || (o.kind == OUTCOME_THROTTLED && late);
    return o;
}

bool carry_by_admin(const struct item *it)
{
    const char *kind =
        json_string_value(json_object_get(json_object_get(it->cmd.json, "requestedBy"), "kind"));
    return kind && (!strcmp(kind, "admin") || !strcmp(kind, "system"));
}

/* ---- events -------------------------------------------------------------------------------- */

static const char *const ending_names[] = {[END_NONE] = NULL,
                                           [END_DONE] = "done",
                                           [END_REFUSED] = "refused",
                                           [END_CANCELLED] = "cancelled",
                                           [END_DEAD] = "dead"};

static const char *json_text(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static void render(struct working_set *ws, const struct item *it, const struct plan *plan,
                   const struct plan_event *e, struct buf *out)
{
    const struct user_row *u = (const struct user_row *)(const void *)e->user;
    (void)ws;
    switch (e->kind) {
    case EVENT_SESSION_PROVISIONING:
    case EVENT_SESSION_ACTIVE:
    case EVENT_SESSION_IDLE:
    case EVENT_SESSION_TERMINATING:
    case EVENT_SESSION_TERMINATED:
        event_data_session(out, e);
        break;
    case EVENT_SESSION_REFUSED:
        event_data_refused(out, json_text(it->cmd.json, "sessionId"),
                           json_text(it->cmd.json, "userId"), &plan->refusal);
        break;
    case EVENT_USER_REFUSED:
        event_data_refused(out, NULL, json_text(it->cmd.json, "userId"), &plan->refusal);
        break;
    case EVENT_USER_CHANGED:
        event_data_user(out, e->user, u->stream.sequence + 1);
        break;
    case EVENT_USER_REMOVED:
        event_data_user_removed(out, e->user, u->stream.sequence + 1);
        break;
    case EVENT_TOKEN_CREATED:
    case EVENT_TOKEN_UPDATED:
    case EVENT_TOKEN_ROTATED:
    case EVENT_TOKEN_REVOKED:
    case EVENT_TOKEN_EXPIRED:
        event_data_token(out, e, json_text(it->cmd.json, "reason"));
        break;
    case EVENT_TOKEN_REFUSED:
        event_data_token_refused(out, json_text(it->cmd.json, "tokenId"),
                                 json_text(it->cmd.json, "owner"), &plan->refusal);
        break;
    case EVENT_CONNECTION_CHANGED:
    case EVENT_CONNECTION_DELETED:
    case EVENT_CONNECTION_WAITING:
    case EVENT_CONNECTION_TESTING:
    case EVENT_CONNECTION_COMPLETED:
    case EVENT_CONNECTION_REFRESHED:
    case EVENT_CONNECTION_TESTED:
    case EVENT_CONNECTION_DOUBTED:
    case EVENT_CONNECTION_RECONNECT:
    case EVENT_CONNECTION_FAILED:
    case EVENT_CONNECTION_LATE:
        connection_data(out, e, plan);
        break;
    case EVENT_CONNECTION_REFUSED:
        connection_data_refused(out, json_text(it->cmd.json, "connectionId"), plan);
        break;
    case EVENT_WORKFLOW_DEPENDING:
    case EVENT_WORKFLOW_DISABLED:
    case EVENT_WORKFLOW_ENABLED:
    case EVENT_WORKFLOW_CHECKED:
        workflow_data(out, e);
        break;
    case EVENT_WORKFLOW_REFUSED:
        workflow_data_refused(out, json_text(it->cmd.json, "workflowId"), e->workflow,
                              &plan->refusal);
        break;
    case EVENT_COMMAND_CANCELLED: {
        const char *why = e->session ? session_reason_name((enum session_reason)e->reason) : NULL;
        event_data_cancelled(out, e->ended.id ? e->ended.id : it->cmd.id,
                             e->ended.id ? e->ended.type : it->cmd.type, why ? why : "cancelled");
        break;
    }
    case EVENT_PERFORMANCE_THRESHOLD:
        event_data_threshold(out, e);
        break;
    case EVENT_KINDS:
        break;
    }
}

static const char *subject_of(struct working_set *ws, const struct item *it,
                              const struct plan_event *e)
{
    if (e->session)
        return arena_join(ws->arena, "session/", e->session->id);
    if (e->user)
        return arena_join(ws->arena, "user/", e->user->id);
    if (e->token)
        return arena_join(ws->arena, "token/", e->token->id);
    if (e->connection)
        return arena_join(ws->arena, "connection/", e->connection->id);
    if (e->workflow)
        return arena_join(ws->arena, "workflow/", e->workflow->id);
    return it->cmd.subject;
}

static struct stream *event_stream(const struct plan_event *e)
{
    if (e->session)
        return session_row_stream((struct session_row *)(void *)e->session);
    if (e->user)
        return user_row_stream((struct user_row *)(void *)e->user);
    if (e->token)
        return token_row_stream((struct token_row *)(void *)e->token);
    if (e->connection)
        return connection_row_stream((struct connection_row *)(void *)e->connection);
    if (e->workflow)
        return workflow_row_stream((struct workflow_row *)(void *)e->workflow);
    return NULL;
}

static void mark_dirty(const struct plan_event *e)
{
    if (e->session) {
        struct session_row *row = (struct session_row *)(void *)e->session;
        row->dirty = true;
        row->config_active |= e->kind == EVENT_SESSION_ACTIVE;
        row->config_over |= e->kind == EVENT_SESSION_TERMINATED && !e->session->tombstone;
    }
    if (e->user) {
        struct user_row *row = (struct user_row *)(void *)e->user;
        row->dirty = true;
        row->drop_secrets |= e->kind == EVENT_USER_REMOVED;
    }
    if (e->token)
        ((struct token_row *)(void *)e->token)->dirty = true;
    if (e->connection)
        ((struct connection_row *)(void *)e->connection)->dirty = true;
    if (e->workflow)
        ((struct workflow_row *)(void *)e->workflow)->dirty = true;
}

static void measure(const struct plan_event *e)
{
    if (e->token || e->kind == EVENT_TOKEN_REFUSED)
        metric_add(METRIC_TOKENS, event_kind_name(e->kind) + strlen("token."), 1);
    if (e->connection || e->kind == EVENT_CONNECTION_REFUSED)
        metric_add(METRIC_CONNECTIONS, event_kind_name(e->kind) + strlen("connection."), 1);
    if (e->kind == EVENT_SESSION_ACTIVE)
        metric_observe(METRIC_OPERATION_SECONDS, "provision",
                       (double)(e->session->activated_ms - e->session->created_ms) / 1e3);
    if (e->kind == EVENT_SESSION_TERMINATED && e->session->terminating_ms)
        metric_observe(METRIC_OPERATION_SECONDS, "stop",
                       (double)(e->session->terminated_ms - e->session->terminating_ms) / 1e3);
}

static void carry_event(struct working_set *ws, struct item *it, const struct plan *plan,
                        const struct plan_event *e)
{
    auto_buf struct buf data;
    buf_init(&data, DATA_MAX);
    mark_dirty(e);
    render(ws, it, plan, e, &data);
    const char *subject = subject_of(ws, it, e);
    if (!buf_ok(&data) || !subject) {
        batch_fail(ws->b, ERR_NO_MEMORY, "event");
        return;
    }
    struct command_name ended = {.id = e->ended.id,
                                 .correlation_id = e->ended.correlation_id,
                                 .type = e->ended.type,
                                 .time_ms = e->ended.time_ms};
    memcpy(ended.digest, e->ended.digest, sizeof ended.digest);
    batch_event(ws->b, it,
                &(struct event_out){.type = event_kind_name(e->kind),
                                    .subject = subject,
                                    .stream = event_stream(e),
                                    .data = (const char *)data.p,
                                    .data_n = data.n,
                                    .outcome = ending_names[e->ends],
                                    .command = e->ended.id ? &ended : NULL});
    measure(e);
}

/* Each goes down with a connection, and is told so on its own stream. */
static void carry_disabled(struct working_set *ws, struct item *it, const struct plan *plan)
{
    for (size_t i = 0; plan->kind == PLAN_DONE && i < plan->nworkflows; i++) {
        struct plan_event e = {.kind = EVENT_WORKFLOW_DISABLED, .workflow = plan->workflows[i]};
        carry_event(ws, it, plan, &e);
    }
}

static void carry_command(struct working_set *ws, struct item *it, const struct plan_command *c)
{
    auto_buf struct buf data;
    buf_init(&data, DATA_MAX);
    if (c->connection)
        connection_data_command(&data, c, batch_consumer(ws->b));
    else
        command_data_stop(&data, c->session, c->reason, batch_consumer(ws->b));
    const char *subject = c->connection ? arena_join(ws->arena, "connection/", c->connection->id)
                                        : arena_join(ws->arena, "session/", c->session->id);
    if (!buf_ok(&data) || !subject) {
        batch_fail(ws->b, ERR_NO_MEMORY, "command");
        return;
    }
    batch_command(ws->b, it, c->connection ? REFRESH_TOPIC : TEARDOWN_TOPIC, c->type, subject,
                  (const char *)data.p, data.n);
}

/* ---- the verdict --------------------------------------------------------------------------- */

static enum err_code code_of(const char *name, enum err_code otherwise)
{
    enum err_code code = name ? err_by_name(name) : otherwise;
    return code == ERR_INTERNAL ? otherwise : code;
}

static void note_failure(struct verdict *v, const struct plan *plan, enum err_code otherwise)
{
    if (!plan->failure_code && !plan->failure_message)
        return;
    enum err_code code = code_of(plan->failure_code, otherwise);
    bool own_code = plan->failure_code && err_by_name(plan->failure_code) == code;
    (void)err_set(&v->failure, code, "%s%s%s",
                  own_code || !plan->failure_code ? "" : plan->failure_code,
                  own_code || !plan->failure_code ? "" : ": ",
                  plan->failure_message ? plan->failure_message : "");
}

const char *carry_host(struct arena *a, const struct connection *c)
{
    const char *host = strstr(c->token_url, "://");
    host = host ? host + 3 : c->token_url;
    return arena_strn(a, host, strcspn(host, "/?#"));
}

/* The breaker is the host's that gives tokens. Tests are asked elsewhere: an API that is out of
 * order must not hold up what renews tokens. */
static void order_ask(struct working_set *ws, const struct plan *plan, struct verdict *v)
{
    const struct connection *c = plan->effect_connection;
    struct connection_call *call = arena_get(ws->arena, sizeof *call);
    const char *slash = strchr(c->id, '/');
    v->tenant = slash ? arena_strn(ws->arena, c->id, (size_t)(slash - c->id)) : c->id;
    v->dependency = carry_host(ws->arena, c);
    if (v->dependency && plan->ask == ASK_TEST)
        v->dependency = arena_join(ws->arena, "test:", v->dependency);
    if (!call || !v->tenant || !v->dependency) {
        batch_fail(ws->b, ERR_NO_MEMORY, "effect");
        return;
    }
    v->kind = VERDICT_EFFECT;
    *call = (struct connection_call){.ask = plan->ask, .connection = *c};
    v->effect = call;
}

static void order_effect(struct working_set *ws, struct item *it, const struct plan *plan,
                         struct verdict *v)
{
    if (plan->effect_connection) {
        ((struct connection_row *)(void *)plan->effect_connection)->dirty = true;
        order_ask(ws, plan, v);
        return;
    }
    struct driver_call *call = arena_get(ws->arena, sizeof *call);
    if (!call) {
        batch_fail(ws->b, ERR_NO_MEMORY, "effect");
        return;
    }
    v->kind = VERDICT_EFFECT;
    v->compensating = plan->compensating;
    /* Why it is being undone is remembered until it is (then the command is dead of that). */
    const struct session *s = plan->effect_session;
    if (plan->compensating && s->error_message) {
        v->keep_failure = true;
        struct plan why = {.failure_code = s->error_code, .failure_message = s->error_message};
        note_failure(v, &why, ERR_PROVIDER_FAILED);
    }
    bool begins_undoing = plan->compensating && !it->compensating;
    *call = (struct driver_call){
        .op = plan->effect,
        .driver = s->driver,
        .session_id = s->id,
        .user_id = s->user_id,
        .profile = s->profile,
        .client_public_key = s->client_public_key,
        .address = s->address,
        .instance_id = s->instance_id,
        .attempt = begins_undoing ? 1 : it->attempt,
        .resumed = it->resumed || it->attempt > 1,
        .fence = ((const struct session_row *)(const void *)s)->version + 1,
    };
    v->effect = call;
    v->dependency = s->driver;
    const struct user_row *u = user_row_get(ws, s->user_id);
    v->tenant = u && u->user.tenant ? u->user.tenant : it->cmd.tenant;
}

#define STARTS_WORKER "provisioning"

/* A start that is to be undone may wait for its next try: its owner need not wait for that. */
static void nudge_starts(struct working_set *ws, struct item *it, const struct plan *plan)
{
    for (size_t i = 0; i < plan->nevents; i++) {
        const struct plan_event *e = &plan->events[i];
        if (e->kind != EVENT_SESSION_TERMINATING || !e->session->cancelling)
            continue;
        const char *subject = arena_printf(ws->arena, "session/%s", e->session->id);
        bool own = subject && !strcmp(subject, it->cmd.subject) &&
                   !strcmp(batch_consumer(ws->b), STARTS_WORKER);
        if (!subject)
            batch_fail(ws->b, ERR_NO_MEMORY, "command");
        else if (!own)
            batch_nudge(ws->b, it, STARTS_WORKER, subject);
    }
}

void carry_plan(struct working_set *ws, struct item *it, const struct plan *plan)
{
    struct verdict *v = &it->verdict;
    for (size_t i = 0; i < plan->nevents; i++)
        carry_event(ws, it, plan, &plan->events[i]);
    carry_disabled(ws, it, plan);
    for (size_t i = 0; i < plan->ncommands; i++)
        carry_command(ws, it, &plan->commands[i]);
    nudge_starts(ws, it, plan);
    switch (plan->kind) {
    case PLAN_NONE:
        v->kind = VERDICT_NONE;
        break;
    case PLAN_DONE:
        v->kind = VERDICT_DONE;
        break;
    case PLAN_REFUSED:
        v->kind = VERDICT_REFUSED;
        break;
    case PLAN_CANCELLED:
        v->kind = VERDICT_CANCELLED;
        break;
    case PLAN_DEAD:
        v->kind = VERDICT_DEAD;
        note_failure(v, plan, ERR_PROVIDER_REFUSED);
        break;
    case PLAN_EFFECT:
        order_effect(ws, it, plan, v);
        break;
    case PLAN_RETRY:
        v->kind = VERDICT_RETRY;
        v->retry_after_ms = plan->due_ms ? plan->due_ms - batch_now_ms(ws->b) : 0;
        note_failure(v, plan, ERR_PROVIDER_FAILED);
        break;
    case PLAN_POLL:
        v->kind = VERDICT_POLL;
        v->due_ms = plan->due_ms;
        break;
    case PLAN_LANE:
        v->kind = VERDICT_LANE;
        v->lane = arena_str(ws->arena, *plan->lane ? plan->lane : it->cmd.subject);
        if (!v->lane)
            batch_fail(ws->b, ERR_NO_MEMORY, "lane");
        break;
    case PLAN_HANDOVER:
        v->kind = VERDICT_HANDOVER;
        break;
    }
}

/* What a connection has its provider asked for: intents, and what becomes of one that nobody has
 * answered. */
#include "domain/connection.h"

#include "domain/connection_steps.h"

#include <assert.h>
#include <string.h>

#define LOST_MESSAGE                                                                               \
    "a refresh was sent and its answer was lost: the refresh token may be used up; a person has "  \
    "to authorize it anew"

/* ---- intents --------------------------------------------------------------------------------- */

void connection_drop(struct connection *c)
{
    if (c->intent.ask == ASK_REFRESH && c->intent.sent_ms && !c->doubt_ms)
        c->doubt_ms = c->intent.sent_ms;
    c->intent = (struct connection_intent){0};
}

void connection_order(struct connection_world *w, struct connection *c, enum ask_kind ask,
                      struct plan *plan)
{
    assert(ask != ASK_REFRESH || connection_renewable(c));
    connection_drop(c);
    c->intent = (struct connection_intent){.id = w->intent_id,
                                           .ask = ask,
                                           .generation = c->generation,
                                           .config_version = c->config_version,
                                           .at_ms = w->now_ms};
    memcpy(c->intent.command, w->command.digest, sizeof c->intent.command);
    connection_touch(c, w->now_ms);
    plan->kind = PLAN_EFFECT;
    plan->effect_connection = c;
    plan->ask = ask;
}

/* ---- renewing -------------------------------------------------------------------------------- */

static void give_up(struct connection_world *w, struct connection *c, struct plan *plan)
{
    bool serving = connection_serving(c, w->now_ms);
    c->doubt_ms = 0;
    c->reconnect = true;
    c->reason = CONNECTION_RECONNECT;
    c->message = LOST_MESSAGE;
    if (serving) {
        connection_say(w, c, EVENT_CONNECTION_RECONNECT, plan);
        return;
    }
    connection_fail(c, CONNECTION_RECONNECT, LOST_MESSAGE);
    connection_say(w, c, EVENT_CONNECTION_FAILED, plan);
}

bool connection_repeatable(const struct connection_world *w, const struct connection *c)
{
    if (w->rules->refresh == REFRESH_REPEATABLE)
        return true;
    /* The whole call has to be over within the grace. */
    return w->rules->refresh == REFRESH_GRACE &&
           w->now_ms + CONNECTION_SEND_MS < c->doubt_ms + w->rules->grace_ms;
}

/* What was sent may still be on its way: whoever asked at once would be told "active", and send a
 * token that is used up a moment later. The last repetition within a grace counts, too. */
static void ask_about(struct connection_world *w, struct connection *c, struct plan *plan)
{
    int64_t repeats_ms = w->rules->refresh == REFRESH_GRACE ? w->rules->grace_ms : 0;
    int64_t settled_ms = c->doubt_ms + repeats_ms + CONNECTION_SETTLE_MS;
    if (w->now_ms >= settled_ms) {
        connection_order(w, c, ASK_INTROSPECT, plan);
        return;
    }
    connection_touch(c, w->now_ms);
    plan->kind = PLAN_POLL;
    plan->due_ms = settled_ms;
}

void connection_renew(struct connection_world *w, struct connection *c, struct plan *plan)
{
    connection_drop(c);
    if (c->flow == FLOW_CLIENT_CREDENTIALS)
        connection_order(w, c, ASK_CLIENT_CREDENTIALS, plan);
    else if (!c->doubt_ms || connection_repeatable(w, c))
        connection_order(w, c, ASK_REFRESH, plan);
    else if (w->rules->introspects)
        ask_about(w, c, plan);
    else
        give_up(w, c, plan);
}

void connection_refresh(struct connection_world *w, const struct connection_refresh *cmd,
                        struct plan *plan)
{
    struct connection *c = connection_find(w, plan);
    if (!c)
        return;
    if (cmd->if_generation >= 0 && cmd->if_generation != c->generation)
        connection_refuse(plan, REFUSAL_CONNECTION_MOVED);
    else if (connection_renewable(c))
        connection_renew(w, c, plan);
    else
        connection_refuse(plan, c->reconnect ? REFUSAL_CONNECTION_RECONNECT
                                             : REFUSAL_CONNECTION_NO_TOKEN);
}

/* ---- testing --------------------------------------------------------------------------------- */

void connection_try_out(struct connection_world *w, struct connection *c, struct plan *plan)
{
    if (w->rules->tests) {
        c->status = CONNECTION_TESTING;
        connection_tell(c, EVENT_CONNECTION_TESTING, plan);
        connection_order(w, c, ASK_TEST, plan);
        return;
    }
    c->status = CONNECTION_COMPLETED;
    if (!c->completed_ms)
        c->completed_ms = w->now_ms;
    connection_say(w, c, EVENT_CONNECTION_COMPLETED, plan);
}

void connection_test(struct connection_world *w, struct plan *plan)
{
    struct connection *c = connection_find(w, plan);
    if (!c)
        return;
    if (!c->has_access) {
        connection_refuse(plan, REFUSAL_CONNECTION_NO_TOKEN);
    } else if (w->rules->tests) {
        connection_order(w, c, ASK_TEST, plan);
    } else if (c->status == CONNECTION_TESTING) {
        connection_drop(c);
        connection_try_out(w, c, plan);
    } else {
        connection_say(w, c, EVENT_CONNECTION_TESTED, plan); /* there is nothing to ask it */
    }
}

/* ---- authorizing ----------------------------------------------------------------------------- */

void connection_not_authorized(struct connection_world *w, struct connection *c,
                               enum connection_reason why, const char *message, struct plan *plan)
{
    c->waiting_until_ms = 0;
    c->user_code = c->verification_uri = NULL;
    c->device = (struct sealed){0};
    c->device_gone = true;
    c->drop[SECRET_CODE] = true;
    c->intent = (struct connection_intent){0};
    if (connection_serving(c, w->now_ms)) {
        if (!c->reconnect)
            c->message = message;
        connection_say(w, c, EVENT_CONNECTION_CHANGED, plan);
        return;
    }
    connection_fail(c, why, message);
    connection_say(w, c, EVENT_CONNECTION_FAILED, plan);
}

void connection_await(const struct connection_world *w, struct connection *c, int64_t until_ms)
{
    c->waiting_until_ms = until_ms;
    if (connection_serving(c, w->now_ms))
        return;
    c->status = CONNECTION_WAITING_CALLBACK;
    c->reason = CONNECTION_FINE;
    c->message = NULL;
}

/* One authorization by device at a time: a second command waits for the first one's person. */
static bool asks_device(const struct connection *c, int64_t now_ms)
{
    return c->user_code && c->waiting_until_ms > now_ms;
}

/* Whoever let others go first comes back before it is time. */
static void poll_device(struct connection_world *w, struct connection *c, struct plan *plan)
{
    int64_t due_ms = c->updated_ms + c->poll_every_ms;
    if (w->now_ms >= due_ms) {
        connection_order(w, c, ASK_DEVICE_POLL, plan);
        return;
    }
    plan->kind = PLAN_POLL;
    plan->due_ms = due_ms < c->waiting_until_ms ? due_ms : c->waiting_until_ms;
}

void connection_authorize(struct connection_world *w, const struct connection_authorize *cmd,
                          struct plan *plan)
{
    struct connection *c = connection_find(w, plan);
    if (!c)
        return;
    if (c->flow != FLOW_AUTHORIZATION_CODE) {
        connection_refuse(plan, REFUSAL_CONNECTION_FLOW);
    } else if (cmd->device && asks_device(c, w->now_ms)) {
        poll_device(w, c, plan);
    } else if (cmd->device && c->user_code) {
        connection_drop(c);
        connection_not_authorized(w, c, CONNECTION_DENIED, "nobody entered the code in time", plan);
    } else if (cmd->device) {
        connection_order(w, c, ASK_DEVICE, plan);
    } else {
        connection_drop(c);
        connection_await(w, c, cmd->until_ms);
        connection_say(w, c, EVENT_CONNECTION_WAITING, plan);
    }
}

static enum refusal_name why_not_exchange(const struct connection_world *w,
                                          const struct connection_exchange *cmd)
{
    const struct oauth_state *s = w->state;
    const struct connection *c = w->connection;
    if (!s || !s->open || strcmp(s->connection, c->id) != 0)
        return REFUSAL_CONNECTION_STATE;
    if (s->until_ms <= w->now_ms)
        return REFUSAL_CONNECTION_STATE_EXPIRED;
    if (s->config_version != c->config_version)
        return REFUSAL_CONNECTION_STATE_STALE;
    return cmd->code && !w->secrets_there ? REFUSAL_CONNECTION_SECRET : REFUSALS;
}

void connection_exchange(struct connection_world *w, const struct connection_exchange *cmd,
                         struct plan *plan)
{
    struct connection *c = connection_find(w, plan);
    if (!c)
        return;
    enum refusal_name why = why_not_exchange(w, cmd);
    if (why != REFUSALS) {
        connection_refuse(plan, why);
        return;
    }
    connection_drop(c);
    c->take_state = cmd->state;
    if (!cmd->code) {
        connection_not_authorized(w, c, CONNECTION_DENIED,
                                  cmd->message ? cmd->message : "the provider did not allow it",
                                  plan);
        return;
    }
    c->drop[SECRET_CODE] = true; /* of an exchange that was never answered */
    c->take[SECRET_CODE] = cmd->code;
    connection_order(w, c, ASK_EXCHANGE, plan);
}

/* ---- after a crash --------------------------------------------------------------------------- */

static void send_as_intended(struct connection *c, struct plan *plan)
{
    plan->kind = PLAN_EFFECT;
    plan->effect_connection = c;
    plan->ask = c->intent.ask;
}

static bool is_own(const struct connection_world *w, const struct connection *c)
{
    return connection_exists(c) && c->intent.id &&
           !memcmp(c->intent.command, w->command.digest, sizeof c->intent.command);
}

bool connection_unanswered(const struct connection_world *w)
{
    return is_own(w, w->connection) && w->connection->intent.sent_ms;
}

void connection_called_off(struct connection_world *w, struct plan *plan)
{
    struct connection *c = w->connection;
    plan_clear(plan);
    bool own = is_own(w, c);
    if (own && (c->intent.sent_ms || c->intent.ask == ASK_EXCHANGE || c->deleting))
        return;
    if (own) {
        c->intent = (struct connection_intent){0};
        connection_touch(c, w->now_ms);
    }
    plan->kind = PLAN_CANCELLED;
    plan_event_add(plan, EVENT_COMMAND_CANCELLED)->ends = END_CANCELLED;
}

/* What was sent is not forgotten: it is in doubt for whoever comes next, and that is soon. */
static void put_off(struct connection_world *w, struct connection *c)
{
    enum ask_kind ask = c->intent.ask;
    bool renews = ask == ASK_REFRESH || ask == ASK_CLIENT_CREDENTIALS || ask == ASK_INTROSPECT;
    if (!renews && ask != ASK_TEST)
        return;
    if (!c->intent.sent_ms || ask != ASK_REFRESH)
        c->intent = (struct connection_intent){0};
    if (renews)
        c->renew_ms = w->now_ms + CONNECTION_AGAIN_MS;
    connection_touch(c, w->now_ms);
}

void connection_expired(struct connection_world *w, struct plan *plan)
{
    struct connection *c = w->connection;
    plan_clear(plan);
    bool own = is_own(w, c);
    if (own && !c->deleting)
        put_off(w, c);
    if (own && c->deleting) /* it waited for its turn at the provider */
        connection_remove(w, c, CONNECTION_NOT_REVOKED, plan);
    else if (w->by_itself)
        connection_refuse(plan, REFUSAL_CONNECTION_PUT_OFF);
}

void connection_gives_way(struct connection_world *w, bool held, struct plan *plan)
{
    const struct connection *c = w->connection;
    plan_clear(plan);
    bool own = is_own(w, c);
    bool once = own && c->intent.ask == ASK_EXCHANGE; /* its state is used: it cannot begin anew */
    if (!once && (held || !own))
        plan->kind = PLAN_LANE;
}

bool connection_resume(struct connection_world *w, struct plan *plan)
{
    struct connection *c = w->connection;
    plan_clear(plan);
    if (!is_own(w, c))
        return false;
    bool refresh = c->intent.ask == ASK_REFRESH;
    if (!c->intent.sent_ms && !(refresh && c->doubt_ms)) {
        send_as_intended(c, plan);
    } else if (refresh) {
        if (w->rules->refresh != REFRESH_REPEATABLE && c->intent.sent_ms)
            connection_tell(c, EVENT_CONNECTION_DOUBTED, plan);
        connection_renew(w, c, plan);
    } else if (c->intent.ask == ASK_EXCHANGE) {
        connection_not_authorized(w, c, CONNECTION_RECONNECT,
                                  "the answer to the authorization was lost: authorize it again",
                                  plan);
    } else {
        connection_order(w, c, c->intent.ask, plan);
    }
    return true;
}

/* ---- what falls due -------------------------------------------------------------------------- */

static bool over(int64_t at_ms, int64_t now_ms)
{
    return at_ms && at_ms <= now_ms;
}

static void order_command(struct connection *c, const char *type, int64_t now_ms, struct plan *plan)
{
    connection_touch(c, now_ms);
    plan_command_add(plan, type, c);
}

static void nobody_came(struct connection_world *w, struct connection *c, struct plan *plan)
{
    c->waiting_until_ms = 0;
    c->user_code = c->verification_uri = NULL;
    c->device_gone = true;
    if (c->status == CONNECTION_WAITING_CALLBACK) {
        c->status = CONNECTION_NOT_CONNECTED;
        c->message = "nobody finished the authorization in time";
    }
    connection_say(w, c, EVENT_CONNECTION_CHANGED, plan);
}

static void access_is_over(struct connection_world *w, struct connection *c, struct plan *plan)
{
    bool known = c->reason != CONNECTION_FINE;
    connection_fail(c, known ? c->reason : CONNECTION_ENDED,
                    known ? c->message
                          : "its access token is over, and there is no refresh token to renew it");
    connection_say(w, c, EVENT_CONNECTION_FAILED, plan);
}

/* Held, perhaps: others that are ordered meanwhile would wait behind it, and die. */
static bool is_being_tested(const struct connection *c, int64_t now_ms)
{
    return c->intent.id && c->intent.ask == ASK_TEST &&
           now_ms < c->intent.at_ms + CONNECTION_WAIT_MS;
}

void connection_due(struct connection_world *w, struct plan *plan)
{
    struct connection *c = w->connection;
    plan_clear(plan);
    if (!connection_exists(c) || !over(c->due_ms, w->now_ms))
        return;
    bool untested = c->status == CONNECTION_TESTING || c->reason == CONNECTION_TEST_UNANSWERED;
    bool renewable = connection_renewable(c) && over(c->renew_ms, w->now_ms);
    if (over(connection_waits_until(c), w->now_ms)) {
        nobody_came(w, c, plan);
    } else if (renewable) {
        c->renew_ms = w->now_ms + CONNECTION_SCAN_MS; /* should the command be lost */
        order_command(c, "connection.refresh", w->now_ms, plan);
    } else if (untested && c->has_access && !is_being_tested(c, w->now_ms)) {
        order_command(c, "connection.test", w->now_ms, plan);
    } else if (over(connection_ends_at(c), w->now_ms)) {
        access_is_over(w, c, plan);
    } else {
        connection_touch(c, w->now_ms);
    }
}

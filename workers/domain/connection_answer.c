/* What a connection makes of its provider's answers. */
#include "domain/connection.h"

#include "domain/connection_steps.h"

#include <string.h>

#define BACKOFF_MS 60000
#define DAY_MS 86400000

/* ---- token sets ------------------------------------------------------------------------------ */

static void take_tokens(struct connection_world *w, struct connection *c,
                        const struct connection_answer *a)
{
    bool another = c->intent.ask != ASK_REFRESH;
    c->generation++;
    c->has_access = true;
    c->access = a->access;
    if (a->refresh.p) {
        c->has_refresh = true;
        c->refresh = a->refresh;
        c->drop[SECRET_REFRESH] = true;
    } else if (another) { /* the old one is of a grant that this one replaces, maybe a person's */
        c->has_refresh = false;
        c->refresh_gone = true;
        c->drop[SECRET_REFRESH] = true;
    }
    c->token_type = a->token_type ? a->token_type : "Bearer";
    c->granted = a->scopes ? a->scopes : c->scopes;
    c->expires_ms = a->expires_ms; /* over already, where the answer waited for the database */
    if (!c->expires_ms && w->rules->life_ms)
        c->expires_ms = w->now_ms + w->rules->life_ms;
    if (a->instance_url)
        c->instance_url = a->instance_url;
    c->refreshed_ms = w->now_ms;
    c->renew_ms = connection_due_time(c->id, w->now_ms, c->expires_ms, a->refresh_in_ms);
    c->doubt_ms = 0;
    c->reconnect = false;
    c->failures = 0;
    c->reason = CONNECTION_FINE;
    c->message = NULL;
    c->intent = (struct connection_intent){0};
}

static void authorized(struct connection *c)
{
    c->waiting_until_ms = 0;
    c->user_code = c->verification_uri = NULL;
    c->device = (struct sealed){0};
    c->device_gone = true;
    c->drop[SECRET_CODE] = true;
}

static void on_tokens(struct connection_world *w, struct connection *c,
                      const struct connection_answer *a, struct plan *plan)
{
    bool renewed = c->intent.ask == ASK_REFRESH || c->intent.ask == ASK_CLIENT_CREDENTIALS;
    take_tokens(w, c, a);
    if (!renewed)
        authorized(c);
    if (renewed && c->status == CONNECTION_COMPLETED)
        connection_say(w, c, EVENT_CONNECTION_REFRESHED, plan);
    else
        connection_try_out(w, c, plan);
}

/* ---- failures -------------------------------------------------------------------------------- */

/* Longer each time. */
static int64_t backoff_ms(int failures, int64_t least_ms, int64_t most_ms)
{
    int64_t ms = least_ms;
    for (int i = 0; i < failures && ms < most_ms; i++)
        ms *= 2;
    return ms < most_ms ? ms : most_ms;
}

static void die(struct connection_world *w, struct connection *c, const struct connection_answer *a,
                struct plan *plan)
{
    connection_touch(c, w->now_ms);
    plan->kind = PLAN_DEAD;
    plan->failure_code = a->code;
    plan->failure_message = a->message;
}

/* The same, intended anew: the command may be past what it began with (its state is used, its
 * tokens are there), and goes on where it was. */
static void try_again(struct connection_world *w, struct connection *c,
                      const struct connection_answer *a, struct plan *plan)
{
    c->intent.id = w->intent_id;
    c->intent.at_ms = w->now_ms;
    c->intent.sent_ms = 0;
    connection_touch(c, w->now_ms);
    plan->kind = PLAN_RETRY;
    plan->due_ms = a->retry_ms;
    plan->failure_code = a->code;
    plan->failure_message = a->message;
}

/* Nothing was asked of it, or nothing done: what there is stays as it is. */
static void not_renewed(struct connection_world *w, struct connection *c,
                        const struct connection_answer *a, struct plan *plan)
{
    if (!a->last) {
        try_again(w, c, a, plan);
        return;
    }
    c->intent = (struct connection_intent){0};
    c->message = a->message;
    c->renew_ms = w->now_ms + backoff_ms(c->failures++, BACKOFF_MS, CONNECTION_SCAN_MS);
    if (a->retry_ms > c->renew_ms)
        c->renew_ms = a->retry_ms;
    die(w, c, a, plan);
}

/* The grant is worth nothing. Whoever was in doubt about it knows now. */
static void condemn(struct connection_world *w, struct connection *c,
                    const struct connection_answer *a, struct plan *plan)
{
    bool lost = c->doubt_ms != 0;
    c->intent = (struct connection_intent){0};
    c->doubt_ms = 0;
    c->renew_ms = 0;
    c->has_refresh = false;
    c->refresh_gone = true;
    c->refresh = (struct sealed){0};
    c->drop[SECRET_REFRESH] = true;
    connection_fail(c, lost ? CONNECTION_RECONNECT : CONNECTION_REFUSED, a->message);
    connection_say(w, c, EVENT_CONNECTION_FAILED, plan);
}

/* As it is configured it gets no tokens; what it has may be used up. It is asked again now and
 * then: what was wrong may have been wrong at the provider's. */
static void misconfigured(struct connection_world *w, struct connection *c,
                          const struct connection_answer *a, struct plan *plan)
{
    c->intent = (struct connection_intent){0};
    c->renew_ms = w->now_ms + backoff_ms(c->failures++, CONNECTION_SCAN_MS, DAY_MS);
    if (connection_serving(c, w->now_ms)) {
        c->reason = CONNECTION_MISCONFIGURED;
        c->message = a->message;
        die(w, c, a, plan);
        return;
    }
    connection_fail(c, CONNECTION_MISCONFIGURED, a->message);
    connection_say(w, c, EVENT_CONNECTION_FAILED, plan);
}

/* ---- by what was asked ----------------------------------------------------------------------- */

static bool sent_and_lost(const struct connection_answer *a)
{
    return a->kind == ANSWER_SILENT || a->kind == ANSWER_GOOD || a->kind == ANSWER_BAD ||
           a->kind == ANSWER_DEVICE || a->kind == ANSWER_PENDING;
}

/* Repeated after a pause, as its policy says, while that does no harm; with no try left it is
 * looked at again when the grace may be over. */
static void in_doubt(struct connection_world *w, struct connection *c,
                     const struct connection_answer *a, struct plan *plan)
{
    connection_tell(c, EVENT_CONNECTION_DOUBTED, plan);
    connection_drop(c);
    if (!connection_repeatable(w, c)) {
        connection_renew(w, c, plan);
    } else if (a->last) {
        c->renew_ms = w->now_ms + BACKOFF_MS;
        die(w, c, a, plan);
    } else {
        connection_touch(c, w->now_ms);
        plan->kind = PLAN_RETRY;
        plan->failure_code = a->code;
        plan->failure_message = a->message;
    }
}

/* What nobody has claimed nobody has sent, whatever became of the attempt. */
static void on_refresh(struct connection_world *w, struct connection *c,
                       const struct connection_answer *a, struct plan *plan)
{
    if (sent_and_lost(a) && c->intent.sent_ms && w->rules->refresh != REFRESH_REPEATABLE)
        in_doubt(w, c, a, plan);
    else if (a->kind == ANSWER_REFUSED || a->kind == ANSWER_DENIED)
        condemn(w, c, a, plan);
    else if (a->kind == ANSWER_INVALID)
        misconfigured(w, c, a, plan);
    else
        not_renewed(w, c, a, plan);
}

static void on_client_credentials(struct connection_world *w, struct connection *c,
                                  const struct connection_answer *a, struct plan *plan)
{
    if (a->kind == ANSWER_REFUSED || a->kind == ANSWER_DENIED || a->kind == ANSWER_INVALID)
        misconfigured(w, c, a, plan);
    else
        not_renewed(w, c, a, plan);
}

static void on_exchange(struct connection_world *w, struct connection *c,
                        const struct connection_answer *a, struct plan *plan)
{
    bool unheard = a->kind == ANSWER_NOT_SENT || a->kind == ANSWER_LATER;
    if (unheard && !a->last) { /* the code is still good, and still there */
        try_again(w, c, a, plan);
        return;
    }
    enum connection_reason why = a->kind == ANSWER_DENIED    ? CONNECTION_DENIED
                                 : a->kind == ANSWER_INVALID ? CONNECTION_MISCONFIGURED
                                                             : CONNECTION_REFUSED;
    connection_not_authorized(w, c, why, a->message ? a->message : "the provider gave no answer",
                              plan);
}

static void tested(struct connection_world *w, struct connection *c, struct plan *plan)
{
    bool news = c->status != CONNECTION_COMPLETED;
    c->tested_ms = w->now_ms;
    c->status = CONNECTION_COMPLETED;
    if (c->reason == CONNECTION_TEST_FAILED || c->reason == CONNECTION_TEST_UNANSWERED) {
        c->reason = CONNECTION_FINE;
        c->message = NULL;
    }
    if (!c->completed_ms)
        c->completed_ms = w->now_ms;
    connection_say(w, c, news ? EVENT_CONNECTION_COMPLETED : EVENT_CONNECTION_TESTED, plan);
}

/* Only what a test has made failed, a test makes good: a grant that was refused stays so. */
static bool may_pass(const struct connection *c)
{
    return c->status != CONNECTION_FAILED || c->reason == CONNECTION_TEST_FAILED ||
           c->reason == CONNECTION_TEST_UNANSWERED;
}

static void on_test(struct connection_world *w, struct connection *c,
                    const struct connection_answer *a, struct plan *plan)
{
    bool bad = a->kind == ANSWER_BAD || a->kind == ANSWER_REFUSED || a->kind == ANSWER_DENIED ||
               a->kind == ANSWER_INVALID;
    if (!a->last && !bad && a->kind != ANSWER_GOOD) {
        try_again(w, c, a, plan);
        return;
    }
    c->intent = (struct connection_intent){0};
    if (a->kind == ANSWER_GOOD && may_pass(c)) {
        tested(w, c, plan);
    } else if (a->kind == ANSWER_GOOD) {
        c->tested_ms = w->now_ms;
        connection_say(w, c, EVENT_CONNECTION_TESTED, plan);
    } else if (bad) {
        c->tested_ms = w->now_ms;
        if (may_pass(c))
            connection_fail(c, CONNECTION_TEST_FAILED, a->message);
        connection_say(w, c, EVENT_CONNECTION_FAILED, plan);
    } else if (c->status == CONNECTION_TESTING) {
        connection_fail(c, CONNECTION_TEST_UNANSWERED, a->message);
        connection_say(w, c, EVENT_CONNECTION_FAILED, plan);
    } else if (w->by_itself) { /* as it will be again, in a minute */
        connection_touch(c, w->now_ms);
        connection_refuse(plan, REFUSAL_CONNECTION_PUT_OFF);
    } else {
        die(w, c, a, plan);
    }
}

static void on_introspect(struct connection_world *w, struct connection *c,
                          const struct connection_answer *a, struct plan *plan)
{
    bool cannot_tell =
        a->kind == ANSWER_REFUSED || a->kind == ANSWER_DENIED || a->kind == ANSWER_INVALID;
    if (a->kind == ANSWER_GOOD) {
        c->doubt_ms = 0;
        connection_renew(w, c, plan);
    } else if (a->kind == ANSWER_BAD || cannot_tell) {
        struct connection_world blind = *w;
        struct connection_rules rules = *w->rules;
        rules.introspects = false;
        blind.rules = &rules;
        connection_renew(&blind, c, plan);
    } else {
        not_renewed(w, c, a, plan); /* in doubt as before */
    }
}

/* Somebody waits for the end of a connection: not for a time-out after another, nor for long. */
static bool may_revoke_again(const struct connection_world *w, const struct connection *c,
                             const struct connection_answer *a)
{
    bool unheard = a->kind == ANSWER_LATER || a->kind == ANSWER_NOT_SENT;
    if (a->last || !c->deleting)
        return !a->last && (unheard || a->kind == ANSWER_SILENT);
    return unheard && a->retry_ms <= w->now_ms + CONNECTION_SEND_MS;
}

static const char *what_became(const struct connection_answer *a)
{
    bool told = a->kind == ANSWER_REFUSED || a->kind == ANSWER_DENIED || a->kind == ANSWER_INVALID;
    if (a->kind == ANSWER_GOOD)
        return "its tokens are revoked";
    return told ? "the provider did not revoke its tokens: they end later" : CONNECTION_NOT_REVOKED;
}

static void on_revoke(struct connection_world *w, struct connection *c,
                      const struct connection_answer *a, struct plan *plan)
{
    bool orphaned = !c->deleting;
    if (may_revoke_again(w, c, a)) {
        try_again(w, c, a, plan);
    } else if (orphaned) {
        c->intent = (struct connection_intent){0};
        c->orphan = (struct sealed){0};
        c->orphan_gone = true;
        connection_say(w, c, EVENT_CONNECTION_LATE, plan);
    } else {
        connection_remove(w, c, what_became(a), plan);
    }
}

/* Until the person is done, or the code is over: then connection_authorize says so. */
static void poll_on(struct connection_world *w, struct connection *c, int64_t not_before_ms,
                    struct plan *plan)
{
    connection_touch(c, w->now_ms);
    plan->kind = PLAN_POLL;
    plan->due_ms = w->now_ms + c->poll_every_ms;
    if (plan->due_ms < not_before_ms)
        plan->due_ms = not_before_ms;
    if (plan->due_ms > c->waiting_until_ms)
        plan->due_ms = c->waiting_until_ms;
}

static void on_device(struct connection_world *w, struct connection *c,
                      const struct connection_answer *a, struct plan *plan)
{
    c->intent = (struct connection_intent){0};
    c->device = a->device;
    c->user_code = a->user_code;
    c->verification_uri = a->verification_uri;
    c->poll_every_ms = a->poll_ms;
    connection_await(w, c, a->until_ms);
    connection_tell(c, EVENT_CONNECTION_WAITING, plan);
    poll_on(w, c, 0, plan);
}

/* A poll that was lost is followed by the next. */
static void on_poll(struct connection_world *w, struct connection *c,
                    const struct connection_answer *a, struct plan *plan)
{
    bool final = a->kind == ANSWER_REFUSED || a->kind == ANSWER_DENIED || a->kind == ANSWER_INVALID;
    if (final) {
        connection_not_authorized(w, c,
                                  a->kind == ANSWER_DENIED ? CONNECTION_DENIED : CONNECTION_REFUSED,
                                  a->message, plan);
        return;
    }
    c->intent = (struct connection_intent){0};
    if (a->kind == ANSWER_PENDING && a->poll_ms > c->poll_every_ms)
        c->poll_every_ms = a->poll_ms;
    poll_on(w, c, a->retry_ms, plan);
}

static void on_failed_device(struct connection_world *w, struct connection *c,
                             const struct connection_answer *a, struct plan *plan)
{
    bool again = a->kind == ANSWER_LATER || a->kind == ANSWER_NOT_SENT || a->kind == ANSWER_SILENT;
    if (again && !a->last)
        try_again(w, c, a, plan);
    else
        connection_not_authorized(w, c, CONNECTION_MISCONFIGURED, a->message, plan);
}

/* ---- any answer ------------------------------------------------------------------------------ */

static bool fits(const struct connection *c, const struct connection_answer *a)
{
    return connection_exists(c) && c->intent.id && a->intent && !strcmp(c->intent.id, a->intent) &&
           a->generation == c->generation && a->config_version == c->config_version;
}

/* Nobody will use these tokens: given back where that is offered. What the row has of an intent is
 * somebody else's, and stays. */
static void on_late(struct connection_world *w, const struct connection_answer *a,
                    struct plan *plan)
{
    struct connection *c = w->connection;
    if (!c) {
        plan->kind = PLAN_DEAD;
        plan->failure_message = "an answer about a connection that never was";
        return;
    }
    bool back = a->kind == ANSWER_TOKENS && w->rules->revokes && connection_exists(c) &&
                !c->deleting && !c->intent.id;
    if (back) {
        c->orphan = a->refresh.p ? a->refresh : a->access;
        connection_order(w, c, ASK_REVOKE, plan);
        return;
    }
    connection_say(w, c, EVENT_CONNECTION_LATE, plan);
}

void connection_answered(struct connection_world *w, const struct connection_answer *a,
                         struct plan *plan)
{
    struct connection *c = w->connection;
    plan_clear(plan);
    if (!fits(c, a)) {
        on_late(w, a, plan);
        return;
    }
    if (a->endpoints)
        c->endpoints = a->endpoints;
    bool for_tokens = c->intent.ask == ASK_EXCHANGE || c->intent.ask == ASK_REFRESH ||
                      c->intent.ask == ASK_CLIENT_CREDENTIALS || c->intent.ask == ASK_DEVICE_POLL;
    if (a->kind == ANSWER_TOKENS && for_tokens) {
        on_tokens(w, c, a, plan);
        return;
    }
    switch (c->intent.ask) {
    case ASK_EXCHANGE:
        on_exchange(w, c, a, plan);
        break;
    case ASK_REFRESH:
        on_refresh(w, c, a, plan);
        break;
    case ASK_CLIENT_CREDENTIALS:
        on_client_credentials(w, c, a, plan);
        break;
    case ASK_TEST:
        on_test(w, c, a, plan);
        break;
    case ASK_INTROSPECT:
        on_introspect(w, c, a, plan);
        break;
    case ASK_REVOKE:
        on_revoke(w, c, a, plan);
        break;
    case ASK_DEVICE:
        if (a->kind == ANSWER_DEVICE)
            on_device(w, c, a, plan);
        else
            on_failed_device(w, c, a, plan);
        break;
    case ASK_DEVICE_POLL:
        on_poll(w, c, a, plan);
        break;
    case ASK_NONE:
    case ASK_KINDS:
        break;
    }
}

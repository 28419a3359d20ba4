#include "domain/session.h"

#include "domain/session_steps.h"
#include "domain/user.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define PROVISION_ATTEMPTS_MAX 3

static void cancelled(struct session *s, struct plan *plan)
{
    plan->kind = PLAN_CANCELLED;
    session_say(plan, EVENT_COMMAND_CANCELLED, s)->ends = END_CANCELLED;
}

static void refuse(struct plan *plan, enum refusal_name why)
{
    plan_refuse(plan, EVENT_SESSION_REFUSED, why);
}

static bool start_is_open(const struct session *s)
{
    return s->status == SESSION_PROVISIONING || s->cancelling;
}

/* It ended for no other reason than that this start died, which is replayed now (ADR 0012). */
static bool begins_anew(const struct world *w, const struct session_start *cmd)
{
    const struct session *s = w->session;
    return s && w->replay_of && s->status == SESSION_TERMINATED && s->reason == REASON_FAILED &&
           !strcmp(s->user_id, cmd->user_id) &&
           !memcmp(s->start_digest, w->replay_of, sizeof s->start_digest);
}

/* The session is known already. */
static void meet_row(struct world *w, const struct session_start *cmd, struct plan *plan)
{
    struct session *s = w->session;
    if (s->tombstone && !strcmp(s->user_id, cmd->user_id))
        cancelled(s, plan);
    else if (start_is_open(s) &&
             !memcmp(s->start_digest, w->command.digest, sizeof s->start_digest))
        plan->kind = PLAN_NONE;
    else
        refuse(plan, REFUSAL_SESSION_EXISTS);
}

/* A session in provisioning is about to be superseded and does not stand in the
 * way. */
static int64_t sessions_in_use(const struct world *w)
{
    int64_t n = 0;
    for (size_t i = 0; i < w->nlive; i++)
        n += w->live[i]->status == SESSION_ACTIVE || w->live[i]->status == SESSION_IDLE;
    return n;
}

static bool user_may_start(struct world *w, bool anew, int64_t now_ms, struct plan *plan)
{
    const struct user *u = w->user;
    if (!u || u->removed)
        refuse(plan, REFUSAL_USER_UNKNOWN);
    else if (!u->is_active || u->removing)
        refuse(plan, REFUSAL_USER_INACTIVE);
    else if (sessions_in_use(w) >= u->quota_concurrent)
        refuse(plan, REFUSAL_QUOTA_CONCURRENT);
    else if (!anew && user_sessions_today(u, now_ms) >= u->quota_per_day)
        refuse(plan, REFUSAL_QUOTA_DAILY);
    else if (w->key_in_use)
        refuse(plan, REFUSAL_KEY_IN_USE);
    else
        return true;
    return false;
}

/* One that is on its way out longer comes before one that this start
 * supersedes. */
static const struct session *first_leaving(const struct world *w)
{
    const struct session *superseded = NULL;
    for (size_t i = 0; i < w->nlive; i++) {
        if (w->live[i]->cancelling)
            return w->live[i];
        if (!superseded && w->live[i]->status == SESSION_PROVISIONING)
            superseded = w->live[i];
    }
    return superseded;
}

static void supersede(struct world *w, int64_t now_ms, struct plan *plan)
{
    for (size_t i = 0; i < w->nlive; i++)
        if (w->live[i]->status == SESSION_PROVISIONING)
            session_cancel(w->live[i], w->deployment, REASON_SUPERSEDED, now_ms, plan);
}

static void wait_behind(const struct session *s, struct plan *plan)
{
    plan->kind = PLAN_LANE;
    int n = snprintf(plan->lane, sizeof plan->lane, "session/%s", s->id);
    assert(n > 0 && (size_t)n < sizeof plan->lane);
    (void)n;
}

static void fill(struct session *s, const struct world *w, const struct session_start *cmd,
                 int64_t now_ms)
{
    const struct limits *l = w->limits;
    *s = (struct session){
        .id = cmd->session_id,
        .user_id = cmd->user_id,
        .driver = cmd->driver ? cmd->driver : l->default_driver,
        .profile = cmd->profile,
        .status = SESSION_PROVISIONING,
        .client_public_key = cmd->client_public_key,
        .address = w->address,
        .allowed_ips = cmd->allowed_ips ? cmd->allowed_ips : l->default_allowed_ips,
        .dns_servers = cmd->dns_servers ? cmd->dns_servers : l->default_dns_servers,
        .created_ms = now_ms,
        .idle_timeout_minutes =
            cmd->idle_timeout_minutes ? cmd->idle_timeout_minutes : l->default_idle_timeout_minutes,
    };
    memcpy(s->start_digest, w->command.digest, sizeof s->start_digest);
}

static void accept(struct world *w, const struct session_start *cmd, bool anew, int64_t now_ms,
                   struct plan *plan)
{
    if (anew) {
        session_uncount_end(w, w->session);
        w->deployment->provisioning_failures--;
    } else {
        user_count_session(w->user, now_ms);
        w->deployment->provisioning_attempts++;
    }
    fill(w->fresh, w, cmd, now_ms);
    w->deployment->instances++;
    w->deployment->sessions++;
    deployment_settle(w->deployment);
    session_say(plan, EVENT_SESSION_PROVISIONING, w->fresh);
    session_effect(w->fresh, EFFECT_CREATE, false, plan);
}

void session_start(struct world *w, const struct session_start *cmd, int64_t now_ms,
                   struct plan *plan)
{
    plan_clear(plan);
    bool anew = begins_anew(w, cmd);
    if (w->session && !anew) {
        meet_row(w, cmd, plan);
        return;
    }
    if (!user_may_start(w, anew, now_ms, plan))
        return;
    if (w->provider_out) {
        refuse(plan, REFUSAL_PROVIDER_UNAVAILABLE);
        return;
    }
    bool full = w->deployment->instances >= w->deployment->capacity;
    const struct session *leaving = first_leaving(w);
    if ((full || !w->address) && !leaving) {
        refuse(plan, full ? REFUSAL_CAPACITY_EXHAUSTED : REFUSAL_ADDRESS_EXHAUSTED);
        return;
    }
    supersede(w, now_ms, plan);
    if (full || !w->address)
        wait_behind(leaving, plan);
    else
        accept(w, cmd, anew, now_ms, plan);
}

void session_resume(struct world *w, int64_t now_ms, struct plan *plan)
{
    (void)now_ms;
    plan_clear(plan);
    struct session *s = w->session;
    if (!s)
        return;
    if (s->status == SESSION_PROVISIONING)
        session_effect(s, EFFECT_CREATE, false, plan);
    else if (s->cancelling)
        session_effect(s, EFFECT_DELETE, true, plan);
}

void session_give_up(struct world *w, enum session_reason why, const char *code,
                     const char *message, int64_t now_ms, struct plan *plan)
{
    plan_clear(plan);
    struct session *s = w->session;
    if (!s || s->status != SESSION_PROVISIONING)
        return;
    assert(why == REASON_FAILED || why == REASON_CANCELLED);
    if (why == REASON_FAILED) {
        s->error_code = code;
        s->error_message = message;
        w->deployment->provisioning_failures++;
    }
    session_cancel(s, w->deployment, why, now_ms, plan);
    session_effect(s, EFFECT_DELETE, true, plan);
}

/* A failure can know the instance too: the one to clean up. */
static void take_instance(struct session *s, const struct outcome *o)
{
    if (o->instance_id)
        s->instance_id = o->instance_id;
    if (o->public_ip)
        s->public_ip = o->public_ip;
    if (o->server_public_key)
        s->server_public_key = o->server_public_key;
    if (o->endpoint)
        s->endpoint = o->endpoint;
    if (o->port)
        s->port = o->port;
}

static void created_ok(struct world *w, int64_t now_ms, struct plan *plan)
{
    struct session *s = w->session;
    session_move(s, SESSION_ACTIVE);
    /* Another worker's clock, or one that stepped back, makes no negative duration. */
    s->activated_ms = s->last_activity_ms = now_ms > s->created_ms ? now_ms : s->created_ms;
    s->rx_mark = 0; /* a new peer counts from zero */
    s->rx_mark_ms = now_ms;
    s->error_code = s->error_message = NULL;
    plan->kind = PLAN_DONE;
    session_say(plan, EVENT_SESSION_ACTIVE, s)->ends = END_DONE;
    session_budget(s, "provision", now_ms - s->created_ms, w->limits->provision_budget_ms, plan);
}

static void note_error(struct session *s, const struct outcome *o)
{
    s->error_code = o->code ? o->code : "provider.failed";
    s->error_message = o->message ? o->message : "the provider did not say why";
}

static void created_again(struct session *s, const struct outcome *o, int64_t now_ms,
                          struct plan *plan)
{
    if (s->provision_attempts < PROVISION_ATTEMPTS_MAX)
        s->provision_attempts++;
    plan->kind = PLAN_RETRY;
    plan->due_ms = o->kind == OUTCOME_THROTTLED ? now_ms + o->retry_ms : 0;
    plan->failure_code = s->error_code;
    plan->failure_message = s->error_message;
}

static void created_failed(struct world *w, const struct outcome *o, int64_t now_ms,
                           struct plan *plan)
{
    struct session *s = w->session;
    note_error(s, o);
    if (!o->last && o->kind != OUTCOME_PERMANENT) {
        created_again(s, o, now_ms, plan);
        return;
    }
    w->deployment->provisioning_failures++;
    session_cancel(s, w->deployment, REASON_FAILED, now_ms, plan);
    session_effect(s, EFFECT_DELETE, true, plan);
}

void session_created(struct world *w, const struct outcome *o, int64_t now_ms, struct plan *plan)
{
    plan_clear(plan);
    struct session *s = w->session;
    if (!s || !start_is_open(s))
        return;
    take_instance(s, o);
    if (s->cancelling) {
        session_effect(s, EFFECT_DELETE, true, plan);
    } else if (o->kind == OUTCOME_OK) {
        created_ok(w, now_ms, plan);
    } else if (o->kind == OUTCOME_PENDING) {
        plan->kind = PLAN_POLL;
        plan->due_ms = now_ms + o->poll_ms;
    } else {
        created_failed(w, o, now_ms, plan);
    }
}

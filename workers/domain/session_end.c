#include "domain/session.h"

#include "domain/session_steps.h"

#include <assert.h>
#include <string.h>

#define HOUR_MS INT64_C(3600000)

/* In two parts, so that no product overflows. */
static int64_t cost_micros(int64_t ms, int64_t per_hour)
{
    return ms / HOUR_MS * per_hour + ms % HOUR_MS * per_hour / HOUR_MS;
}

void session_uncount_end(struct world *w, const struct session *s)
{
    struct deployment *d = w->deployment;
    d->bytes_transferred -= s->rx_bytes + s->tx_bytes;
    d->cost_micros -=
        cost_micros(s->terminated_ms - s->created_ms, w->limits->cost_micros_per_hour);
}

static void count_end(struct world *w, const struct session *s)
{
    struct deployment *d = w->deployment;
    d->instances--;
    d->bytes_transferred += s->rx_bytes + s->tx_bytes;
    d->cost_micros +=
        cost_micros(s->terminated_ms - s->created_ms, w->limits->cost_micros_per_hour);
    deployment_settle(d);
}

static struct plan_event *terminate(struct world *w, const struct outcome *o, int64_t now_ms,
                                    struct plan *plan)
{
    struct session *s = w->session;
    session_move(s, SESSION_TERMINATED);
    s->cancelling = false;
    s->address = NULL;
    /* A clock that stepped back makes no negative duration, of the session or of its removal. */
    int64_t began_ms = s->terminating_ms > s->created_ms ? s->terminating_ms : s->created_ms;
    s->terminated_ms = now_ms > began_ms ? now_ms : began_ms;
    if (o->rx_bytes >= 0)
        s->rx_bytes = o->rx_bytes;
    if (o->tx_bytes >= 0)
        s->tx_bytes = o->tx_bytes;
    count_end(w, s);
    struct plan_event *e = session_say(plan, EVENT_SESSION_TERMINATED, s);
    e->duration_ms = s->terminated_ms - s->created_ms;
    return e;
}

/* The stop that waited for provisioning, if there is one, ends with this event.
 */
static void end_waiting_stop(struct session *s, struct plan_event *e, enum ending ending)
{
    e->ends = ending;
    e->ended = s->stop;
    s->stop = (struct command_ref){0};
}

static void die(const struct session *s, struct plan *plan)
{
    plan->kind = PLAN_DEAD;
    plan->failure_code = s->error_code;
    plan->failure_message = s->error_message;
}

static void compensated(struct world *w, const struct outcome *o, int64_t now_ms, struct plan *plan)
{
    struct session *s = w->session;
    struct plan_event *gone = terminate(w, o, now_ms, plan);
    if (s->stop.id)
        end_waiting_stop(s, gone, END_DONE);
    if (s->reason == REASON_FAILED) {
        die(s, plan);
        return;
    }
    plan->kind = PLAN_CANCELLED;
    session_say(plan, EVENT_COMMAND_CANCELLED, s)->ends = END_CANCELLED;
}

static void stopped(struct world *w, const struct outcome *o, int64_t now_ms, struct plan *plan)
{
    struct session *s = w->session;
    plan->kind = PLAN_DONE;
    terminate(w, o, now_ms, plan)->ends = END_DONE;
    session_budget(s, "stop", now_ms - s->terminating_ms, w->limits->stop_budget_ms, plan);
}

static void give_up(struct session *s, const struct outcome *o, struct plan *plan)
{
    s->cancelling = false;
    s->error_code = o->code ? o->code : "provider.removal_failed";
    s->error_message = o->message ? o->message : "the provider did not say why";
    if (s->stop.id)
        end_waiting_stop(s, session_say(plan, EVENT_SESSION_TERMINATING, s), END_DEAD);
    die(s, plan);
}

static void removed_failed(struct session *s, const struct outcome *o, int64_t now_ms,
                           struct plan *plan)
{
    if (o->last || o->kind == OUTCOME_PERMANENT) {
        give_up(s, o, plan);
        return;
    }
    plan->kind = PLAN_RETRY;
    plan->due_ms = o->kind == OUTCOME_THROTTLED ? now_ms + o->retry_ms : 0;
    plan->failure_code = o->code;
    plan->failure_message = o->message;
}

void session_removed(struct world *w, const struct outcome *o, bool compensation, int64_t now_ms,
                     struct plan *plan)
{
    plan_clear(plan);
    struct session *s = w->session;
    if (s && s->status == SESSION_TERMINATED && !compensation) {
        plan_refuse(plan, EVENT_SESSION_REFUSED, REFUSAL_SESSION_TERMINATED);
        return;
    }
    if (!s || s->status != SESSION_TERMINATING || s->cancelling != compensation)
        return;
    if (o->kind == OUTCOME_PENDING) {
        plan->kind = PLAN_POLL;
        plan->due_ms = now_ms + o->poll_ms;
    } else if (o->kind != OUTCOME_OK) {
        removed_failed(s, o, now_ms, plan);
    } else if (compensation) {
        compensated(w, o, now_ms, plan);
    } else {
        stopped(w, o, now_ms, plan);
    }
}

/* Left where a session would be, so that a start that comes later meets it. A
 * complete row. */
static void leave_tombstone(struct world *w, const struct session_stop *cmd, int64_t now_ms,
                            struct plan *plan)
{
    *w->fresh = (struct session){
        .id = cmd->session_id,
        .user_id = cmd->user_id,
        .driver = w->limits->default_driver,
        .status = SESSION_TERMINATED,
        .reason = REASON_CANCELLED,
        .tombstone = true,
        .allowed_ips = w->limits->default_allowed_ips,
        .dns_servers = w->limits->default_dns_servers,
        .created_ms = now_ms,
        .terminated_ms = now_ms,
        .idle_timeout_minutes = w->limits->default_idle_timeout_minutes,
    };
    plan->kind = PLAN_DONE;
    session_say(plan, EVENT_SESSION_TERMINATED, w->fresh)->ends = END_DONE;
}

static void hand_over(struct world *w, const struct session_stop *cmd, int64_t now_ms,
                      struct plan *plan)
{
    enum session_reason why =
        cmd->as == REASON_USER_REMOVED ? REASON_USER_REMOVED : REASON_CANCELLED;
    session_cancel(w->session, w->deployment, why, now_ms, plan);
    w->session->stop = w->command;
    plan->kind = PLAN_HANDOVER;
}

static void stop_terminating(struct world *w, int64_t now_ms, struct plan *plan)
{
    struct session *s = w->session;
    if (s->cancelling) {
        bool own = s->stop.id && !memcmp(s->stop.digest, w->command.digest, sizeof s->stop.digest);
        if (!own)
            plan_refuse(plan, EVENT_SESSION_REFUSED, REFUSAL_SESSION_TERMINATING);
        return;
    }
    if (session_stuck(s)) {
        s->error_code = s->error_message = NULL;
        s->terminating_ms = now_ms;
    }
    session_effect(s, EFFECT_DELETE, false, plan);
}

void session_stop(struct world *w, const struct session_stop *cmd, int64_t now_ms,
                  struct plan *plan)
{
    plan_clear(plan);
    struct session *s = w->session;
    if (!s) {
        leave_tombstone(w, cmd, now_ms, plan);
        return;
    }
    if (strcmp(s->user_id, cmd->user_id) != 0) {
        plan_refuse(plan, EVENT_SESSION_REFUSED, REFUSAL_SESSION_UNKNOWN);
        return;
    }
    switch (s->status) {
    case SESSION_PROVISIONING:
        hand_over(w, cmd, now_ms, plan);
        break;
    case SESSION_ACTIVE:
    case SESSION_IDLE:
        session_wind_down(s, w->deployment, cmd->as, now_ms, plan);
        session_effect(s, EFFECT_DELETE, false, plan);
        break;
    case SESSION_TERMINATING:
        stop_terminating(w, now_ms, plan);
        break;
    case SESSION_TERMINATED:
        plan_refuse(plan, EVENT_SESSION_REFUSED, REFUSAL_SESSION_TERMINATED);
        break;
    case SESSION_STATUSES:
        assert(!"a status");
    }
}

#include "domain/session.h"

#include "domain/session_steps.h"

#include <assert.h>
#include <string.h>

static const char *const status_names[SESSION_STATUSES] = {
    [SESSION_PROVISIONING] = "provisioning",
    [SESSION_ACTIVE] = "active",
    [SESSION_IDLE] = "idle",
    [SESSION_TERMINATING] = "terminating",
    [SESSION_TERMINATED] = "terminated",
};

static const char *const reason_names[SESSION_REASONS] = {
    [REASON_NONE] = NULL,
    [REASON_STOPPED] = "stopped",
    [REASON_IDLE] = "idle",
    [REASON_FAILED] = "failed",
    [REASON_CANCELLED] = "cancelled",
    [REASON_SUPERSEDED] = "superseded",
    [REASON_LOST] = "lost",
    [REASON_USER_REMOVED] = "user_removed",
};

static const bool legal[SESSION_STATUSES][SESSION_STATUSES] = {
    [SESSION_PROVISIONING] = {[SESSION_ACTIVE] = true, [SESSION_TERMINATING] = true},
    [SESSION_ACTIVE] = {[SESSION_IDLE] = true, [SESSION_TERMINATING] = true},
    [SESSION_IDLE] = {[SESSION_TERMINATING] = true},
    [SESSION_TERMINATING] = {[SESSION_TERMINATED] = true},
};

const char *session_status_name(enum session_status s)
{
    assert(s < SESSION_STATUSES);
    return status_names[s];
}

const char *session_reason_name(enum session_reason r)
{
    assert(r < SESSION_REASONS);
    return reason_names[r];
}

bool session_status_parse(const char *text, enum session_status *out)
{
    for (int i = 0; i < SESSION_STATUSES; i++)
        if (text && !strcmp(text, status_names[i])) {
            *out = (enum session_status)i;
            return true;
        }
    return false;
}

bool session_reason_parse(const char *text, enum session_reason *out)
{
    for (int i = 0; i < SESSION_REASONS; i++)
        if (text && reason_names[i] ? !strcmp(text, reason_names[i]) : text == reason_names[i]) {
            *out = (enum session_reason)i;
            return true;
        }
    return false;
}

bool session_transition_legal(enum session_status from, enum session_status to)
{
    return from < SESSION_STATUSES && to < SESSION_STATUSES && legal[from][to];
}

bool session_stuck(const struct session *s)
{
    return s->status == SESSION_TERMINATING && !s->cancelling && s->error_code;
}

struct plan_event *session_say(struct plan *plan, enum event_kind kind, struct session *s)
{
    struct plan_event *e = plan_event_add(plan, kind);
    e->session = s;
    e->status = (int)s->status;
    e->reason = (int)s->reason;
    return e;
}

void session_move(struct session *s, enum session_status to)
{
    assert(session_transition_legal(s->status, to));
    s->status = to;
}

void deployment_settle(struct deployment *d)
{
    assert(0 <= d->sessions && d->sessions <= d->instances);
    d->quota_limit_reached = d->instances >= d->capacity;
}

struct plan_event *session_wind_down(struct session *s, struct deployment *d,
                                     enum session_reason why, int64_t now_ms, struct plan *plan)
{
    session_move(s, SESSION_TERMINATING);
    s->reason = why;
    s->terminating_ms = now_ms;
    d->sessions--;
    deployment_settle(d);
    return session_say(plan, EVENT_SESSION_TERMINATING, s);
}

void session_cancel(struct session *s, struct deployment *d, enum session_reason why,
                    int64_t now_ms, struct plan *plan)
{
    assert(s->status == SESSION_PROVISIONING);
    s->cancelling = true;
    session_wind_down(s, d, why, now_ms, plan);
}

void session_effect(struct session *s, enum effect_op op, bool compensating, struct plan *plan)
{
    plan->kind = PLAN_EFFECT;
    plan->effect = op;
    plan->effect_session = s;
    plan->compensating = compensating;
}

void session_budget(struct session *s, const char *operation, int64_t took_ms, int64_t budget_ms,
                    struct plan *plan)
{
    if (took_ms <= budget_ms)
        return;
    struct plan_event *e = session_say(plan, EVENT_PERFORMANCE_THRESHOLD, s);
    e->operation = operation;
    e->duration_ms = took_ms;
    e->budget_ms = budget_ms;
}

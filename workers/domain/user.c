#include "domain/user.h"

#include "domain/session_steps.h"

#define DAY_MS INT64_C(86400000)
#define POLL_MS 1000
#define DEFAULT_TENANT "GLOBAL"
#define DEFAULT_AUTH_METHOD "apikey"
#define DEFAULT_QUOTA_CONCURRENT 3
#define DEFAULT_QUOTA_PER_DAY 50

int64_t user_day(int64_t now_ms)
{
    return now_ms / DAY_MS;
}

int64_t user_sessions_today(const struct user *u, int64_t now_ms)
{
    return u->today < user_day(now_ms) ? 0 : u->sessions_today;
}

void user_count_session(struct user *u, int64_t now_ms)
{
    u->sessions_today = user_sessions_today(u, now_ms) + 1;
    if (u->today < user_day(now_ms))
        u->today = user_day(now_ms);
    u->sessions_total++;
    u->last_session_ms = now_ms;
}

static void user_renew(struct user *u, const char *id, int64_t now_ms)
{
    *u = (struct user){
        .id = id,
        .tenant = DEFAULT_TENANT,
        .auth_method = DEFAULT_AUTH_METHOD,
        .is_active = true,
        .quota_concurrent = DEFAULT_QUOTA_CONCURRENT,
        .quota_per_day = DEFAULT_QUOTA_PER_DAY,
        .sessions_total = u->sessions_total,
        .sessions_today = u->sessions_today,
        .today = u->today,
        .last_session_ms = u->last_session_ms,
        .created_ms = now_ms,
    };
}

static void take_text(const char **field, const char *value)
{
    if (value)
        *field = value;
}

static void say(struct plan *plan, enum event_kind kind, struct user *u)
{
    struct plan_event *e = plan_event_add(plan, kind);
    e->user = u;
    e->ends = END_DONE;
    plan->kind = PLAN_DONE;
}

void user_put(struct user *u, const struct user_put *cmd, int64_t now_ms, struct plan *plan)
{
    plan_clear(plan);
    if (!u->id || u->removed)
        user_renew(u, cmd->id, now_ms);
    take_text(&u->tenant, cmd->tenant);
    take_text(&u->email, cmd->email);
    take_text(&u->display_name, cmd->display_name);
    take_text(&u->auth_method, cmd->auth_method);
    take_text(&u->api_key_hash, cmd->api_key_hash);
    take_text(&u->directory_object_id, cmd->directory_object_id);
    take_text(&u->allowed_source_ips, cmd->allowed_source_ips);
    if (cmd->is_active >= 0)
        u->is_active = cmd->is_active;
    if (cmd->quota_concurrent >= 0)
        u->quota_concurrent = cmd->quota_concurrent;
    if (cmd->quota_per_day >= 0)
        u->quota_per_day = cmd->quota_per_day;
    u->updated_ms = now_ms;
    say(plan, EVENT_USER_CHANGED, u);
}

static void stop_session(struct session *s, struct deployment *d, int64_t now_ms, struct plan *plan)
{
    /* What does not fit into one plan stays and is found by the next user.remove.
     */
    if (s->status == SESSION_PROVISIONING && plan->nevents < PLAN_EVENTS_MAX)
        session_cancel(s, d, REASON_USER_REMOVED, now_ms, plan);
    else if (s->status == SESSION_ACTIVE || s->status == SESSION_IDLE || session_stuck(s))
        plan_stop_add(plan, s, session_reason_name(REASON_USER_REMOVED));
}

static void begin_removing(struct user *u, int64_t now_ms)
{
    u->removing = true;
    u->is_active = false;
    u->updated_ms = now_ms; /* the budget counts from here */
}

static void finish_removing(struct user *u, int64_t now_ms, struct plan *plan)
{
    u->removing = false;
    u->removed = true;
    u->is_active = false;
    u->api_key_hash = NULL;
    u->updated_ms = now_ms;
    say(plan, EVENT_USER_REMOVED, u);
}

static void give_up_removing(struct user *u, int64_t now_ms, struct plan *plan)
{
    u->removing = false;
    u->updated_ms = now_ms;
    plan->kind = PLAN_DEAD;
    plan->failure_code = "user.sessions_left";
    plan->failure_message =
        "sessions of the user did not end: stop them, then remove the user again";
}

void user_remove(struct user *u, struct session *const *live, size_t nlive,
                 struct deployment *deployment, int64_t now_ms, struct plan *plan)
{
    plan_clear(plan);
    if (!u || !u->id || u->removed) {
        plan_refuse(plan, EVENT_USER_REFUSED, REFUSAL_USER_UNKNOWN);
        return;
    }
    if (nlive == 0) {
        finish_removing(u, now_ms, plan);
        return;
    }
    if (!u->removing) {
        begin_removing(u, now_ms);
        for (size_t i = 0; i < nlive; i++)
            stop_session(live[i], deployment, now_ms, plan);
    } else if (now_ms - u->updated_ms >= USER_REMOVE_BUDGET_MS) {
        give_up_removing(u, now_ms, plan);
        return;
    }
    plan->kind = PLAN_POLL;
    plan->due_ms = now_ms + POLL_MS;
}

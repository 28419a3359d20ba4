#include "support/deployment_model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void model_fault(struct model *m, const char *format, ...)
{
    if (*m->fault)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(m->fault, sizeof m->fault, format, args);
    va_end(args);
}

void model_remember(struct model *m)
{
    m->deployment_before = m->deployment;
    memcpy(m->users_before, m->users, sizeof m->users);
    memcpy(m->sessions_before, m->sessions, sizeof m->sessions);
}

static bool in_use(const struct session *s)
{
    return s->id && (s->status == SESSION_PROVISIONING || s->status == SESSION_ACTIVE ||
                     s->status == SESSION_IDLE);
}

static bool is_live(const struct session *s)
{
    return s->id && s->status != SESSION_TERMINATED;
}

static bool is_of(const struct session *s, const struct user *u)
{
    return s->id && u->id && !strcmp(s->user_id, u->id);
}

const struct model_row *model_start_row(const struct model *m, int session)
{
    for (int i = 0; i < MODEL_ROWS; i++) {
        const struct model_row *r = &m->rows[i];
        if (r->state != ROW_FREE && r->state != ROW_FOLLOWER && r->command->kind == MODEL_START &&
            r->command->session == session)
            return r;
    }
    return NULL;
}

/* ---- the plan itself ---- */

static bool rows_changed(const struct model *m)
{
    return memcmp(m->sessions, m->sessions_before, sizeof m->sessions) ||
           memcmp(m->users, m->users_before, sizeof m->users) ||
           memcmp(&m->deployment, &m->deployment_before, sizeof m->deployment);
}

static void check_endings(struct model *m, const struct model_command *c, const struct plan *plan)
{
    static const enum ending own_ending[] = {[PLAN_DONE] = END_DONE,
                                             [PLAN_REFUSED] = END_REFUSED,
                                             [PLAN_CANCELLED] = END_CANCELLED,
                                             [PLAN_HANDOVER] = END_NONE};
    int own = 0;
    for (size_t i = 0; i < plan->nevents; i++) {
        const struct plan_event *e = &plan->events[i];
        if (e->ends == END_NONE || e->ended.id)
            continue;
        own++;
        if (e->ends != own_ending[plan->kind])
            model_fault(m, "%s: the event that ends it disagrees with its plan", c->id);
    }
    if (own != (own_ending[plan->kind] != END_NONE))
        model_fault(m, "%s: %d events end a plan of kind %d", c->id, own, (int)plan->kind);
}

/* A refusal has to be true. */
static bool start_refusal_holds(const struct model *m, const struct model_command *c,
                                const char *code)
{
    const struct user *u = &m->users[c->user];
    int using = 0, leaving = 0;
    for (int i = 0; i < MODEL_SESSIONS; i++) {
        const struct session *s = &m->sessions[i];
        using += is_of(s, u) && (s->status == SESSION_ACTIVE || s->status == SESSION_IDLE);
        leaving += is_of(s, u) && (s->cancelling || s->status == SESSION_PROVISIONING);
    }
    if (!strcmp(code, "user.unknown"))
        return !u->id || u->removed;
    if (!strcmp(code, "user.inactive"))
        return !u->is_active || u->removing;
    if (!strcmp(code, "session.exists"))
        return m->sessions[c->session].id;
    if (!strcmp(code, "session.quota_concurrent"))
        return using >= u->quota_concurrent;
    if (!strcmp(code, "session.quota_daily"))
        return m->accepted_today[c->user] >= u->quota_per_day &&
               m->day[c->user] == user_day(m->now_ms);
    if (!strcmp(code, "capacity.exhausted"))
        return m->deployment.instances >= m->deployment.capacity && !leaving;
    return !strcmp(code, "address.exhausted") && !model_free_address(m) && !leaving;
}

static bool stop_refusal_holds(const struct model *m, const struct model_command *c,
                               const char *code)
{
    const struct session *s = &m->sessions[c->session];
    if (!strcmp(code, "session.unknown"))
        return !is_of(s, &(struct user){.id = m->users[c->user].id});
    if (!strcmp(code, "session.terminating"))
        return s->cancelling;
    return !strcmp(code, "session.terminated") && s->status == SESSION_TERMINATED;
}

static void check_refusal(struct model *m, const struct model_command *c, const struct plan *plan)
{
    const char *code = plan->refusal.code;
    bool holds = c->kind == MODEL_START  ? start_refusal_holds(m, c, code)
                 : c->kind == MODEL_STOP ? stop_refusal_holds(m, c, code)
                                         : !m->users[c->user].id || m->users[c->user].removed;
    if (!holds)
        model_fault(m, "%s is refused %s, which is not so", c->id, code);
}

static void check_accepted(struct model *m, const struct model_command *c)
{
    const struct user *u = &m->users[c->user];
    int used = 0;
    /* One that begins anew has its place in the day's quota already. */
    bool anew = m->sessions_before[c->session].id;
    if (anew)
        m->seen.revived++;
    else if (m->day[c->user] != user_day(m->now_ms))
        m->accepted_today[c->user] = 0;
    if (!anew) {
        m->day[c->user] = user_day(m->now_ms);
        m->accepted_today[c->user]++;
    }
    for (int i = 0; i < MODEL_SESSIONS; i++)
        used += is_of(&m->sessions[i], u) && in_use(&m->sessions[i]);
    if (used > u->quota_concurrent)
        model_fault(m, "%s: %d sessions at a quota of %d", c->id, used, u->quota_concurrent);
    if (!anew && m->accepted_today[c->user] > u->quota_per_day)
        model_fault(m, "%s: more sessions in a day than allowed", c->id);
    if (m->deployment.instances > m->deployment.capacity)
        model_fault(m, "%s: started above the capacity", c->id);
    if (!u->is_active || u->removing || u->removed)
        model_fault(m, "%s: started for a user who may not", c->id);
}

void model_check_plan(struct model *m, const struct model_command *c, const struct plan *plan)
{
    check_endings(m, c, plan);
    if (plan->kind == PLAN_REFUSED)
        check_refusal(m, c, plan);
    if ((plan->kind == PLAN_REFUSED || plan->kind == PLAN_NONE) && rows_changed(m))
        model_fault(m, "%s changes rows and says nothing", c->id);
    if (plan->kind == PLAN_HANDOVER &&
        (!m->sessions[c->session].stop.id || !model_start_row(m, c->session)))
        model_fault(m, "%s is handed over to nobody", c->id);
    if (m->deployment.instances > m->deployment_before.instances)
        check_accepted(m, c);
}

/* ---- the rows ---- */

static void count_seen(struct model *m, const struct session *s, enum session_status from)
{
    if (s->status == from && s->id == m->sessions_before[model_session_index(s)].id)
        return;
    m->seen.active += s->status == SESSION_ACTIVE;
    m->seen.idle += s->status == SESSION_IDLE;
    m->seen.superseded += s->status == SESSION_TERMINATED && s->reason == REASON_SUPERSEDED;
    m->seen.failed += s->status == SESSION_TERMINATED && s->reason == REASON_FAILED;
    m->seen.tombstones += s->tombstone;
}

/* Only what failed, and only by its replay. */
static bool begins_anew(const struct model *m, const struct session *s, const struct session *was)
{
    return m->replaying && was->id && was->status == SESSION_TERMINATED &&
           was->reason == REASON_FAILED && s->status == SESSION_PROVISIONING &&
           !strcmp(s->user_id, was->user_id);
}

/* Invariant 1. */
static void check_transition(struct model *m, int i)
{
    const struct session *s = &m->sessions[i], *was = &m->sessions_before[i];
    if (begins_anew(m, s, was)) {
        count_seen(m, s, was->status);
        return;
    }
    if (!was->id) {
        if (s->status != SESSION_PROVISIONING && !s->tombstone)
            model_fault(m, "%s begins as %s", s->id, session_status_name(s->status));
    } else if (s->status != was->status && !session_transition_legal(was->status, s->status)) {
        model_fault(m, "%s: %s -> %s", s->id, session_status_name(was->status),
                    session_status_name(s->status));
    } else if (was->status == SESSION_TERMINATED && memcmp(s, was, sizeof *s)) {
        model_fault(m, "%s changes after its end", s->id);
    } else if (was->reason != REASON_NONE && s->reason != was->reason) {
        model_fault(m, "%s: its first reason is overwritten", s->id);
    }
    count_seen(m, s, was->status);
    m->seen.stuck += session_stuck(s) && !session_stuck(was);
}

/* Invariants 2, 4, 5. */
static void check_session(struct model *m, int i)
{
    const struct session *s = &m->sessions[i];
    const struct model_row *start = model_start_row(m, i);
    bool leaving_by_start = start && s->status == SESSION_TERMINATING;
    if (s->cancelling != leaving_by_start)
        model_fault(m, "%s: cancelling is %d, its start is %s", s->id, s->cancelling,
                    start ? "open" : "ended");
    if (s->status == SESSION_PROVISIONING && !start)
        model_fault(m, "%s provisions and nobody is at it", s->id);
    if ((s->status == SESSION_TERMINATED) != !s->address)
        model_fault(m, "%s is %s and its address is %s", s->id, session_status_name(s->status),
                    s->address ? s->address : "gone");
    if (m->sessions_before[i].address && s->address && s->address != m->sessions_before[i].address)
        model_fault(m, "%s changes its address", s->id);
    if (s->stop.id && !s->cancelling)
        model_fault(m, "%s: a stop waits for nobody", s->id);
    if (s->provision_attempts < 0 || s->provision_attempts > 3 ||
        (start && s->provision_attempts != start->command->retries))
        model_fault(m, "%s counts %d attempts", s->id, s->provision_attempts);
    if ((s->status >= SESSION_TERMINATING) != (s->reason != REASON_NONE))
        model_fault(m, "%s: a reason without an ending, or the reverse", s->id);
    if ((s->status == SESSION_TERMINATED) != (s->terminated_ms != 0))
        model_fault(m, "%s: terminated_ms does not fit", s->id);
}

/* Invariant 3. */
static void check_deployment(struct model *m)
{
    struct deployment sum = {.capacity = m->deployment.capacity};
    for (int i = 0; i < MODEL_SESSIONS; i++) {
        const struct session *s = &m->sessions[i];
        sum.instances += is_live(s);
        sum.sessions += in_use(s);
        sum.provisioning_attempts += s->id && !s->tombstone;
        sum.provisioning_failures += s->id && s->reason == REASON_FAILED;
        if (s->id && s->status == SESSION_TERMINATED) {
            sum.bytes_transferred += s->rx_bytes + s->tx_bytes;
            sum.cost_micros +=
                (s->terminated_ms - s->created_ms) * m->limits.cost_micros_per_hour / 3600000;
        }
    }
    sum.quota_limit_reached = sum.instances >= sum.capacity;
    const struct deployment *d = &m->deployment;
    if (d->instances != sum.instances || d->sessions != sum.sessions ||
        d->provisioning_attempts != sum.provisioning_attempts ||
        d->provisioning_failures != sum.provisioning_failures ||
        d->bytes_transferred != sum.bytes_transferred || d->cost_micros != sum.cost_micros ||
        d->quota_limit_reached != sum.quota_limit_reached)
        model_fault(m, "counters are not the rows: %d instances %d sessions, of %d and %d",
                    (int)d->instances, (int)d->sessions, (int)sum.instances, (int)sum.sessions);
}

static void check_user(struct model *m, int i)
{
    const struct user *u = &m->users[i];
    int provisioning = 0, live = 0, total = 0;
    for (int j = 0; j < MODEL_SESSIONS; j++) {
        const struct session *s = &m->sessions[j];
        provisioning += is_of(s, u) && s->status == SESSION_PROVISIONING;
        live += is_of(s, u) && is_live(s);
        total += is_of(s, u) && !s->tombstone;
    }
    if (provisioning > 1)
        model_fault(m, "%s: %d sessions provision at once", u->id, provisioning);
    if (u->removed && live)
        model_fault(m, "%s is removed and has %d sessions", u->id, live);
    if (u->removing && (u->removed || u->is_active || provisioning))
        model_fault(m, "%s is being removed and still active", u->id);
    if (u->sessions_total != total)
        model_fault(m, "%s: %d sessions in total, counted %d", u->id, total,
                    (int)u->sessions_total);
    m->seen.removed += u->removed && !m->users_before[i].removed;
}

void model_check_rows(struct model *m)
{
    for (int i = 0; i < MODEL_SESSIONS; i++) {
        if (!m->sessions[i].id)
            continue;
        check_transition(m, i);
        check_session(m, i);
    }
    for (int i = 0; i < MODEL_USERS; i++)
        if (m->users[i].id)
            check_user(m, i);
    check_deployment(m);
}

/* ---- at rest ---- */

void model_check_rest(struct model *m)
{
    for (int i = 0; i < MODEL_ROWS; i++)
        if (m->rows[i].state != ROW_FREE)
            model_fault(m, "%s never comes to rest", m->rows[i].command->id);
    for (int i = 0; i < m->ncommands; i++)
        if (m->commands[i].endings != 1)
            model_fault(m, "%s has %d endings", m->commands[i].id, m->commands[i].endings);
    for (int i = 0; i < MODEL_SESSIONS; i++) {
        const struct session *s = &m->sessions[i];
        bool used = s->id && (s->status == SESSION_ACTIVE || s->status == SESSION_IDLE);
        if (used && !m->server[i])
            model_fault(m, "%s is used and has no server", s->id);
        if (m->server[i] && !used && !session_stuck(s))
            model_fault(m, "%s has left a server behind", model_session_id(i));
        if (is_live(s) && !used && !session_stuck(s))
            model_fault(m, "%s rests in %s", s->id, session_status_name(s->status));
    }
}

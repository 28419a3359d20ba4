#include "support/deployment_model.h"

#include <string.h>

#define SECOND 1000
#define DAY_MS INT64_C(86400000)
#define CREATE_TRIES 4
#define DELETE_TRIES 3

/* ---- the driver ---- */

static enum outcome_kind roll_outcome(struct model *m)
{
    static const enum outcome_kind kinds[] = {
        OUTCOME_PENDING,   OUTCOME_TRANSIENT, OUTCOME_TRANSIENT, OUTCOME_TRANSIENT,
        OUTCOME_THROTTLED, OUTCOME_UNCERTAIN, OUTCOME_PERMANENT};
    if (!dice_percent(&m->dice, m->failing_percent))
        return OUTCOME_OK;
    return kinds[dice_below(&m->dice, 7)];
}

static void make_server(struct model *m, int session)
{
    const struct session *s = &m->sessions[session];
    for (int i = 0; i < MODEL_SESSIONS; i++)
        if (i != session && m->server[i] && m->server_address[i] == s->address)
            model_fault(m, "%s and %s hold one address", model_session_id(i), s->id);
    if (s->status == SESSION_TERMINATED || !s->address)
        model_fault(m, "a server is made for %s, which has ended", s->id);
    m->server[session] = true;
    m->server_address[session] = s->address;
}

/* What happens outside; it may happen although the answer is a failure. */
static void act(struct model *m, const struct model_row *r, enum outcome_kind kind)
{
    if (kind != OUTCOME_OK && !dice_percent(&m->dice, 40))
        return;
    if (r->op == EFFECT_CREATE)
        make_server(m, r->command->session);
    else
        m->server[r->command->session] = false;
}

static void check_answer(struct model *m, const struct model_row *r, const struct outcome *o,
                         const struct plan *plan)
{
    const struct session *s = &m->sessions[r->command->session];
    bool final = o->last || o->kind == OUTCOME_PERMANENT;
    if (plan->kind == PLAN_RETRY && final)
        model_fault(m, "%s is tried beyond its attempts", r->command->id);
    if (plan->kind == PLAN_RETRY && o->kind == OUTCOME_THROTTLED &&
        plan->due_ms < m->now_ms + o->retry_ms)
        model_fault(m, "%s is tried sooner than it may", r->command->id);
    if (plan->kind == PLAN_POLL && plan->due_ms < m->now_ms + o->poll_ms)
        model_fault(m, "%s is polled sooner than asked", r->command->id);
    if (plan->kind == PLAN_CANCELLED && s->reason == REASON_FAILED)
        model_fault(m, "%s failed and ends cancelled", r->command->id);
    if (plan->kind == PLAN_DEAD && s->reason != REASON_FAILED && !session_stuck(s))
        model_fault(m, "%s is dead and nothing has failed", r->command->id);
}

static void outcome_arrives(struct model *m, struct model_row *r)
{
    int tries = r->op == EFFECT_CREATE ? CREATE_TRIES : DELETE_TRIES;
    struct outcome o = {.kind = roll_outcome(m),
                        .last = r->attempt >= tries,
                        .instance_id = r->op == EFFECT_CREATE ? "i" : NULL,
                        .poll_ms = 5 * SECOND,
                        .retry_ms = 7 * SECOND,
                        .rx_bytes = dice_below(&m->dice, 2000) - 1,
                        .tx_bytes = dice_below(&m->dice, 2000) - 1,
                        .code = "provider.trouble"};
    act(m, r, o.kind);
    struct model_loaded l;
    struct plan plan;
    model_load(m, r->command, &l);
    if (r->op == EFFECT_CREATE)
        session_created(&l.w, &o, m->now_ms, &plan);
    else
        session_removed(&l.w, &o, r->compensating, m->now_ms, &plan);
    check_answer(m, r, &o, &plan);
    model_commit(m, r->command, &plan);
}

static struct model_row *some_row(struct model *m, enum model_state state, bool due)
{
    int from = dice_below(&m->dice, MODEL_ROWS);
    for (int i = 0; i < MODEL_ROWS; i++) {
        struct model_row *r = &m->rows[(from + i) % MODEL_ROWS];
        if (r->state == state && (!due || r->due_ms <= m->now_ms))
            return r;
    }
    return NULL;
}

static bool some_outcome(struct model *m)
{
    struct model_row *r = some_row(m, ROW_EFFECT, false);
    if (r)
        outcome_arrives(m, r);
    return r;
}

static bool some_ticket(struct model *m)
{
    struct model_row *r = some_row(m, ROW_WAIT, true);
    if (r)
        model_decide_again(m, r);
    return r;
}

/* Shard reset: outcomes under way are lost, half of them had happened; all open work comes back. */
static void reset(struct model *m)
{
    bool teardown = dice_percent(&m->dice, 50);
    m->seen.resets++;
    for (int i = 0; i < MODEL_ROWS && !*m->fault; i++) {
        struct model_row *r = &m->rows[i];
        if (r->state != ROW_EFFECT || r->teardown != teardown)
            continue;
        act(m, r, OUTCOME_UNCERTAIN);
        model_decide_again(m, r);
    }
}

/* Decided twice: the answer to the same thing for a session whose matter is closed. */
static void repeat_outcome(struct model *m)
{
    struct model_command *c = &m->commands[dice_below(&m->dice, m->ncommands)];
    struct outcome o = {.kind = roll_outcome(m), .code = "late", .rx_bytes = 5, .tx_bytes = 5};
    struct model_loaded l;
    struct plan plan;
    if (c->kind != MODEL_START || !c->delivered || model_row_of(m, c) ||
        !m->sessions[c->session].id)
        return;
    model_load(m, c, &l);
    const struct model_row *open = model_start_row(m, c->session);
    if (open)
        return;
    switch (dice_below(&m->dice, 3)) {
    case 0:
        session_created(&l.w, &o, m->now_ms, &plan);
        break;
    case 1:
        session_removed(&l.w, &o, true, m->now_ms, &plan);
        break;
    default:
        session_resume(&l.w, m->now_ms, &plan);
    }
    if (plan.kind != PLAN_NONE || plan.nevents || plan.ncommands)
        model_fault(m, "a late outcome for %s does something", model_session_id(c->session));
    model_check_plan(m, c, &plan);
}

/* ---- refresh ---- */

static void sample(struct model *m)
{
    struct session *s = &m->sessions[dice_below(&m->dice, MODEL_SESSIONS)];
    if (!s->id)
        return;
    int64_t grown = dice_percent(&m->dice, 50) ? 50000 : 40;
    bool again = dice_percent(&m->dice, 10);
    struct sample reading = {.at_ms = m->now_ms - (dice_percent(&m->dice, 20) ? 60 * SECOND : 0),
                             .rx_bytes = again ? 30 : s->rx_bytes + grown};
    const struct session before = *s;
    bool traffic = session_sampled(s, &reading, &m->limits);
    if (traffic && s->status != SESSION_ACTIVE)
        model_fault(m, "%s is not active and has activity", s->id);
    if (s->last_activity_ms < before.last_activity_ms || s->rx_mark_ms < before.rx_mark_ms)
        model_fault(m, "%s: its activity moves back", s->id);
    model_check_rows(m);
    model_remember(m);
}

static void sweep_idle(struct model *m)
{
    for (int i = 0; i < MODEL_SESSIONS; i++) {
        struct session *s = &m->sessions[i];
        int64_t due = s->id ? session_idle_at(s) : 0;
        if (!due || due > m->now_ms || *m->fault)
            continue;
        struct plan plan;
        struct model_command *c = model_issue(m, MODEL_DUE, s->user_id[1] - '0', i);
        c->delivered = true;
        model_decide_first(m, c, &plan);
        model_commit(m, c, &plan);
    }
}

/* ---- what people do ---- */

static int some_user(struct model *m)
{
    return dice_below(&m->dice, MODEL_USERS);
}

/* Mostly the next one that nobody has seen yet. */
static int session_to_start(struct model *m)
{
    int i = 0;
    if (dice_percent(&m->dice, 8))
        return dice_below(&m->dice, MODEL_SESSIONS);
    while (i < MODEL_SESSIONS - 1 && m->named[i])
        i++;
    m->named[i] = true;
    return i;
}

/* Mostly one that lives, or one whose start is still on its way; -1: there is none. */
static int session_to_stop(struct model *m)
{
    int from = dice_below(&m->dice, MODEL_SESSIONS);
    if (dice_percent(&m->dice, 8))
        return from;
    for (int i = 0; i < MODEL_SESSIONS; i++) {
        int session = (from + i) % MODEL_SESSIONS;
        const struct session *s = &m->sessions[session];
        if (s->id ? s->status != SESSION_TERMINATED
                  : m->named[session] && dice_percent(&m->dice, 20))
            return session;
    }
    return -1;
}

static void issue_start(struct model *m)
{
    model_issue(m, MODEL_START, some_user(m), session_to_start(m));
}

static void issue_stop(struct model *m)
{
    int session = session_to_stop(m);
    if (session < 0)
        return;
    const struct session *s = &m->sessions[session];
    int owner = s->id ? s->user_id[1] - '0' : some_user(m);
    model_issue(m, MODEL_STOP, dice_percent(&m->dice, 90) ? owner : some_user(m), session);
}

/* A dead letter is taken in again: under its own id, or edited under a new one. */
static void issue_replay(struct model *m)
{
    int from = m->ncommands ? dice_below(&m->dice, m->ncommands) : 0;
    for (int i = 0; i < m->ncommands; i++) {
        struct model_command *dead = &m->commands[(from + i) % m->ncommands];
        if (dead->kind != MODEL_START || !dead->dead)
            continue;
        dead->dead = false; /* its letter is spent */
        struct model_command *again = model_issue(m, MODEL_START, dead->user, dead->session);
        again->replay_of = dead;
        if (dice_percent(&m->dice, 60))
            memcpy(again->ref.digest, dead->ref.digest, sizeof dead->ref.digest);
        return;
    }
}

static bool give_up(struct model *m)
{
    struct model_row *r = some_row(m, ROW_WAIT, false);
    if (!r || r->command->kind != MODEL_START || r->compensating)
        return false;
    model_give_up(m, r, dice_percent(&m->dice, 50) ? REASON_FAILED : REASON_CANCELLED);
    return true;
}

static void issue_put(struct model *m, int user)
{
    struct model_command *c = model_issue(m, MODEL_PUT, user, 0);
    c->put = (struct user_put){
        .id = model_user_id(user),
        .is_active = dice_percent(&m->dice, 85) ? 1 : dice_below(&m->dice, 2) - 1,
        .quota_concurrent = dice_percent(&m->dice, 50) ? 1 + dice_below(&m->dice, 3) : -1,
        .quota_per_day = dice_percent(&m->dice, 30) ? 1 + dice_below(&m->dice, 9) : -1};
}

static void people(struct model *m)
{
    int roll = dice_below(&m->dice, 100);
    if (m->ncommands > MODEL_COMMANDS / 2)
        return;
    if (roll < 40)
        issue_start(m);
    else if (roll < 50)
        issue_replay(m);
    else if (roll < 78)
        issue_stop(m);
    else if (roll < 96)
        issue_put(m, some_user(m));
    else
        model_issue(m, MODEL_REMOVE, some_user(m), 0);
}

void model_init(struct model *m, uint64_t seed)
{
    static const int failing[] = {0, 10, 40, 80};
    memset(m, 0, sizeof *m);
    m->dice.state = seed;
    /* Shortly before a midnight, so that days change within a history. */
    m->now_ms = 20700 * DAY_MS - 60 * SECOND;
    m->failing_percent = failing[dice_below(&m->dice, 4)];
    m->deployment.capacity = 1 + dice_below(&m->dice, 5);
    m->pool = 1 + dice_below(&m->dice, 6);
    m->limits = (struct limits){.default_idle_timeout_minutes = 10,
                                .keepalive_s = 25,
                                .provision_budget_ms = 120000,
                                .stop_budget_ms = 60000,
                                .cost_micros_per_hour = 36000,
                                .default_driver = "simulated",
                                .default_allowed_ips = "0.0.0.0/0",
                                .default_dns_servers = "1.1.1.1"};
    model_remember(m);
    for (int i = 0; i < MODEL_USERS; i++)
        if (dice_percent(&m->dice, 85))
            issue_put(m, i);
}

static void change_capacity(struct model *m)
{
    m->deployment.capacity = dice_below(&m->dice, 6);
    m->deployment.quota_limit_reached = m->deployment.instances >= m->deployment.capacity;
    model_remember(m);
}

static void advance(struct model *m)
{
    static const int seconds[] = {0, 1, 1, 2, 4, 5, 30, 90, 700};
    m->now_ms += seconds[dice_below(&m->dice, 9)] * SECOND + dice_below(&m->dice, 1000);
    if (dice_percent(&m->dice, 2))
        m->now_ms += DAY_MS / 2;
}

void model_step(struct model *m)
{
    int roll = dice_below(&m->dice, 100);
    if (roll < 30)
        people(m);
    else if (roll < 55)
        model_deliver_next(m, dice_percent(&m->dice, 40));
    else if (roll < 72)
        some_outcome(m);
    else if (roll < 78)
        some_ticket(m);
    else if (roll < 83)
        model_drain(m);
    else if (roll < 92)
        advance(m);
    else if (roll < 94)
        sample(m);
    else if (roll < 96)
        sweep_idle(m);
    else if (roll < 97)
        change_capacity(m);
    else if (roll < 98)
        give_up(m);
    else if (roll < 99 && m->ncommands)
        repeat_outcome(m);
    else
        reset(m);
}

static bool progress(struct model *m)
{
    return model_deliver_next(m, false) || model_deliver_next(m, true) || some_outcome(m) ||
           some_ticket(m) || model_drain(m);
}

/* To the next moment anything falls due. False: nothing ever does. */
static bool pass_time(struct model *m)
{
    int64_t next = INT64_MAX;
    for (int i = 0; i < MODEL_ROWS; i++)
        if (m->rows[i].state == ROW_WAIT && m->rows[i].due_ms < next)
            next = m->rows[i].due_ms;
    if (next == INT64_MAX)
        return false;
    if (next > m->now_ms)
        m->now_ms = next;
    return true;
}

void model_settle(struct model *m)
{
    for (int i = 0; i < 20000 && !*m->fault; i++)
        if (!progress(m) && !pass_time(m))
            break;
    if (!*m->fault)
        model_check_rest(m);
}

#include "support/deployment_model.h"

#include <stdio.h>
#include <string.h>

#define SECOND 1000

static const char *const user_ids[MODEL_USERS] = {"u0", "u1", "u2"};
static const char *const session_ids[MODEL_SESSIONS] = {"sa", "sb", "sc", "sd", "se", "sf", "sg",
                                                        "sh", "si", "sj", "sk", "sl", "sm", "sn",
                                                        "so", "sp", "sq", "sr", "ss", "st"};
static const char *const addresses[] = {"10.8.0.2", "10.8.0.3", "10.8.0.4",
                                        "10.8.0.5", "10.8.0.6", "10.8.0.7"};

const char *model_user_id(int user)
{
    return user_ids[user];
}

const char *model_session_id(int session)
{
    return session_ids[session];
}

int model_session_index(const struct session *s)
{
    return s->id[1] - 'a';
}

const char *model_free_address(const struct model *m)
{
    for (int a = 0; a < m->pool; a++) {
        bool held = false;
        for (int i = 0; i < MODEL_SESSIONS; i++)
            held |= m->sessions[i].address == addresses[a];
        if (!held)
            return addresses[a];
    }
    return NULL;
}

/* ---- commands and the rows of pending ---- */

struct model_command *model_issue(struct model *m, enum model_kind kind, int user, int session)
{
    if (m->ncommands == MODEL_COMMANDS) {
        model_fault(m, "the model has no room for another command");
        return &m->commands[0];
    }
    struct model_command *c = &m->commands[m->ncommands++];
    *c = (struct model_command){
        .kind = kind, .user = user, .session = session, .as = REASON_STOPPED};
    snprintf(c->id, sizeof c->id, "c%d", m->ncommands);
    c->ref = (struct command_ref){.id = c->id, .time_ms = m->now_ms};
    memcpy(c->ref.digest, c->id, sizeof c->id);
    return c;
}

static struct model_command *command_by_id(struct model *m, const char *id)
{
    for (int i = 0; i < m->ncommands; i++)
        if (!strcmp(m->commands[i].id, id))
            return &m->commands[i];
    model_fault(m, "an event ends %s, which was never issued", id);
    return NULL;
}

static void subject(const struct model_command *c, char out[PLAN_LANE_MAX])
{
    if (c->kind == MODEL_START || c->kind == MODEL_STOP || c->kind == MODEL_DUE)
        snprintf(out, PLAN_LANE_MAX, "session/%s", session_ids[c->session]);
    else
        snprintf(out, PLAN_LANE_MAX, "user/%s", user_ids[c->user]);
}

static struct model_row *lane_head(struct model *m, bool teardown, const char *lane)
{
    struct model_row *head = NULL;
    for (int i = 0; i < MODEL_ROWS; i++) {
        struct model_row *r = &m->rows[i];
        if (r->state != ROW_FREE && r->teardown == teardown && !strcmp(r->lane, lane) &&
            (!head || r->pos < head->pos))
            head = r;
    }
    return head;
}

struct model_row *model_row_of(struct model *m, const struct model_command *c)
{
    for (int i = 0; i < MODEL_ROWS; i++)
        if (m->rows[i].state != ROW_FREE && m->rows[i].command == c)
            return &m->rows[i];
    return NULL;
}

static struct model_row *row_new(struct model *m, struct model_command *c)
{
    for (int i = 0; i < MODEL_ROWS; i++)
        if (m->rows[i].state == ROW_FREE) {
            m->rows[i] =
                (struct model_row){.command = c, .teardown = c->kind == MODEL_STOP, .attempt = 1};
            subject(c, m->rows[i].lane);
            m->rows[i].pos = m->next_pos++;
            return &m->rows[i];
        }
    model_fault(m, "the model has no room for another row");
    return &m->rows[0];
}

/* ---- carrying a plan out ---- */

static void end(struct model *m, const char *id)
{
    struct model_command *c = command_by_id(m, id);
    if (c && ++c->endings > 1)
        model_fault(m, "%s ends twice", id);
}

static void publish(struct model *m, struct model_command *c, const struct plan *plan)
{
    for (size_t i = 0; i < plan->nevents; i++)
        if (plan->events[i].ends != END_NONE)
            end(m, plan->events[i].ended.id ? plan->events[i].ended.id : c->id);
    if (plan->kind == PLAN_DEAD) {
        c->dead = true;
        end(m, c->id);
    }
    for (size_t i = 0; i < plan->ncommands; i++) {
        struct session *s = plan->commands[i].session;
        struct model_command *stop =
            model_issue(m, MODEL_STOP, s->user_id[1] - '0', model_session_index(s));
        if (!session_reason_parse(plan->commands[i].reason, &stop->as))
            model_fault(m, "a stop without a known reason");
    }
}

static void wait_until(struct model_row *r, int64_t due_ms)
{
    r->state = ROW_WAIT;
    r->due_ms = due_ms;
}

static void retry(struct model *m, struct model_row *r, const struct plan *plan)
{
    static const int create_delays[] = {1, 2, 4};
    bool creating = r->op == EFFECT_CREATE;
    int64_t delay = creating ? create_delays[r->attempt - 1] : 5;
    r->command->retries += creating;
    r->attempt++;
    wait_until(r, plan->due_ms ? plan->due_ms : m->now_ms + delay * SECOND);
}

static void start_effect(struct model *m, struct model_row *r, const struct plan *plan)
{
    for (int i = 0; i < MODEL_ROWS; i++)
        if (m->rows[i].state == ROW_EFFECT && &m->rows[i] != r &&
            m->rows[i].command->session == r->command->session)
            model_fault(m, "two open effects for %s", session_ids[r->command->session]);
    if (plan->compensating && !r->compensating) {
        r->compensating = true;
        r->attempt = 1;
    }
    r->state = ROW_EFFECT;
    r->op = plan->effect;
}

static void join_lane(struct model *m, struct model_row *r, const struct plan *plan)
{
    r->state = ROW_FREE;
    if (!lane_head(m, false, plan->lane))
        model_fault(m, "%s waits behind nothing", r->command->id);
    r->state = ROW_FOLLOWER;
    memcpy(r->lane, plan->lane, sizeof r->lane);
    r->pos = m->next_pos++;
}

static void settle_row(struct model *m, struct model_command *c, const struct plan *plan)
{
    struct model_row *r = model_row_of(m, c);
    bool stays = plan->kind == PLAN_EFFECT || plan->kind == PLAN_RETRY || plan->kind == PLAN_POLL ||
                 plan->kind == PLAN_LANE;
    if (!stays) {
        if (r)
            r->state = ROW_FREE;
        return;
    }
    if (!r)
        r = row_new(m, c);
    else if (r->state == ROW_FOLLOWER)
        subject(c, r->lane);
    if (plan->kind == PLAN_EFFECT)
        start_effect(m, r, plan);
    else if (plan->kind == PLAN_RETRY)
        retry(m, r, plan);
    else if (plan->kind == PLAN_POLL)
        wait_until(r, plan->due_ms);
    else
        join_lane(m, r, plan);
}

void model_commit(struct model *m, struct model_command *c, const struct plan *plan)
{
    m->replaying = c->replay_of;
    m->seen.decisions++;
    m->seen.laned += plan->kind == PLAN_LANE;
    m->seen.handed_over += plan->kind == PLAN_HANDOVER;
    m->seen.refused += plan->kind == PLAN_REFUSED;
    m->seen.cancelled += plan->kind == PLAN_CANCELLED;
    model_check_plan(m, c, plan);
    publish(m, c, plan);
    settle_row(m, c, plan);
    model_check_rows(m);
    model_remember(m);
}

/* ---- decisions ---- */

void model_load(struct model *m, const struct model_command *c, struct model_loaded *out)
{
    struct session *s = &m->sessions[c->session];
    out->w = (struct world){.user = m->users[c->user].id ? &m->users[c->user] : NULL,
                            .session = s->id ? s : NULL,
                            .fresh = s,
                            .live = out->live,
                            .deployment = &m->deployment,
                            .address = model_free_address(m),
                            .limits = &m->limits,
                            .command = c->ref,
                            .replay_of = c->replay_of ? c->replay_of->ref.digest : NULL};
    for (int i = 0; i < MODEL_SESSIONS; i++) {
        struct session *other = &m->sessions[i];
        if (other->id && other->status != SESSION_TERMINATED &&
            !strcmp(other->user_id, user_ids[c->user]))
            out->live[out->w.nlive++] = other;
    }
}

void model_decide_first(struct model *m, struct model_command *c, struct plan *plan)
{
    struct model_loaded l;
    model_load(m, c, &l);
    const struct session_start start = {.session_id = session_ids[c->session],
                                        .user_id = user_ids[c->user]};
    const struct session_stop stop = {
        .session_id = session_ids[c->session], .user_id = user_ids[c->user], .as = c->as};
    switch (c->kind) {
    case MODEL_START:
        session_start(&l.w, &start, m->now_ms, plan);
        break;
    case MODEL_STOP:
        session_stop(&l.w, &stop, m->now_ms, plan);
        break;
    case MODEL_PUT:
        user_put(&m->users[c->user], &c->put, m->now_ms, plan);
        break;
    case MODEL_REMOVE:
        user_remove(l.w.user, l.live, l.w.nlive, &m->deployment, m->now_ms, plan);
        break;
    case MODEL_DUE:
        session_idle(&l.w, m->now_ms, plan);
    }
}

/* A ticket or poll is due, or the shard was reset. */
void model_decide_again(struct model *m, struct model_row *r)
{
    struct plan plan;
    if (r->command->kind == MODEL_START) {
        struct model_loaded l;
        model_load(m, r->command, &l);
        session_resume(&l.w, m->now_ms, &plan);
    } else {
        model_decide_first(m, r->command, &plan);
    }
    model_commit(m, r->command, &plan);
}

void model_give_up(struct model *m, struct model_row *r, enum session_reason why)
{
    struct model_loaded l;
    struct plan plan;
    model_load(m, r->command, &l);
    enum session_status was = l.w.session->status;
    session_give_up(&l.w, why, "command.expired", "too late", m->now_ms, &plan);
    if (plan.kind == PLAN_NONE && was == SESSION_PROVISIONING)
        model_fault(m, "%s cannot be given up", r->command->id);
    if (plan.kind == PLAN_NONE)
        return;
    m->seen.given_up++;
    model_commit(m, r->command, &plan);
}

static void deliver(struct model *m, struct model_command *c)
{
    char lane[PLAN_LANE_MAX];
    subject(c, lane);
    c->delivered = true;
    if (lane_head(m, c->kind == MODEL_STOP, lane)) {
        row_new(m, c)->state = ROW_FOLLOWER;
        return;
    }
    struct plan plan;
    model_decide_first(m, c, &plan);
    model_commit(m, c, &plan);
}

bool model_deliver_next(struct model *m, bool teardown)
{
    for (int i = 0; i < m->ncommands; i++) {
        struct model_command *c = &m->commands[i];
        if (!c->delivered && (c->kind == MODEL_STOP) == teardown) {
            deliver(m, c);
            return true;
        }
    }
    return false;
}

/* The first follower of some lane whose head is gone. */
bool model_drain(struct model *m)
{
    for (int i = 0; i < MODEL_ROWS; i++) {
        struct model_row *r = &m->rows[i];
        if (r->state != ROW_FOLLOWER || lane_head(m, r->teardown, r->lane) != r)
            continue;
        struct plan plan;
        model_decide_first(m, r->command, &plan);
        model_commit(m, r->command, &plan);
        return true;
    }
    return false;
}

#include "domain/token.h"

#include <string.h>

static const char *const status_names[] = {[TOKEN_STATUS_ACTIVE] = "active",
                                           [TOKEN_STATUS_REVOKED] = "revoked",
                                           [TOKEN_STATUS_EXPIRED] = "expired"};

const char *token_status_name(enum token_status s)
{
    return status_names[s];
}

bool token_status_parse(const char *name, enum token_status *out)
{
    for (size_t i = 0; i < sizeof status_names / sizeof *status_names; i++) {
        if (!strcmp(name, status_names[i])) {
            *out = (enum token_status)i;
            return true;
        }
    }
    return false;
}

/* ---- what is common -------------------------------------------------------------------------- */

static void refuse(struct plan *plan, enum refusal_name why)
{
    plan_refuse(plan, EVENT_TOKEN_REFUSED, why);
}

static void say(struct plan *plan, enum event_kind kind, struct token *t, int64_t now_ms)
{
    struct plan_event *e = plan_event_add(plan, kind);
    t->revision++;
    t->updated_ms = now_ms;
    e->token = t;
    e->ends = END_DONE;
    plan->kind = PLAN_DONE;
}

static bool may_ask(const struct token_asker *by, const char *owner)
{
    return by->admin || (by->id && !strcmp(by->id, owner));
}

/* Whoever is no administrator says what the own token may do. */
static bool may_give(const struct token_asker *by, scope_set scopes)
{
    return by->bounded ? scope_covers(by->scopes, scopes) : by->admin;
}

static bool over(int64_t expires_ms, int64_t now_ms)
{
    return expires_ms && expires_ms <= now_ms;
}

/* For another's token there is none. */
static bool find(const struct token_world *w, const struct token_asker *by, struct plan *plan)
{
    plan_clear(plan);
    if (!w->token || !may_ask(by, w->token->owner))
        refuse(plan, REFUSAL_TOKEN_UNKNOWN);
    else if (w->token->status == TOKEN_STATUS_REVOKED)
        refuse(plan, REFUSAL_TOKEN_REVOKED);
    return plan->kind == PLAN_NONE;
}

static void take(struct token *t, const char *secret, int64_t grace_s, int64_t now_ms)
{
    t->keep_secret = grace_s ? t->take_secret : NULL;
    t->keep_until_ms = grace_s ? now_ms + grace_s * 1000 : 0;
    t->take_secret = secret;
}

/* ---- create ---------------------------------------------------------------------------------- */

static enum refusal_name why_not_create(const struct token_world *w, const struct token_create *cmd)
{
    scope_set scopes = scope_parse_list(cmd->scopes);
    if (!may_ask(&cmd->by, cmd->owner))
        return REFUSAL_TOKEN_OF_ANOTHER;
    if (w->owner_unfit)
        return REFUSAL_USER_INACTIVE;
    if (!scopes || !may_give(&cmd->by, scopes))
        return REFUSAL_TOKEN_SCOPES;
    if (w->token)
        return REFUSAL_TOKEN_EXISTS;
    if (w->name_taken)
        return REFUSAL_TOKEN_NAME;
    if (over(cmd->expires_ms, w->now_ms))
        return REFUSAL_TOKEN_EXPIRY;
    return w->secret_there ? REFUSALS : REFUSAL_TOKEN_SECRET;
}

void token_create(const struct token_world *w, const struct token_create *cmd, struct token *fresh,
                  struct plan *plan)
{
    enum refusal_name why = why_not_create(w, cmd);
    plan_clear(plan);
    if (why != REFUSALS) {
        refuse(plan, why);
        return;
    }
    *fresh = (struct token){.id = cmd->id,
                            .owner = cmd->owner,
                            .name = cmd->name,
                            .description = cmd->description,
                            .scopes = cmd->scopes,
                            .prefix = cmd->prefix,
                            .created_by = cmd->by.id,
                            .created_ms = w->now_ms,
                            .expires_ms = cmd->expires_ms,
                            .take_secret = cmd->secret};
    say(plan, EVENT_TOKEN_CREATED, fresh, w->now_ms);
    plan->events[0].seeded = cmd->seeded;
}

/* ---- update ---------------------------------------------------------------------------------- */

static int64_t expiry_after(const struct token *t, const struct token_update *cmd)
{
    if (cmd->clear_expiry)
        return 0;
    return cmd->expires_ms ? cmd->expires_ms : t->expires_ms;
}

static enum refusal_name why_not_update(const struct token_world *w, const struct token_update *cmd)
{
    const struct token *t = w->token;
    scope_set scopes = cmd->scopes ? scope_parse_list(cmd->scopes) : 0;
    if (cmd->if_revision && cmd->if_revision != t->revision)
        return REFUSAL_TOKEN_CHANGED;
    if (cmd->scopes && (!scopes || !may_give(&cmd->by, scopes)))
        return REFUSAL_TOKEN_SCOPES;
    if (cmd->name && w->name_taken)
        return REFUSAL_TOKEN_NAME;
    bool dated = cmd->expires_ms || cmd->activate;
    if (dated && over(expiry_after(t, cmd), w->now_ms))
        return REFUSAL_TOKEN_EXPIRY;
    return REFUSALS;
}

void token_update(const struct token_world *w, const struct token_update *cmd, struct plan *plan)
{
    if (!find(w, &cmd->by, plan))
        return;
    enum refusal_name why = why_not_update(w, cmd);
    if (why != REFUSALS) {
        refuse(plan, why);
        return;
    }
    struct token *t = w->token;
    t->expires_ms = expiry_after(t, cmd);
    if (cmd->name)
        t->name = cmd->name;
    if (cmd->description || cmd->clear_description)
        t->description = cmd->description;
    if (cmd->scopes)
        t->scopes = cmd->scopes;
    if (t->status == TOKEN_STATUS_EXPIRED && !over(t->expires_ms, w->now_ms))
        t->status = TOKEN_STATUS_ACTIVE;
    say(plan, EVENT_TOKEN_UPDATED, t, w->now_ms);
}

/* ---- rotate, revoke, expire ------------------------------------------------------------------ */

void token_rotate(const struct token_world *w, const struct token_rotate *cmd, struct plan *plan)
{
    if (!find(w, &cmd->by, plan))
        return;
    struct token *t = w->token;
    int64_t expires_ms = cmd->expires_ms ? cmd->expires_ms : t->expires_ms;
    if (!may_give(&cmd->by, scope_parse_list(t->scopes))) {
        refuse(plan, REFUSAL_TOKEN_SCOPES);
    } else if (w->owner_unfit) {
        refuse(plan, REFUSAL_USER_INACTIVE);
    } else if (over(expires_ms, w->now_ms)) {
        refuse(plan, cmd->expires_ms ? REFUSAL_TOKEN_EXPIRY : REFUSAL_TOKEN_EXPIRED);
    } else if (!w->secret_there) {
        refuse(plan, REFUSAL_TOKEN_SECRET);
    } else {
        t->expires_ms = expires_ms;
        t->status = TOKEN_STATUS_ACTIVE;
        t->rotated_ms = w->now_ms;
        take(t, cmd->secret, cmd->grace_s, w->now_ms);
        say(plan, EVENT_TOKEN_ROTATED, t, w->now_ms);
    }
}

void token_revoke(const struct token_world *w, const struct token_asker *by, struct plan *plan)
{
    if (!find(w, by, plan))
        return;
    w->token->status = TOKEN_STATUS_REVOKED;
    w->token->revoked_ms = w->now_ms;
    say(plan, EVENT_TOKEN_REVOKED, w->token, w->now_ms);
}

void token_expire(const struct token_world *w, struct plan *plan)
{
    plan_clear(plan);
    if (!w->token || w->token->status != TOKEN_STATUS_ACTIVE ||
        !over(w->token->expires_ms, w->now_ms))
        return;
    w->token->status = TOKEN_STATUS_EXPIRED;
    say(plan, EVENT_TOKEN_EXPIRED, w->token, w->now_ms);
}

/* The commands of provisioning, a row each: policy, how it begins, how it goes on. */
#include "provisioning/provisioning.h"

#include "core/json_memory.h"
#include "store/policies.h"
#include "store/token_commands.h"

#include <string.h>

const struct command_type provisioning_commands[] = {
    {"user.put", "user", "userId", "userId", &user_policy, false},
    {"user.remove", "user", "userId", "userId", &user_policy, false},
    {"token.create", "token", "tokenId", "owner", &token_policy, false},
    {"token.update", "token", "tokenId", "owner", &token_policy, false},
    {"token.rotate", "token", "tokenId", "owner", &token_policy, false},
    {"session.start", "session", "sessionId", "userId", &start_policy, false},
};
const size_t provisioning_ncommands = LEN(provisioning_commands);

static const char *text(const struct item *it, const char *key)
{
    return json_string_value(json_object_get(it->cmd.json, key));
}

static int number(const struct item *it, const char *key, int absent)
{
    const json_t *v = json_object_get(it->cmd.json, key);
    return json_is_number(v) ? (int)json_number_value(v) : absent;
}

static const char *list_text(struct batch *b, const struct item *it, const char *key)
{
    const json_t *v = json_object_get(it->cmd.json, key);
    auto_json_text char *dumped = v ? json_dumps(v, JSON_COMPACT) : NULL;
    const char *copy = dumped ? arena_str(batch_arena(b), dumped) : NULL;
    if (v && !copy)
        batch_fail(b, ERR_NO_MEMORY, "command");
    return copy;
}

/* ---- users --------------------------------------------------------------------------------- */

static struct user_row *user_of(struct batch *b, const struct item *it)
{
    return user_row_get(resources_of(b), text(it, "userId"));
}

static void put_user(struct provisioning *p, struct batch *b, struct item *it)
{
    const json_t *active = json_object_get(it->cmd.json, "isActive");
    const char *tenant = text(it, "tenant");
    struct user_put cmd = {
        .id = text(it, "userId"),
        .tenant = tenant ? tenant : it->cmd.tenant,
        .email = text(it, "email"),
        .display_name = text(it, "displayName"),
        .auth_method = text(it, "authMethod"),
        .api_key_hash = text(it, "apiKeyHash"),
        .directory_object_id = text(it, "directoryObjectId"),
        .allowed_source_ips = list_text(b, it, "allowedSourceIPs"),
        .is_active = active ? json_is_true(active) : -1,
        .quota_concurrent = number(it, "quotaMaxConcurrentSessions", -1),
        .quota_per_day = number(it, "quotaMaxSessionsPerDay", -1),
    };
    struct user_row *u = user_row_get(resources_of(b), cmd.id);
    const struct stream *stray = u->exists || u->dirty ? NULL : batch_stray(b, it->cmd.subject);
    if (stray)
        u->stream = *stray;
    struct plan plan;
    (void)p;
    user_put(&u->user, &cmd, batch_now_ms(b), &plan);
    u->dirty = true;
    carry_plan(resources_of(b), it, &plan);
}

static void remove_user(struct provisioning *p, struct batch *b, struct item *it)
{
    struct user_row *u = user_of(b, it);
    struct working_set *ws = resources_of(b);
    struct plan plan;
    (void)p;
    user_remove(u->exists || u->dirty ? &u->user : NULL, u->live, u->nlive, &ws->deployment,
                batch_now_ms(b), &plan);
    if (plan.kind != PLAN_REFUSED)
        u->dirty = true;
    carry_plan(ws, it, &plan);
}

/* ---- sessions ------------------------------------------------------------------------------- */

static struct session_start start_of(struct batch *b, const struct item *it)
{
    const json_t *placement = json_object_get(it->cmd.json, "placement");
    return (struct session_start){
        .session_id = text(it, "sessionId"),
        .user_id = text(it, "userId"),
        .client_public_key = text(it, "clientPublicKey"),
        .allowed_ips = resources_joined(b, json_object_get(it->cmd.json, "allowedIPs")),
        .dns_servers = resources_joined(b, json_object_get(it->cmd.json, "dnsServers")),
        .driver = json_string_value(json_object_get(placement, "driver")),
        .profile = json_string_value(json_object_get(placement, "profile")),
        .idle_timeout_minutes = number(it, "idleTimeoutMinutes", 0),
    };
}

/* The accepted session joins the set; its events point to the fresh row, which it now is. */
static struct session_row *adopt(struct provisioning *p, struct batch *b, struct item *it,
                                 struct session *fresh, struct plan *plan)
{
    struct working_set *ws = resources_of(b);
    struct session_row *row = working_set_adopt(ws, fresh, shard_number(it->shard));
    struct err err = {0};
    if (!row)
        return NULL;
    for (size_t i = 0; i < plan->nevents; i++)
        if (plan->events[i].session == fresh)
            plan->events[i].session = &row->session;
    if (plan->effect_session == fresh)
        plan->effect_session = &row->session;
    const struct stream *stray = row->exists ? NULL : batch_stray(b, it->cmd.subject);
    if (stray) /* one that begins anew has a stream of its own */
        row->stream = *stray;
    row->new_config = true;
    if (!provisioning_make_config(p, ws, row, &err)) {
        batch_fail(b, err.code, err.message);
        return NULL;
    }
    return row;
}

static void start_session(struct provisioning *p, struct batch *b, struct item *it)
{
    struct world w = resources_world(&p->resources, b, it);
    struct session_start cmd = start_of(b, it);
    struct session fresh = {0};
    struct plan plan;
    w.fresh = &fresh;
    w.provider_out =
        engine_outage(p->resources.e, it, cmd.driver ? cmd.driver : w.limits->default_driver);
    w.key_in_use = working_set_key_in_use(resources_of(b), cmd.client_public_key);
    session_start(&w, &cmd, batch_now_ms(b), &plan);
    if (fresh.id) {
        struct user_row *u = user_row_get(resources_of(b), cmd.user_id);
        if (u)
            u->dirty = true;
        if (!adopt(p, b, it, &fresh, &plan))
            return;
    }
    carry_plan(resources_of(b), it, &plan);
}

/* It waits between two tries. Called off or too late: what is half-made is removed. Nudged: only
 * what is to be undone by now does not wait any longer. */
static void called(struct provisioning *p, struct batch *b, struct item *it)
{
    struct world w = resources_world(&p->resources, b, it);
    struct plan plan;
    if (it->call == CALL_CANCELLED)
        session_give_up(&w, REASON_CANCELLED, NULL, NULL, batch_now_ms(b), &plan);
    else if (it->call == CALL_EXPIRED)
        session_give_up(&w, REASON_FAILED, "command.expired", "its deadline passed while it waited",
                        batch_now_ms(b), &plan);
    else
        plan_clear(&plan);
    if (plan.kind == PLAN_NONE && w.session && w.session->cancelling)
        session_resume(&w, batch_now_ms(b), &plan);
    resources_touch(&w, &plan);
    carry_plan(resources_of(b), it, &plan);
}

/* An outcome belongs to the creation or, once that is being undone, to the removal. */
static void go_on(struct provisioning *p, struct batch *b, struct item *it)
{
    struct world w = resources_world(&p->resources, b, it);
    struct plan plan;
    if (it->kind == ITEM_OUTCOME) {
        struct outcome o = carry_outcome(it, batch_now_ms(b));
        if (it->compensating)
            session_removed(&w, &o, true, batch_now_ms(b), &plan);
        else
            session_created(&w, &o, batch_now_ms(b), &plan);
    } else {
        session_resume(&w, batch_now_ms(b), &plan);
    }
    resources_touch(&w, &plan);
    carry_plan(resources_of(b), it, &plan);
    if (w.session && it->compensating) /* the removal's tries are not the command's */
        it->verdict.attempts = w.session->provision_attempts + 1;
}

static bool is_first(const struct item *it)
{
    return !it->pending || it->pending->state == PENDING_FOLLOWER ||
           it->pending->state == PENDING_SCHEDULED;
}

void provisioning_decide(struct provisioning *p, struct batch *b, struct item *it)
{
    if (!strcmp(it->type->name, "user.put"))
        put_user(p, b, it);
    else if (!strcmp(it->type->name, "user.remove"))
        remove_user(p, b, it);
    else if (is_token_command(it))
        token_command_decide(b, it);
    else if (is_first(it))
        start_session(p, b, it);
    else if (it->call)
        called(p, b, it);
    else
        go_on(p, b, it);
}

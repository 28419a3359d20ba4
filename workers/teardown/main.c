/* drawbridge-teardown: stops sessions, and removes what they had. */
#include "drivers/run.h"
#include "store/policies.h"
#include "store/resources.h"
#include "store/token_commands.h"

#include <string.h>

static const struct command_type commands[] = {
    {"session.stop", "session", "sessionId", "userId", &stop_policy, false},
    {"token.revoke", "token", "tokenId", "owner", &token_policy, false},
};

struct teardown {
    struct resources resources;
    struct drivers *drivers;
};

static void *open_worker(struct engine *e, struct err *err)
{
    struct teardown *t = calloc(1, sizeof *t);
    if (t && resources_init(&t->resources, e, err) && (t->drivers = drivers_open(e, err)))
        return t;
    free(t);
    return NULL;
}

static void close_worker(void *w)
{
    struct teardown *t = w;
    drivers_close(&t->drivers);
    free(t);
}

static bool load(void *w, struct batch *b, bool locked, struct err *err)
{
    struct working_set *ws = resources_want(&((struct teardown *)w)->resources, b);
    return ws && working_set_load(ws, locked, err);
}

/* The reasons that other workers and upstream send are names of the domain; anything else is a
 * person's free text. */
static enum session_reason reason_of(const struct item *it)
{
    const char *text = json_string_value(json_object_get(it->cmd.json, "reason"));
    enum session_reason r;
    bool ours =
        text && !strncmp(it->cmd.source, "/drawbridge/", 12) && session_reason_parse(text, &r);
    return ours ? r : REASON_STOPPED;
}

static void stop(struct teardown *t, struct batch *b, struct item *it, struct world *w,
                 struct plan *plan)
{
    struct session_stop cmd = {
        .session_id = json_string_value(json_object_get(it->cmd.json, "sessionId")),
        .user_id = json_string_value(json_object_get(it->cmd.json, "userId")),
        .reason = json_string_value(json_object_get(it->cmd.json, "reason")),
        .as = reason_of(it)};
    struct session fresh = {0};
    (void)t;
    w->fresh = &fresh;
    session_stop(w, &cmd, batch_now_ms(b), plan);
    if (!fresh.id)
        return;
    struct session_row *row = working_set_adopt(resources_of(b), &fresh, shard_number(it->shard));
    const struct stream *stray = batch_stray(b, it->cmd.subject);
    if (row && stray)
        row->stream = *stray;
    for (size_t i = 0; row && i < plan->nevents; i++)
        plan->events[i].session = &row->session;
}

/* A user speaks for itself only: for anybody else's session there is none (V-13). */
static bool is_stranger(const struct item *it)
{
    const json_t *by = json_object_get(it->cmd.json, "requestedBy");
    const char *id = json_string_value(json_object_get(by, "id"));
    const char *user = json_string_value(json_object_get(it->cmd.json, "userId"));
    return !carry_by_admin(it) && (!id || !user || strcmp(id, user) != 0);
}

/* A removal that has begun is not called off: it would leave half a session. One that is too late
 * is given up, and its session is stuck for a person to see. */
static void called(struct batch *b, struct item *it, struct world *w, struct plan *plan)
{
    struct outcome late = {.kind = OUTCOME_PERMANENT,
                           .last = true,
                           .rx_bytes = -1,
                           .tx_bytes = -1,
                           .code = "command.expired",
                           .message = "its deadline passed while it waited"};
    plan_clear(plan);
    if (it->call == CALL_EXPIRED)
        session_removed(w, &late, false, batch_now_ms(b), plan);
}

static void decide(void *w, struct batch *b, struct item *it)
{
    struct teardown *t = w;
    struct world world = resources_world(&t->resources, b, it);
    struct plan plan;
    if (is_token_command(it)) {
        token_command_decide(b, it);
        return;
    }
    if (is_stranger(it)) {
        plan_refuse(&plan, EVENT_SESSION_REFUSED, REFUSAL_SESSION_UNKNOWN);
    } else if (it->call) {
        called(b, it, &world, &plan);
    } else if (it->kind == ITEM_OUTCOME) {
        struct outcome o = carry_outcome(it, batch_now_ms(b));
        session_removed(&world, &o, false, batch_now_ms(b), &plan);
    } else {
        stop(t, b, it, &world, &plan);
    }
    resources_touch(&world, &plan);
    carry_plan(resources_of(b), it, &plan);
}

static void stopping(void *w)
{
    drivers_hand_back(((struct teardown *)w)->drivers);
}

static void *pretend(const void *effect, bool done)
{
    return drivers_pretend(effect, done);
}

static void start_effect(void *w, struct item *it, void *effect, uint64_t token)
{
    (void)it;
    drivers_call(((struct teardown *)w)->drivers, effect, token);
}

/* A stop that meets a start nudges it. */
static const char *const writes[] = {"drawbridge.provisioning", NULL};

int main(int argc, char **argv)
{
    struct worker_ops ops = {
        .name = "teardown",
        .topic = "drawbridge.teardown",
        .types = commands,
        .ntypes = LEN(commands),
        .writes = writes,
        .open = open_worker,
        .close = close_worker,
        .load = load,
        .decide = decide,
        .stream = resources_stream,
        .commit = resources_commit,
        .effect = start_effect,
        .answer = pretend,
        .stopping = stopping,
    };
    return worker_main(argc, argv, &ops);
}

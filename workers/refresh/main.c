/* drawbridge-refresh: what falls due, and what gateways saw. */
#include "refresh/refresh.h"

#include "store/policies.h"
#include "store/token_commands.h"

#include <string.h>

const struct command_type refresh_commands[] = {
    {"session.activity", "session", "sessionId", "userId", &due_policy, true},
    {"session.idle", "session", "sessionId", "userId", &due_policy, true},
    {"token.expire", "token", "tokenId", "owner", &due_policy, true},
    {"auth.record", "gateway", "gateway", "gateway", &record_policy, false},
};
const size_t refresh_ncommands = LEN(refresh_commands);

static void *open_worker(struct engine *e, struct err *err)
{
    struct refresh *r = calloc(1, sizeof *r);
    if (r && resources_init(&r->resources, e, err) && (r->drivers = drivers_open(e, err)))
        return r;
    free(r);
    return NULL;
}

static void close_worker(void *w)
{
    struct refresh *r = w;
    refresh_forget(r);
    expiry_forget(r);
    drivers_close(&r->drivers);
    free(r);
}

static bool load(void *w, struct batch *b, bool locked, struct err *err)
{
    struct working_set *ws = resources_want(&((struct refresh *)w)->resources, b);
    return ws && working_set_load(ws, locked, err);
}

static void decide(void *w, struct batch *b, struct item *it)
{
    struct refresh *r = w;
    struct world world = resources_world(&r->resources, b, it);
    struct session_row *row = (struct session_row *)(void *)world.session;
    struct plan plan = {.kind = PLAN_NONE};
    if (!strcmp(it->type->name, "auth.record")) {
        record_decide(b, it);
        return;
    }
    if (is_token_command(it)) {
        token_command_decide(b, it);
        return;
    }
    if (!strcmp(it->type->name, "session.activity")) {
        if (row && it->blob && session_sampled(&row->session, it->blob, &r->resources.limits))
            row->dirty = true;
        return;
    }
    session_idle(&world, batch_now_ms(b), &plan);
    carry_plan(resources_of(b), it, &plan);
}

static void tick(void *w)
{
    refresh_tick(w);
    expiry_tick(w);
}

static void shards_closed(void *w)
{
    refresh_forget(w);
    expiry_forget(w);
}

static const char *const writes[] = {"drawbridge.teardown", NULL};

int main(int argc, char **argv)
{
    struct worker_ops ops = {
        .name = "refresh",
        .topic = "drawbridge.refresh",
        .writes = writes,
        .types = refresh_commands,
        .ntypes = refresh_ncommands,
        .open = open_worker,
        .close = close_worker,
        .load = load,
        .decide = decide,
        .stream = resources_stream,
        .commit = resources_commit,
        .shards_closed = shards_closed,
        .tick = tick,
    };
    return worker_main(argc, argv, &ops);
}

/* drawbridge-refresh: what falls due, what gateways saw, and OAuth connections. */
#include "refresh/refresh.h"

#include "core/curl_memory.h"
#include "store/policies.h"
#include "store/token_commands.h"

#include <stdio.h>
#include <string.h>

const struct command_type refresh_commands[] = {
    {"session.activity", "session", "sessionId", "userId", &due_policy, true},
    {"session.idle", "session", "sessionId", "userId", &due_policy, true},
    {"token.expire", "token", "tokenId", "owner", &due_policy, true},
    {"auth.record", "gateway", "gateway", "gateway", &record_policy, false},
    {"connection.put", "connection", "connectionId", "connectionId", &row_policy, false},
    {"connection.delete", "connection", "connectionId", "connectionId", &end_policy, false},
    {"connection.authorize", "connection", "connectionId", "connectionId", &authorize_policy,
     false},
    {"connection.exchange", "connection", "connectionId", "connectionId", &exchange_policy, false},
    {"connection.refresh", "connection", "connectionId", "connectionId", &connection_policy, false},
    {"connection.test", "connection", "connectionId", "connectionId", &connection_policy, false},
    {"connection.due", "connection", "connectionId", "connectionId", &due_policy, true},
    {"workflow.depend", "workflow", "workflowId", "workflowId", &row_policy, false},
    {"workflow.enable", "workflow", "workflowId", "workflowId", &row_policy, false},
    {"workflow.check", "workflow", "workflowId", "workflowId", &row_policy, false},
};
const size_t refresh_ncommands = LEN(refresh_commands);

static void *open_worker(struct engine *e, struct err *err)
{
    struct refresh *r = calloc(1, sizeof *r);
    if (r && resources_init(&r->resources, e, err) && (r->caller = caller_new(e, err)) &&
        (r->drivers = drivers_open(e, err)))
        return r;
    if (r)
        caller_free(&r->caller);
    free(r);
    return NULL;
}

static void close_worker(void *w)
{
    struct refresh *r = w;
    refresh_forget(r);
    due_forget(r);
    caller_free(&r->caller);
    drivers_close(&r->drivers);
    free(r);
}

static bool load(void *w, struct batch *b, bool locked, struct err *err)
{
    struct working_set *ws = resources_want(&((struct refresh *)w)->resources, b);
    for (size_t i = 0; ws && i < batch_count(b); i++) {
        const struct item *it = batch_item(b, i);
        if (it->decidable && is_connection_command(it))
            connection_command_want(ws, it);
    }
    return ws && working_set_load(ws, locked, err);
}

static void decide(void *w, struct batch *b, struct item *it)
{
    struct refresh *r = w;
    struct world world = resources_world(&r->resources, b, it);
    struct session_row *row = (struct session_row *)(void *)world.session;
    struct plan plan = {.kind = PLAN_NONE};
    if (it->call && !is_connection_command(it))
        return; /* decided at once, or too late */
    if (!strcmp(it->type->name, "auth.record")) {
        record_decide(b, it);
        return;
    }
    if (is_token_command(it)) {
        token_command_decide(b, it);
        return;
    }
    if (is_connection_command(it)) {
        struct connection_desk desk = caller_desk(r->caller);
        connection_command_decide(&desk, b, it);
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
    struct refresh *r = w;
    refresh_tick(r);
    due_tick(r);
    caller_tick(r->caller);
}

static void start_effect(void *w, struct item *it, void *effect, uint64_t token)
{
    (void)it;
    caller_ask(((struct refresh *)w)->caller, effect, token);
}

static void committed(void *w, struct batch *b)
{
    struct refresh *r = w;
    for (size_t i = 0; i < batch_count(b); i++) {
        const struct item *it = batch_item(b, i);
        const char *intent =
            it->decidable && is_connection_command(it) ? connection_command_answered(it) : NULL;
        if (intent)
            caller_committed(r->caller, intent);
    }
}

static void *pretend(const void *effect, bool done)
{
    return caller_pretend(effect, done);
}

static void stopping(void *w)
{
    caller_stop(((struct refresh *)w)->caller);
}

static void shards_closed(void *w)
{
    refresh_forget(w);
    due_forget(w);
}

static int64_t per_provider(const struct conf *c)
{
    return c->oauth_per_provider;
}

/* What falls due of a connection becomes a command of its own lane. */
static const char *const writes[] = {"drawbridge.teardown", "drawbridge.refresh", NULL};

int main(int argc, char **argv)
{
    struct worker_ops ops = {
        .name = "refresh",
        .topic = "drawbridge.refresh",
        .writes = writes,
        .per_dependency = per_provider,
        .waits_for_effects = true,
        .gives_way = true,
        .types = refresh_commands,
        .ntypes = refresh_ncommands,
        .open = open_worker,
        .close = close_worker,
        .load = load,
        .decide = decide,
        .stream = resources_stream,
        .commit = resources_commit,
        .shards_closed = shards_closed,
        .effect = start_effect,
        .answer = pretend,
        .committed = committed,
        .stopping = stopping,
        .tick = tick,
    };
    /* Before librdkafka, which may use libcurl and would start it with a memory that is not wiped.
     */
    struct err err = {0};
    if (!curl_memory_init(&err)) {
        fprintf(stderr, "drawbridge-refresh: %s\n", err.message);
        return 1;
    }
    return worker_main(argc, argv, &ops);
}

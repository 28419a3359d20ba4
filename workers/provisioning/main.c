/* drawbridge-provisioning: users, and sessions from request to active. */
#include "provisioning/provisioning.h"

#include "store/token_commands.h"

#include <string.h>

static void *open_worker(struct engine *e, struct err *err)
{
    struct provisioning *p = calloc(1, sizeof *p);
    if (p && resources_init(&p->resources, e, err) &&
        (p->sealer = sealer_open(engine_conf(e)->master_key_file, err)) &&
        (p->drivers = drivers_open(e, err)))
        return p;
    if (p)
        sealer_free(&p->sealer);
    free(p);
    return NULL;
}

static void close_worker(void *w)
{
    struct provisioning *p = w;
    drivers_close(&p->drivers);
    sealer_free(&p->sealer);
    free(p);
}

static bool load(void *w, struct batch *b, bool locked, struct err *err)
{
    struct provisioning *p = w;
    struct working_set *ws = resources_want(&p->resources, b);
    for (size_t i = 0; ws && i < batch_count(b); i++) {
        const struct item *it = batch_item(b, i);
        if (!it->decidable)
            continue;
        if (is_token_command(it))
            token_command_want(ws, it);
        bool starts = !strcmp(it->type->name, "session.start"),
             removes = !strcmp(it->type->name, "user.remove");
        if (!starts && !removes)
            continue;
        const char *user = json_string_value(json_object_get(it->cmd.json, "userId"));
        if (user)
            (void)want_live(ws, user);
        const char *key = json_string_value(json_object_get(it->cmd.json, "clientPublicKey"));
        if (starts && key)
            want_key(ws, key);
        ws->want_deployment |= removes;
        ws->want_addresses += starts && it->kind != ITEM_OUTCOME;
    }
    return ws && working_set_load(ws, locked, err);
}

static void decide(void *w, struct batch *b, struct item *it)
{
    provisioning_decide(w, b, it);
}

static void stopping(void *w)
{
    drivers_hand_back(((struct provisioning *)w)->drivers);
}

static void *pretend(const void *effect, bool done)
{
    return drivers_pretend(effect, done);
}

static void start_effect(void *w, struct item *it, void *effect, uint64_t token)
{
    (void)it;
    drivers_call(((struct provisioning *)w)->drivers, effect, token);
}

static void shard_opened(void *w, int shard)
{
    provisioning_reconcile(w, shard);
}

static const char *const writes[] = {"drawbridge.teardown", "drawbridge.provisioning", NULL};

int main(int argc, char **argv)
{
    struct worker_ops ops = {
        .name = "provisioning",
        .topic = "drawbridge.provisioning",
        .writes = writes,
        .types = provisioning_commands,
        .ntypes = provisioning_ncommands,
        .open = open_worker,
        .close = close_worker,
        .load = load,
        .decide = decide,
        .stream = resources_stream,
        .commit = resources_commit,
        .effect = start_effect,
        .answer = pretend,
        .stopping = stopping,
        .shard_opened = shard_opened,
    };
    return worker_main(argc, argv, &ops);
}

/* failing — a worker with a command type of the benchmark's own: user.put, some of which fail.
 *
 * It stands where drawbridge-provisioning does (same topic, group, shards, tables) and goes through
 * the same interface of the engine. Its user.put is the real one, schema, row, event and all; only
 * that a command whose displayName begins with "Fails" fails its first two tries, and is tried
 * again after 100 ms and after 200 ms. What such a command costs the others, and whether anything
 * overtakes it, is what `make bench one_percent` measures. */
#include "core/json_memory.h"
#include "store/resources.h"

#include <string.h>

static const int64_t delays_ms[] = {100, 200};

/* The delays of the policy are those of retry tiers, from a second on; shorter ones are asked for
 * as a provider's Retry-After is. What counts here is how many they are. */
static const struct policy put_policy = {.delays_ms = {1000, 1000}, .on_death = DEATH_CONTINUE};

static const struct command_type types[] = {
    {"user.put", "user", "userId", "userId", &put_policy, false},
};

static void *open_worker(struct engine *e, struct err *err)
{
    struct resources *r = calloc(1, sizeof *r);
    if (!r)
        (void)err_set(err, ERR_NO_MEMORY, "worker");
    if (r && resources_init(r, e, err))
        return r;
    free(r);
    return NULL;
}

static bool load(void *w, struct batch *b, bool locked, struct err *err)
{
    struct working_set *ws = resources_want(w, b);
    return ws && working_set_load(ws, locked, err);
}

static const char *text(const struct item *it, const char *key)
{
    return json_string_value(json_object_get(it->cmd.json, key));
}

static bool fails(const struct item *it)
{
    static const char sign[] = "Fails";
    const char *name = text(it, "displayName");
    return it->attempt <= (int)LEN(delays_ms) && name && !strncmp(name, sign, sizeof sign - 1);
}

static void put_user(struct batch *b, struct item *it)
{
    const json_t *quota = json_object_get(it->cmd.json, "quotaMaxSessionsPerDay");
    struct user_put cmd = {.id = text(it, "userId"),
                           .tenant = it->cmd.tenant,
                           .display_name = text(it, "displayName"),
                           .is_active = -1,
                           .quota_concurrent = -1,
                           .quota_per_day =
                               json_is_number(quota) ? (int)json_number_value(quota) : -1};
    struct user_row *u = user_row_get(resources_of(b), cmd.id);
    const struct stream *stray = u->exists || u->dirty ? NULL : batch_stray(b, it->cmd.subject);
    struct plan plan;
    if (stray) /* the failed tries of a user's first command were told of before there was a user */
        u->stream = *stray;
    user_put(&u->user, &cmd, batch_now_ms(b), &plan);
    u->dirty = true;
    carry_plan(resources_of(b), it, &plan);
}

static void decide(void *w, struct batch *b, struct item *it)
{
    (void)w;
    if (!fails(it)) {
        put_user(b, it);
        return;
    }
    it->verdict.kind = VERDICT_RETRY;
    it->verdict.retry_after_ms = delays_ms[it->attempt - 1];
    (void)err_set(&it->verdict.failure, ERR_PROVIDER_FAILED, "try %d of a command that fails twice",
                  it->attempt);
}

static void effect(void *w, struct item *it, void *effect, uint64_t token)
{
    (void)w, (void)it, (void)effect, (void)token; /* no decision asks for one */
}

int main(int argc, char **argv)
{
    static const char *const writes[] = {NULL};
    struct worker_ops ops = {.name = "provisioning",
                             .topic = "drawbridge.provisioning",
                             .types = types,
                             .ntypes = LEN(types),
                             .writes = writes,
                             .open = open_worker,
                             .close = free,
                             .load = load,
                             .decide = decide,
                             .stream = resources_stream,
                             .effect = effect,
                             .commit = resources_commit};
    return worker_main(argc, argv, &ops);
}

#include "store/resources.h"

#include <string.h>

bool resources_init(struct resources *r, struct engine *e, struct err *err)
{
    const struct conf *c = engine_conf(e);
    r->e = e;
    if (!address_pool_parse(c->address_pool, &r->pool))
        return err_set(err, ERR_CONF_INVALID,
                       "address_pool: %s is no network with room for clients", c->address_pool);
    r->limits = (struct limits){
        .default_idle_timeout_minutes = (int)(c->idle_timeout / 60000),
        .keepalive_s = (int)c->keepalive,
        .provision_budget_ms = c->provision_budget,
        .stop_budget_ms = c->stop_budget,
        .cost_micros_per_hour = c->cost_micros_per_hour,
        .default_driver = c->driver,
        .default_allowed_ips = c->allowed_ips,
        .default_dns_servers = c->dns_servers,
    };
    r->env =
        (struct store_env){.pool = c->address_pool, .pool_parsed = &r->pool, .limits = &r->limits};
    return true;
}

struct working_set *resources_of(struct batch *b)
{
    return batch_user(b);
}

struct stream *resources_stream(void *w, struct batch *b, const char *subject)
{
    (void)w;
    return working_set_stream(resources_of(b), subject);
}

bool resources_commit(void *w, struct batch *b, bool last, struct err *err)
{
    (void)w;
    return working_set_commit(resources_of(b), last, err);
}

const char *resources_session_id(const struct item *it)
{
    return it->cmd.subject && !strncmp(it->cmd.subject, "session/", 8) ? it->cmd.subject + 8 : NULL;
}

struct working_set *resources_want(struct resources *r, struct batch *b)
{
    struct working_set *ws = working_set_new(b, &r->env);
    batch_user_set(b, ws);
    for (size_t i = 0; ws && i < batch_count(b); i++) {
        const struct item *it = batch_item(b, i);
        const char *subject = it->cmd.subject, *session = resources_session_id(it);
        if (subject && !strncmp(subject, "user/", 5))
            (void)want_user(ws, subject + 5);
        if (session)
            (void)want_session(ws, session);
        if (subject && !strncmp(subject, "token/", 6))
            (void)want_token(ws, subject + 6);
        const char *key =
            it->decidable ? arena_strn(batch_arena(b), (const char *)it->cmd.key.p, it->cmd.key.n)
                          : NULL;
        if (key)
            (void)want_user(ws, key);
        ws->want_deployment |= it->decidable && session;
    }
    return ws;
}

struct world resources_world(struct resources *r, struct batch *b, struct item *it)
{
    struct working_set *ws = batch_user(b);
    struct world w = {.deployment = &ws->deployment,
                      .limits = &r->limits,
                      .command = carry_ref(it),
                      .replay_of = it->replayed};
    const char *id = resources_session_id(it);
    struct session_row *s = id ? session_row_get(ws, id) : NULL;
    if (s && (s->exists || s->dirty))
        w.session = &s->session;
    char user_id[256];
    size_t n = it->cmd.key.n < sizeof user_id - 1 ? it->cmd.key.n : sizeof user_id - 1;
    memcpy(user_id, it->cmd.key.p, n);
    user_id[n] = 0;
    struct user_row *u = user_row_get(ws, user_id);
    if (u && (u->exists || u->dirty))
        w.user = &u->user;
    if (u) {
        w.live = u->live;
        w.nlive = u->nlive;
    }
    w.address = working_set_address(ws);
    return w;
}

void resources_touch(const struct world *w, const struct plan *plan)
{
    if (plan->kind == PLAN_NONE || plan->kind == PLAN_REFUSED)
        return;
    if (w->session)
        ((struct session_row *)(void *)w->session)->dirty = true;
}

const char *resources_joined(struct batch *b, const json_t *list)
{
    auto_buf struct buf out;
    buf_init(&out, 16384);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        buf_printf(&out, "%s%s", i ? ", " : "", s ? s : "");
    }
    if (!out.n)
        return NULL;
    const char *copy = buf_ok(&out) ? arena_str(batch_arena(b), (const char *)out.p) : NULL;
    if (!copy)
        batch_fail(b, ERR_NO_MEMORY, "command");
    return copy;
}

#include "refresh/mend.h"

#include "core/log.h"

#include "sql.h"

#include <string.h>

struct mend {
    struct mend **slot;
    struct engine *e;
    const struct driver_type *type;
    struct driver *driver;
    struct arena *arena;
    const char *server;
    const char **keys; /* of all gaps */
    size_t n;
    size_t asked; /* removals that are not answered */
    struct driver_peer *peers;
    size_t npeers;
};

static void end(struct mend *m)
{
    *m->slot = NULL;
    arena_free(&m->arena);
    free(m);
}

/* ---- what the rows want ---------------------------------------------------------------------- */

static void on_applied(void *arg, const struct err *err)
{
    struct mend *m = arg;
    if (err)
        log_warn(engine_cx(m->e), "peers.not_applied", KV_INT("peers", m->npeers), KV_ERR(err));
    else
        log_warn(engine_cx(m->e), "peers.mended", KV_INT("peers", m->npeers));
    end(m);
}

static void on_wanted(void *arg, const PGresult *res)
{
    struct mend *m = arg;
    size_t n = (size_t)PQntuples(res);
    m->peers = arena_array(m->arena, n ? n : 1, sizeof *m->peers);
    for (size_t i = 0; m->peers && i < n; i++) {
        struct driver_peer *peer = &m->peers[m->npeers];
        peer->client_public_key = arena_str(m->arena, pg_text(res, (int)i, 0));
        peer->address = arena_str(m->arena, pg_text(res, (int)i, 1));
        m->npeers += peer->client_public_key && peer->address;
    }
}

static void on_looked(void *arg, const struct pg_failure *failure)
{
    struct mend *m = arg;
    if (failure || !m->npeers)
        end(m); /* after a failure the next reading finds what is missing */
    else
        m->type->apply(m->driver, m->peers, m->npeers, on_applied, m);
}

static void look(struct mend *m)
{
    struct pg *pg = engine_pg(m->e, -1);
    struct args a;
    if (!pg_is_up(pg)) {
        end(m);
        return;
    }
    args_init(&a);
    args_text(&a, m->type->name);
    args_text(&a, m->server);
    ARGS_COLUMN(&a, OID_TEXT, m->n, i, item_text(&a, m->keys[i]));
    pg_query(pg, SQL_PEER_WANTED, &a, on_wanted, m);
    pg_sync(pg, on_looked, m);
    args_done(&a);
}

/* ---- what nobody wants ----------------------------------------------------------------------- */

static void on_removed(void *arg, const struct outcome *o)
{
    struct mend *m = arg;
    if (o->kind != OUTCOME_OK)
        log_warn(engine_cx(m->e), "peer.not_swept", KV_STR("code", o->code),
                 KV_STR("why", o->message));
    if (!--m->asked)
        look(m);
}

static void sweep(struct mend *m, const struct gap *g)
{
    const struct driver_call call = {.op = EFFECT_DELETE,
                                     .driver = m->type->name,
                                     .session_id = g->session,
                                     .client_public_key = g->key,
                                     .address = g->address,
                                     .attempt = 1,
                                     .resumed = true};
    log_warn(engine_cx(m->e), "peer.swept", KV_STR("driver", call.driver),
             KV_STR("session", call.session_id));
    m->asked++;
    m->type->call(m->driver, &call, NULL, on_removed, m);
}

static bool take_keys(struct mend *m, const struct peers *p)
{
    m->arena = arena_new(16384, 16 << 20);
    m->keys = m->arena ? arena_array(m->arena, p->mendable, sizeof *m->keys) : NULL;
    m->server = m->keys ? arena_str(m->arena, p->server) : NULL;
    for (const struct gap *g = p->gaps; m->server && g; g = g->next)
        if (g->key && g->kind != GAP_FOREIGN && !(m->keys[m->n++] = arena_str(m->arena, g->key)))
            return false;
    return m->server != NULL;
}

void mend_begin(struct mend **slot, struct engine *e, struct drivers *drivers,
                const struct peers *p)
{
    struct mend *m = calloc(1, sizeof *m);
    if (!m)
        return;
    *m = (struct mend){.slot = slot, .e = e, .asked = 1 /* held while asking */};
    *slot = m;
    m->driver = drivers_get(drivers, p->driver, &m->type);
    if (!m->driver || !m->type->apply || !take_keys(m, p)) {
        end(m);
        return;
    }
    for (const struct gap *g = p->gaps; g; g = g->next)
        if (g->kind == GAP_STRAY && g->key)
            sweep(m, g);
    if (!--m->asked)
        look(m);
}

/* V-24: what should be there is applied again from the rows when a shard comes to this worker:
 * after a restart of ours, and after a reboot of the node too. */
#include "provisioning/provisioning.h"

#include <string.h>

struct reconcile {
    struct provisioning *p;
    int shard;
    struct arena *arena;
    struct driver_peer *peers;
    size_t n, failed;
    const char *driver;
};

static void reconcile_free(struct reconcile *r)
{
    arena_free(&r->arena);
    free(r);
}

static void on_applied(void *arg, const struct err *err)
{
    struct reconcile *r = arg;
    if (err)
        log_warn(engine_cx(r->p->resources.e), "peers.not_applied", KV_INT("shard", r->shard),
                 KV_INT("peers", r->n), KV_ERR(err));
    else
        log_info(engine_cx(r->p->resources.e), "peers.applied", KV_INT("shard", r->shard),
                 KV_INT("peers", r->n));
    reconcile_free(r);
}

static void on_rows(void *arg, const PGresult *res)
{
    struct reconcile *r = arg;
    size_t n = (size_t)PQntuples(res);
    r->peers = arena_array(r->arena, n ? n : 1, sizeof *r->peers);
    for (size_t i = 0; r->peers && i < n; i++) {
        const char *key = pg_text(res, (int)i, 0), *address = pg_text(res, (int)i, 1);
        struct driver_peer *peer = &r->peers[r->n];
        peer->client_public_key = key ? arena_str(r->arena, key) : NULL;
        peer->address = address ? arena_str(r->arena, address) : NULL;
        r->n += peer->client_public_key && peer->address;
    }
}

static void on_done(void *arg, const struct pg_failure *failure)
{
    struct reconcile *r = arg;
    const struct driver_type *type = NULL;
    struct driver *d = drivers_get(r->p->drivers, r->driver, &type);
    if (failure || !r->n || !d || !type->apply) {
        reconcile_free(r);
        return;
    }
    type->apply(d, r->peers, r->n, on_applied, r);
}

static void reconcile_driver(struct provisioning *p, int shard, const char *driver)
{
    struct reconcile *r = calloc(1, sizeof *r);
    struct pg *pg = engine_pg(p->resources.e, shard);
    if (r)
        r->arena = arena_new(16384, 64 << 20);
    if (!r || !r->arena || !pg_is_up(pg)) {
        free(r);
        return;
    }
    r->p = p;
    r->shard = shard;
    r->driver = driver;
    struct args a;
    args_init(&a);
    args_int4(&a, shard);
    args_text(&a, driver);
    pg_query(pg, SQL_SESSION_PEERS, &a, on_rows, r);
    pg_sync(pg, on_done, r);
    args_done(&a);
}

void provisioning_reconcile(struct provisioning *p, int shard)
{
    for (size_t i = 0; i < drivers_count(p->drivers); i++) {
        const struct driver_type *type;
        if (drivers_at(p->drivers, i, &type) && type->apply)
            reconcile_driver(p, shard, type->name);
    }
}

#include "refresh/peers.h"

#include "core/log.h"

#include "sql.h"

#include <string.h>

bool peers_keep(struct peers *p, struct arena *a, const char *driver,
                const struct driver_reading *reading, int64_t asked_ms)
{
    size_t n = reading->n;
    bool known = reading->server_public_key && *reading->server_public_key;
    *p = (struct peers){.driver = driver, .asked_ms = asked_ms, .arena = a};
    if (!known || !(p->rows = arena_array(a, n ? n : 1, sizeof *p->rows)) ||
        !(p->server = arena_str(a, reading->server_public_key)))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct driver_counter *row = &p->rows[p->n];
        *row = reading->rows[i];
        row->client_public_key =
            row->client_public_key ? arena_str(a, row->client_public_key) : NULL;
        row->allowed_ips = row->allowed_ips ? arena_str(a, row->allowed_ips) : "";
        p->n += row->client_public_key != NULL;
        if (!row->allowed_ips || (reading->rows[i].client_public_key && !row->client_public_key))
            return false;
    }
    return true;
}

static void put(const struct peers *p, struct pg *pg, const char *pool)
{
    struct args a;
    args_init(&a);
    args_text(&a, p->driver);
    args_text(&a, p->server);
    args_text(&a, pool);
    args_time(&a, p->asked_ms);
    ARGS_COLUMN(&a, OID_TEXT, p->n, i, item_text(&a, p->rows[i].client_public_key));
    ARGS_COLUMN(&a, OID_TEXT, p->n, i, item_text(&a, p->rows[i].allowed_ips));
    ARGS_COLUMN(&a, OID_INT8, p->n, i, item_int8(&a, p->rows[i].rx_bytes));
    ARGS_COLUMN(&a, OID_INT8, p->n, i, item_int8(&a, p->rows[i].tx_bytes));
    ARGS_COLUMN(&a, OID_TIMESTAMPTZ, p->n, i, item_time(&a, p->rows[i].handshake_ms));
    pg_query(pg, SQL_PEER_PUT, &a, NULL, NULL);
    args_done(&a);
}

static const char *copy(struct arena *a, const char *text)
{
    return text ? arena_str(a, text) : NULL;
}

static void on_gaps(void *arg, const PGresult *res)
{
    static const char *const names[] = {
        [GAP_MISSING] = "missing",
        [GAP_WRONG] = "wrong",
        [GAP_STRAY] = "stray",
        [GAP_FOREIGN] = "foreign",
    };
    struct peers *p = arg;
    for (int i = 0; i < PQntuples(res); i++) {
        struct gap *g = arena_get(p->arena, sizeof *g);
        if (!g)
            return; /* the next reading has them again */
        size_t kind = 0;
        while (kind < GAP_FOREIGN && strcmp(names[kind], pg_text(res, i, 0)) != 0)
            kind++;
        *g = (struct gap){.next = p->gaps,
                          .kind = (enum peer_gap)kind,
                          .session = copy(p->arena, pg_text(res, i, 1)),
                          .key = copy(p->arena, pg_text(res, i, 2)),
                          .address = copy(p->arena, pg_text(res, i, 3))};
        p->gaps = g;
        p->mendable += g->key && kind != GAP_FOREIGN;
    }
}

void peers_compare(struct peers *p, struct pg *pg, const char *pool)
{
    struct args a;
    put(p, pg, pool);
    args_init(&a);
    args_text(&a, p->server);
    pg_query(pg, SQL_PEER_GAP, &a, on_gaps, p);
    args_done(&a);
}

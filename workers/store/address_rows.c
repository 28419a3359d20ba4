/* Free addresses: random indexes of the pool that nobody holds, so that shards seldom pick the
 * same one; the lease's primary key decides when they do, and the batch is decided again under
 * locks. A small or crowded pool is searched whole. */
#include "store/rows.h"

#include "domain/address.h"

#include <sodium.h>
#include <string.h>

#define PROBES 4         /* random indexes per address wanted */
#define SEARCH_MAX 65536 /* pools up to this size are searched whole when the probes fail */

static void on_addresses(void *arg, const PGresult *r)
{
    struct working_set *ws = arg;
    size_t n = (size_t)PQntuples(r);
    ws->addresses = arena_array(ws->arena, n ? n : 1, sizeof *ws->addresses);
    if (!ws->addresses) {
        batch_fail(ws->b, ERR_NO_MEMORY, "addresses");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        char text[46];
        address_text(ws->env->pool_parsed, (uint64_t)pg_int8(r, (int)i, 0), text);
        ws->addresses[i] = arena_str(ws->arena, text);
        if (!ws->addresses[i]) {
            batch_fail(ws->b, ERR_NO_MEMORY, "addresses");
            return;
        }
    }
    ws->naddresses = n;
}

static uint64_t random_below(uint64_t limit)
{
    uint64_t v;
    randombytes_buf(&v, sizeof v);
    return v % limit; /* the bias is without meaning here */
}

void address_rows_load(struct working_set *ws, bool locked)
{
    const struct address_pool *pool = ws->env->pool_parsed;
    size_t n = ws->want_addresses;
    if (!n)
        return;
    struct args *a = batch_args(ws->b);
    args_text(a, ws->env->pool);
    bool whole = pool->size <= SEARCH_MAX;
    ARGS_COLUMN(a, OID_INT8, whole ? 0 : n * PROBES, i,
                item_int8(a, (int64_t)random_below(pool->size)));
    args_int8(a, whole ? (int64_t)pool->size : 0);
    args_int8(a, (int64_t)n);
    pg_query(batch_pg(ws->b), locked ? SQL_ADDRESS_LOCK : SQL_ADDRESS_FREE, a, on_addresses, ws);
}

enum lease { LEASE_KEEP, LEASE_TAKE, LEASE_FREE };

static enum lease lease_of(const struct session_row *row)
{
    bool has = row->session.address;
    return !row->dirty || has == row->had_address ? LEASE_KEEP : has ? LEASE_TAKE : LEASE_FREE;
}

static size_t put_leases(struct working_set *ws, struct args *a, enum lease what, bool index)
{
    size_t n = 0;
    args_array(a, index ? OID_INT8 : OID_TEXT);
    for (size_t i = 0; i < table_count(ws->sessions); i++) {
        const struct session_row *row = table_at(ws->sessions, i)->value;
        if (lease_of(row) != what)
            continue;
        n++;
        uint64_t at = 0;
        if (!index)
            item_text(a, row->session.id);
        else if (address_index(ws->env->pool_parsed, row->session.address, &at))
            item_int8(a, (int64_t)at);
        else
            item_null(a);
    }
    args_array_end(a);
    return n;
}

void address_rows_commit(struct working_set *ws)
{
    struct args *a = batch_args(ws->b);
    size_t freed = put_leases(ws, a, LEASE_FREE, false);
    args_int8(a, (int64_t)freed);
    if (freed)
        pg_query(batch_pg(ws->b), SQL_ADDRESS_RELEASE, a, NULL, NULL);
    a = batch_args(ws->b);
    args_text(a, ws->env->pool);
    size_t taken = put_leases(ws, a, LEASE_TAKE, true);
    (void)put_leases(ws, a, LEASE_TAKE, false);
    if (taken)
        pg_query(batch_pg(ws->b), SQL_ADDRESS_TAKE, a, NULL, NULL);
}

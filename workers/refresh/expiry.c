/* Tokens whose time is over (T-08): the shard's owner asks for the earliest, sets its timer by it,
 * and makes each that is due work of its shard. A token is refused from its time on whether or not
 * this has come by. */
#include "refresh/refresh.h"

#include <stdio.h>

#define MOST 500 /* a look */

struct expiry {
    struct refresh *r; /* NULL: forgotten */
    int64_t earliest_ms;
};

static void push(struct refresh *r, const PGresult *res, int i)
{
    char subject[64], work_id[128];
    const char *id = pg_text(res, i, 0), *owner = pg_text(res, i, 1);
    snprintf(subject, sizeof subject, "token/%s", id);
    snprintf(work_id, sizeof work_id, "token.expire/%s/%lld", id, (long long)pg_int8(res, i, 4));
    /* Without memory the next look sees it again. */
    (void)!engine_due(r->resources.e, (int)pg_int8(res, i, 2), "token.expire", subject, owner,
                      work_id, NULL, NULL);
}

static void on_rows(void *arg, const PGresult *res)
{
    struct expiry *x = arg;
    int64_t now = x->r ? clock_ms(engine_clock(x->r->resources.e)) : 0;
    for (int i = 0; x->r && i < PQntuples(res); i++) {
        int64_t at = pg_time(res, i, 3);
        if (at <= now)
            push(x->r, res, i);
        else if (!x->earliest_ms)
            x->earliest_ms = at;
    }
    if (!x->earliest_ms && PQntuples(res) == MOST)
        x->earliest_ms = now + 1000; /* there may be more that are due */
}

static void on_done(void *arg, const struct pg_failure *failure)
{
    struct expiry *x = arg;
    if (x->r) {
        x->r->expiry = NULL;
        x->r->expiry_due_ms = failure ? 0 : x->earliest_ms;
    }
    free(x);
}

static void ask(struct expiry *x, struct pg *pg)
{
    struct engine *e = x->r->resources.e;
    struct args a;
    args_init(&a);
    args_array(&a, OID_INT4);
    for (int n = 0; n < engine_shards(e); n++)
        if (engine_owns(e, n))
            item_int4(&a, n);
    args_array_end(&a);
    args_int4(&a, MOST);
    pg_query(pg, SQL_TOKEN_DUE, &a, on_rows, x);
    pg_sync(pg, on_done, x);
    args_done(&a);
}

void expiry_tick(struct refresh *r)
{
    int64_t now = clock_ms(engine_clock(r->resources.e));
    bool due = now >= r->expiry_period_ms || (r->expiry_due_ms && now >= r->expiry_due_ms);
    struct pg *pg = engine_pg(r->resources.e, -1);
    struct expiry *x = r->expiry || !due || !pg_is_up(pg) ? NULL : calloc(1, sizeof *x);
    if (!x)
        return;
    r->expiry_period_ms = now + EXPIRY_PERIOD_MS;
    r->expiry_due_ms = 0;
    r->expiry = x;
    x->r = r;
    ask(x, pg);
}

void expiry_forget(struct refresh *r)
{
    if (r->expiry)
        r->expiry->r = NULL;
    r->expiry = NULL;
    r->expiry_period_ms = 0;
}

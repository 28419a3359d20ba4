#include "store/rows.h"

static void on_deployment(void *arg, const PGresult *r)
{
    struct working_set *ws = arg;
    if (PQntuples(r) != 1) {
        batch_fail(ws->b, ERR_PG_SCHEMA, "infrastructure_state has no row");
        return;
    }
    struct deployment *d = &ws->deployment;
    d->capacity = pg_int8(r, 0, 0);
    d->instances = pg_int8(r, 0, 1);
    d->sessions = pg_int8(r, 0, 2);
    d->provisioning_attempts = pg_int8(r, 0, 3);
    d->provisioning_failures = pg_int8(r, 0, 4);
    d->bytes_transferred = pg_int8(r, 0, 5);
    d->cost_micros = pg_int8(r, 0, 6);
    d->quota_limit_reached = pg_int8(r, 0, 7);
    ws->loaded = *d;
}

void deployment_row_load(struct working_set *ws, bool locked)
{
    if (ws->want_deployment)
        pg_query(batch_pg(ws->b), locked ? SQL_INFRASTRUCTURE_LOCK : SQL_INFRASTRUCTURE_FIND, NULL,
                 on_deployment, ws);
}

/* The batch's sum, so that a hot row is touched once; the guard refuses a raise over capacity. */
void deployment_row_commit(struct working_set *ws)
{
    const struct deployment *d = &ws->deployment, *was = &ws->loaded;
    int64_t moves[] = {d->instances - was->instances,
                       d->sessions - was->sessions,
                       d->provisioning_attempts - was->provisioning_attempts,
                       d->provisioning_failures - was->provisioning_failures,
                       d->bytes_transferred - was->bytes_transferred,
                       d->cost_micros - was->cost_micros};
    bool any = false;
    struct args *a = batch_args(ws->b);
    for (size_t i = 0; i < LEN(moves); i++) {
        any |= moves[i] != 0;
        args_int8(a, moves[i]);
    }
    args_time(a, batch_now_ms(ws->b));
    if (ws->want_deployment && any)
        pg_query(batch_pg(ws->b), SQL_INFRASTRUCTURE_MOVE, a, NULL, NULL);
}
